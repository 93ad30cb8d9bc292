/*
 * engine/mount_fuse.h (L4) - mounting and unmounting by programs, where the kernel lets an ordinary user do neither.
 */
#ifndef IMS_ENGINE_MOUNT_FUSE_H
#define IMS_ENGINE_MOUNT_FUSE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/core.h"
#include "base/error.h"

#define IMS_FUSE_PROGRAM "/usr/bin/fuse-overlayfs"
#define IMS_FUSE_UMOUNT "fusermount3"

typedef struct ims_fuse_mount {
  const char *program;
  const char *options; /**< "lowerdir=...,..." with paths escaped */
  uint32_t flags;      /**< IMGSTORE_MOUNT_NOSUID... */
  const char *target;  /**< absolute */
  const char *name;    /**< of the instance */
  const atomic_bool *cancelled;
} ims_fuse_mount;

/** *refused: the program is not there or does not work here. */
int32_t ims_fuse_mount_run(const ims_core *core, const ims_fuse_mount *mount, bool *refused, ims_error *err);
int32_t ims_fuse_umount_run(const ims_core *core, const char *target, bool detach, const char *name, ims_error *err);

#endif
