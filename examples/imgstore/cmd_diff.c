/* cmd_diff.c - diff: what an instance changed. */
#include <stdio.h>

#include "cli.h"
#include "json_out.h"

static const option diff_options[] = {ROW_FORMAT("json: one object per line"), ROW_END};
static const option_group diff_group = {"Options", diff_options};

static void print_change(const imgstore_report *report, size_t i, bool json, text *t) {
  const int32_t kind = imgstore_report_kind(report, i);
  const char *letter = kind == IMGSTORE_REPORT_ADDED ? "A" : kind == IMGSTORE_REPORT_MODIFIED ? "C" : "D";
  const char *path = imgstore_report_name(report, i);
  if (!json) {
    put_line(stdout, "%s %s", letter, path);
    return;
  }
  json_begin(t);
  json_string(t, "Kind", letter);
  json_string(t, "Path", path);
  json_end(t, stdout);
}

static int run(cli *c) {
  imgstore_rootfs *rootfs = NULL;
  imgstore_report *report = NULL;
  imgstore_error *error = NULL;
  bool json = false;
  text t = {0};
  if (!cli_format(c, &json))
    return CLI_USAGE;
  int status = cli_open_rootfs(c, c->args.words[0], &rootfs);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_rootfs_diff(rootfs, &report, &error);
  if (code != IMGSTORE_OK)
    status = cli_failed(c, code, &error);
  for (size_t i = 0; i < imgstore_report_count(report); i++)
    print_change(report, i, json, &t);
  text_free(&t);
  imgstore_report_free(report);
  imgstore_rootfs_close(rootfs);
  return status;
}

const command command_diff = {
    .name = "diff",
    .usage = "[OPTIONS] NAME",
    .summary = "List what an instance changed",
    .details = "One line for each path: A added, C changed, D deleted. Costs as much as was changed.",
    .examples = "  imgstore diff web\n"
                "  imgstore diff --format json web\n",
    .groups = (const option_group *const[]){&diff_group, &group_global, NULL},
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
