/*
 * api/layer.c (L5) - include/imgstore/layer.h: layers, streams, opening and moving a files cursor.
 */
#include "imgstore/layer.h"

#include "api/result.h"
#include "engine/content.h"

const char *imgstore_layer_digest(const imgstore_layer *layer) {
  return layer ? layer->digest.text : "";
}

const char *imgstore_layer_diff_id(const imgstore_layer *layer) {
  return layer ? layer->diff_id.text : "";
}

const char *imgstore_layer_chain_id(const imgstore_layer *layer) {
  return layer ? layer->chain_id.text : "";
}

uint64_t imgstore_layer_size(const imgstore_layer *layer) {
  return layer ? layer->size : 0;
}

const char *imgstore_layer_media_type(const imgstore_layer *layer) {
  return layer ? layer->media_type : "";
}

int32_t imgstore_layer_is_present(const imgstore_layer *layer) {
  ims_blob blob;
  ims_error ignored = IMS_ERROR_INIT;
  if (!layer || ims_blob_open(&blob, layer->store, &layer->digest, &ignored))
    return 0;
  int32_t present = blob.size == layer->size;
  ims_blob_close(&blob);
  return present;
}

int32_t imgstore_layer_open(imgstore_layer *layer, int32_t form, imgstore_stream **stream, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (stream)
    *stream = NULL;
  if (!layer || !stream)
    return ims_api_invalid("layer and stream are required", NULL, error);
  return ims_api_result(ims_stream_open_layer(stream, layer, form, &err), &err, &layer->core->alloc, error);
}

int32_t imgstore_stream_read(imgstore_stream *stream, void *buffer, size_t size, size_t *got, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (got)
    *got = 0;
  if (!stream || !buffer || !got)
    return ims_api_invalid("stream, buffer and got are required", NULL, error);
  return ims_api_result(ims_stream_read(stream, buffer, size, got, &err), &err, ims_stream_alloc(stream), error);
}

void imgstore_stream_close(imgstore_stream *stream) {
  ims_stream_close(stream);
}

int32_t imgstore_files_open(imgstore_layer *layer, imgstore_files **files, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (files)
    *files = NULL;
  if (!layer || !files)
    return ims_api_invalid("layer and files are required", NULL, error);
  return ims_api_result(ims_files_open(files, layer, &err), &err, &layer->core->alloc, error);
}

int32_t imgstore_files_next(imgstore_files *files, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!files)
    return ims_api_invalid("files is NULL", NULL, error);
  int32_t rc = ims_files_next(files, &err);
  if (rc == IMGSTORE_ENOTFOUND && !err.code)
    return rc;
  return ims_api_result(rc, &err, ims_files_alloc(files), error);
}

int32_t imgstore_files_read(imgstore_files *files, void *buffer, size_t size, size_t *got, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (got)
    *got = 0;
  if (!files || !buffer || !got)
    return ims_api_invalid("files, buffer and got are required", NULL, error);
  return ims_api_result(ims_files_read(files, buffer, size, got, &err), &err, ims_files_alloc(files), error);
}

void imgstore_files_close(imgstore_files *files) {
  ims_files_close(files);
}
