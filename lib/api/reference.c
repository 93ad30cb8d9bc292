/*
 * api/reference.c (L5) - include/imgstore/reference.h and manifest.h: the functions that parse; accessors are in oci/.
 */
#include "oci/reference.h"

#include "api/result.h"
#include "base/core.h"
#include "oci/manifest.h"

int32_t imgstore_reference_parse(imgstore_context *context, const char *text, imgstore_reference **reference,
                                 imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (reference)
    *reference = NULL;
  if (!context || !text || !reference)
    return ims_api_invalid("context, text and reference are required", NULL, error);
  int32_t rc = ims_reference_parse(reference, &context->alloc, text, &err);
  return ims_api_result(rc, &err, &context->alloc, error);
}

int32_t imgstore_manifest_parse(imgstore_context *context, const void *data, size_t size, const char *media_type,
                                imgstore_manifest **manifest, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (manifest)
    *manifest = NULL;
  if (!context || !data || !manifest)
    return ims_api_invalid("context, data and manifest are required", NULL, error);
  const ims_manifest_limits limits = {context->limits.max_manifest_bytes, context->limits.max_layers};
  int32_t rc = ims_manifest_parse(manifest, &context->alloc, data, size, media_type, NULL, &limits, "manifest", &err);
  return ims_api_result(rc, &err, &context->alloc, error);
}
