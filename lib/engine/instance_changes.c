/*
 * engine/instance_changes.c (L4) - where an instance's own layer is and how it is to be read.
 */
#include "engine/instance_changes.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "rootfs/lower_stack.h"
#include "rootfs/overlay_marks.h"
#include "rootfs/privileges.h"

/* Whoever may not give files away has everything under its own id, which is the image's user 0. */
static void choose_owners(ims_own_layer *own, const imgstore_rootfs *rootfs) {
  const ims_instance_record *record = &rootfs->instance.record;
  ims_privileges may;
  ims_privileges_get(rootfs->core->sys, &may);
  own->uid_map = record->uid_map;
  own->gid_map = record->gid_map;
  own->uid_map_count = record->uid_map_count;
  own->gid_map_count = record->gid_map_count;
  if (may.owners || own->uid_map_count || own->gid_map_count || geteuid() == 0)
    return;
  own->self[0] = (imgstore_id_map){0, geteuid(), 1};
  own->self[1] = (imgstore_id_map){0, getegid(), 1};
  own->uid_map = &own->self[0];
  own->gid_map = &own->self[1];
  own->uid_map_count = own->gid_map_count = 1;
  own->recorded_owners = true;
}

/** An instance that could not be mounted has all its files in a directory of their own. */
static bool is_copy(const imgstore_rootfs *rootfs) {
  struct stat st;
  return rootfs->core->sys->fstatat(rootfs->instance.fd, IMS_INSTANCE_COPY, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

int32_t ims_own_layer_open(ims_own_layer *own, const imgstore_rootfs *rootfs, ims_error *err) {
  const ims_instance_record *record = &rootfs->instance.record;
  memset(own, 0, sizeof *own);
  own->fd = -1;
  if (record->read_only)
    return IMGSTORE_OK;
  choose_owners(own, rootfs);
  if (is_copy(rootfs)) {
    own->marks = IMS_MARKS_NONE;
    return ims_instance_open_dir(&rootfs->instance, IMS_INSTANCE_COPY, &own->fd, err);
  }
  /* In a user's own name space fuse-overlayfs may have been used as well as the kernel. */
  own->marks = record->user_xattrs ? IMS_MARKS_USER | IMS_MARKS_FUSE : IMS_MARKS_TRUSTED;
  return ims_instance_open_dir(&rootfs->instance, IMS_INSTANCE_UPPER, &own->fd, err);
}

static int32_t open_lower(void *data, size_t i, int *fd, ims_error *err) {
  return ims_instance_open_lower(data, i, fd, err);
}

int32_t ims_instance_lowers(ims_lower_stack *lowers, const imgstore_rootfs *rootfs, ims_error *err) {
  const ims_instance_record *record = &rootfs->instance.record;
  return ims_lowers_init(lowers, rootfs->core, record->layer_count,
                         record->user_xattrs ? IMS_MARKS_USER : IMS_MARKS_TRUSTED, open_lower,
                         (void *)(uintptr_t)&rootfs->instance, err);
}
