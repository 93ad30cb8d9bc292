/*
 * store/digest_set.h (L3) - a set of digests with a size and flags for each, in the order they were added.
 *
 * The digests come from documents of strangers: the hash that places them is keyed, so that nobody can make them
 * collide.
 */
#ifndef IMS_STORE_DIGEST_SET_H
#define IMS_STORE_DIGEST_SET_H

#include "base/alloc.h"
#include "oci/digest.h"

typedef struct ims_digest_item {
  uint64_t size;
  uint32_t flags;
  int32_t algorithm;
  uint8_t bytes[IMS_HASH_MAX_SIZE];
} ims_digest_item;

enum { IMS_DIGEST_SET_KEYS = IMS_HASH_MAX_SIZE / 8 + 1 };

typedef struct ims_digest_set {
  const ims_alloc *alloc;
  ims_digest_item *items;
  size_t count, capacity;
  uint32_t *slots;   /**< index + 1 into items; 0: free */
  size_t slot_count; /**< a power of two */
  uint64_t keys[IMS_DIGEST_SET_KEYS];
} ims_digest_set;

void ims_digest_set_init(ims_digest_set *set, const ims_alloc *alloc);
void ims_digest_set_free(ims_digest_set *set);
/** Empties it, keeps the memory. */
void ims_digest_set_clear(ims_digest_set *set);
/** The item of a digest, added (size UINT64_MAX, no flags) when it is new; NULL when out of memory. Valid until the
 * next add. */
ims_digest_item *ims_digest_set_add(ims_digest_set *set, const ims_digest *digest);
/** NULL when it is not there. */
ims_digest_item *ims_digest_set_find(const ims_digest_set *set, const ims_digest *digest);
void ims_digest_item_digest(const ims_digest_item *item, ims_digest *digest);

#endif
