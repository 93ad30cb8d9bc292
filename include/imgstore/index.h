/*
 * imgstore/index.h - making and changing indexes: one name for an image on several platforms.
 *
 * An index in the making is a handle on a store. What it lists is held in the store while the handle lives; nothing
 * is visible before imgstore_index_save. Entries that are not touched keep their bytes.
 * Source: image-spec 1.1 image-index; Docker manifest list.
 */
#ifndef IMGSTORE_INDEX_H
#define IMGSTORE_INDEX_H

#include "imgstore/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An index in the making. Single owner. */
typedef struct imgstore_index imgstore_index;

enum {
  IMGSTORE_FORMAT_OCI = 0,   /**< OCI 1.1 media types (default) */
  IMGSTORE_FORMAT_DOCKER = 1 /**< Docker schema 2 media types; no annotations, no artifact type */
};

/** Begins an empty index. Errors: IMGSTORE_ENOMEM, IMGSTORE_EACCESS (a store that is opened read-only). */
IMGSTORE_API int32_t imgstore_index_new(imgstore_store *store, imgstore_index **index, imgstore_error **error);
/**
 * Begins with the entries, the annotations and the format of an index of the store; name: as for
 * imgstore_store_manifest. Errors: as imgstore_store_manifest, IMGSTORE_EINVALID (it is no index).
 */
IMGSTORE_API int32_t imgstore_index_open(imgstore_store *store, const char *name, imgstore_index **index,
                                         imgstore_error **error);
/** Frees an index in the making; what was saved stays. */
IMGSTORE_API void imgstore_index_free(imgstore_index *index);

/** Sets the format that it is saved in, IMGSTORE_FORMAT_*. Errors: IMGSTORE_EINVALID. */
IMGSTORE_API int32_t imgstore_index_set_format(imgstore_index *index, int32_t format, imgstore_error **error);

enum { IMGSTORE_INDEX_REPLACE = 1u << 0 /**< an entry for the same platform gives way */ };
/**
 * Adds an image, an artifact, or the entries of another index that are in the store. source: as for
 * imgstore_store_manifest. platform: "os/architecture[/variant]": of an index only the entry for it; of an image what
 * its entry says; NULL: all of an index, and what the image's config says.
 * flags: IMGSTORE_INDEX_*. Errors: IMGSTORE_EEXISTS (the same digest, or without IMGSTORE_INDEX_REPLACE the same
 * platform, is listed already), IMGSTORE_ENOTFOUND, IMGSTORE_EFORMAT, IMGSTORE_ELIMIT (more entries than the context's
 * max_layers); the index is then as it was, but for entries of another index that were added before the failure.
 */
IMGSTORE_API int32_t imgstore_index_add(imgstore_index *index, const char *source, const char *platform, uint32_t flags,
                                        imgstore_error **error);
/**
 * Removes entries. which: a digest, or a platform: all entries for just that one. With an image go the attestations
 * that BuildKit attached to it. Errors: IMGSTORE_ENOTFOUND.
 */
IMGSTORE_API int32_t imgstore_index_remove(imgstore_index *index, const char *which, imgstore_error **error);
/**
 * Sets an annotation, or removes it (value NULL). which: of the entries that imgstore_index_remove would find, or NULL:
 * of the index itself. Errors: IMGSTORE_EINVALID (not UTF-8, an empty key), IMGSTORE_ENOTFOUND (no such entry).
 */
IMGSTORE_API int32_t imgstore_index_annotate(imgstore_index *index, const char *which, const char *key,
                                             const char *value, imgstore_error **error);
/** How many entries it lists. */
IMGSTORE_API size_t imgstore_index_count(const imgstore_index *index);

/**
 * Stores the index and points name at it, or at nothing when name is NULL: then prune removes it, unless something else
 * reaches it. An index that was opened under this very name is only replaced when nobody else changed it meanwhile.
 * The handle can be changed and saved again. manifest: receives what was stored, or NULL when not wanted.
 * Errors: IMGSTORE_ECONFLICT, IMGSTORE_EFORMAT (name), IMGSTORE_EINVALID (the format has no annotations),
 * IMGSTORE_ENOSPACE, IMGSTORE_EIO.
 */
IMGSTORE_API int32_t imgstore_index_save(imgstore_index *index, const char *name, imgstore_manifest **manifest,
                                         imgstore_error **error);

#ifdef __cplusplus
}
#endif
#endif
