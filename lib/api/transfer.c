/*
 * api/transfer.c (L5) - include/imgstore/transfer.h and unpack.h: pull, load and unpack in both faces.
 */
#include "imgstore/transfer.h"

#include "api/layers_options.h"
#include "api/options.h"
#include "api/result.h"
#include "engine/bring.h"
#include "engine/image.h"
#include "imgstore/archive.h"

static const imgstore_pull_options pull_defaults = {.size = sizeof(imgstore_pull_options)};
static const imgstore_load_options load_defaults = {.size = sizeof(imgstore_load_options), .fd = -1};
static const imgstore_unpack_options unpack_defaults = {.size = sizeof(imgstore_unpack_options)};

int32_t imgstore_pull_options_init(imgstore_pull_options *options, size_t size) {
  return ims_options_init(options, size, &pull_defaults, sizeof pull_defaults);
}

int32_t imgstore_load_options_init(imgstore_load_options *options, size_t size) {
  return ims_options_init(options, size, &load_defaults, sizeof load_defaults);
}

int32_t imgstore_unpack_options_init(imgstore_unpack_options *options, size_t size) {
  return ims_options_init(options, size, &unpack_defaults, sizeof unpack_defaults);
}

int32_t imgstore_pull_start(imgstore_store *store, imgstore_registry *registry, const char *reference,
                            const imgstore_pull_options *options, imgstore_operation **operation,
                            imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_pull_options own = pull_defaults;
  imgstore_unpack_options unpack, layers_unpack;
  imgstore_layers_options layers;
  if (operation)
    *operation = NULL;
  if (!store || !registry || !reference || !operation)
    return ims_api_invalid("store, registry, reference and operation are required", NULL, error);
  int32_t rc = ims_options_copy(&own, sizeof own, options, sizeof own, "imgstore_pull_options", &err);
  if (!rc && ((own.flags & ~(uint32_t)IMGSTORE_PULL_ALL_PLATFORMS) || own.reserved))
    rc = ims_fail(&err, IMGSTORE_EUNSUPPORTED, "imgstore_pull_options: unknown flags %#x", own.flags);
  if (!rc)
    rc = ims_unpack_options_copy(&unpack, own.unpack, &err);
  if (!rc)
    rc = ims_layers_options_copy(&layers, &layers_unpack, own.layers, &err);
  own.layers = &layers;
  if (!rc && own.unpack_to && own.layers_to)
    rc = ims_fail(&err, IMGSTORE_EINVALID, "unpack_to and layers_to: one or the other");
  if (!rc)
    rc = ims_pull_start(operation, store, registry, reference, &own, &unpack, &err);
  return ims_api_result(rc, &err, &store->core->alloc, error);
}

int32_t imgstore_pull(imgstore_store *store, imgstore_registry *registry, const char *reference,
                      const imgstore_pull_options *options, imgstore_image **image, imgstore_error **error) {
  imgstore_operation *op;
  if (image)
    *image = NULL;
  int32_t rc = imgstore_pull_start(store, registry, reference, options, &op, error);
  return rc ? rc : ims_api_finish(op, image, NULL, error);
}

int32_t imgstore_load_start(imgstore_store *store, const char *path, const imgstore_load_options *options,
                            imgstore_operation **operation, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_load_options own = load_defaults;
  if (operation)
    *operation = NULL;
  if (!store || !operation)
    return ims_api_invalid("store and operation are required", NULL, error);
  int32_t rc = ims_options_copy(&own, sizeof own, options, sizeof own, "imgstore_load_options", &err);
  if (!rc && (path != NULL) == (own.fd >= 0))
    rc = ims_fail(&err, IMGSTORE_EINVALID, "one of path and fd is needed");
  if (!rc && (own.format < IMGSTORE_ARCHIVE_AUTO || own.format > IMGSTORE_ARCHIVE_OCI_DIR))
    rc = ims_fail(&err, IMGSTORE_EINVALID, "format: %d is not one of IMGSTORE_ARCHIVE_*", own.format);
  if (!rc && !path && own.format == IMGSTORE_ARCHIVE_OCI_DIR)
    rc = ims_fail(&err, IMGSTORE_EINVALID, "a directory needs a path");
  if (!rc)
    rc = ims_load_start(operation, store, path, &own, &err);
  return ims_api_result(rc, &err, &store->core->alloc, error);
}

int32_t imgstore_load(imgstore_store *store, const char *path, const imgstore_load_options *options,
                      imgstore_report **report, imgstore_error **error) {
  imgstore_operation *op;
  if (report)
    *report = NULL;
  int32_t rc = imgstore_load_start(store, path, options, &op, error);
  return rc ? rc : ims_api_finish(op, NULL, report, error);
}

int32_t imgstore_unpack_start(imgstore_image *image, const char *directory, const imgstore_unpack_options *options,
                              imgstore_operation **operation, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_unpack_options own;
  if (operation)
    *operation = NULL;
  if (!image || !directory || !operation)
    return ims_api_invalid("image, directory and operation are required", NULL, error);
  int32_t rc = ims_unpack_options_copy(&own, options, &err);
  if (!rc)
    rc = ims_unpack_start(operation, image, directory, &own, &err);
  return ims_api_result(rc, &err, &image->core->alloc, error);
}

int32_t imgstore_unpack(imgstore_image *image, const char *directory, const imgstore_unpack_options *options,
                        imgstore_report **report, imgstore_error **error) {
  imgstore_operation *op;
  if (report)
    *report = NULL;
  int32_t rc = imgstore_unpack_start(image, directory, options, &op, error);
  return rc ? rc : ims_api_finish(op, NULL, report, error);
}
