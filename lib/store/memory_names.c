/*
 * store/memory_names.c (L3) - references, leases and the lock of the memory storage.
 */
#include <string.h>

#include "store/memory.h"
#include "json/json.h"

struct ims_memory_reference {
  ims_memory_reference *next;
  char *name, *descriptor;
  size_t size;
};

struct ims_memory_lease {
  ims_memory_lease *next;
  char (*digests)[IMS_DIGEST_TEXT];
  size_t count, capacity;
};

/* --- references --------------------------------------------------------------------------------------------------- */

static ims_memory_reference **find_reference(ims_memory *m, const char *name) {
  ims_memory_reference **at = &m->references;
  while (*at && strcmp((*at)->name, name) != 0)
    at = &(*at)->next;
  return at;
}

static void free_reference(ims_memory *m, ims_memory_reference *r) {
  if (!r)
    return;
  ims_free(&m->core->alloc, r->name);
  ims_free(&m->core->alloc, r->descriptor);
  ims_free(&m->core->alloc, r);
}

static ims_memory_reference *new_reference(ims_memory *m, const char *name, const char *descriptor, size_t size) {
  const ims_alloc *alloc = &m->core->alloc;
  ims_memory_reference *r = ims_calloc(alloc, 1, sizeof *r);
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
  ims_memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  const ims_memory_reference *found = *find_reference(m, name);
  ims_memory_reference *copy = found ? new_reference(m, found->name, found->descriptor, found->size) : NULL;
  int32_t rc = copy ? IMGSTORE_OK : found ? IMGSTORE_ENOMEM : IMGSTORE_ENOTFOUND;
  pthread_mutex_unlock(&m->mutex);
  if (!rc)
    rc = visit(visit_data, copy->name, copy->descriptor, copy->size);
  free_reference(m, copy);
  return rc;
}

/** The digest that a reference has: "" when there is none. */
static int32_t check_expected(ims_memory *m, const ims_memory_reference *r, const char *expected) {
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
  ims_memory *m = user_data;
  ims_memory_reference *fresh = descriptor ? new_reference(m, name, descriptor, size) : NULL;
  if (descriptor && !fresh)
    return IMGSTORE_ENOMEM;
  pthread_mutex_lock(&m->mutex);
  ims_memory_reference **at = find_reference(m, name), *old = *at;
  int32_t rc = !descriptor && !old ? IMGSTORE_ENOTFOUND : check_expected(m, old, expected);
  if (!rc) {
    ims_memory_reference *next = old ? old->next : NULL;
    if (fresh)
      fresh->next = next;
    *at = fresh ? fresh : next;
    fresh = old;
  }
  pthread_mutex_unlock(&m->mutex);
  free_reference(m, fresh);
  return rc;
}

static size_t copy_references(ims_memory *m, ims_memory_reference **list) {
  size_t missing = 0;
  for (const ims_memory_reference *r = m->references; r && !missing; r = r->next) {
    ims_memory_reference *copy = new_reference(m, r->name, r->descriptor, r->size);
    missing = !copy;
    if (copy) {
      copy->next = *list;
      *list = copy;
    }
  }
  return missing;
}

static int32_t reference_list(void *user_data, imgstore_reference_visit visit, void *visit_data) {
  ims_memory *m = user_data;
  ims_memory_reference *list = NULL;
  pthread_mutex_lock(&m->mutex);
  int32_t rc = copy_references(m, &list) ? IMGSTORE_ENOMEM : IMGSTORE_OK;
  pthread_mutex_unlock(&m->mutex);
  while (list) {
    ims_memory_reference *r = list;
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
  ims_memory *m = user_data;
  ims_memory_lease *l = ims_calloc(&m->core->alloc, 1, sizeof *l);
  *out = l;
  if (!l)
    return IMGSTORE_ENOMEM;
  pthread_mutex_lock(&m->mutex);
  l->next = m->leases;
  m->leases = l;
  pthread_mutex_unlock(&m->mutex);
  return IMGSTORE_OK;
}

static int32_t add_digest(ims_memory *m, ims_memory_lease *l, const ims_digest *digest) {
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
  ims_memory *m = user_data;
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
  ims_memory *m = user_data;
  ims_memory_lease *l = data;
  pthread_mutex_lock(&m->mutex);
  ims_memory_lease **at = &m->leases;
  while (*at && *at != l)
    at = &(*at)->next;
  if (*at)
    *at = l->next;
  pthread_mutex_unlock(&m->mutex);
  ims_free(&m->core->alloc, l->digests);
  ims_free(&m->core->alloc, l);
}

static int32_t lease_list(void *user_data, imgstore_blob_visit visit, void *visit_data) {
  ims_memory *m = user_data;
  ims_memory_lease all = {0};
  int32_t rc = IMGSTORE_OK;
  pthread_mutex_lock(&m->mutex);
  for (const ims_memory_lease *l = m->leases; l && !rc; l = l->next)
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
  ims_memory *m = user_data;
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
  ims_memory *m = user_data;
  pthread_mutex_lock(&m->mutex);
  if (held == (void *)&m->writer)
    m->writer = false;
  else
    m->readers--;
  pthread_cond_broadcast(&m->lock_free);
  pthread_mutex_unlock(&m->mutex);
}

void ims_memory_free_names(ims_memory *m) {
  while (m->references) {
    ims_memory_reference *r = m->references;
    m->references = r->next;
    free_reference(m, r);
  }
  while (m->leases)
    lease_close(m, m->leases);
}

void ims_memory_name_entries(imgstore_storage *storage) {
  storage->reference_get = reference_get;
  storage->reference_set = reference_set;
  storage->reference_list = reference_list;
  storage->lease_open = lease_open;
  storage->lease_add = lease_add;
  storage->lease_close = lease_close;
  storage->lease_list = lease_list;
  storage->lock = lock;
  storage->unlock = unlock;
}
