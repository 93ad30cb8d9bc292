/* cmd_prune.c - prune: removes what no image needs. */
#include <stdio.h>

#include "cli.h"
#include "units.h"

static int run(cli *c) {
  imgstore_report *report = NULL;
  imgstore_error *error = NULL;
  uint64_t total = 0;
  int status = cli_open_store(c, STORE_WRITE);
  if (status != CLI_OK)
    return status;
  int32_t code = c->store ? imgstore_store_prune(c->store, &report, &error) : IMGSTORE_OK;
  if (code != IMGSTORE_OK)
    status = cli_failed(c, code, &error);
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    if (imgstore_report_kind(report, i) != IMGSTORE_REPORT_DELETED)
      continue;
    const char *digest = imgstore_report_digest(report, i);
    put_line(stdout, "Deleted: %s", *digest ? digest : imgstore_report_name(report, i));
    total += imgstore_report_size(report, i);
  }
  if (status == CLI_OK && c->store)
    status = cli_prune_layer_dirs(c, &total);
  if (status == CLI_OK)
    printf("Total reclaimed space: %s\n", units_size(total).text);
  imgstore_report_free(report);
  return status;
}

const command command_prune = {
    .name = "prune",
    .usage = "",
    .summary = "Remove content that no image needs, and what interrupted pulls left",
    .details = "Images with a name stay, with the directories of their layers, and so does what a running pull has "
               "fetched.",
    .examples = "  imgstore prune\n",
    .groups = (const option_group *const[]){&group_global, NULL},
    .run = run,
};
