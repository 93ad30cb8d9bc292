/*
 * store/spool.h (L3, inside store/) - blobs that are being made, on a storage that cannot take a blob without a name:
 * the bytes wait in an unnamed file in memory.
 */
#ifndef IMS_STORE_SPOOL_H
#define IMS_STORE_SPOOL_H

#include "store/store.h"

int32_t ims_spool_open(ims_ingest *ingest, imgstore_store *store, ims_error *err);
/** offset: where the last write ended. */
int32_t ims_spool_write(ims_ingest *ingest, uint64_t offset, const void *data, size_t size, ims_error *err);
int32_t ims_spool_read(ims_ingest *ingest, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err);
/**
 * The digest is known and leased: copies the bytes into an ingest of the storage, which takes the spool's place, or
 * finds that the blob is there (ingest->kept). Waits a while for another process that is storing the same.
 */
int32_t ims_spool_place(ims_ingest *ingest, ims_error *err);
void ims_spool_close(ims_ingest *ingest);

#endif
