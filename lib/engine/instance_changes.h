/*
 * engine/instance_changes.h (L4) - what an instance changed: as a report, as a layer of an image in the making, and as
 * an image of its own.
 */
#ifndef IMS_ENGINE_INSTANCE_CHANGES_H
#define IMS_ENGINE_INSTANCE_CHANGES_H

#include "engine/build.h"
#include "engine/rootfs.h"
#include "imgstore/changes.h"
#include "rootfs/lower_stack.h"

/** How an instance's own layer is to be read. */
typedef struct ims_own_layer {
  int fd;                  /**< its directory; -1: there is none, nothing can have changed */
  int32_t marks;           /**< IMS_MARKS_* */
  imgstore_id_map self[2]; /**< the maps of an ordinary user that has none: itself is 0 */
  const imgstore_id_map *uid_map, *gid_map;
  size_t uid_map_count, gid_map_count;
  bool recorded_owners;
} ims_own_layer;

/** The descriptor is the caller's, to be closed through the core's table. */
int32_t ims_own_layer_open(ims_own_layer *own, const imgstore_rootfs *rootfs, ims_error *err);
/** Opens the lower directories as one. The stack is to be freed also when this fails. */
int32_t ims_instance_lowers(ims_lower_stack *lowers, const imgstore_rootfs *rootfs, ims_error *err);

/** engine/diff_job.c */
int32_t ims_rootfs_diff_start(imgstore_operation **op, imgstore_rootfs *rootfs, ims_error *err);
/** engine/build_changes.c. Keeps a reference on rootfs. */
int32_t ims_builder_add_changes(imgstore_builder *b, imgstore_rootfs *rootfs, ims_error *err);
/** engine/build_instruct.c */
int32_t ims_builder_instruct(imgstore_builder *b, const char *instruction, ims_error *err);
/** engine/commit.c. options: complete; borrowed during the call. */
int32_t ims_commit_start(imgstore_operation **op, imgstore_rootfs *rootfs, const char *name,
                         const imgstore_commit_options *options, ims_error *err);

#endif
