/*
 * store/store.h (L3) - what imgstore_store is inside: a storage vtable with verification, references and leases above
 * it.
 *
 * The engine uses these; nothing else sees the vtable.
 */
#ifndef IMS_STORE_STORE_H
#define IMS_STORE_STORE_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/core.h"
#include "base/error.h"
#include "base/report.h"
#include "imgstore/storage.h"
#include "imgstore/store.h"
#include "oci/digest.h"
#include "oci/manifest.h"
#include "store/digest_set.h"

struct imgstore_store {
  atomic_uint refs;
  ims_core *core;
  imgstore_storage storage; /**< complete: missing optional entries are NULL */
};

/** Built-in backends: fill *storage. path: of the layout. */
int32_t ims_layout_storage_open(ims_core *core, const char *path, const imgstore_store_options *options,
                                imgstore_storage *storage, ims_error *err);
/** The descriptor of the private folder of a store that is an image-layout directory, borrowed; -1: it is none. */
int ims_layout_private_folder(const imgstore_store *store);
int32_t ims_memory_storage_open(ims_core *core, uint64_t max_bytes, imgstore_storage *storage, ims_error *err);

/** Takes over *storage (destroyed on failure too). Checks that required entries are there. */
int32_t ims_store_new(imgstore_store **store, ims_core *core, const imgstore_storage *storage, ims_error *err);
imgstore_store *ims_store_ref(imgstore_store *store);
void ims_store_unref(imgstore_store *store);
/** Turns what a vtable entry returned into *err; what: "cannot write blob", with name appended. */
int32_t ims_store_fail(int32_t rc, const char *what, const char *name, ims_error *err);

/* --- blobs ---------------------------------------------------------------------------------------------------- */

typedef struct ims_blob {
  imgstore_store *store;
  void *blob;
  ims_digest digest;
  uint64_t size;
} ims_blob;

/** IMGSTORE_ENOTFOUND without a message in *err when it is not there. */
int32_t ims_blob_open(ims_blob *blob, imgstore_store *store, const ims_digest *digest, ims_error *err);
int32_t ims_blob_read(ims_blob *blob, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err);
void ims_blob_close(ims_blob *blob);
/**
 * Is the blob there, of this size (UINT64_MAX: any), and verified? One that is not known to be verified is hashed now,
 * and quarantined when it is wrong. *present: the answer.
 */
int32_t ims_blob_check(imgstore_store *store, const ims_digest *digest, uint64_t size, bool *present, ims_error *err);
/** As ims_blob_check, for a worker, where nothing may be logged: *damaged says that there is something to tell. */
int32_t ims_blob_find(imgstore_store *store, const ims_digest *digest, uint64_t size, bool *present, bool *damaged,
                      ims_error *err);
void ims_blob_log_damage(const imgstore_store *store, const ims_digest *digest);
/** Hashes the whole content. */
int32_t ims_blob_hash(ims_blob *blob, ims_digest *digest, uint64_t *size, ims_error *err);
/** Moves a damaged blob out of the way, unless a good one has taken its place. */
int32_t ims_blob_quarantine(imgstore_store *store, const ims_digest *digest, ims_error *err);
/** Reads a whole small blob and verifies it. Errors: IMGSTORE_ENOTFOUND, IMGSTORE_ELIMIT, IMGSTORE_ECORRUPT. */
int32_t ims_blob_load(imgstore_store *store, const ims_digest *digest, uint64_t max_size, ims_buf *out, ims_error *err);
/** Stores a whole small blob that is already in memory, if it is not there; verified. */
int32_t ims_blob_save(imgstore_store *store, const ims_digest *digest, const void *data, size_t size, ims_error *err);

/* --- ingest --------------------------------------------------------------------------------------------------- */

/** A blob on its way in: bytes are hashed as they are written. */
typedef struct ims_ingest {
  imgstore_store *store;
  void *ingest; /**< NULL: not open */
  ims_digest digest;
  uint64_t size;
  uint64_t offset; /**< bytes written (or resumed) and hashed */
  uint64_t left;   /**< bytes that an earlier ingest left */
  ims_hash hash;
  bool verified; /**< size and digest are right, and nothing was written since */
  bool unnamed;  /**< ims_ingest_create made it and ims_ingest_name has not been called */
  bool spooled;  /**< the storage takes no unnamed ingest: its bytes are in spool until it has its name */
  bool kept;     /**< its blob was there already */
  int spool;
} ims_ingest;

/**
 * Opens; what an earlier ingest left is hashed and ingest->offset says how much there is, unless it is more than size:
 * then it starts over. Errors: IMGSTORE_EBUSY (somebody else has it: no message), ENOSPACE, ...
 */
int32_t ims_ingest_open(ims_ingest *ingest, imgstore_store *store, const ims_digest *digest, uint64_t size,
                        ims_error *err);
/** The same in pieces: opens, with ingest->left bytes to hash by ims_ingest_resume before anything is written. */
int32_t ims_ingest_begin(ims_ingest *ingest, imgstore_store *store, const ims_digest *digest, uint64_t size,
                         ims_error *err);
/** Hashes at most budget bytes of what an earlier ingest left. IMGSTORE_EAGAIN: there is more. */
int32_t ims_ingest_resume(ims_ingest *ingest, uint64_t budget, ims_error *err);
/**
 * A blob that is being made: its digest (sha256) and size are known when all of it was written, by ims_ingest_name.
 * Nobody else sees it before it is committed; it is never resumed.
 */
int32_t ims_ingest_create(ims_ingest *ingest, imgstore_store *store, ims_error *err);
/**
 * All bytes of a blob that is being made were written: sets ingest->digest and size. Then the digest is leased, and
 * verify and commit follow as for any other. A blob that is there already under that digest is kept.
 */
int32_t ims_ingest_name(ims_ingest *ingest, ims_error *err);
/** Hashes and writes. More than size is IMGSTORE_EDIGEST. May run on a worker when the storage is concurrent. */
int32_t ims_ingest_write(ims_ingest *ingest, const void *data, size_t size, ims_error *err);
/** Drops what was written and starts at offset 0. */
int32_t ims_ingest_restart(ims_ingest *ingest, ims_error *err);
int32_t ims_ingest_read(ims_ingest *ingest, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err);
/** Verifies size and digest (once; the bytes are dropped when wrong) and flushes according to durability. May run on a
 * worker. */
int32_t ims_ingest_verify(ims_ingest *ingest, ims_error *err);
/** After verify: makes it visible and closes. The publisher's lock is taken inside. */
int32_t ims_ingest_commit(ims_ingest *ingest, ims_error *err);
/** Ends it without commit. keep: for resume. NULL-safe: does nothing when not open. */
void ims_ingest_close(ims_ingest *ingest, bool keep);

/* --- leases, barrier -------------------------------------------------------------------------------------------- */

typedef struct ims_lease {
  imgstore_store *store;
  void *lease;
} ims_lease;

int32_t ims_lease_open(ims_lease *lease, imgstore_store *store, ims_error *err);
int32_t ims_lease_add(ims_lease *lease, const ims_digest *digest, ims_error *err);
/** digests: their texts. The collector's lock is taken once for all of them where the storage knows how. */
int32_t ims_lease_add_all(ims_lease *lease, const char *const *digests, size_t count, ims_error *err);
void ims_lease_close(ims_lease *lease);
int32_t ims_store_barrier(imgstore_store *store, ims_error *err);

/* --- references ------------------------------------------------------------------------------------------------- */

typedef struct ims_target {
  ims_digest digest;
  uint64_t size;
  char media_type[128];
  bool malformed; /**< the size or media type of its descriptor is none: its content is kept, but not believed */
  ims_digest
      index; /**< the index a single platform was chosen from; algorithm 0: none. Kept, but not its other children */
} ims_target;

/** IMGSTORE_ENOTFOUND without message when there is none. name: the full name. */
int32_t ims_ref_get(imgstore_store *store, const char *name, ims_target *target, ims_error *err);
/** Points name at target, durably. expected: as in reference_set. */
int32_t ims_ref_set(imgstore_store *store, const char *name, const char *expected, const ims_target *target,
                    ims_error *err);
int32_t ims_ref_remove(imgstore_store *store, const char *name, const char *expected, ims_error *err);
typedef int32_t (*ims_ref_visit)(void *data, const char *name, const ims_target *target);
/** Those whose descriptor has a digest that this library knows. */
int32_t ims_ref_list(imgstore_store *store, ims_ref_visit visit, void *data, ims_error *err);
/** The others. code: IMGSTORE_EUNSUPPORTED when the digest is one, but of an algorithm that is not known here. */
int32_t ims_ref_list_unclear(imgstore_store *store, int32_t (*visit)(void *data, const char *name, int32_t code),
                             void *data, ims_error *err);

/* --- whole-store jobs (store/collect.c, store/usage.c, store/check.c) --------------------------------------------- */

/** Resolves a name, ID or digest prefix to a target (BEHAVIOUR section 1: ambiguous prefixes list the candidates).
    An image ID (config digest) resolves to the manifest that has it. *ref_name: the reference it was found by, "" when
   by digest. */
int32_t ims_store_resolve(imgstore_store *store, const char *name, ims_target *target, ims_buf *ref_name,
                          ims_error *err);
/** Loads and parses a stored manifest. */
int32_t ims_store_manifest_load(imgstore_store *store, const ims_digest *digest, const char *media_type,
                                imgstore_manifest **manifest, ims_error *err);
int32_t ims_store_list(imgstore_store *store, imgstore_report *report, ims_error *err);
/** Gives what source stands for (as ims_store_resolve) another full name; collection is kept out meanwhile. */
int32_t ims_store_tag(imgstore_store *store, const char *source, const char *name, ims_error *err);
int32_t ims_store_remove(imgstore_store *store, const char *name, uint32_t flags, imgstore_report *report,
                         ims_error *err);
/** Deletes those blobs of a set that no reference reaches and no lease holds. */
int32_t ims_store_collect(imgstore_store *store, const ims_digest_set *only, ims_error *err);
int32_t ims_store_prune(imgstore_store *store, imgstore_report *report, ims_error *err);
int32_t ims_store_usage(imgstore_store *store, imgstore_report *report, ims_error *err);
int32_t ims_store_verify(imgstore_store *store, int32_t mode, imgstore_report *report, ims_error *err);

#endif
