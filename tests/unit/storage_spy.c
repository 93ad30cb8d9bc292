/* tests/unit/storage_spy.c - every entry passes through to memory; each says whether it may run on a worker. */
#include "storage_spy.h"

#include <string.h>

#include "store/store.h"

enum { DRIVER_ONLY = 0, WORKER_TOO = 1 };

static void enter(storage_spy *s, int where) {
  atomic_fetch_add(&s->calls, 1);
  if (atomic_fetch_add(&s->entered, 1) && !(s->flags & IMGSTORE_STORAGE_CONCURRENT))
    atomic_fetch_add(&s->together, 1);
  if (pthread_equal(pthread_self(), s->driver))
    return;
  atomic_fetch_add(&s->on_workers, 1);
  if (where == DRIVER_ONLY || !(s->flags & IMGSTORE_STORAGE_CONCURRENT))
    atomic_fetch_add(&s->wrong, 1);
}

static int32_t leave(storage_spy *s, int32_t rc) {
  atomic_fetch_sub(&s->entered, 1);
  return rc;
}

/* An entry: name, where it may run, its parameters and arguments after user_data. */
#define PARAMETERS(...) __VA_ARGS__
#define ARGUMENTS(...) __VA_ARGS__
#define ENTRY(name, where, parameters, arguments)                                                                      \
  static int32_t spy_##name(void *user_data, parameters) {                                                             \
    storage_spy *s = user_data;                                                                                        \
    enter(s, where);                                                                                                   \
    return leave(s, s->inner.name(s->inner.user_data, arguments));                                                     \
  }
#define ENTRY_VOID(name, where, parameters, arguments)                                                                 \
  static void spy_##name(void *user_data, parameters) {                                                                \
    storage_spy *s = user_data;                                                                                        \
    enter(s, where);                                                                                                   \
    s->inner.name(s->inner.user_data, arguments);                                                                      \
    leave(s, 0);                                                                                                       \
  }

ENTRY(blob_open, WORKER_TOO, PARAMETERS(const char *digest, void **blob, uint64_t *size), ARGUMENTS(digest, blob, size))
ENTRY(blob_read, WORKER_TOO, PARAMETERS(void *blob, uint64_t offset, void *buffer, size_t size, size_t *got),
      ARGUMENTS(blob, offset, buffer, size, got))
ENTRY_VOID(blob_close, WORKER_TOO, PARAMETERS(void *blob), ARGUMENTS(blob))
ENTRY(blob_is_verified, WORKER_TOO, PARAMETERS(void *blob), ARGUMENTS(blob))
ENTRY(blob_set_verified, WORKER_TOO, PARAMETERS(void *blob), ARGUMENTS(blob))
ENTRY(blob_delete, WORKER_TOO, PARAMETERS(const char *digest), ARGUMENTS(digest))
ENTRY(blob_list, WORKER_TOO, PARAMETERS(imgstore_blob_visit visit, void *data), ARGUMENTS(visit, data))
ENTRY(ingest_read, WORKER_TOO, PARAMETERS(void *ingest, uint64_t offset, void *buffer, size_t size, size_t *got),
      ARGUMENTS(ingest, offset, buffer, size, got))
ENTRY(ingest_write, WORKER_TOO, PARAMETERS(void *ingest, uint64_t offset, const void *data, size_t size),
      ARGUMENTS(ingest, offset, data, size))
ENTRY(ingest_commit, WORKER_TOO, PARAMETERS(void *ingest), ARGUMENTS(ingest))
ENTRY_VOID(ingest_close, WORKER_TOO, PARAMETERS(void *ingest, int32_t keep), ARGUMENTS(ingest, keep))
ENTRY(reference_get, DRIVER_ONLY, PARAMETERS(const char *name, imgstore_reference_visit visit, void *data),
      ARGUMENTS(name, visit, data))
ENTRY(reference_set, DRIVER_ONLY,
      PARAMETERS(const char *name, const char *expected, const char *descriptor, size_t size),
      ARGUMENTS(name, expected, descriptor, size))
ENTRY(reference_list, DRIVER_ONLY, PARAMETERS(imgstore_reference_visit visit, void *data), ARGUMENTS(visit, data))
ENTRY(lease_add, DRIVER_ONLY, PARAMETERS(void *lease, const char *digest), ARGUMENTS(lease, digest))
ENTRY_VOID(lease_close, DRIVER_ONLY, PARAMETERS(void *lease), ARGUMENTS(lease))
ENTRY(lease_list, DRIVER_ONLY, PARAMETERS(imgstore_blob_visit visit, void *data), ARGUMENTS(visit, data))
ENTRY(lock, WORKER_TOO, PARAMETERS(int32_t exclusive, void **lock), ARGUMENTS(exclusive, lock))
ENTRY_VOID(unlock, WORKER_TOO, PARAMETERS(void *lock), ARGUMENTS(lock))

static int32_t spy_ingest_open(void *user_data, const char *digest, uint64_t size, void **ingest, uint64_t *offset) {
  storage_spy *s = user_data;
  enter(s, WORKER_TOO);
  if (s->ingest_open_rc)
    return leave(s, s->ingest_open_rc);
  return leave(s, s->inner.ingest_open(s->inner.user_data, digest, size, ingest, offset));
}

static int32_t spy_lease_open(void *user_data, void **lease) {
  storage_spy *s = user_data;
  enter(s, DRIVER_ONLY);
  return leave(s, s->lease_open_rc ? s->lease_open_rc : s->inner.lease_open(s->inner.user_data, lease));
}

static void spy_destroy(void *user_data) {
  storage_spy *s = user_data;
  enter(s, DRIVER_ONLY);
  s->inner.destroy(s->inner.user_data);
  atomic_fetch_add(&s->destroyed, 1);
  leave(s, 0);
}

imgstore_storage spy_storage(storage_spy *spy, imgstore_context *context, uint32_t flags) {
  memset(spy, 0, sizeof *spy);
  spy->driver = pthread_self();
  spy->flags = flags;
  ims_memory_storage_open(context, 0, &spy->inner, NULL);
  return (imgstore_storage){.size = sizeof(imgstore_storage),
                            .user_data = spy,
                            .flags = flags,
                            .blob_open = spy_blob_open,
                            .blob_read = spy_blob_read,
                            .blob_close = spy_blob_close,
                            .blob_is_verified = spy_blob_is_verified,
                            .blob_set_verified = spy_blob_set_verified,
                            .blob_delete = spy_blob_delete,
                            .blob_list = spy_blob_list,
                            .ingest_open = spy_ingest_open,
                            .ingest_read = spy_ingest_read,
                            .ingest_write = spy_ingest_write,
                            .ingest_commit = spy_ingest_commit,
                            .ingest_close = spy_ingest_close,
                            .reference_get = spy_reference_get,
                            .reference_set = spy_reference_set,
                            .reference_list = spy_reference_list,
                            .lease_open = spy_lease_open,
                            .lease_add = spy_lease_add,
                            .lease_close = spy_lease_close,
                            .lease_list = spy_lease_list,
                            .lock = spy_lock,
                            .unlock = spy_unlock,
                            .destroy = spy_destroy};
}
