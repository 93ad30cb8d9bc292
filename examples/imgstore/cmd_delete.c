/* cmd_delete.c - delete: takes instances away, with the layers of their own. */
#include <stdio.h>

#include "cli.h"

static const option delete_options[] = {{OPTION_FORCE, 'f', "force", NULL, "also when it is mounted: unmount it first"},
                                        ROW_END};
static const option_group delete_group = {"Options", delete_options};

static int delete_one(cli *c, const char *name, uint32_t flags) {
  imgstore_report *report = NULL;
  imgstore_error *error = NULL;
  int32_t code = imgstore_rootfs_delete(c->rootfs_dir, name, flags, &report, &error);
  if (code != IMGSTORE_OK)
    return cli_failed(c, code, &error);
  for (size_t i = 0; i < imgstore_report_count(report); i++)
    cli_message(c, "%s: %s", imgstore_report_name(report, i), imgstore_report_detail(report, i));
  imgstore_report_free(report);
  put_line(stdout, "Deleted: %s", name);
  return CLI_OK;
}

static int run(cli *c) {
  uint32_t flags = option_given(&c->args, OPTION_FORCE) ? IMGSTORE_ROOTFS_DELETE_MOUNTED : 0;
  int status = cli_need_rootfs_dir(c, false);
  for (size_t i = 0; c->rootfs_dir && i < c->args.count; i++) {
    int one = delete_one(c, c->args.words[i], flags);
    status = one != CLI_OK ? one : status;
  }
  return status;
}

const command command_delete = {
    .name = "delete",
    .usage = "[OPTIONS] NAME...",
    .summary = "Delete instances",
    .details = "Only the instance's own layer goes; the image and its other instances stay. Goes on with the next one\n"
               "when one fails.",
    .examples = "  imgstore delete web\n"
                "  imgstore delete -f web tools\n",
    .groups = (const option_group *const[]){&delete_group, &group_global, NULL},
    .min_words = 1,
    .max_words = SIZE_MAX,
    .run = run,
};
