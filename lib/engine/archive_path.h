/*
 * engine/archive_path.h (L4) - paths and links inside an archive of images.
 */
#ifndef IMS_ENGINE_ARCHIVE_PATH_H
#define IMS_ENGINE_ARCHIVE_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "oci/digest.h"

/** Cleans the path of a member. out: room for strlen(path) + 1. Errors: IMGSTORE_EFORMAT (absolute, or with ".."). */
int32_t ims_archive_clean_path(const char *path, char *out, ims_error *err);
/**
 * Where a link leads. path: of the link, cleaned. symbolic: target is relative to the link's folder. out: room for both
 * and 2 more. Errors: IMGSTORE_EFORMAT (absolute, or out of the archive).
 */
int32_t ims_archive_link_path(const char *path, const char *target, bool symbolic, char *out, ims_error *err);

/** "blobs/sha256/<hex>" of an OCI layout: the digest that the member must have. */
bool ims_archive_path_digest(const char *path, ims_digest *digest);
/** A document that says what is in the archive. */
bool ims_archive_path_is_document(const char *path);
/** What Docker has written beside manifest.json for readers of long ago. */
bool ims_archive_path_is_legacy(const char *path);

/**
 * The last component of a path, without the endings that archives have when archive is set: what an image without a
 * name is called. Returns its bytes; *base is in path.
 */
size_t ims_archive_base_name(const char *path, bool archive, const char **base);

#endif
