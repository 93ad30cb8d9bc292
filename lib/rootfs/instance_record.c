/*
 * rootfs/instance_record.c (L3) - writing and reading the record of an instance. A record that says anything that
 * this library would not have written is refused as a whole.
 */
#include "rootfs/instance_record.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "json/json.h"

enum { MAX_LAYERS = 1 << 16, MAX_MAPS = 4096, LAYER_NAME_MAX = 255 };

#define RECORD_VERSION 1

int32_t ims_instance_check_name(const char *name, ims_error *err) {
  size_t size = strnlen(name, IMS_INSTANCE_NAME_MAX + 1);
  bool right = size > 0 && size <= IMS_INSTANCE_NAME_MAX && ims_is_alnum(name[0]);
  for (size_t i = 1; right && i < size; i++)
    right = ims_is_alnum(name[i]) || name[i] == '_' || name[i] == '.' || name[i] == '-';
  if (right)
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_EINVALID,
                  "\"%.200s\" is not the name of a rootfs: 1 to %d of a-z A-Z 0-9 _ . -, a letter or digit first", name,
                  IMS_INSTANCE_NAME_MAX);
}

void ims_instance_record_init(ims_instance_record *record, const ims_alloc *alloc) {
  memset(record, 0, sizeof *record);
  record->alloc = alloc;
}

void ims_instance_record_free(ims_instance_record *record) {
  const ims_alloc *alloc = record->alloc;
  for (size_t i = 0; i < record->layer_count; i++)
    ims_free(alloc, record->layers[i]);
  ims_free(alloc, record->layers);
  ims_free(alloc, record->image);
  ims_free(alloc, record->uid_map);
  ims_free(alloc, record->gid_map);
  ims_instance_record_init(record, alloc);
}

void ims_instance_record_set_created(ims_instance_record *record, int64_t ns) {
  time_t seconds = (time_t)(ns / 1000000000);
  struct tm tm;
  memset(&tm, 0, sizeof tm);
  gmtime_r(&seconds, &tm);
  strftime(record->created, sizeof record->created, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void put_text(ims_buf *out, const char *key, const char *value) {
  ims_buf_printf(out, ",\"%s\":", key);
  ims_json_put_string(out, value, strlen(value));
}

static void put_flag(ims_buf *out, const char *key, bool value) {
  ims_buf_printf(out, ",\"%s\":%s", key, value ? "true" : "false");
}

static void put_map(ims_buf *out, const char *key, const imgstore_id_map *map, size_t count) {
  if (!count)
    return;
  ims_buf_printf(out, ",\"%s\":[", key);
  for (size_t i = 0; i < count; i++)
    ims_buf_printf(out, "%s[%" PRIu32 ",%" PRIu32 ",%" PRIu32 "]", i ? "," : "", map[i].inside, map[i].outside,
                   map[i].count);
  ims_buf_putc(out, ']');
}

int32_t ims_instance_record_write(const ims_instance_record *record, ims_buf *out, ims_error *err) {
  ims_buf_printf(out, "{\"version\":%d", RECORD_VERSION);
  put_text(out, "created", record->created);
  put_text(out, "image", record->image ? record->image : "");
  put_text(out, "manifest", record->manifest.text);
  put_text(out, "config", record->config.text);
  put_flag(out, "readOnly", record->read_only);
  put_flag(out, "userXattrs", record->user_xattrs);
  put_flag(out, "idMapped", record->id_mapped);
  put_map(out, "uidMap", record->uid_map, record->uid_map_count);
  put_map(out, "gidMap", record->gid_map, record->gid_map_count);
  ims_buf_puts(out, ",\"layers\":[");
  for (size_t i = 0; i < record->layer_count; i++) {
    ims_buf_puts(out, i ? "," : "");
    ims_json_put_string(out, record->layers[i], strlen(record->layers[i]));
  }
  ims_buf_puts(out, "]}\n");
  return out->failed == IMGSTORE_ELIMIT ? ims_fail(err, IMGSTORE_ELIMIT, "the record of a rootfs is too long")
         : out->failed                  ? ims_fail_nomem(err)
                                        : IMGSTORE_OK;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static int32_t corrupt(const char *name, const char *what, ims_error *err) {
  return ims_fail(err, IMGSTORE_ECORRUPT, "rootfs %s: its record is damaged: %s", name, what);
}

static bool read_digest(const ims_json_value *value, ims_digest *digest) {
  const char *text = ims_json_string(value);
  return text && ims_digest_parse(digest, text, strlen(text), NULL) == IMGSTORE_OK;
}

/* One component that leads nowhere but into the folder of layers. */
static bool is_layer_name(const char *name) {
  size_t size = name ? strlen(name) : 0;
  return size && size <= LAYER_NAME_MAX && name[0] != '.' && !strchr(name, '/');
}

static int32_t read_layers(ims_instance_record *record, const ims_json_value *array, const char *name, ims_error *err) {
  size_t count = ims_json_count(array);
  if (ims_json_type(array) != IMS_JSON_ARRAY || !count || count > MAX_LAYERS)
    return corrupt(name, "layers", err);
  record->layers = ims_calloc(record->alloc, count, sizeof *record->layers);
  if (!record->layers)
    return ims_fail_nomem(err);
  for (const ims_json_value *v = ims_json_first(array); v; v = ims_json_next(v)) {
    const char *text = ims_json_string(v);
    if (!is_layer_name(text))
      return corrupt(name, "layers", err);
    char *copy = ims_strdup(record->alloc, text);
    if (!copy)
      return ims_fail_nomem(err);
    record->layers[record->layer_count++] = copy;
  }
  return IMGSTORE_OK;
}

static bool read_u32(const ims_json_value **v, uint32_t *number) {
  uint64_t wide = 0;
  if (!ims_json_uint(*v, &wide) || wide > UINT32_MAX)
    return false;
  *number = (uint32_t)wide;
  *v = ims_json_next(*v);
  return true;
}

static int32_t read_map(const ims_instance_record *record, const ims_json_value *array, imgstore_id_map **map,
                        size_t *count, const char *name, ims_error *err) {
  size_t lines = ims_json_count(array);
  if (!array)
    return IMGSTORE_OK;
  if (ims_json_type(array) != IMS_JSON_ARRAY || !lines || lines > MAX_MAPS)
    return corrupt(name, "id map", err);
  *map = ims_calloc(record->alloc, lines, sizeof **map);
  if (!*map)
    return ims_fail_nomem(err);
  for (const ims_json_value *v = ims_json_first(array); v; v = ims_json_next(v)) {
    imgstore_id_map *line = &(*map)[(*count)++];
    const ims_json_value *n = ims_json_first(v);
    if (ims_json_type(v) != IMS_JSON_ARRAY || !read_u32(&n, &line->inside) || !read_u32(&n, &line->outside) ||
        !read_u32(&n, &line->count) || n)
      return corrupt(name, "id map", err);
  }
  return IMGSTORE_OK;
}

static int32_t read_members(ims_instance_record *record, const ims_json_value *root, const char *name, ims_error *err) {
  uint64_t version = 0;
  if (!ims_json_uint(ims_json_get(root, "version"), &version))
    return corrupt(name, "no version", err);
  if (version != RECORD_VERSION)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "rootfs %s: its record has version %" PRIu64, name, version);
  const char *created = ims_json_string(ims_json_get(root, "created"));
  const char *image = ims_json_string(ims_json_get(root, "image"));
  if (!created || strlen(created) >= sizeof record->created || !image)
    return corrupt(name, "image or time", err);
  strcpy(record->created, created);
  record->image = ims_strdup(record->alloc, image);
  if (!record->image)
    return ims_fail_nomem(err);
  if (!read_digest(ims_json_get(root, "manifest"), &record->manifest) ||
      !read_digest(ims_json_get(root, "config"), &record->config))
    return corrupt(name, "digests", err);
  if (!ims_json_bool(ims_json_get(root, "readOnly"), &record->read_only) ||
      !ims_json_bool(ims_json_get(root, "userXattrs"), &record->user_xattrs) ||
      !ims_json_bool(ims_json_get(root, "idMapped"), &record->id_mapped))
    return corrupt(name, "flags", err);
  int32_t rc = read_map(record, ims_json_get(root, "uidMap"), &record->uid_map, &record->uid_map_count, name, err);
  if (!rc)
    rc = read_map(record, ims_json_get(root, "gidMap"), &record->gid_map, &record->gid_map_count, name, err);
  return rc ? rc : read_layers(record, ims_json_get(root, "layers"), name, err);
}

int32_t ims_instance_record_read(ims_instance_record *record, const char *text, size_t size, const char *name,
                                 ims_error *err) {
  ims_json *json = NULL;
  ims_error why = IMS_ERROR_INIT;
  int32_t rc = ims_json_parse(&json, record->alloc, text, size, "record", &why);
  if (rc)
    return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : corrupt(name, why.message, err);
  rc = read_members(record, ims_json_root(json), name, err);
  ims_json_free(json);
  return rc;
}
