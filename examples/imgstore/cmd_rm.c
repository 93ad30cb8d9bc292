/* cmd_rm.c - rm: takes names away, and content that nothing needs any more. */
#include <stdio.h>

#include "cli.h"

static const option rm_options[] = {{OPTION_FORCE, 'f', "force", NULL, "with an ID: remove all names of the image"},
                                    {0, 0, NULL, NULL, NULL}};
static const option_group rm_group = {"Options", rm_options};

static void print_removed(cli *c, const imgstore_report *report) {
  familiar name = {0};
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    int32_t kind = imgstore_report_kind(report, i);
    if (kind == IMGSTORE_REPORT_UNTAGGED) {
      familiar_set(&name, c, imgstore_report_name(report, i));
      fputs("Untagged: ", stdout);
      put_safe(stdout, text_get(&name.whole));
      putchar('\n');
    } else if (kind == IMGSTORE_REPORT_DELETED) {
      printf("Deleted: %s\n", imgstore_report_digest(report, i));
    }
  }
  familiar_free(&name);
}

static int run(cli *c) {
  uint32_t flags = option_given(&c->args, OPTION_FORCE) ? IMGSTORE_REMOVE_ALL_NAMES : 0;
  int status = cli_need_store(c, STORE_WRITE);
  if (status != CLI_OK)
    return status;
  for (size_t i = 0; i < c->args.count; i++) {
    imgstore_report *report = NULL;
    imgstore_error *error = NULL;
    int32_t code = imgstore_store_remove(c->store, c->args.words[i], flags, &report, &error);
    if (code != IMGSTORE_OK)
      status = cli_failed(c, code, &error);
    if (code == IMGSTORE_ECONFLICT)
      cli_message(c, "rm --force removes all names of an image");
    print_removed(c, report);
    imgstore_report_free(report);
  }
  return status;
}

const command command_rm = {
    .name = "rm",
    .alias = "rmi",
    .usage = "[OPTIONS] IMAGE...",
    .summary = "Remove images from the store",
    .details =
        "A name is taken away; the content goes when no other image needs it. An ID that has several names needs\n"
        "--force. Goes on with the next image when one fails.",
    .examples = "  imgstore rm alpine:3.15\n"
                "  imgstore rm -f 43c4264eed91\n",
    .groups = (const option_group *const[]){&rm_group, &group_global, NULL},
    .min_words = 1,
    .max_words = SIZE_MAX,
    .run = run,
};
