/*
 * engine/rootfs_umount.c (L4) - finding out where an instance is mounted, and unmounting what this library mounted.
 */
#include <errno.h>

#include "engine/mount_fuse.h"
#include "engine/rootfs.h"

enum { FLAG_DETACH = 2, FLAG_NOFOLLOW = 8 };

static int32_t umount_target(const ims_instance *instance, const ims_mount_state *state, bool detach, ims_error *err) {
  const ims_core *core = instance->dir->core;
  const char *target = ims_buf_text(&state->target);
  if (core->sys->umount2(target, FLAG_NOFOLLOW | (detach ? FLAG_DETACH : 0)) == 0)
    return IMGSTORE_OK;
  int failed = errno;
  if (failed == EPERM && state->way == IMGSTORE_MOUNT_FUSE)
    return ims_fuse_umount_run(core, target, detach, instance->name, err);
  if (failed == EBUSY)
    return ims_fail(err, IMGSTORE_EBUSY, "rootfs %s: %s is in use", instance->name, target);
  return ims_fail_os(err, failed, "rootfs %s: cannot unmount %s", instance->name, target);
}

int32_t ims_rootfs_find_mount(const ims_instance *instance, ims_mount_state *state, int32_t *found, ims_error *err) {
  const ims_core *core = instance->dir->core;
  int merged;
  *found = IMS_MOUNT_NOWHERE;
  int32_t rc = ims_mount_state_load(state, core, instance->fd, err);
  if (rc)
    return rc;
  *found = ims_mount_state_check(state, core);
  if (*found != IMS_MOUNT_NOWHERE)
    return IMGSTORE_OK;
  /* What somebody mounted there without this library: whatever it is, it is in the way. */
  state->way = IMGSTORE_MOUNT_NONE;
  ims_buf_clear(&state->target);
  if (ims_instance_open_dir(instance, IMS_INSTANCE_MERGED, &merged, NULL))
    return IMGSTORE_OK;
  if (ims_is_mount_root(core, merged)) {
    *found = IMS_MOUNT_HERE;
    state->way = IMGSTORE_MOUNT_OVERLAY;
    ims_buf_printf(&state->target, "%s/instances/%s/" IMS_INSTANCE_MERGED, instance->dir->path, instance->name);
  }
  core->sys->close(merged);
  return state->target.failed ? ims_fail_nomem(err) : IMGSTORE_OK;
}

int32_t ims_rootfs_umount(const ims_instance *instance, uint32_t flags, ims_error *err) {
  ims_mount_state state;
  int lock;
  int32_t found;
  int32_t rc = ims_rootfs_dir_writable(instance->dir, err);
  if (!rc)
    rc = ims_instance_lock(instance, &lock, err);
  if (rc == IMGSTORE_EAGAIN)
    rc = ims_fail(err, IMGSTORE_EBUSY, "rootfs %s: it is being mounted, copied or unmounted", instance->name);
  if (rc)
    return rc;
  ims_mount_state_init(&state, instance->dir->core);
  rc = ims_rootfs_find_mount(instance, &state, &found, err);
  if (!rc && found == IMS_MOUNT_NOWHERE)
    rc = ims_fail(err, IMGSTORE_ENOTFOUND, "rootfs %s: it is not mounted", instance->name);
  else if (!rc && found == IMS_MOUNT_ELSEWHERE)
    rc = ims_fail(err, IMGSTORE_ENOTFOUND, "rootfs %s: it is mounted in another mount namespace only", instance->name);
  else if (!rc && state.way != IMGSTORE_MOUNT_COPY)
    rc = umount_target(instance, &state, flags & IMGSTORE_UMOUNT_DETACH, err);
  if (!rc || rc == IMGSTORE_ENOTFOUND)
    if (found != IMS_MOUNT_ELSEWHERE)
      ims_mount_state_remove(instance->dir->core, instance->fd);
  ims_mount_state_free(&state);
  instance->dir->core->sys->close(lock);
  return rc;
}
