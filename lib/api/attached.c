/*
 * api/attached.c (L5) - include/imgstore/attached.h: lists of attached objects. Their accessors are the engine's.
 */
#include "imgstore/attached.h"

#include "api/options.h"
#include "api/result.h"
#include "engine/attached.h"
#include "engine/registry_handle.h"

static const imgstore_attached_options defaults = {.size = sizeof(imgstore_attached_options)};

int32_t imgstore_attached_options_init(imgstore_attached_options *options, size_t size) {
  return ims_options_init(options, size, &defaults, sizeof defaults);
}

static int32_t copy_options(imgstore_attached_options *own, const imgstore_attached_options *given, ims_error *err) {
  *own = defaults;
  int32_t rc = ims_options_copy(own, sizeof *own, given, sizeof *own, "imgstore_attached_options", err);
  if (!rc && own->reserved)
    rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_attached_options: reserved is not 0");
  if (!rc && (own->kind < 0 || own->kind > IMGSTORE_ATTACHED_OTHER))
    rc = ims_fail(err, IMGSTORE_EINVALID, "kind: %d is not one of IMGSTORE_ATTACHED_*", own->kind);
  return rc;
}

int32_t imgstore_attached_list_start(imgstore_registry *registry, const char *reference,
                                     const imgstore_attached_options *options, imgstore_operation **operation,
                                     imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_attached_options own;
  if (operation)
    *operation = NULL;
  if (!registry || !reference || !operation)
    return ims_api_invalid("registry, reference and operation are required", NULL, error);
  int32_t rc = copy_options(&own, options, &err);
  if (!rc)
    rc = ims_attached_list_start(operation, registry, reference, &own, &err);
  return ims_api_result(rc, &err, &registry->core->alloc, error);
}

int32_t imgstore_attached_list(imgstore_registry *registry, const char *reference,
                               const imgstore_attached_options *options, imgstore_attached **list,
                               imgstore_error **error) {
  imgstore_operation *op;
  if (list)
    *list = NULL;
  if (!list)
    return ims_api_invalid("list is required", NULL, error);
  int32_t rc = imgstore_attached_list_start(registry, reference, options, &op, error);
  if (rc)
    return rc;
  rc = imgstore_operation_wait(op, error);
  if (!rc)
    *list = imgstore_operation_attached(op);
  imgstore_operation_free(op);
  return rc;
}

int32_t imgstore_attached_list_store(imgstore_store *store, const char *name, const imgstore_attached_options *options,
                                     imgstore_attached **list, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_attached_options own;
  if (list)
    *list = NULL;
  if (!store || !name || !list)
    return ims_api_invalid("store, name and list are required", NULL, error);
  int32_t rc = copy_options(&own, options, &err);
  if (!rc)
    rc = ims_attached_list_store(list, store, name, &own, &err);
  return ims_api_result(rc, &err, &store->core->alloc, error);
}

imgstore_attached *imgstore_operation_attached(const imgstore_operation *operation) {
  return operation ? imgstore_attached_ref(ims_operation_attached(operation)) : NULL;
}

int32_t imgstore_attached_read(const imgstore_attached *list, size_t i, uint64_t max_bytes, imgstore_bytes **bytes,
                               imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  ims_buf buf;
  if (bytes)
    *bytes = NULL;
  if (!list || !bytes || i >= list->count)
    return ims_api_invalid("list and bytes are required, and an object of that number", NULL, error);
  ims_buf_init(&buf, &list->core->alloc, SIZE_MAX - 1);
  int32_t rc = ims_attached_read(list, i, max_bytes, &buf, &err);
  if (rc)
    ims_buf_free(&buf);
  else
    rc = ims_bytes_from_buf(bytes, &buf, &err);
  return ims_api_result(rc, &err, &list->core->alloc, error);
}
