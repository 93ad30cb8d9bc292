/*
 * rootfs/created_set.h (L3) - which names the current layer made: a set of 64-bit keyed hashes. At most a few MiB are
 * in memory; full tables go to an unnamed file in the target directory.
 */
#ifndef IMS_ROOTFS_CREATED_SET_H
#define IMS_ROOTFS_CREATED_SET_H

#include <stdbool.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/sys.h"

typedef struct ims_created_set {
  const ims_alloc *alloc;
  const ims_sys *sys;
  int dir;         /**< where the spill file is made; not owned */
  uint64_t *slots; /**< open addressing, 0 is free */
  size_t capacity, count;
  size_t ceiling; /**< the most slots in memory: a power of two */
  int spill;      /**< full tables of ceiling slots, one after the other, or -1 */
  size_t tables;
} ims_created_set;

enum { IMS_CREATED_SLOTS = 1 << 19 };

/** ceiling: IMS_CREATED_SLOTS, or a smaller power of two, at least 64, in tests. */
void ims_created_init(ims_created_set *set, const ims_alloc *alloc, const ims_sys *sys, int dir, size_t ceiling);
void ims_created_free(ims_created_set *set);
/** Empties the set, keeping memory. */
void ims_created_clear(ims_created_set *set);
/** hash: not 0. */
int32_t ims_created_add(ims_created_set *set, uint64_t hash, ims_error *err);
int32_t ims_created_has(ims_created_set *set, uint64_t hash, bool *has, ims_error *err);

#endif
