/*
 * api/changes.c (L5) - include/imgstore/changes.h: diff and commit in both faces.
 */
#include "imgstore/changes.h"

#include "api/options.h"
#include "api/result.h"
#include "engine/instance_changes.h"

static const imgstore_commit_options commit_defaults = {.size = sizeof(imgstore_commit_options)};

int32_t imgstore_commit_options_init(imgstore_commit_options *options, size_t size) {
  return ims_options_init(options, size, &commit_defaults, sizeof commit_defaults);
}

int32_t imgstore_rootfs_diff_start(imgstore_rootfs *rootfs, imgstore_operation **operation, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (operation)
    *operation = NULL;
  if (!rootfs || !operation)
    return ims_api_invalid("rootfs and operation are required", NULL, error);
  int32_t rc = ims_rootfs_diff_start(operation, rootfs, &err);
  return ims_api_result(rc, &err, &rootfs->core->alloc, error);
}

int32_t imgstore_rootfs_diff(imgstore_rootfs *rootfs, imgstore_report **report, imgstore_error **error) {
  imgstore_operation *op;
  if (report)
    *report = NULL;
  if (!report)
    return ims_api_invalid("report is required", NULL, error);
  int32_t rc = imgstore_rootfs_diff_start(rootfs, &op, error);
  return rc ? rc : ims_api_finish(op, NULL, report, error);
}

int32_t imgstore_builder_add_changes(imgstore_builder *builder, imgstore_rootfs *rootfs, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!builder || !rootfs)
    return ims_api_invalid("builder and rootfs are required", NULL, error);
  int32_t rc = ims_builder_add_changes(builder, rootfs, &err);
  return ims_api_result(rc, &err, &rootfs->core->alloc, error);
}

int32_t imgstore_builder_instruct(imgstore_builder *builder, const char *instruction, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!builder || !instruction)
    return ims_api_invalid("builder and instruction are required", NULL, error);
  int32_t rc = ims_builder_instruct(builder, instruction, &err);
  return ims_api_result(rc, &err, &builder->core->alloc, error);
}

static int32_t check_options(const imgstore_commit_options *o, ims_error *err) {
  if ((o->flags & ~(uint32_t)IMGSTORE_BUILD_EPOCH) || o->reserved)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_commit_options: unknown flags %#x", o->flags);
  if (o->compression < IMGSTORE_COMPRESS_GZIP || o->compression > IMGSTORE_COMPRESS_NONE)
    return ims_fail(err, IMGSTORE_EINVALID, "compression: %d is not one of IMGSTORE_COMPRESS_*", (int)o->compression);
  if (o->change_count && !o->changes)
    return ims_fail(err, IMGSTORE_EINVALID, "changes is NULL but its count is not 0");
  for (size_t i = 0; i < o->change_count; i++)
    if (!o->changes[i])
      return ims_fail(err, IMGSTORE_EINVALID, "changes: number %zu is NULL", i);
  return IMGSTORE_OK;
}

int32_t imgstore_commit_start(imgstore_rootfs *rootfs, const char *name, const imgstore_commit_options *options,
                              imgstore_operation **operation, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_commit_options own = commit_defaults;
  if (operation)
    *operation = NULL;
  if (!rootfs || !operation)
    return ims_api_invalid("rootfs and operation are required", NULL, error);
  int32_t rc = ims_options_copy(&own, sizeof own, options, sizeof own, "imgstore_commit_options", &err);
  if (!rc)
    rc = check_options(&own, &err);
  if (!rc)
    rc = ims_commit_start(operation, rootfs, name, &own, &err);
  return ims_api_result(rc, &err, &rootfs->core->alloc, error);
}

int32_t imgstore_commit(imgstore_rootfs *rootfs, const char *name, const imgstore_commit_options *options,
                        imgstore_image **image, imgstore_report **report, imgstore_error **error) {
  imgstore_operation *op;
  if (image)
    *image = NULL;
  if (report)
    *report = NULL;
  int32_t rc = imgstore_commit_start(rootfs, name, options, &op, error);
  return rc ? rc : ims_api_finish(op, image, report, error);
}
