/*
 * engine/image.c (L4) - making image handles, from a pull or from a store.
 */
#include "engine/image.h"

#include <string.h>

/* --- layers
 * ------------------------------------------------------------------------------------------------------------- */

imgstore_layer *imgstore_layer_ref(imgstore_layer *layer) {
  if (layer)
    atomic_fetch_add_explicit(&layer->refs, 1, memory_order_relaxed);
  return layer;
}

void imgstore_layer_unref(imgstore_layer *layer) {
  if (!layer || atomic_fetch_sub_explicit(&layer->refs, 1, memory_order_acq_rel) != 1)
    return;
  ims_core *core = layer->core;
  ims_store_unref(layer->store);
  ims_free(&core->alloc, layer->media_type);
  ims_free(&core->alloc, layer);
  ims_core_unref(core);
}

static imgstore_layer *layer_new(imgstore_store *store, const imgstore_descriptor *descriptor,
                                 const ims_digest *diff_id, const ims_digest *chain_id) {
  ims_core *core = store->core;
  imgstore_layer *layer = ims_calloc(&core->alloc, 1, sizeof *layer);
  if (!layer)
    return NULL;
  layer->media_type = ims_strdup(&core->alloc, descriptor->media_type);
  if (!layer->media_type) {
    ims_free(&core->alloc, layer);
    return NULL;
  }
  atomic_init(&layer->refs, 1);
  layer->core = ims_core_ref(core);
  layer->store = ims_store_ref(store);
  layer->digest = descriptor->digest;
  layer->size = descriptor->size;
  layer->diff_id = *diff_id;
  layer->chain_id = *chain_id;
  return layer;
}

/* --- images
 * ------------------------------------------------------------------------------------------------------------- */

imgstore_image *imgstore_image_ref(imgstore_image *image) {
  if (image)
    atomic_fetch_add_explicit(&image->refs, 1, memory_order_relaxed);
  return image;
}

void imgstore_image_unref(imgstore_image *image) {
  if (!image || atomic_fetch_sub_explicit(&image->refs, 1, memory_order_acq_rel) != 1)
    return;
  ims_core *core = image->core;
  for (size_t i = 0; i < image->layer_count; i++)
    imgstore_layer_unref(image->layers[i]);
  ims_free(&core->alloc, image->layers);
  ims_config_free(image->config);
  imgstore_manifest_unref(image->manifest);
  imgstore_manifest_unref(image->index);
  ims_store_unref(image->store);
  ims_free(&core->alloc, image);
  ims_core_unref(core);
}

static int32_t make_layers(imgstore_image *image, ims_error *err) {
  size_t count = image->manifest->count;
  image->layers = ims_calloc(&image->core->alloc, count, sizeof *image->layers);
  if (!image->layers)
    return ims_fail_nomem(err);
  for (; image->layer_count < count; image->layer_count++) {
    size_t i = image->layer_count;
    image->layers[i] = layer_new(image->store, &image->manifest->entries[i], &image->config->diff_ids[i],
                                 &image->config->chain_ids[i]);
    if (!image->layers[i])
      return ims_fail_nomem(err);
  }
  return IMGSTORE_OK;
}

int32_t ims_image_new(imgstore_image **out, imgstore_store *store, imgstore_manifest *manifest,
                      imgstore_manifest *index, ims_config *config, ims_error *err) {
  *out = NULL;
  imgstore_image *image = ims_calloc(&store->core->alloc, 1, sizeof *image);
  if (!image) {
    ims_config_free(config);
    return ims_fail_nomem(err);
  }
  atomic_init(&image->refs, 1);
  image->core = ims_core_ref(store->core);
  image->store = ims_store_ref(store);
  image->manifest = imgstore_manifest_ref(manifest);
  image->index = imgstore_manifest_ref(index);
  image->config = config;
  int32_t rc = make_layers(image, err);
  if (rc) {
    imgstore_image_unref(image);
    return rc;
  }
  *out = image;
  return IMGSTORE_OK;
}

/* --- opening from a store
 * --------------------------------------------------------------------------------------------------- */

/* Follows indexes down to the manifest for platform. *manifest is replaced; *index becomes the one it came from. */
static int32_t descend(imgstore_store *store, const ims_platform *platform, const char *name,
                       imgstore_manifest **manifest, imgstore_manifest **index, ims_error *err) {
  for (uint64_t depth = 0; (*manifest)->kind == IMGSTORE_MANIFEST_INDEX; depth++) {
    if (depth >= store->core->limits.max_index_depth)
      return ims_fail(err, IMGSTORE_ELIMIT, "%s: indexes are nested too deeply", name);
    const imgstore_descriptor *child = ims_manifest_choose(*manifest, platform);
    if (!child) {
      char wanted[IMS_PLATFORM_TEXT], have[512];
      ims_platform_text(platform, wanted);
      ims_manifest_platforms(*manifest, have, sizeof have);
      return ims_fail(err, IMGSTORE_ENOTFOUND, "%s: no image for platform %s; there are: %s", name, wanted, have);
    }
    imgstore_manifest *next;
    int32_t rc = ims_store_manifest_load(store, &child->digest, child->media_type, &next, err);
    if (rc == IMGSTORE_ENOTFOUND)
      return ims_fail(err, rc, "%s: the image for this platform is not in the store: pull it", name);
    if (rc)
      return rc;
    imgstore_manifest_unref(*index);
    *index = *manifest;
    *manifest = next;
  }
  return IMGSTORE_OK;
}

/* The index that a single platform was pulled from, when it is kept. */
static int32_t load_origin(imgstore_store *store, const ims_target *target, imgstore_manifest **index, ims_error *err) {
  if (!target->index.algorithm)
    return IMGSTORE_OK;
  int32_t rc = ims_store_manifest_load(store, &target->index, "", index, err);
  if (rc != IMGSTORE_ENOTFOUND)
    return rc;
  ims_error_clear(err);
  return IMGSTORE_OK;
}

int32_t ims_image_load_config(ims_config **config, imgstore_store *store, const imgstore_manifest *manifest,
                              const char *name, ims_error *err) {
  *config = NULL;
  ims_buf bytes;
  if (manifest->kind != IMGSTORE_MANIFEST_IMAGE)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "%s: is an artifact, not an image", name);
  ims_buf_init(&bytes, &store->core->alloc, SIZE_MAX);
  int32_t rc = ims_blob_load(store, &manifest->config->digest, store->core->limits.max_config_bytes, &bytes, err);
  if (!rc)
    rc = ims_config_parse(config, &store->core->alloc, ims_buf_text(&bytes), bytes.size, &manifest->config->digest,
                          manifest->count, err);
  ims_buf_free(&bytes);
  return rc;
}

/* A single image is not for every platform: one that the caller asked for must be what is there. */
static int32_t check_platform(const ims_config *config, const ims_platform *platform, const char *name,
                              ims_error *err) {
  ims_platform have;
  char wanted[IMS_PLATFORM_TEXT], text[IMS_PLATFORM_TEXT];
  ims_config_platform(config, &have);
  if (!have.os[0] || ims_platform_score(platform, &have))
    return IMGSTORE_OK;
  ims_platform_text(platform, wanted);
  ims_platform_text(&have, text);
  return ims_fail(err, IMGSTORE_ENOTFOUND, "%s: no image for platform %s; there are: %s", name, wanted, text);
}

int32_t ims_image_open(imgstore_image **image, imgstore_store *store, const char *name, const char *platform_text,
                       ims_error *err) {
  ims_target target;
  ims_platform platform;
  imgstore_manifest *manifest = NULL, *index = NULL;
  ims_config *config = NULL;
  ims_buf found;
  *image = NULL;
  ims_buf_init(&found, &store->core->alloc, SIZE_MAX);
  int32_t rc = ims_platform_parse(&platform, platform_text, err);
  if (!rc)
    rc = ims_store_resolve(store, name, &target, &found, err);
  ims_buf_free(&found);
  if (!rc)
    rc = ims_store_manifest_load(store, &target.digest, target.media_type, &manifest, err);
  if (!rc)
    rc = load_origin(store, &target, &index, err);
  if (!rc)
    rc = descend(store, &platform, name, &manifest, &index, err);
  if (!rc)
    rc = ims_image_load_config(&config, store, manifest, name, err);
  if (!rc && platform_text && (rc = check_platform(config, &platform, name, err)))
    ims_config_free(config);
  if (!rc)
    rc = ims_image_new(image, store, manifest, index, config, err);
  imgstore_manifest_unref(manifest);
  imgstore_manifest_unref(index);
  return rc;
}
