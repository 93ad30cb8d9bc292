/*
 * store/store.c (L3) - the handle over a storage vtable: checks, errors, leases, barrier, references.
 */
#include "store/store.h"

#include <string.h>

static bool is_complete(const imgstore_storage *s) {
  return s->blob_open && s->blob_read && s->blob_close && s->blob_delete && s->blob_list && s->ingest_open &&
         s->ingest_read && s->ingest_write && s->ingest_commit && s->ingest_close && s->reference_get &&
         s->reference_set && s->reference_list && s->lease_open && s->lease_add && s->lease_close && s->lease_list &&
         s->lock && s->unlock;
}

/** What the caller's table has of ours; entries of later releases that it does not know are NULL. */
static int32_t copy_table(imgstore_storage *to, const imgstore_storage *from, ims_error *err) {
  memset(to, 0, sizeof *to);
  if (from->size < offsetof(imgstore_storage, ingest_sweep))
    return ims_fail(err, IMGSTORE_EINVALID, "storage: its size is below that of the first release");
  memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
  to->size = sizeof *to;
  if (!is_complete(to))
    return ims_fail(err, IMGSTORE_EINVALID, "storage: a required entry is missing");
  return IMGSTORE_OK;
}

int32_t ims_store_new(imgstore_store **store, ims_core *core, const imgstore_storage *storage, ims_error *err) {
  imgstore_storage table;
  *store = NULL;
  int32_t rc = copy_table(&table, storage, err);
  imgstore_store *made = rc ? NULL : ims_calloc(&core->alloc, 1, sizeof *made);
  if (!rc && !made)
    rc = ims_fail_nomem(err);
  if (rc) {
    if (table.destroy)
      table.destroy(table.user_data);
    return rc;
  }
  atomic_init(&made->refs, 1);
  made->core = ims_core_ref(core);
  made->storage = table;
  *store = made;
  return IMGSTORE_OK;
}

imgstore_store *ims_store_ref(imgstore_store *store) {
  if (store)
    atomic_fetch_add_explicit(&store->refs, 1, memory_order_relaxed);
  return store;
}

void ims_store_unref(imgstore_store *store) {
  if (!store || atomic_fetch_sub_explicit(&store->refs, 1, memory_order_acq_rel) != 1)
    return;
  if (store->storage.destroy)
    store->storage.destroy(store->storage.user_data);
  ims_core *core = store->core;
  ims_free(&core->alloc, store);
  ims_core_unref(core);
}

int32_t ims_store_fail(int32_t rc, const char *what, const char *name, ims_error *err) {
  const char *space = *name ? " " : "";
  if (rc == IMGSTORE_OK)
    return rc;
  if (rc == IMGSTORE_ENOMEM)
    return ims_fail_nomem(err);
  if (rc == IMGSTORE_EAGAIN) /* would look like a job that is not finished */
    return ims_fail(err, IMGSTORE_EPROTOCOL, "store: %s%s%s: the storage is not ready", what, space, name);
  if (rc > 0 || rc < IMGSTORE_EFORMAT)
    return ims_fail_callback(err, rc, "the storage");
  return ims_fail(err, rc, "store: %s%s%s: %s", what, space, name, imgstore_error_name(rc));
}

/* --- leases, barrier ---------------------------------------------------------------------------------------------- */

int32_t ims_lease_open(ims_lease *lease, imgstore_store *store, ims_error *err) {
  lease->store = NULL;
  lease->lease = NULL;
  int32_t rc = store->storage.lease_open(store->storage.user_data, &lease->lease);
  if (rc)
    return ims_store_fail(rc, "cannot make a lease", "", err);
  lease->store = ims_store_ref(store);
  return IMGSTORE_OK;
}

int32_t ims_lease_add(ims_lease *lease, const ims_digest *digest, ims_error *err) {
  imgstore_storage *s = &lease->store->storage;
  return ims_store_fail(s->lease_add(s->user_data, lease->lease, digest->text), "cannot lease", digest->text, err);
}

int32_t ims_lease_add_all(ims_lease *lease, const char *const *digests, size_t count, ims_error *err) {
  imgstore_storage *s = &lease->store->storage;
  int32_t rc = IMGSTORE_OK;
  if (s->lease_add_all)
    return ims_store_fail(s->lease_add_all(s->user_data, lease->lease, digests, count), "cannot lease",
                          count ? digests[0] : "", err);
  for (size_t i = 0; i < count && !rc; i++)
    rc = ims_store_fail(s->lease_add(s->user_data, lease->lease, digests[i]), "cannot lease", digests[i], err);
  return rc;
}

void ims_lease_close(ims_lease *lease) {
  if (!lease->store)
    return;
  lease->store->storage.lease_close(lease->store->storage.user_data, lease->lease);
  ims_store_unref(lease->store);
  lease->store = NULL;
  lease->lease = NULL;
}

int32_t ims_store_barrier(imgstore_store *store, ims_error *err) {
  if (!store->storage.barrier)
    return IMGSTORE_OK;
  return ims_store_fail(store->storage.barrier(store->storage.user_data), "cannot flush", "", err);
}
