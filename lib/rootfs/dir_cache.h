/*
 * rootfs/dir_cache.h (L3) - a few open directories of the tree that is being written, found by their path.
 *
 * A directory whose content changes keeps its time: the time it had when it was opened here, or the one that its entry
 * gave, is set when it leaves the cache. The same for the mode of a directory that had to be opened up for its owner.
 * So nothing has to be remembered about directories for the end of the job.
 *
 * A path stays valid as long as no directory and no link of the tree goes away: whoever removes one calls
 * ims_dirs_clear before.
 */
#ifndef IMS_ROOTFS_DIR_CACHE_H
#define IMS_ROOTFS_DIR_CACHE_H

#include <stdbool.h>

#include "base/alloc.h"
#include "base/error.h"
#include "rootfs/open_dir.h"

typedef struct ims_dir {
  int fd; /**< readable; -1: this place is free */
  unsigned pins;
  bool stale; /**< its path may lead elsewhere by now: closed when no longer pinned */
  bool real;  /**< no component of path is a link */
  bool pure;  /**< of an overlay: nothing of lower layers is seen in it */
  uint64_t used;
  char *path; /**< relative to the root, "" is the root */
  size_t path_size, path_capacity;
  dev_t dev;
  ino_t ino;
  uid_t uid;
  gid_t gid;
  mode_t mode;       /**< 07777 bits as they are now */
  mode_t final_mode; /**< what they are to be in the end */
  bool touched;      /**< mtime is to be set in the end */
  bool timed;        /**< mtime comes from an entry */
  struct timespec mtime;
} ims_dir;

enum { IMS_DIR_SLOTS = 16 };

typedef struct ims_dirs {
  const ims_alloc *alloc;
  const ims_sys *sys;
  bool overrides; /**< modes do not bind this process */
  uint64_t clock;
  ims_dir slots[IMS_DIR_SLOTS]; /**< [0] is the root, always there */
} ims_dirs;

/** Takes root_fd, also when it fails. */
int32_t ims_dirs_init(ims_dirs *dirs, const ims_alloc *alloc, const ims_sys *sys, bool overrides, int root_fd,
                      ims_error *err);
/** Closes everything without setting times: for a job that failed, or after ims_dirs_clear and ims_dirs_settle. */
void ims_dirs_free(ims_dirs *dirs);
/** The root or another open directory, pinned; NULL when it is not open. real: only when its path is a real one. */
ims_dir *ims_dirs_find(ims_dirs *dirs, const char *path, size_t size, bool real);
/** Takes opened->fd (also when it fails) as the directory at path; *dir is pinned. real: path has no links in it. */
int32_t ims_dirs_insert(ims_dirs *dirs, const char *path, size_t size, bool real, const ims_opened *opened,
                        ims_dir **dir, ims_error *err);
/** Gives a pin back; NULL is accepted. */
int32_t ims_dirs_unpin(ims_dirs *dirs, ims_dir *dir, ims_error *err);
/** Forgets all paths but the root's. Pinned directories stay open for those who hold them. */
int32_t ims_dirs_clear(ims_dirs *dirs, ims_error *err);
/** Sets what is due on one directory now. */
int32_t ims_dirs_settle(ims_dirs *dirs, ims_dir *dir, ims_error *err);

#endif
