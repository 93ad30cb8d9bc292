/*
 * imgstore/transfer.h - pull and load: bring images into a store, and unpack them on the way.
 */
#ifndef IMGSTORE_TRANSFER_H
#define IMGSTORE_TRANSFER_H

#include "imgstore/common.h"
#include "imgstore/operation.h"
#include "imgstore/policy.h"
#include "imgstore/rootfs_dir.h"
#include "imgstore/unpack.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  /** Keep the images of all platforms of an index, not just one. */
  IMGSTORE_PULL_ALL_PLATFORMS = 1u << 0
};

typedef struct imgstore_pull_options {
  size_t size;
  uint32_t flags;                        /**< IMGSTORE_PULL_* */
  uint32_t reserved;                     /**< 0 */
  const char *platform;                  /**< "os/arch[/variant]"; NULL: this machine's */
  imgstore_policy *policy;               /**< which signatures the image must have; NULL: none. See policy.h */
  const char *unpack_to;                 /**< a directory to unpack into while the layers stream in; NULL: only pull */
  const imgstore_unpack_options *unpack; /**< for unpack_to; NULL: defaults. Its progress is ignored */
  imgstore_rootfs_dir *layers_to;        /**< a directory to apply the layers to meanwhile, see rootfs_dir.h; or NULL */
  const imgstore_layers_options *layers; /**< for layers_to; NULL: defaults. Its progress is ignored */
  imgstore_event_fn progress;
  void *progress_data;
} imgstore_pull_options;

/** Fills *options with the defaults. size: sizeof(imgstore_pull_options) of the caller. */
IMGSTORE_API int32_t imgstore_pull_options_init(imgstore_pull_options *options, size_t size);

/**
 * Pulls name from registry into store: nothing that is there is fetched again, nothing is visible under the name
 * before all of it is verified and durable. With unpack_to the image is unpacked as well, in the same pass; with
 * layers_to its layers are applied to layer directories (imgstore_layers_apply), several at the same time.
 * reference: as for imgstore_reference_parse; its host must be the registry's.
 * image: receives the image for the platform, or NULL when not wanted; NULL also comes out when the name stands for an
 * artifact, or with IMGSTORE_PULL_ALL_PLATFORMS for an index without this machine's platform. options: NULL for
 * defaults. Entries that a policy changed while unpacking are in imgstore_operation_report, which only the other face
 * has. Errors: those of the network, IMGSTORE_EINVALID (the name is of another registry), IMGSTORE_EUNSUPPORTED
 * (unpack_to of what is no image, schema 1), IMGSTORE_EEXISTS (unpack_to is not empty), IMGSTORE_EACCESS (a read-only
 * store), IMGSTORE_ENOTFOUND (name, or no manifest for the platform: the message lists those there are),
 * IMGSTORE_EDIGEST, IMGSTORE_EFORMAT, IMGSTORE_ELIMIT, IMGSTORE_ENOSPACE, IMGSTORE_ECALLBACK, IMGSTORE_EUNTRUSTED (the
 * policy refuses the image: nothing but its manifest was fetched, and the store is as it was).
 */
IMGSTORE_API int32_t imgstore_pull(imgstore_store *store, imgstore_registry *registry, const char *reference,
                                   const imgstore_pull_options *options, imgstore_image **image,
                                   imgstore_error **error);
/** The same as an operation; imgstore_operation_image gives the image. Keeps what it needs of store and registry. */
IMGSTORE_API int32_t imgstore_pull_start(imgstore_store *store, imgstore_registry *registry, const char *reference,
                                         const imgstore_pull_options *options, imgstore_operation **operation,
                                         imgstore_error **error);

typedef struct imgstore_load_options {
  size_t size;
  const char *name;     /**< load only this reference of the source; NULL: every one */
  const char *rename;   /**< with name or a source with one reference: the name to give it; NULL: its own */
  const char *platform; /**< as for pull; NULL: everything that is there */
  imgstore_event_fn progress;
  void *progress_data;
  int32_t fd;     /**< without a path: an archive is read from this descriptor, which stays open; -1 (default): none */
  int32_t format; /**< IMGSTORE_ARCHIVE_*; default AUTO: a directory is a layout, what is in a file is looked at */
} imgstore_load_options;

/** Fills *options with the defaults. size: sizeof(imgstore_load_options) of the caller. */
IMGSTORE_API int32_t imgstore_load_options_init(imgstore_load_options *options, size_t size);

/**
 * Brings images in from an OCI image-layout directory or an archive: the layout as a tar (oci-archive), or the tar of
 * docker save, podman save and skopeo (docker-archive); plain, or compressed as a whole with gzip or zstd. An archive
 * may come from a pipe (options->fd): it is read once, and its blobs go into the store as they pass. Every byte is
 * verified: blobs against their digests, the layers of a docker-archive against the diffIDs of the config. Layers are
 * kept as they are in the archive, compressed or not. When anything is wrong, nothing is published and what was brought
 * in is dropped. Platforms of an index that the source does not hold are left out.
 * path: NULL: options->fd. A reference without a full name in the source gets the one in
 * org.opencontainers.image.ref.name after "path's last component:" (in lower case and without .tar, .tar.gz and the
 * like; "latest" when there is none). report: one IMGSTORE_REPORT_TAG line per name loaded, or NULL when not wanted.
 * Errors: IMGSTORE_ENOTFOUND (no layout there, no such reference, no image in it), IMGSTORE_EINVALID (rename with
 * several references, neither path nor fd, an image without a name from a pipe), IMGSTORE_EFORMAT (no archive, members
 * that lead outside, are there twice or are missing, documents that contradict each other), IMGSTORE_EUNSUPPORTED,
 * IMGSTORE_ELIMIT, IMGSTORE_ECORRUPT, IMGSTORE_EDIGEST, IMGSTORE_ENOSPACE.
 */
IMGSTORE_API int32_t imgstore_load(imgstore_store *store, const char *path, const imgstore_load_options *options,
                                   imgstore_report **report, imgstore_error **error);
/** The same as an operation; imgstore_operation_report has the names. */
IMGSTORE_API int32_t imgstore_load_start(imgstore_store *store, const char *path, const imgstore_load_options *options,
                                         imgstore_operation **operation, imgstore_error **error);

#ifdef __cplusplus
}
#endif
#endif
