/*
 * rootfs/overlay_marks.h (L3) - how an overlay file system writes down in its upper directory what is hidden below:
 * whiteouts, opaque directories, and what a layer cannot say (redirects, files without their data).
 *
 * Which attributes are marks depends on how it was mounted. Those of another kind were put there by whoever ran inside,
 * and mean nothing. Source: Linux, Documentation/filesystems/overlayfs.rst; fuse-overlayfs(1).
 */
#ifndef IMS_ROOTFS_OVERLAY_MARKS_H
#define IMS_ROOTFS_OVERLAY_MARKS_H

#include "base/alloc.h"

#include <sys/stat.h>

/** Kinds of directories. */
enum {
  IMS_MARKS_NONE = 0,    /**< a plain tree */
  IMS_MARKS_TRUSTED = 1, /**< trusted.overlay.*: mounted with privileges */
  IMS_MARKS_USER = 2,    /**< user.overlay.*: mounted with userxattr */
  IMS_MARKS_FUSE = 4     /**< also those of fuse-overlayfs: user.fuseoverlayfs.*, files .wh.NAME */
};

enum {
  IMS_MARK_OPAQUE = 1 << 0,     /**< a directory that hides what is below it */
  IMS_MARK_XWHITEOUTS = 1 << 1, /**< a directory whose whiteouts are files with an attribute */
  IMS_MARK_WHITEOUT = 1 << 2,   /**< a file that is a whiteout when its directory has XWHITEOUTS */
  IMS_MARK_REDIRECT = 1 << 3,   /**< a directory whose lower content is elsewhere */
  IMS_MARK_METACOPY = 1 << 4    /**< a file whose data is in a lower directory */
};

/** What an attribute marks; 0: nothing. kinds: IMS_MARKS_* together. */
uint32_t ims_overlay_mark(int32_t kinds, const char *name, const void *value, size_t size);
/** Attributes that belong to an overlay file system, of whatever kind: none of them goes into a layer. */
bool ims_is_overlay_attribute(const char *name);
/** A character device 0:0. */
bool ims_is_whiteout_device(const struct stat *st);

/** What a name of fuse-overlayfs means: IMS_WHITEOUT_* of tar/whiteout.h. hidden: the name that a whiteout hides. */
int ims_overlay_name(const char *name, const char **hidden);

#endif
