/*
 * store/holds.h (L3) - references of a reserved name that keep an image because instances stand on it: part of what
 * collection marks from, but no name that people see, give or remove.
 */
#ifndef IMS_STORE_HOLDS_H
#define IMS_STORE_HOLDS_H

#include "store/walk.h"

#define IMS_HOLD_PREFIX "imgstore.rootfs/"

bool ims_ref_is_hold(const char *name);
/** As ims_ref_set, for a hold. With the store's lock, shared. */
int32_t ims_hold_put(imgstore_store *store, const char *name, const ims_target *target, ims_error *err);
/** Drops the holds from a list of references. */
void ims_refs_hide_holds(ims_refs *refs);
/**
 * May these references go? Not when an image that is held would have no name any more: IMGSTORE_ECONFLICT, naming the
 * instances. image: the one that goes as a whole, which may have no name already, or NULL. what: as the caller named
 * it. lost_go: holds of rootfs directories that are not there go with them instead. With the store's lock, exclusive.
 */
int32_t ims_holds_allow(imgstore_store *store, const ims_refs *going, const ims_target *image, const char *what,
                        bool lost_go, ims_error *err);

/** Whether the rootfs directory that holds is not where it was (rootfs/instance_hold.c). name: of the hold. */
bool ims_hold_is_lost(const ims_core *core, const char *name);
/** Says who holds: "a, b in /path" (rootfs/instance_hold.c). name: of the hold. */
void ims_hold_describe(const ims_core *core, const char *name, const ims_digest *manifest, ims_buf *out);

#endif
