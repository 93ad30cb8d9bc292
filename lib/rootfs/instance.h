/*
 * rootfs/instance.h (L3) - instances on the disk: made, opened, listed, deleted.
 *
 *   instances/NAME/record     which image, which layers (instance_record.h); never changed
 *                  upper/     what was changed, in overlay form, with the owners of the host (mapped ones)
 *                  work/      the kernel's
 *                  merged/    an empty directory to mount on
 *                  copy/      all files, when nothing could be mounted
 *                  mounted    where it is mounted (mount_state.h)
 *                  lock       held while it is mounted, unmounted or read as a whole
 *
 * A shared lock on the directory itself holds the instance: whoever deletes takes it exclusively. A read-only instance
 * has neither upper nor work.
 */
#ifndef IMS_ROOTFS_INSTANCE_H
#define IMS_ROOTFS_INSTANCE_H

#include "imgstore/report.h"
#include "rootfs/dir_state.h"
#include "rootfs/instance_record.h"

#define IMS_INSTANCE_UPPER "upper"
#define IMS_INSTANCE_WORK "work"
#define IMS_INSTANCE_MERGED "merged"
#define IMS_INSTANCE_COPY "copy"

typedef struct ims_instance {
  ims_rootfs_dir *dir; /**< NULL: not open */
  char name[IMS_INSTANCE_NAME_MAX + 1];
  int fd; /**< its directory, with a shared lock */
  ims_instance_record record;
} ims_instance;

/**
 * Makes an instance and opens it. record: complete; moved into the instance. top: the uppermost layer directory, whose
 * owner, mode and attributes the root directory gets. The image is held in the store. Errors: IMGSTORE_EEXISTS, ...
 */
int32_t ims_instance_create(ims_instance *instance, ims_rootfs_dir *dir, const char *name, ims_instance_record *record,
                            int top, ims_error *err);
/** name: any text. Errors: IMGSTORE_EINVALID, IMGSTORE_ENOTFOUND, IMGSTORE_ECORRUPT, IMGSTORE_EBUSY (it is being
 * deleted). */
int32_t ims_instance_open(ims_instance *instance, ims_rootfs_dir *dir, const char *name, ims_error *err);
/** Does nothing when it is not open. */
void ims_instance_close(ims_instance *instance);
/** Opens one of its directories (IMS_INSTANCE_*); anything else in its place is IMGSTORE_ECORRUPT. */
int32_t ims_instance_open_dir(const ims_instance *instance, const char *which, int *fd, ims_error *err);
/** Opens the layer directory i, the uppermost first. */
int32_t ims_instance_open_lower(const ims_instance *instance, size_t i, int *fd, ims_error *err);
/**
 * The lock of those who mount, unmount or read the instance as a whole; it ends when *fd is closed. Never waits, as a
 * copy may have it for minutes: IMGSTORE_EAGAIN without a message when somebody has it.
 */
int32_t ims_instance_lock(const ims_instance *instance, int *fd, ims_error *err);

/**
 * Takes an instance away. before (or NULL) is called with the exclusive lock held, to unmount or refuse. report: lines
 * about what could not be removed, or NULL. Errors: IMGSTORE_EINVALID, IMGSTORE_ENOTFOUND, IMGSTORE_EBUSY.
 */
typedef int32_t (*ims_instance_before)(void *data, const ims_instance *instance, ims_error *err);
int32_t ims_instance_delete(ims_rootfs_dir *dir, const char *name, ims_instance_before before, void *data,
                            imgstore_report *report, ims_error *err);

/** record: NULL for an entry that is none (err->code then says: IMGSTORE_EFORMAT foreign, else damaged). */
typedef int32_t (*ims_instance_visit)(void *data, const char *name, const ims_instance_record *record,
                                      const ims_error *why);
/** Every entry of instances/, sorted by name. Non-zero of visit stops and is returned. */
int32_t ims_instance_list(ims_rootfs_dir *dir, ims_instance_visit visit, void *data, ims_error *err);

#endif
