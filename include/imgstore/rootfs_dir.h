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

/** Fills *options with the defaults. size: sizeof(imgstore_layers_options) of the caller. */
IMGSTORE_API int32_t imgstore_layers_options_init(imgstore_layers_options *options, size_t size);

/**
 * Makes sure that every layer of image, which is of the directory's store, is applied: those that are not yet are
 * applied now, at the same time as far as the context has workers, and become visible together. options: NULL for
 * defaults. report: IMGSTORE_REPORT_SKIPPED lines for the entries of all its layers that were changed by policy, now or
 * when the layer was applied; or NULL when not wanted. After a failure the layers that were there before are there, and
 * no others.
 * Errors: IMGSTORE_EINVALID (an image of another store), IMGSTORE_ELIMIT (the message names the layer and the limit),
 * IMGSTORE_EACCESS (read-only), IMGSTORE_EUNSUPPORTED (the file system has no attributes of the kind), and those of
 * imgstore_unpack.
 */
IMGSTORE_API int32_t imgstore_layers_apply(imgstore_rootfs_dir *dir, imgstore_image *image,
                                           const imgstore_layers_options *options, imgstore_report **report,
                                           imgstore_error **error);
/** The same as an operation; imgstore_operation_report has the lines. */
IMGSTORE_API int32_t imgstore_layers_apply_start(imgstore_rootfs_dir *dir, imgstore_image *image,
                                                 const imgstore_layers_options *options, imgstore_operation **operation,
                                                 imgstore_error **error);

/**
 * Removes the layer directories that no image of the store, no instance and no running job needs, and what interrupted
 * jobs left. Works on a full disk. report: IMGSTORE_REPORT_LAYER_DIR lines (name; digest: chainID; size: bytes freed)
 * and IMGSTORE_REPORT_FOREIGN lines (name: a file that is not ours, left alone); or NULL when not wanted.
 * Errors: IMGSTORE_EACCESS (read-only), IMGSTORE_ECORRUPT (an image of the store cannot be read: nothing is removed),
 * IMGSTORE_EIO.
 */
IMGSTORE_API int32_t imgstore_rootfs_dir_prune(imgstore_rootfs_dir *dir, imgstore_report **report,
                                               imgstore_error **error);

/**
 * Disk usage. IMGSTORE_REPORT_LAYER_DIR lines: one for each layer directory (name; digest: chainID; size: bytes;
 * shared: those bytes again when more than one image or instance has it, else 0); IMGSTORE_REPORT_USAGE lines: one for
 * each image of the store that has layer directories (name; digest; size: bytes of its layer directories; shared: the
 * part that others have too; what is left is its alone), a last one with name "" (size: every layer directory once);
 * IMGSTORE_REPORT_ROOTFS lines: one for each instance (name; digest: its manifest; detail: the name of its image; size:
 * its own files and the layer directories below; shared: those below, so that size minus shared is what it has of its
 * own; inodes: its own); IMGSTORE_REPORT_SKIPPED lines (name: an instance; detail: what of it could not be counted, and
 * why: it was moved again and again, or may not be read); and IMGSTORE_REPORT_FOREIGN lines (name: a file that is not
 * ours). imgstore_report_inodes has the files and directories of each. Bytes are those of the content of regular files
 * and of the targets of links, each inode once. Instances may be in use meanwhile.
 * Errors: as imgstore_rootfs_dir_prune.
 */
IMGSTORE_API int32_t imgstore_rootfs_dir_usage(imgstore_rootfs_dir *dir, imgstore_report **report,
                                               imgstore_error **error);

#ifdef __cplusplus
}
#endif
#endif
