/*
 * engine/archive_path.h (L4) - paths and links inside an archive of images.
 */
#ifndef IMS_ENGINE_ARCHIVE_PATH_H
#define IMS_ENGINE_ARCHIVE_PATH_H

#include <stdbool.h>

#include "base/error.h"

/** Cleans the path of a member. out: room for strlen(path) + 1. Errors: IMGSTORE_EFORMAT (absolute, or with ".."). */
int32_t ims_archive_clean_path(const char *path, char *out, ims_error *err);
/**
 * Where a link leads. path: of the link, cleaned. symbolic: target is relative to the link's folder. out: room for both
 * and 2 more. Errors: IMGSTORE_EFORMAT (absolute, or out of the archive).
 */
int32_t ims_archive_link_path(const char *path, const char *target, bool symbolic, char *out, ims_error *err);

#endif
