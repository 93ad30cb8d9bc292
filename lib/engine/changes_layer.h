/*
 * engine/changes_layer.h (L4) - what an instance changed as a layer that is read where it is, without a blob.
 */
#ifndef IMS_ENGINE_CHANGES_LAYER_H
#define IMS_ENGINE_CHANGES_LAYER_H

#include "engine/build_layer.h"
#include "engine/rootfs.h"

typedef struct ims_changes_layer ims_changes_layer;

/**
 * Fills *layer for a reader of layers (engine/squash.h). It may be read several times, one after the other; when the
 * bytes are not those of the first time, that is IMGSTORE_ECONFLICT at their end. The root directory is always among
 * its entries. Keeps a reference on rootfs, which is not read-only.
 */
int32_t ims_changes_layer_new(ims_changes_layer **changes, imgstore_rootfs *rootfs, ims_build_layer *layer,
                              ims_error *err);
/** NULL is accepted. */
void ims_changes_layer_free(ims_changes_layer *changes);

#endif
