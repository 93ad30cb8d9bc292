/*
 * imgstore/changes.h - what an instance changed, and images made of it.
 *
 * Both cost as much as was changed, not as much as the image has: they read the instance's own layer. An instance may
 * be mounted and used meanwhile; a file that changes while it is read is an error, never half of one and half of
 * another. Pausing what runs in it is the caller's business.
 * Sources: image-spec 1.1 layer, "Representing Changes"; Linux overlayfs; Docker's `docker diff` and `docker commit`.
 */
#ifndef IMGSTORE_CHANGES_H
#define IMGSTORE_CHANGES_H

#include "imgstore/builder.h"
#include "imgstore/common.h"
#include "imgstore/operation.h"
#include "imgstore/rootfs.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Lists what an instance changed, parents before what they hold: IMGSTORE_REPORT_ADDED, _MODIFIED and _DELETED lines;
 * name: the path, absolute in the instance. A directory that is there below and above is modified, as in `docker diff`.
 * Of a directory that was deleted only the directory is told.
 * report: receives the lines. Errors: IMGSTORE_ECONFLICT (it changed while it was read; the message names the path),
 * IMGSTORE_EACCESS, IMGSTORE_EIO, IMGSTORE_ELIMIT (more than a million lines).
 */
IMGSTORE_API int32_t imgstore_rootfs_diff(imgstore_rootfs *rootfs, imgstore_report **report, imgstore_error **error);
/** The same as an operation; imgstore_operation_report has the lines. */
IMGSTORE_API int32_t imgstore_rootfs_diff_start(imgstore_rootfs *rootfs, imgstore_operation **operation,
                                                imgstore_error **error);

/**
 * Adds a layer of what an instance changed to an image in the making, whose layers below must be those of the
 * instance's image. The instance is read by imgstore_builder_finish, until when the builder keeps its handle alive.
 * Whiteouts and opaque directories become those of a layer; owners are mapped back through the instance's id maps (or,
 * for an ordinary user without maps, taken from user.rootlesscontainers, else 0:0); of extended attributes
 * security.capability, user.* and POSIX ACLs are kept. Sockets and names that mean whiteouts are left out and reported
 * (IMGSTORE_REPORT_SKIPPED). Errors: IMGSTORE_EINVALID (the instance is read-only, or of another store),
 * IMGSTORE_EBUSY, IMGSTORE_ENOMEM; when it is read IMGSTORE_ECONFLICT, IMGSTORE_EUNSUPPORTED (a directory renamed with
 * redirect_dir, a file without its data), IMGSTORE_EINVALID (an owner outside of the id maps); the message names the
 * path.
 */
IMGSTORE_API int32_t imgstore_builder_add_changes(imgstore_builder *builder, imgstore_rootfs *rootfs,
                                                  imgstore_error **error);

/**
 * Changes a config as one instruction of a Dockerfile does: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR,
 * STOPSIGNAL, in the forms that `docker commit --change` takes. Errors: IMGSTORE_EINVALID (the message says why),
 * IMGSTORE_EBUSY, IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_builder_instruct(imgstore_builder *builder, const char *instruction,
                                               imgstore_error **error);

typedef struct imgstore_commit_options {
  size_t size;
  uint32_t flags;      /**< IMGSTORE_BUILD_* */
  int32_t compression; /**< IMGSTORE_COMPRESS_* */
  int32_t level;       /**< as in imgstore_build_options */
  uint32_t reserved;   /**< 0 */
  int64_t
      source_date_epoch;  /**< with IMGSTORE_BUILD_EPOCH: seconds since 1970; no file is newer, and it is "created" */
  const char *author;     /**< or NULL: as in the base */
  const char *message;    /**< the comment in the history, or NULL */
  const char *created_by; /**< in the history; NULL: "imgstore commit" */
  const char *const *changes; /**< instructions, as imgstore_builder_instruct takes them, in this order */
  size_t change_count;
  imgstore_event_fn progress;
  void *progress_data;
} imgstore_commit_options;

/** Fills *options with the defaults. size: sizeof(imgstore_commit_options) of the caller. */
IMGSTORE_API int32_t imgstore_commit_options_init(imgstore_commit_options *options, size_t size);

/**
 * Makes an image of an instance: its image's layers, which are referred to, one layer of what was changed, and the
 * config with the changes that the options ask for. Media types are of the base's family (OCI or Docker). Without any
 * change of files there is no new layer, only an entry of the history.
 * name: receives the new image, moves when it is taken; NULL: the image has no name. It is set last: after a failure or
 * a crash nothing is visible. image: receives the image; report: IMGSTORE_REPORT_SKIPPED lines for what a layer cannot
 * have; both NULL when not wanted. options: NULL for defaults.
 * Errors: those of imgstore_builder_add_changes, imgstore_builder_instruct and imgstore_builder_finish, and
 * IMGSTORE_ENOTFOUND (the instance's image is not in the store any more).
 */
IMGSTORE_API int32_t imgstore_commit(imgstore_rootfs *rootfs, const char *name, const imgstore_commit_options *options,
                                     imgstore_image **image, imgstore_report **report, imgstore_error **error);
/** The same as an operation; imgstore_operation_image and imgstore_operation_report have the rest. */
IMGSTORE_API int32_t imgstore_commit_start(imgstore_rootfs *rootfs, const char *name,
                                           const imgstore_commit_options *options, imgstore_operation **operation,
                                           imgstore_error **error);

#ifdef __cplusplus
}
#endif
#endif
