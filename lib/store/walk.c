/*
 * store/walk.c (L3) - walking what references reach; lists of references and of blobs.
 *
 * Documents are hostile: a digest is walked once, the work waits in a queue, and memory is bounded by the number of
 * distinct digests.
 */
#include "store/walk.h"

#include <stdlib.h>
#include <string.h>

#include "oci/mediatype.h"

void ims_walk_init(ims_walk *walk, imgstore_store *store, bool strict) {
  memset(walk, 0, sizeof *walk);
  walk->store = store;
  walk->strict = strict;
  ims_digest_set_init(&walk->seen, &store->core->alloc);
}

void ims_walk_free(ims_walk *walk) {
  ims_free(&walk->store->core->alloc, walk->queue);
  ims_digest_set_free(&walk->seen);
}

static bool enqueue(ims_walk *walk, const ims_digest_item *item) {
  if (walk->queued == walk->queue_capacity) {
    size_t capacity = walk->queue_capacity ? walk->queue_capacity * 2 : 16;
    uint32_t *queue = ims_realloc_array(&walk->store->core->alloc, walk->queue, capacity, sizeof *queue);
    if (!queue)
      return false;
    walk->queue = queue;
    walk->queue_capacity = capacity;
  }
  walk->queue[walk->queued++] = (uint32_t)(item - walk->seen.items);
  return true;
}

static int32_t add(ims_walk *walk, const ims_digest *digest, uint64_t size, uint32_t flags, ims_error *err) {
  ims_digest_item *item = ims_digest_set_add(&walk->seen, digest);
  if (!item)
    return ims_fail_nomem(err);
  uint32_t fresh = flags & ~item->flags;
  item->flags |= flags;
  if (item->size == UINT64_MAX)
    item->size = size;
  if ((fresh & (IMS_WALK_MANIFEST | IMS_WALK_CERTAIN)) && !enqueue(walk, item))
    return ims_fail_nomem(err);
  return IMGSTORE_OK;
}

int32_t ims_walk_leased(ims_walk *walk, const ims_digest *digest, ims_error *err) {
  return add(walk, digest, UINT64_MAX, IMS_WALK_LEASED, err);
}

/** A media type that says nothing is looked behind: the image would be found and used, so what it needs is reached. */
static uint32_t manifest_flag(const char *media_type) {
  int kind = ims_media_kind(media_type);
  if (!media_type || !*media_type || kind == IMS_MEDIA_MANIFEST || kind == IMS_MEDIA_INDEX)
    return IMS_WALK_MANIFEST | IMS_WALK_CERTAIN;
  return kind == IMS_MEDIA_OTHER ? (uint32_t)IMS_WALK_MANIFEST : 0;
}

/** What the content tells of a blob whose media type does not: it is no manifest. */
static bool is_no_manifest(uint32_t flags, int32_t rc) {
  return !(flags & IMS_WALK_CERTAIN) &&
         (rc == IMGSTORE_EFORMAT || rc == IMGSTORE_EUNSUPPORTED || rc == IMGSTORE_ELIMIT);
}

static int32_t add_layers(ims_walk *walk, const imgstore_manifest *m, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  if (m->config)
    rc = add(walk, &m->config->digest, m->config->size, IMS_WALK_REQUIRED, err);
  for (size_t i = 0; i < m->count && !rc; i++) {
    bool foreign = ims_media_kind(m->entries[i].media_type) == IMS_MEDIA_LAYER_FOREIGN;
    rc = add(walk, &m->entries[i].digest, m->entries[i].size, foreign ? 0 : IMS_WALK_REQUIRED, err);
  }
  return rc;
}

static int32_t add_children(ims_walk *walk, const imgstore_manifest *m, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  if (m->kind != IMGSTORE_MANIFEST_INDEX)
    rc = add_layers(walk, m, err);
  for (size_t i = 0; m->kind == IMGSTORE_MANIFEST_INDEX && i < m->count && !rc; i++)
    rc = add(walk, &m->entries[i].digest, m->entries[i].size, manifest_flag(m->entries[i].media_type), err);
  if (!rc && m->subject)
    rc = add(walk, &m->subject->digest, m->subject->size, manifest_flag(m->subject->media_type), err);
  return rc;
}

static int32_t parse_blob(ims_walk *walk, const ims_digest *digest, const ims_buf *data, imgstore_manifest **m,
                          ims_error *err) {
  const ims_core *core = walk->store->core;
  ims_manifest_limits limits = {core->limits.max_manifest_bytes, UINT64_MAX};
  return ims_manifest_parse(m, &core->alloc, ims_buf_text(data), data->size, NULL, digest, &limits, digest->text, err);
}

/** Walks one manifest. What it needs cannot be known when it is damaged: then *flag says so. flags: of its item. */
static int32_t walk_manifest(ims_walk *walk, const ims_digest *digest, uint32_t flags, uint32_t *flag, ims_error *err) {
  imgstore_manifest *m = NULL;
  ims_buf data;
  ims_error why = IMS_ERROR_INIT;
  ims_buf_init(&data, &walk->store->core->alloc, SIZE_MAX - 1);
  int32_t rc = ims_blob_load(walk->store, digest, walk->store->core->limits.max_manifest_bytes, &data, &why);
  if (!rc)
    rc = parse_blob(walk, digest, &data, &m, &why);
  if (is_no_manifest(flags, rc))
    rc = IMGSTORE_OK;
  else if (!rc)
    rc = add_children(walk, m, &why);
  imgstore_manifest_unref(m);
  ims_buf_free(&data);
  *flag = rc == IMGSTORE_ENOTFOUND ? (uint32_t)IMS_WALK_ABSENT : rc ? (uint32_t)IMS_WALK_DAMAGED : 0;
  bool fatal = rc && rc != IMGSTORE_ENOTFOUND && (walk->strict || rc == IMGSTORE_ENOMEM || rc == IMGSTORE_ECALLBACK);
  if (fatal && err && !err->code)
    *err = why;
  return fatal ? rc : IMGSTORE_OK;
}

static int32_t run(ims_walk *walk, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  while (walk->queued && !rc) {
    size_t at = walk->queue[--walk->queued];
    ims_digest digest;
    uint32_t flag = 0;
    ims_digest_item_digest(&walk->seen.items[at], &digest);
    rc = walk_manifest(walk, &digest, walk->seen.items[at].flags, &flag, err);
    walk->seen.items[at].flags |= flag;
  }
  return rc;
}

int32_t ims_walk_again(ims_walk *walk, ims_error *err) {
  for (size_t i = 0; i < walk->seen.count; i++) {
    ims_digest_item *item = &walk->seen.items[i];
    if (!(item->flags & (IMS_WALK_ABSENT | IMS_WALK_DAMAGED)))
      continue;
    item->flags &= ~(uint32_t)(IMS_WALK_ABSENT | IMS_WALK_DAMAGED);
    if (!enqueue(walk, item))
      return ims_fail_nomem(err);
  }
  return run(walk, err);
}

int32_t ims_walk_target(ims_walk *walk, const ims_target *target, ims_error *err) {
  uint32_t flags = manifest_flag(target->media_type) | (uint32_t)IMS_WALK_REQUIRED;
  int32_t rc = add(walk, &target->digest, target->size, flags, err);
  if (!rc && target->index.algorithm)
    rc = add(walk, &target->index, UINT64_MAX, IMS_WALK_REQUIRED, err);
  return rc ? rc : run(walk, err);
}

/* --- references ------------------------------------------------------------------------------------------------- */

static int32_t collect_ref(void *data, const char *name, const ims_target *target) {
  ims_refs *refs = data;
  if (refs->count == refs->capacity) {
    size_t capacity = refs->capacity ? refs->capacity * 2 : 16;
    ims_ref *items = ims_realloc_array(refs->alloc, refs->items, capacity, sizeof *items);
    if (!items)
      return IMGSTORE_ENOMEM;
    refs->items = items;
    refs->capacity = capacity;
  }
  ims_ref *ref = &refs->items[refs->count];
  ref->name = ims_strdup(refs->alloc, name);
  ref->target = *target;
  if (!ref->name)
    return IMGSTORE_ENOMEM;
  refs->count++;
  return IMGSTORE_OK;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const ims_ref *)a)->name, ((const ims_ref *)b)->name);
}

int32_t ims_refs_load(ims_refs *refs, imgstore_store *store, ims_error *err) {
  memset(refs, 0, sizeof *refs);
  refs->alloc = &store->core->alloc;
  int32_t rc = ims_ref_list(store, collect_ref, refs, err);
  if (!rc && refs->count)
    qsort(refs->items, refs->count, sizeof *refs->items, by_name);
  return rc;
}

bool ims_refs_have(const ims_refs *refs, const char *name) {
  for (size_t i = 0; i < refs->count; i++)
    if (strcmp(refs->items[i].name, name) == 0)
      return true;
  return false;
}

void ims_refs_free(ims_refs *refs) {
  for (size_t i = 0; i < refs->count; i++)
    ims_free(refs->alloc, refs->items[i].name);
  if (refs->alloc)
    ims_free(refs->alloc, refs->items);
  memset(refs, 0, sizeof *refs);
}

const ims_digest *ims_target_named(const ims_target *target) {
  return target->index.algorithm ? &target->index : &target->digest;
}

/* --- blobs -------------------------------------------------------------------------------------------------------- */

typedef struct inventory {
  ims_digest_set *set;
  ims_foreign_visit foreign;
  void *data;
} inventory;

static int32_t note_blob(void *data, const char *text, uint64_t size) {
  inventory *inv = data;
  ims_digest digest;
  if (ims_digest_parse(&digest, text, strlen(text), NULL))
    return inv->foreign ? inv->foreign(inv->data, text) : IMGSTORE_OK;
  ims_digest_item *item = ims_digest_set_add(inv->set, &digest);
  if (!item)
    return IMGSTORE_ENOMEM;
  item->size = size;
  return IMGSTORE_OK;
}

int32_t ims_inventory_load(ims_digest_set *set, imgstore_store *store, ims_foreign_visit foreign, void *data,
                           ims_error *err) {
  inventory inv = {set, foreign, data};
  int32_t rc = store->storage.blob_list(store->storage.user_data, note_blob, &inv);
  return rc ? ims_store_fail(rc, "cannot list blobs", "", err) : IMGSTORE_OK;
}

/* --- the lock -------------------------------------------------------------------------------------------------------
 */

int32_t ims_store_lock(imgstore_store *store, int32_t exclusive, void **lock, ims_error *err) {
  *lock = NULL;
  int32_t rc = store->storage.lock(store->storage.user_data, exclusive, lock);
  return rc ? ims_store_fail(rc, "cannot lock the store", "", err) : IMGSTORE_OK;
}

void ims_store_unlock(imgstore_store *store, void *lock) {
  store->storage.unlock(store->storage.user_data, lock);
}
