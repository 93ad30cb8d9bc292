/*
 * rootfs/tree_usage.h (L3) - how much a directory tree holds, whatever is in it: links are not followed, file systems
 * mounted inside are left out.
 */
#ifndef IMS_ROOTFS_TREE_USAGE_H
#define IMS_ROOTFS_TREE_USAGE_H

#include "base/core.h"
#include "base/error.h"

typedef struct ims_tree_usage {
  uint64_t bytes;  /**< content of regular files and targets of links, each inode once: as a layer's record counts */
  uint64_t inodes; /**< without the directory itself */
} ims_tree_usage;

/**
 * Adds what directory holds to *usage. The tree may be in use: what vanishes meanwhile does not count. Errors:
 * IMGSTORE_ENOMEM, and those of what could not be looked at: *usage then has the rest, and the message names one path.
 */
int32_t ims_tree_usage_add(ims_tree_usage *usage, const ims_core *core, int directory, ims_error *err);

#endif
