/*
 * imgstore/rootfs.h - instances of images: root file systems that share one copy of their layers and have a thin layer
 * of their own each.
 *
 * An instance lives in a rootfs directory (rootfs_dir.h) under a name. It can be mounted here, or by the caller in a
 * mount namespace of his own: everything that the mount takes is told. Deleting an instance deletes only its own layer.
 * An open handle holds its instance: nobody deletes it meanwhile, in this or another process.
 * Sources: image-spec 1.1 layer and conversion; runtime-spec 1.0 bundle and config; Linux overlayfs.
 */
#ifndef IMGSTORE_ROOTFS_H
#define IMGSTORE_ROOTFS_H

#include "imgstore/common.h"
#include "imgstore/operation.h"
#include "imgstore/rootfs_dir.h"
#include "imgstore/unpack.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  IMGSTORE_ROOTFS_READ_ONLY = 1u << 0 /**< no layer of its own: nothing can be written */
};

/** How to create an instance. */
typedef struct imgstore_rootfs_options {
  size_t size;
  uint32_t flags; /**< IMGSTORE_ROOTFS_* */
  uint32_t reserved;
  const char *image_name; /**< the name to remember the image by; NULL: its digest only */
  /**
   * How layers are applied that are not there yet, and the id maps of the instance (in its unpack options); NULL for
   * defaults. With maps, and where kernel and file system can, the layers keep the image's owners and every map is laid
   * over the one copy when it is mounted; elsewhere the layers are applied once for each map. Its progress is not used.
   */
  const imgstore_layers_options *layers;
  imgstore_event_fn progress;
  void *progress_data;
} imgstore_rootfs_options;

/** Fills *options with the defaults. size: sizeof(imgstore_rootfs_options) of the caller. */
IMGSTORE_API int32_t imgstore_rootfs_options_init(imgstore_rootfs_options *options, size_t size);

/**
 * Creates an instance of an image of the directory's store. Layers that are not applied yet are applied now; when all
 * are there, the cost does not depend on the size of the image.
 * name: 1 to 128 of a-z A-Z 0-9 _ . -, a letter or digit first. options: NULL for defaults. rootfs: receives the open
 * handle, or NULL when not wanted.
 * As long as the instance exists its image stays in the store, and removing its last name is refused.
 * Errors: IMGSTORE_EINVALID (the name; an image of another store), IMGSTORE_EEXISTS (there is one of that name), and
 * those of imgstore_layers_apply.
 */
IMGSTORE_API int32_t imgstore_rootfs_create(imgstore_rootfs_dir *dir, imgstore_image *image, const char *name,
                                            const imgstore_rootfs_options *options, imgstore_rootfs **rootfs,
                                            imgstore_error **error);
/** The same as an operation; imgstore_operation_rootfs has the handle. */
IMGSTORE_API int32_t imgstore_rootfs_create_start(imgstore_rootfs_dir *dir, imgstore_image *image, const char *name,
                                                  const imgstore_rootfs_options *options,
                                                  imgstore_operation **operation, imgstore_error **error);
/** The instance that a finished imgstore_rootfs_create_start made; the caller owns it. NULL otherwise, and the second
    time. */
IMGSTORE_API imgstore_rootfs *imgstore_operation_rootfs(imgstore_operation *operation);

/**
 * Opens an instance. Errors: IMGSTORE_EINVALID (the name), IMGSTORE_ENOTFOUND, IMGSTORE_ECORRUPT (its record),
 * IMGSTORE_EBUSY (it is being deleted).
 */
IMGSTORE_API int32_t imgstore_rootfs_open(imgstore_rootfs_dir *dir, const char *name, imgstore_rootfs **rootfs,
                                          imgstore_error **error);
/** Closes the handle. What is mounted stays mounted. */
IMGSTORE_API void imgstore_rootfs_close(imgstore_rootfs *rootfs);

/**
 * Lists the instances, sorted by name: one IMGSTORE_REPORT_ROOTFS line each (name; digest: of the manifest; detail: the
 * name of the image; size and shared are 0), then IMGSTORE_REPORT_FOREIGN lines for what is there and is no instance,
 * and IMGSTORE_REPORT_DAMAGED lines (name; detail: how) for instances that cannot be read.
 */
IMGSTORE_API int32_t imgstore_rootfs_list(imgstore_rootfs_dir *dir, imgstore_report **report, imgstore_error **error);

enum {
  IMGSTORE_ROOTFS_DELETE_MOUNTED = 1u << 0 /**< when it is mounted: unmount it, whatever still uses it */
};
/**
 * Deletes an instance: its own layer, nothing else. Whatever the layer contains, nothing outside is touched. What
 * cannot be removed now (immutable files, owners out of reach) is out of the way, tried again by the next open of the
 * directory, and said in report (IMGSTORE_REPORT_SKIPPED lines), which may be NULL.
 * Errors: IMGSTORE_EINVALID (the name), IMGSTORE_ENOTFOUND, IMGSTORE_EBUSY (mounted, or a handle is open).
 */
IMGSTORE_API int32_t imgstore_rootfs_delete(imgstore_rootfs_dir *dir, const char *name, uint32_t flags,
                                            imgstore_report **report, imgstore_error **error);

/** The name of the instance. */
IMGSTORE_API const char *imgstore_rootfs_name(const imgstore_rootfs *rootfs);
/** The name of the image as it was given to create, or "". */
IMGSTORE_API const char *imgstore_rootfs_image_name(const imgstore_rootfs *rootfs);
/** The image ID: the digest of the config. */
IMGSTORE_API const char *imgstore_rootfs_image_id(const imgstore_rootfs *rootfs);
/** The digest of the image's manifest. */
IMGSTORE_API const char *imgstore_rootfs_manifest_digest(const imgstore_rootfs *rootfs);
/** When it was created, RFC 3339. */
IMGSTORE_API const char *imgstore_rootfs_created(const imgstore_rootfs *rootfs);
/** 1 when it was created read-only, else 0. */
IMGSTORE_API int32_t imgstore_rootfs_is_read_only(const imgstore_rootfs *rootfs);
/** 1 when the layers have the image's owners and its id maps have to be laid over them by the mount, else 0. */
IMGSTORE_API int32_t imgstore_rootfs_is_id_mapped(const imgstore_rootfs *rootfs);

enum {
  IMGSTORE_ROOTFS_PATH_OWN = 1,   /**< the instance's own directory */
  IMGSTORE_ROOTFS_PATH_UPPER = 2, /**< what was changed, in overlay form; "" for a read-only instance */
  IMGSTORE_ROOTFS_PATH_WORK = 3,  /**< for the kernel's use; "" for a read-only instance */
  IMGSTORE_ROOTFS_PATH_MERGED = 4 /**< where it is mounted when no other target is given */
};
/** An absolute path, one of IMGSTORE_ROOTFS_PATH_*; "" for others. As when the handle was opened. */
IMGSTORE_API const char *imgstore_rootfs_path(const imgstore_rootfs *rootfs, int32_t which);
/** How many layer directories are below the instance. */
IMGSTORE_API size_t imgstore_rootfs_lower_count(const imgstore_rootfs *rootfs);
/** The absolute path of layer directory i, the uppermost first, in the order of overlayfs; "" when out of range. */
IMGSTORE_API const char *imgstore_rootfs_lower(const imgstore_rootfs *rootfs, size_t i);
/**
 * The options for an overlay mount of this instance as text, "lowerdir=...,upperdir=...,workdir=...,...", for whoever
 * mounts by himself: mount(2) takes it up to a page, fuse-overlayfs at any length; for fsconfig(2) take the paths one
 * by one with imgstore_rootfs_lower and what imgstore_rootfs_mount_flags says. Never NULL.
 */
IMGSTORE_API const char *imgstore_rootfs_mount_options(const imgstore_rootfs *rootfs);
/** The part of the options that names no directory, such as "index=off,metacopy=off,redirect_dir=nofollow". */
IMGSTORE_API const char *imgstore_rootfs_mount_flags(const imgstore_rootfs *rootfs);

/** Ways to mount. */
enum {
  IMGSTORE_MOUNT_NONE = 0,         /**< not mounted */
  IMGSTORE_MOUNT_OVERLAY = 1 << 0, /**< overlayfs of the kernel */
  IMGSTORE_MOUNT_FUSE = 1 << 1,    /**< the program fuse-overlayfs */
  IMGSTORE_MOUNT_COPY = 1 << 2     /**< no mount: the files are copied into the merged directory, once */
};
enum {
  IMGSTORE_MOUNT_NOSUID = 1u << 0,
  IMGSTORE_MOUNT_NODEV = 1u << 1,
  IMGSTORE_MOUNT_NOEXEC = 1u << 2,
  IMGSTORE_MOUNT_READ_ONLY = 1u << 3 /**< this mount only; the instance keeps its layer */
};

typedef struct imgstore_mount_options {
  size_t size;
  uint32_t flags;           /**< IMGSTORE_MOUNT_NOSUID... */
  uint32_t ways;            /**< the ways that may be used, tried in the order of their numbers; 0: all */
  const char *target;       /**< an existing directory; NULL: the instance's merged directory */
  const char *fuse_program; /**< NULL: /usr/bin/fuse-overlayfs */
  /** User namespace whose maps are laid over an id-mapped instance, or -1: one is made for the instance's maps. */
  int32_t user_namespace;
  uint32_t reserved;
  imgstore_event_fn progress; /**< of a copy */
  void *progress_data;
} imgstore_mount_options;

/** Fills *options with the defaults. size: sizeof(imgstore_mount_options) of the caller. */
IMGSTORE_API int32_t imgstore_mount_options_init(imgstore_mount_options *options, size_t size);

/**
 * Mounts an instance in the caller's mount namespace. way: receives the IMGSTORE_MOUNT_* that was used, or NULL.
 * Errors: IMGSTORE_EBUSY (it is mounted, here or in another namespace; something is mounted on the target),
 * IMGSTORE_EUNSUPPORTED (none of the ways works here; the message says why), IMGSTORE_ENOTFOUND, IMGSTORE_ECORRUPT (its
 * directories were replaced by something else), IMGSTORE_EACCES, IMGSTORE_ENOSPACE.
 */
IMGSTORE_API int32_t imgstore_rootfs_mount(imgstore_rootfs *rootfs, const imgstore_mount_options *options, int32_t *way,
                                           imgstore_error **error);
/** The same as an operation: a copy takes its time. imgstore_rootfs_mounted tells the way afterwards. */
IMGSTORE_API int32_t imgstore_rootfs_mount_start(imgstore_rootfs *rootfs, const imgstore_mount_options *options,
                                                 imgstore_operation **operation, imgstore_error **error);
enum {
  IMGSTORE_UMOUNT_DETACH = 1u << 0 /**< although it is in use: it goes out of sight now, and away with its last user */
};
/**
 * Unmounts it. A copy stays where it is and is only no longer mounted. Errors: IMGSTORE_ENOTFOUND (it is not mounted
 * in this mount namespace), IMGSTORE_EBUSY (in use, or being mounted, copied or unmounted by somebody else).
 */
IMGSTORE_API int32_t imgstore_rootfs_umount(imgstore_rootfs *rootfs, uint32_t flags, imgstore_error **error);
/**
 * Whether and where it is mounted, as the system says now: an IMGSTORE_MOUNT_*. where: receives the absolute path, ""
 * when it is not mounted or in another mount namespace; valid until the next call with this handle; or NULL. Records of
 * mounts that ended with a reboot or their namespace do not count.
 */
IMGSTORE_API int32_t imgstore_rootfs_mounted(imgstore_rootfs *rootfs, const char **where);

enum {
  IMGSTORE_BUNDLE_TERMINAL = 1u << 0,          /**< process.terminal */
  IMGSTORE_BUNDLE_ROOTLESS = 1u << 1,          /**< a user namespace, and nothing that takes privileges */
  IMGSTORE_BUNDLE_HOST_NETWORK = 1u << 2,      /**< no network namespace */
  IMGSTORE_BUNDLE_NO_NEW_PRIVILEGES = 1u << 3, /**< process.noNewPrivileges */
  IMGSTORE_BUNDLE_READ_ONLY = 1u << 4          /**< root.readonly */
};

typedef struct imgstore_bundle_options {
  size_t size;
  uint32_t flags;                /**< IMGSTORE_BUNDLE_* */
  uint32_t reserved;             /**< 0 */
  const char *root;              /**< root.path; NULL: where the instance is mounted */
  const char *const *entrypoint; /**< instead of the image's; NULL: the image's */
  size_t entrypoint_count;
  const char *const *args; /**< instead of the image's command, after the entrypoint; NULL: the image's */
  size_t arg_count;
  const char *const *env; /**< NAME=VALUE: added to the image's, or in their place */
  size_t env_count;
  const char *user;     /**< instead of the image's: "name", "uid", "name:group", "uid:gid"; NULL: the image's */
  const char *cwd;      /**< absolute; NULL: the image's, else "/" */
  const char *hostname; /**< NULL: from the instance's name */
  /** Ids of the container's user namespace; NULL: those of the instance; rootless without any: the caller as root. */
  const imgstore_id_map *uid_map;
  size_t uid_map_count;
  const imgstore_id_map *gid_map;
  size_t gid_map_count;
} imgstore_bundle_options;

/** Fills *options with the defaults. size: sizeof(imgstore_bundle_options) of the caller. */
IMGSTORE_API int32_t imgstore_bundle_options_init(imgstore_bundle_options *options, size_t size);

/**
 * Writes an OCI runtime bundle into directory (made when it is not there; its parent must be): config.json, and a
 * directory "volumes" with one directory for each volume of the image, which is mounted over it.
 * The user is looked up inside the root file system, without following links out of it; the working directory is made
 * there when it is missing. Errors: IMGSTORE_ENOTFOUND (not mounted and no root given; unknown user or group; the image
 * is not in the store), IMGSTORE_EINVALID (nothing to run; an argument; an id that the maps do not cover),
 * IMGSTORE_EFORMAT (files of the image), IMGSTORE_ELIMIT.
 * Source: image-spec 1.1 conversion, runtime-spec 1.0.2 config and config-linux.
 */
IMGSTORE_API int32_t imgstore_rootfs_bundle(imgstore_rootfs *rootfs, const char *directory,
                                            const imgstore_bundle_options *options, imgstore_error **error);

#ifdef __cplusplus
}
#endif
#endif
