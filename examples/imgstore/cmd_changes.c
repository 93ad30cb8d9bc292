/* cmd_changes.c - diff: what an instance changed; commit: an image of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "job.h"
#include "json_out.h"
#include "progress.h"
#include "units.h"

/* --- diff ------------------------------------------------------------------------------------------------------------
 */

static const option diff_options[] = {{OPTION_FORMAT, 0, "format", "table|json", "json: one object per line"}, ROW_END};
static const option_group diff_group = {"Options", diff_options};

static void print_change(const imgstore_report *report, size_t i, bool json, text *t) {
  const int32_t kind = imgstore_report_kind(report, i);
  const char *letter = kind == IMGSTORE_REPORT_ADDED ? "A" : kind == IMGSTORE_REPORT_MODIFIED ? "C" : "D";
  const char *path = imgstore_report_name(report, i);
  if (json) {
    json_begin(t);
    json_string(t, "Kind", letter);
    json_string(t, "Path", path);
    json_end(t, stdout);
    return;
  }
  fputs(letter, stdout);
  putchar(' ');
  put_safe(stdout, path);
  putchar('\n');
}

static int run_diff(cli *c) {
  imgstore_rootfs *rootfs = NULL;
  imgstore_report *report = NULL;
  imgstore_error *error = NULL;
  bool json;
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
    .run = run_diff,
};

/* --- commit ----------------------------------------------------------------------------------------------------------
 */

static const option commit_options[] = {
    {OPTION_MESSAGE, 'm', "message", "TEXT", "what the history says of it"},
    {OPTION_AUTHOR, 'a', "author", "NAME", "who made it, such as \"Ada <ada@example.org>\""},
    {OPTION_CHANGE, 'c', "change", "INSTRUCTION",
     "change the config: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER,\n"
     "VOLUME, WORKDIR or STOPSIGNAL, as in a Dockerfile. May be given several times"},
    {OPTION_COMPRESSION, 0, "compression", "gzip|fast|zstd|none", "of the new layer (default: gzip)"},
    {OPTION_LEVEL, 0, "level", "N", "of the compression"},
    {OPTION_TIMESTAMP, 0, "timestamp", "SECONDS",
     "no file and no date is later (default: $SOURCE_DATE_EPOCH;\n"
     "without it files keep their times and the image is created now)"},
    ROW_QUIET,
    ROW_PROGRESS,
    ROW_END};
static const option_group commit_group = {"Options", commit_options};

static const progress_words words = {"Making layer", "Making", "Made", "Layer complete"};

/* https://reproducible-builds.org/specs/source-date-epoch/ */
static bool read_numbers(cli *c, imgstore_commit_options *options) {
  const char *level = option_value(&c->args, OPTION_LEVEL), *time = option_value(&c->args, OPTION_TIMESTAMP);
  const char *what = time ? "--timestamp" : "SOURCE_DATE_EPOCH", *set = getenv("SOURCE_DATE_EPOCH");
  uint64_t number = 0;
  if (level && !units_number(level, 19, &number)) {
    cli_usage(c, "--level is a number from 0 to 19, not %s", level);
    return false;
  }
  options->level = (int32_t)number;
  if (!time && set && *set)
    time = set;
  if (time && !units_number(time, UINT64_C(253402300799), &number)) {
    cli_usage(c, "%s is a number of seconds since 1970, not %s", what, time);
    return false;
  }
  options->flags = time ? IMGSTORE_BUILD_EPOCH : 0;
  options->source_date_epoch = time ? (int64_t)number : 0;
  return true;
}

static int commit(cli *c, job *j, progress *p, imgstore_commit_options *options) {
  imgstore_rootfs *rootfs = NULL;
  imgstore_operation *operation = NULL;
  imgstore_error *error = NULL;
  int status = cli_open_rootfs(c, c->args.words[0], &rootfs);
  if (status != CLI_OK)
    return status;
  options->progress = progress_event;
  options->progress_data = p;
  int32_t code = imgstore_commit_start(rootfs, c->args.words[1], options, &operation, &error);
  if (code == IMGSTORE_OK)
    code = job_run(j, p, operation, &error);
  imgstore_image *image = code == IMGSTORE_OK ? imgstore_operation_image(operation) : NULL;
  if (code == IMGSTORE_OK) {
    cli_print_skipped(imgstore_operation_report(operation), true);
    printf("%s\n", imgstore_image_id(image));
  } else {
    status = job_failed(j, c, code, &error);
  }
  imgstore_image_unref(image);
  imgstore_operation_free(operation);
  imgstore_rootfs_close(rootfs);
  return status;
}

static int run_commit(cli *c) {
  imgstore_commit_options options;
  progress p = {0};
  job j;
  int status = CLI_USAGE;
  const char **changes = calloc(c->args.option_count + 1, sizeof *changes);
  imgstore_commit_options_init(&options, sizeof options);
  options.message = option_value(&c->args, OPTION_MESSAGE);
  options.author = option_value(&c->args, OPTION_AUTHOR);
  options.changes = changes;
  for (size_t i = 0; changes && i < c->args.option_count; i++)
    if (c->args.options[i].id == OPTION_CHANGE)
      changes[options.change_count++] = c->args.options[i].value;
  job_begin(&j);
  if (!changes)
    cli_message(c, "out of memory");
  else if (cli_compression(c, &options.compression) && read_numbers(c, &options) && progress_begin(&p, c, &words))
    status = commit(c, &j, &p, &options);
  job_end(&j);
  progress_free(&p);
  free(changes);
  return status;
}

const command command_commit = {
    .name = "commit",
    .usage = "[OPTIONS] NAME IMAGE",
    .summary = "Make an image of an instance",
    .details =
        "The image has the layers of the instance's image, which are shared, and one layer of what was changed.\n"
        "Prints the ID of the new image. What runs in the instance is not paused: a file that changes while it\n"
        "is read makes the commit fail, and nothing is made.",
    .examples =
        "  imgstore commit web example/web:2\n"
        "  imgstore commit -m 'with curl' -c 'CMD [\"curl\", \"--help\"]' -c 'ENV MODE=test' tools tools:curl\n",
    .groups = (const option_group *const[]){&commit_group, &group_global, NULL},
    .min_words = 2,
    .max_words = 2,
    .run = run_commit,
};
