/*
 * engine/layer_writer.h (L4) - a layer in the making: tar bytes go in, and a blob of the store comes out, hashed before
 * and after compression in the same pass.
 *
 * With workers the blocks of the stream are compressed on the context's pool while the next ones are being filled; the
 * bytes are the same with any number of workers. Memory is bounded, whatever the layer's size.
 */
#ifndef IMS_ENGINE_LAYER_WRITER_H
#define IMS_ENGINE_LAYER_WRITER_H

#include "compress/encoder.h"
#include "store/store.h"

typedef struct ims_layer_writer ims_layer_writer;

typedef struct ims_new_layer {
  ims_digest digest;
  ims_digest diff_id;
  uint64_t size;        /**< bytes of the blob */
  uint64_t tar_size;    /**< bytes before compression */
  int32_t encode;       /**< IMS_ENCODE_* */
  char media_type[64];  /**< of the OCI */
  char docker_type[80]; /**< of Docker's schema 2 */
} ims_new_layer;

/** lease: takes the blob before it is visible; it must outlive the writer. encode, level: see compress/encoder.h. */
int32_t ims_layer_writer_open(ims_layer_writer **writer, imgstore_store *store, ims_lease *lease, int32_t encode,
                              int32_t level, ims_error *err);
/**
 * Takes bytes of the tar. May be called on a worker when the storage is concurrent, on one thread at a time; a call
 * compresses a few blocks at most before it returns.
 */
int32_t ims_layer_writer_put(ims_layer_writer *writer, const void *data, size_t size, ims_error *err);
/** So far. */
uint64_t ims_layer_writer_tar_size(const ims_layer_writer *writer);
/**
 * The tar is complete: stores the blob (one that is there already is kept) and fills *layer. Leases are taken on the
 * driving thread only, so this is not for a worker.
 */
int32_t ims_layer_writer_finish(ims_layer_writer *writer, ims_new_layer *layer, ims_error *err);
/**
 * finish in two parts, for jobs: end may run on a worker, as put; then commit on the driving thread.
 */
int32_t ims_layer_writer_end(ims_layer_writer *writer, ims_error *err);
int32_t ims_layer_writer_commit(ims_layer_writer *writer, ims_new_layer *layer, ims_error *err);
/** Frees it, and drops the bytes when it is not finished. Not on a worker. NULL is accepted. */
void ims_layer_writer_free(ims_layer_writer *writer);

#endif
