/*
 * rootfs/create.c (L3) - regular files, links, devices. What stands in the way is found by the call that makes the
 * object and only then looked at, so that a fresh object costs one call.
 */
#include "rootfs/create.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "rootfs/entry_error.h"
#include "rootfs/overlay.h"
#include "rootfs/remove.h"
#include "rootfs/resolve.h"

static int32_t make_room(ims_metadata *m, const ims_place *place, ims_error *err) {
  int32_t rc =
      m->tree->overlay ? ims_overlay_replaces(m->tree, place->dir, place->name, place->path, err) : IMGSTORE_OK;
  if (rc)
    return rc;
  return ims_remove_entry(m->tree, place->dir, place->name, place->path, err);
}

static ims_object fresh_object(const ims_metadata *m, const ims_place *place, int fd) {
  ims_object object = {.path = place->path, .fd = fd, .dir = place->dir->fd, .name = place->name};
  object.uid = m->tree->uid;
  object.gid = ims_tree_fresh_gid(m->tree, place->dir);
  return object;
}

int32_t ims_create_file(ims_metadata *m, const ims_place *place, const ims_tar_entry *entry, ims_file *file,
                        ims_error *err) {
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  mode_t mode = entry->mode & 0777;
  if (!m->tree->may.overrides && ims_metadata_sets_xattrs(m, entry))
    mode |= 0600;
  place->dir->touched = true;
  file->fd = m->tree->sys->openat(place->dir->fd, place->name, flags, mode);
  if (file->fd < 0 && errno == EEXIST) {
    int32_t rc = make_room(m, place, err);
    if (rc)
      return rc;
    file->fd = m->tree->sys->openat(place->dir->fd, place->name, flags, mode);
  }
  if (file->fd < 0)
    return ims_entry_fail_os(err, errno, place->path, "create the file");
  file->end = 0;
  file->uid = m->tree->uid;
  file->gid = ims_tree_fresh_gid(m->tree, place->dir);
  file->mode = mode & ~m->tree->umask;
  return ims_tree_count(m->tree, place->path, err);
}

int32_t ims_write_file(ims_tree *tree, ims_file *file, const char *path, const uint8_t *data, size_t size,
                       uint64_t offset, ims_error *err) {
  if (offset > INT64_MAX - size)
    return ims_entry_fail(err, IMGSTORE_EFORMAT, path, "file too large");
  int32_t rc = ims_tree_count_bytes(tree, size, path, err);
  if (rc)
    return rc;
  for (size_t done = 0; done < size;) {
    ssize_t wrote = tree->sys->pwrite(file->fd, data + done, size - done, (off_t)(offset + done));
    if (wrote < 0 && errno == EINTR)
      continue;
    if (wrote <= 0)
      return ims_entry_fail_os(err, wrote < 0 ? errno : EIO, path, "write");
    done += (size_t)wrote;
  }
  if (offset + size > file->end)
    file->end = offset + size;
  return IMGSTORE_OK;
}

static int32_t complete_file(ims_metadata *m, const ims_file *file, const ims_tar_entry *entry, ims_error *err) {
  const ims_sys *sys = m->tree->sys;
  if (entry->size > INT64_MAX)
    return ims_entry_fail(err, IMGSTORE_EFORMAT, entry->path, "file too large");
  if (entry->size > file->end && sys->ftruncate(file->fd, (off_t)entry->size) != 0)
    return ims_entry_fail_os(err, errno, entry->path, "set the size");
  m->tree->bytes += entry->size > file->end ? entry->size : file->end;
  ims_object object = {.path = entry->path, .fd = file->fd, .uid = file->uid, .gid = file->gid, .mode = file->mode};
  int32_t rc = ims_metadata_set(m, &object, entry, err);
  if (rc)
    return rc;
  if (object.mode != entry->mode && sys->fchmod(file->fd, entry->mode) != 0)
    return ims_entry_fail_os(err, errno, entry->path, "set the mode");
  struct timespec times[2];
  ims_metadata_times(entry, times);
  if (sys->futimens(file->fd, times) != 0)
    return ims_entry_fail_os(err, errno, entry->path, "set the time");
  return IMGSTORE_OK;
}

int32_t ims_finish_file(ims_metadata *m, ims_file *file, const ims_tar_entry *entry, ims_error *err) {
  int32_t rc = complete_file(m, file, entry, err);
  int closed = m->tree->sys->close(file->fd);
  file->fd = -1;
  if (!rc && closed != 0 && errno != EINTR)
    rc = ims_entry_fail_os(err, errno, entry->path, "finish the file");
  return rc;
}

/* Owner, attributes, mode and time of a directory that is open. */
static int32_t describe_directory(ims_metadata *m, ims_dir *dir, const char *path, const ims_tar_entry *entry,
                                  ims_error *err) {
  ims_object object = {
      .path = path, .fd = dir->fd, .is_dir = true, .uid = dir->uid, .gid = dir->gid, .mode = dir->mode};
  int32_t rc = ims_metadata_set(m, &object, entry, err);
  if (rc)
    return rc;
  dir->uid = object.uid;
  dir->gid = object.gid;
  rc = ims_tree_set_dir_mode(m->tree, dir, entry->mode, object.mode == IMS_MODE_UNKNOWN, path, err);
  struct timespec times[2];
  ims_metadata_times(entry, times);
  dir->mtime = times[1];
  dir->touched = dir->timed = true;
  if (!rc && (entry->xattr_count || m->owners == IMGSTORE_POLICY_RECORD))
    rc = ims_overlay_note_attributes(m->tree, dir == ims_tree_root(m->tree) ? "" : path, err);
  return rc;
}

/* Makes the directory unless there is one. *made: it is new; *replaced: something else stood there before. */
static int32_t ensure_directory(ims_metadata *m, const ims_place *place, mode_t mode, bool *made, bool *replaced,
                                ims_error *err) {
  const ims_sys *sys = m->tree->sys;
  struct stat st;
  place->dir->touched = true;
  *replaced = false;
  *made = sys->mkdirat(place->dir->fd, place->name, mode) == 0;
  if (*made)
    return ims_tree_count(m->tree, place->path, err);
  if (errno != EEXIST)
    return ims_entry_fail_os(err, errno, place->path, "create the directory");
  if (sys->fstatat(place->dir->fd, place->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return ims_entry_fail_os(err, errno, place->path, "look at what is there");
  if (S_ISDIR(st.st_mode))
    return IMGSTORE_OK;
  *replaced = true;
  int32_t rc = make_room(m, place, err);
  if (!rc && sys->mkdirat(place->dir->fd, place->name, mode) != 0)
    rc = ims_entry_fail_os(err, errno, place->path, "create the directory");
  *made = !rc;
  return rc ? rc : ims_tree_count(m->tree, place->path, err);
}

/* In an overlay, what a new directory is to those below: it is merged with them, unless it took the place of something
   that hid them. */
static int32_t place_in_overlay(ims_tree *tree, ims_dir *dir, bool replaced, const char *path, ims_error *err) {
  if (dir->pure)
    return IMGSTORE_OK;
  return replaced ? ims_overlay_set_opaque(tree, dir, path, err) : ims_overlay_made_directory(tree, dir, path, err);
}

int32_t ims_create_directory(ims_metadata *m, const ims_place *place, const ims_tar_entry *entry, ims_error *err) {
  mode_t mode = (entry->mode & 01777) | (m->tree->may.overrides ? 0 : 0700);
  bool made, replaced;
  int32_t rc = ensure_directory(m, place, mode, &made, &replaced, err);
  ims_dir *dir = NULL;
  if (!rc)
    rc = ims_resolve_child(m->tree, place->dir, place->name, place->path, &dir, err);
  if (rc)
    return rc;
  if (made && m->tree->overlay)
    rc = place_in_overlay(m->tree, dir, replaced, place->path, err);
  if (!rc)
    rc = describe_directory(m, dir, place->path, entry, err);
  int32_t failed = ims_dirs_unpin(&m->tree->dirs, dir, err);
  return rc ? rc : failed;
}

int32_t ims_update_root(ims_metadata *m, const ims_tar_entry *entry, ims_error *err) {
  return describe_directory(m, ims_tree_root(m->tree), entry->path, entry, err);
}

static int32_t set_times(ims_metadata *m, const ims_place *place, const ims_tar_entry *entry, ims_error *err) {
  struct timespec times[2];
  ims_metadata_times(entry, times);
  if (m->tree->sys->utimensat(place->dir->fd, place->name, times, AT_SYMLINK_NOFOLLOW) != 0)
    return ims_entry_fail_os(err, errno, place->path, "set the time");
  return IMGSTORE_OK;
}

int32_t ims_create_symlink(ims_metadata *m, const ims_place *place, const ims_tar_entry *entry, ims_error *err) {
  const ims_sys *sys = m->tree->sys;
  if (!*entry->linkpath)
    return ims_entry_fail(err, IMGSTORE_EFORMAT, place->path, "symbolic link without a target");
  place->dir->touched = true;
  int made = sys->symlinkat(entry->linkpath, place->dir->fd, place->name);
  if (made != 0 && errno == EEXIST) {
    int32_t rc = make_room(m, place, err);
    if (rc)
      return rc;
    made = sys->symlinkat(entry->linkpath, place->dir->fd, place->name);
  }
  if (made != 0 && errno == ENAMETOOLONG)
    return ims_entry_fail(err, IMGSTORE_EFORMAT, place->path, "target of the symbolic link is too long");
  if (made != 0)
    return ims_entry_fail_os(err, errno, place->path, "create the symbolic link");
  m->tree->bytes += strlen(entry->linkpath);
  int32_t rc = ims_tree_count(m->tree, place->path, err);
  if (rc)
    return rc;
  ims_object object = fresh_object(m, place, -1);
  object.is_link = true;
  rc = ims_metadata_set(m, &object, entry, err);
  return rc ? rc : set_times(m, place, entry, err);
}

static mode_t special_type(int32_t type) {
  return type == IMS_TAR_CHAR ? S_IFCHR : type == IMS_TAR_BLOCK ? S_IFBLK : S_IFIFO;
}

static int32_t device_refused(ims_metadata *m, const ims_place *place, int refused, ims_error *err) {
  if ((refused != EPERM && refused != EACCES && refused != EOPNOTSUPP && refused != EINVAL) ||
      m->devices == IMGSTORE_POLICY_ERROR)
    return ims_entry_fail_os(err, refused, place->path, "create the device");
  return ims_metadata_skipped(m, place->path, "device not created: the system does not permit it", err);
}

int32_t ims_create_special(ims_metadata *m, const ims_place *place, const ims_tar_entry *entry, bool *made,
                           ims_error *err) {
  const ims_sys *sys = m->tree->sys;
  mode_t mode = entry->mode & 0777, type = special_type(entry->type);
  dev_t device = type == S_IFIFO ? 0 : makedev(entry->major, entry->minor);
  *made = false;
  place->dir->touched = true;
  int done = sys->mknodat(place->dir->fd, place->name, type | mode, device);
  if (done != 0 && errno == EEXIST) {
    int32_t rc = make_room(m, place, err);
    if (rc)
      return rc;
    done = sys->mknodat(place->dir->fd, place->name, type | mode, device);
  }
  if (done != 0)
    return device_refused(m, place, errno, err);
  *made = true;
  int32_t rc = ims_tree_count(m->tree, place->path, err);
  if (rc)
    return rc;
  ims_object object = fresh_object(m, place, -1);
  object.mode = mode & ~m->tree->umask;
  rc = ims_metadata_set(m, &object, entry, err);
  if (rc)
    return rc;
  int failed = object.mode == entry->mode ? 0 : ims_chmod_special(sys, place->dir->fd, place->name, entry->mode);
  if (failed)
    return ims_entry_fail_os(err, failed, place->path, "set the mode");
  return set_times(m, place, entry, err);
}

static int32_t no_target(const ims_place *place, const char *target, ims_error *err) {
  return ims_entry_fail(err, IMGSTORE_EFORMAT, place->path, "hard link to \"%.200s\", which is not there", target);
}

/* Looks at the target, which must exist and not be a directory, before anything makes room for the link. */
static int32_t check_target(ims_metadata *m, const ims_place *place, const char *target, const ims_place *from,
                            bool *same, ims_error *err) {
  const ims_sys *sys = m->tree->sys;
  struct stat st, old;
  *same = false;
  if (sys->fstatat(from->dir->fd, from->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT || errno == ENAMETOOLONG ? no_target(place, target, err)
                                                    : ims_entry_fail_os(err, errno, place->path, "look at its target");
  if (S_ISDIR(st.st_mode))
    return ims_entry_fail(err, IMGSTORE_EFORMAT, place->path, "hard link to \"%.200s\", which is a directory", target);
  if (sys->fstatat(place->dir->fd, place->name, &old, AT_SYMLINK_NOFOLLOW) == 0)
    *same = old.st_dev == st.st_dev && old.st_ino == st.st_ino;
  return IMGSTORE_OK;
}

static int32_t link_to(ims_metadata *m, const ims_place *place, const char *target, const ims_place *from,
                       ims_error *err) {
  const ims_sys *sys = m->tree->sys;
  place->dir->touched = true;
  if (sys->linkat(from->dir->fd, from->name, place->dir->fd, place->name, 0) == 0)
    return IMGSTORE_OK;
  int failed = errno;
  if (failed == EEXIST || failed == EPERM || failed == ENOENT) {
    bool same;
    int32_t rc = check_target(m, place, target, from, &same, err);
    if (rc || same)
      return rc;
  }
  if (failed == EEXIST) {
    int32_t rc = make_room(m, place, err);
    if (rc)
      return rc;
    failed = sys->linkat(from->dir->fd, from->name, place->dir->fd, place->name, 0) == 0 ? 0 : errno;
    if (failed == ENOENT) /* it went with the directory that stood in the way */
      return no_target(place, target, err);
  }
  return failed ? ims_entry_fail_os(err, failed, place->path, "create the hard link") : IMGSTORE_OK;
}

/* Opens the directory that the target lies in; *dir NULL: there is none. In an overlay the target may be of a layer
   below: then it is copied up first. */
static int32_t open_target(ims_metadata *m, const char *target, const char *parent, ims_dir **dir, ims_error *err) {
  *dir = NULL;
  if (!m->tree->overlay)
    return ims_resolve_dir(m->tree, parent, false, dir, err);
  bool exists;
  int32_t rc = ims_overlay_copy_up(m, target, &exists, err);
  return rc || !exists ? rc : ims_overlay_dir(m->tree, parent, IMS_OVERLAY_FIND, dir, err);
}

int32_t ims_create_hardlink(ims_metadata *m, const ims_place *place, const char *target, ims_error *err) {
  const char *slash = strrchr(target, '/');
  ims_place from = {.name = slash ? slash + 1 : target, .path = target};
  if (!*target)
    return ims_entry_fail(err, IMGSTORE_EFORMAT, place->path, "hard link to the root");
  char *parent = ims_strndup(m->tree->alloc, target, slash ? (size_t)(slash - target) : 0);
  if (!parent)
    return ims_fail_nomem(err);
  int32_t rc = open_target(m, target, parent, &from.dir, err);
  ims_free(m->tree->alloc, parent);
  if (rc)
    return rc;
  if (!from.dir)
    return no_target(place, target, err);
  rc = link_to(m, place, target, &from, err);
  int32_t failed = ims_dirs_unpin(&m->tree->dirs, from.dir, err);
  return rc ? rc : failed;
}
