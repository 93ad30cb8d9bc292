/*
 * engine/archive_store.c (L4) - the storage vtable over an archive. It does not change after it was opened, so its
 * entries may run on any thread; what the library reads it verifies, as with every storage.
 */
#include "engine/archive_store.h"

#include <string.h>

#include "engine/archive_path.h"

static const ims_alloc *alloc_of(const ims_archive_store *a) {
  return &a->index.core->alloc;
}

int32_t ims_archive_store_add(ims_archive_store *a, const ims_digest *digest, const ims_archive_member *member,
                              char *text, uint64_t size, ims_error *err) {
  if (ims_digest_set_find(&a->digests, digest)) {
    ims_free(alloc_of(a), text);
    return IMGSTORE_OK;
  }
  if (a->blob_count == a->blob_capacity) {
    size_t capacity = a->blob_capacity ? a->blob_capacity * 2 : 32;
    ims_archive_blob *blobs = ims_realloc_array(alloc_of(a), a->blobs, capacity, sizeof *blobs);
    if (blobs) {
      a->blobs = blobs;
      a->blob_capacity = capacity;
    }
  }
  ims_digest_item *item = a->blob_count < a->blob_capacity ? ims_digest_set_add(&a->digests, digest) : NULL;
  if (!item) {
    ims_free(alloc_of(a), text);
    return ims_fail_nomem(err);
  }
  item->size = a->blob_count;
  a->blobs[a->blob_count++] = (ims_archive_blob){member, text, size};
  return IMGSTORE_OK;
}

const ims_archive_blob *ims_archive_store_blob(const ims_archive_store *a, const ims_digest *digest) {
  const ims_digest_item *item = ims_digest_set_find(&a->digests, digest);
  return item ? &a->blobs[item->size] : NULL;
}

/* --- blobs ----------------------------------------------------------------------------------------------------------
 */

static int32_t blob_open(void *user_data, const char *digest, void **blob, uint64_t *size) {
  const ims_archive_store *a = user_data;
  ims_digest wanted;
  if (ims_digest_parse(&wanted, digest, strlen(digest), NULL))
    return IMGSTORE_ENOTFOUND;
  const ims_digest_item *item = ims_digest_set_find(&a->digests, &wanted);
  if (!item)
    return IMGSTORE_ENOTFOUND;
  *blob = &a->blobs[item->size];
  *size = a->blobs[item->size].size;
  return IMGSTORE_OK;
}

static int32_t blob_read(void *user_data, void *blob, uint64_t offset, void *buffer, size_t size, size_t *got) {
  const ims_archive_store *a = user_data;
  const ims_archive_blob *b = blob;
  if (b->member)
    return ims_archive_index_read(&a->index, b->member, offset, buffer, size, got) ? IMGSTORE_EIO : IMGSTORE_OK;
  uint64_t left = offset < b->size ? b->size - offset : 0;
  *got = left < size ? (size_t)left : size;
  if (*got)
    memcpy(buffer, b->text + offset, *got);
  return IMGSTORE_OK;
}

static void blob_close(void *user_data, void *blob) {
  (void)user_data;
  (void)blob;
}

static int32_t blob_delete(void *user_data, const char *digest) {
  (void)user_data;
  (void)digest;
  return IMGSTORE_EACCESS;
}

static int32_t blob_list(void *user_data, imgstore_blob_visit visit, void *visit_data) {
  const ims_archive_store *a = user_data;
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < a->digests.count; i++) {
    ims_digest digest;
    ims_digest_item_digest(&a->digests.items[i], &digest);
    rc = visit(visit_data, digest.text, a->blobs[a->digests.items[i].size].size);
  }
  return rc;
}

/* --- nothing is written ---------------------------------------------------------------------------------------------
 */

static int32_t ingest_open(void *user_data, const char *digest, uint64_t size, void **ingest, uint64_t *offset) {
  (void)user_data;
  (void)digest;
  (void)size;
  (void)ingest;
  (void)offset;
  return IMGSTORE_EACCESS;
}

static int32_t ingest_read(void *user_data, void *ingest, uint64_t offset, void *buffer, size_t size, size_t *got) {
  (void)user_data;
  (void)ingest;
  (void)offset;
  (void)buffer;
  (void)size;
  (void)got;
  return IMGSTORE_EACCESS;
}

static int32_t ingest_write(void *user_data, void *ingest, uint64_t offset, const void *data, size_t size) {
  (void)user_data;
  (void)ingest;
  (void)offset;
  (void)data;
  (void)size;
  return IMGSTORE_EACCESS;
}

static int32_t ingest_commit(void *user_data, void *ingest) {
  (void)user_data;
  (void)ingest;
  return IMGSTORE_EACCESS;
}

static void ingest_close(void *user_data, void *ingest, int32_t keep) {
  (void)user_data;
  (void)ingest;
  (void)keep;
}

static int32_t reference_set(void *user_data, const char *name, const char *expected, const char *descriptor,
                             size_t size) {
  (void)user_data;
  (void)name;
  (void)expected;
  (void)descriptor;
  (void)size;
  return IMGSTORE_EACCESS;
}

/* --- references -----------------------------------------------------------------------------------------------------
 */

static int32_t reference_get(void *user_data, const char *name, imgstore_reference_visit visit, void *visit_data) {
  const ims_archive_store *a = user_data;
  const ims_archive_name *found = NULL;
  for (size_t i = 0; i < a->name_count; i++) {
    if (strcmp(a->names[i].name, name) != 0)
      continue;
    if (found)
      return IMGSTORE_EAMBIGUOUS; /* the same image under one name is there once */
    found = &a->names[i];
  }
  return found ? visit(visit_data, found->name, found->descriptor, strlen(found->descriptor)) : IMGSTORE_ENOTFOUND;
}

static int32_t reference_list(void *user_data, imgstore_reference_visit visit, void *visit_data) {
  const ims_archive_store *a = user_data;
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < a->name_count; i++)
    rc = visit(visit_data, a->names[i].name, a->names[i].descriptor, strlen(a->names[i].descriptor));
  return rc;
}

/* --- leases and the lock: nothing of it can go away -----------------------------------------------------------------
 */

static int32_t lease_open(void *user_data, void **lease) {
  *lease = user_data;
  return IMGSTORE_OK;
}

static int32_t lease_add(void *user_data, void *lease, const char *digest) {
  (void)user_data;
  (void)lease;
  (void)digest;
  return IMGSTORE_OK;
}

static void lease_close(void *user_data, void *lease) {
  (void)user_data;
  (void)lease;
}

static int32_t lease_list(void *user_data, imgstore_blob_visit visit, void *visit_data) {
  (void)user_data;
  (void)visit;
  (void)visit_data;
  return IMGSTORE_OK;
}

static int32_t lock_storage(void *user_data, int32_t exclusive, void **lock) {
  (void)exclusive;
  *lock = user_data;
  return IMGSTORE_OK;
}

static void unlock_storage(void *user_data, void *lock) {
  (void)user_data;
  (void)lock;
}

/* --- opening --------------------------------------------------------------------------------------------------------
 */

void ims_archive_store_free(ims_archive_store *a) {
  if (!a)
    return;
  ims_core *core = ims_core_ref(a->index.core);
  ims_archive_naming_free(a);
  for (size_t i = 0; i < a->blob_count; i++)
    ims_free(&core->alloc, a->blobs[i].text);
  for (size_t i = 0; i < a->name_count; i++) {
    ims_free(&core->alloc, a->names[i].name);
    ims_free(&core->alloc, a->names[i].descriptor);
  }
  ims_free(&core->alloc, a->blobs);
  ims_free(&core->alloc, a->names);
  ims_digest_set_free(&a->digests);
  ims_archive_index_close(&a->index);
  ims_free(&core->alloc, a);
  ims_core_unref(core);
}

static void destroy(void *user_data) {
  ims_archive_store_free(user_data);
}

int32_t ims_archive_store_new(ims_archive_store **archive, ims_core *core, const char *path, int fd, int32_t format,
                              ims_error *err) {
  *archive = NULL;
  ims_archive_store *a = ims_calloc(&core->alloc, 1, sizeof *a);
  if (!a) {
    core->sys->close(fd);
    return ims_fail_nomem(err);
  }
  ims_digest_set_init(&a->digests, &core->alloc);
  a->format = format;
  int32_t rc = ims_archive_index_begin(&a->index, core, path, fd, err);
  if (rc) {
    ims_archive_store_free(a);
    return rc;
  }
  *archive = a;
  return IMGSTORE_OK;
}

/* Files below blobs/ are under the digest that their path claims. */
static int32_t add_blobs(ims_archive_store *a, ims_error *err) {
  const ims_archive_members *all = &a->index.members;
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < all->count; i++) {
    ims_digest digest;
    if (!ims_archive_path_digest(all->items[i].path, &digest))
      continue;
    const ims_archive_member *m = ims_archive_index_find(&a->index, all->items[i].path);
    if (m)
      rc = ims_archive_store_add(a, &digest, m, NULL, m->size, err);
  }
  return rc;
}

int32_t ims_archive_store_step(ims_archive_store *a, ims_error *err) {
  if (!a->index.pass)
    return ims_archive_naming_step(a, err);
  int32_t rc = ims_archive_index_step(&a->index, err);
  if (!rc)
    rc = add_blobs(a, err);
  return rc ? rc : IMGSTORE_EAGAIN;
}

int32_t ims_archive_store_take(ims_archive_store *a, imgstore_store **store, ims_error *err) {
  const imgstore_storage storage = {.size = sizeof storage,
                                    .user_data = a,
                                    .flags = IMGSTORE_STORAGE_CONCURRENT,
                                    .blob_open = blob_open,
                                    .blob_read = blob_read,
                                    .blob_close = blob_close,
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
                                    .lock = lock_storage,
                                    .unlock = unlock_storage,
                                    .destroy = destroy};
  return ims_store_new(store, a->index.core, &storage, err);
}

/* --- whose fault it is ----------------------------------------------------------------------------------------------
 */

/* The member of the first digest in a text, or NULL. */
static const ims_archive_member *member_in(const ims_archive_store *a, const char *text) {
  for (; (text = strstr(text, "sha")) != NULL; text++) {
    ims_digest digest;
    size_t name = strcspn(text, ":"), size = text[name] ? name + 1 : 0;
    size += size ? strspn(text + size, "0123456789abcdef") : 0;
    if (!size || ims_digest_parse(&digest, text, size, NULL))
      continue;
    const ims_archive_blob *b = ims_archive_store_blob(a, &digest);
    return b ? b->member : NULL;
  }
  return NULL;
}

int32_t ims_archive_store_blame(const imgstore_store *store, int32_t code, ims_error *err) {
  if (!store || store->storage.destroy != destroy || err->http_status || err->os_errno)
    return code;
  if (code != IMGSTORE_EFORMAT && code != IMGSTORE_EDIGEST && code != IMGSTORE_ECORRUPT && code != IMGSTORE_ENOTFOUND &&
      code != IMGSTORE_EAMBIGUOUS)
    return code;
  const ims_archive_store *a = store->storage.user_data;
  const ims_archive_member *m = member_in(a, err->message);
  if (m)
    ims_error_prefix(err, "member \"%.256s\"", m->path);
  ims_error_prefix(err, "%s", a->index.path);
  return code;
}
