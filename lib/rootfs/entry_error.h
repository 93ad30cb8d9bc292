/*
 * rootfs/entry_error.h (L3) - failures that name an entry of a layer, with over-long paths shortened.
 */
#ifndef IMS_ROOTFS_ENTRY_ERROR_H
#define IMS_ROOTFS_ENTRY_ERROR_H

#include "base/error.h"

/** Sets `entry "path": ...` and returns code. */
int32_t ims_entry_fail(ims_error *err, int32_t code, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/** Sets `entry "path": cannot WHAT: errno text`. Names that the file system cannot hold are IMGSTORE_EFORMAT. */
int32_t ims_entry_fail_os(ims_error *err, int os_errno, const char *path, const char *what);

#endif
