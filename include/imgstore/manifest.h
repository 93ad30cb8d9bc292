/*
 * imgstore/manifest.h - descriptors, manifests and indexes, with the bytes that were hashed.
 *
 * Docker schema 2 and OCI 1.0/1.1 are read; Docker schema 1 gives IMGSTORE_EUNSUPPORTED.
 * Sources: image-spec 1.1 manifest, image-index, descriptor; Docker image manifest v2 schema 2.
 */
#ifndef IMGSTORE_MANIFEST_H
#define IMGSTORE_MANIFEST_H

#include "imgstore/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The digest, such as "sha256:...". Never NULL. */
IMGSTORE_API const char *imgstore_descriptor_digest(const imgstore_descriptor *descriptor);
/** The size in bytes. */
IMGSTORE_API uint64_t imgstore_descriptor_size(const imgstore_descriptor *descriptor);
/** The media type. Never NULL; "" when the document has none. */
IMGSTORE_API const char *imgstore_descriptor_media_type(const imgstore_descriptor *descriptor);
/** The artifact type, or NULL. */
IMGSTORE_API const char *imgstore_descriptor_artifact_type(const imgstore_descriptor *descriptor);
/** The platform as "os/architecture[/variant]", or NULL when the descriptor has none. */
IMGSTORE_API const char *imgstore_descriptor_platform(const imgstore_descriptor *descriptor);
/** How many annotations there are. */
IMGSTORE_API size_t imgstore_descriptor_annotation_count(const imgstore_descriptor *descriptor);
/** Key and value of annotation i. Errors: IMGSTORE_EINVALID when i is out of range. */
IMGSTORE_API int32_t imgstore_descriptor_annotation(const imgstore_descriptor *descriptor, size_t i, const char **key,
                                                    const char **value);

enum { IMGSTORE_MANIFEST_IMAGE = 1, IMGSTORE_MANIFEST_INDEX = 2, IMGSTORE_MANIFEST_ARTIFACT = 3 };

/**
 * Parses the bytes of a manifest or index and takes its digest.
 * media_type: what it was announced as (Content-Type or descriptor), or NULL; it must agree with the document.
 * Errors: IMGSTORE_EFORMAT, IMGSTORE_EUNSUPPORTED, IMGSTORE_ELIMIT, IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_manifest_parse(imgstore_context *context, const void *data, size_t size,
                                             const char *media_type, imgstore_manifest **manifest,
                                             imgstore_error **error);
/** Adds one owner. Returns its argument. */
IMGSTORE_API imgstore_manifest *imgstore_manifest_ref(imgstore_manifest *manifest);
/** Drops one owner. */
IMGSTORE_API void imgstore_manifest_unref(imgstore_manifest *manifest);
/** IMGSTORE_MANIFEST_IMAGE, _INDEX or _ARTIFACT (a manifest whose config is not an image config). */
IMGSTORE_API int32_t imgstore_manifest_kind(const imgstore_manifest *manifest);
/** The sha256 digest of the bytes. */
IMGSTORE_API const char *imgstore_manifest_digest(const imgstore_manifest *manifest);
/** The media type. */
IMGSTORE_API const char *imgstore_manifest_media_type(const imgstore_manifest *manifest);
/** The bytes, exactly as hashed; *size receives their count. */
IMGSTORE_API const void *imgstore_manifest_data(const imgstore_manifest *manifest, size_t *size);
/** The config descriptor, or NULL for an index. */
IMGSTORE_API const imgstore_descriptor *imgstore_manifest_config(const imgstore_manifest *manifest);
/** The descriptor of what it is attached to (OCI 1.1), or NULL. */
IMGSTORE_API const imgstore_descriptor *imgstore_manifest_subject(const imgstore_manifest *manifest);
/** The artifact type (OCI 1.1), or NULL. */
IMGSTORE_API const char *imgstore_manifest_artifact_type(const imgstore_manifest *manifest);
/** How many layers (manifest) or manifests (index) it lists. */
IMGSTORE_API size_t imgstore_manifest_count(const imgstore_manifest *manifest);
/** Layer or manifest i, base layer first, or NULL when out of range. */
IMGSTORE_API const imgstore_descriptor *imgstore_manifest_entry(const imgstore_manifest *manifest, size_t i);
/** How many annotations there are. */
IMGSTORE_API size_t imgstore_manifest_annotation_count(const imgstore_manifest *manifest);
/** Key and value of annotation i. Errors: IMGSTORE_EINVALID when i is out of range. */
IMGSTORE_API int32_t imgstore_manifest_annotation(const imgstore_manifest *manifest, size_t i, const char **key,
                                                  const char **value);

#ifdef __cplusplus
}
#endif
#endif
