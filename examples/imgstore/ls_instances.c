/* ls_instances.c - ls --rootfs: the instances. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "json_out.h"
#include "table.h"
#include "units.h"

typedef struct instances {
  cli *c;
  table table;
  text line;
  bool json, quiet;
  int64_t now;
  int status;
} instances;

static const char *way_name(int32_t way) {
  return way == IMGSTORE_MOUNT_OVERLAY ? "overlay"
         : way == IMGSTORE_MOUNT_FUSE  ? "fuse"
         : way == IMGSTORE_MOUNT_COPY  ? "copy"
                                       : "";
}

static void print_one(instances *l, imgstore_rootfs *rootfs) {
  const char *where = "", *image = imgstore_rootfs_image_name(rootfs), *created = imgstore_rootfs_created(rootfs);
  int32_t way = imgstore_rootfs_mounted(rootfs, &where);
  unit_text id = units_short_id(imgstore_rootfs_image_id(rootfs));
  const char *mode = imgstore_rootfs_is_read_only(rootfs) ? "ro" : "rw";
  if (l->json) {
    json_begin(&l->line);
    json_string(&l->line, "Name", imgstore_rootfs_name(rootfs));
    json_string(&l->line, "Image", image);
    json_string(&l->line, "ImageID", imgstore_rootfs_image_id(rootfs));
    json_string(&l->line, "Manifest", imgstore_rootfs_manifest_digest(rootfs));
    json_string(&l->line, "CreatedAt", created);
    json_string(&l->line, "Mode", mode);
    json_number(&l->line, "Layers", imgstore_rootfs_lower_count(rootfs));
    json_string(&l->line, "MountedBy", way_name(way));
    json_string(&l->line, "Mounted", where);
    json_end(&l->line, stdout);
    return;
  }
  table_cell(&l->table, imgstore_rootfs_name(rootfs));
  table_cell(&l->table, *image ? image : "<none>");
  table_cell(&l->table, id.text);
  table_cell(&l->table, units_age(created, l->now).text);
  table_cell(&l->table, mode);
  table_cell(&l->table, way == IMGSTORE_MOUNT_NONE ? "-" : *where ? where : "(in another mount namespace)");
}

static void list_one(instances *l, const imgstore_report *report, size_t i) {
  imgstore_rootfs *rootfs = NULL;
  imgstore_error *error = NULL;
  const char *name = imgstore_report_name(report, i);
  int32_t kind = imgstore_report_kind(report, i);
  if (kind == IMGSTORE_REPORT_FOREIGN) {
    cli_message(l->c, "%s: no instance, left alone", name);
    return;
  }
  if (kind == IMGSTORE_REPORT_DAMAGED) {
    cli_message(l->c, "%s", imgstore_report_detail(report, i));
    l->status = CLI_FAILED;
    return;
  }
  if (l->quiet) {
    put_line(stdout, "%s", name);
    return;
  }
  int32_t code = imgstore_rootfs_open(l->c->rootfs_dir, name, &rootfs, &error);
  if (code == IMGSTORE_OK)
    print_one(l, rootfs);
  else if (code != IMGSTORE_ENOTFOUND) /* deleted meanwhile */
    l->status = cli_failed(l->c, code, &error);
  imgstore_error_free(error);
  imgstore_rootfs_close(rootfs);
}

int cli_list_rootfs(cli *c, bool json, bool quiet) {
  static const char *const headings[] = {"NAME", "IMAGE", "IMAGE ID", "CREATED", "MODE", "MOUNTED ON"};
  instances l = {.c = c, .json = json, .quiet = quiet, .now = (int64_t)time(NULL), .status = CLI_OK};
  imgstore_report *report = NULL;
  imgstore_error *error = NULL;
  int status = cli_open_store(c, STORE_READ);
  if (status == CLI_OK && c->store)
    status = cli_open_rootfs_dir(c, STORE_READ);
  if (status != CLI_OK)
    return status;
  int32_t code = c->rootfs_dir ? imgstore_rootfs_list(c->rootfs_dir, &report, &error) : IMGSTORE_OK;
  if (code != IMGSTORE_OK)
    return cli_failed(c, code, &error);
  if (!json && !quiet)
    table_begin(&l.table, 6, headings);
  for (size_t i = 0; i < imgstore_report_count(report); i++)
    list_one(&l, report, i);
  if (l.table.columns && !table_print(&l.table, stdout))
    l.status = cli_out_of_memory(c);
  imgstore_report_free(report);
  text_free(&l.line);
  return l.status;
}
