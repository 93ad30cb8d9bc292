/*
 * api/archive.c (L5) - include/imgstore/archive.h: save, import and export in both faces.
 */
#include "imgstore/archive.h"

#include "api/options.h"
#include "api/result.h"
#include "engine/archive_jobs.h"
#include "engine/rootfs.h"
#include "imgstore/builder.h"

static const imgstore_save_options save_defaults = {
    .size = sizeof(imgstore_save_options), .fd = -1, .compression = IMGSTORE_COMPRESS_NONE};

static const imgstore_import_options import_defaults = {.size = sizeof(imgstore_import_options), .fd = -1};

int32_t imgstore_save_options_init(imgstore_save_options *options, size_t size) {
  return ims_options_init(options, size, &save_defaults, sizeof save_defaults);
}

/* Exactly one of path, descriptor and callback. */
static int32_t check_target(const char *path, int32_t fd, imgstore_write_fn write, ims_error *err) {
  int targets = (path != NULL) + (fd >= 0) + (write != NULL);
  if (targets == 1)
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_EINVALID,
                  targets ? "more than one of path, fd and write is given" : "one of path, fd and write is needed");
}

static int32_t check_save(const imgstore_save_options *o, size_t count, const char *path, ims_error *err) {
  const uint32_t known = IMGSTORE_SAVE_ALL_PLATFORMS | IMGSTORE_SAVE_UNCOMPRESSED;
  const bool docker = o->format == IMGSTORE_ARCHIVE_AUTO || o->format == IMGSTORE_ARCHIVE_DOCKER;
  if ((o->flags & ~known) || o->reserved || o->reserved2)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_save_options: unknown flags %#x", o->flags);
  if (o->format < IMGSTORE_ARCHIVE_AUTO || o->format > IMGSTORE_ARCHIVE_OCI_DIR)
    return ims_fail(err, IMGSTORE_EINVALID, "format: %d is not one of IMGSTORE_ARCHIVE_*", o->format);
  if (!count)
    return ims_fail(err, IMGSTORE_EINVALID, "no image to save");
  if ((o->flags & IMGSTORE_SAVE_UNCOMPRESSED) && (!docker || (o->flags & IMGSTORE_SAVE_ALL_PLATFORMS)))
    return ims_fail(err, IMGSTORE_EINVALID, "uncompressed layers: only in a docker-archive of single images");
  if (o->format == IMGSTORE_ARCHIVE_OCI_DIR && !path)
    return ims_fail(err, IMGSTORE_EINVALID, "a directory needs a path");
  if (o->format == IMGSTORE_ARCHIVE_OCI_DIR && o->compression != IMGSTORE_COMPRESS_NONE)
    return ims_fail(err, IMGSTORE_EINVALID, "a directory is not compressed as a whole");
  return check_target(path, o->fd, o->write, err);
}

int32_t imgstore_save_start(imgstore_store *store, const char *const *names, size_t count, const char *path,
                            const imgstore_save_options *options, imgstore_operation **operation,
                            imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_save_options own = save_defaults;
  if (operation)
    *operation = NULL;
  if (!store || (count && !names) || !operation)
    return ims_api_invalid("store, names and operation are required", NULL, error);
  for (size_t i = 0; i < count; i++)
    if (!names[i])
      return ims_api_invalid("a name is NULL", &store->core->alloc, error);
  int32_t rc = ims_options_copy(&own, sizeof own, options, sizeof own, "imgstore_save_options", &err);
  if (!rc)
    rc = check_save(&own, count, path, &err);
  if (!rc)
    rc = own.format == IMGSTORE_ARCHIVE_OCI_DIR ? ims_save_dir_start(operation, store, names, count, path, &own, &err)
                                                : ims_save_start(operation, store, names, count, path, &own, &err);
  return ims_api_result(rc, &err, &store->core->alloc, error);
}

int32_t imgstore_save(imgstore_store *store, const char *const *names, size_t count, const char *path,
                      const imgstore_save_options *options, imgstore_error **error) {
  imgstore_operation *op;
  int32_t rc = imgstore_save_start(store, names, count, path, options, &op, error);
  return rc ? rc : ims_api_finish(op, NULL, NULL, error);
}

/* --- import ---------------------------------------------------------------------------------------------------------
 */

int32_t imgstore_import_options_init(imgstore_import_options *options, size_t size) {
  return ims_options_init(options, size, &import_defaults, sizeof import_defaults);
}

static int32_t check_import(const imgstore_import_options *o, const char *path, ims_error *err) {
  if ((path != NULL) == (o->fd >= 0))
    return ims_fail(err, IMGSTORE_EINVALID, "one of path and fd is needed");
  if (o->change_count && !o->changes)
    return ims_fail(err, IMGSTORE_EINVALID, "changes is NULL but its count is not 0");
  for (size_t i = 0; i < o->change_count; i++)
    if (!o->changes[i])
      return ims_fail(err, IMGSTORE_EINVALID, "change %zu is NULL", i);
  return IMGSTORE_OK;
}

int32_t imgstore_import_start(imgstore_store *store, const char *path, const char *name,
                              const imgstore_import_options *options, imgstore_operation **operation,
                              imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_import_options own = import_defaults;
  if (operation)
    *operation = NULL;
  if (!store || !name || !operation)
    return ims_api_invalid("store, name and operation are required", NULL, error);
  int32_t rc = ims_options_copy(&own, sizeof own, options, sizeof own, "imgstore_import_options", &err);
  if (!rc)
    rc = check_import(&own, path, &err);
  if (!rc)
    rc = ims_import_start(operation, store, path, name, &own, &err);
  return ims_api_result(rc, &err, &store->core->alloc, error);
}

int32_t imgstore_import(imgstore_store *store, const char *path, const char *name,
                        const imgstore_import_options *options, imgstore_image **image, imgstore_error **error) {
  imgstore_operation *op;
  if (image)
    *image = NULL;
  int32_t rc = imgstore_import_start(store, path, name, options, &op, error);
  return rc ? rc : ims_api_finish(op, image, NULL, error);
}

/* --- export ---------------------------------------------------------------------------------------------------------
 */

static const imgstore_export_options export_defaults = {.size = sizeof(imgstore_export_options), .fd = -1};

int32_t imgstore_export_options_init(imgstore_export_options *options, size_t size) {
  return ims_options_init(options, size, &export_defaults, sizeof export_defaults);
}

static int32_t take_export(imgstore_export_options *own, const imgstore_export_options *options, const char *path,
                           ims_error *err) {
  *own = export_defaults;
  int32_t rc = ims_options_copy(own, sizeof *own, options, sizeof *own, "imgstore_export_options", err);
  if (!rc && own->reserved)
    rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_export_options: reserved is not 0");
  return rc ? rc : check_target(path, own->fd, own->write, err);
}

int32_t imgstore_export_start(imgstore_image *image, const char *path, const imgstore_export_options *options,
                              imgstore_operation **operation, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_export_options own;
  if (operation)
    *operation = NULL;
  if (!image || !operation)
    return ims_api_invalid("image and operation are required", NULL, error);
  int32_t rc = take_export(&own, options, path, &err);
  if (!rc)
    rc = ims_export_start(operation, image, path, &own, &err);
  return ims_api_result(rc, &err, &image->core->alloc, error);
}

int32_t imgstore_export(imgstore_image *image, const char *path, const imgstore_export_options *options,
                        imgstore_error **error) {
  imgstore_operation *op;
  int32_t rc = imgstore_export_start(image, path, options, &op, error);
  return rc ? rc : ims_api_finish(op, NULL, NULL, error);
}

int32_t imgstore_rootfs_export_start(imgstore_rootfs *rootfs, const char *path, const imgstore_export_options *options,
                                     imgstore_operation **operation, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_export_options own;
  if (operation)
    *operation = NULL;
  if (!rootfs || !operation)
    return ims_api_invalid("rootfs and operation are required", NULL, error);
  int32_t rc = take_export(&own, options, path, &err);
  if (!rc)
    rc = ims_rootfs_export_start(operation, rootfs, path, &own, &err);
  return ims_api_result(rc, &err, &rootfs->core->alloc, error);
}

int32_t imgstore_rootfs_export(imgstore_rootfs *rootfs, const char *path, const imgstore_export_options *options,
                               imgstore_error **error) {
  imgstore_operation *op;
  int32_t rc = imgstore_rootfs_export_start(rootfs, path, options, &op, error);
  return rc ? rc : ims_api_finish(op, NULL, NULL, error);
}
