/*
 * rootfs/create.h (L3) - makes one object in an open directory: afresh, in the place of whatever was there, and with
 * its owner, attributes, mode and times.
 */
#ifndef IMS_ROOTFS_CREATE_H
#define IMS_ROOTFS_CREATE_H

#include "rootfs/metadata.h"

/** Where an entry goes: name in dir (pinned by the caller), path being both together, cleaned. */
typedef struct ims_place {
  ims_dir *dir;
  const char *name;
  const char *path;
} ims_place;

/** A regular file that is being written. */
typedef struct ims_file {
  int fd;       /**< -1: none */
  uint64_t end; /**< the highest byte written so far */
  uid_t uid;
  gid_t gid;
  mode_t mode;
} ims_file;

int32_t ims_create_file(ims_metadata *metadata, const ims_place *place, const ims_tar_entry *entry, ims_file *file,
                        ims_error *err);
int32_t ims_write_file(ims_tree *tree, ims_file *file, const char *path, const uint8_t *data, size_t size,
                       uint64_t offset, ims_error *err);
/** Size, metadata, close. The file is closed also when this fails. */
int32_t ims_finish_file(ims_metadata *metadata, ims_file *file, const ims_tar_entry *entry, ims_error *err);

/** A directory that is there already stays, with its content, and gets the entry's metadata. */
int32_t ims_create_directory(ims_metadata *metadata, const ims_place *place, const ims_tar_entry *entry,
                             ims_error *err);
/** Metadata of the root. */
int32_t ims_update_root(ims_metadata *metadata, const ims_tar_entry *entry, ims_error *err);
int32_t ims_create_symlink(ims_metadata *metadata, const ims_place *place, const ims_tar_entry *entry, ims_error *err);
/** Device or FIFO. *made: false when a policy left it out. */
int32_t ims_create_special(ims_metadata *metadata, const ims_place *place, const ims_tar_entry *entry, bool *made,
                           ims_error *err);
/** target: cleaned path inside the root. */
int32_t ims_create_hardlink(ims_metadata *metadata, const ims_place *place, const char *target, ims_error *err);

#endif
