/*
 * rootfs/open_dir.c (L3) - opening a directory without following links; modes of what cannot be opened.
 */
#include "rootfs/open_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

enum { PROC_PATH = 40 };

static void proc_path(char out[PROC_PATH], int fd) {
  snprintf(out, PROC_PATH, "/proc/self/fd/%d", fd);
}

/* Gives the owner, who must be this process, all rights on the directory. */
static int unlock(const ims_sys *sys, int dir, const char *name, ims_opened *opened) {
  int fd = sys->openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (fd < 0)
    return errno;
  struct stat st;
  char path[PROC_PATH];
  proc_path(path, fd);
  int rc = 0;
  if (sys->fstat(fd, &st) != 0)
    rc = errno;
  else if ((st.st_mode & 0700) == 0700)
    rc = EACCES; /* something else forbids it */
  else if (sys->fchmodat(AT_FDCWD, path, (st.st_mode & 07777) | 0700) != 0)
    rc = errno == ENOENT ? EACCES : errno;
  if (!rc) {
    opened->unlocked = true;
    opened->mode = st.st_mode & 07777;
  }
  sys->close(fd);
  return rc;
}

int ims_open_dir(const ims_sys *sys, bool overrides, int dir, const char *name, ims_opened *opened) {
  const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  opened->unlocked = false;
  opened->mode = 0;
  opened->fd = sys->openat(dir, name, flags, 0);
  if (opened->fd >= 0)
    return 0;
  if (errno != EACCES || overrides)
    return errno;
  int rc = unlock(sys, dir, name, opened);
  if (rc)
    return rc;
  opened->fd = sys->openat(dir, name, flags, 0);
  return opened->fd >= 0 ? 0 : errno;
}

int ims_chmod_special(const ims_sys *sys, int dir, const char *name, mode_t mode) {
  struct stat st;
  char path[PROC_PATH];
  int fd = sys->openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
  if (fd < 0)
    return errno;
  proc_path(path, fd);
  int rc = 0;
  if (sys->fstat(fd, &st) != 0)
    rc = errno;
  else if (S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode))
    rc = EIO; /* not what was made a moment ago */
  else if (sys->fchmodat(AT_FDCWD, path, mode) != 0)
    rc = errno;
  if (rc == ENOENT) /* no /proc here */
    rc = sys->fchmodat(dir, name, mode) == 0 ? 0 : errno;
  sys->close(fd);
  return rc;
}
