/*
 * engine/blob_bytes.h (L4) - one small blob of a registry into memory: verified, with a ceiling. A part of a job.
 */
#ifndef IMS_ENGINE_BLOB_BYTES_H
#define IMS_ENGINE_BLOB_BYTES_H

#include "engine/client.h"
#include "engine/operation.h"
#include "oci/manifest.h"

typedef struct ims_blob_bytes {
  imgstore_operation *op;
  ims_client *client;
  const char *repository;
  ims_digest digest;
  uint64_t size;
  ims_buf bytes;
  ims_fetch *fetch;
  bool started, done, from_mirrors;
  int32_t failed;
  ims_error err; /**< of failed */
} ims_blob_bytes;

/** Fills a zeroed one; op, client, repository must live as long. */
void ims_blob_bytes_init(ims_blob_bytes *b, imgstore_operation *op, ims_client *client, const char *repository);
/** Begins with a descriptor whose embedded data, if any, is taken. Errors (not in b->err): IMGSTORE_ELIMIT. */
int32_t ims_blob_bytes_start(ims_blob_bytes *b, const imgstore_descriptor *descriptor, uint64_t max_size,
                             ims_error *err);
/** IMGSTORE_OK: b->bytes are right. IMGSTORE_EAGAIN, or the failure, which is in b->err. */
int32_t ims_blob_bytes_advance(ims_blob_bytes *b);
/** Stops, forgets the bytes; may be started again. */
void ims_blob_bytes_reset(ims_blob_bytes *b);

#endif
