/*
 * engine/archive_open.h (L4) - from the path of an archive to a store that is only read. A plain file is read where it
 * is. What cannot be read at any place - a pipe, a file that is compressed as a whole - is first written, decompressed,
 * to a file without a name, which goes with the process however that ends.
 */
#ifndef IMS_ENGINE_ARCHIVE_OPEN_H
#define IMS_ENGINE_ARCHIVE_OPEN_H

#include "engine/archive_store.h"
#include "engine/operation.h"

typedef struct ims_archive_opening ims_archive_opening;

/** Nothing is opened yet. format: as of ims_archive_store_new. temp_dir: where a copy goes. Strings are copied. */
int32_t ims_archive_opening_new(ims_archive_opening **opening, imgstore_operation *op, const char *path, int32_t format,
                                const char *temp_dir, ims_error *err);
/** Driver's turn. IMGSTORE_OK: it is open; IMGSTORE_EAGAIN; or the failure, which names the archive, in op->err. */
int32_t ims_archive_opening_advance(ims_archive_opening *opening, int64_t now);
/** The store, once. */
int32_t ims_archive_opening_take(ims_archive_opening *opening, imgstore_store **store, ims_error *err);
/** Stops what runs. NULL is accepted. */
void ims_archive_opening_free(ims_archive_opening *opening);

#endif
