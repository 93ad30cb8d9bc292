/*
 * engine/temp_file.c (L4) - new files that nobody sees.
 */
#include "engine/temp_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>

enum { NAME_TRIES = 16 };

int32_t ims_temp_name(char name[IMS_TEMP_NAME], const char *what, ims_error *err) {
  uint64_t random;
  if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
    return ims_fail_os(err, errno, "%s: cannot make a name", what);
  snprintf(name, IMS_TEMP_NAME, ".imgstore-%016llx.tmp", (unsigned long long)random);
  return IMGSTORE_OK;
}

static int32_t open_named(const ims_core *core, int dir, int access, mode_t mode, int *fd, char name[IMS_TEMP_NAME],
                          const char *what, ims_error *err) {
  for (int i = 0; i < NAME_TRIES; i++) {
    int32_t rc = ims_temp_name(name, what, err);
    if (rc)
      return rc;
    *fd = core->sys->openat(dir, name, access | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (*fd >= 0)
      return IMGSTORE_OK;
    if (errno != EEXIST)
      break;
  }
  name[0] = '\0';
  return ims_fail_os(err, errno, "%s: cannot make a file", what);
}

int32_t ims_temp_open(const ims_core *core, int dir, int access, mode_t mode, int *fd, char name[IMS_TEMP_NAME],
                      const char *what, ims_error *err) {
  name[0] = '\0';
  *fd = core->sys->openat(dir, ".", access | O_TMPFILE | O_CLOEXEC, mode);
  if (*fd >= 0)
    return IMGSTORE_OK;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT)
    return ims_fail_os(err, errno, "%s: cannot make a file", what);
  return open_named(core, dir, access, mode, fd, name, what, err);
}

int32_t ims_temp_open_unnamed(const ims_core *core, const char *folder, int *fd, ims_error *err) {
  char name[IMS_TEMP_NAME];
  *fd = -1;
  int dir = core->sys->openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (dir < 0)
    return ims_fail_os(err, errno, "%s: cannot open the folder for temporary files", folder);
  int32_t rc = ims_temp_open(core, dir, O_RDWR, 0600, fd, name, folder, err);
  if (!rc && name[0] && core->sys->unlinkat(dir, name, 0))
    rc = ims_fail_os(err, errno, "%s/%s: cannot remove its name", folder, name);
  core->sys->close(dir);
  if (rc && *fd >= 0) {
    core->sys->close(*fd);
    *fd = -1;
  }
  return rc;
}
