/*
 * store/spool.c (L3) - an unnamed file in memory for a blob whose digest is not known yet. Must not know who makes it.
 */
#include "store/spool.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>

enum {
  COPY_BUFFER = 256 * 1024,
  PLACE_TRIES = 600,        /**< how often a blob that somebody else is storing is looked for again... */
  PLACE_WAIT_NS = 100000000 /**< ...and how long between */
};

static const ims_sys *sys_of(const ims_ingest *ingest) {
  return ingest->store->core->sys;
}

int32_t ims_spool_open(ims_ingest *ingest, imgstore_store *store, ims_error *err) {
  ingest->spool = store->core->sys->memfd_create("imgstore-blob", MFD_CLOEXEC);
  return ingest->spool < 0 ? ims_fail_os(err, errno, "store: cannot make a file in memory for a new blob")
                           : IMGSTORE_OK;
}

int32_t ims_spool_write(ims_ingest *ingest, uint64_t offset, const void *data, size_t size, ims_error *err) {
  const char *at = data;
  while (size) {
    ssize_t n = sys_of(ingest)->pwrite(ingest->spool, at, size, (off_t)offset);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return ims_fail_os(err, n < 0 ? errno : ENOSPC, "store: cannot write the file in memory of a new blob");
    at += n;
    size -= (size_t)n;
    offset += (uint64_t)n;
  }
  return IMGSTORE_OK;
}

int32_t ims_spool_read(ims_ingest *ingest, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err) {
  ssize_t n;
  *got = 0;
  do
    n = sys_of(ingest)->pread(ingest->spool, buffer, size, (off_t)offset);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return ims_fail_os(err, errno, "store: cannot read the file in memory of a new blob");
  *got = (size_t)n;
  return IMGSTORE_OK;
}

void ims_spool_close(ims_ingest *ingest) {
  if (ingest->spooled)
    sys_of(ingest)->close(ingest->spool);
  ingest->spooled = false;
}

/** Opens the storage's ingest, or finds the blob. */
static int32_t open_named(ims_ingest *ingest, ims_ingest *named, ims_error *err) {
  int32_t rc = IMGSTORE_EBUSY;
  for (int i = 0; i < PLACE_TRIES && rc == IMGSTORE_EBUSY && !ingest->kept; i++) {
    bool damaged;
    if (i)
      nanosleep(&(struct timespec){0, PLACE_WAIT_NS}, NULL);
    rc = ims_blob_find(ingest->store, &ingest->digest, ingest->size, &ingest->kept, &damaged, err);
    if (!rc && !ingest->kept)
      rc = ims_ingest_begin(named, ingest->store, &ingest->digest, ingest->size, err);
  }
  return rc == IMGSTORE_EBUSY ? ims_fail(err, rc, "blob %s: another process is storing it", ingest->digest.text) : rc;
}

static int32_t copy(ims_ingest *ingest, ims_ingest *named, ims_error *err) {
  const ims_alloc *alloc = &ingest->store->core->alloc;
  char *buffer = ims_malloc(alloc, COPY_BUFFER);
  if (!buffer)
    return ims_fail_nomem(err);
  int32_t rc = named->left ? ims_ingest_restart(named, err) : IMGSTORE_OK;
  while (!rc && named->offset < ingest->size) {
    size_t got;
    rc = ims_spool_read(ingest, named->offset, buffer, COPY_BUFFER, &got, err);
    if (!rc && !got)
      rc = ims_fail(err, IMGSTORE_ECORRUPT, "blob %s: shorter than it was", ingest->digest.text);
    if (!rc)
      rc = ims_ingest_write(named, buffer, got, err);
  }
  ims_free(alloc, buffer);
  return rc;
}

int32_t ims_spool_place(ims_ingest *ingest, ims_error *err) {
  ims_ingest named = {0};
  int32_t rc = open_named(ingest, &named, err);
  if (rc || ingest->kept)
    return rc;
  rc = copy(ingest, &named, err);
  if (rc) {
    ims_ingest_close(&named, false);
    return rc;
  }
  ims_spool_close(ingest);
  ims_store_unref(ingest->store);
  *ingest = named;
  return IMGSTORE_OK;
}
