/*
 * rootfs/mount_state.h (L3) - where an instance is mounted: what was written down in its directory, compared with what
 * the system says. The record is a hint that must hold against a crash, a reboot and other mount namespaces.
 */
#ifndef IMS_ROOTFS_MOUNT_STATE_H
#define IMS_ROOTFS_MOUNT_STATE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/core.h"
#include "base/error.h"

enum { IMS_MOUNT_BOOT = 64 };

enum {
  IMS_MOUNT_NOWHERE = 0,
  IMS_MOUNT_HERE = 1,     /**< in this mount namespace */
  IMS_MOUNT_ELSEWHERE = 2 /**< in another one, which some process still lives in */
};

typedef struct ims_mount_state {
  int32_t way; /**< IMGSTORE_MOUNT_*; NONE: nothing is written down */
  ims_buf target;
  char boot[IMS_MOUNT_BOOT]; /**< the boot it was made in */
  uint64_t name_space;       /**< inode of the mount namespace */
  uint64_t id;               /**< unique id of the mount; 0: not known */
  uint64_t device;           /**< st_dev of its files; 0: not known */
} ims_mount_state;

void ims_mount_state_init(ims_mount_state *state, const ims_core *core);
void ims_mount_state_free(ims_mount_state *state);
/** Reads what the instance's directory has; none, or one that cannot be read, is way NONE. */
int32_t ims_mount_state_load(ims_mount_state *state, const ims_core *core, int instance, ims_error *err);
/** Writes it, in place of the old one. Not flushed: after a reboot it counts for nothing. */
int32_t ims_mount_state_save(const ims_mount_state *state, const ims_core *core, int instance, const char *name,
                             ims_error *err);
/** Adds what ims_mount_state_note found to the record that is there, best effort. */
void ims_mount_state_complete(const ims_mount_state *state, const ims_core *core, int instance);
void ims_mount_state_remove(const ims_core *core, int instance);
/** Sets boot and name_space to those of this process. */
void ims_mount_state_here(ims_mount_state *state, const ims_core *core);
/** Notes what is mounted on target now. */
void ims_mount_state_note(ims_mount_state *state, const ims_core *core, int target);
/** IMS_MOUNT_*: whether what is written down is so. */
int32_t ims_mount_state_check(const ims_mount_state *state, const ims_core *core);

/** True when something is mounted on the directory that fd has open (the root of a mount). */
bool ims_is_mount_root(const ims_core *core, int fd);

#endif
