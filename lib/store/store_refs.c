/*
 * store/store_refs.c (L3) - references: targets to descriptors and back.
 *
 * Descriptors come from other tools too. Only the digest must be right: an entry with an odd media type or size still
 * keeps its content from being collected.
 */
#include <inttypes.h>
#include <string.h>

#include "store/holds.h"
#include "json/json.h"

#define INDEX_DIGEST "io.imgstore.index.digest"

enum { DESCRIPTOR_MAX = 4096 };

static void copy_media_type(ims_target *target, const char *media_type) {
  size_t length = media_type ? strlen(media_type) : 0;
  /* One that does not fit is none that this library knows; the content is looked at instead. */
  if (length && length < sizeof target->media_type)
    memcpy(target->media_type, media_type, length + 1);
}

static int32_t parse_digest(const ims_json_value *value, ims_digest *digest) {
  const char *text = ims_json_string(value);
  memset(digest, 0, sizeof *digest);
  return text ? ims_digest_parse(digest, text, strlen(text), NULL) : IMGSTORE_EFORMAT;
}

static int32_t parse_target(const ims_alloc *alloc, const char *name, const char *text, size_t size, ims_target *target,
                            ims_error *err) {
  ims_json *json = NULL;
  memset(target, 0, sizeof *target);
  int32_t rc = ims_json_parse(&json, alloc, text, size, name, err);
  if (rc)
    return rc;
  const ims_json_value *root = ims_json_root(json);
  rc = parse_digest(ims_json_get(root, "digest"), &target->digest);
  if (rc)
    rc = ims_fail(err, rc, "reference %s: its descriptor has no digest that this library knows", name);
  const ims_json_value *media_type = ims_json_get(root, "mediaType");
  if (!ims_json_uint(ims_json_get(root, "size"), &target->size)) {
    target->size = UINT64_MAX;
    target->malformed = true;
  }
  if (media_type && !ims_json_string(media_type))
    target->malformed = true;
  copy_media_type(target, ims_json_string(media_type));
  (void)parse_digest(ims_json_get(ims_json_get(root, "annotations"), INDEX_DIGEST), &target->index);
  ims_json_free(json);
  return rc;
}

static int32_t write_descriptor(ims_buf *out, const ims_target *target) {
  ims_buf_putc(out, '{');
  if (*target->media_type) {
    ims_buf_puts(out, "\"mediaType\":");
    ims_json_put_string(out, target->media_type, strlen(target->media_type));
    ims_buf_putc(out, ',');
  }
  ims_buf_printf(out, "\"digest\":\"%s\",\"size\":%" PRIu64, target->digest.text, target->size);
  if (target->index.algorithm)
    ims_buf_printf(out, ",\"annotations\":{\"" INDEX_DIGEST "\":\"%s\"}", target->index.text);
  return ims_buf_putc(out, '}');
}

typedef struct getting {
  imgstore_store *store;
  ims_target *target;
  ims_error *err;
  int32_t rc;
} getting;

static int32_t get_target(void *data, const char *name, const char *descriptor, size_t size) {
  getting *g = data;
  g->rc = parse_target(&g->store->core->alloc, name, descriptor, size, g->target, g->err);
  return g->rc;
}

int32_t ims_ref_get(imgstore_store *store, const char *name, ims_target *target, ims_error *err) {
  getting g = {store, target, err, IMGSTORE_OK};
  memset(target, 0, sizeof *target);
  int32_t rc = store->storage.reference_get(store->storage.user_data, name, get_target, &g);
  if (rc == IMGSTORE_ENOTFOUND || g.rc)
    return g.rc ? g.rc : rc;
  return ims_store_fail(rc, "cannot read reference", name, err);
}

static int32_t put_reference(imgstore_store *store, const char *name, const char *expected, const ims_target *target,
                             ims_error *err) {
  ims_buf text;
  ims_buf_init(&text, &store->core->alloc, DESCRIPTOR_MAX);
  int32_t rc = write_descriptor(&text, target);
  if (!rc)
    rc = store->storage.reference_set(store->storage.user_data, name, expected, ims_buf_text(&text), text.size);
  ims_buf_free(&text);
  return ims_store_fail(rc, "cannot set reference", name, err);
}

int32_t ims_ref_set(imgstore_store *store, const char *name, const char *expected, const ims_target *target,
                    ims_error *err) {
  if (!name || !*name || !target->digest.algorithm)
    return ims_fail(err, IMGSTORE_EINVALID, "reference: a name and a digest are needed");
  if (ims_ref_is_hold(name))
    return ims_fail(err, IMGSTORE_EINVALID, "reference %s: names that begin so are reserved", name);
  return put_reference(store, name, expected, target, err);
}

int32_t ims_hold_put(imgstore_store *store, const char *name, const ims_target *target, ims_error *err) {
  return put_reference(store, name, NULL, target, err);
}

int32_t ims_ref_remove(imgstore_store *store, const char *name, const char *expected, ims_error *err) {
  int32_t rc = store->storage.reference_set(store->storage.user_data, name, expected, NULL, 0);
  return ims_store_fail(rc, "cannot remove reference", name, err);
}

typedef struct listing {
  imgstore_store *store;
  ims_ref_visit visit;                                            /**< of those that are understood, or NULL */
  int32_t (*unclear)(void *data, const char *name, int32_t code); /**< of the others, or NULL */
  void *data;
  int32_t rc; /**< what the visitor or the parser returned, to tell it from the storage's own */
  ims_error *err;
} listing;

static int32_t list_target(void *data, const char *name, const char *descriptor, size_t size) {
  listing *list = data;
  ims_target target;
  int32_t rc = parse_target(&list->store->core->alloc, name, descriptor, size, &target, NULL);
  if (rc == IMGSTORE_ENOMEM)
    list->rc = rc;
  else if (!rc && list->visit)
    list->rc = list->visit(list->data, name, &target);
  else if (rc && list->unclear)
    list->rc = list->unclear(list->data, name, rc);
  return list->rc;
}

static int32_t list_all(listing *list) {
  imgstore_storage *storage = &list->store->storage;
  int32_t rc = storage->reference_list(storage->user_data, list_target, list);
  if (list->rc)
    return list->rc == IMGSTORE_ENOMEM ? ims_fail_nomem(list->err) : list->rc;
  return ims_store_fail(rc, "cannot list references", "", list->err);
}

int32_t ims_ref_list(imgstore_store *store, ims_ref_visit visit, void *data, ims_error *err) {
  listing list = {store, visit, NULL, data, IMGSTORE_OK, err};
  return list_all(&list);
}

int32_t ims_ref_list_unclear(imgstore_store *store, int32_t (*visit)(void *data, const char *name, int32_t code),
                             void *data, ims_error *err) {
  listing list = {store, NULL, visit, data, IMGSTORE_OK, err};
  return list_all(&list);
}
