/*
 * rootfs/unnamed_file.c (L3) - O_TMPFILE, or a file that is unlinked at once where the file system has no O_TMPFILE.
 */
#include "rootfs/unnamed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>

enum { NAME_TRIES = 16 };

static int make_and_unlink(const ims_sys *sys, int dir, mode_t mode) {
  for (int i = 0; i < NAME_TRIES; i++) {
    uint64_t random;
    char name[40];
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
      return -1;
    snprintf(name, sizeof name, ".imgstore-%016llx", (unsigned long long)random);
    int fd = sys->openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0 && errno == EEXIST)
      continue;
    if (fd >= 0 && sys->unlinkat(dir, name, 0) != 0) {
      int saved = errno;
      sys->close(fd);
      errno = saved;
      return -1;
    }
    return fd;
  }
  errno = EEXIST;
  return -1;
}

int ims_unnamed_file(const ims_sys *sys, int dir, mode_t mode) {
  int fd = sys->openat(dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, mode);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT))
    return fd;
  return make_and_unlink(sys, dir, mode);
}
