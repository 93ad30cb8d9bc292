/*
 * api/index.c (L5) - include/imgstore/index.h.
 */
#include "imgstore/index.h"

#include "api/result.h"
#include "engine/build_index.h"

static int32_t no_index(imgstore_error **error) {
  return ims_api_invalid("index is NULL", NULL, error);
}

int32_t imgstore_index_new(imgstore_store *store, imgstore_index **index, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (index)
    *index = NULL;
  if (!store || !index)
    return ims_api_invalid("store and index are required", NULL, error);
  return ims_api_result(ims_index_new(index, store, &err), &err, &store->core->alloc, error);
}

int32_t imgstore_index_open(imgstore_store *store, const char *name, imgstore_index **index, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (index)
    *index = NULL;
  if (!store || !name || !index)
    return ims_api_invalid("store, name and index are required", NULL, error);
  return ims_api_result(ims_index_open(index, store, name, &err), &err, &store->core->alloc, error);
}

void imgstore_index_free(imgstore_index *index) {
  ims_index_free(index);
}

int32_t imgstore_index_set_format(imgstore_index *index, int32_t format, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  int32_t rc = IMGSTORE_OK;
  if (!index)
    return no_index(error);
  if (format != IMGSTORE_FORMAT_OCI && format != IMGSTORE_FORMAT_DOCKER)
    rc = ims_fail(&err, IMGSTORE_EINVALID, "format: %d is not one of IMGSTORE_FORMAT_*", format);
  else
    index->format = format;
  return ims_api_result(rc, &err, &index->core->alloc, error);
}

int32_t imgstore_index_add(imgstore_index *index, const char *source, const char *platform, uint32_t flags,
                           imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!index || !source)
    return ims_api_invalid("index and source are required", NULL, error);
  int32_t rc = flags & ~(uint32_t)IMGSTORE_INDEX_REPLACE
                   ? ims_fail(&err, IMGSTORE_EUNSUPPORTED, "imgstore_index_add: unknown flags %#x", flags)
                   : ims_index_add(index, source, platform, flags, &err);
  return ims_api_result(rc, &err, &index->core->alloc, error);
}

int32_t imgstore_index_remove(imgstore_index *index, const char *which, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!index || !which)
    return ims_api_invalid("index and which are required", NULL, error);
  return ims_api_result(ims_index_remove(index, which, &err), &err, &index->core->alloc, error);
}

int32_t imgstore_index_annotate(imgstore_index *index, const char *which, const char *key, const char *value,
                                imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!index || !key)
    return ims_api_invalid("index and key are required", NULL, error);
  return ims_api_result(ims_index_annotate(index, which, key, value, &err), &err, &index->core->alloc, error);
}

size_t imgstore_index_count(const imgstore_index *index) {
  return index ? index->count : 0;
}

int32_t imgstore_index_save(imgstore_index *index, const char *name, imgstore_manifest **manifest,
                            imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (manifest)
    *manifest = NULL;
  if (!index)
    return no_index(error);
  return ims_api_result(ims_index_save(index, name, manifest, &err), &err, &index->core->alloc, error);
}
