/*
 * engine/build_layer.h (L4) - layers of an image in the making, and where the new ones come from.
 */
#ifndef IMS_ENGINE_BUILD_LAYER_H
#define IMS_ENGINE_BUILD_LAYER_H

#include "engine/layer_writer.h"
#include "imgstore/builder.h"

/** A layer: a blob of the store, or something that is read as one. */
typedef struct ims_build_layer {
  ims_digest digest, diff_id;
  uint64_t size;
  int32_t format; /**< IMS_FORMAT_*; -1: of a media type that this library cannot read */
  char media_type[128];
  int32_t (*open)(void *data, imgstore_files **files, ims_error *err); /**< NULL: the blob */
  void *open_data;
} ims_build_layer;

typedef struct ims_layer_source ims_layer_source;

/** What makes the tar of one layer. */
typedef struct ims_layer_source_type {
  /** Does bounded work: puts bytes into the writer (NULL with has_blob). IMGSTORE_OK: all were put; IMGSTORE_EAGAIN. */
  int32_t (*step)(ims_layer_source *source, ims_layer_writer *writer, ims_error *err);
  /** With has_blob, after the last step, on the driving thread: stores the blob. */
  int32_t (*commit)(ims_layer_source *source, ims_lease *lease, ims_build_layer *layer, ims_error *err);
  void (*free)(ims_layer_source *source);
} ims_layer_source_type;

/** The first member of every source. */
struct ims_layer_source {
  const ims_layer_source_type *type;
  bool on_driver; /**< step runs callbacks of the caller */
  bool has_blob;  /**< makes its blob itself */
  uint64_t done;  /**< with has_blob: bytes of the tar so far */
};

void ims_layer_source_free(ims_layer_source *source);

/** What all sources of a job have in common. */
typedef struct ims_layer_setup {
  imgstore_store *store;
  bool clamp; /**< no entry is newer than clamp_time */
  int64_t clamp_time;
  imgstore_report *report; /**< what could not be taken into a layer */
} ims_layer_setup;

/** engine/build_tar.c. path: a file, or NULL with read. flags: IMGSTORE_ADD_*. */
int32_t ims_tar_source_new(ims_layer_source **source, const ims_layer_setup *setup, const char *path,
                           imgstore_tar_read_fn read, void *user_data, uint32_t flags, ims_error *err);
/** engine/build_directory.c. prefix: cleaned, or NULL. flags: IMGSTORE_ADD_*. */
int32_t ims_directory_source_new(ims_layer_source **source, const ims_layer_setup *setup, const char *path,
                                 const char *prefix, uint32_t flags, ims_error *err);
/** A path in an image without slashes around it; *clean is freed by the caller. Errors: IMGSTORE_EINVALID. */
int32_t ims_clean_prefix(const ims_alloc *alloc, const char *prefix, char **clean, ims_error *err);
/** engine/build_squash.c. layers: as in engine/squash.h. */
int32_t ims_squash_source_new(ims_layer_source **source, const ims_layer_setup *setup, const ims_build_layer *layers,
                              size_t count, size_t from, ims_error *err);

#endif
