/*
 * rootfs/disk_entry.h (L3) - an object on the disk as the entry that a layer has for it: type, owners mapped back,
 * mode, times, the attributes that belong into a layer, the data of a sparse file. The reverse of rootfs/metadata.h.
 */
#ifndef IMS_ROOTFS_DISK_ENTRY_H
#define IMS_ROOTFS_DISK_ENTRY_H

#include "base/buf.h"
#include "base/core.h"
#include "base/report.h"
#include "imgstore/unpack.h"
#include "tar/xattr.h"

/** How owners and times are turned into those of the layer. */
typedef struct ims_disk_rules {
  const imgstore_id_map *uid_map, *gid_map; /**< as when unpacking: from outside to inside; count 0: identity */
  size_t uid_map_count, gid_map_count;
  bool recorded_owners; /**< user.rootlesscontainers says the owner, and without it 0:0 is meant */
  bool fixed_owner;     /**< everything belongs to owner_uid:owner_gid */
  uint32_t owner_uid, owner_gid;
  bool clamp;     /**< no time is later than latest */
  int64_t latest; /**< seconds since 1970 */
} ims_disk_rules;

/** Room for one object at a time. */
typedef struct ims_disk_entry {
  const ims_core *core;
  const ims_disk_rules *rules;
  bool overrides;
  struct stat st;
  int fd; /**< of a regular file or a directory, or -1 */
  ims_tar_entry entry;
  ims_buf names, values, target; /**< attribute names as listed; values; target of a link */
  ims_tar_xattrs xattrs;         /**< those of the layer, sorted by name */
  ims_tar_segment *segments;
  size_t segment_capacity;
  uint32_t marks; /**< IMS_MARK_* of overlay_marks.h that were among the attributes */
} ims_disk_entry;

/** rules: must outlive it. */
void ims_disk_entry_init(ims_disk_entry *d, const ims_core *core, const ims_disk_rules *rules);
void ims_disk_entry_free(ims_disk_entry *d);
/** Closes the file of the last object. */
void ims_disk_entry_close(ims_disk_entry *d);

/** Looks at name in dir: sets d->st. Nothing is opened. path: for messages. */
int32_t ims_disk_entry_look(ims_disk_entry *d, int dir, const char *name, const char *path, ims_error *err);
/**
 * Reads all of what was looked at into d->entry. path: what the layer calls it, must stay as it is. marks: which
 * overlay attributes are marks (IMS_MARKS_*). A regular file stays open for reading. What a layer cannot have is left
 * out and said in report. Errors: IMGSTORE_ECONFLICT (something else stands there now), IMGSTORE_EINVALID (an owner
 * that the maps do not cover), ...
 */
int32_t ims_disk_entry_read(ims_disk_entry *d, int dir, const char *name, const char *path, int32_t marks,
                            imgstore_report *report, ims_error *err);
/** Only d->marks of what was looked at, a directory or a regular file, which is open then. */
int32_t ims_disk_entry_marks(ims_disk_entry *d, int dir, const char *name, const char *path, int32_t marks,
                             ims_error *err);
/** Only the attributes of d->fd, which the caller has opened and set with d->st; it belongs to d. */
int32_t ims_disk_entry_attributes(ims_disk_entry *d, const char *path, ims_error *err);
/** Whether the file that is open is still as it was looked at. IMGSTORE_ECONFLICT otherwise. */
int32_t ims_disk_entry_unchanged(ims_disk_entry *d, const char *path, ims_error *err);
/** Adds a SKIPPED line; a full report is no failure. report NULL: nothing. */
int32_t ims_disk_skipped(imgstore_report *report, const char *path, const char *detail, ims_error *err);

#endif
