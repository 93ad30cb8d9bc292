/*
 * rootfs/tree_usage.c (L3) - counts what a directory tree holds. Must not know what the tree is for.
 */
#include "rootfs/tree_usage.h"

#include <errno.h>
#include <fcntl.h>

#include "rootfs/entry_error.h"
#include "rootfs/link_table.h"
#include "rootfs/tree_cursor.h"

enum { TRIES = 3 };

typedef struct counting {
  ims_tree_cursor cursor;
  ims_link_table links;
  ims_tree_usage usage;
  dev_t device;
  int32_t missed; /**< the first failure that only left something out, said in *err */
} counting;

/* The first one is kept in err; the walk goes on. */
static int32_t miss(counting *c, int32_t rc, const ims_error *why, ims_error *err) {
  if (rc == IMGSTORE_ENOMEM) {
    *err = *why;
    return rc;
  }
  if (!c->missed) {
    c->missed = rc;
    *err = *why;
  }
  return IMGSTORE_OK;
}

static int32_t enter(counting *c, const struct stat *st, ims_error *err) {
  ims_error why = IMS_ERROR_INIT;
  const size_t depth = c->cursor.depth;
  if (st->st_dev != c->device)
    return IMGSTORE_OK;
  int32_t rc = ims_cursor_enter(&c->cursor, st, &why);
  if (rc && c->cursor.depth != depth) { /* half read: there is no going on from here */
    *err = why;
    return rc;
  }
  return rc && rc != IMGSTORE_ECONFLICT ? miss(c, rc, &why, err) : IMGSTORE_OK;
}

static int32_t count_entry(counting *c, ims_error *err) {
  struct stat st;
  const char *first = NULL, *path = c->cursor.path.data;
  ims_error why = IMS_ERROR_INIT;
  if (c->cursor.core->sys->fstatat(c->cursor.fd, c->cursor.name, &st, AT_SYMLINK_NOFOLLOW)) {
    const int failed = errno;
    return failed == ENOENT ? IMGSTORE_OK : miss(c, ims_entry_fail_os(&why, failed, path, "look at it"), &why, err);
  }
  if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
    int32_t rc = ims_links_meet(&c->links, &st, "", &first, err);
    if (rc || first)
      return rc;
  }
  c->usage.inodes++;
  if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
    c->usage.bytes += (uint64_t)st.st_size;
  return S_ISDIR(st.st_mode) ? enter(c, &st, err) : IMGSTORE_OK;
}

static int32_t walk(counting *c, ims_error *err) {
  int event = IMS_CURSOR_ENTRY;
  int32_t rc = IMGSTORE_OK;
  while (!rc && event != IMS_CURSOR_END) {
    rc = ims_cursor_next(&c->cursor, &event, err);
    if (!rc && event == IMS_CURSOR_ENTRY)
      rc = count_entry(c, err);
  }
  return rc;
}

static int32_t count_once(counting *c, const ims_core *core, int directory, ims_error *err) {
  struct stat st;
  *c = (counting){.device = 0};
  int32_t rc = ims_links_init(&c->links, &core->alloc, err);
  if (!rc && core->sys->fstat(directory, &st))
    rc = ims_fail_os(err, errno, "cannot look at the directory");
  if (!rc) {
    c->device = st.st_dev;
    rc = ims_cursor_init(&c->cursor, core, directory, err);
  }
  c->cursor.overrides = true; /* no mode is changed to get in */
  if (!rc)
    rc = walk(c, err);
  ims_cursor_free(&c->cursor);
  ims_links_free(&c->links);
  return rc ? rc : c->missed;
}

int32_t ims_tree_usage_add(ims_tree_usage *usage, const ims_core *core, int directory, ims_error *err) {
  counting c;
  int32_t rc = IMGSTORE_ECONFLICT;
  /* A directory that is moved while the walk is in it ends the walk. */
  for (int i = 0; i < TRIES && rc == IMGSTORE_ECONFLICT; i++) {
    ims_error why = IMS_ERROR_INIT;
    rc = count_once(&c, core, directory, &why);
    if (rc)
      *err = why;
  }
  usage->bytes += c.usage.bytes;
  usage->inodes += c.usage.inodes;
  return rc;
}
