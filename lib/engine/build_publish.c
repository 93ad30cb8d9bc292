/*
 * engine/build_publish.c (L4) - leases on what is used, documents, names: blobs first, then the manifest, then the
 * reference, with a barrier between them.
 */
#include "engine/build_publish.h"

#include <string.h>

#include "oci/reference.h"
#include "store/walk.h"

static int32_t check_held(imgstore_store *store, const ims_digest_item *item, const ims_digest *digest,
                          ims_error *err) {
  ims_blob blob;
  if (!(item->flags & IMS_WALK_REQUIRED))
    return IMGSTORE_OK;
  int32_t rc = ims_blob_open(&blob, store, digest, err);
  if (rc == IMGSTORE_ENOTFOUND)
    return ims_fail(err, rc, "blob %s: not in the store", digest->text);
  if (rc)
    return rc;
  if (item->size != UINT64_MAX && blob.size != item->size)
    rc = ims_fail(err, IMGSTORE_ECORRUPT, "blob %s: has %llu bytes in the store, not %llu", digest->text,
                  (unsigned long long)blob.size, (unsigned long long)item->size);
  ims_blob_close(&blob);
  return rc;
}

int32_t ims_hold_target(ims_lease *lease, const ims_digest *digest, uint64_t size, const char *media_type,
                        ims_error *err) {
  imgstore_store *store = lease->store;
  ims_target target = {.digest = *digest, .size = size};
  ims_walk walk;
  size_t length = strlen(media_type);
  if (length < sizeof target.media_type)
    memcpy(target.media_type, media_type, length + 1);
  ims_walk_init(&walk, store, false);
  int32_t rc = ims_walk_target(&walk, &target, err);
  for (size_t i = 0; !rc && i < walk.seen.count; i++) {
    ims_digest one;
    ims_digest_item_digest(&walk.seen.items[i], &one);
    rc = ims_lease_add(lease, &one, err);
  }
  for (size_t i = 0; !rc && i < walk.seen.count; i++) { /* only what is leased stays */
    ims_digest one;
    ims_digest_item_digest(&walk.seen.items[i], &one);
    rc = check_held(store, &walk.seen.items[i], &one, err);
  }
  ims_walk_free(&walk);
  return rc;
}

int32_t ims_save_document(ims_lease *lease, const ims_buf *document, ims_digest *digest, ims_error *err) {
  ims_digest_of(digest, IMS_HASH_SHA256, ims_buf_text(document), document->size);
  int32_t rc = ims_lease_add(lease, digest, err);
  return rc ? rc : ims_blob_save(lease->store, digest, ims_buf_text(document), document->size, err);
}

int32_t ims_new_name(const ims_alloc *alloc, const char *name, char **full, ims_error *err) {
  imgstore_reference *reference = NULL;
  *full = NULL;
  int32_t rc = ims_reference_parse(&reference, alloc, name, err);
  if (!rc && reference->digest.algorithm)
    rc = ims_fail(err, IMGSTORE_EFORMAT, "%s: a new name cannot have a digest", name);
  if (!rc && !(*full = ims_strdup(alloc, reference->name)))
    rc = ims_fail_nomem(err);
  imgstore_reference_unref(reference);
  return rc;
}

int32_t ims_publish_manifest(ims_lease *lease, const ims_buf *manifest, const char *media_type, const char *full_name,
                             const char *expected, ims_digest *digest, ims_error *err) {
  imgstore_store *store = lease->store;
  int32_t rc = ims_store_barrier(store, err);
  if (!rc)
    rc = ims_save_document(lease, manifest, digest, err);
  if (!rc)
    rc = ims_store_barrier(store, err);
  if (rc || !full_name)
    return rc;
  ims_target target = {.digest = *digest, .size = manifest->size};
  memcpy(target.media_type, media_type, strlen(media_type) + 1);
  return ims_ref_set(store, full_name, expected, &target, err);
}
