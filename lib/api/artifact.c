/*
 * api/artifact.c (L5) - include/imgstore/artifact.h.
 */
#include "imgstore/artifact.h"

#include "api/result.h"
#include "engine/artifact.h"

int32_t imgstore_artifact_new(imgstore_store *store, const char *type, imgstore_artifact **artifact,
                              imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (artifact)
    *artifact = NULL;
  if (!store || !type || !artifact)
    return ims_api_invalid("store, type and artifact are required", NULL, error);
  return ims_api_result(ims_artifact_new(artifact, store, type, &err), &err, &store->core->alloc, error);
}

void imgstore_artifact_free(imgstore_artifact *artifact) {
  ims_artifact_unref(artifact);
}

int32_t imgstore_artifact_add_file(imgstore_artifact *artifact, const char *path, const char *media_type,
                                   const char *title, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!artifact || !path)
    return ims_api_invalid("artifact and path are required", NULL, error);
  return ims_api_result(ims_artifact_add(artifact, path, media_type, title, &err), &err, &artifact->core->alloc, error);
}

int32_t imgstore_artifact_set_annotation(imgstore_artifact *artifact, const char *key, const char *value,
                                         imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!artifact || !key)
    return ims_api_invalid("artifact and key are required", NULL, error);
  return ims_api_result(ims_artifact_annotate(artifact, key, value, &err), &err, &artifact->core->alloc, error);
}

int32_t imgstore_artifact_finish_start(imgstore_artifact *artifact, const char *name, imgstore_operation **operation,
                                       imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (operation)
    *operation = NULL;
  if (!artifact || !operation)
    return ims_api_invalid("artifact and operation are required", NULL, error);
  return ims_api_result(ims_artifact_finish_start(operation, artifact, name, &err), &err, &artifact->core->alloc,
                        error);
}

int32_t imgstore_artifact_finish(imgstore_artifact *artifact, const char *name, imgstore_manifest **manifest,
                                 imgstore_error **error) {
  imgstore_operation *op;
  if (manifest)
    *manifest = NULL;
  int32_t rc = imgstore_artifact_finish_start(artifact, name, &op, error);
  if (rc)
    return rc;
  rc = imgstore_operation_wait(op, error);
  if (!rc && manifest)
    *manifest = ims_artifact_manifest(op);
  imgstore_operation_free(op);
  return rc;
}

int32_t imgstore_artifact_unpack_start(imgstore_store *store, const char *name, const char *directory,
                                       imgstore_operation **operation, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (operation)
    *operation = NULL;
  if (!store || !name || !directory || !operation)
    return ims_api_invalid("store, name, directory and operation are required", NULL, error);
  return ims_api_result(ims_artifact_unpack_start(operation, store, name, directory, &err), &err, &store->core->alloc,
                        error);
}

int32_t imgstore_artifact_unpack(imgstore_store *store, const char *name, const char *directory,
                                 imgstore_error **error) {
  imgstore_operation *op;
  int32_t rc = imgstore_artifact_unpack_start(store, name, directory, &op, error);
  if (rc)
    return rc;
  return ims_api_finish(op, NULL, NULL, error);
}
