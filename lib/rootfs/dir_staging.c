/*
 * rootfs/dir_staging.c (L3) - what is being made in a rootfs directory, and what is being removed.
 *
 * Removing is one rename into the trash; the content goes afterwards, a bounded part of it with each call but those
 * that were asked to free space. Locks say who is alive.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/folder.h"
#include "rootfs/apply.h"
#include "rootfs/dir_state.h"

enum { NAME_TRIES = 100 };

/* --- staging ------------------------------------------------------------------------------------------------------ */

/* A cleaner may take the new directory for a dead one before it is locked: then it is gone, and we try again. The lock
   is shared, which keeps cleaners out as well: an instance has the same one from its staging to the end of its handle,
   and a lock that is never converted is never lost in between. */
int32_t ims_stage_open(ims_rootfs_dir *d, ims_stage *stage, ims_error *err) {
  const ims_sys *sys = d->core->sys;
  int staging = d->folder[IMS_ROOTFS_STAGING];
  stage->fd = -1;
  int32_t rc = ims_rootfs_dir_writable(d, err);
  for (int i = 0; !rc && i < NAME_TRIES; i++) {
    rc = ims_random_name(stage->name);
    if (rc)
      break;
    if (sys->mkdirat(staging, stage->name, 0700) != 0) {
      rc = errno == EEXIST ? IMGSTORE_OK : ims_code_of_errno(errno);
      continue;
    }
    stage->fd = ims_dir_file_open_dir(d->core, staging, stage->name);
    if (stage->fd < 0 && errno == ENOENT)
      continue;
    rc = stage->fd < 0 ? ims_code_of_errno(errno) : ims_dir_file_flock(d->core, stage->fd, LOCK_SH);
    if (!rc && ims_dir_file_is(d->core, staging, stage->name, stage->fd))
      return IMGSTORE_OK;
    ims_dir_file_close(d->core, &stage->fd);
  }
  return ims_fail(err, rc ? rc : IMGSTORE_EBUSY, "rootfs directory %s: cannot make a staging directory", d->path);
}

/* Never over something; a file system without that flag refuses to replace what is not an empty directory. */
static int move(const ims_rootfs_dir *d, int from, const char *name, int to, const char *new_name) {
  int done = d->core->sys->renameat2(from, name, to, new_name, IMS_RENAME_NOREPLACE);
  return done != 0 && errno == EINVAL ? d->core->sys->renameat2(from, name, to, new_name, 0) : done;
}

int32_t ims_stage_publish(ims_rootfs_dir *d, ims_stage *stage, int folder, const char *name, ims_error *err) {
  if (move(d, d->folder[IMS_ROOTFS_STAGING], stage->name, d->folder[folder], name) != 0)
    return ims_fail_os(err, errno, "rootfs directory %s: cannot publish %s", d->path, name);
  ims_dir_file_close(d->core, &stage->fd);
  return IMGSTORE_OK;
}

int32_t ims_stage_publish_part(ims_rootfs_dir *d, const ims_stage *stage, const char *part, int folder,
                               const char *name, ims_error *err) {
  if (move(d, stage->fd, part, d->folder[folder], name) != 0 && errno != EEXIST && errno != ENOTEMPTY)
    return ims_fail_os(err, errno, "rootfs directory %s: cannot publish %s", d->path, name);
  return IMGSTORE_OK;
}

/* --- trash -------------------------------------------------------------------------------------------------------- */

int32_t ims_trash_take(ims_rootfs_dir *d, int from, const char *name, char trash_name[IMS_STAGE_NAME]) {
  for (int i = 0; i < NAME_TRIES; i++) {
    int32_t rc = ims_random_name(trash_name);
    if (rc)
      return rc;
    if (move(d, from, name, d->folder[IMS_ROOTFS_TRASH], trash_name) == 0)
      return IMGSTORE_OK;
    if (errno != EEXIST)
      return ims_code_of_errno(errno);
  }
  return IMGSTORE_EBUSY;
}

void ims_trash_remove(ims_rootfs_dir *d, const char *trash_name, size_t *budget) {
  const ims_core *core = d->core;
  ims_error ignored = IMS_ERROR_INIT;
  int trash = d->folder[IMS_ROOTFS_TRASH];
  int fd = ims_dir_file_open_dir(core, trash, trash_name);
  if (fd >= 0) {
    if (ims_tree_remove_some(d->core, fd, budget, &ignored) == IMGSTORE_OK)
      core->sys->unlinkat(trash, trash_name, AT_REMOVEDIR);
    ims_dir_file_close(core, &fd);
  } else if (errno == ENOTDIR || errno == ELOOP) {
    core->sys->unlinkat(trash, trash_name, 0);
  }
}

void ims_stage_discard(ims_rootfs_dir *d, ims_stage *stage) {
  char trash_name[IMS_STAGE_NAME];
  size_t budget = IMS_TRASH_STEP;
  int staging = d->folder[IMS_ROOTFS_STAGING];
  if (stage->fd < 0)
    return;
  if (d->core->sys->unlinkat(staging, stage->name, AT_REMOVEDIR) != 0 &&
      ims_trash_take(d, staging, stage->name, trash_name) == IMGSTORE_OK)
    ims_trash_remove(d, trash_name, &budget);
  ims_dir_file_close(d->core, &stage->fd);
}

/* Only a directory that nobody has locked, be it shared, is of a dead process. */
static int32_t clean_staged(void *data, const char *name, unsigned char type) {
  ims_rootfs_dir *d = data;
  char trash_name[IMS_STAGE_NAME];
  int staging = d->folder[IMS_ROOTFS_STAGING];
  int fd = type == DT_DIR ? ims_dir_file_open_dir(d->core, staging, name) : -1;
  if (fd >= 0 && ims_dir_file_flock(d->core, fd, LOCK_EX | LOCK_NB) == IMGSTORE_OK)
    (void)ims_trash_take(d, staging, name, trash_name);
  ims_dir_file_close(d->core, &fd);
  return IMGSTORE_OK;
}

typedef struct emptying {
  ims_rootfs_dir *dir;
  size_t budget;
} emptying;

static int32_t clean_trash(void *data, const char *name, unsigned char type) {
  emptying *e = data;
  (void)type;
  ims_trash_remove(e->dir, name, &e->budget);
  return e->budget == 0;
}

static int32_t pass_over(void *data, const char *name) {
  return IMGSTORE_OK;
}

void ims_rootfs_dir_clean(ims_rootfs_dir *d, size_t budget) {
  emptying e = {d, budget};
  (void)ims_rootfs_leases(d, pass_over, NULL, NULL);
  (void)ims_folder_scan(d->core, d->folder[IMS_ROOTFS_STAGING], clean_staged, d);
  (void)ims_folder_scan(d->core, d->folder[IMS_ROOTFS_TRASH], clean_trash, &e);
}
