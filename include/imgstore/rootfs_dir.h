/*
 * imgstore/rootfs_dir.h - a directory of applied layers: each layer of an image is applied once, into a directory of
 * its own in the form that overlayfs takes, and shared by every image and every instance (rootfs.h) that has it.
 *
 * A layer directory appears when it is complete, verified against its diffID and on stable storage, and never changes
 * after that. What an interrupted job leaves is invisible, and the next open removes it. Any number of processes may
 * use one directory; what is applied by one is waited for by the others.
 * Sources: image-spec 1.1 layer, "Applying Changesets"; config, "Layer ChainID"; Linux overlayfs, "whiteouts and opaque
 * directories".
 */
#ifndef IMGSTORE_ROOTFS_DIR_H
#define IMGSTORE_ROOTFS_DIR_H

#include "imgstore/common.h"
#include "imgstore/operation.h"
#include "imgstore/unpack.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  IMGSTORE_ROOTFS_DIR_READ_ONLY = 1u << 0, /**< nothing is written, not even locks */
  IMGSTORE_ROOTFS_DIR_NO_CREATE = 1u << 1  /**< IMGSTORE_ENOTFOUND when there is none at path */
};

typedef struct imgstore_rootfs_dir_options {
  size_t size;
  uint32_t flags;     /**< IMGSTORE_ROOTFS_DIR_* */
  int32_t durability; /**< IMGSTORE_DURABILITY_*: with NONE, layer directories are not flushed */
} imgstore_rootfs_dir_options;

/** Fills *options with the defaults. size: sizeof(imgstore_rootfs_dir_options) of the caller. */
IMGSTORE_API int32_t imgstore_rootfs_dir_options_init(imgstore_rootfs_dir_options *options, size_t size);

/**
 * Opens, or makes, a rootfs directory for the images of store. path: NULL for the one inside the store's own directory
 * (".imgstore/rootfs"); for another, its parent must exist and its file system must be writable, keep extended
 * attributes and, to be mounted, be fit for overlayfs. options: NULL for defaults.
 * What dead processes left is removed; a failure of that stops nothing. dir keeps store alive.
 * Errors: IMGSTORE_EINVALID (NULL path with a store that is no directory), IMGSTORE_ENOTFOUND, IMGSTORE_EFORMAT
 * (something else is there), IMGSTORE_EUNSUPPORTED (of a later release), IMGSTORE_EACCESS, IMGSTORE_ENOSPACE.
 */
IMGSTORE_API int32_t imgstore_rootfs_dir_open(imgstore_store *store, const char *path,
                                              const imgstore_rootfs_dir_options *options, imgstore_rootfs_dir **dir,
                                              imgstore_error **error);
/** Closes the caller's handle; operations and instances made from it keep what they need. */
IMGSTORE_API void imgstore_rootfs_dir_close(imgstore_rootfs_dir *dir);
/** Its absolute path when it was opened. */
IMGSTORE_API const char *imgstore_rootfs_dir_path(const imgstore_rootfs_dir *dir);
/** A random name that it was given when it was made: 32 hexadecimal digits. */
IMGSTORE_API const char *imgstore_rootfs_dir_id(const imgstore_rootfs_dir *dir);

/** Which attribute marks an opaque directory. */
enum {
  IMGSTORE_OVERLAY_DEFAULT = 0, /**< TRUSTED for a process that may set it (CAP_SYS_ADMIN outside of user namespaces),
                                     else USER */
  IMGSTORE_OVERLAY_TRUSTED = 1, /**< trusted.overlay.opaque: for a mount by the system's administrator */
  IMGSTORE_OVERLAY_USER = 2     /**< user.overlay.opaque: for a mount with the option userxattr, in a user namespace */
};

/** How to apply layers. Layers applied differently are kept apart. */
typedef struct imgstore_layers_options {
  size_t size;
  uint32_t flags;       /**< 0 */
  int32_t overlay_form; /**< IMGSTORE_OVERLAY_* */
  /** Policies, id maps and IMGSTORE_UNPACK_STRICT_XATTRS; NULL: defaults. IMGSTORE_UNPACK_FLUSH and progress are not
   * looked at. */
  const imgstore_unpack_options *unpack;
  uint64_t max_bytes;  /**< the most content that this job may write, in bytes; 0: no limit */
  uint64_t max_inodes; /**< the most files and directories that this job may make; 0: no limit */
  imgstore_event_fn progress;
  void *progress_data;
} imgstore_layers_options;

#ifdef __cplusplus
}
#endif
#endif
