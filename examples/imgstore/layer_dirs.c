/* layer_dirs.c - what pull, prune, du and rm do about the directory of applied layers beside the store. */
#include <stdio.h>

#include "cli.h"
#include "json_out.h"
#include "table.h"
#include "units.h"

int cli_open_layer_dirs(cli *c, bool make, imgstore_rootfs_dir **dir) {
  imgstore_rootfs_dir_options options;
  imgstore_error *error = NULL;
  *dir = NULL;
  imgstore_rootfs_dir_options_init(&options, sizeof options);
  options.flags = make ? 0 : IMGSTORE_ROOTFS_DIR_NO_CREATE;
  int32_t code = imgstore_rootfs_dir_open(c->store, NULL, &options, dir, &error);
  if (code == IMGSTORE_EACCESS && !make) {
    imgstore_error_free(error);
    error = NULL;
    options.flags = IMGSTORE_ROOTFS_DIR_READ_ONLY;
    code = imgstore_rootfs_dir_open(c->store, NULL, &options, dir, &error);
  }
  if (code == IMGSTORE_ENOTFOUND && !make) {
    imgstore_error_free(error);
    return CLI_OK;
  }
  return code ? cli_failed(c, code, &error) : CLI_OK;
}

int cli_prune_layer_dirs(cli *c, uint64_t *total) {
  imgstore_rootfs_dir *dir;
  imgstore_report *report = NULL;
  imgstore_error *error = NULL;
  int status = cli_open_layer_dirs(c, false, &dir);
  if (status != CLI_OK || !dir)
    return status;
  int32_t code = imgstore_rootfs_dir_prune(dir, &report, &error);
  if (code != IMGSTORE_OK)
    status = cli_failed(c, code, &error);
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    if (imgstore_report_kind(report, i) == IMGSTORE_REPORT_FOREIGN) {
      fputs("Left alone: ", stdout);
      put_safe(stdout, imgstore_report_name(report, i));
      putchar('\n');
      continue;
    }
    printf("Deleted layer directory: %s\n", imgstore_report_digest(report, i));
    *total += imgstore_report_size(report, i);
  }
  imgstore_report_free(report);
  imgstore_rootfs_dir_close(dir);
  return status;
}

static void print_json(text *t, const imgstore_report *report, size_t i) {
  json_begin(t);
  json_string(t, "LayerDirectory", imgstore_report_name(report, i));
  json_string(t, "ChainID", imgstore_report_digest(report, i));
  json_number(t, "Size", imgstore_report_size(report, i));
  json_number(t, "Shared", imgstore_report_shared(report, i));
  json_number(t, "Inodes", imgstore_report_inodes(report, i));
  json_end(t, stdout);
}

static int print_lines(cli *c, const imgstore_report *report, bool json) {
  static const char *const headings[] = {"LAYER DIRECTORY", "SIZE", "FILES", "SHARED"};
  uint64_t total = 0;
  text t = {0};
  table rows;
  table_begin(&rows, 4, headings);
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    char files[32];
    if (imgstore_report_kind(report, i) != IMGSTORE_REPORT_LAYER_DIR)
      continue;
    total += imgstore_report_size(report, i);
    if (json) {
      print_json(&t, report, i);
      continue;
    }
    snprintf(files, sizeof files, "%llu", (unsigned long long)imgstore_report_inodes(report, i));
    table_cell(&rows, units_short_id(imgstore_report_digest(report, i)).text);
    table_cell(&rows, units_size(imgstore_report_size(report, i)).text);
    table_cell(&rows, files);
    table_cell(&rows, imgstore_report_shared(report, i) ? "yes" : "no");
  }
  bool ok = true;
  if (json) {
    table_free(&rows);
  } else {
    putchar('\n');
    ok = table_print(&rows, stdout);
    printf("\nTotal of layer directories: %s\n", units_size(total).text);
  }
  text_free(&t);
  return ok ? CLI_OK : cli_out_of_memory(c);
}

int cli_print_layer_dirs(cli *c, bool json) {
  imgstore_rootfs_dir *dir;
  imgstore_report *report = NULL;
  imgstore_error *error = NULL;
  int status = cli_open_layer_dirs(c, false, &dir);
  if (status != CLI_OK || !dir)
    return status;
  int32_t code = imgstore_rootfs_dir_usage(dir, &report, &error);
  status = code ? cli_failed(c, code, &error) : print_lines(c, report, json);
  imgstore_report_free(report);
  imgstore_rootfs_dir_close(dir);
  return status;
}
