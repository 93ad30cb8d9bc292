/*
 * rootfs/dir_cache.c (L3) - open directories, least recently used out first.
 */
#include "rootfs/dir_cache.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "rootfs/entry_error.h"

static bool is_free(const ims_dir *dir) {
  return dir->fd < 0;
}

int32_t ims_dirs_settle(ims_dirs *dirs, ims_dir *dir, ims_error *err) {
  if (dir->mode != dir->final_mode) {
    if (dirs->sys->fchmod(dir->fd, dir->final_mode) != 0)
      return ims_entry_fail_os(err, errno, dir->path, "set the mode");
    dir->mode = dir->final_mode;
  }
  if (!dir->touched)
    return IMGSTORE_OK;
  const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, dir->mtime};
  if (dirs->sys->futimens(dir->fd, times) != 0) {
    /* a root directory of somebody else: its own old time cannot be kept, which is no fault of the image */
    bool not_ours = dir == &dirs->slots[0] && !dir->timed && (errno == EPERM || errno == EACCES);
    if (!not_ours)
      return ims_entry_fail_os(err, errno, dir->path, "set the time");
  }
  dir->touched = false;
  return IMGSTORE_OK;
}

static int32_t close_slot(ims_dirs *dirs, ims_dir *dir, ims_error *err) {
  int32_t rc = ims_dirs_settle(dirs, dir, err);
  dirs->sys->close(dir->fd);
  dir->fd = -1;
  return rc;
}

static int32_t set_path(ims_dirs *dirs, ims_dir *dir, const char *path, size_t size, ims_error *err) {
  if (size >= dir->path_capacity) {
    char *memory = ims_realloc_array(dirs->alloc, dir->path, size + 64, 1);
    if (!memory)
      return ims_fail_nomem(err);
    dir->path = memory;
    dir->path_capacity = size + 64;
  }
  memcpy(dir->path, path, size);
  dir->path[size] = '\0';
  dir->path_size = size;
  return IMGSTORE_OK;
}

/* Fills a free place with an open directory. The path is set by the caller. */
static int32_t fill(ims_dirs *dirs, ims_dir *dir, int fd, const struct stat *st, const ims_opened *opened,
                    ims_error *err) {
  dir->dev = st->st_dev;
  dir->ino = st->st_ino;
  dir->uid = st->st_uid;
  dir->gid = st->st_gid;
  dir->mode = st->st_mode & 07777;
  dir->final_mode = opened->unlocked ? opened->mode : dir->mode;
  dir->mtime = st->st_mtim;
  dir->touched = dir->timed = dir->stale = dir->pure = false;
  dir->pins = 1;
  dir->used = ++dirs->clock;
  if (!dirs->overrides && (dir->mode & 0700) != 0700 && st->st_uid == geteuid()) {
    if (dirs->sys->fchmod(fd, dir->mode | 0700) != 0)
      return ims_entry_fail_os(err, errno, dir->path, "open the directory for writing");
    dir->mode |= 0700;
  }
  dir->fd = fd;
  return IMGSTORE_OK;
}

int32_t ims_dirs_init(ims_dirs *dirs, const ims_alloc *alloc, const ims_sys *sys, bool overrides, int root_fd,
                      ims_error *err) {
  memset(dirs, 0, sizeof *dirs);
  dirs->alloc = alloc;
  dirs->sys = sys;
  dirs->overrides = overrides;
  for (int i = 0; i < IMS_DIR_SLOTS; i++)
    dirs->slots[i].fd = -1;
  struct stat st;
  const ims_opened opened = {.fd = root_fd};
  ims_dir *root = &dirs->slots[0];
  root->real = true;
  int32_t rc = set_path(dirs, root, "", 0, err);
  if (!rc && sys->fstat(root_fd, &st) != 0)
    rc = ims_fail_os(err, errno, "cannot look at the target directory");
  if (!rc)
    rc = fill(dirs, root, root_fd, &st, &opened, err);
  if (rc)
    sys->close(root_fd);
  return rc;
}

void ims_dirs_free(ims_dirs *dirs) {
  if (!dirs->sys)
    return;
  for (int i = 0; i < IMS_DIR_SLOTS; i++) {
    if (!is_free(&dirs->slots[i]))
      dirs->sys->close(dirs->slots[i].fd);
    ims_free(dirs->alloc, dirs->slots[i].path);
  }
  dirs->sys = NULL;
}

ims_dir *ims_dirs_find(ims_dirs *dirs, const char *path, size_t size, bool real) {
  for (int i = 0; i < IMS_DIR_SLOTS; i++) {
    ims_dir *dir = &dirs->slots[i];
    if (is_free(dir) || dir->stale || (real && !dir->real) || dir->path_size != size ||
        memcmp(dir->path, path, size) != 0)
      continue;
    dir->pins++;
    dir->used = ++dirs->clock;
    return dir;
  }
  return NULL;
}

static ims_dir *find_inode(ims_dirs *dirs, const struct stat *st) {
  for (int i = 0; i < IMS_DIR_SLOTS; i++) {
    ims_dir *dir = &dirs->slots[i];
    if (!is_free(dir) && dir->ino == st->st_ino && dir->dev == st->st_dev)
      return dir;
  }
  return NULL;
}

static ims_dir *least_recent(ims_dirs *dirs) {
  ims_dir *oldest = NULL;
  for (int i = 1; i < IMS_DIR_SLOTS; i++) {
    ims_dir *dir = &dirs->slots[i];
    if (is_free(dir))
      return dir;
    if (!dir->pins && (!oldest || dir->used < oldest->used))
      oldest = dir;
  }
  return oldest;
}

/* The directory is open already, under another path or none: two records of its time would contradict each other. */
static int32_t reuse(ims_dirs *dirs, ims_dir *dir, const char *path, size_t size, ims_error *err) {
  dir->pins++;
  dir->used = ++dirs->clock;
  if (dir == &dirs->slots[0])
    return IMGSTORE_OK;
  dir->stale = false;
  int32_t rc = set_path(dirs, dir, path, size, err);
  if (rc)
    dir->pins--;
  return rc;
}

static int32_t place(ims_dirs *dirs, const char *path, size_t size, const struct stat *st, const ims_opened *opened,
                     ims_dir **dir, ims_error *err) {
  ims_dir *slot = least_recent(dirs);
  if (!slot)
    return ims_entry_fail(err, IMGSTORE_EIO, path, "too many directories in use");
  int32_t rc = is_free(slot) ? IMGSTORE_OK : close_slot(dirs, slot, err);
  if (!rc)
    rc = set_path(dirs, slot, path, size, err);
  if (!rc)
    rc = fill(dirs, slot, opened->fd, st, opened, err);
  if (!rc)
    *dir = slot;
  return rc;
}

int32_t ims_dirs_insert(ims_dirs *dirs, const char *path, size_t size, bool real, const ims_opened *opened,
                        ims_dir **dir, ims_error *err) {
  struct stat st;
  *dir = NULL;
  if (dirs->sys->fstat(opened->fd, &st) != 0) {
    int saved = errno;
    dirs->sys->close(opened->fd);
    return ims_entry_fail_os(err, saved, path, "look at the directory");
  }
  ims_dir *known = find_inode(dirs, &st);
  int32_t rc = known ? reuse(dirs, known, path, size, err) : place(dirs, path, size, &st, opened, dir, err);
  if (known && !rc)
    *dir = known;
  if (*dir && *dir != &dirs->slots[0])
    (*dir)->real = real;
  if (known || rc)
    dirs->sys->close(opened->fd);
  return rc;
}

int32_t ims_dirs_unpin(ims_dirs *dirs, ims_dir *dir, ims_error *err) {
  if (!dir || --dir->pins || !dir->stale)
    return IMGSTORE_OK;
  return close_slot(dirs, dir, err);
}

int32_t ims_dirs_clear(ims_dirs *dirs, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  for (int i = 1; i < IMS_DIR_SLOTS; i++) {
    ims_dir *dir = &dirs->slots[i];
    if (is_free(dir))
      continue;
    dir->stale = true;
    int32_t failed = dir->pins ? IMGSTORE_OK : close_slot(dirs, dir, err);
    rc = rc ? rc : failed;
  }
  return rc;
}
