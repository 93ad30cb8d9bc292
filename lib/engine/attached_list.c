/*
 * engine/attached_list.c (L4) - the list of attached objects: what the layers of attached manifests are.
 */
#include <string.h>

#include "engine/attached.h"
#include "engine/registry_handle.h"
#include "oci/attached_kind.h"
#include "oci/mediatype.h"

int32_t ims_attached_new(imgstore_attached **list, ims_core *core, imgstore_registry *registry, const char *repository,
                         imgstore_store *store, const ims_digest *target, ims_error *err) {
  imgstore_attached *made = ims_calloc(&core->alloc, 1, sizeof *made);
  *list = NULL;
  if (!made)
    return ims_fail_nomem(err);
  atomic_init(&made->refs, 1);
  made->core = ims_core_ref(core);
  made->target = *target;
  made->repository = ims_strdup(&core->alloc, repository ? repository : "");
  if (registry)
    made->registry = ims_registry_ref(registry);
  if (store)
    made->store = ims_store_ref(store);
  if (!made->repository) {
    imgstore_attached_unref(made);
    return ims_fail_nomem(err);
  }
  *list = made;
  return IMGSTORE_OK;
}

imgstore_attached *imgstore_attached_ref(imgstore_attached *list) {
  if (list)
    atomic_fetch_add_explicit(&list->refs, 1, memory_order_relaxed);
  return list;
}

void imgstore_attached_unref(imgstore_attached *list) {
  if (!list || atomic_fetch_sub_explicit(&list->refs, 1, memory_order_acq_rel) != 1)
    return;
  ims_core *core = list->core;
  for (size_t i = 0; i < list->count; i++)
    imgstore_manifest_unref(list->items[i].manifest);
  ims_free(&core->alloc, list->items);
  ims_free(&core->alloc, list->repository);
  ims_registry_unref(list->registry);
  ims_store_unref(list->store);
  ims_free(&core->alloc, list);
  ims_core_unref(core);
}

static int32_t add_item(imgstore_attached *list, const ims_attached_item *item, ims_error *err) {
  if (list->count >= IMS_FOUND_MAX)
    return ims_fail(err, IMGSTORE_ELIMIT, "%s: more than %d attached objects", list->target.text, IMS_FOUND_MAX);
  if (list->count == list->capacity) {
    size_t capacity = list->capacity ? list->capacity * 2 : 8;
    ims_attached_item *items = ims_realloc_array(&list->core->alloc, list->items, capacity, sizeof *items);
    if (!items)
      return ims_fail_nomem(err);
    list->items = items;
    list->capacity = capacity;
  }
  list->items[list->count++] = *item;
  imgstore_manifest_ref(item->manifest);
  return IMGSTORE_OK;
}

static bool is_placeholder(const imgstore_descriptor *d) {
  return ims_media_equal(d->media_type, IMS_MT_OCI_EMPTY);
}

int32_t ims_attached_add(imgstore_attached *list, imgstore_manifest *m, const ims_digest *subject, int32_t found,
                         int32_t kind, ims_error *err) {
  ims_attached_item item = {m, NULL, *subject, 0, found, NULL};
  size_t layers = m->kind == IMGSTORE_MANIFEST_INDEX ? 0 : m->count;
  bool has_content = false;
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; i < layers && !rc; i++) {
    if (is_placeholder(&m->entries[i]))
      continue;
    has_content = true;
    item.content = &m->entries[i];
    item.predicate_type = ims_predicate_type(m, item.content);
    item.kind = ims_attached_kind(item.predicate_type, item.content->media_type, m->artifact_type);
    if (!kind || kind == item.kind)
      rc = add_item(list, &item, err);
  }
  if (rc || has_content)
    return rc;
  item.content = NULL;
  item.predicate_type = ims_predicate_type(m, NULL);
  item.kind = ims_attached_kind(item.predicate_type, NULL, m->artifact_type);
  return kind && kind != item.kind ? IMGSTORE_OK : add_item(list, &item, err);
}

/* --- what callers see -----------------------------------------------------------------------------------------------
 */

static const ims_attached_item *item_of(const imgstore_attached *list, size_t i) {
  return list && i < list->count ? &list->items[i] : NULL;
}

const char *imgstore_attached_target(const imgstore_attached *list) {
  return list ? list->target.text : "";
}

size_t imgstore_attached_count(const imgstore_attached *list) {
  return list ? list->count : 0;
}

int32_t imgstore_attached_kind(const imgstore_attached *list, size_t i) {
  const ims_attached_item *item = item_of(list, i);
  return item ? item->kind : 0;
}

int32_t imgstore_attached_found(const imgstore_attached *list, size_t i) {
  const ims_attached_item *item = item_of(list, i);
  return item ? item->found : 0;
}

uint64_t imgstore_attached_size(const imgstore_attached *list, size_t i) {
  const ims_attached_item *item = item_of(list, i);
  return !item ? 0 : item->content ? item->content->size : item->manifest->size;
}

static const char *text_of(const ims_attached_item *item, int32_t field) {
  const imgstore_manifest *m = item->manifest;
  switch (field) {
  case IMGSTORE_ATTACHED_DIGEST:
    return item->content ? item->content->digest.text : m->digest.text;
  case IMGSTORE_ATTACHED_MEDIA_TYPE:
    return item->content ? item->content->media_type : m->media_type;
  case IMGSTORE_ATTACHED_ARTIFACT_TYPE:
    return m->artifact_type;
  case IMGSTORE_ATTACHED_PREDICATE_TYPE:
    return item->predicate_type;
  case IMGSTORE_ATTACHED_MANIFEST:
    return m->digest.text;
  case IMGSTORE_ATTACHED_SUBJECT:
    return item->subject.text;
  case IMGSTORE_ATTACHED_TITLE:
    return ims_descriptor_annotation(item->content, "org.opencontainers.image.title");
  default:
    return NULL;
  }
}

const char *imgstore_attached_text(const imgstore_attached *list, size_t i, int32_t field) {
  const ims_attached_item *item = item_of(list, i);
  const char *text = item ? text_of(item, field) : NULL;
  return text ? text : "";
}

size_t imgstore_attached_annotation_count(const imgstore_attached *list, size_t i) {
  const ims_attached_item *item = item_of(list, i);
  return item ? item->manifest->annotation_count + (item->content ? item->content->annotation_count : 0) : 0;
}

int32_t imgstore_attached_annotation(const imgstore_attached *list, size_t i, size_t n, const char **key,
                                     const char **value) {
  const ims_attached_item *item = item_of(list, i);
  size_t own = item && item->content ? item->content->annotation_count : 0;
  const ims_pair *pair = !item                                        ? NULL
                         : n < own                                    ? &item->content->annotations[n]
                         : n - own < item->manifest->annotation_count ? &item->manifest->annotations[n - own]
                                                                      : NULL;
  if (key)
    *key = pair ? pair->key : NULL;
  if (value)
    *value = pair ? pair->value : NULL;
  return pair ? IMGSTORE_OK : IMGSTORE_EINVALID;
}
