/*
 * rootfs/id_mapped.h (L3) - one directory seen with other owners: an idmapped mount that is nowhere in the tree.
 */
#ifndef IMS_ROOTFS_ID_MAPPED_H
#define IMS_ROOTFS_ID_MAPPED_H

#include "base/core.h"
#include "base/error.h"
#include "imgstore/unpack.h"

typedef struct ims_id_ranges {
  const imgstore_id_map *uids, *gids;
  size_t uid_count, gid_count; /**< 0: identity of all ids */
} ims_id_ranges;

/**
 * Makes a user namespace with these maps. No process stays in it: *fd alone keeps it. Needs the right to write such
 * maps. Errors: IMGSTORE_EACCES, IMGSTORE_EINVALID (maps that the kernel refuses), IMGSTORE_EUNSUPPORTED.
 */
int32_t ims_user_namespace_make(const ims_core *core, const ims_id_ranges *ranges, int *fd, ims_error *err);
/**
 * Clones the mount that dir is on, from dir downwards, with the maps of the user namespace laid over it. *fd: its root.
 * Returns 0 or an errno: the kernel or the file system may know no such mounts.
 */
int ims_id_mapped_clone(const ims_core *core, int dir, int user_namespace, int *fd);

#endif
