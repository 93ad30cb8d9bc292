/*
 * rootfs/overlay_parts.h (L3) - what the files overlay*.c and copy_up.c share.
 */
#ifndef IMS_ROOTFS_OVERLAY_PARTS_H
#define IMS_ROOTFS_OVERLAY_PARTS_H

#include "rootfs/overlay.h"

/** Kinds of placeholders: made for an object or for a whiteout, and the same when an entry described them later. */
enum {
  IMS_PLACEHOLDER_STRONG = 's',
  IMS_PLACEHOLDER_WEAK = 'w',
  IMS_PLACEHOLDER_DESCRIBED = 'd', /**< after ims_overlay_seal */
  IMS_PLACEHOLDER_WHITEOUT = 'x'   /**< no directory: a whiteout, which must not stay where it hides nothing */
};

/** Returns IMGSTORE_EAGAIN. */
int32_t ims_overlay_unsure(ims_overlay *overlay);
/** Hides each name that the roots of the layers below have: a root has no opaque mark. With a view. */
int32_t ims_overlay_hide_roots(ims_tree *tree, ims_error *err);
/** Hides one name in the root. */
int32_t ims_overlay_hide_named(ims_tree *tree, const char *name, ims_error *err);
/** An ACL changed the mode. */
int32_t ims_overlay_refresh_mode(ims_tree *tree, ims_dir *dir, const char *path, ims_error *err);

#endif
