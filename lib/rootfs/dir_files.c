/*
 * rootfs/dir_files.c (L3) - small files, folders and locks below a directory descriptor. Knows nothing of layers.
 */
#include "rootfs/dir_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>

#include "base/text.h"

enum { READ_STEP = 64 << 10 };

int32_t ims_random_name(char out[IMS_RANDOM_NAME]) {
  uint8_t bytes[8];
  out[0] = '\0';
  if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
    return IMGSTORE_EIO;
  ims_hex_encode(bytes, sizeof bytes, out);
  return IMGSTORE_OK;
}

int ims_dir_file_open_dir(const ims_core *core, int dir, const char *name) {
  return core->sys->openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
}

int ims_dir_file_open_below(const ims_core *core, int dir, const char *path, int flags) {
  const ims_open_how how = {.flags = (uint64_t)(unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
                            .resolve = IMS_RESOLVE_BENEATH | IMS_RESOLVE_NO_SYMLINKS | IMS_RESOLVE_NO_MAGICLINKS};
  return core->sys->openat2(dir, path, &how);
}

int32_t ims_dir_file_make_dir(const ims_core *core, int dir, const char *name, int *fd) {
  *fd = ims_dir_file_open_dir(core, dir, name);
  if (*fd < 0 && errno == ENOENT) {
    if (core->sys->mkdirat(dir, name, 0700) != 0 && errno != EEXIST)
      return ims_code_of_errno(errno);
    *fd = ims_dir_file_open_dir(core, dir, name);
  }
  if (*fd >= 0)
    return IMGSTORE_OK;
  return errno == ELOOP || errno == ENOTDIR ? IMGSTORE_EFORMAT : ims_code_of_errno(errno);
}

static int32_t read_open(const ims_core *core, int fd, ims_buf *out) {
  for (;;) {
    size_t left = out->ceiling - out->size, room = left < READ_STEP ? left : READ_STEP;
    if (!room)
      return IMGSTORE_ELIMIT;
    int32_t rc = ims_buf_reserve(out, room);
    if (rc)
      return rc;
    ssize_t got = core->sys->pread(fd, out->data + out->size, room, (off_t)out->size);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return ims_code_of_errno(errno);
    out->size += (size_t)got;
    out->data[out->size] = '\0';
    if (!got)
      return IMGSTORE_OK;
  }
}

int32_t ims_dir_file_read(const ims_core *core, int dir, const char *name, ims_buf *out) {
  struct stat st;
  int fd = core->sys->openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
  if (fd < 0)
    return errno == ELOOP || errno == ENXIO ? IMGSTORE_EFORMAT : ims_code_of_errno(errno);
  int32_t rc = core->sys->fstat(fd, &st) ? ims_code_of_errno(errno) : IMGSTORE_OK;
  if (!rc && !S_ISREG(st.st_mode))
    rc = IMGSTORE_EFORMAT;
  if (!rc)
    rc = read_open(core, fd, out);
  core->sys->close(fd);
  return rc;
}

static int32_t write_all(const ims_core *core, int fd, const char *text, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t wrote = core->sys->pwrite(fd, text + done, size - done, (off_t)done);
    if (wrote < 0 && errno == EINTR)
      continue;
    if (wrote <= 0)
      return wrote < 0 ? ims_code_of_errno(errno) : IMGSTORE_EIO;
    done += (size_t)wrote;
  }
  return IMGSTORE_OK;
}

int32_t ims_dir_file_write(const ims_core *core, int dir, const char *name, const char *text, size_t size, bool flush) {
  int fd = core->sys->openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return ims_code_of_errno(errno);
  int32_t rc = write_all(core, fd, text, size);
  if (!rc && flush)
    rc = ims_dir_file_flush(core, fd);
  if (core->sys->close(fd) && !rc && errno != EINTR)
    rc = ims_code_of_errno(errno);
  return rc;
}

int32_t ims_dir_file_flush(const ims_core *core, int fd) {
  int n;
  do
    n = core->sys->fsync(fd);
  while (n && errno == EINTR);
  return n ? ims_code_of_errno(errno) : IMGSTORE_OK;
}

int32_t ims_dir_file_flock(const ims_core *core, int fd, int operation) {
  int n;
  do
    n = core->sys->flock(fd, operation);
  while (n && errno == EINTR);
  return n ? ims_code_of_errno(errno) : IMGSTORE_OK;
}

bool ims_dir_file_is(const ims_core *core, int dir, const char *name, int fd) {
  struct stat here, open_one;
  return core->sys->fstat(fd, &open_one) == 0 && core->sys->fstatat(dir, name, &here, AT_SYMLINK_NOFOLLOW) == 0 &&
         here.st_ino == open_one.st_ino && here.st_dev == open_one.st_dev;
}

void ims_dir_file_close(const ims_core *core, int *fd) {
  if (*fd >= 0)
    core->sys->close(*fd);
  *fd = -1;
}
