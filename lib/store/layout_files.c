/*
 * store/layout_files.c (L3) - files, folders and locks under the layout's directory descriptor.
 *
 * Knows nothing of blobs or references. Nothing here follows a link or waits on something that is no regular file.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/text.h"
#include "store/layout.h"

enum { READ_STEP = 1024 * 1024 };

void ims_layout_random(char out[IMS_LAYOUT_RANDOM]) {
  uint8_t bytes[8] = {0};
  if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
    int64_t now = ims_wall_ns();
    memcpy(bytes, &now, sizeof bytes);
  }
  ims_hex_encode(bytes, sizeof bytes, out);
}

int ims_layout_open_dir(const ims_layout *l, int dir, const char *name) {
  return l->sys->openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
}

int32_t ims_layout_make_dir(const ims_layout *l, int dir, const char *name, mode_t mode, int *fd, bool *made) {
  if (made)
    *made = false;
  *fd = ims_layout_open_dir(l, dir, name);
  if (*fd >= 0)
    return IMGSTORE_OK;
  if (errno != ENOENT)
    return errno == ELOOP || errno == ENOTDIR ? IMGSTORE_EFORMAT : ims_code_of_errno(errno);
  if (l->sys->mkdirat(dir, name, mode) == 0) {
    if (made)
      *made = true;
  } else if (errno != EEXIST) {
    return ims_code_of_errno(errno);
  }
  *fd = ims_layout_open_dir(l, dir, name);
  return *fd >= 0 ? IMGSTORE_OK : ims_code_of_errno(errno);
}

int32_t ims_layout_open_regular(const ims_layout *l, int dir, const char *name, int *fd, struct stat *st) {
  *fd = l->sys->openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
  if (*fd < 0)
    return errno == ELOOP || errno == ENXIO ? IMGSTORE_EFORMAT : ims_code_of_errno(errno);
  int32_t rc = IMGSTORE_OK;
  if (l->sys->fstat(*fd, st))
    rc = ims_code_of_errno(errno);
  else if (!S_ISREG(st->st_mode) || st->st_size < 0)
    rc = IMGSTORE_EFORMAT;
  if (rc)
    ims_layout_close(l, fd);
  return rc;
}

int32_t ims_layout_pread(const ims_layout *l, int fd, uint64_t offset, void *buffer, size_t size, size_t *got) {
  *got = 0;
  if (offset > INT64_MAX)
    return IMGSTORE_EINVALID;
  ssize_t n;
  do
    n = l->sys->pread(fd, buffer, size, (off_t)offset);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    return ims_code_of_errno(errno);
  *got = (size_t)n;
  return IMGSTORE_OK;
}

int32_t ims_layout_pwrite(const ims_layout *l, int fd, uint64_t offset, const void *data, size_t size) {
  const char *at = data;
  uint64_t end;
  if (!ims_add_u64(offset, size, &end) || end > INT64_MAX)
    return IMGSTORE_EINVALID;
  while (size) {
    ssize_t n = l->sys->pwrite(fd, at, size, (off_t)offset);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return ims_code_of_errno(errno);
    if (n == 0)
      return IMGSTORE_EIO;
    at += n;
    size -= (size_t)n;
    offset += (uint64_t)n;
  }
  return IMGSTORE_OK;
}

/** Up to the end that it has now: a lease may grow while it is read. */
static int32_t read_open_file(const ims_layout *l, int fd, const struct stat *st, ims_buf *out) {
  size_t got, room = st->st_size < (off_t)READ_STEP ? (size_t)st->st_size + 1 : READ_STEP;
  do {
    size_t left = out->ceiling - out->size;
    int32_t rc = ims_buf_reserve(out, left < room ? left : room);
    if (!rc)
      rc = ims_layout_pread(l, fd, out->size, out->data + out->size, left < room ? left : room, &got);
    if (rc)
      return rc;
    out->size += got;
    out->data[out->size] = '\0';
  } while (got && out->size < out->ceiling);
  return out->size < out->ceiling ? IMGSTORE_OK : IMGSTORE_ELIMIT;
}

int32_t ims_layout_read_file(const ims_layout *l, int dir, const char *name, ims_buf *out) {
  int fd;
  struct stat st;
  int32_t rc = ims_layout_open_regular(l, dir, name, &fd, &st);
  if (rc)
    return rc;
  rc = read_open_file(l, fd, &st, out);
  ims_layout_close(l, &fd);
  return rc;
}

static int32_t flush_with(int (*flush)(int), int fd) {
  int n;
  do
    n = flush(fd);
  while (n && errno == EINTR);
  return n ? ims_code_of_errno(errno) : IMGSTORE_OK;
}

int32_t ims_layout_flush(const ims_layout *l, int fd) {
  return l->durability == IMGSTORE_DURABILITY_NONE ? IMGSTORE_OK : flush_with(l->sys->fdatasync, fd);
}

int32_t ims_layout_flush_dir(const ims_layout *l, int fd) {
  return l->durability == IMGSTORE_DURABILITY_NONE ? IMGSTORE_OK : flush_with(l->sys->fsync, fd);
}

bool ims_layout_same_file(const ims_layout *l, int dir, const char *name, int fd) {
  struct stat here, open_one;
  return l->sys->fstat(fd, &open_one) == 0 && l->sys->fstatat(dir, name, &here, AT_SYMLINK_NOFOLLOW) == 0 &&
         here.st_ino == open_one.st_ino && here.st_dev == open_one.st_dev;
}

int32_t ims_layout_flock(const ims_layout *l, int fd, int operation) {
  int n;
  do
    n = l->sys->flock(fd, operation);
  while (n && errno == EINTR);
  return n ? ims_code_of_errno(errno) : IMGSTORE_OK;
}

int32_t ims_layout_lock_file(const ims_layout *l, const char *name, int operation, int *fd) {
  int dir = l->folder[IMS_LAYOUT_LOCKS];
  /* Lock files are never removed, so what is opened here is what everybody else locks. */
  *fd = l->sys->openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (*fd < 0)
    return ims_code_of_errno(errno);
  int32_t rc = ims_layout_flock(l, *fd, operation);
  if (rc)
    ims_layout_close(l, fd);
  return rc;
}

void ims_layout_close(const ims_layout *l, int *fd) {
  if (*fd >= 0)
    l->sys->close(*fd);
  *fd = -1;
}
