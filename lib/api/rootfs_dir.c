/*
 * api/rootfs_dir.c (L5) - include/imgstore/rootfs_dir.h.
 */
#include "imgstore/rootfs_dir.h"

#include "api/layers_options.h"
#include "api/options.h"
#include "api/result.h"
#include "engine/layers_job.h"
#include "rootfs/instance_hold.h"

static const imgstore_rootfs_dir_options dir_defaults = {.size = sizeof(imgstore_rootfs_dir_options)};
static const imgstore_layers_options layers_defaults = {.size = sizeof(imgstore_layers_options)};

int32_t imgstore_rootfs_dir_options_init(imgstore_rootfs_dir_options *options, size_t size) {
  return ims_options_init(options, size, &dir_defaults, sizeof dir_defaults);
}

int32_t imgstore_rootfs_dir_open(imgstore_store *store, const char *path, const imgstore_rootfs_dir_options *options,
                                 imgstore_rootfs_dir **dir, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_rootfs_dir_options own = dir_defaults;
  if (dir)
    *dir = NULL;
  if (!store || !dir)
    return ims_api_invalid("store and dir are required", NULL, error);
  int32_t rc = ims_options_copy(&own, sizeof own, options, sizeof own, "imgstore_rootfs_dir_options", &err);
  if (!rc && (own.flags & ~(uint32_t)(IMGSTORE_ROOTFS_DIR_READ_ONLY | IMGSTORE_ROOTFS_DIR_NO_CREATE)))
    rc = ims_fail(&err, IMGSTORE_EUNSUPPORTED, "imgstore_rootfs_dir_options: unknown flags %#x", own.flags);
  if (!rc && (own.durability < IMGSTORE_DURABILITY_BATCH || own.durability > IMGSTORE_DURABILITY_NONE))
    rc = ims_fail(&err, IMGSTORE_EINVALID, "durability: %d is not one of IMGSTORE_DURABILITY_*", own.durability);
  if (!rc)
    rc = ims_rootfs_dir_open(dir, store, path, &own, &err);
  if (!rc)
    ims_holds_clean(*dir);
  return ims_api_result(rc, &err, &store->core->alloc, error);
}

void imgstore_rootfs_dir_close(imgstore_rootfs_dir *dir) {
  ims_rootfs_dir_unref(dir);
}

const char *imgstore_rootfs_dir_path(const imgstore_rootfs_dir *dir) {
  return dir ? dir->path : "";
}

const char *imgstore_rootfs_dir_id(const imgstore_rootfs_dir *dir) {
  return dir ? dir->id : "";
}

int32_t imgstore_layers_options_init(imgstore_layers_options *options, size_t size) {
  return ims_options_init(options, size, &layers_defaults, sizeof layers_defaults);
}

int32_t imgstore_layers_apply_start(imgstore_rootfs_dir *dir, imgstore_image *image,
                                    const imgstore_layers_options *options, imgstore_operation **operation,
                                    imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_layers_options own;
  imgstore_unpack_options unpack;
  if (operation)
    *operation = NULL;
  if (!dir || !image || !operation)
    return ims_api_invalid("dir, image and operation are required", NULL, error);
  int32_t rc = ims_layers_options_copy(&own, &unpack, options, &err);
  if (!rc)
    rc = ims_layers_apply_start(operation, dir, image, &own, &err);
  return ims_api_result(rc, &err, &dir->core->alloc, error);
}

int32_t imgstore_layers_apply(imgstore_rootfs_dir *dir, imgstore_image *image, const imgstore_layers_options *options,
                              imgstore_report **report, imgstore_error **error) {
  imgstore_operation *op;
  if (report)
    *report = NULL;
  int32_t rc = imgstore_layers_apply_start(dir, image, options, &op, error);
  if (rc)
    return rc;
  return ims_api_finish(op, NULL, report, error);
}

/* What prune and usage have in common: they fill a report. */
static int32_t run_job(imgstore_rootfs_dir *dir,
                       int32_t (*job)(imgstore_rootfs_dir *dir, imgstore_report *report, ims_error *err),
                       imgstore_report **out, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (out)
    *out = NULL;
  if (!dir)
    return ims_api_invalid("dir is NULL", NULL, error);
  imgstore_report *report = ims_report_new(&dir->core->alloc);
  int32_t rc = report ? job(dir, report, &err) : ims_fail_nomem(&err);
  if (!rc && out)
    *out = report;
  else
    imgstore_report_free(report);
  return ims_api_result(rc, &err, &dir->core->alloc, error);
}

int32_t imgstore_rootfs_dir_prune(imgstore_rootfs_dir *dir, imgstore_report **report, imgstore_error **error) {
  return run_job(dir, ims_layers_prune, report, error);
}

int32_t imgstore_rootfs_dir_usage(imgstore_rootfs_dir *dir, imgstore_report **report, imgstore_error **error) {
  return run_job(dir, ims_layers_usage, report, error);
}
