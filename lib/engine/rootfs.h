/*
 * engine/rootfs.h (L4) - what imgstore_rootfs is inside: an open instance, and the jobs that make and mount one.
 */
#ifndef IMS_ENGINE_ROOTFS_H
#define IMS_ENGINE_ROOTFS_H

#include <stdatomic.h>

#include "engine/image.h"
#include "engine/operation.h"
#include "imgstore/rootfs.h"
#include "rootfs/instance.h"
#include "rootfs/layer_dir.h"
#include "rootfs/mount_state.h"

enum { IMS_ROOTFS_PATHS = 5 }; /* one more than the last IMGSTORE_ROOTFS_PATH_* */

struct imgstore_rootfs {
  atomic_uint refs; /**< the caller's, and one of each job on it */
  ims_core *core;
  ims_instance instance;
  ims_buf text;                  /**< all the strings below, one after the other */
  size_t path[IMS_ROOTFS_PATHS]; /**< offsets in text */
  size_t *lower;                 /**< uppermost first */
  size_t options, flags;
  ims_buf where; /**< of the last imgstore_rootfs_mounted */
};

/** Takes over *instance, also when it fails. */
int32_t ims_rootfs_new(imgstore_rootfs **rootfs, ims_instance *instance, ims_error *err);
imgstore_rootfs *ims_rootfs_ref(imgstore_rootfs *rootfs);
void ims_rootfs_unref(imgstore_rootfs *rootfs);

/** options: complete; borrowed during the call but for image_name, layers, which are copied. */
int32_t ims_rootfs_create_start(imgstore_operation **op, ims_rootfs_dir *dir, imgstore_image *image, const char *name,
                                const imgstore_rootfs_options *options, ims_error *err);
/** Takes the instance out of a finished create job; NULL for other jobs. */
imgstore_rootfs *ims_operation_take_rootfs(imgstore_operation *op);

/** options: complete. */
int32_t ims_rootfs_mount_start(imgstore_operation **op, imgstore_rootfs *rootfs, const imgstore_mount_options *options,
                               ims_error *err);
/** The way that a finished mount job used. */
int32_t ims_operation_mount_way(const imgstore_operation *op);
int32_t ims_rootfs_umount(const ims_instance *instance, uint32_t flags, ims_error *err);
/** state: initialised; what is written down. Returns IMS_MOUNT_*; a mount on the merged directory that is not written
 * down counts. */
int32_t ims_rootfs_find_mount(const ims_instance *instance, ims_mount_state *state, int32_t *found, ims_error *err);

#endif
