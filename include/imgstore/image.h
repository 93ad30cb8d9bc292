/*
 * imgstore/image.h - one platform's image: everything that inspect and history show, and its layers.
 *
 * Sources: image-spec 1.1 config; Docker image spec v1.2.
 */
#ifndef IMGSTORE_IMAGE_H
#define IMGSTORE_IMAGE_H

#include "imgstore/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Adds one owner. Returns its argument. */
IMGSTORE_API imgstore_image *imgstore_image_ref(imgstore_image *image);
/** Drops one owner. */
IMGSTORE_API void imgstore_image_unref(imgstore_image *image);

/** The image ID: the digest of its config. */
IMGSTORE_API const char *imgstore_image_id(const imgstore_image *image);
/** The digest that the reference names: the index's when the image came from one, else the manifest's. */
IMGSTORE_API const char *imgstore_image_target_digest(const imgstore_image *image);
/** The manifest. Borrowed. */
IMGSTORE_API const imgstore_manifest *imgstore_image_manifest(const imgstore_image *image);
/** The index that the image was chosen from, or NULL. Borrowed. */
IMGSTORE_API const imgstore_manifest *imgstore_image_index(const imgstore_image *image);
/** The bytes of the config, exactly as hashed; *size receives their count. */
IMGSTORE_API const void *imgstore_image_config(const imgstore_image *image, size_t *size);
/** The sum of the compressed layer sizes in bytes. */
IMGSTORE_API uint64_t imgstore_image_compressed_size(const imgstore_image *image);

enum {
  IMGSTORE_IMAGE_CREATED = 1, /**< RFC 3339 */
  IMGSTORE_IMAGE_AUTHOR = 2,
  IMGSTORE_IMAGE_OS = 3,
  IMGSTORE_IMAGE_ARCHITECTURE = 4,
  IMGSTORE_IMAGE_VARIANT = 5,
  IMGSTORE_IMAGE_OS_VERSION = 6,
  IMGSTORE_IMAGE_USER = 7,
  IMGSTORE_IMAGE_WORKING_DIR = 8,
  IMGSTORE_IMAGE_STOP_SIGNAL = 9,
  IMGSTORE_IMAGE_COMMENT = 10,
  IMGSTORE_IMAGE_DOCKER_VERSION = 11
};
/** A field of the config as text; "" when it is absent or the field is unknown. Never NULL. */
IMGSTORE_API const char *imgstore_image_text(const imgstore_image *image, int32_t field);

enum {
  IMGSTORE_IMAGE_ENV = 1,        /**< values: NAME=VALUE */
  IMGSTORE_IMAGE_ENTRYPOINT = 2, /**< values: arguments */
  IMGSTORE_IMAGE_CMD = 3,        /**< values: arguments */
  IMGSTORE_IMAGE_PORTS = 4,      /**< values: such as 80/tcp */
  IMGSTORE_IMAGE_VOLUMES = 5,    /**< values: paths */
  IMGSTORE_IMAGE_LABELS = 6,     /**< keys and values */
  IMGSTORE_IMAGE_SHELL = 7,      /**< values: arguments */
  IMGSTORE_IMAGE_ONBUILD = 8     /**< values: instructions */
};
/** How many items a list of the config has; 0 when it is absent or unknown. */
IMGSTORE_API size_t imgstore_image_item_count(const imgstore_image *image, int32_t list);
/** The value of item i; "" when out of range. For labels the value. */
IMGSTORE_API const char *imgstore_image_item(const imgstore_image *image, int32_t list, size_t i);
/** The key of item i of a keyed list (labels); "" otherwise. */
IMGSTORE_API const char *imgstore_image_item_key(const imgstore_image *image, int32_t list, size_t i);

/** How many history entries there are, oldest first. */
IMGSTORE_API size_t imgstore_image_history_count(const imgstore_image *image);
enum {
  IMGSTORE_HISTORY_CREATED = 1,
  IMGSTORE_HISTORY_CREATED_BY = 2,
  IMGSTORE_HISTORY_AUTHOR = 3,
  IMGSTORE_HISTORY_COMMENT = 4
};
/** A field of history entry i as text; "" when absent. Never NULL. */
IMGSTORE_API const char *imgstore_image_history_text(const imgstore_image *image, size_t i, int32_t field);
/** The layer that history entry i made, or NULL for an entry that made none. Borrowed. */
IMGSTORE_API const imgstore_layer *imgstore_image_history_layer(const imgstore_image *image, size_t i);

/** How many layers there are. */
IMGSTORE_API size_t imgstore_image_layer_count(const imgstore_image *image);
/** Layer i, base first, or NULL when out of range. Borrowed: imgstore_layer_ref to keep it. */
IMGSTORE_API imgstore_layer *imgstore_image_layer(const imgstore_image *image, size_t i);

/**
 * The JSON object that `docker image inspect` prints for one image.
 * names: count full names under which it is known (RepoTags, RepoDigests), may be NULL with count 0.
 * Errors: IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_image_inspect(const imgstore_image *image, const char *const *names, size_t count,
                                            imgstore_bytes **json, imgstore_error **error);

/**
 * Reads one regular file out of the merged layers without unpacking them. Symbolic links are followed inside the image.
 * path: absolute or relative to the image's root. max_size: at most so many bytes.
 * The layers must be in the store the image was opened from: all are read through once, to know which one has the file,
 * and that one again. Blocks.
 * Errors: IMGSTORE_ENOTFOUND, IMGSTORE_EINVALID (not a regular file), IMGSTORE_ELIMIT (larger, too many links),
 * IMGSTORE_EDIGEST, IMGSTORE_EFORMAT.
 */
IMGSTORE_API int32_t imgstore_image_read_file(const imgstore_image *image, const char *path, uint64_t max_size,
                                              imgstore_bytes **content, imgstore_error **error);

/** This machine's platform as "os/architecture[/variant]", such as "linux/amd64" or "linux/arm64/v8". Static. */
IMGSTORE_API const char *imgstore_platform_default(void);

#ifdef __cplusplus
}
#endif
#endif
