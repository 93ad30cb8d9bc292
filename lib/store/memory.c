/*
 * store/memory.c (L3) - the storage that keeps everything in memory: for tests, and for programs that only look into
 * an image.
 *
 * One mutex guards all of it, so that worker threads may bring in blobs.
 */
#include <string.h>

#include "store/memory.h"

struct ims_memory_piece {
  ims_memory_piece *next;
  char digest[IMS_DIGEST_TEXT];
  uint8_t *data;
  size_t size, capacity;
  unsigned users; /**< open handles; a deleted blob lives as long as it has some */
  bool listed;
  bool verified;
  bool held;       /**< an ingest that is open */
  bool unnamed;    /**< an ingest that was made without a digest: in no list, never resumed */
  uint64_t expect; /**< the size an ingest will have */
};

/* --- pieces ------------------------------------------------------------------------------------------------------- */

static ims_memory_piece *find(ims_memory_piece *list, const char *digest) {
  while (list && strcmp(list->digest, digest) != 0)
    list = list->next;
  return list;
}

static void unlist(ims_memory_piece **list, ims_memory_piece *p) {
  while (*list && *list != p)
    list = &(*list)->next;
  if (*list)
    *list = p->next;
  p->next = NULL;
}

static void free_piece(ims_memory *m, ims_memory_piece *p) {
  m->used -= p->capacity;
  ims_free(&m->core->alloc, p->data);
  ims_free(&m->core->alloc, p);
}

static int32_t new_piece(ims_memory *m, const char *digest, ims_memory_piece **out) {
  ims_digest checked;
  int32_t rc = ims_digest_parse(&checked, digest, strlen(digest), NULL);
  ims_memory_piece *p = rc ? NULL : ims_calloc(&m->core->alloc, 1, sizeof *p);
  if (!rc && !p)
    rc = IMGSTORE_ENOMEM;
  if (p)
    memcpy(p->digest, checked.text, sizeof p->digest);
  *out = p;
  return rc;
}

static int32_t set_capacity(ims_memory *m, ims_memory_piece *p, size_t capacity) {
  uint64_t others = m->used - p->capacity;
  if (m->max_bytes && (others > m->max_bytes || capacity > m->max_bytes - others))
    return IMGSTORE_ENOSPACE;
  uint8_t *data = ims_realloc_array(&m->core->alloc, p->data, capacity ? capacity : 1, 1);
  if (!data)
    return IMGSTORE_ENOMEM;
  p->data = data;
  p->capacity = capacity;
  m->used = others + capacity;
  return IMGSTORE_OK;
}

static int32_t grow(ims_memory *m, ims_memory_piece *p, size_t need) {
  if (need <= p->capacity)
    return IMGSTORE_OK;
  size_t capacity = p->capacity > SIZE_MAX / 2 ? need : p->capacity * 2;
  if (capacity > p->expect)
    capacity = (size_t)p->expect;
  if (capacity > need && set_capacity(m, p, capacity) == IMGSTORE_OK)
    return IMGSTORE_OK;
  return set_capacity(m, p, need);
}

static int32_t read_piece(ims_memory *m, const ims_memory_piece *p, uint64_t offset, void *buffer, size_t size,
                          size_t *got) {
  pthread_mutex_lock(&m->mutex);
  size_t left = offset < p->size ? p->size - (size_t)offset : 0;
  *got = size < left ? size : left;
  if (*got)
    memcpy(buffer, p->data + offset, *got);
  pthread_mutex_unlock(&m->mutex);
  return IMGSTORE_OK;
}

/* --- blobs -------------------------------------------------------------------------------------------------------- */

static int32_t blob_open(void *user_data, const char *digest, void **blob, uint64_t *size) {
  ims_memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  ims_memory_piece *p = find(m->blobs, digest);
  if (p)
    p->users++;
  *blob = p;
  *size = p ? p->size : 0;
  pthread_mutex_unlock(&m->mutex);
  return p ? IMGSTORE_OK : IMGSTORE_ENOTFOUND;
}

static int32_t blob_read(void *user_data, void *blob, uint64_t offset, void *buffer, size_t size, size_t *got) {
  return read_piece(user_data, blob, offset, buffer, size, got);
}

static void blob_close(void *user_data, void *blob) {
  ims_memory *m = user_data;
  ims_memory_piece *p = blob;
  pthread_mutex_lock(&m->mutex);
  if (--p->users == 0 && !p->listed)
    free_piece(m, p);
  pthread_mutex_unlock(&m->mutex);
}

static int32_t blob_is_verified(void *user_data, void *blob) {
  ims_memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  bool verified = ((ims_memory_piece *)blob)->verified;
  pthread_mutex_unlock(&m->mutex);
  return verified;
}

static int32_t blob_set_verified(void *user_data, void *blob) {
  ims_memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  ((ims_memory_piece *)blob)->verified = true;
  pthread_mutex_unlock(&m->mutex);
  return IMGSTORE_OK;
}

static void drop_blob(ims_memory *m, ims_memory_piece *p) {
  unlist(&m->blobs, p);
  p->listed = false;
  if (!p->users)
    free_piece(m, p);
}

static int32_t blob_delete(void *user_data, const char *digest) {
  ims_memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  ims_memory_piece *p = find(m->blobs, digest);
  if (p)
    drop_blob(m, p);
  pthread_mutex_unlock(&m->mutex);
  return p ? IMGSTORE_OK : IMGSTORE_ENOTFOUND;
}

/** A copy of the listed digests, so that the visitor runs without the mutex. */
typedef struct snapshot {
  char digest[IMS_DIGEST_TEXT];
  uint64_t size;
} snapshot;

static int32_t take_snapshot(ims_memory *m, ims_memory_piece *const *list, bool idle, snapshot **out, size_t *count) {
  size_t n = 0;
  *out = NULL;
  *count = 0;
  for (const ims_memory_piece *p = *list; p; p = p->next)
    n++;
  snapshot *copy = ims_calloc(&m->core->alloc, n, sizeof *copy);
  if (!copy)
    return IMGSTORE_ENOMEM;
  for (const ims_memory_piece *p = *list; p; p = p->next)
    if (!idle || !p->held) {
      memcpy(copy[*count].digest, p->digest, sizeof p->digest);
      copy[(*count)++].size = p->size;
    }
  *out = copy;
  return IMGSTORE_OK;
}

static int32_t blob_list(void *user_data, imgstore_blob_visit visit, void *visit_data) {
  ims_memory *m = user_data;
  snapshot *list;
  size_t count;
  pthread_mutex_lock(&m->mutex);
  int32_t rc = take_snapshot(m, &m->blobs, false, &list, &count);
  pthread_mutex_unlock(&m->mutex);
  for (size_t i = 0; i < count && !rc; i++)
    rc = visit(visit_data, list[i].digest, list[i].size);
  ims_free(&m->core->alloc, list);
  return rc;
}

/* --- ingest ------------------------------------------------------------------------------------------------------- */

static int32_t hold_ingest(ims_memory *m, const char *digest, ims_memory_piece **out) {
  ims_memory_piece *p = find(m->ingests, digest);
  int32_t rc = p && p->held ? IMGSTORE_EBUSY : p ? IMGSTORE_OK : new_piece(m, digest, &p);
  if (!rc && !p->listed) {
    p->listed = true;
    p->next = m->ingests;
    m->ingests = p;
  }
  *out = rc ? NULL : p;
  return rc;
}

static int32_t ingest_open(void *user_data, const char *digest, uint64_t size, void **ingest, uint64_t *offset) {
  ims_memory *m = user_data;
  ims_memory_piece *p = NULL;
  *ingest = NULL;
  *offset = 0;
  if (size > SIZE_MAX)
    return IMGSTORE_ENOSPACE;
  pthread_mutex_lock(&m->mutex);
  int32_t rc = hold_ingest(m, digest, &p);
  if (!rc) {
    p->held = true;
    p->expect = size;
    if (p->size > size)
      p->size = 0;
    *ingest = p;
    *offset = p->size;
  }
  pthread_mutex_unlock(&m->mutex);
  return rc;
}

static int32_t ingest_create(void *user_data, void **ingest) {
  ims_memory *m = user_data;
  ims_memory_piece *p = ims_calloc(&m->core->alloc, 1, sizeof *p);
  *ingest = p;
  if (!p)
    return IMGSTORE_ENOMEM;
  p->held = p->unnamed = true;
  p->expect = SIZE_MAX;
  return IMGSTORE_OK;
}

static int32_t ingest_name(void *user_data, void *ingest, const char *digest, uint64_t size) {
  ims_memory *m = user_data;
  ims_memory_piece *p = ingest;
  ims_digest checked;
  int32_t rc = ims_digest_parse(&checked, digest, strlen(digest), NULL);
  pthread_mutex_lock(&m->mutex);
  if (!rc && (!p->unnamed || p->digest[0] || p->size != size))
    rc = IMGSTORE_EINVALID;
  if (!rc) {
    memcpy(p->digest, checked.text, sizeof p->digest);
    p->expect = size;
  }
  pthread_mutex_unlock(&m->mutex);
  return rc;
}

static int32_t ingest_read(void *user_data, void *ingest, uint64_t offset, void *buffer, size_t size, size_t *got) {
  return read_piece(user_data, ingest, offset, buffer, size, got);
}

static int32_t ingest_write(void *user_data, void *ingest, uint64_t offset, const void *data, size_t size) {
  ims_memory *m = user_data;
  ims_memory_piece *p = ingest;
  size_t end;
  pthread_mutex_lock(&m->mutex);
  int32_t rc = offset == 0 || offset == p->size ? IMGSTORE_OK : IMGSTORE_EINVALID;
  if (!rc && (!ims_add_size((size_t)offset, size, &end) || end > p->expect))
    rc = IMGSTORE_EINVALID;
  if (!rc)
    rc = grow(m, p, end);
  if (!rc) {
    if (size)
      memcpy(p->data + offset, data, size);
    p->size = end;
  }
  pthread_mutex_unlock(&m->mutex);
  return rc;
}

static void close_ingest(ims_memory *m, ims_memory_piece *p, bool keep) {
  p->held = false;
  if (keep && p->size && !p->unnamed)
    return;
  unlist(&m->ingests, p);
  free_piece(m, p);
}

static void ingest_close(void *user_data, void *ingest, int32_t keep) {
  ims_memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  close_ingest(m, ingest, keep != 0);
  pthread_mutex_unlock(&m->mutex);
}

static int32_t ingest_commit(void *user_data, void *ingest) {
  ims_memory *m = user_data;
  ims_memory_piece *p = ingest;
  pthread_mutex_lock(&m->mutex);
  int32_t rc = p->size == p->expect && p->digest[0] ? IMGSTORE_OK : IMGSTORE_EINVALID;
  ims_memory_piece *old = rc ? NULL : find(m->blobs, p->digest);
  if (rc || (old && old->verified)) {
    close_ingest(m, p, rc != IMGSTORE_OK);
  } else {
    if (old)
      drop_blob(m, old);
    unlist(&m->ingests, p);
    p->held = p->unnamed = false;
    p->listed = p->verified = true;
    p->next = m->blobs;
    m->blobs = p;
  }
  pthread_mutex_unlock(&m->mutex);
  return rc;
}

static int32_t ingest_sweep(void *user_data, imgstore_blob_visit visit, void *visit_data) {
  ims_memory *m = user_data;
  snapshot *list;
  size_t count;
  pthread_mutex_lock(&m->mutex);
  int32_t rc = take_snapshot(m, &m->ingests, true, &list, &count);
  pthread_mutex_unlock(&m->mutex);
  for (size_t i = 0; i < count && rc == IMGSTORE_OK; i++) {
    rc = visit(visit_data, list[i].digest, list[i].size);
    pthread_mutex_lock(&m->mutex);
    ims_memory_piece *p = rc ? NULL : find(m->ingests, list[i].digest);
    if (p && !p->held)
      close_ingest(m, p, false);
    pthread_mutex_unlock(&m->mutex);
    rc = rc == 1 ? IMGSTORE_OK : rc;
  }
  ims_free(&m->core->alloc, list);
  return rc;
}

/* --- the handle ------------------------------------------------------------------------------------------------------
 */

static void free_pieces(ims_memory *m, ims_memory_piece *list) {
  while (list) {
    ims_memory_piece *next = list->next;
    free_piece(m, list);
    list = next;
  }
}

static void destroy(void *user_data) {
  ims_memory *m = user_data;
  free_pieces(m, m->blobs);
  free_pieces(m, m->ingests);
  ims_memory_free_names(m);
  pthread_cond_destroy(&m->lock_free);
  pthread_mutex_destroy(&m->mutex);
  ims_core *core = m->core;
  ims_free(&core->alloc, m);
  ims_core_unref(core);
}

static ims_memory *memory_new(ims_core *core, uint64_t max_bytes) {
  ims_memory *m = ims_calloc(&core->alloc, 1, sizeof *m);
  if (!m)
    return NULL;
  if (pthread_mutex_init(&m->mutex, NULL)) {
    ims_free(&core->alloc, m);
    return NULL;
  }
  if (pthread_cond_init(&m->lock_free, NULL)) {
    pthread_mutex_destroy(&m->mutex);
    ims_free(&core->alloc, m);
    return NULL;
  }
  m->core = ims_core_ref(core);
  m->max_bytes = max_bytes;
  return m;
}

int32_t ims_memory_storage_open(ims_core *core, uint64_t max_bytes, imgstore_storage *storage, ims_error *err) {
  memset(storage, 0, sizeof *storage);
  ims_memory *m = memory_new(core, max_bytes);
  if (!m)
    return ims_fail_nomem(err);
  *storage = (imgstore_storage){
      .size = sizeof *storage,
      .user_data = m,
      .flags = IMGSTORE_STORAGE_CONCURRENT,
      .blob_open = blob_open,
      .blob_read = blob_read,
      .blob_close = blob_close,
      .blob_is_verified = blob_is_verified,
      .blob_set_verified = blob_set_verified,
      .blob_delete = blob_delete,
      .blob_list = blob_list,
      .ingest_open = ingest_open,
      .ingest_read = ingest_read,
      .ingest_write = ingest_write,
      .ingest_commit = ingest_commit,
      .ingest_close = ingest_close,
      .destroy = destroy,
      .ingest_sweep = ingest_sweep,
      .ingest_create = ingest_create,
      .ingest_name = ingest_name,
  };
  ims_memory_name_entries(storage);
  return IMGSTORE_OK;
}
