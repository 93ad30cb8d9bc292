/*
 * store/walk.h (L3) - what references reach: a walk over manifests and indexes without recursion.
 */
#ifndef IMS_STORE_WALK_H
#define IMS_STORE_WALK_H

#include "store/digest_set.h"
#include "store/store.h"

enum {
  IMS_WALK_REQUIRED = 1u << 0, /**< what reaches it is incomplete without it (not: a child of an index, a subject) */
  IMS_WALK_MANIFEST = 1u << 1, /**< manifest or index: its children are walked */
  IMS_WALK_ABSENT = 1u << 2,   /**< a manifest that is not in the store */
  IMS_WALK_DAMAGED = 1u << 3,  /**< a manifest that is not what its digest says, or cannot be read or understood */
  IMS_WALK_LEASED = 1u << 4,   /**< a running job holds it */
  IMS_WALK_CERTAIN = 1u << 5   /**< a MANIFEST by its media type; else it may turn out to be none */
};

typedef struct ims_walk {
  imgstore_store *store;
  bool strict;         /**< a manifest whose children cannot be known is an error */
  ims_digest_set seen; /**< everything reached; size: as the descriptor says */
  uint32_t *queue;     /**< items of seen whose children are still to be walked */
  size_t queued, queue_capacity;
} ims_walk;

void ims_walk_init(ims_walk *walk, imgstore_store *store, bool strict);
void ims_walk_free(ims_walk *walk);
/** Adds everything that target reaches and that was not seen before. */
int32_t ims_walk_target(ims_walk *walk, const ims_target *target, ims_error *err);
/** Looks once more at manifests that were not there or damaged: a job may have brought them in since. */
int32_t ims_walk_again(ims_walk *walk, ims_error *err);
/** Adds one blob that a job leases, without children. */
int32_t ims_walk_leased(ims_walk *walk, const ims_digest *digest, ims_error *err);

/** All references, sorted by name. */
typedef struct ims_ref {
  char *name;
  ims_target target;
} ims_ref;
typedef struct ims_refs {
  const ims_alloc *alloc;
  ims_ref *items;
  size_t count, capacity;
} ims_refs;
int32_t ims_refs_load(ims_refs *refs, imgstore_store *store, ims_error *err);
void ims_refs_free(ims_refs *refs);
bool ims_refs_have(const ims_refs *refs, const char *name);
/** What people call the digest of a reference: the index's when it was chosen from one. */
const ims_digest *ims_target_named(const ims_target *target);

/** Every blob of the store, with the size it has there. foreign (or NULL) is called for what is no blob. */
typedef int32_t (*ims_foreign_visit)(void *data, const char *name);
int32_t ims_inventory_load(ims_digest_set *set, imgstore_store *store, ims_foreign_visit foreign, void *data,
                           ims_error *err);
/** The lock of the storage: exclusive 0 or 1. */
int32_t ims_store_lock(imgstore_store *store, int32_t exclusive, void **lock, ims_error *err);
void ims_store_unlock(imgstore_store *store, void *lock);

#endif
