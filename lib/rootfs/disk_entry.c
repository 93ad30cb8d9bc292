/*
 * rootfs/disk_entry.c (L3) - reads one object: nothing is followed, and nothing but regular files and directories is
 * opened. Attributes are in disk_xattrs.c.
 */
#include "rootfs/disk_entry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "rootfs/disk_xattrs.h"
#include "rootfs/entry_error.h"
#include "rootfs/open_dir.h"
#include "rootfs/overlay_marks.h"
#include "rootfs/privileges.h"
#include "tar/writer.h"

enum {
  TARGET_MAX = 64 * 1024,
  SPARSE_LEAST = 1 << 20 /**< holes of less are written as zeros: many a file has a small one by accident */
};

void ims_disk_entry_init(ims_disk_entry *d, const ims_core *core, const ims_disk_rules *rules) {
  ims_privileges may;
  memset(d, 0, sizeof *d);
  d->core = core;
  d->rules = rules;
  d->fd = -1;
  ims_privileges_get(core->sys, &may);
  d->overrides = may.overrides;
  ims_buf_init(&d->names, &core->alloc, IMS_DISK_XATTRS_MAX);
  ims_buf_init(&d->values, &core->alloc, IMS_DISK_XATTRS_MAX);
  ims_buf_init(&d->target, &core->alloc, TARGET_MAX);
  ims_tar_xattrs_init(&d->xattrs, &core->alloc);
}

void ims_disk_entry_close(ims_disk_entry *d) {
  if (d->fd >= 0)
    d->core->sys->close(d->fd);
  d->fd = -1;
}

void ims_disk_entry_free(ims_disk_entry *d) {
  if (!d->core)
    return;
  ims_disk_entry_close(d);
  ims_buf_free(&d->names);
  ims_buf_free(&d->values);
  ims_buf_free(&d->target);
  ims_tar_xattrs_free(&d->xattrs);
  ims_free(&d->core->alloc, d->segments);
  memset(d, 0, sizeof *d);
}

int32_t ims_disk_skipped(imgstore_report *report, const char *path, const char *detail, ims_error *err) {
  int32_t rc = report ? ims_report_add(report, IMGSTORE_REPORT_SKIPPED, path, NULL, detail, 0, 0) : IMGSTORE_OK;
  return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : IMGSTORE_OK;
}

static int32_t changed(const char *path, ims_error *err) {
  return ims_entry_fail(err, IMGSTORE_ECONFLICT, path, "changed while it was read");
}

int32_t ims_disk_entry_look(ims_disk_entry *d, int dir, const char *name, const char *path, ims_error *err) {
  ims_disk_entry_close(d);
  if (d->core->sys->fstatat(dir, name, &d->st, AT_SYMLINK_NOFOLLOW) == 0)
    return IMGSTORE_OK;
  return errno == ENOENT ? changed(path, err) : ims_entry_fail_os(err, errno, path, "look at it");
}

/* --- opening ---------------------------------------------------------------------------------------------------------
 */

/** A file that shuts its owner out is opened up for the moment of opening it. */
static int open_shut(ims_disk_entry *d, int dir, const char *name) {
  struct stat st;
  char path[40];
  int fd = -1, handle = d->core->sys->openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
  if (handle < 0)
    return -1;
  snprintf(path, sizeof path, "/proc/self/fd/%d", handle);
  if (d->core->sys->fstat(handle, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & 0400) &&
      d->core->sys->fchmodat(AT_FDCWD, path, (st.st_mode & 07777) | 0400) == 0) {
    fd = d->core->sys->openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
    int failed = errno;
    (void)d->core->sys->fchmodat(AT_FDCWD, path, st.st_mode & 07777);
    errno = failed;
  } else {
    errno = EACCES;
  }
  int failed = errno;
  d->core->sys->close(handle);
  errno = failed;
  return fd;
}

static int open_directory(ims_disk_entry *d, int dir, const char *name) {
  ims_opened opened;
  errno = ims_open_dir(d->core->sys, d->overrides, dir, name, &opened);
  if (errno)
    return -1;
  if (opened.unlocked)
    (void)d->core->sys->fchmod(opened.fd, opened.mode);
  return opened.fd;
}

/** Opens what was looked at, a regular file or a directory, and makes sure that it is that. */
static int32_t open_object(ims_disk_entry *d, int dir, const char *name, const char *path, ims_error *err) {
  struct stat now;
  if (S_ISDIR(d->st.st_mode))
    d->fd = open_directory(d, dir, name);
  else
    d->fd = d->core->sys->openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
  if (d->fd < 0 && errno == EACCES && !d->overrides && S_ISREG(d->st.st_mode))
    d->fd = open_shut(d, dir, name);
  if (d->fd < 0)
    return errno == ELOOP || errno == ENOENT || errno == ENOTDIR || errno == ENXIO
               ? changed(path, err)
               : ims_entry_fail_os(err, errno, path, "open it");
  if (d->core->sys->fstat(d->fd, &now))
    return ims_entry_fail_os(err, errno, path, "look at it");
  if (now.st_dev != d->st.st_dev || now.st_ino != d->st.st_ino || (now.st_mode & S_IFMT) != (d->st.st_mode & S_IFMT))
    return changed(path, err);
  d->st = now;
  return IMGSTORE_OK;
}

/* --- fields ----------------------------------------------------------------------------------------------------------
 */

static int32_t type_of(mode_t mode) {
  switch (mode & S_IFMT) {
  case S_IFREG:
    return IMS_TAR_REGULAR;
  case S_IFDIR:
    return IMS_TAR_DIRECTORY;
  case S_IFLNK:
    return IMS_TAR_SYMLINK;
  case S_IFCHR:
    return IMS_TAR_CHAR;
  case S_IFBLK:
    return IMS_TAR_BLOCK;
  case S_IFIFO:
    return IMS_TAR_FIFO;
  default:
    return 0;
  }
}

static int32_t read_target(ims_disk_entry *d, int dir, const char *name, const char *path, ims_error *err) {
  ims_buf_clear(&d->target);
  if (ims_buf_reserve(&d->target, TARGET_MAX - 1))
    return ims_fail_nomem(err);
  ssize_t n = d->core->sys->readlinkat(dir, name, d->target.data, TARGET_MAX - 1);
  if (n < 0)
    return errno == EINVAL || errno == ENOENT ? changed(path, err) : ims_entry_fail_os(err, errno, path, "read it");
  d->target.size = (size_t)n;
  d->target.data[n] = '\0';
  d->entry.linkpath = d->target.data;
  return n ? IMGSTORE_OK : changed(path, err);
}

static int32_t set_owner(ims_disk_entry *d, const char *path, ims_error *err) {
  const ims_disk_rules *r = d->rules;
  uint32_t uid = d->st.st_uid, gid = d->st.st_gid;
  if (r->fixed_owner) {
    uid = r->owner_uid;
    gid = r->owner_gid;
  } else if (r->recorded_owners) {
    uid = gid = 0; /* the attribute says others */
  } else if (!ims_disk_map_back(r->uid_map, r->uid_map_count, d->st.st_uid, &uid)) {
    return ims_entry_fail(err, IMGSTORE_EINVALID, path, "user id %u is not in the id map", (unsigned)d->st.st_uid);
  } else if (!ims_disk_map_back(r->gid_map, r->gid_map_count, d->st.st_gid, &gid)) {
    return ims_entry_fail(err, IMGSTORE_EINVALID, path, "group id %u is not in the id map", (unsigned)d->st.st_gid);
  }
  d->entry.uid = uid;
  d->entry.gid = gid;
  return IMGSTORE_OK;
}

static void set_time(ims_disk_entry *d) {
  d->entry.mtime = d->st.st_mtim.tv_sec;
  d->entry.mtime_ns = (uint32_t)d->st.st_mtim.tv_nsec;
  if (d->rules->clamp && d->entry.mtime >= d->rules->latest) {
    d->entry.mtime = d->rules->latest;
    d->entry.mtime_ns = 0;
  }
}

/* --- sparse files ----------------------------------------------------------------------------------------------------
 */

static int32_t add_segment(ims_disk_entry *d, uint64_t offset, uint64_t size, ims_error *err) {
  if (d->entry.segment_count == d->segment_capacity) {
    size_t capacity = d->segment_capacity ? d->segment_capacity * 2 : 16;
    ims_tar_segment *segments = ims_realloc_array(&d->core->alloc, d->segments, capacity, sizeof *segments);
    if (!segments)
      return ims_fail_nomem(err);
    d->segments = segments;
    d->segment_capacity = capacity;
  }
  d->segments[d->entry.segment_count++] = (ims_tar_segment){offset, size};
  d->entry.data_size += size;
  return IMGSTORE_OK;
}

/** *whole: the file system knows of no holes, or of too many. */
static int32_t find_segments(ims_disk_entry *d, bool *whole, ims_error *err) {
  const off_t size = d->st.st_size;
  *whole = false;
  for (off_t at = 0; at < size;) {
    off_t data = d->core->sys->lseek(d->fd, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
      return IMGSTORE_OK; /* a hole up to the end */
    off_t hole = data < 0 ? -1 : d->core->sys->lseek(d->fd, data, SEEK_HOLE);
    *whole = data < at || hole <= data || d->entry.segment_count == IMS_TAR_WRITE_SEGMENTS_MAX;
    if (*whole)
      return IMGSTORE_OK;
    if (data >= size)
      return IMGSTORE_OK; /* it grows */
    at = hole < size ? hole : size;
    int32_t rc = add_segment(d, (uint64_t)data, (uint64_t)(at - data), err);
    if (rc)
      return rc;
  }
  return IMGSTORE_OK;
}

static int32_t set_content(ims_disk_entry *d, ims_error *err) {
  bool whole = true;
  int32_t rc = IMGSTORE_OK;
  d->entry.size = (uint64_t)d->st.st_size;
  d->entry.data_size = 0;
  if (d->st.st_size >= SPARSE_LEAST && (uint64_t)d->st.st_blocks * 512 + SPARSE_LEAST <= d->entry.size)
    rc = find_segments(d, &whole, err);
  if (!rc && !whole && d->entry.data_size + SPARSE_LEAST > d->entry.size)
    whole = true;
  if (!rc && !whole && !d->segments) { /* one hole: the list is empty, but there is one */
    rc = add_segment(d, 0, 0, err);
    d->entry.segment_count = 0;
  }
  d->entry.segments = whole ? NULL : d->segments;
  if (whole) {
    d->entry.segment_count = 0;
    d->entry.data_size = d->entry.size;
  }
  return rc;
}

/* --- all of it -------------------------------------------------------------------------------------------------------
 */

int32_t ims_disk_entry_read(ims_disk_entry *d, int dir, const char *name, const char *path, int32_t marks,
                            imgstore_report *report, ims_error *err) {
  const bool opens = S_ISREG(d->st.st_mode) || S_ISDIR(d->st.st_mode);
  d->marks = 0;
  int32_t rc = opens ? open_object(d, dir, name, path, err) : IMGSTORE_OK;
  if (rc)
    return rc;
  d->entry = (ims_tar_entry){.type = type_of(d->st.st_mode), .path = path, .linkpath = ""};
  d->entry.mode = S_ISLNK(d->st.st_mode) ? 0777 : d->st.st_mode & 07777;
  if (S_ISCHR(d->st.st_mode) || S_ISBLK(d->st.st_mode)) {
    d->entry.major = major(d->st.st_rdev);
    d->entry.minor = minor(d->st.st_rdev);
  }
  set_time(d);
  rc = set_owner(d, path, err);
  if (!rc && S_ISLNK(d->st.st_mode))
    rc = read_target(d, dir, name, path, err);
  if (!rc)
    rc = ims_disk_xattrs_read(d, dir, name, path, marks, report, err);
  if (!rc && S_ISREG(d->st.st_mode))
    rc = set_content(d, err);
  return rc;
}

int32_t ims_disk_entry_marks(ims_disk_entry *d, int dir, const char *name, const char *path, int32_t marks,
                             ims_error *err) {
  d->marks = 0;
  int32_t rc = open_object(d, dir, name, path, err);
  return rc ? rc : ims_disk_xattrs_read(d, dir, name, path, marks, NULL, err);
}

int32_t ims_disk_entry_attributes(ims_disk_entry *d, const char *path, ims_error *err) {
  return ims_disk_xattrs_read(d, -1, "", path, IMS_MARKS_NONE, NULL, err);
}

int32_t ims_disk_entry_unchanged(ims_disk_entry *d, const char *path, ims_error *err) {
  struct stat now;
  if (d->core->sys->fstat(d->fd, &now))
    return ims_entry_fail_os(err, errno, path, "look at it");
  if (now.st_size == d->st.st_size && now.st_mtim.tv_sec == d->st.st_mtim.tv_sec &&
      now.st_mtim.tv_nsec == d->st.st_mtim.tv_nsec)
    return IMGSTORE_OK;
  return changed(path, err);
}
