/*
 * engine/image.h (L4) - what imgstore_image and imgstore_layer are inside.
 */
#ifndef IMS_ENGINE_IMAGE_H
#define IMS_ENGINE_IMAGE_H

#include <stdatomic.h>

#include "imgstore/image.h"
#include "imgstore/layer.h"
#include "oci/config.h"
#include "store/store.h"

struct imgstore_layer {
  atomic_uint refs;
  ims_core *core;
  imgstore_store *store;
  ims_digest digest, diff_id, chain_id;
  uint64_t size;
  char *media_type;
};

struct imgstore_image {
  atomic_uint refs;
  ims_core *core;
  imgstore_store *store;
  imgstore_manifest *manifest;
  imgstore_manifest *index; /**< or NULL */
  ims_config *config;
  imgstore_layer **layers;
  size_t layer_count;
};

/** Takes over config (freed on failure too); adds references to manifest and index. */
int32_t ims_image_new(imgstore_image **image, imgstore_store *store, imgstore_manifest *manifest,
                      imgstore_manifest *index, ims_config *config, ims_error *err);
/** Loads and parses the config of an image in the store. name: for messages. IMGSTORE_EUNSUPPORTED: an artifact. */
int32_t ims_image_load_config(ims_config **config, imgstore_store *store, const imgstore_manifest *manifest,
                              const char *name, ims_error *err);
/** Opens the image that name stands for; platform as in imgstore_pull_options. */
int32_t ims_image_open(imgstore_image **image, imgstore_store *store, const char *name, const char *platform,
                       ims_error *err);

#endif
