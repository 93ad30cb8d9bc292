/*
 * rootfs/copy_up.c (L3) - copies of what a layer below has: a directory's metadata, or a whole object. The source is
 * held by an O_PATH descriptor and read through /proc, so that no name is looked up twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "rootfs/entry_error.h"
#include "rootfs/overlay_parts.h"

enum { PROC_PATH = 40, LIST_MAX = 64 << 10, VALUE_MAX = 64 << 10, PIECE = 128 << 10 };

static void proc_path(char out[PROC_PATH], int fd) {
  snprintf(out, PROC_PATH, "/proc/self/fd/%d", fd);
}

/* Of the kinds that layers may have. */
static bool is_copied(const char *name) {
  if (ims_starts_with(name, "user.overlay."))
    return false;
  return ims_starts_with(name, "user.") || strcmp(name, "security.capability") == 0 || ims_xattr_is_access_acl(name) ||
         ims_xattr_is_default_acl(name);
}

static int32_t copy_one(ims_tree *t, const ims_object *to, const char *from, const char *name, uint8_t *value,
                        ims_error *err) {
  ssize_t size = t->sys->getxattr(from, name, value, VALUE_MAX);
  int failed = size < 0 ? errno : ims_xattr_put(t, to, name, value, (size_t)size);
  if (failed)
    return ims_entry_fail_os(err, failed, to->path, "copy an attribute");
  if (ims_xattr_is_default_acl(name))
    t->inherits_acl = true;
  return IMGSTORE_OK;
}

int32_t ims_copy_xattrs(ims_tree *t, const ims_object *to, const ims_lower_object *from, bool *any, ims_error *err) {
  char path[PROC_PATH];
  *any = false;
  if (S_ISLNK(from->st.st_mode))
    return IMGSTORE_OK; /* none of these kinds */
  proc_path(path, from->fd);
  char *list = ims_malloc(t->alloc, LIST_MAX + VALUE_MAX);
  if (!list)
    return ims_fail_nomem(err);
  ssize_t size = t->sys->listxattr(path, list, LIST_MAX);
  int32_t rc = IMGSTORE_OK;
  if (size < 0 && errno != EOPNOTSUPP)
    rc = ims_entry_fail_os(err, errno, to->path, "list attributes");
  for (ssize_t at = 0; !rc && at < size; at += (ssize_t)strlen(list + at) + 1)
    if (is_copied(list + at)) {
      rc = copy_one(t, to, path, list + at, (uint8_t *)list + LIST_MAX, err);
      *any = true;
    }
  ims_free(t->alloc, list);
  return rc;
}

int32_t ims_overlay_refresh_mode(ims_tree *t, ims_dir *dir, const char *path, ims_error *err) {
  struct stat st;
  if (t->sys->fstat(dir->fd, &st) != 0)
    return ims_entry_fail_os(err, errno, path, "look at the directory");
  dir->mode = st.st_mode & 07777;
  return IMGSTORE_OK;
}

int32_t ims_copy_directory(ims_tree *t, ims_dir *dir, const ims_lower_object *from, const char *path, ims_error *err) {
  const ims_object to = {.path = path, .fd = dir->fd, .is_dir = true};
  const struct stat *st = &from->st;
  bool any;
  if ((dir->uid != st->st_uid || dir->gid != st->st_gid) && t->sys->fchown(dir->fd, st->st_uid, st->st_gid) != 0)
    return ims_entry_fail_os(err, errno, path, "set the owner");
  dir->uid = st->st_uid;
  dir->gid = st->st_gid;
  int32_t rc = ims_copy_xattrs(t, &to, from, &any, err);
  if (!rc && any)
    rc = ims_overlay_note_attributes(t, path, err);
  if (!rc)
    rc = ims_tree_set_dir_mode(t, dir, st->st_mode & 07777, any, path, err);
  dir->mtime = st->st_mtim;
  dir->touched = dir->timed = true;
  return rc;
}

/* --- whole objects ------------------------------------------------------------------------------------------------ */

static int32_t copy_bytes(ims_tree *t, int from, int to, off_t start, off_t end, uint8_t *piece, const char *path,
                          ims_error *err) {
  while (start < end) {
    size_t want = end - start < PIECE ? (size_t)(end - start) : PIECE;
    ssize_t got = t->sys->pread(from, piece, want, start);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return ims_entry_fail_os(err, got < 0 ? errno : EIO, path, "read the file of a layer below");
    for (ssize_t done = 0; done < got;) {
      ssize_t wrote = t->sys->pwrite(to, piece + done, (size_t)(got - done), start + done);
      if (wrote < 0 && errno == EINTR)
        continue;
      if (wrote <= 0)
        return ims_entry_fail_os(err, wrote < 0 ? errno : EIO, path, "write");
      done += wrote;
    }
    start += got;
  }
  return IMGSTORE_OK;
}

/* One extent: shared where the file system can, else copied by the kernel, else by us. */
static int32_t copy_extent(ims_tree *t, int from, int to, off_t start, off_t end, uint8_t *piece, const char *path,
                           ims_error *err) {
  int32_t rc = ims_tree_count_bytes(t, (uint64_t)(end - start), path, err);
  while (!rc && start < end) {
    off_t in = start, out = start;
    ssize_t done = t->sys->copy_file_range(from, &in, to, &out, (size_t)(end - start), 0);
    if (done < 0 && errno == EINTR)
      continue;
    if (done < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
      return ims_entry_fail_os(err, errno, path, "write");
    if (done <= 0)
      return copy_bytes(t, from, to, start, end, piece, path, err);
    start += done;
  }
  return rc;
}

/* Holes stay holes. */
static int32_t copy_content(ims_tree *t, int from, int to, off_t size, const char *path, ims_error *err) {
  uint8_t *piece = ims_malloc(t->alloc, PIECE);
  int32_t rc = piece ? IMGSTORE_OK : ims_fail_nomem(err);
  for (off_t at = 0; !rc && at < size;) {
    off_t start = t->sys->lseek(from, at, SEEK_DATA);
    if (start < 0 && errno == ENXIO)
      break;
    off_t end = start < 0 ? -1 : t->sys->lseek(from, start, SEEK_HOLE);
    if (start < 0 || end < 0) { /* no holes here */
      start = at;
      end = size;
    }
    rc = copy_extent(t, from, to, start, end < size ? end : size, piece, path, err);
    at = end;
  }
  if (!rc && t->sys->ftruncate(to, size) != 0)
    rc = ims_entry_fail_os(err, errno, path, "set the size");
  ims_free(t->alloc, piece);
  return rc;
}

static int32_t copy_file(ims_tree *t, const ims_place *place, const ims_lower_object *from, ims_error *err) {
  char path[PROC_PATH];
  proc_path(path, from->fd);
  int in = t->sys->openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (in < 0)
    return ims_entry_fail_os(err, errno, place->path, "open the file of a layer below");
  int out = t->sys->openat(place->dir->fd, place->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  int32_t rc = out < 0 ? ims_entry_fail_os(err, errno, place->path, "create the file")
                       : copy_content(t, in, out, from->st.st_size, place->path, err);
  if (out >= 0 && t->sys->close(out) != 0 && !rc && errno != EINTR)
    rc = ims_entry_fail_os(err, errno, place->path, "finish the file");
  t->sys->close(in);
  return rc;
}

static int32_t copy_link(ims_tree *t, const ims_place *place, const ims_lower_object *from, ims_error *err) {
  char target[PATH_MAX + 1];
  ssize_t size = t->sys->readlinkat(from->fd, "", target, PATH_MAX);
  if (size < 0)
    return ims_entry_fail_os(err, errno, place->path, "read the link of a layer below");
  target[size] = '\0';
  if (t->sys->symlinkat(target, place->dir->fd, place->name) != 0)
    return ims_entry_fail_os(err, errno, place->path, "create the symbolic link");
  return IMGSTORE_OK;
}

static int32_t copy_owner_and_times(ims_metadata *m, const ims_place *place, const ims_lower_object *from,
                                    ims_error *err) {
  const ims_sys *sys = m->tree->sys;
  const struct stat *st = &from->st;
  const ims_object to = {.path = place->path, .fd = -1, .dir = place->dir->fd, .name = place->name};
  const struct timespec times[2] = {st->st_atim, st->st_mtim};
  bool any;
  if (sys->fchownat(place->dir->fd, place->name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) != 0)
    return ims_entry_fail_os(err, errno, place->path, "set the owner");
  int32_t rc = ims_copy_xattrs(m->tree, &to, from, &any, err);
  int failed =
      rc || S_ISLNK(st->st_mode) ? 0 : ims_chmod_special(sys, place->dir->fd, place->name, st->st_mode & 07777);
  if (failed)
    return ims_entry_fail_os(err, failed, place->path, "set the mode");
  if (!rc && sys->utimensat(place->dir->fd, place->name, times, AT_SYMLINK_NOFOLLOW) != 0)
    rc = ims_entry_fail_os(err, errno, place->path, "set the time");
  return rc;
}

int32_t ims_copy_object(ims_metadata *m, const ims_place *place, const ims_lower_object *from, ims_error *err) {
  ims_tree *t = m->tree;
  const struct stat *st = &from->st;
  int32_t rc = ims_tree_count(t, place->path, err);
  place->dir->touched = true;
  if (rc)
    return rc;
  if (S_ISREG(st->st_mode))
    rc = copy_file(t, place, from, err);
  else if (S_ISLNK(st->st_mode))
    rc = copy_link(t, place, from, err);
  else if (t->sys->mknodat(place->dir->fd, place->name, st->st_mode, st->st_rdev) != 0)
    rc = ims_entry_fail_os(err, errno, place->path, "create the device");
  if (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode))
    t->bytes += (uint64_t)st->st_size;
  return rc ? rc : copy_owner_and_times(m, place, from, err);
}

/* --- targets of hard links ---------------------------------------------------------------------------------------- */

/* *exists, or the overlay is unsure: without the layers below only this layer's own objects are known. */
static int32_t look_here(ims_tree *t, const char *parent, const char *name, const char *path, bool *exists,
                         ims_error *err) {
  struct stat st;
  ims_dir *dir;
  int32_t rc = ims_overlay_dir(t, parent, IMS_OVERLAY_FIND, &dir, err);
  *exists = false;
  if (rc || !dir)
    return rc;
  int missing = strlen(name) > IMS_NAME_MAX                                     ? ENOENT
                : t->sys->fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? 0
                                                                                : errno;
  if (missing && missing != ENOENT)
    rc = ims_entry_fail_os(err, missing, path, "look at the target of a hard link");
  else if (t->overlay->view || (missing ? dir->pure : !S_ISDIR(st.st_mode))) /* else it may be something else below */
    *exists = !missing && !ims_is_whiteout(&st);
  else
    rc = ims_overlay_unsure(t->overlay);
  int32_t failed = ims_dirs_unpin(&t->dirs, dir, err);
  return rc ? rc : failed;
}

static int32_t copy_below(ims_metadata *m, const char *parent, const char *name, const char *path,
                          const ims_lower_object *below, ims_error *err) {
  ims_place place = {.name = name, .path = path};
  if (below->kind == IMS_LOWER_DIRECTORY)
    return ims_entry_fail(err, IMGSTORE_EFORMAT, path, "target of a hard link, but a directory");
  int32_t rc = ims_overlay_dir(m->tree, parent, IMS_OVERLAY_MAKE, &place.dir, err);
  if (rc)
    return rc;
  rc = ims_copy_object(m, &place, below, err);
  int32_t failed = ims_dirs_unpin(&m->tree->dirs, place.dir, err);
  return rc ? rc : failed;
}

/* A whiteout or an opaque directory of this layer may hide it: those count as well. */
static int32_t find_below(ims_tree *t, const char *path, ims_lower_object *below, ims_error *err) {
  const ims_lower own = {.dir = ims_tree_root(t)->fd, .prefix = "", .opaque = t->overlay->has_opaque};
  bool stop;
  int32_t rc = ims_lower_look(t->overlay->view, &own, path, below, &stop, err);
  return rc || stop ? rc : ims_lower_find(t->overlay->view, path, below, err);
}

int32_t ims_overlay_copy_up(ims_metadata *m, const char *path, bool *exists, ims_error *err) {
  ims_tree *t = m->tree;
  ims_lower_object below;
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  char *parent = ims_strndup(t->alloc, path, slash ? (size_t)(slash - path) : 0);
  if (!parent)
    return ims_fail_nomem(err);
  int32_t rc = look_here(t, parent, name, path, exists, err);
  if (!rc && !*exists && t->overlay->view) {
    rc = find_below(t, path, &below, err);
    if (!rc && below.kind != IMS_LOWER_NONE) {
      rc = copy_below(m, parent, name, path, &below, err);
      *exists = true;
    }
    if (below.fd >= 0)
      t->sys->close(below.fd);
  }
  ims_free(t->alloc, parent);
  return rc;
}
