/*
 * store/memory.c (L3) - the storage that keeps everything in memory: for tests, and for programs that only look into
 * an image.
 *
 * One mutex guards all of it, so that worker threads may bring in blobs.
 */
#include <pthread.h>
#include <string.h>

#include "store/store.h"
#include "json/json.h"

typedef struct piece {
  struct piece *next;
  char digest[IMS_DIGEST_TEXT];
  uint8_t *data;
  size_t size, capacity;
  unsigned users; /**< open handles; a deleted blob lives as long as it has some */
  bool listed;
  bool verified;
  bool held;       /**< an ingest that is open */
  uint64_t expect; /**< the size an ingest will have */
} piece;

typedef struct reference {
  struct reference *next;
  char *name, *descriptor;
  size_t size;
} reference;

typedef struct lease {
  struct lease *next;
  char (*digests)[IMS_DIGEST_TEXT];
  size_t count, capacity;
} lease;

typedef struct memory {
  ims_core *core;
  pthread_mutex_t mutex;
  pthread_cond_t lock_free;
  uint64_t used, max_bytes;
  piece *blobs, *ingests;
  reference *references;
  lease *leases;
  unsigned readers; /**< shared locks */
  bool writer;
} memory;

/* --- pieces ------------------------------------------------------------------------------------------------------- */

static piece *find(piece *list, const char *digest) {
  while (list && strcmp(list->digest, digest) != 0)
    list = list->next;
  return list;
}

static void unlist(piece **list, piece *p) {
  while (*list && *list != p)
    list = &(*list)->next;
  if (*list)
    *list = p->next;
  p->next = NULL;
}

static void free_piece(memory *m, piece *p) {
  m->used -= p->capacity;
  ims_free(&m->core->alloc, p->data);
  ims_free(&m->core->alloc, p);
}

static int32_t new_piece(memory *m, const char *digest, piece **out) {
  ims_digest checked;
  int32_t rc = ims_digest_parse(&checked, digest, strlen(digest), NULL);
  piece *p = rc ? NULL : ims_calloc(&m->core->alloc, 1, sizeof *p);
  if (!rc && !p)
    rc = IMGSTORE_ENOMEM;
  if (p)
    memcpy(p->digest, checked.text, sizeof p->digest);
  *out = p;
  return rc;
}

static int32_t set_capacity(memory *m, piece *p, size_t capacity) {
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

static int32_t grow(memory *m, piece *p, size_t need) {
  if (need <= p->capacity)
    return IMGSTORE_OK;
  size_t capacity = p->capacity > SIZE_MAX / 2 ? need : p->capacity * 2;
  if (capacity > p->expect)
    capacity = (size_t)p->expect;
  if (capacity > need && set_capacity(m, p, capacity) == IMGSTORE_OK)
    return IMGSTORE_OK;
  return set_capacity(m, p, need);
}

static int32_t read_piece(memory *m, const piece *p, uint64_t offset, void *buffer, size_t size, size_t *got) {
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
  memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  piece *p = find(m->blobs, digest);
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
  memory *m = user_data;
  piece *p = blob;
  pthread_mutex_lock(&m->mutex);
  if (--p->users == 0 && !p->listed)
    free_piece(m, p);
  pthread_mutex_unlock(&m->mutex);
}

static int32_t blob_is_verified(void *user_data, void *blob) {
  memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  bool verified = ((piece *)blob)->verified;
  pthread_mutex_unlock(&m->mutex);
  return verified;
}

static int32_t blob_set_verified(void *user_data, void *blob) {
  memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  ((piece *)blob)->verified = true;
  pthread_mutex_unlock(&m->mutex);
  return IMGSTORE_OK;
}

static void drop_blob(memory *m, piece *p) {
  unlist(&m->blobs, p);
  p->listed = false;
  if (!p->users)
    free_piece(m, p);
}

static int32_t blob_delete(void *user_data, const char *digest) {
  memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  piece *p = find(m->blobs, digest);
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

static int32_t take_snapshot(memory *m, piece *const *list, bool idle, snapshot **out, size_t *count) {
  size_t n = 0;
  *out = NULL;
  *count = 0;
  for (const piece *p = *list; p; p = p->next)
    n++;
  snapshot *copy = ims_calloc(&m->core->alloc, n, sizeof *copy);
  if (!copy)
    return IMGSTORE_ENOMEM;
  for (const piece *p = *list; p; p = p->next)
    if (!idle || !p->held) {
      memcpy(copy[*count].digest, p->digest, sizeof p->digest);
      copy[(*count)++].size = p->size;
    }
  *out = copy;
  return IMGSTORE_OK;
}

static int32_t blob_list(void *user_data, imgstore_blob_visit visit, void *visit_data) {
  memory *m = user_data;
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

static int32_t hold_ingest(memory *m, const char *digest, piece **out) {
  piece *p = find(m->ingests, digest);
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
  memory *m = user_data;
  piece *p = NULL;
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

static int32_t ingest_read(void *user_data, void *ingest, uint64_t offset, void *buffer, size_t size, size_t *got) {
  return read_piece(user_data, ingest, offset, buffer, size, got);
}

static int32_t ingest_write(void *user_data, void *ingest, uint64_t offset, const void *data, size_t size) {
  memory *m = user_data;
  piece *p = ingest;
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

static void close_ingest(memory *m, piece *p, bool keep) {
  p->held = false;
  if (keep && p->size)
    return;
  unlist(&m->ingests, p);
  free_piece(m, p);
}

static void ingest_close(void *user_data, void *ingest, int32_t keep) {
  memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  close_ingest(m, ingest, keep != 0);
  pthread_mutex_unlock(&m->mutex);
}

static int32_t ingest_commit(void *user_data, void *ingest) {
  memory *m = user_data;
  piece *p = ingest;
  pthread_mutex_lock(&m->mutex);
  int32_t rc = p->size == p->expect ? IMGSTORE_OK : IMGSTORE_EINVALID;
  piece *old = rc ? NULL : find(m->blobs, p->digest);
  if (rc || (old && old->verified)) {
    close_ingest(m, p, rc != IMGSTORE_OK);
  } else {
    if (old)
      drop_blob(m, old);
    unlist(&m->ingests, p);
    p->held = false;
    p->verified = true;
    p->next = m->blobs;
    m->blobs = p;
  }
  pthread_mutex_unlock(&m->mutex);
  return rc;
}

static int32_t ingest_sweep(void *user_data, imgstore_blob_visit visit, void *visit_data) {
  memory *m = user_data;
  snapshot *list;
  size_t count;
  pthread_mutex_lock(&m->mutex);
  int32_t rc = take_snapshot(m, &m->ingests, true, &list, &count);
  pthread_mutex_unlock(&m->mutex);
  for (size_t i = 0; i < count && rc == IMGSTORE_OK; i++) {
    rc = visit(visit_data, list[i].digest, list[i].size);
    pthread_mutex_lock(&m->mutex);
    piece *p = rc ? NULL : find(m->ingests, list[i].digest);
    if (p && !p->held)
      close_ingest(m, p, false);
    pthread_mutex_unlock(&m->mutex);
    rc = rc == 1 ? IMGSTORE_OK : rc;
  }
  ims_free(&m->core->alloc, list);
  return rc;
}

/* --- references --------------------------------------------------------------------------------------------------- */

static reference **find_reference(memory *m, const char *name) {
  reference **at = &m->references;
  while (*at && strcmp((*at)->name, name) != 0)
    at = &(*at)->next;
  return at;
}

static void free_reference(memory *m, reference *r) {
  if (!r)
    return;
  ims_free(&m->core->alloc, r->name);
  ims_free(&m->core->alloc, r->descriptor);
  ims_free(&m->core->alloc, r);
}

static reference *new_reference(memory *m, const char *name, const char *descriptor, size_t size) {
  const ims_alloc *alloc = &m->core->alloc;
  reference *r = ims_calloc(alloc, 1, sizeof *r);
  if (!r)
    return NULL;
  r->name = ims_strdup(alloc, name);
  r->descriptor = ims_strndup(alloc, descriptor, size);
  r->size = size;
  if (r->name && r->descriptor)
    return r;
  free_reference(m, r);
  return NULL;
}

static int32_t reference_get(void *user_data, const char *name, imgstore_reference_visit visit, void *visit_data) {
  memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  const reference *found = *find_reference(m, name);
  reference *copy = found ? new_reference(m, found->name, found->descriptor, found->size) : NULL;
  int32_t rc = copy ? IMGSTORE_OK : found ? IMGSTORE_ENOMEM : IMGSTORE_ENOTFOUND;
  pthread_mutex_unlock(&m->mutex);
  if (!rc)
    rc = visit(visit_data, copy->name, copy->descriptor, copy->size);
  free_reference(m, copy);
  return rc;
}

/** The digest that a reference has: "" when there is none. */
static int32_t check_expected(memory *m, const reference *r, const char *expected) {
  ims_json *json = NULL;
  if (!expected)
    return IMGSTORE_OK;
  int32_t rc = r ? ims_json_parse(&json, &m->core->alloc, r->descriptor, r->size, "descriptor", NULL) : IMGSTORE_OK;
  const char *digest = ims_json_string(ims_json_get(ims_json_root(json), "digest"));
  if (!rc && strcmp(digest ? digest : "", expected) != 0)
    rc = IMGSTORE_ECONFLICT;
  ims_json_free(json);
  return rc;
}

static int32_t reference_set(void *user_data, const char *name, const char *expected, const char *descriptor,
                             size_t size) {
  memory *m = user_data;
  reference *fresh = descriptor ? new_reference(m, name, descriptor, size) : NULL;
  if (descriptor && !fresh)
    return IMGSTORE_ENOMEM;
  pthread_mutex_lock(&m->mutex);
  reference **at = find_reference(m, name), *old = *at;
  int32_t rc = !descriptor && !old ? IMGSTORE_ENOTFOUND : check_expected(m, old, expected);
  if (!rc) {
    reference *next = old ? old->next : NULL;
    if (fresh)
      fresh->next = next;
    *at = fresh ? fresh : next;
    fresh = old;
  }
  pthread_mutex_unlock(&m->mutex);
  free_reference(m, fresh);
  return rc;
}

static size_t copy_references(memory *m, reference **list) {
  size_t missing = 0;
  for (const reference *r = m->references; r && !missing; r = r->next) {
    reference *copy = new_reference(m, r->name, r->descriptor, r->size);
    missing = !copy;
    if (copy) {
      copy->next = *list;
      *list = copy;
    }
  }
  return missing;
}

static int32_t reference_list(void *user_data, imgstore_reference_visit visit, void *visit_data) {
  memory *m = user_data;
  reference *list = NULL;
  pthread_mutex_lock(&m->mutex);
  int32_t rc = copy_references(m, &list) ? IMGSTORE_ENOMEM : IMGSTORE_OK;
  pthread_mutex_unlock(&m->mutex);
  while (list) {
    reference *r = list;
    list = r->next;
    if (!rc)
      rc = visit(visit_data, r->name, r->descriptor, r->size);
    free_reference(m, r);
  }
  return rc;
}

/* --- leases and the lock --------------------------------------------------------------------------------------------
 */

static int32_t lease_open(void *user_data, void **out) {
  memory *m = user_data;
  lease *l = ims_calloc(&m->core->alloc, 1, sizeof *l);
  *out = l;
  if (!l)
    return IMGSTORE_ENOMEM;
  pthread_mutex_lock(&m->mutex);
  l->next = m->leases;
  m->leases = l;
  pthread_mutex_unlock(&m->mutex);
  return IMGSTORE_OK;
}

static int32_t add_digest(memory *m, lease *l, const ims_digest *digest) {
  if (l->count == l->capacity) {
    size_t capacity = l->capacity ? l->capacity * 2 : 16;
    void *digests = ims_realloc_array(&m->core->alloc, l->digests, capacity, sizeof *l->digests);
    if (!digests)
      return IMGSTORE_ENOMEM;
    l->digests = digests;
    l->capacity = capacity;
  }
  memcpy(l->digests[l->count++], digest->text, sizeof *l->digests);
  return IMGSTORE_OK;
}

/** Waits for a collection to end: see lock. */
static int32_t lease_add(void *user_data, void *data, const char *digest) {
  memory *m = user_data;
  ims_digest checked;
  int32_t rc = ims_digest_parse(&checked, digest, strlen(digest), NULL);
  if (rc)
    return rc;
  pthread_mutex_lock(&m->mutex);
  while (m->writer)
    pthread_cond_wait(&m->lock_free, &m->mutex);
  rc = add_digest(m, data, &checked);
  pthread_mutex_unlock(&m->mutex);
  return rc;
}

static void lease_close(void *user_data, void *data) {
  memory *m = user_data;
  lease *l = data;
  pthread_mutex_lock(&m->mutex);
  lease **at = &m->leases;
  while (*at && *at != l)
    at = &(*at)->next;
  if (*at)
    *at = l->next;
  pthread_mutex_unlock(&m->mutex);
  ims_free(&m->core->alloc, l->digests);
  ims_free(&m->core->alloc, l);
}

static int32_t lease_list(void *user_data, imgstore_blob_visit visit, void *visit_data) {
  memory *m = user_data;
  lease all = {0};
  int32_t rc = IMGSTORE_OK;
  pthread_mutex_lock(&m->mutex);
  for (const lease *l = m->leases; l && !rc; l = l->next)
    for (size_t i = 0; i < l->count && !rc; i++) {
      ims_digest digest = {.algorithm = 0};
      memcpy(digest.text, l->digests[i], sizeof digest.text);
      rc = add_digest(m, &all, &digest);
    }
  pthread_mutex_unlock(&m->mutex);
  for (size_t i = 0; i < all.count && !rc; i++)
    rc = visit(visit_data, all.digests[i], 0);
  ims_free(&m->core->alloc, all.digests);
  return rc;
}

/** *lock tells unlock which kind it was. */
static int32_t lock(void *user_data, int32_t exclusive, void **held) {
  memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  while (m->writer || (exclusive && m->readers))
    pthread_cond_wait(&m->lock_free, &m->mutex);
  if (exclusive)
    m->writer = true;
  else
    m->readers++;
  *held = exclusive ? (void *)&m->writer : (void *)&m->readers;
  pthread_mutex_unlock(&m->mutex);
  return IMGSTORE_OK;
}

static void unlock(void *user_data, void *held) {
  memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  if (held == (void *)&m->writer)
    m->writer = false;
  else
    m->readers--;
  pthread_cond_broadcast(&m->lock_free);
  pthread_mutex_unlock(&m->mutex);
}

/* --- the handle ------------------------------------------------------------------------------------------------------
 */

static void free_pieces(memory *m, piece *list) {
  while (list) {
    piece *next = list->next;
    free_piece(m, list);
    list = next;
  }
}

static void destroy(void *user_data) {
  memory *m = user_data;
  free_pieces(m, m->blobs);
  free_pieces(m, m->ingests);
  while (m->references) {
    reference *r = m->references;
    m->references = r->next;
    free_reference(m, r);
  }
  while (m->leases)
    lease_close(m, m->leases);
  pthread_cond_destroy(&m->lock_free);
  pthread_mutex_destroy(&m->mutex);
  ims_core *core = m->core;
  ims_free(&core->alloc, m);
  ims_core_unref(core);
}

static memory *memory_new(ims_core *core, uint64_t max_bytes) {
  memory *m = ims_calloc(&core->alloc, 1, sizeof *m);
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
  memory *m = memory_new(core, max_bytes);
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
      .reference_get = reference_get,
      .reference_set = reference_set,
      .reference_list = reference_list,
      .lease_open = lease_open,
      .lease_add = lease_add,
      .lease_close = lease_close,
      .lease_list = lease_list,
      .lock = lock,
      .unlock = unlock,
      .destroy = destroy,
      .ingest_sweep = ingest_sweep,
  };
  return IMGSTORE_OK;
}
