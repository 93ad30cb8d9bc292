/*
 * rootfs/metadata.h (L3) - owners, attributes, modes and times of what was made, and the policies for what the system
 * refuses.
 */
#ifndef IMS_ROOTFS_METADATA_H
#define IMS_ROOTFS_METADATA_H

#include "base/report.h"
#include "imgstore/unpack.h"
#include "rootfs/tree.h"
#include "tar/reader.h"

typedef struct ims_id_maps {
  imgstore_id_map *uids, *gids;
  size_t uid_count, gid_count; /**< 0: identity */
} ims_id_maps;

typedef struct ims_metadata {
  ims_tree *tree;
  imgstore_report *report;
  bool report_full;
  bool strict_xattrs;
  int32_t owners, devices, xattrs; /**< IMGSTORE_POLICY_*, never DEFAULT */
  ims_id_maps maps;
} ims_metadata;

/** An object that was made or is there, and what is known about it. */
typedef struct ims_object {
  const char *path; /**< of its entry */
  int fd;           /**< open for writing, or a directory; -1: no descriptor, it is name in dir */
  int dir;
  const char *name;
  bool is_link, is_dir;
  uid_t uid; /**< as they are now; -1: unknown */
  gid_t gid;
  mode_t mode; /**< IMS_MODE_UNKNOWN: has to be set */
} ims_object;

#define IMS_MODE_UNKNOWN ((mode_t)-1)

/** What a policy means for a process with or without the privilege: never IMGSTORE_POLICY_DEFAULT. */
int32_t ims_policy_effective(int32_t policy, bool privileged);
int32_t ims_metadata_init(ims_metadata *metadata, ims_tree *tree, const imgstore_unpack_options *options,
                          imgstore_report *report, ims_error *err);
void ims_metadata_free(ims_metadata *metadata);

/** Adds a line: path was not made as the layer says. */
int32_t ims_metadata_skipped(ims_metadata *metadata, const char *path, const char *detail, ims_error *err);
/** The host's owner for an entry. IMGSTORE_EFORMAT for ids out of range, IMGSTORE_EINVALID for unmapped ones. */
int32_t ims_map_owner(const ims_metadata *metadata, const ims_tar_entry *entry, uid_t *uid, gid_t *gid, ims_error *err);
bool ims_map_id(const imgstore_id_map *map, size_t count, uint32_t inside, uint32_t *outside);
/** Owner, then attributes. */
int32_t ims_metadata_set(ims_metadata *metadata, ims_object *object, const ims_tar_entry *entry, ims_error *err);
/** Whether attributes will be set, for which the owner needs the right to write. */
bool ims_metadata_sets_xattrs(const ims_metadata *metadata, const ims_tar_entry *entry);
/** Access and modification time of an entry in the form that the system takes. */
void ims_metadata_times(const ims_tar_entry *entry, struct timespec times[2]);

/** Sets one attribute (xattrs.c). Returns 0 or an errno. */
int ims_xattr_put(const ims_tree *tree, const ims_object *object, const char *name, const void *value, size_t size);
int32_t ims_xattrs_set(ims_metadata *metadata, ims_object *object, const ims_tar_entry *entry, ims_error *err);
bool ims_xattr_is_access_acl(const char *name);
bool ims_xattr_is_default_acl(const char *name);

#endif
