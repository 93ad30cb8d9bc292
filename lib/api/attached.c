/*
 * api/attached.c (L5) - include/imgstore/attached.h: lists of attached objects. Their accessors are the engine's.
 */
#include "imgstore/attached.h"

#include "api/options.h"
#include "api/result.h"
#include "engine/attached.h"
#include "engine/attachment.h"
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

/* --- attaching ------------------------------------------------------------------------------------------------------
 */

static const imgstore_attach_options attach_defaults = {.size = sizeof(imgstore_attach_options)};

int32_t imgstore_attach_options_init(imgstore_attach_options *options, size_t size) {
  return ims_options_init(options, size, &attach_defaults, sizeof attach_defaults);
}

int32_t imgstore_attachment_new(imgstore_context *context, const char *artifact_type, imgstore_attachment **attachment,
                                imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (attachment)
    *attachment = NULL;
  if (!context || !artifact_type || !attachment)
    return ims_api_invalid("context, artifact_type and attachment are required", context ? &context->alloc : NULL,
                           error);
  return ims_api_result(ims_attachment_new(attachment, context, artifact_type, &err), &err, &context->alloc, error);
}

/* An operation that uses it has a reference of its own. */
static int32_t check_unused(imgstore_attachment *attachment, ims_error *err) {
  return atomic_load(&attachment->refs) == 1
             ? IMGSTORE_OK
             : ims_fail(err, IMGSTORE_EBUSY, "the attachment is in use by an operation and cannot be changed");
}

int32_t imgstore_attachment_add_file(imgstore_attachment *attachment, const char *path, const char *media_type,
                                     const char *title, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!attachment || !path)
    return ims_api_invalid("attachment and path are required", NULL, error);
  int32_t rc = check_unused(attachment, &err);
  if (!rc)
    rc = ims_attachment_add_file(attachment, path, media_type, title, &err);
  return ims_api_result(rc, &err, &attachment->core->alloc, error);
}

int32_t imgstore_attachment_add_bytes(imgstore_attachment *attachment, const void *data, size_t size,
                                      const char *media_type, const char *title, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!attachment || (!data && size))
    return ims_api_invalid("attachment and data are required", NULL, error);
  int32_t rc = check_unused(attachment, &err);
  if (!rc)
    rc = ims_attachment_add_bytes(attachment, data, size, media_type, title, &err);
  return ims_api_result(rc, &err, &attachment->core->alloc, error);
}

int32_t imgstore_attachment_annotate(imgstore_attachment *attachment, const char *key, const char *value,
                                     imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!attachment || !key || !value)
    return ims_api_invalid("attachment, key and value are required", NULL, error);
  int32_t rc = check_unused(attachment, &err);
  if (!rc)
    rc = ims_attachment_annotate(attachment, key, value, &err);
  return ims_api_result(rc, &err, &attachment->core->alloc, error);
}

void imgstore_attachment_free(imgstore_attachment *attachment) {
  ims_attachment_unref(attachment);
}

int32_t imgstore_attach_start(imgstore_registry *registry, const char *reference, imgstore_attachment *attachment,
                              const imgstore_attach_options *options, imgstore_operation **operation,
                              imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_attach_options own = attach_defaults;
  if (operation)
    *operation = NULL;
  if (!registry || !reference || !attachment || !operation)
    return ims_api_invalid("registry, reference, attachment and operation are required", NULL, error);
  int32_t rc = ims_options_copy(&own, sizeof own, options, sizeof own, "imgstore_attach_options", &err);
  if (!rc && (own.flags || own.reserved))
    rc = ims_fail(&err, IMGSTORE_EUNSUPPORTED, "imgstore_attach_options: unknown flags %#x", (unsigned)own.flags);
  if (!rc)
    rc = ims_attach_start(operation, registry, reference, attachment, &own, &err);
  return ims_api_result(rc, &err, &registry->core->alloc, error);
}

int32_t imgstore_attach(imgstore_registry *registry, const char *reference, imgstore_attachment *attachment,
                        const imgstore_attach_options *options, imgstore_report **report, imgstore_error **error) {
  imgstore_operation *op;
  if (report)
    *report = NULL;
  int32_t rc = imgstore_attach_start(registry, reference, attachment, options, &op, error);
  if (rc)
    return rc;
  return ims_api_finish(op, NULL, report, error);
}
