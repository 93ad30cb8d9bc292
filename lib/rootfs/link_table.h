/*
 * rootfs/link_table.h (L3) - files that have several names: the path that each was first met at. Memory is bounded.
 */
#ifndef IMS_ROOTFS_LINK_TABLE_H
#define IMS_ROOTFS_LINK_TABLE_H

#include <sys/stat.h>

#include "base/alloc.h"
#include "base/error.h"
#include "rootfs/name_hash.h"

typedef struct ims_link ims_link;

typedef struct ims_link_table {
  const ims_alloc *alloc;
  ims_hash_key key;
  ims_link **buckets;
  size_t bucket_count; /**< a power of two, or 0 */
  size_t count;
  size_t bytes; /**< of paths */
} ims_link_table;

int32_t ims_links_init(ims_link_table *table, const ims_alloc *alloc, ims_error *err);
void ims_links_free(ims_link_table *table);
/**
 * Meets a name of a file of several. *first: where it was met first, until the next call; NULL: now is the first time.
 * Errors: IMGSTORE_ENOMEM, IMGSTORE_ELIMIT.
 */
int32_t ims_links_meet(ims_link_table *table, const struct stat *st, const char *path, const char **first,
                       ims_error *err);

#endif
