/*
 * rootfs/remove.h (L3) - removing trees, entirely or only what lower layers left.
 */
#ifndef IMS_ROOTFS_REMOVE_H
#define IMS_ROOTFS_REMOVE_H

#include "rootfs/tree.h"

/** Makes room at dir/name: whatever is there goes, with all it holds. Nothing there is fine. */
int32_t ims_remove_entry(ims_tree *tree, ims_dir *dir, const char *name, const char *path, ims_error *err);
/** As ims_remove_entry, but what the current layer made stays, and the directories on the way to it. */
int32_t ims_hide_entry(ims_tree *tree, ims_dir *dir, const char *name, const char *path, ims_error *err);
/** Removes everything in dir that the current layer did not make. */
int32_t ims_hide_content(ims_tree *tree, ims_dir *dir, const char *path, ims_error *err);

#endif
