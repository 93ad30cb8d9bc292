/*
 * imgstore/unpack.h - images as directories: unpacking.
 *
 * Whatever the image contains, nothing outside the target directory is created, changed, linked or read.
 * Source: image-spec 1.1 layer, "Applying Changesets".
 */
#ifndef IMGSTORE_UNPACK_H
#define IMGSTORE_UNPACK_H

#include "imgstore/common.h"
#include "imgstore/operation.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What to do with an owner, device or extended attribute that the system does not let us set. */
enum {
  IMGSTORE_POLICY_DEFAULT = 0, /**< ERROR when running with privileges, SKIP without */
  IMGSTORE_POLICY_ERROR = 1,   /**< fail */
  IMGSTORE_POLICY_SKIP = 2,    /**< go on without it and say so in the report */
  IMGSTORE_POLICY_RECORD = 3   /**< as SKIP; owners are kept in the user.rootlesscontainers attribute */
};

enum {
  /** Refuse xattrs outside security.capability, user.*, POSIX ACLs instead of dropping and reporting them. */
  IMGSTORE_UNPACK_STRICT_XATTRS = 1u << 0,
  /** Flush the unpacked tree to stable storage before the job is done. */
  IMGSTORE_UNPACK_FLUSH = 1u << 1
};

/** One line of an id map: ids [inside, inside + count) of the image become [outside, ...) on the host. */
typedef struct imgstore_id_map {
  uint32_t inside;
  uint32_t outside;
  uint32_t count;
} imgstore_id_map;

/** How to unpack. Id maps are copied; an owner that a map does not cover is an error, not a skipped entry. */
typedef struct imgstore_unpack_options {
  size_t size;
  uint32_t flags;                 /**< IMGSTORE_UNPACK_* */
  int32_t owner_policy;           /**< IMGSTORE_POLICY_* */
  int32_t device_policy;          /**< IMGSTORE_POLICY_* */
  int32_t xattr_policy;           /**< IMGSTORE_POLICY_* */
  const imgstore_id_map *uid_map; /**< NULL: identity */
  size_t uid_map_count;
  const imgstore_id_map *gid_map;
  size_t gid_map_count;
  imgstore_event_fn progress;
  void *progress_data;
} imgstore_unpack_options;

/** Fills *options with the defaults. size: sizeof(imgstore_unpack_options) of the caller. */
IMGSTORE_API int32_t imgstore_unpack_options_init(imgstore_unpack_options *options, size_t size);

/**
 * Unpacks all layers of an image into directory, which is created (its parent must exist) or must be empty.
 * Each layer is verified against its diffID; a failed unpack removes what it made.
 * report: IMGSTORE_REPORT_SKIPPED lines for entries changed by policy, or NULL when not wanted. options: NULL for
 * defaults. Nobody else may change the directory meanwhile.
 * Errors: IMGSTORE_EEXISTS (directory not empty), IMGSTORE_ENOTFOUND (no parent; a layer is not in the store),
 * IMGSTORE_EINVALID (an id is not in the map), IMGSTORE_EUNSUPPORTED (media type, diffID other than sha256, an
 * attribute with IMGSTORE_UNPACK_STRICT_XATTRS), IMGSTORE_EDIGEST, IMGSTORE_EFORMAT, IMGSTORE_ELIMIT,
 * IMGSTORE_ENOSPACE, IMGSTORE_EACCESS; the message names the layer and the path in it.
 */
IMGSTORE_API int32_t imgstore_unpack(imgstore_image *image, const char *directory,
                                     const imgstore_unpack_options *options, imgstore_report **report,
                                     imgstore_error **error);
/** The same as an operation; imgstore_operation_report has the lines. */
IMGSTORE_API int32_t imgstore_unpack_start(imgstore_image *image, const char *directory,
                                           const imgstore_unpack_options *options, imgstore_operation **operation,
                                           imgstore_error **error);

#ifdef __cplusplus
}
#endif
#endif
