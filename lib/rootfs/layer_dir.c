/*
 * rootfs/layer_dir.c (L3) - names, records and lists of layer directories. How one is made is in layer_apply.c.
 */
#include "rootfs/layer_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/folder.h"
#include "base/text.h"
#include "json/json.h"

#define RECORD_FILE "record.json"
#define CHANGES_FILE "changes"

enum { RECORD_MAX = 4 << 20, CHANGES_MAX = 512 << 20, VERSION = 1, PATHS_MAX = 1 << 20 };

void ims_layer_dir_name(const ims_layer_form *form, const ims_digest *chain_id, char out[IMS_LAYER_NAME]) {
  snprintf(out, IMS_LAYER_NAME, "%s%s", ims_digest_hex(chain_id), form->suffix);
}

bool ims_layer_dir_chain_id(const char *name, ims_digest *chain_id) {
  char text[IMS_DIGEST_TEXT];
  const char *dash = strchr(name, '-');
  size_t size = dash ? (size_t)(dash - name) : 0;
  const char *algorithm = size == 64 ? "sha256" : "sha512";
  if ((size != 64 && size != 128) || !ims_is_lower_hex(name, size) || (dash[1] != 't' && dash[1] != 'u'))
    return false;
  if (dash[2] && (dash[2] != '-' || !ims_is_lower_hex(dash + 3, strlen(dash + 3)) || strlen(dash + 3) != 16))
    return false;
  int length = snprintf(text, sizeof text, "%s:%.*s", algorithm, (int)size, name);
  return length > 0 && ims_digest_parse(chain_id, text, (size_t)length, NULL) == IMGSTORE_OK;
}

int32_t ims_layer_dir_find(ims_rootfs_dir *dir, const char *name, bool *present, ims_error *err) {
  struct stat st;
  *present = false;
  if (dir->folder[IMS_ROOTFS_LAYERS] < 0)
    return IMGSTORE_OK;
  if (dir->core->sys->fstatat(dir->folder[IMS_ROOTFS_LAYERS], name, &st, AT_SYMLINK_NOFOLLOW) == 0)
    *present = S_ISDIR(st.st_mode);
  else if (errno != ENOENT)
    return ims_fail_os(err, errno, "layer directory %s: cannot look", name);
  return IMGSTORE_OK;
}

/* Opens the layer directory itself. */
static int32_t open_own(ims_rootfs_dir *dir, const char *name, int *fd, ims_error *err) {
  *fd = ims_dir_file_open_dir(dir->core, dir->folder[IMS_ROOTFS_LAYERS], name);
  return *fd >= 0 ? IMGSTORE_OK : ims_fail_os(err, errno, "layer directory %s: cannot open", name);
}

int32_t ims_layer_dir_open(ims_rootfs_dir *dir, const char *name, int *fd, ims_error *err) {
  enum { PATH_SIZE = IMS_LAYER_NAME + sizeof "/" IMS_LAYER_ROOT };
  char path[PATH_SIZE];
  int own;
  *fd = -1;
  /* In one call where the kernel can: a mount opens a hundred. Otherwise, and for what to say of a failure, in two. */
  if (snprintf(path, sizeof path, "%s/" IMS_LAYER_ROOT, name) < PATH_SIZE)
    *fd = ims_dir_file_open_below(dir->core, dir->folder[IMS_ROOTFS_LAYERS], path, O_RDONLY | O_DIRECTORY);
  if (*fd >= 0)
    return IMGSTORE_OK;
  int32_t rc = open_own(dir, name, &own, err);
  if (rc)
    return rc;
  *fd = ims_dir_file_open_dir(dir->core, own, IMS_LAYER_ROOT);
  if (*fd < 0)
    rc = ims_fail_os(err, errno, "layer directory %s: cannot open " IMS_LAYER_ROOT, name);
  dir->core->sys->close(own);
  return rc;
}

/* --- the record --------------------------------------------------------------------------------------------------- */

void ims_layer_record_init(ims_layer_record *record, const ims_alloc *alloc) {
  memset(record, 0, sizeof *record);
  ims_buf_init(&record->attributes, alloc, PATHS_MAX);
}

void ims_layer_record_free(ims_layer_record *record) {
  if (record->attributes.alloc)
    ims_buf_free(&record->attributes);
}

static bool get_digest(const ims_json_value *object, const char *key, ims_digest *digest) {
  const char *text = ims_json_string(ims_json_get(object, key));
  return text && ims_digest_parse(digest, text, strlen(text), NULL) == IMGSTORE_OK;
}

static int hex_digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Paths are any bytes, so they are kept in hexadecimal. */
static bool get_path(const ims_json_value *value, ims_buf *out) {
  const char *hex = ims_json_string(value);
  if (!hex)
    return false;
  for (; *hex; hex += 2) {
    int high = hex_digit(hex[0]), low = high < 0 ? -1 : hex_digit(hex[1]);
    if (low < 0 || !(high << 4 | low) || ims_buf_putc(out, (char)(high << 4 | low)))
      return false;
  }
  return ims_buf_putc(out, '\0') == IMGSTORE_OK;
}

static bool take_record(ims_layer_record *r, const ims_json_value *root) {
  uint64_t version;
  const ims_json_value *parent = ims_json_get(root, "parent");
  const ims_json_value *paths = ims_json_get(root, "attributedDirectories");
  if (!ims_json_uint(ims_json_get(root, "version"), &version) || version != VERSION ||
      !get_digest(root, "diffID", &r->diff_id) || !get_digest(root, "chainID", &r->chain_id) ||
      (parent && !get_digest(root, "parent", &r->parent)) || !ims_json_uint(ims_json_get(root, "bytes"), &r->bytes) ||
      !ims_json_uint(ims_json_get(root, "inodes"), &r->inodes) ||
      !ims_json_bool(ims_json_get(root, "opaque"), &r->opaque) ||
      !ims_json_bool(ims_json_get(root, "defaultACLs"), &r->default_acls))
    return false;
  r->any_attributes = ims_json_type(paths) != IMS_JSON_ARRAY;
  for (const ims_json_value *v = r->any_attributes ? NULL : ims_json_first(paths); v; v = ims_json_next(v))
    if (!get_path(v, &r->attributes))
      return false;
  return true;
}

int32_t ims_layer_record_read(ims_layer_record *record, ims_rootfs_dir *dir, const char *name, ims_error *err) {
  const ims_alloc *alloc = &dir->core->alloc;
  ims_json *json = NULL;
  ims_buf text;
  int own;
  ims_layer_record_init(record, alloc);
  int32_t rc = open_own(dir, name, &own, err);
  if (rc)
    return rc;
  ims_buf_init(&text, alloc, RECORD_MAX);
  rc = ims_dir_file_read(dir->core, own, RECORD_FILE, &text);
  if (!rc)
    rc = ims_json_parse(&json, alloc, ims_buf_text(&text), text.size, RECORD_FILE, NULL);
  if (!rc && !take_record(record, ims_json_root(json)))
    rc = record->attributes.failed == IMGSTORE_ENOMEM ? IMGSTORE_ENOMEM : IMGSTORE_ECORRUPT;
  dir->core->sys->close(own);
  ims_json_free(json);
  ims_buf_free(&text);
  if (rc == IMGSTORE_ENOTFOUND || rc == IMGSTORE_EFORMAT || rc == IMGSTORE_ELIMIT)
    rc = IMGSTORE_ECORRUPT;
  return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(err)
         : rc                  ? ims_fail(err, rc, "layer directory %s: cannot read its record", name)
                               : IMGSTORE_OK;
}

static void put_paths(ims_buf *out, const ims_layer_record *r) {
  if (r->any_attributes) {
    ims_buf_puts(out, "null");
    return;
  }
  ims_buf_putc(out, '[');
  for (size_t at = 0; at < r->attributes.size;) {
    const char *path = r->attributes.data + at;
    ims_buf_puts(out, at ? ",\"" : "\"");
    for (const char *c = path; *c; c++)
      ims_buf_printf(out, "%02x", (unsigned)(unsigned char)*c);
    ims_buf_putc(out, '"');
    at += strlen(path) + 1;
  }
  ims_buf_putc(out, ']');
}

static int32_t put_record(ims_buf *out, const ims_layer_record *r, const char *form_text) {
  ims_buf_printf(out, "{\"version\":%d,\"diffID\":\"%s\",\"chainID\":\"%s\"", VERSION, r->diff_id.text,
                 r->chain_id.text);
  if (r->parent.algorithm)
    ims_buf_printf(out, ",\"parent\":\"%s\"", r->parent.text);
  ims_buf_puts(out, ",\"form\":");
  ims_json_put_string(out, form_text, strlen(form_text));
  ims_buf_printf(out, ",\"bytes\":%llu,\"inodes\":%llu,\"opaque\":%s,\"defaultACLs\":%s,\"attributedDirectories\":",
                 (unsigned long long)r->bytes, (unsigned long long)r->inodes, r->opaque ? "true" : "false",
                 r->default_acls ? "true" : "false");
  put_paths(out, r);
  return ims_buf_puts(out, "}\n");
}

/* --- changes: a JSON array [path, detail] on each line -------------------------------------------------------------
 */

static int32_t put_changes(ims_buf *out, const imgstore_report *report) {
  size_t count = imgstore_report_count(report);
  for (size_t i = 0; i < count; i++) {
    const char *name = imgstore_report_name(report, i), *detail = imgstore_report_detail(report, i);
    if (imgstore_report_kind(report, i) != IMGSTORE_REPORT_SKIPPED)
      continue;
    ims_buf_putc(out, '[');
    ims_json_put_string(out, name, strlen(name));
    ims_buf_putc(out, ',');
    ims_json_put_string(out, detail, strlen(detail));
    ims_buf_puts(out, "]\n");
  }
  return out->failed;
}

int32_t ims_layer_record_write(const ims_layer_record *record, ims_rootfs_dir *dir, int stage_fd, const char *form_text,
                               const imgstore_report *report, ims_error *err) {
  ims_buf text;
  ims_buf_init(&text, &dir->core->alloc, CHANGES_MAX);
  int32_t rc = put_changes(&text, report);
  if (!rc && text.size)
    rc = ims_dir_file_write(dir->core, stage_fd, CHANGES_FILE, text.data, text.size, false);
  ims_buf_clear(&text);
  if (!rc)
    rc = put_record(&text, record, form_text);
  if (!rc)
    rc = ims_dir_file_write(dir->core, stage_fd, RECORD_FILE, text.data, text.size, false);
  ims_buf_free(&text);
  return rc ? ims_fail(err, rc, "layer %s: cannot write its record", record->diff_id.text) : IMGSTORE_OK;
}

static int32_t take_line(const ims_alloc *alloc, const char *line, size_t size, imgstore_report *report) {
  ims_json *json;
  int32_t rc = ims_json_parse(&json, alloc, line, size, CHANGES_FILE, NULL);
  if (rc)
    return rc == IMGSTORE_ENOMEM ? rc : IMGSTORE_ECORRUPT;
  const ims_json_value *path = ims_json_first(ims_json_root(json)), *detail = path ? ims_json_next(path) : NULL;
  if (ims_json_string(path) && ims_json_string(detail))
    rc = ims_report_add(report, IMGSTORE_REPORT_SKIPPED, ims_json_string(path), NULL, ims_json_string(detail), 0, 0);
  else
    rc = IMGSTORE_ECORRUPT;
  ims_json_free(json);
  return rc == IMGSTORE_ELIMIT ? IMGSTORE_OK : rc; /* as full as a report gets */
}

/* Most layers have none, which one call tells where the kernel can. */
static bool has_no_changes(ims_rootfs_dir *dir, const char *name) {
  enum { PATH_SIZE = IMS_LAYER_NAME + sizeof "/" CHANGES_FILE };
  char path[PATH_SIZE];
  if (snprintf(path, sizeof path, "%s/" CHANGES_FILE, name) >= PATH_SIZE)
    return false;
  int fd = ims_dir_file_open_below(dir->core, dir->folder[IMS_ROOTFS_LAYERS], path, O_PATH);
  if (fd < 0)
    return errno == ENOENT;
  dir->core->sys->close(fd);
  return false;
}

int32_t ims_layer_changes_read(ims_rootfs_dir *dir, const char *name, imgstore_report *report, ims_error *err) {
  ims_buf text;
  int own;
  if (has_no_changes(dir, name))
    return IMGSTORE_OK;
  int32_t rc = open_own(dir, name, &own, err);
  if (rc)
    return rc;
  ims_buf_init(&text, &dir->core->alloc, CHANGES_MAX);
  rc = ims_dir_file_read(dir->core, own, CHANGES_FILE, &text);
  dir->core->sys->close(own);
  if (rc == IMGSTORE_ENOTFOUND)
    rc = IMGSTORE_OK;
  for (size_t at = 0, size; !rc && at < text.size; at += size + 1) {
    const char *line = text.data + at;
    size = strcspn(line, "\n");
    rc = take_line(&dir->core->alloc, line, size, report);
  }
  ims_buf_free(&text);
  return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(err)
         : rc                  ? ims_fail(err, rc, "layer directory %s: cannot read what was changed in it", name)
                               : IMGSTORE_OK;
}

/* --- the list ------------------------------------------------------------------------------------------------------
 */

typedef struct listing {
  ims_layer_dir_visit visit;
  void *data;
} listing;

static int32_t visit_entry(void *data, const char *name, unsigned char type) {
  const listing *l = data;
  ims_digest chain_id;
  return l->visit(l->data, name, type != DT_DIR || !ims_layer_dir_chain_id(name, &chain_id));
}

int32_t ims_layer_dir_list(ims_rootfs_dir *dir, ims_layer_dir_visit visit, void *data, ims_error *err) {
  listing l = {visit, data};
  if (dir->folder[IMS_ROOTFS_LAYERS] < 0)
    return IMGSTORE_OK;
  int32_t rc = ims_folder_scan(dir->core, dir->folder[IMS_ROOTFS_LAYERS], visit_entry, &l);
  return rc && err && !err->code ? ims_fail(err, rc, "rootfs directory %s: cannot read its layers", dir->path) : rc;
}
