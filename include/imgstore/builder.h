/*
 * imgstore/builder.h - making images: from scratch or from an image of the store, layers, config, squash, rebase.
 *
 * A builder collects what an image shall be; imgstore_builder_finish makes it. Nothing is visible before that. With the
 * same inputs, a fixed time (imgstore_build_options.source_date_epoch) and a compression other than the fast one on
 * another machine, the same image comes out, byte for byte, whatever the number of workers.
 * Sources: image-spec 1.1 config, layer, manifest; Docker image spec v1.2; reproducible-builds.org SOURCE_DATE_EPOCH.
 */
#ifndef IMGSTORE_BUILDER_H
#define IMGSTORE_BUILDER_H

#include "imgstore/common.h"
#include "imgstore/index.h"
#include "imgstore/operation.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An image in the making. Single owner. */
typedef struct imgstore_builder imgstore_builder;

/**
 * Begins an image. base: an image of the store that it builds on (its layers, config and manifest annotations), or
 * NULL: from scratch, for this machine's platform until imgstore_builder_set_platform.
 * Errors: IMGSTORE_EINVALID (base is of another store), IMGSTORE_ENOTFOUND (a blob of base is gone), IMGSTORE_EACCESS,
 * IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_builder_new(imgstore_store *store, imgstore_image *base, imgstore_builder **builder,
                                          imgstore_error **error);
/** Frees a builder; what was finished stays. */
IMGSTORE_API void imgstore_builder_free(imgstore_builder *builder);

/* --- config -------------------------------------------------------------------------------------------------------
 * Values are checked when they are set. Errors of all: IMGSTORE_EINVALID (the message says what the field takes),
 * IMGSTORE_EBUSY (an operation of the builder runs), IMGSTORE_ENOMEM.
 */

/**
 * Sets a text: field is IMGSTORE_IMAGE_AUTHOR, _USER, _WORKING_DIR, _STOP_SIGNAL, _COMMENT, _OS_VERSION or _CREATED
 * (RFC 3339; else the time of finish, or source_date_epoch). text "" or NULL removes it.
 */
IMGSTORE_API int32_t imgstore_builder_set_text(imgstore_builder *builder, int32_t field, const char *text,
                                               imgstore_error **error);
/** Sets "os/architecture[/variant]". Errors: also IMGSTORE_EFORMAT. */
IMGSTORE_API int32_t imgstore_builder_set_platform(imgstore_builder *builder, const char *platform,
                                                   imgstore_error **error);
/**
 * Replaces a list: list is IMGSTORE_IMAGE_ENTRYPOINT, _CMD, _SHELL, _ONBUILD, _ENV (NAME=VALUE), _PORTS or _VOLUMES.
 * count 0 removes it. Setting an entrypoint drops a cmd of the base, as Docker does; set the cmd after it to have one.
 */
IMGSTORE_API int32_t imgstore_builder_set_list(imgstore_builder *builder, int32_t list, const char *const *items,
                                               size_t count, imgstore_error **error);
/**
 * Sets one item of a list that is known by key: IMGSTORE_IMAGE_ENV and _LABELS (key and value), _PORTS ("80/tcp") and
 * _VOLUMES ("/data"; the value is not looked at, but NULL). value NULL removes the item.
 */
IMGSTORE_API int32_t imgstore_builder_set_item(imgstore_builder *builder, int32_t list, const char *key,
                                               const char *value, imgstore_error **error);
/** Sets an annotation of the manifest; value NULL removes it. */
IMGSTORE_API int32_t imgstore_builder_set_annotation(imgstore_builder *builder, const char *key, const char *value,
                                                     imgstore_error **error);
/**
 * Sets the health check (Docker): test "NONE"; "CMD" and arguments; "CMD-SHELL" and a command; count 0 removes it.
 * Times in nanoseconds, 0: Docker's default.
 */
IMGSTORE_API int32_t imgstore_builder_set_healthcheck(imgstore_builder *builder, const char *const *test, size_t count,
                                                      uint64_t interval, uint64_t timeout, uint64_t start_period,
                                                      uint32_t retries, imgstore_error **error);
/**
 * What the history says of the layer that is added next ("created_by", "comment"), or, when none is added any more, of
 * the change of the config. NULL: the builder's own words for a layer.
 */
IMGSTORE_API int32_t imgstore_builder_set_history(imgstore_builder *builder, const char *created_by,
                                                  const char *comment, imgstore_error **error);

/* --- layers -------------------------------------------------------------------------------------------------------
 * Layers are made by imgstore_builder_finish, in this order. Errors of all: IMGSTORE_EBUSY, IMGSTORE_ENOMEM,
 * IMGSTORE_ELIMIT (more layers than the context's max_layers).
 */

enum {
  IMGSTORE_ADD_AS_IS = 1u << 0,     /**< a tar: the blob is the file as it is; not even times are changed */
  IMGSTORE_ADD_ROOT_OWNED = 1u << 1 /**< a directory: everything belongs to 0:0, whoever has it here */
};
/**
 * Adds a layer from a tar file, plain or compressed with gzip or zstd, or from what a pipe at path gives.
 * flags: IMGSTORE_ADD_*; without AS_IS it is compressed anew. Its entries are checked: what is no layer is refused when
 * it is read (IMGSTORE_EFORMAT, IMGSTORE_ELIMIT).
 */
IMGSTORE_API int32_t imgstore_builder_add_tar(imgstore_builder *builder, const char *path, uint32_t flags,
                                              imgstore_error **error);
/** Gives up to size bytes; *got 0 ends it. Non-zero stops the job. May block; runs on the driving thread. */
typedef int32_t (*imgstore_tar_read_fn)(void *user_data, void *buffer, size_t size, size_t *got);
/** The same from a function, which is called while imgstore_builder_finish runs; a second finish needs a new layer. */
IMGSTORE_API int32_t imgstore_builder_add_tar_reader(imgstore_builder *builder, imgstore_tar_read_fn read,
                                                     void *user_data, uint32_t flags, imgstore_error **error);

/**
 * Adds a layer from what is in a directory: sorted, owners as numbers, extended attributes, holes, hard links. path
 * must not be changed until imgstore_builder_finish has ended. prefix: the directory of the image that it becomes, such
 * as "/opt/app" (then path itself is that directory, with its mode and owner), or NULL: the root. Sockets and what else
 * a layer cannot have are left out and reported (IMGSTORE_REPORT_SKIPPED). flags: IMGSTORE_ADD_ROOT_OWNED.
 * Errors: also IMGSTORE_EINVALID (prefix climbs out); when it is read IMGSTORE_ENOTFOUND, IMGSTORE_EACCESS,
 * IMGSTORE_ECONFLICT (a file changed meanwhile), IMGSTORE_ELIMIT.
 */
IMGSTORE_API int32_t imgstore_builder_add_directory(imgstore_builder *builder, const char *path, const char *prefix,
                                                    uint32_t flags, imgstore_error **error);

/**
 * Makes one layer of all layers from number from on (0 is the lowest: all of them), those that are added included: the
 * merged view of them, with whiteouts for what they remove of the layers below. No privileges are needed. With less
 * than two layers to merge it changes nothing. UINT32_MAX takes a former call back.
 */
IMGSTORE_API int32_t imgstore_builder_squash(imgstore_builder *builder, uint32_t from, imgstore_error **error);
/**
 * Puts the image's own layers on another base: the lowest layers of the builder's base must be those of old_base, by
 * diffID; they are replaced by the layers of new_base. What the image's config has different from old_base stays; what
 * it has just like old_base becomes what new_base has: environment, labels, ports and volumes item by item, everything
 * else field by field. The history is new_base's, then the image's own. Once for a builder, before anything is set or
 * added; what is set later wins. Errors: IMGSTORE_EINVALID (no base, another store, too late), IMGSTORE_ECONFLICT
 * (old_base is no prefix of the image, or new_base is for another platform), IMGSTORE_ELIMIT; after any but EINVALID
 * and ECONFLICT the builder can only be freed.
 */
IMGSTORE_API int32_t imgstore_builder_rebase(imgstore_builder *builder, imgstore_image *old_base,
                                             imgstore_image *new_base, imgstore_error **error);

/* --- making it ---------------------------------------------------------------------------------------------------- */

enum {
  IMGSTORE_COMPRESS_GZIP = 0,      /**< gzip; at level 1 the same bytes on every machine (default) */
  IMGSTORE_COMPRESS_GZIP_FAST = 1, /**< gzip, faster; the bytes depend on processor and build */
  IMGSTORE_COMPRESS_ZSTD = 2,      /**< zstd, when built in */
  IMGSTORE_COMPRESS_NONE = 3       /**< plain tar */
};

enum {
  IMGSTORE_BUILD_EPOCH = 1u << 0 /**< source_date_epoch is set */
};

typedef struct imgstore_build_options {
  size_t size;
  uint32_t flags;      /**< IMGSTORE_BUILD_* */
  int32_t format;      /**< IMGSTORE_FORMAT_* */
  int32_t compression; /**< IMGSTORE_COMPRESS_*: of the layers that are made */
  int32_t level;       /**< 0: the default; gzip 1..9 (1), fast gzip 1..3 (1), zstd 1..19 (3) */
  int64_t
      source_date_epoch; /**< with IMGSTORE_BUILD_EPOCH: seconds since 1970; no file is newer, and it is "created" */
  imgstore_event_fn progress;
  void *progress_data;
} imgstore_build_options;

/** Fills *options with the defaults. size: sizeof(imgstore_build_options) of the caller. */
IMGSTORE_API int32_t imgstore_build_options_init(imgstore_build_options *options, size_t size);

/**
 * Makes the image: its layers, its config, its manifest, and last the reference name (NULL: none; prune then removes
 * the image, unless something else reaches it). A name that is taken moves. After a failure nothing is visible; layers
 * that were complete stay until prune. image: receives the image; report: IMGSTORE_REPORT_SKIPPED lines for what could
 * not be taken out of a directory; both NULL when not wanted. The builder stays as it is: it can be changed and
 * finished again. Events: IMGSTORE_EVENT_PACKING and IMGSTORE_EVENT_PACKED for layers, _FLUSHING, _COMMITTED. Errors:
 * those of reading what was added, IMGSTORE_EFORMAT (name, a tar that is none), IMGSTORE_EINVALID (the format has no
 * annotations; level), IMGSTORE_EUNSUPPORTED (zstd not built in; a layer to squash of an unknown type), IMGSTORE_EBUSY
 * (it is being finished), IMGSTORE_ENOSPACE, IMGSTORE_EIO.
 */
IMGSTORE_API int32_t imgstore_builder_finish(imgstore_builder *builder, const char *name,
                                             const imgstore_build_options *options, imgstore_image **image,
                                             imgstore_report **report, imgstore_error **error);
/** The same as an operation; imgstore_operation_image and _report have the rest. Until its end the builder must not be
 * changed. */
IMGSTORE_API int32_t imgstore_builder_finish_start(imgstore_builder *builder, const char *name,
                                                   const imgstore_build_options *options,
                                                   imgstore_operation **operation, imgstore_error **error);

#ifdef __cplusplus
}
#endif
#endif
