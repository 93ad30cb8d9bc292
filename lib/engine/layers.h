/*
 * engine/layers.h (L4) - makes sure that all layers of one image are applied to a rootfs directory: a step of a job
 * (apply, pull, create).
 */
#ifndef IMS_ENGINE_LAYERS_H
#define IMS_ENGINE_LAYERS_H

#include "engine/operation.h"
#include "oci/config.h"
#include "oci/manifest.h"
#include "rootfs/layer_dir.h"

struct ims_transfer;

typedef struct ims_layers ims_layers;

/** options: complete, borrowed during the call; its progress is not used. Lines of policy go to op->report, which is
 * made when there is none. */
int32_t ims_layers_new(ims_layers **layers, imgstore_operation *op, ims_rootfs_dir *dir,
                       const imgstore_layers_options *options, ims_error *err);
/** Says which layers; manifest and config must live as long. Before anything else, once. */
int32_t ims_layers_begin(ims_layers *layers, const imgstore_manifest *manifest, const ims_config *config);
bool ims_layers_is_begun(const ims_layers *layers);
/** Where the blob of layer i is: a transfer that brings it in now, or NULL: in the store. Asked for layers in order. */
typedef struct ims_transfer *(*ims_layers_source)(void *data, const imgstore_descriptor *layer);
void ims_layers_set_source(ims_layers *layers, ims_layers_source source, void *data);
/** The transfer is ready to start: true when a layer follows it now. op->err is set when *failed is not 0. */
bool ims_layers_follow(ims_layers *layers, struct ims_transfer *transfer, int32_t *failed);
/** Driver's turn. IMGSTORE_OK: all are there, complete and durable; IMGSTORE_EAGAIN; or the failure in op->err. */
int32_t ims_layers_advance(ims_layers *layers, int64_t now);
/** Milliseconds until advance must be called, -1: when signalled. */
int32_t ims_layers_timeout(const ims_layers *layers);
/** Whether the layer of this digest is applied by this job: then it says itself when it is complete. */
bool ims_layers_applies(const ims_layers *layers, const ims_digest *digest);
size_t ims_layers_count(const ims_layers *layers);
/** The name of layer directory i, base first. As long as layers lives, no prune removes them. */
const char *ims_layers_name(const ims_layers *layers, size_t i);
/** Stops what runs; what was not finished is removed. NULL is accepted. */
void ims_layers_free(ims_layers *layers);

#endif
