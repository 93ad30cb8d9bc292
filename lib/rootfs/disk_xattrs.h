/*
 * rootfs/disk_xattrs.h (L3, inside rootfs/) - the attributes of an object on the disk: which go into a layer and in
 * what form, which are marks of an overlay file system, and which say an owner.
 */
#ifndef IMS_ROOTFS_DISK_XATTRS_H
#define IMS_ROOTFS_DISK_XATTRS_H

#include "rootfs/disk_entry.h"

/** Of all names and all values of one object; Linux lists at most 64 KiB of names. */
enum { IMS_DISK_XATTRS_MAX = 1 << 20 };

/** Sets d->xattrs, d->marks, and the recorded owner in d->entry. */
int32_t ims_disk_xattrs_read(ims_disk_entry *d, int dir, const char *name, const char *path, int32_t marks,
                             imgstore_report *report, ims_error *err);
/** From the host's id to the image's. */
bool ims_disk_map_back(const imgstore_id_map *map, size_t count, uint32_t outside, uint32_t *inside);

#endif
