/*
 * imgstore/archive.h - images as single files: save; root file systems as images: import, export. Archives are loaded
 * with imgstore_load of transfer.h.
 *
 * Archives are written in one pass, to a file, to a descriptor that may be a pipe, or to a callback; nothing is
 * spooled. The same content of a store gives the same bytes. Sources: image-spec 1.1 image-layout; Docker image spec
 * v1.2 "Combined Image JSON + Filesystem Changeset Format".
 */
#ifndef IMGSTORE_ARCHIVE_H
#define IMGSTORE_ARCHIVE_H

#include "imgstore/common.h"
#include "imgstore/operation.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  IMGSTORE_ARCHIVE_AUTO = 0,   /**< load: told from the content; save: as DOCKER */
  IMGSTORE_ARCHIVE_DOCKER = 1, /**< docker-archive: a tar with a manifest.json, as docker, podman and skopeo use it */
  IMGSTORE_ARCHIVE_OCI = 2,    /**< oci-archive: an OCI image layout as a tar */
  IMGSTORE_ARCHIVE_OCI_DIR = 3 /**< an OCI image-layout directory */
};

/**
 * Receives the next bytes of an archive. Return 0 to go on; anything else stops the job with IMGSTORE_ECALLBACK. Runs
 * on the driving thread.
 */
typedef int32_t (*imgstore_write_fn)(void *user_data, const void *data, size_t size);

enum {
  IMGSTORE_SAVE_ALL_PLATFORMS = 1u << 0, /**< all platforms of an index that the store has, not just one */
  /**
   * DOCKER only: the older form, layers uncompressed as <diffID>.tar and no OCI layout beside, for readers that do not
   * know zstd or compressed layers. Each layer is decompressed twice: its size comes before its bytes.
   */
  IMGSTORE_SAVE_UNCOMPRESSED = 1u << 1
};

typedef struct imgstore_save_options {
  size_t size;
  uint32_t flags;          /**< IMGSTORE_SAVE_* */
  int32_t format;          /**< IMGSTORE_ARCHIVE_*; default DOCKER */
  const char *platform;    /**< "os/arch[/variant]"; NULL: this machine's, or the only one there is */
  int32_t fd;              /**< without a path: write to this descriptor, which stays open; -1 (default): none */
  uint32_t reserved;       /**< 0 */
  imgstore_write_fn write; /**< without path and fd: write to this callback */
  void *write_data;
  imgstore_event_fn progress;
  void *progress_data;
  int32_t compression; /**< of the archive as a whole, IMGSTORE_COMPRESS_* of builder.h; default NONE */
  uint32_t reserved2;  /**< 0 */
} imgstore_save_options;

/** Fills *options with the defaults. size: sizeof(imgstore_save_options) of the caller. */
IMGSTORE_API int32_t imgstore_save_options_init(imgstore_save_options *options, size_t size);

/**
 * Writes images of a store as one archive. names: count of them, as for imgstore_store_image; content that several
 * share is written once, an image that has several of the names once with all of them. path: the file, which appears,
 * or takes the place of the one there, when it is complete and durable (a pipe, terminal or device there, and what is
 * below /dev/fd and /proc, is written to as it is; the job waits for a reader of a pipe); NULL: see options->fd and
 * write. A failed save leaves no file. DOCKER writes an OCI layout with manifest.json beside it and the layers as they
 * are stored: Docker 25 and later, podman and skopeo read it, and digests survive. OCI_DIR makes the directory path, or
 * adds to the layout that is there. Every blob is verified as it is written. With options->compression all of it is
 * compressed, which docker load and podman load undo as imgstore_load does; layers that are compressed become hardly
 * smaller by it, those of IMGSTORE_SAVE_UNCOMPRESSED do. options: NULL for the defaults. Errors: IMGSTORE_ENOTFOUND,
 * IMGSTORE_EAMBIGUOUS (names), IMGSTORE_EUNSUPPORTED (an artifact in a docker-archive, zstd is not built in),
 * IMGSTORE_EINVALID (no images, no or several targets, OCI_DIR without a path or compressed), IMGSTORE_ECORRUPT,
 * IMGSTORE_EDIGEST, IMGSTORE_ENOSPACE, IMGSTORE_EIO (with EPIPE when a reader went away), IMGSTORE_ECALLBACK.
 */
IMGSTORE_API int32_t imgstore_save(imgstore_store *store, const char *const *names, size_t count, const char *path,
                                   const imgstore_save_options *options, imgstore_error **error);
/** The same as an operation. Keeps what it needs of store; the names and the path are copied. */
IMGSTORE_API int32_t imgstore_save_start(imgstore_store *store, const char *const *names, size_t count,
                                         const char *path, const imgstore_save_options *options,
                                         imgstore_operation **operation, imgstore_error **error);

typedef struct imgstore_export_options {
  size_t size;
  int32_t fd;              /**< without a path: write to this descriptor, which stays open; -1 (default): none */
  uint32_t reserved;       /**< 0 */
  imgstore_write_fn write; /**< without path and fd: write to this callback */
  void *write_data;
  imgstore_event_fn progress;
  void *progress_data;
} imgstore_export_options;

/** Fills *options with the defaults. size: sizeof(imgstore_export_options) of the caller. */
IMGSTORE_API int32_t imgstore_export_options_init(imgstore_export_options *options, size_t size);

/**
 * Writes the merged file system of an image as one tar, without unpacking it and without privileges: all layers as one,
 * whiteouts applied, with owners, modes, times, extended attributes, devices, hard links and holes. Directories come
 * after what is in them. The same image gives the same bytes, and what imgstore_import makes of it has the same files.
 * The names in the image are held in memory; each layer is read twice and verified. path, options: as for
 * imgstore_save. Errors: IMGSTORE_EINVALID (no or several targets), IMGSTORE_ENOTFOUND (a layer is not in the store),
 * IMGSTORE_EUNSUPPORTED (a layer of an unknown type), IMGSTORE_EDIGEST, IMGSTORE_EFORMAT, IMGSTORE_ELIMIT,
 * IMGSTORE_ENOSPACE, IMGSTORE_EIO, IMGSTORE_ECALLBACK.
 */
IMGSTORE_API int32_t imgstore_export(imgstore_image *image, const char *path, const imgstore_export_options *options,
                                     imgstore_error **error);
/** The same as an operation. Keeps what it needs of image. */
IMGSTORE_API int32_t imgstore_export_start(imgstore_image *image, const char *path,
                                           const imgstore_export_options *options, imgstore_operation **operation,
                                           imgstore_error **error);

/**
 * The same for an instance: the files of its image with what was changed in it, as it is seen where it is mounted, and
 * with the owners that it has inside. Nothing is mounted; the instance's own directory is read twice, and may be in use
 * meanwhile: what changes is an error. Sockets are left out, and so is what else a layer cannot have (changes.h). The
 * same image and the same changes give the same bytes. Errors: also IMGSTORE_ECONFLICT (it changed while it was read),
 * IMGSTORE_EACCESS (it may not be read), and those of imgstore_builder_add_changes.
 */
IMGSTORE_API int32_t imgstore_rootfs_export(imgstore_rootfs *rootfs, const char *path,
                                            const imgstore_export_options *options, imgstore_error **error);
/** The same as an operation. Keeps what it needs of rootfs. */
IMGSTORE_API int32_t imgstore_rootfs_export_start(imgstore_rootfs *rootfs, const char *path,
                                                  const imgstore_export_options *options,
                                                  imgstore_operation **operation, imgstore_error **error);

typedef struct imgstore_import_options {
  size_t size;
  const char *const *changes; /**< change_count instructions of a Dockerfile that set the config, see below */
  size_t change_count;
  const char *message;  /**< the comment of the history entry; NULL: where it came from */
  const char *platform; /**< "os/arch[/variant]" of what is in the tar; NULL: this machine's */
  const char *created;  /**< RFC 3339; NULL: now. With a fixed time the same tar gives the same image */
  int32_t fd;           /**< without a path: read from this descriptor, which stays open; -1 (default): none */
  int32_t
      compression; /**< of the layer, IMGSTORE_COMPRESS_* of builder.h; default gzip, the same bytes on every machine */
  imgstore_event_fn progress;
  void *progress_data;
} imgstore_import_options;

/** Fills *options with the defaults. size: sizeof(imgstore_import_options) of the caller. */
IMGSTORE_API int32_t imgstore_import_options_init(imgstore_import_options *options, size_t size);

/**
 * Makes an image of one layer from a root file system as a tar: plain, gzip or zstd, from a file, or from a pipe
 * (options->fd). The entries are checked while they stream by, so that the layer can be unpacked later; the names in it
 * are held in memory. The layer's diffID is the digest of the tar as it is.
 * changes: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR, as in `docker import
 * --change`; variables are not expanded. path: NULL: options->fd. name: a reference without digest. image: receives the
 * image, or NULL when not wanted. When anything is wrong, nothing is published. options: NULL for the defaults.
 * Errors: IMGSTORE_EFORMAT (name, no tar, an entry that cannot be unpacked, a whiteout), IMGSTORE_EINVALID (a change,
 * created, neither path nor fd), IMGSTORE_ELIMIT, IMGSTORE_ENOTFOUND and IMGSTORE_EACCESS (path), IMGSTORE_ENOSPACE,
 * IMGSTORE_EIO.
 */
IMGSTORE_API int32_t imgstore_import(imgstore_store *store, const char *path, const char *name,
                                     const imgstore_import_options *options, imgstore_image **image,
                                     imgstore_error **error);
/** The same as an operation; imgstore_operation_image gives the image. */
IMGSTORE_API int32_t imgstore_import_start(imgstore_store *store, const char *path, const char *name,
                                           const imgstore_import_options *options, imgstore_operation **operation,
                                           imgstore_error **error);

#ifdef __cplusplus
}
#endif
#endif
