/* layer_dirs.c - what pull, prune, du and rm do about the directory of applied layers beside the store. */
#include <stdio.h>

#include "cli.h"
#include "json_out.h"
#include "table.h"
#include "units.h"

int cli_prune_layer_dirs(cli *c, uint64_t *total) {
  imgstore_report *report = NULL;
  imgstore_error *error = NULL;
  int status = cli_open_rootfs_dir(c, STORE_LEASE);
  if (status != CLI_OK || !c->rootfs_dir)
    return status;
  int32_t code = imgstore_rootfs_dir_prune(c->rootfs_dir, &report, &error);
  if (code != IMGSTORE_OK)
    status = cli_failed(c, code, &error);
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    if (imgstore_report_kind(report, i) == IMGSTORE_REPORT_FOREIGN) {
      put_line(stdout, "Left alone: %s", imgstore_report_name(report, i));
      continue;
    }
    put_line(stdout, "Deleted layer directory: %s", imgstore_report_digest(report, i));
    *total += imgstore_report_size(report, i);
  }
  imgstore_report_free(report);
  return status;
}

/* --- du ------------------------------------------------------------------------------------------------------------
 */

typedef struct line_kind {
  int32_t kind; /* IMGSTORE_REPORT_* */
  const char *json_name;
  size_t columns;
  const char *headings[6];
} line_kind;

/* In the order of their tables. */
static const line_kind line_kinds[] = {
    {IMGSTORE_REPORT_LAYER_DIR, "LayerDirectory", 4, {"LAYER DIRECTORY", "SIZE", "FILES", "SHARED"}},
    {IMGSTORE_REPORT_USAGE, "Applied", 5, {"APPLIED IMAGE", "SIZE", "FILES", "SHARED", "UNIQUE"}},
    {IMGSTORE_REPORT_ROOTFS, "Instance", 6, {"INSTANCE", "IMAGE", "SIZE", "FILES", "SHARED", "UNIQUE"}},
};

static void print_json(text *t, const line_kind *kind, const char *name, const imgstore_report *report, size_t i) {
  uint64_t size = imgstore_report_size(report, i), shared = imgstore_report_shared(report, i);
  json_begin(t);
  json_string(t, kind->json_name, name);
  if (kind->kind == IMGSTORE_REPORT_ROOTFS)
    json_string(t, "Image", imgstore_report_detail(report, i));
  json_string(t, kind->kind == IMGSTORE_REPORT_LAYER_DIR ? "ChainID" : "Digest", imgstore_report_digest(report, i));
  json_number(t, "Size", size);
  json_number(t, "Shared", shared);
  if (kind->kind != IMGSTORE_REPORT_LAYER_DIR)
    json_number(t, "Unique", size - shared);
  json_number(t, "Inodes", imgstore_report_inodes(report, i));
  json_end(t, stdout);
}

static void print_cells(table *rows, const line_kind *kind, const char *name, const imgstore_report *report, size_t i) {
  uint64_t size = imgstore_report_size(report, i), shared = imgstore_report_shared(report, i);
  const bool layer = kind->kind == IMGSTORE_REPORT_LAYER_DIR;
  char files[32];
  snprintf(files, sizeof files, "%llu", (unsigned long long)imgstore_report_inodes(report, i));
  table_cell(rows, layer ? units_short_id(imgstore_report_digest(report, i)).text : name);
  if (kind->kind == IMGSTORE_REPORT_ROOTFS)
    table_cell(rows, *imgstore_report_detail(report, i) ? imgstore_report_detail(report, i) : "<none>");
  table_cell(rows, units_size(size).text);
  table_cell(rows, files);
  if (layer) {
    table_cell(rows, shared ? "yes" : "no");
    return;
  }
  table_cell(rows, units_size(shared).text);
  table_cell(rows, units_size(size - shared).text);
}

/* All lines of one kind; without any, no table. */
static bool print_kind(cli *c, const line_kind *kind, const imgstore_report *report, bool json) {
  familiar name = {0};
  text t = {0};
  table rows;
  bool any = false;
  table_begin(&rows, kind->columns, kind->headings);
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    const char *said = imgstore_report_name(report, i);
    if (imgstore_report_kind(report, i) != kind->kind || !*said)
      continue;
    any = true;
    if (kind->kind == IMGSTORE_REPORT_USAGE) {
      familiar_set(&name, c, said);
      said = text_get(&name.whole);
    }
    if (json)
      print_json(&t, kind, said, report, i);
    else
      print_cells(&rows, kind, said, report, i);
  }
  familiar_free(&name);
  text_free(&t);
  if (json || (!any && kind->kind != IMGSTORE_REPORT_LAYER_DIR)) {
    table_free(&rows);
    return true;
  }
  putchar('\n');
  return table_print(&rows, stdout);
}

static int print_lines(cli *c, const imgstore_report *report, bool json) {
  uint64_t layers = 0, own = 0;
  bool ok = true;
  for (size_t i = 0; ok && i < sizeof line_kinds / sizeof line_kinds[0]; i++)
    ok = print_kind(c, &line_kinds[i], report, json);
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    const int32_t kind = imgstore_report_kind(report, i);
    const uint64_t size = imgstore_report_size(report, i);
    layers += kind == IMGSTORE_REPORT_LAYER_DIR ? size : 0;
    own += kind == IMGSTORE_REPORT_ROOTFS ? size - imgstore_report_shared(report, i) : 0;
    if (kind == IMGSTORE_REPORT_SKIPPED)
      cli_message(c, "rootfs %s: not all of it is counted: %s", imgstore_report_name(report, i),
                  imgstore_report_detail(report, i));
  }
  if (!json) {
    printf("\nTotal of layer directories: %s\n", units_size(layers).text);
    printf("Total of the instances' own files: %s\n", units_size(own).text);
  }
  return ok ? CLI_OK : cli_out_of_memory(c);
}

int cli_print_layer_dirs(cli *c, bool json) {
  imgstore_report *report = NULL;
  imgstore_error *error = NULL;
  int status = cli_open_rootfs_dir(c, STORE_LEASE);
  if (status != CLI_OK || !c->rootfs_dir)
    return status;
  int32_t code = imgstore_rootfs_dir_usage(c->rootfs_dir, &report, &error);
  status = code ? cli_failed(c, code, &error) : print_lines(c, report, json);
  imgstore_report_free(report);
  return status;
}
