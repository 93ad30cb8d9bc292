/*
 * rootfs/instance_hold.h (L3) - the references that keep images in the store as long as instances stand on them.
 *
 * One per rootfs directory and manifest, of a reserved name (store.h, IMS_HOLD_PREFIX) that says where the instances
 * are. Set and removed under the lock of the instances; one that a crash left is removed by the next open.
 */
#ifndef IMS_ROOTFS_INSTANCE_HOLD_H
#define IMS_ROOTFS_INSTANCE_HOLD_H

#include "rootfs/dir_state.h"

/** Shared by who makes an instance, exclusive for who takes one away. */
#define IMS_ROOTFS_LOCK_INSTANCES "instances"

/** Makes sure that the manifest is held. Under the shared lock. */
int32_t ims_hold_set(ims_rootfs_dir *dir, const ims_digest *manifest, ims_error *err);
/** Lets go of it unless an instance stands on it or is being made, best effort. Under the exclusive lock. */
void ims_hold_release(ims_rootfs_dir *dir, const ims_digest *manifest);
/**
 * Holds the manifest from before an instance is made; lease: opened by this, keeps others from letting go of it. Once
 * there is the instance, the lease is closed while the instance is still open. Takes the lock.
 */
int32_t ims_hold_begin(ims_rootfs_dir *dir, ims_rootfs_lease *lease, const ims_digest *manifest, ims_error *err);
/** Instead, when there will be no instance. Does nothing when the lease is not open. */
void ims_hold_abandon(ims_rootfs_dir *dir, ims_rootfs_lease *lease, const ims_digest *manifest);
/** Removes the holds of this directory that no instance needs, and those that a directory left which was in the store
 * before this one; names those anew that say another place; best effort. */
void ims_holds_clean(ims_rootfs_dir *dir);

#endif
