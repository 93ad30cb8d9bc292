/*
 * imgstore/publish.h - push, copy and sync: bring images to a registry, or from any place to any other.
 *
 * What is sent are the bytes that were hashed: nothing is re-encoded, digests stay what they are. Blobs go first, a few
 * at a time, then manifests, children before the indexes that list them, and the name last: until then nothing is
 * visible under it. Blobs that the destination has are not sent; those that another repository of the same registry has
 * are mounted from there. An upload that was interrupted goes on from where the registry says that it is.
 * Sources: distribution-spec 1.1 ("Push"), image-spec 1.1.
 */
#ifndef IMGSTORE_PUBLISH_H
#define IMGSTORE_PUBLISH_H

#include "imgstore/common.h"
#include "imgstore/operation.h"
#include "imgstore/report.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  /** Send nothing: the report says which blobs and manifests would go, how many bytes, and what is there already. */
  IMGSTORE_PUSH_DRY_RUN = 1u << 0
};

typedef struct imgstore_push_options {
  size_t size;
  uint32_t flags;          /**< IMGSTORE_PUSH_* */
  uint32_t reserved;       /**< 0 */
  const char *destination; /**< the name at the registry; NULL: the image's own */
  const char *platform;    /**< of an index only the image for "os/arch[/variant]"; NULL: all of it */
  uint64_t chunk_size; /**< send blobs in pieces of so many bytes; 0: whole, and in pieces if the registry wants it */
  const char *const *mount_from; /**< repositories of that registry that may have the blobs, in addition to those that
                                    the names in the store tell; such as "library/alpine" */
  size_t mount_count;
  imgstore_event_fn progress;
  void *progress_data;
} imgstore_push_options;

/** Fills *options with the defaults. size: sizeof(imgstore_push_options) of the caller. */
IMGSTORE_API int32_t imgstore_push_options_init(imgstore_push_options *options, size_t size);

/**
 * Pushes an image, or a whole index with its images, from store to registry.
 * name: as for imgstore_store_image. The destination's host must be the registry's. options: NULL for defaults.
 * report: receives one IMGSTORE_REPORT_PUBLISHED line for the name, with the digest and size of its manifest, and a
 * SENT, PRESENT or MOUNTED line for every blob and manifest; NULL when not wanted.
 * Errors: those of the network, IMGSTORE_ENOTFOUND (no such image; an image of the index that the store does not hold;
 * a repository that the registry does not make), IMGSTORE_EUNAUTHORIZED, IMGSTORE_EDENIED, IMGSTORE_ECONFLICT (an
 * immutable tag), IMGSTORE_ELIMIT (larger than the registry takes), IMGSTORE_EDIGEST (the registry says that it has
 * something else), IMGSTORE_ECORRUPT (a damaged blob in the store), IMGSTORE_EINVALID (the name is of another
 * registry), IMGSTORE_ECALLBACK. imgstore_error_registry_code and the message have the registry's own words.
 */
IMGSTORE_API int32_t imgstore_push(imgstore_store *store, imgstore_registry *registry, const char *name,
                                   const imgstore_push_options *options, imgstore_report **report,
                                   imgstore_error **error);
/** The same as an operation; imgstore_operation_report has the lines. Keeps what it needs of store and registry. */
IMGSTORE_API int32_t imgstore_push_start(imgstore_store *store, imgstore_registry *registry, const char *name,
                                         const imgstore_push_options *options, imgstore_operation **operation,
                                         imgstore_error **error);

enum {
  /** The name of a destination in a store is taken as it is, not completed: the tag that an OCI layout shows to others.
   */
  IMGSTORE_PLACE_PLAIN_NAME = 1u << 0
};

/**
 * A place that images are copied from or to: a name in a registry, in a store or in an archive, one of them. An OCI
 * image layout is a store that imgstore_store_open opens (with IMGSTORE_STORE_READ_ONLY | IMGSTORE_STORE_NO_CREATE to
 * copy from it). An archive is the path of a file; see archive.h.
 *
 * An archive that is copied from is read where it is, nothing of it is kept. What cannot be read so - a pipe, a device,
 * a file that is compressed as a whole (gzip, zstd) - is first decompressed into a temporary file, which has no name
 * and takes as much room as the tar; see imgstore_copy_options. A layer outside of an OCI layout that is compressed is
 * read once more, to find its digest. All of this is work of the job, not of its start.
 */
typedef struct imgstore_place {
  size_t size;            /**< sizeof(imgstore_place) */
  uint32_t flags;         /**< IMGSTORE_PLACE_* */
  int32_t archive_format; /**< of an archive: IMGSTORE_ARCHIVE_AUTO, DOCKER or OCI of archive.h */
  imgstore_registry *registry;
  imgstore_store *store;
  /**
   * In a registry a reference of it; in a store a name as for imgstore_store_image, or a tag that one image there has,
   * or NULL for the only image there is; in an archive as in a store. A destination's name is the one to give; NULL in
   * a store or an archive: the source's.
   */
  const char *name;
  imgstore_context *context; /**< of an archive */
  const char *archive;       /**< path of an archive, or NULL */
} imgstore_place;

enum {
  /** Of an index all images and the index itself, not just one platform's image. */
  IMGSTORE_COPY_ALL_PLATFORMS = 1u << 0,
  /** As IMGSTORE_PUSH_DRY_RUN. */
  IMGSTORE_COPY_DRY_RUN = 1u << 1,
  /** Of a sync only: a tag that fails does not end it. */
  IMGSTORE_COPY_KEEP_GOING = 1u << 2
};

typedef struct imgstore_copy_options {
  size_t size;
  uint32_t flags;                /**< IMGSTORE_COPY_* */
  uint32_t reserved;             /**< 0 */
  const char *platform;          /**< "os/arch[/variant]"; NULL: this machine's */
  uint64_t chunk_size;           /**< as for a push */
  const char *const *mount_from; /**< as for a push */
  size_t mount_count;
  imgstore_event_fn progress;
  void *progress_data;
  const char *temp_dir; /**< folder of temporary files (see imgstore_place); NULL: /var/tmp */
} imgstore_copy_options;

/** Fills *options with the defaults. size: sizeof(imgstore_copy_options) of the caller. */
IMGSTORE_API int32_t imgstore_copy_options_init(imgstore_copy_options *options, size_t size);

/** Fills *place with nothing. size: sizeof(imgstore_place) of the caller. */
IMGSTORE_API int32_t imgstore_place_init(imgstore_place *place, size_t size);

/**
 * Copies an image from one place to another. From registry to registry, and from and to archives, the blobs stream
 * through bounded memory and are verified on the way; nothing of them is kept. An archive that is copied to appears
 * when it is complete and durable, as with imgstore_save; it holds that one image. The report is that of a push.
 * Errors: those of imgstore_push and imgstore_pull, IMGSTORE_EAMBIGUOUS (a name that several images of a store have);
 * with archives those of imgstore_load and imgstore_save, and of the folder of temporary files. What is wrong with an
 * archive is told with its path and the member.
 */
IMGSTORE_API int32_t imgstore_copy(const imgstore_place *source, const imgstore_place *destination,
                                   const imgstore_copy_options *options, imgstore_report **report,
                                   imgstore_error **error);
/** The same as an operation. Keeps what it needs of the places. */
IMGSTORE_API int32_t imgstore_copy_start(const imgstore_place *source, const imgstore_place *destination,
                                         const imgstore_copy_options *options, imgstore_operation **operation,
                                         imgstore_error **error);

typedef struct imgstore_sync_options {
  size_t size;
  uint32_t flags;       /**< IMGSTORE_COPY_*, for every tag */
  uint32_t reserved;    /**< 0 */
  const char *tags;     /**< which tags: a pattern as in a shell (fnmatch), such as "3.*"; NULL: all */
  const char *platform; /**< as for a copy */
  uint64_t chunk_size;  /**< as for a push */
  imgstore_event_fn progress;
  void *progress_data;
} imgstore_sync_options;

/** Fills *options with the defaults. size: sizeof(imgstore_sync_options) of the caller. */
IMGSTORE_API int32_t imgstore_sync_options_init(imgstore_sync_options *options, size_t size);

/**
 * Copies the tags of a repository from a registry to a registry, a store or an OCI layout, one after the other. A tag
 * that stands for the same at the destination costs two requests. Tags that only the destination has stay.
 * The names of the places are repositories, without a tag; destination->name NULL in a store: the source's, with
 * IMGSTORE_PLACE_PLAIN_NAME the tags alone. report: the lines of every copy; for a tag that was the same one PRESENT
 * line with its name. Ends at the first tag that fails; those before it are there. With IMGSTORE_COPY_KEEP_GOING every
 * tag is tried (but after a cancel, a callback's refusal, a full disk and lack of memory): each that failed is an
 * IMGSTORE_REPORT_FAILED line, the call fails in the end with what was wrong with the first of them, and the report is
 * handed out all the same.
 * Errors: those of imgstore_copy and of imgstore_registry_tags, IMGSTORE_EINVALID (a name with a tag).
 */
IMGSTORE_API int32_t imgstore_sync(const imgstore_place *source, const imgstore_place *destination,
                                   const imgstore_sync_options *options, imgstore_report **report,
                                   imgstore_error **error);
/** The same as an operation. Keeps what it needs of the places. */
IMGSTORE_API int32_t imgstore_sync_start(const imgstore_place *source, const imgstore_place *destination,
                                         const imgstore_sync_options *options, imgstore_operation **operation,
                                         imgstore_error **error);

#ifdef __cplusplus
}
#endif
#endif
