/*
 * rootfs/mount_overlay.h (L3) - mounts one overlay file system by descriptors. Knows nothing of images and instances.
 *
 * Options that are always set, and why: `metacopy=off` and `redirect_dir=nofollow`, so that the upper directory alone
 * says what changed (a diff reads it), and so that attributes which somebody planted in it lead nowhere; `index=off`,
 * so that an upper directory does not depend on the inode numbers of the layers.
 */
#ifndef IMS_ROOTFS_MOUNT_OVERLAY_H
#define IMS_ROOTFS_MOUNT_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/core.h"
#include "base/error.h"

/** The most lower layers that Linux takes. */
enum { IMS_OVERLAY_LAYERS = 500 };

typedef struct ims_overlay {
  size_t lower_count;
  /** Opens lower directory i, the uppermost first; the descriptor is closed here. */
  int32_t (*open_lower)(void *data, size_t i, int *fd, ims_error *err);
  void *data;
  int upper, work;     /**< -1: read-only */
  bool user_xattrs;    /**< marks are user.overlay.*: the form without privileges */
  unsigned attributes; /**< MOUNT_ATTR_* of the mount */
  const char *name;    /**< of the instance, for messages */
} ims_overlay;

/**
 * Mounts on the directory target. *refused: the kernel does not do this here, and another way may (no overlay file
 * system, no privilege, a file system that cannot be a layer).
 */
int32_t ims_overlay_mount(const ims_core *core, const ims_overlay *overlay, int target, bool *refused, ims_error *err);

#endif
