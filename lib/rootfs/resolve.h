/*
 * rootfs/resolve.h (L3) - from a path in a layer to an open directory that lies inside the root, whatever links say.
 */
#ifndef IMS_ROOTFS_RESOLVE_H
#define IMS_ROOTFS_RESOLVE_H

#include "rootfs/tree.h"

/**
 * Opens the directory at path (cleaned: no "", ".", ".." components, no leading or trailing slash; "" is the root).
 * Symbolic links are followed as if the root were "/". make: missing directories are made, and what stands in the way
 * (files, links that lead to no directory) is replaced by directories. *dir is pinned; NULL without make when there is
 * none.
 */
int32_t ims_resolve_dir(ims_tree *tree, const char *path, bool make, ims_dir **dir, ims_error *err);
/** Opens and pins dir/name, which must be a directory itself, under path, the path of both together. */
int32_t ims_resolve_child(ims_tree *tree, ims_dir *dir, const char *name, const char *path, ims_dir **child,
                          ims_error *err);

#endif
