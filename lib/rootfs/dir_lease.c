/*
 * rootfs/dir_lease.c (L3) - locks and leases of a rootfs directory.
 *
 * A lease is a file with one name per line, locked (flock) by the job that it belongs to: when the lock can be taken
 * the job is dead. A line is added under the shared collect lock, so that a prune either sees it or is over before the
 * job looks whether the layer is there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/folder.h"
#include "rootfs/dir_state.h"

enum { TRIES = 100, LEASE_MAX = 1 << 24 };

/* Locks are flocks on freshly opened files. A lock file may be removed by whoever has it: then the name leads elsewhere
   by now, and what was locked is worth nothing. */
int32_t ims_rootfs_dir_lock(ims_rootfs_dir *d, const char *name, int operation, int *fd, ims_error *err) {
  int dir = d->folder[IMS_ROOTFS_LOCKS];
  int32_t rc = IMGSTORE_EBUSY;
  for (int i = 0; i < TRIES; i++) {
    *fd = d->core->sys->openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*fd < 0)
      return ims_fail_os(err, errno, "rootfs directory %s: cannot open lock %s", d->path, name);
    rc = ims_dir_file_flock(d->core, *fd, operation);
    if (!rc && ims_dir_file_is(d->core, dir, name, *fd))
      return IMGSTORE_OK;
    ims_dir_file_close(d->core, fd);
    if (rc)
      break;
  }
  if (rc == IMGSTORE_EBUSY && operation & LOCK_NB)
    return rc;
  return ims_fail(err, rc ? rc : IMGSTORE_EBUSY, "rootfs directory %s: cannot lock %s", d->path, name);
}

static int32_t make_file(ims_rootfs_lease *lease) {
  ims_rootfs_dir *d = lease->dir;
  int dir = d->folder[IMS_ROOTFS_LEASES];
  for (int i = 0; i < TRIES; i++) {
    int32_t rc = ims_random_name(lease->name);
    if (rc)
      return rc;
    lease->fd = d->core->sys->openat(dir, lease->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (lease->fd < 0 && errno == EEXIST)
      continue;
    if (lease->fd < 0)
      return ims_code_of_errno(errno);
    rc = ims_dir_file_flock(d->core, lease->fd, LOCK_EX);
    if (!rc && ims_dir_file_is(d->core, dir, lease->name, lease->fd))
      return IMGSTORE_OK;
    ims_dir_file_close(d->core, &lease->fd);
    if (rc)
      return rc;
  }
  return IMGSTORE_EBUSY;
}

int32_t ims_rootfs_lease_open(ims_rootfs_lease *lease, ims_rootfs_dir *dir, ims_error *err) {
  memset(lease, 0, sizeof *lease);
  lease->fd = -1;
  lease->dir = ims_rootfs_dir_ref(dir);
  int32_t rc = dir->read_only ? IMGSTORE_OK : make_file(lease);
  if (rc) {
    ims_fail(err, rc, "rootfs directory %s: cannot make a lease", dir->path);
    ims_rootfs_lease_close(lease);
  }
  return rc;
}

static int32_t append(ims_rootfs_lease *lease, const char *line, size_t size) {
  const ims_sys *sys = lease->dir->core->sys;
  for (size_t done = 0; done < size;) {
    ssize_t wrote = sys->pwrite(lease->fd, line + done, size - done, (off_t)(lease->size + done));
    if (wrote < 0 && errno == EINTR)
      continue;
    if (wrote <= 0)
      return wrote < 0 ? ims_code_of_errno(errno) : IMGSTORE_EIO;
    done += (size_t)wrote;
  }
  lease->size += size;
  return IMGSTORE_OK;
}

int32_t ims_rootfs_lease_add(ims_rootfs_lease *lease, const ims_buf *lines, ims_error *err) {
  int collect;
  if (lease->fd < 0 || !lines->size)
    return IMGSTORE_OK;
  int32_t rc = ims_rootfs_dir_lock(lease->dir, IMS_ROOTFS_LOCK_COLLECT, LOCK_SH, &collect, err);
  if (rc)
    return rc;
  rc = append(lease, lines->data, lines->size);
  if (rc)
    ims_fail(err, rc, "rootfs directory %s: cannot write a lease", lease->dir->path);
  ims_dir_file_close(lease->dir->core, &collect);
  return rc;
}

void ims_rootfs_lease_close(ims_rootfs_lease *lease) {
  if (!lease->dir)
    return;
  ims_rootfs_dir *d = lease->dir;
  if (lease->fd >= 0)
    d->core->sys->unlinkat(d->folder[IMS_ROOTFS_LEASES], lease->name, 0);
  ims_dir_file_close(d->core, &lease->fd);
  lease->dir = NULL;
  ims_rootfs_dir_unref(d);
}

typedef struct lease_listing {
  ims_rootfs_dir *dir;
  ims_rootfs_lease_visit visit;
  void *data;
} lease_listing;

/* Half a line can only be the last one: of a job that is adding it, which the lock rules out, or died of it. */
static int32_t visit_lines(lease_listing *list, char *text) {
  int32_t rc = IMGSTORE_OK;
  for (char *end; !rc && (end = strchr(text, '\n')); text = end + 1) {
    *end = '\0';
    rc = list->visit(list->data, text);
  }
  return rc;
}

static int32_t visit_lease(void *data, const char *name, unsigned char type) {
  lease_listing *list = data;
  ims_rootfs_dir *d = list->dir;
  int dir = d->folder[IMS_ROOTFS_LEASES];
  if (type != DT_REG)
    return IMGSTORE_OK;
  int fd = d->core->sys->openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (fd < 0)
    return errno == ENOENT ? IMGSTORE_OK : ims_code_of_errno(errno);
  int32_t rc = ims_dir_file_flock(d->core, fd, LOCK_EX | LOCK_NB);
  if (rc == IMGSTORE_OK) {
    if (!d->read_only)
      d->core->sys->unlinkat(dir, name, 0);
  } else if (rc == IMGSTORE_EBUSY) {
    ims_buf text;
    ims_buf_init(&text, &d->core->alloc, LEASE_MAX);
    rc = ims_dir_file_read(d->core, dir, name, &text);
    rc = rc == IMGSTORE_ENOTFOUND ? IMGSTORE_OK : rc || !text.size ? rc : visit_lines(list, text.data);
    ims_buf_free(&text);
  }
  ims_dir_file_close(d->core, &fd);
  return rc;
}

int32_t ims_rootfs_leases(ims_rootfs_dir *dir, ims_rootfs_lease_visit visit, void *data, ims_error *err) {
  lease_listing list = {dir, visit, data};
  if (dir->folder[IMS_ROOTFS_LEASES] < 0)
    return IMGSTORE_OK;
  int32_t rc = ims_folder_scan(dir->core, dir->folder[IMS_ROOTFS_LEASES], visit_lease, &list);
  return rc ? ims_fail(err, rc, "rootfs directory %s: cannot read the leases", dir->path) : IMGSTORE_OK;
}
