/*
 * engine/archive_store.h (L4) - an archive of images as a store that is only read: blobs are read where they are in the
 * file, references are the names that its documents give. Nothing is unpacked or kept.
 *
 * Shared by archive_store.c (the storage) and archive_names.c (what the documents say).
 */
#ifndef IMS_ENGINE_ARCHIVE_STORE_H
#define IMS_ENGINE_ARCHIVE_STORE_H

#include "engine/archive_content.h"
#include "engine/archive_index.h"
#include "imgstore/archive.h"
#include "store/digest_set.h"
#include "store/store.h"

/** A blob: of the file, or a manifest that was composed for an image of Docker's format. */
typedef struct ims_archive_blob {
  const ims_archive_member *member; /**< or NULL: text */
  char *text;
  uint64_t size;
} ims_archive_blob;

typedef struct ims_archive_name {
  char *name;
  char *descriptor; /**< JSON */
  ims_digest digest;
} ims_archive_name;

typedef struct ims_archive_store {
  ims_archive_index index;
  ims_digest_set digests; /**< the size of an item is its place in blobs */
  ims_archive_blob *blobs;
  size_t blob_count, blob_capacity;
  ims_archive_name *names;
  size_t name_count, name_capacity;
  int32_t format;                    /**< IMGSTORE_ARCHIVE_AUTO (index.json when it is there), _OCI or _DOCKER */
  struct ims_archive_naming *naming; /**< while the documents are read */
} ims_archive_store;

/** path, fd: as ims_archive_index_begin. Nothing is read yet. */
int32_t ims_archive_store_new(ims_archive_store **archive, ims_core *core, const char *path, int fd, int32_t format,
                              ims_error *err);
/**
 * Reads some of the archive: headers, documents, layers whose digest nothing says. IMGSTORE_OK: all that is needed was
 * read; IMGSTORE_EAGAIN. Messages do not name the archive. Errors: as ims_archive_index_step, IMGSTORE_EDIGEST.
 */
int32_t ims_archive_store_step(ims_archive_store *archive, ims_error *err);
/** NULL is accepted. */
void ims_archive_store_free(ims_archive_store *archive);
/** All was read: makes a store of it, which takes it over, also on failure. */
int32_t ims_archive_store_take(ims_archive_store *archive, imgstore_store **store, ims_error *err);

/** Puts the archive, and the member that the message is about, before the message of a failure; does nothing when the
 * store is no archive, or the failure is none of its content. Returns the code. */
int32_t ims_archive_store_blame(const imgstore_store *store, int32_t code, ims_error *err);

/** Adds a blob, unless it is there. Takes over text. */
int32_t ims_archive_store_add(ims_archive_store *archive, const ims_digest *digest, const ims_archive_member *member,
                              char *text, uint64_t size, ims_error *err);
/** NULL when there is none. */
const ims_archive_blob *ims_archive_store_blob(const ims_archive_store *archive, const ims_digest *digest);

/* --- archive_names.c --- */

/**
 * Reads some of the documents: adds references, and the blobs that only the documents tell of. IMGSTORE_OK: all were
 * read; IMGSTORE_EAGAIN.
 */
int32_t ims_archive_naming_step(ims_archive_store *archive, ims_error *err);
void ims_archive_naming_free(ims_archive_store *archive);

#endif
