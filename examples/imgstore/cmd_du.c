/* cmd_du.c - du: how much space images take in the store. */
#include <stdio.h>

#include "cli.h"
#include "json_out.h"
#include "table.h"
#include "units.h"

static const option du_options[] = {ROW_FORMAT("json: one object per line, sizes in bytes"), ROW_END};
static const option_group du_group = {"Options", du_options};

static void print_usage_json(text *t, const char *image, const imgstore_report *report, size_t i) {
  uint64_t size = imgstore_report_size(report, i), shared = imgstore_report_shared(report, i);
  json_begin(t);
  json_string(t, "Image", image);
  json_string(t, "Digest", imgstore_report_digest(report, i));
  json_number(t, "Size", size);
  json_number(t, "Shared", shared);
  json_number(t, "Unique", size - shared);
  json_end(t, stdout);
}

static int print_usage(cli *c, const imgstore_report *report, bool json) {
  static const char *const headings[] = {"IMAGE", "SIZE", "SHARED", "UNIQUE"};
  uint64_t total = 0;
  text t = {0};
  table rows;
  familiar name = {0};
  table_begin(&rows, 4, headings);
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    uint64_t size = imgstore_report_size(report, i), shared = imgstore_report_shared(report, i);
    if (!*imgstore_report_name(report, i)) {
      total = size;
      continue;
    }
    familiar_set(&name, c, imgstore_report_name(report, i));
    if (json) {
      print_usage_json(&t, text_get(&name.whole), report, i);
      continue;
    }
    table_cell(&rows, text_get(&name.whole));
    table_cell(&rows, units_size(size).text);
    table_cell(&rows, units_size(shared).text);
    table_cell(&rows, units_size(size - shared).text);
  }
  bool ok = true;
  if (json) {
    json_begin(&t);
    json_number(&t, "Total", total);
    json_end(&t, stdout);
    table_free(&rows);
  } else {
    ok = table_print(&rows, stdout);
    printf("\nTotal: %s\n", units_size(total).text);
  }
  text_free(&t);
  familiar_free(&name);
  return ok ? CLI_OK : cli_out_of_memory(c);
}

static int run(cli *c) {
  imgstore_report *report = NULL;
  imgstore_error *error = NULL;
  bool json = false;
  if (!cli_format(c, &json))
    return CLI_USAGE;
  int status = cli_open_store(c, STORE_READ);
  if (status != CLI_OK)
    return status;
  int32_t code = c->store ? imgstore_store_usage(c->store, &report, &error) : IMGSTORE_OK;
  status = code ? cli_failed(c, code, &error) : print_usage(c, report, json);
  if (status == CLI_OK && c->store)
    status = cli_print_layer_dirs(c, json);
  imgstore_report_free(report);
  return status;
}

const command command_du = {
    .name = "du",
    .usage = "[OPTIONS]",
    .summary = "Show how much space images take in the store",
    .details =
        "SHARED is the part of SIZE that other images need too, UNIQUE what removing the image frees. The total\n"
        "counts everything once. Where layers were applied to directories of their own, those are listed too, with\n"
        "what each image has of them, and each instance: SHARED are the directories below it, UNIQUE its own files.",
    .examples = "  imgstore du\n",
    .groups = (const option_group *const[]){&du_group, &group_global, NULL},
    .run = run,
};
