/*
 * api/image.c (L5) - include/imgstore/image.h.
 */
#include "imgstore/image.h"

#include "api/result.h"
#include "engine/content.h"

const char *imgstore_image_id(const imgstore_image *image) {
  return image ? image->manifest->config->digest.text : "";
}

const char *imgstore_image_target_digest(const imgstore_image *image) {
  if (!image)
    return "";
  return image->index ? image->index->digest.text : image->manifest->digest.text;
}

const imgstore_manifest *imgstore_image_manifest(const imgstore_image *image) {
  return image ? image->manifest : NULL;
}

const imgstore_manifest *imgstore_image_index(const imgstore_image *image) {
  return image ? image->index : NULL;
}

const void *imgstore_image_config(const imgstore_image *image, size_t *size) {
  if (size)
    *size = image ? image->config->size : 0;
  return image ? image->config->data : NULL;
}

uint64_t imgstore_image_compressed_size(const imgstore_image *image) {
  uint64_t sum = 0;
  for (size_t i = 0; image && i < image->layer_count; i++)
    if (!ims_add_u64(sum, image->layers[i]->size, &sum))
      return UINT64_MAX;
  return sum;
}

const char *imgstore_image_text(const imgstore_image *image, int32_t field) {
  return image && field > 0 && field < IMS_CONFIG_TEXTS ? image->config->text[field] : "";
}

static const ims_pair *item_at(const imgstore_image *image, int32_t list, size_t i) {
  static const ims_pair none = {"", ""};
  return i < imgstore_image_item_count(image, list) ? &image->config->list[list].items[i] : &none;
}

size_t imgstore_image_item_count(const imgstore_image *image, int32_t list) {
  return image && list > 0 && list < IMS_CONFIG_LISTS ? image->config->list[list].count : 0;
}

const char *imgstore_image_item(const imgstore_image *image, int32_t list, size_t i) {
  return item_at(image, list, i)->value;
}

const char *imgstore_image_item_key(const imgstore_image *image, int32_t list, size_t i) {
  return item_at(image, list, i)->key;
}

size_t imgstore_image_history_count(const imgstore_image *image) {
  return image ? image->config->history_count : 0;
}

const char *imgstore_image_history_text(const imgstore_image *image, size_t i, int32_t field) {
  if (i >= imgstore_image_history_count(image))
    return "";
  const ims_history *entry = &image->config->history[i];
  switch (field) {
  case IMGSTORE_HISTORY_CREATED:
    return entry->created;
  case IMGSTORE_HISTORY_CREATED_BY:
    return entry->created_by;
  case IMGSTORE_HISTORY_AUTHOR:
    return entry->author;
  case IMGSTORE_HISTORY_COMMENT:
    return entry->comment;
  default:
    return "";
  }
}

const imgstore_layer *imgstore_image_history_layer(const imgstore_image *image, size_t i) {
  if (i >= imgstore_image_history_count(image) || image->config->history[i].layer < 0)
    return NULL;
  return imgstore_image_layer(image, (size_t)image->config->history[i].layer);
}

size_t imgstore_image_layer_count(const imgstore_image *image) {
  return image ? image->layer_count : 0;
}

imgstore_layer *imgstore_image_layer(const imgstore_image *image, size_t i) {
  return image && i < image->layer_count ? image->layers[i] : NULL;
}

int32_t imgstore_image_inspect(const imgstore_image *image, const char *const *names, size_t count,
                               imgstore_bytes **json, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  ims_buf out;
  if (json)
    *json = NULL;
  if (!image || !json || (count && !names))
    return ims_api_invalid("image and json are required", NULL, error);
  ims_buf_init(&out, &image->core->alloc, SIZE_MAX);
  int32_t rc =
      ims_config_inspect(image->config, image->manifest, imgstore_image_target_digest(image), names, count, &out);
  if (rc)
    ims_fail(&err, rc, "image %s: cannot be shown", imgstore_image_id(image));
  else
    rc = ims_bytes_from_buf(json, &out, &err);
  ims_buf_free(&out);
  return ims_api_result(rc, &err, &image->core->alloc, error);
}

int32_t imgstore_image_read_file(const imgstore_image *image, const char *path, uint64_t max_size,
                                 imgstore_bytes **content, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  ims_buf out;
  if (content)
    *content = NULL;
  if (!image || !path || !content)
    return ims_api_invalid("image, path and content are required", NULL, error);
  ims_buf_init(&out, &image->core->alloc, SIZE_MAX);
  int32_t rc = ims_image_read_file(image, path, max_size, &out, &err);
  if (!rc)
    rc = ims_bytes_from_buf(content, &out, &err);
  ims_buf_free(&out);
  return ims_api_result(rc, &err, &image->core->alloc, error);
}

const char *imgstore_platform_default(void) {
#if defined(__x86_64__)
  return "linux/amd64";
#elif defined(__aarch64__)
  return "linux/arm64/v8";
#elif defined(__i386__)
  return "linux/386";
#elif defined(__arm__) && __ARM_ARCH >= 7
  return "linux/arm/v7";
#elif defined(__arm__)
  return "linux/arm/v6";
#elif defined(__riscv) && __riscv_xlen == 64
  return "linux/riscv64";
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
  return "linux/ppc64le";
#elif defined(__s390x__)
  return "linux/s390x";
#elif defined(__loongarch64)
  return "linux/loong64";
#elif defined(__mips64)
  return "linux/mips64le";
#else
  return "linux/unknown";
#endif
}
