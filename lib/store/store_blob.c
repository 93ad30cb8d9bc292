/*
 * store/store_blob.c (L3) - blobs as the library uses them: nothing leaves a storage unverified.
 */
#include <string.h>
#include <time.h>

#include "store/store.h"
#include "store/walk.h"

enum {
  HASH_BUFFER = 256 * 1024,
  SAVE_TRIES = 100,      /**< how often a small blob that somebody else is saving is looked for again... */
  SAVE_WAIT_NS = 5000000 /**< ...and how long between */
};

int32_t ims_blob_open(ims_blob *blob, imgstore_store *store, const ims_digest *digest, ims_error *err) {
  memset(blob, 0, sizeof *blob);
  int32_t rc = store->storage.blob_open(store->storage.user_data, digest->text, &blob->blob, &blob->size);
  if (rc == IMGSTORE_ENOTFOUND)
    return rc;
  if (rc)
    return ims_store_fail(rc, "cannot open blob", digest->text, err);
  blob->store = ims_store_ref(store);
  blob->digest = *digest;
  return IMGSTORE_OK;
}

int32_t ims_blob_read(ims_blob *blob, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err) {
  imgstore_storage *s = &blob->store->storage;
  *got = 0;
  int32_t rc = s->blob_read(s->user_data, blob->blob, offset, buffer, size, got);
  if (!rc && *got > size)
    rc = IMGSTORE_EPROTOCOL; /* a storage that breaks the rules of the vtable */
  return ims_store_fail(rc, "cannot read blob", blob->digest.text, err);
}

void ims_blob_close(ims_blob *blob) {
  if (!blob->store)
    return;
  blob->store->storage.blob_close(blob->store->storage.user_data, blob->blob);
  ims_store_unref(blob->store);
  blob->store = NULL;
  blob->blob = NULL;
}

/* --- verification ---------------------------------------------------------------------------------------------------
 */

static bool is_verified(ims_blob *blob) {
  imgstore_storage *s = &blob->store->storage;
  return s->blob_is_verified && s->blob_is_verified(s->user_data, blob->blob) == 1;
}

int32_t ims_blob_hash(ims_blob *blob, ims_digest *digest, uint64_t *size, ims_error *err) {
  const ims_alloc *alloc = &blob->store->core->alloc;
  ims_hash hash;
  char *buffer = ims_malloc(alloc, HASH_BUFFER);
  if (!buffer)
    return ims_fail_nomem(err);
  int32_t rc;
  size_t got;
  *size = 0;
  ims_hash_init(&hash, blob->digest.algorithm);
  do {
    rc = ims_blob_read(blob, *size, buffer, HASH_BUFFER, &got, err);
    ims_hash_update(&hash, buffer, got);
    *size += got;
  } while (!rc && got);
  if (!rc)
    ims_digest_from_hash(digest, &hash);
  ims_free(alloc, buffer);
  return rc;
}

/** *right: the content hashes to its digest. The storage is told so that it need not be hashed again. */
static int32_t verify_blob(ims_blob *blob, bool *right, ims_error *err) {
  ims_digest have;
  uint64_t size;
  *right = is_verified(blob);
  if (*right)
    return IMGSTORE_OK;
  int32_t rc = ims_blob_hash(blob, &have, &size, err);
  if (rc)
    return rc;
  *right = ims_digest_equal(&have, &blob->digest);
  imgstore_storage *s = &blob->store->storage;
  if (*right && s->blob_set_verified)
    rc = s->blob_set_verified(s->user_data, blob->blob);
  return ims_store_fail(rc, "cannot mark as verified blob", blob->digest.text, err);
}

/** Another process may have put a good blob in the place of the damaged one since we looked. */
static bool was_replaced(imgstore_store *store, const ims_digest *digest) {
  ims_blob blob;
  if (ims_blob_open(&blob, store, digest, NULL))
    return true;
  bool good = is_verified(&blob);
  ims_blob_close(&blob);
  return good;
}

int32_t ims_blob_quarantine(imgstore_store *store, const ims_digest *digest, ims_error *err) {
  imgstore_storage *s = &store->storage;
  void *lock;
  int32_t rc = ims_store_lock(store, 1, &lock, err);
  if (rc)
    return rc;
  if (!was_replaced(store, digest))
    rc = s->blob_quarantine ? s->blob_quarantine(s->user_data, digest->text)
                            : s->blob_delete(s->user_data, digest->text);
  ims_store_unlock(store, lock);
  return rc == IMGSTORE_ENOTFOUND ? IMGSTORE_OK
                                  : ims_store_fail(rc, "cannot move aside damaged blob", digest->text, err);
}

int32_t ims_blob_find(imgstore_store *store, const ims_digest *digest, uint64_t size, bool *present, bool *damaged,
                      ims_error *err) {
  ims_blob blob;
  bool right = false;
  *present = *damaged = false;
  int32_t rc = ims_blob_open(&blob, store, digest, err);
  if (rc)
    return rc == IMGSTORE_ENOTFOUND ? IMGSTORE_OK : rc;
  uint64_t have = blob.size;
  rc = verify_blob(&blob, &right, err);
  ims_blob_close(&blob);
  if (rc)
    return rc;
  *present = right && (size == UINT64_MAX || have == size);
  if (right)
    return IMGSTORE_OK;
  *damaged = true;
  rc = ims_blob_quarantine(store, digest, err);
  if (rc != IMGSTORE_EACCESS)
    return rc;
  ims_error_clear(err); /* a read-only store: it is not there for the caller, which is all that was asked */
  return IMGSTORE_OK;
}

void ims_blob_log_damage(const imgstore_store *store, const ims_digest *digest) {
  ims_log(store->core, IMGSTORE_LOG_WARNING, "blob %s: damaged, moved aside", digest->text);
}

int32_t ims_blob_check(imgstore_store *store, const ims_digest *digest, uint64_t size, bool *present, ims_error *err) {
  bool damaged;
  int32_t rc = ims_blob_find(store, digest, size, present, &damaged, err);
  if (damaged)
    ims_blob_log_damage(store, digest);
  return rc;
}

/* --- small blobs ---------------------------------------------------------------------------------------------------
 */

static int32_t read_whole(ims_blob *blob, ims_buf *out, ims_error *err) {
  size_t got = 0;
  int32_t rc = IMGSTORE_OK;
  if (blob->size > SIZE_MAX - 1 || ims_buf_reserve(out, (size_t)blob->size))
    return out->failed == IMGSTORE_ENOMEM ? ims_fail_nomem(err)
                                          : ims_fail(err, IMGSTORE_ELIMIT, "blob %s: too large", blob->digest.text);
  for (uint64_t at = 0; at < blob->size && !rc; at += got) {
    rc = ims_blob_read(blob, at, out->data + out->size, (size_t)(blob->size - at), &got, err);
    out->size += got;
    if (!rc && !got)
      rc = ims_fail(err, IMGSTORE_ECORRUPT, "blob %s: shorter than it was", blob->digest.text);
  }
  if (out->data)
    out->data[out->size] = '\0';
  return rc;
}

int32_t ims_blob_load(imgstore_store *store, const ims_digest *digest, uint64_t max_size, ims_buf *out,
                      ims_error *err) {
  ims_blob blob;
  ims_digest have;
  ims_buf_clear(out);
  int32_t rc = ims_blob_open(&blob, store, digest, err);
  if (rc == IMGSTORE_ENOTFOUND)
    return ims_fail(err, rc, "blob %s: not in the store", digest->text);
  if (rc)
    return rc;
  if (blob.size > max_size)
    rc = ims_fail(err, IMGSTORE_ELIMIT, "blob %s: larger than the limit of %llu bytes", digest->text,
                  (unsigned long long)max_size);
  if (!rc)
    rc = read_whole(&blob, out, err);
  ims_blob_close(&blob);
  if (rc)
    return rc;
  ims_digest_of(&have, digest->algorithm, ims_buf_text(out), out->size);
  if (!ims_digest_equal(&have, digest))
    rc = ims_fail(err, IMGSTORE_ECORRUPT, "blob %s: damaged, it hashes to %s", digest->text, have.text);
  return rc;
}

static int32_t bring_in(imgstore_store *store, const ims_digest *digest, const void *data, size_t size,
                        ims_error *err) {
  ims_ingest ingest;
  int32_t rc = ims_ingest_open(&ingest, store, digest, size, err);
  if (rc)
    return rc;
  if (ingest.offset)
    rc = ims_ingest_restart(&ingest, err);
  if (!rc)
    rc = ims_ingest_write(&ingest, data, size, err);
  if (!rc)
    rc = ims_ingest_verify(&ingest, err);
  if (!rc)
    return ims_ingest_commit(&ingest, err);
  ims_ingest_close(&ingest, false);
  return rc;
}

int32_t ims_blob_save(imgstore_store *store, const ims_digest *digest, const void *data, size_t size, ims_error *err) {
  int32_t rc = IMGSTORE_EBUSY;
  for (int i = 0; i < SAVE_TRIES && rc == IMGSTORE_EBUSY; i++) {
    bool present;
    rc = ims_blob_check(store, digest, size, &present, err);
    if (rc || present)
      return rc;
    rc = bring_in(store, digest, data, size, err);
    if (rc == IMGSTORE_EBUSY)
      nanosleep(&(struct timespec){0, SAVE_WAIT_NS}, NULL);
  }
  return rc == IMGSTORE_EBUSY ? ims_fail(err, rc, "blob %s: another process is storing it", digest->text) : rc;
}
