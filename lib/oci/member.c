/*
 * oci/member.c (L1) - typed members of JSON objects.
 */
#include "oci/member.h"

#include <string.h>

#include "oci/arena.h"

static const ims_json_value *get(const ims_json_value *object, const char *key) {
  const ims_json_value *v = ims_json_get(object, key);
  return ims_json_type(v) == IMS_JSON_NULL ? NULL : v;
}

int32_t ims_member_text(const ims_json_value *object, const char *key, const char **text, ims_error *err) {
  const ims_json_value *v = get(object, key);
  *text = ims_json_string(v);
  return v && !*text ? ims_fail(err, IMGSTORE_EFORMAT, "%s is not a string", key) : IMGSTORE_OK;
}

int32_t ims_member_uint(const ims_json_value *object, const char *key, uint64_t *value, ims_error *err) {
  const ims_json_value *v = get(object, key);
  *value = 0;
  if (!v)
    return ims_fail(err, IMGSTORE_EFORMAT, "%s is missing", key);
  if (!ims_json_uint(v, value))
    return ims_fail(err, IMGSTORE_EFORMAT, "%s is not an integer from 0 to 2^53", key);
  return IMGSTORE_OK;
}

int32_t ims_member_digest(const ims_json_value *object, const char *key, ims_digest *digest, ims_error *err) {
  const char *text;
  memset(digest, 0, sizeof *digest);
  int32_t rc = ims_member_text(object, key, &text, err);
  if (rc != IMGSTORE_OK)
    return rc;
  if (!text)
    return ims_fail(err, IMGSTORE_EFORMAT, "%s is missing", key);
  return ims_digest_parse(digest, text, strlen(text), err);
}

int32_t ims_member_of_type(const ims_json_value *object, const char *key, int32_t type, const ims_json_value **value,
                           ims_error *err) {
  *value = get(object, key);
  if (!*value || ims_json_type(*value) == type)
    return IMGSTORE_OK;
  *value = NULL;
  return ims_fail(err, IMGSTORE_EFORMAT, "%s is not an %s", key, type == IMS_JSON_ARRAY ? "array" : "object");
}

static int32_t read_texts(const ims_json_value *container, const char *key, ims_memory memory, const ims_pair **pairs,
                          size_t *count, ims_error *err) {
  size_t n = ims_json_count(container);
  ims_pair *made = n ? ims_arena_take(memory.arena, memory.alloc, n, sizeof *made) : NULL;
  if (n && !made)
    return ims_fail_nomem(err);
  bool keyed = ims_json_type(container) == IMS_JSON_OBJECT;
  const ims_json_value *v = ims_json_first(container);
  for (size_t i = 0; i < n; i++, v = ims_json_next(v)) {
    made[i].key = keyed ? ims_json_key(v) : "";
    made[i].value = ims_json_string(v);
    if (made[i].value)
      continue;
    if (keyed)
      return ims_fail(err, IMGSTORE_EFORMAT, "%s: the value of \"%.100s\" is not a string", key, made[i].key);
    return ims_fail(err, IMGSTORE_EFORMAT, "%s: item %zu is not a string", key, i);
  }
  *pairs = made;
  *count = n;
  return IMGSTORE_OK;
}

int32_t ims_member_strings(const ims_json_value *object, const char *key, ims_memory memory, const ims_pair **pairs,
                           size_t *count, ims_error *err) {
  const ims_json_value *array;
  *pairs = NULL;
  *count = 0;
  int32_t rc = ims_member_of_type(object, key, IMS_JSON_ARRAY, &array, err);
  return rc == IMGSTORE_OK ? read_texts(array, key, memory, pairs, count, err) : rc;
}

int32_t ims_member_map(const ims_json_value *object, const char *key, ims_memory memory, const ims_pair **pairs,
                       size_t *count, ims_error *err) {
  const ims_json_value *map;
  *pairs = NULL;
  *count = 0;
  int32_t rc = ims_member_of_type(object, key, IMS_JSON_OBJECT, &map, err);
  return rc == IMGSTORE_OK ? read_texts(map, key, memory, pairs, count, err) : rc;
}
