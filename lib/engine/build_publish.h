/*
 * engine/build_publish.h (L4) - what everything that makes images does with a store: hold on to what is used, write
 * documents, set the name, in the order that a crash cannot hurt.
 */
#ifndef IMS_ENGINE_BUILD_PUBLISH_H
#define IMS_ENGINE_BUILD_PUBLISH_H

#include "base/buf.h"
#include "store/store.h"

/**
 * Leases what a manifest or index reaches and checks that what it needs is there. Errors: IMGSTORE_ENOTFOUND (names
 * the blob), IMGSTORE_ECORRUPT, IMGSTORE_EFORMAT.
 */
int32_t ims_hold_target(ims_lease *lease, const ims_digest *digest, uint64_t size, const char *media_type,
                        ims_error *err);
/** Leases and stores a document; *digest: its sha256. */
int32_t ims_save_document(ims_lease *lease, const ims_buf *document, ims_digest *digest, ims_error *err);
/** A new name: a reference without a digest. *full: its full name, freed by the caller. Errors: IMGSTORE_EFORMAT. */
int32_t ims_new_name(const ims_alloc *alloc, const char *name, char **full, ims_error *err);
/**
 * The end of making something: everything it needs is committed. Barrier, manifest, barrier, and the reference unless
 * full_name is NULL. expected: as in ims_ref_set. *digest: of the manifest.
 */
int32_t ims_publish_manifest(ims_lease *lease, const ims_buf *manifest, const char *media_type, const char *full_name,
                             const char *expected, ims_digest *digest, ims_error *err);

#endif
