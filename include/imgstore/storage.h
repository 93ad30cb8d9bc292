/*
 * imgstore/storage.h - the storage vtable: where blobs and references live.
 *
 * A backend keeps bytes under digests and small values under names. It verifies nothing: the library hashes
 * what goes in before commit and what comes out before use. Two backends are built in: an OCI image-layout
 * directory and memory. tests/unit/storage_conformance.c holds any backend against these rules.
 *
 * Every entry returns IMGSTORE_OK or one of IMGSTORE_E*; any other value stops the job and comes back in
 * imgstore_error_callback_value. Entries run on the thread that drives the operation, except that with
 * IMGSTORE_STORAGE_CONCURRENT in flags the ingest_ and blob_ entries, lock and unlock may run on worker threads, never
 * two at once for the same ingest or blob.
 *
 * Entries that are not called optional are required. A visit function is called on the thread of the call.
 */
#ifndef IMGSTORE_STORAGE_H
#define IMGSTORE_STORAGE_H

#include "imgstore/common.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { IMGSTORE_STORAGE_CONCURRENT = 1u << 0 };

/** Receives one item of an enumeration; non-zero stops it and is returned by the enumerating entry. */
typedef int32_t (*imgstore_blob_visit)(void *visit_data, const char *digest, uint64_t size);
/** descriptor: the JSON text of a descriptor (media type, digest, size, annotations). */
typedef int32_t (*imgstore_reference_visit)(void *visit_data, const char *name, const char *descriptor, size_t size);

typedef struct imgstore_storage {
  size_t size; /**< sizeof(imgstore_storage); a longer one is accepted, its tail ignored */
  void *user_data;
  uint32_t flags;    /**< IMGSTORE_STORAGE_* */
  uint32_t reserved; /**< 0 */

  /** Opens a committed blob. IMGSTORE_ENOTFOUND when there is none. */
  int32_t (*blob_open)(void *user_data, const char *digest, void **blob, uint64_t *size);
  /** Reads up to size bytes at offset; *got 0 at the end. */
  int32_t (*blob_read)(void *user_data, void *blob, uint64_t offset, void *buffer, size_t size, size_t *got);
  /** A descriptor of the blob's file, owned by the blob, for zero-copy paths. Optional. */
  int32_t (*blob_fd)(void *user_data, void *blob, int32_t *fd);
  void (*blob_close)(void *user_data, void *blob);
  /** Whether the backend knows that the blob was verified since it was last written: 1 or 0. Optional: 0. */
  int32_t (*blob_is_verified)(void *user_data, void *blob);
  /** The library has hashed the blob and it is right. Optional. */
  int32_t (*blob_set_verified)(void *user_data, void *blob);
  /** Moves a damaged blob out of the way so that it can be fetched again. Optional: it is deleted. */
  int32_t (*blob_quarantine)(void *user_data, const char *digest);
  /** Removes a blob. IMGSTORE_ENOTFOUND when there is none. Must work on a full disk. */
  int32_t (*blob_delete)(void *user_data, const char *digest);
  /** Calls visit for every blob. A digest that does not parse is the name of something that is not the backend's:
      imgstore_store_verify reports it, everything else leaves it alone. */
  int32_t (*blob_list)(void *user_data, imgstore_blob_visit visit, void *visit_data);

  /**
   * Begins or resumes bringing in a blob of the given size. *offset: how many bytes a former, unfinished ingest left.
   * IMGSTORE_EBUSY when another process or operation is bringing it in: the library asks again later.
   */
  int32_t (*ingest_open)(void *user_data, const char *digest, uint64_t size, void **ingest, uint64_t *offset);
  /** Reads back what was written, to hash the start of a resumed blob or to unpack it as it grows. */
  int32_t (*ingest_read)(void *user_data, void *ingest, uint64_t offset, void *buffer, size_t size, size_t *got);
  /** Writes at offset, which is where the last write ended, or 0 to start over. */
  int32_t (*ingest_write)(void *user_data, void *ingest, uint64_t offset, const void *data, size_t size);
  /** Makes written bytes durable, ahead of commit; may run long. Optional. */
  int32_t (*ingest_flush)(void *user_data, void *ingest);
  /** The bytes are verified: makes the blob visible under its digest and ends the ingest, on failure too. */
  int32_t (*ingest_commit)(void *user_data, void *ingest);
  /** Ends an ingest without commit. keep: 1 to leave the bytes for a later resume, 0 to drop them. */
  void (*ingest_close)(void *user_data, void *ingest, int32_t keep);

  /** Returns when every committed blob is durable. Optional. */
  int32_t (*barrier)(void *user_data);

  /** Reads a reference: calls visit once, or returns IMGSTORE_ENOTFOUND. */
  int32_t (*reference_get)(void *user_data, const char *name, imgstore_reference_visit visit, void *visit_data);
  /**
   * Sets (descriptor) or removes (descriptor NULL) a reference, durably, when it still has the digest expected:
   * NULL: whatever it has; "": it must not exist. Otherwise IMGSTORE_ECONFLICT; removing what is not there
   * IMGSTORE_ENOTFOUND.
   */
  int32_t (*reference_set)(void *user_data, const char *name, const char *expected, const char *descriptor,
                           size_t size);
  int32_t (*reference_list)(void *user_data, imgstore_reference_visit visit, void *visit_data);

  /** Begins a lease: digests added to it are not collected until it ends. A dead process's lease ends by itself. */
  int32_t (*lease_open)(void *user_data, void **lease);
  int32_t (*lease_add)(void *user_data, void *lease, const char *digest);
  void (*lease_close)(void *user_data, void *lease);
  /** Calls visit for every digest that a live lease holds; size is 0. */
  int32_t (*lease_list)(void *user_data, imgstore_blob_visit visit, void *visit_data);
  /** Keeps publishers (exclusive 0) or everyone else (exclusive 1) out until unlock. IMGSTORE_EBUSY is not an answer:
   * it waits. */
  int32_t (*lock)(void *user_data, int32_t exclusive, void **lock);
  void (*unlock)(void *user_data, void *lock);

  /** Called once when the store is freed. Optional. */
  void (*destroy)(void *user_data);

  /**
   * Removes what interrupted jobs left: calls visit for every unfinished ingest that nobody has open; it is removed
   * when visit returns 0 and kept when it returns 1. Blobs in quarantine are removed too. Optional.
   */
  int32_t (*ingest_sweep)(void *user_data, imgstore_blob_visit visit, void *visit_data);

  /**
   * Begins bringing in a blob that is being made: digest and size are known at its end only. It is written, read and
   * flushed as any other; nobody else sees it, and it is never resumed: closing it drops the bytes whatever keep says,
   * and so does the death of the process. Optional, together with ingest_name: without them the library keeps the bytes
   * in memory until it knows the digest.
   */
  int32_t (*ingest_create)(void *user_data, void **ingest);
  /**
   * All bytes of an ingest that ingest_create began are written: this is their digest and size. Called once;
   * ingest_commit follows, and keeps a blob that is there already under that digest when it is known to be right.
   */
  int32_t (*ingest_name)(void *user_data, void *ingest, const char *digest, uint64_t size);

  /**
   * As lease_add for count digests at once: all are added, or an error is returned and any of them may be. Optional:
   * without it lease_add is called for each.
   */
  int32_t (*lease_add_all)(void *user_data, void *lease, const char *const *digests, size_t count);
} imgstore_storage;

#ifdef __cplusplus
}
#endif
#endif
