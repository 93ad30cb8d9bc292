/*
 * engine/squash.h (L4) - several layers into one: the merged view of the upper layers of an image as one tar that does
 * to the layers below it what they did, one after the other.
 *
 * The names of all layers are held in memory (engine/merged_tree.h); contents stream. The tar has directories and
 * whiteouts first, sorted, then all else in the order of the layers it comes from: the same layers give the same bytes.
 */
#ifndef IMS_ENGINE_SQUASH_H
#define IMS_ENGINE_SQUASH_H

#include "engine/build_layer.h"

typedef struct ims_squash ims_squash;

/** Where the tar goes: put takes size bytes. */
typedef struct ims_squash_sink {
  int32_t (*put)(void *data, const void *bytes, size_t size, ims_error *err);
  void *data;
} ims_squash_sink;

/**
 * layers: count, base first, borrowed; those from from on become one. The blobs are leased by the caller.
 * clamp: no entry is newer than clamp_time (seconds since 1970).
 */
int32_t ims_squash_new(ims_squash **squash, imgstore_store *store, const ims_build_layer *layers, size_t count,
                       size_t from, bool clamp, int64_t clamp_time, ims_error *err);
/**
 * For a root file system (from is 0): directories come last, the deepest first, so that any program that unpacks the
 * tar gives them their times and modes when nothing is made in them any more. Before the first step.
 */
void ims_squash_heads_last(ims_squash *squash);
/** Does bounded work; may run on a worker. IMGSTORE_OK: the tar is complete; IMGSTORE_EAGAIN. */
int32_t ims_squash_step(ims_squash *squash, const ims_squash_sink *sink, ims_error *err);
void ims_squash_free(ims_squash *squash);

#endif
