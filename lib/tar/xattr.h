/*
 * tar/xattr.h (L1) - the extended attributes of one entry: a bounded list without duplicates. Names and values stay
 * where the caller has them; only the list is memory of its own.
 */
#ifndef IMS_TAR_XATTR_H
#define IMS_TAR_XATTR_H

#include "tar/reader.h"

/** More than any file system holds; keeps the search for duplicates cheap. */
enum { IMS_TAR_XATTRS_MAX = 512 };

typedef struct ims_tar_xattrs {
  const ims_alloc *alloc;
  ims_tar_xattr *items;
  uint32_t *tags; /**< parallel to items: hash of the name and where it came from */
  size_t count, capacity;
} ims_tar_xattrs;

void ims_tar_xattrs_init(ims_tar_xattrs *list, const ims_alloc *alloc);
void ims_tar_xattrs_free(ims_tar_xattrs *list);
/** SCHILY.xattr: name is NUL-terminated, the value is as it is. The last one of a name counts. */
int32_t ims_tar_xattrs_add(ims_tar_xattrs *list, const char *name, const uint8_t *value, size_t size, ims_error *err);
/**
 * LIBARCHIVE.xattr: percent-encoded name, base64 value, both decoded in place. One that SCHILY.xattr gives too is
 * dropped, so that readers which know only that form see the same attribute.
 */
int32_t ims_tar_xattrs_add_encoded(ims_tar_xattrs *list, char *name, uint8_t *value, size_t size, ims_error *err);

#endif
