/*
 * imgstore/artifact.h - artifacts: files under a name of the store, with types, and out of it again.
 *
 * Source: image-spec 1.1 manifest, "artifactType" and guidelines for artifact usage.
 */
#ifndef IMGSTORE_ARTIFACT_H
#define IMGSTORE_ARTIFACT_H

#include "imgstore/common.h"
#include "imgstore/operation.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An artifact in the making. Single owner. */
typedef struct imgstore_artifact imgstore_artifact;

/**
 * Begins an artifact. type: its artifactType, such as "application/vnd.example+json".
 * Errors: IMGSTORE_EINVALID (no media type), IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_artifact_new(imgstore_store *store, const char *type, imgstore_artifact **artifact,
                                           imgstore_error **error);
/** Frees an artifact in the making; what was finished stays. */
IMGSTORE_API void imgstore_artifact_free(imgstore_artifact *artifact);
/**
 * Adds a regular file, which imgstore_artifact_finish reads. media_type: NULL: application/octet-stream. title: the
 * name that it has in the artifact (annotation org.opencontainers.image.title), NULL: the last component of path.
 * Errors: IMGSTORE_EINVALID (the media type; a title that is no plain file name or comes twice), IMGSTORE_EBUSY,
 * IMGSTORE_ELIMIT, IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_artifact_add_file(imgstore_artifact *artifact, const char *path, const char *media_type,
                                                const char *title, imgstore_error **error);
/** Sets an annotation of the manifest; value NULL removes it. Errors: IMGSTORE_EINVALID, IMGSTORE_EBUSY. */
IMGSTORE_API int32_t imgstore_artifact_set_annotation(imgstore_artifact *artifact, const char *key, const char *value,
                                                      imgstore_error **error);
/**
 * Stores the files and the manifest, and points name at it. The same files give the same digest. manifest: receives it,
 * or NULL when not wanted. Errors: those of reading the files, IMGSTORE_EINVALID (not a regular file), IMGSTORE_EFORMAT
 * (name), IMGSTORE_EBUSY, IMGSTORE_ENOSPACE, IMGSTORE_EIO.
 */
IMGSTORE_API int32_t imgstore_artifact_finish(imgstore_artifact *artifact, const char *name,
                                              imgstore_manifest **manifest, imgstore_error **error);
/** The same as an operation. */
IMGSTORE_API int32_t imgstore_artifact_finish_start(imgstore_artifact *artifact, const char *name,
                                                    imgstore_operation **operation, imgstore_error **error);

/**
 * Writes the files of an artifact of the store into directory, which must exist, by their titles; a file without one
 * gets the hex digits of its digest. Titles are data of strangers: one with a slash, ".", "..", an empty one, one that
 * comes twice or a file that is there already fails before anything is written. Every file is verified before it gets
 * its name. name: as for imgstore_store_manifest.
 * Errors: IMGSTORE_ENOTFOUND, IMGSTORE_EINVALID (an index), IMGSTORE_EFORMAT (a title), IMGSTORE_EEXISTS,
 * IMGSTORE_EDIGEST, IMGSTORE_EACCESS, IMGSTORE_ENOSPACE, IMGSTORE_EIO.
 */
IMGSTORE_API int32_t imgstore_artifact_unpack(imgstore_store *store, const char *name, const char *directory,
                                              imgstore_error **error);
/** The same as an operation. */
IMGSTORE_API int32_t imgstore_artifact_unpack_start(imgstore_store *store, const char *name, const char *directory,
                                                    imgstore_operation **operation, imgstore_error **error);

#ifdef __cplusplus
}
#endif
#endif
