/*
 * engine/unpacker.h (L4) - layers into one directory, one after the other, through a pipe (layer_pipe.h).
 */
#ifndef IMS_ENGINE_UNPACKER_H
#define IMS_ENGINE_UNPACKER_H

#include "engine/operation.h"
#include "engine/transfer.h"
#include "imgstore/unpack.h"
#include "store/store.h"

typedef struct ims_unpacker ims_unpacker;

/** Makes or opens the directory (must be empty). options: complete. Lines go to op->report. */
int32_t ims_unpacker_new(ims_unpacker **unpacker, imgstore_operation *op, imgstore_store *store, const char *directory,
                         const imgstore_unpack_options *options, ims_error *err);
/** True when the layer before is finished and the next may begin. */
bool ims_unpacker_is_idle(const ims_unpacker *u);
/** How many layers are finished. */
size_t ims_unpacker_done(const ims_unpacker *u);
/** Begins the next layer. stream: a transfer that can be followed, or NULL: the blob is in the store. diff_id: what it
 * will be compared with, NULL when the config is not there yet: then an algorithm like that of the blob's digest is
 * expected. */
int32_t ims_unpacker_begin(ims_unpacker *u, const imgstore_descriptor *layer, const ims_digest *diff_id,
                           ims_transfer *stream);
/**
 * Driver's turn while a layer is under way. diff_id: what it must hash to, NULL: not known yet. IMGSTORE_OK: the layer
 * is finished; IMGSTORE_EAGAIN; or the failure in op->err.
 */
int32_t ims_unpacker_advance(ims_unpacker *u, const ims_digest *diff_id, int64_t now);
/** After the last layer, until it returns IMGSTORE_OK: directory times, flush. */
int32_t ims_unpacker_finish(ims_unpacker *u);
/** Stops the tasks; unless it was finished and keep is set, removes all that was made. NULL is accepted. */
void ims_unpacker_free(ims_unpacker *u, bool keep);

#endif
