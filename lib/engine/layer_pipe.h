/*
 * engine/layer_pipe.h (L4) - the uncompressed bytes of a layer to a sink: inflate, hash and sink as three tasks around
 * one ring, fed from a running transfer or from the store. One layer after the other. Knows nothing of directories.
 *
 *   transfer's ring or blob -> [inflate task] -> ring -> [sink task]
 *                                                     -> [hash task] -> diffID
 */
#ifndef IMS_ENGINE_LAYER_PIPE_H
#define IMS_ENGINE_LAYER_PIPE_H

#include "engine/operation.h"
#include "engine/transfer.h"
#include "store/store.h"

typedef struct ims_layer_pipe ims_layer_pipe;

/** Called in the sink task, on one thread at a time. An error ends the layer. */
typedef struct ims_layer_sink {
  int32_t (*feed)(void *data, const uint8_t *bytes, size_t size, ims_error *err);
  int32_t (*end)(void *data, ims_error *err); /**< after the last byte */
  void *data;
} ims_layer_sink;

int32_t ims_layer_pipe_new(ims_layer_pipe **pipe, imgstore_operation *op, imgstore_store *store, ims_error *err);
/** True when the layer before is finished and the next may begin. */
bool ims_layer_pipe_is_idle(const ims_layer_pipe *pipe);
/** Begins a layer; descriptor must live as long. diff_id: what it will be compared with, NULL when it is not known yet:
 * then an algorithm like that of the blob's digest is expected. stream: a transfer that can be followed, or NULL: the
 * blob is in the store. Failures in op->err. */
int32_t ims_layer_pipe_begin(ims_layer_pipe *pipe, const imgstore_descriptor *layer, const ims_digest *diff_id,
                             ims_transfer *stream, const ims_layer_sink *sink);
/**
 * Driver's turn while a layer is under way. diff_id: what it must hash to, NULL: not known yet. IMGSTORE_OK: the layer
 * is finished; IMGSTORE_EAGAIN; or the failure in op->err.
 */
int32_t ims_layer_pipe_advance(ims_layer_pipe *pipe, const ims_digest *diff_id, int64_t now);
/**
 * Runs work in the sink task of an idle pipe: called again with the same arguments until it returns something else than
 * IMGSTORE_EAGAIN, the result of work; a failure is in op->err.
 */
typedef int32_t (*ims_layer_work)(void *data, ims_error *err);
int32_t ims_layer_pipe_work(ims_layer_pipe *pipe, ims_layer_work work, void *data);
/** Stops the tasks: the sink is not called any more. */
void ims_layer_pipe_stop(ims_layer_pipe *pipe);
/** NULL is accepted. */
void ims_layer_pipe_free(ims_layer_pipe *pipe);

#endif
