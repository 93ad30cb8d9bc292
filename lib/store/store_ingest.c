/*
 * store/store_ingest.c (L3) - blobs on their way in: hashed as they are written, published only when they are right.
 */
#include <string.h>

#include "store/spool.h"
#include "store/store.h"
#include "store/walk.h"

enum { RESUME_BUFFER = 256 * 1024 };

int32_t ims_ingest_resume(ims_ingest *in, uint64_t budget, ims_error *err) {
  const ims_alloc *alloc = &in->store->core->alloc;
  if (in->offset >= in->left)
    return IMGSTORE_OK;
  char *buffer = ims_malloc(alloc, RESUME_BUFFER);
  if (!buffer)
    return ims_fail_nomem(err);
  uint64_t end = in->left - in->offset < budget ? in->left : in->offset + budget;
  size_t got = 1;
  while (in->offset < end && got) {
    size_t want = end - in->offset < RESUME_BUFFER ? (size_t)(end - in->offset) : RESUME_BUFFER;
    if (ims_ingest_read(in, in->offset, buffer, want, &got, NULL))
      got = 0;
    ims_hash_update(&in->hash, buffer, got);
    in->offset += got;
  }
  ims_free(alloc, buffer);
  if (!got) /* what cannot be read back is written again */
    return ims_ingest_restart(in, err);
  return in->offset < in->left ? IMGSTORE_EAGAIN : IMGSTORE_OK;
}

int32_t ims_ingest_begin(ims_ingest *ingest, imgstore_store *store, const ims_digest *digest, uint64_t size,
                         ims_error *err) {
  memset(ingest, 0, sizeof *ingest);
  int32_t rc = store->storage.ingest_open(store->storage.user_data, digest->text, size, &ingest->ingest, &ingest->left);
  if (rc == IMGSTORE_EBUSY)
    return rc;
  if (rc)
    return ims_store_fail(rc, "cannot bring in blob", digest->text, err);
  ingest->store = ims_store_ref(store);
  ingest->digest = *digest;
  ingest->size = size;
  ims_hash_init(&ingest->hash, digest->algorithm);
  rc = ingest->left > size ? ims_ingest_restart(ingest, err) : IMGSTORE_OK;
  if (rc)
    ims_ingest_close(ingest, true);
  return rc;
}

int32_t ims_ingest_open(ims_ingest *ingest, imgstore_store *store, const ims_digest *digest, uint64_t size,
                        ims_error *err) {
  int32_t rc = ims_ingest_begin(ingest, store, digest, size, err);
  if (rc)
    return rc;
  rc = ims_ingest_resume(ingest, UINT64_MAX, err);
  if (rc)
    ims_ingest_close(ingest, true);
  return rc;
}

int32_t ims_ingest_create(ims_ingest *ingest, imgstore_store *store, ims_error *err) {
  imgstore_storage *s = &store->storage;
  int32_t rc;
  memset(ingest, 0, sizeof *ingest);
  ingest->digest = (ims_digest){.algorithm = IMS_HASH_SHA256, .text = "(new)"};
  ingest->size = UINT64_MAX;
  ingest->unnamed = true;
  ingest->spooled = !s->ingest_create || !s->ingest_name;
  if (ingest->spooled)
    rc = ims_spool_open(ingest, store, err);
  else
    rc = ims_store_fail(s->ingest_create(s->user_data, &ingest->ingest), "cannot make a new blob", "", err);
  if (rc)
    return rc;
  ingest->store = ims_store_ref(store);
  ims_hash_init(&ingest->hash, IMS_HASH_SHA256);
  return IMGSTORE_OK;
}

int32_t ims_ingest_name(ims_ingest *ingest, ims_error *err) {
  imgstore_storage *s = &ingest->store->storage;
  ims_hash hash = ingest->hash;
  if (!ingest->unnamed)
    return ims_fail(err, IMGSTORE_EINVALID, "blob %s: has its name already", ingest->digest.text);
  ims_digest_from_hash(&ingest->digest, &hash);
  ingest->size = ingest->offset;
  ingest->unnamed = false;
  if (ingest->spooled)
    return IMGSTORE_OK;
  return ims_store_fail(s->ingest_name(s->user_data, ingest->ingest, ingest->digest.text, ingest->size),
                        "cannot name blob", ingest->digest.text, err);
}

int32_t ims_ingest_write(ims_ingest *ingest, const void *data, size_t size, ims_error *err) {
  imgstore_storage *s = &ingest->store->storage;
  if (size > ingest->size - ingest->offset)
    return ims_fail(err, IMGSTORE_EDIGEST, "blob %s: more bytes than the %llu of its descriptor", ingest->digest.text,
                    (unsigned long long)ingest->size);
  if (!size)
    return IMGSTORE_OK;
  ingest->verified = false;
  int32_t rc;
  if (ingest->spooled)
    rc = ims_spool_write(ingest, ingest->offset, data, size, err);
  else
    rc = ims_store_fail(s->ingest_write(s->user_data, ingest->ingest, ingest->offset, data, size), "cannot write blob",
                        ingest->digest.text, err);
  if (rc)
    return rc;
  ims_hash_update(&ingest->hash, data, size);
  ingest->offset += size;
  return IMGSTORE_OK;
}

int32_t ims_ingest_restart(ims_ingest *ingest, ims_error *err) {
  imgstore_storage *s = &ingest->store->storage;
  ims_hash_init(&ingest->hash, ingest->digest.algorithm);
  ingest->offset = ingest->left = 0;
  ingest->verified = false;
  if (ingest->spooled)
    return IMGSTORE_OK;
  return ims_store_fail(s->ingest_write(s->user_data, ingest->ingest, 0, "", 0), "cannot start over blob",
                        ingest->digest.text, err);
}

int32_t ims_ingest_read(ims_ingest *ingest, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err) {
  imgstore_storage *s = &ingest->store->storage;
  *got = 0;
  if (ingest->spooled)
    return ims_spool_read(ingest, offset, buffer, size, got, err);
  int32_t rc = s->ingest_read(s->user_data, ingest->ingest, offset, buffer, size, got);
  if (!rc && *got > size)
    rc = IMGSTORE_EPROTOCOL;
  if (rc)
    *got = 0;
  return ims_store_fail(rc, "cannot read back blob", ingest->digest.text, err);
}

static int32_t check_digest(ims_ingest *ingest, ims_error *err) {
  ims_digest have;
  ims_hash hash = ingest->hash;
  if (ingest->offset != ingest->size)
    return ims_fail(err, IMGSTORE_EDIGEST, "blob %s: %llu bytes instead of the %llu of its descriptor",
                    ingest->digest.text, (unsigned long long)ingest->offset, (unsigned long long)ingest->size);
  ims_digest_from_hash(&have, &hash);
  if (!ims_digest_equal(&have, &ingest->digest))
    return ims_fail(err, IMGSTORE_EDIGEST, "blob %s: its content hashes to %s", ingest->digest.text, have.text);
  return IMGSTORE_OK;
}

int32_t ims_ingest_verify(ims_ingest *ingest, ims_error *err) {
  imgstore_storage *s = &ingest->store->storage;
  if (ingest->verified)
    return IMGSTORE_OK;
  int32_t rc = check_digest(ingest, err);
  if (rc) {
    ims_ingest_restart(ingest, NULL);
    return rc;
  }
  if (ingest->spooled)
    rc = ims_spool_place(ingest, err);
  if (rc)
    return rc;
  if (s->ingest_flush && !ingest->kept)
    rc = s->ingest_flush(s->user_data, ingest->ingest);
  ingest->verified = rc == IMGSTORE_OK;
  return ims_store_fail(rc, "cannot flush blob", ingest->digest.text, err);
}

static void forget(ims_ingest *ingest) {
  ims_spool_close(ingest);
  ims_store_unref(ingest->store);
  ingest->store = NULL;
  ingest->ingest = NULL;
}

int32_t ims_ingest_commit(ims_ingest *ingest, ims_error *err) {
  imgstore_storage *s = &ingest->store->storage;
  void *lock = NULL;
  int32_t rc =
      ingest->verified ? IMGSTORE_OK : ims_fail(err, IMGSTORE_EINVALID, "blob %s: not verified", ingest->digest.text);
  if (!rc && !ingest->kept)
    rc = ims_store_lock(ingest->store, 0, &lock, err);
  if (rc || ingest->kept) {
    ims_ingest_close(ingest, true);
    return rc;
  }
  rc = ims_store_fail(s->ingest_commit(s->user_data, ingest->ingest), "cannot publish blob", ingest->digest.text, err);
  ims_store_unlock(ingest->store, lock);
  forget(ingest);
  return rc;
}

void ims_ingest_close(ims_ingest *ingest, bool keep) {
  if (!ingest->store)
    return;
  imgstore_storage *s = &ingest->store->storage;
  if (!ingest->spooled)
    s->ingest_close(s->user_data, ingest->ingest, keep);
  forget(ingest);
}
