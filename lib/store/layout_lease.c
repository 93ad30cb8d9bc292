/*
 * store/layout_lease.c (L3) - leases of running jobs, and the lock between publishers and collection.
 *
 * A lease is a file with one digest per line, locked (flock) by the job that it belongs to: when the lock can be taken
 * the job is dead. A line is added under the publishers' shared lock, so that a collection either sees it or is over
 * before the job tests whether the blob exists.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/folder.h"
#include "store/layout.h"

enum { LEASE_TRIES = 100, LEASE_MAX = 64 * 1024 * 1024, LEASE_NAME = 64 };

typedef struct open_lease {
  int fd;      /**< -1: of a read-only store, which nobody else's collection knows */
  int publish; /**< the publishers' lock file, locked only while a line is added */
  uint64_t size;
  char name[LEASE_NAME];
} open_lease;

typedef struct held_lock {
  int fd;
  bool exclusive;
} held_lock;

/* --- leases ------------------------------------------------------------------------------------------------------- */

/** A collector may take the new file for a dead lease before it is locked: then it is gone, and we try again. */
static int32_t make_lease_file(ims_layout *l, open_lease *lease) {
  int dir = l->folder[IMS_LAYOUT_LEASES];
  for (int i = 0; i < LEASE_TRIES; i++) {
    char random[IMS_LAYOUT_RANDOM];
    ims_layout_random(random);
    snprintf(lease->name, sizeof lease->name, "%ld-%s", (long)getpid(), random);
    lease->fd = l->sys->openat(dir, lease->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (lease->fd < 0 && errno == EEXIST)
      continue;
    if (lease->fd < 0)
      return ims_code_of_errno(errno);
    int32_t rc = ims_layout_flock(l, lease->fd, LOCK_EX);
    if (!rc && ims_layout_same_file(l, dir, lease->name, lease->fd))
      return IMGSTORE_OK;
    ims_layout_close(l, &lease->fd);
    if (rc)
      return rc;
  }
  return IMGSTORE_EBUSY;
}

static void lease_close(void *user_data, void *data) {
  ims_layout *l = user_data;
  open_lease *lease = data;
  if (lease->fd >= 0)
    l->sys->unlinkat(l->folder[IMS_LAYOUT_LEASES], lease->name, 0);
  ims_layout_close(l, &lease->fd);
  ims_layout_close(l, &lease->publish);
  ims_free(&l->core->alloc, lease);
}

static int32_t lease_open(void *user_data, void **data) {
  ims_layout *l = user_data;
  *data = NULL;
  open_lease *lease = ims_calloc(&l->core->alloc, 1, sizeof *lease);
  if (!lease)
    return IMGSTORE_ENOMEM;
  lease->fd = lease->publish = -1;
  int32_t rc = IMGSTORE_OK;
  if (!l->read_only)
    rc = ims_layout_lock_file(l, IMS_LAYOUT_LOCK_PUBLISH, LOCK_UN, &lease->publish);
  if (!rc && !l->read_only)
    rc = make_lease_file(l, lease);
  if (rc) {
    lease_close(l, lease);
    return rc;
  }
  *data = lease;
  return IMGSTORE_OK;
}

static int32_t append_lines(ims_layout *l, open_lease *lease, const char *lines, size_t size) {
  if (lease->fd < 0)
    return IMGSTORE_OK;
  int32_t rc = ims_layout_flock(l, lease->publish, LOCK_SH);
  if (rc)
    return rc;
  rc = ims_layout_pwrite(l, lease->fd, lease->size, lines, size);
  if (!rc)
    lease->size += (uint64_t)size;
  ims_layout_flock(l, lease->publish, LOCK_UN);
  return rc;
}

static int32_t lease_add(void *user_data, void *data, const char *digest) {
  char line[IMS_DIGEST_TEXT + 1];
  int length = snprintf(line, sizeof line, "%s\n", digest);
  if (length < 0 || (size_t)length >= sizeof line)
    return IMGSTORE_EINVALID;
  return append_lines(user_data, data, line, (size_t)length);
}

static int32_t lease_add_all(void *user_data, void *data, const char *const *digests, size_t count) {
  ims_layout *l = user_data;
  ims_buf lines;
  ims_buf_init(&lines, &l->core->alloc, SIZE_MAX);
  for (size_t i = 0; i < count; i++)
    ims_buf_printf(&lines, "%s\n", digests[i]);
  int32_t rc = lines.failed ? IMGSTORE_ENOMEM
               : lines.size ? append_lines(l, data, lines.data, lines.size)
                            : IMGSTORE_OK;
  ims_buf_free(&lines);
  return rc;
}

typedef struct lease_listing {
  ims_layout *layout;
  imgstore_blob_visit visit;
  void *visit_data;
} lease_listing;

/** Half a line can only be the last one: of a job that is adding it now and has not tested for existence yet. */
static int32_t visit_lines(lease_listing *list, const ims_buf *text) {
  const char *at = ims_buf_text(text), *end = at + text->size;
  while (at < end) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    ims_digest digest;
    if (!stop)
      break;
    if (ims_digest_parse(&digest, at, (size_t)(stop - at), NULL) == IMGSTORE_OK) {
      int32_t rc = list->visit(list->visit_data, digest.text, 0);
      if (rc)
        return rc;
    }
    at = stop + 1;
  }
  return IMGSTORE_OK;
}

static int32_t visit_lease(void *data, const char *name, unsigned char type) {
  lease_listing *list = data;
  ims_layout *l = list->layout;
  int dir = l->folder[IMS_LAYOUT_LEASES], fd;
  struct stat st;
  if (type != DT_REG)
    return IMGSTORE_OK;
  int32_t rc = ims_layout_open_regular(l, dir, name, &fd, &st);
  if (rc)
    return rc == IMGSTORE_ENOTFOUND ? IMGSTORE_OK : rc;
  rc = ims_layout_flock(l, fd, LOCK_EX | LOCK_NB);
  if (rc == IMGSTORE_OK) {
    if (!l->read_only)
      l->sys->unlinkat(dir, name, 0);
  } else if (rc == IMGSTORE_EBUSY) {
    ims_buf text;
    ims_buf_init(&text, &l->core->alloc, LEASE_MAX);
    rc = ims_layout_read_file(l, dir, name, &text);
    rc = rc == IMGSTORE_ENOTFOUND ? IMGSTORE_OK : rc ? rc : visit_lines(list, &text);
    ims_buf_free(&text);
  }
  ims_layout_close(l, &fd);
  return rc;
}

static int32_t lease_list(void *user_data, imgstore_blob_visit visit, void *visit_data) {
  ims_layout *l = user_data;
  lease_listing list = {l, visit, visit_data};
  if (l->folder[IMS_LAYOUT_LEASES] < 0)
    return IMGSTORE_OK;
  return ims_folder_scan(l->core, l->folder[IMS_LAYOUT_LEASES], visit_lease, &list);
}

/* --- the lock ----------------------------------------------------------------------------------------------------- */

static int32_t lock(void *user_data, int32_t exclusive, void **data) {
  ims_layout *l = user_data;
  *data = NULL;
  if (l->read_only && exclusive)
    return IMGSTORE_EACCESS;
  held_lock *held = ims_calloc(&l->core->alloc, 1, sizeof *held);
  if (!held)
    return IMGSTORE_ENOMEM;
  held->fd = -1;
  held->exclusive = exclusive != 0;
  int32_t rc = IMGSTORE_OK;
  if (!l->read_only)
    rc = ims_layout_lock_file(l, IMS_LAYOUT_LOCK_PUBLISH, exclusive ? LOCK_EX : LOCK_SH, &held->fd);
  if (rc) {
    ims_free(&l->core->alloc, held);
    return rc;
  }
  if (held->exclusive)
    atomic_fetch_add(&l->exclusive, 1);
  *data = held;
  return IMGSTORE_OK;
}

static int32_t unlink_trash(void *data, const char *name, unsigned char type) {
  ims_layout *l = data;
  l->sys->unlinkat(l->folder[IMS_LAYOUT_TRASH], name, type == DT_DIR ? AT_REMOVEDIR : 0);
  return IMGSTORE_OK;
}

static void unlock(void *user_data, void *data) {
  ims_layout *l = user_data;
  held_lock *held = data;
  bool exclusive = held->exclusive;
  if (exclusive)
    atomic_fetch_sub(&l->exclusive, 1);
  ims_layout_close(l, &held->fd);
  ims_free(&l->core->alloc, held);
  /* What a killed collection left there goes too. */
  if (exclusive)
    (void)ims_folder_scan(l->core, l->folder[IMS_LAYOUT_TRASH], unlink_trash, l);
}

void ims_layout_lease_entries(imgstore_storage *storage) {
  storage->lease_open = lease_open;
  storage->lease_add = lease_add;
  storage->lease_add_all = lease_add_all;
  storage->lease_close = lease_close;
  storage->lease_list = lease_list;
  storage->lock = lock;
  storage->unlock = unlock;
}
