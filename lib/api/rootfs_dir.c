/*
 * api/rootfs_dir.c (L5) - include/imgstore/rootfs_dir.h.
 */
#include "imgstore/rootfs_dir.h"

#include "api/options.h"
#include "api/result.h"
#include "rootfs/dir_state.h"

static const imgstore_rootfs_dir_options dir_defaults = {.size = sizeof(imgstore_rootfs_dir_options)};

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
