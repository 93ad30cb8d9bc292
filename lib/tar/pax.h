/*
 * tar/pax.h (L1) - PAX extended headers: splits the records and keeps what a layer's entry can use. Strict: one bad
 * record fails the header, because a reader that skips it sees another archive than the others do.
 */
#ifndef IMS_TAR_PAX_H
#define IMS_TAR_PAX_H

#include "tar/sparse.h"
#include "tar/xattr.h"

enum {
  IMS_PAX_PATH = 1 << 0,
  IMS_PAX_LINKPATH = 1 << 1,
  IMS_PAX_SIZE = 1 << 2,
  IMS_PAX_UID = 1 << 3,
  IMS_PAX_GID = 1 << 4,
  IMS_PAX_MTIME = 1 << 5,
  IMS_PAX_SPARSE_MAJOR = 1 << 6,
  IMS_PAX_SPARSE_MINOR = 1 << 7,
  IMS_PAX_SPARSE_NAME = 1 << 8,
  IMS_PAX_SPARSE_SIZE = 1 << 9, /**< GNU.sparse.size and GNU.sparse.realsize */
  IMS_PAX_SPARSE_BLOCKS = 1 << 10,
  IMS_PAX_SPARSE_PAIRS = 1 << 11, /**< GNU.sparse.offset and GNU.sparse.numbytes, in the map already */
  IMS_PAX_SPARSE_MAP = 1 << 12,   /**< in the map already */
  IMS_PAX_SPARSE = 0x7f << 6,
  IMS_PAX_ALL = 0x1fff,
  IMS_PAX_MAY_BE_GLOBAL = IMS_PAX_UID | IMS_PAX_GID | IMS_PAX_MTIME
};

typedef struct ims_pax {
  unsigned seen; /**< records that came; one without a value takes a global one away */
  unsigned have; /**< those that have a value */
  const char *path, *linkpath, *sparse_name;
  uint64_t size, uid, gid;
  int64_t mtime;
  uint32_t mtime_ns;
  uint64_t sparse_major, sparse_minor, sparse_size, sparse_blocks;
} ims_pax;

/**
 * Parses the records in text, which is changed: strings in *pax and in xattrs point into it.
 * Errors: IMGSTORE_EFORMAT, IMGSTORE_ELIMIT, IMGSTORE_ENOMEM.
 */
int32_t ims_pax_parse(ims_pax *pax, ims_tar_xattrs *xattrs, ims_tar_map *map, char *text, size_t size, ims_error *err);
/**
 * A global header: adds to what earlier ones said. Owners and times may be global; a name, a size, a sparse map or an
 * attribute for all entries is refused (IMGSTORE_EUNSUPPORTED), because readers disagree on whether it applies.
 */
int32_t ims_pax_parse_global(ims_pax *global, char *text, size_t size, ims_error *err);

#endif
