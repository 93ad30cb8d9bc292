/*
 * rootfs/tree_cursor.c (L3) - the sorted walk. Going down remembers device and inode of each directory, and going back
 * up through ".." checks them. Must not know what entries mean.
 */
#include "rootfs/tree_cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/folder.h"
#include "rootfs/entry_error.h"
#include "rootfs/open_dir.h"
#include "rootfs/privileges.h"

enum { READ_SIZE = 32768, NAMES_TOTAL = 512 << 20, PATH_CEILING = 1 << 20 };

struct ims_cursor_level {
  dev_t dev;
  ino_t ino;
  bool unlocked; /**< its mode is to be set again */
  mode_t mode;
  size_t path_size; /**< of the directory's own path */
  char *names;      /**< NUL-terminated, one after the other */
  size_t size, capacity;
  const char **sorted; /**< into names */
  size_t count, at;
};

static ims_cursor_level *deepest(const ims_tree_cursor *c) {
  return &c->levels[c->depth - 1];
}

static int32_t fail(const ims_tree_cursor *c, int os_errno, const char *what, ims_error *err) {
  return ims_entry_fail_os(err, os_errno, ims_buf_text(&c->path), what);
}

/* --- one directory ---------------------------------------------------------------------------------------------------
 */

static int32_t add_name(ims_tree_cursor *c, ims_cursor_level *l, const char *name, ims_error *err) {
  size_t size = strlen(name) + 1;
  if (size > NAMES_TOTAL - c->names_total)
    return ims_entry_fail(err, IMGSTORE_ELIMIT, ims_buf_text(&c->path), "directory with too many entries");
  if (size > l->capacity - l->size) {
    size_t capacity = l->capacity ? l->capacity * 2 : 1024;
    char *names = ims_realloc_array(&c->core->alloc, l->names, capacity, 1);
    if (!names)
      return ims_fail_nomem(err);
    l->names = names;
    l->capacity = capacity;
  }
  memcpy(l->names + l->size, name, size);
  l->size += size;
  l->count++;
  c->names_total += size;
  return IMGSTORE_OK;
}

static int32_t read_names(ims_tree_cursor *c, ims_cursor_level *l, ims_error *err) {
  for (;;) {
    long n = c->core->sys->getdents64(c->fd, c->buffer, READ_SIZE);
    if (n < 0)
      return fail(c, errno, "read a directory", err);
    if (n == 0)
      return IMGSTORE_OK;
    size_t at = 0;
    for (const ims_folder_entry *entry; (entry = ims_folder_next(c->buffer, (size_t)n, &at));) {
      int32_t rc = add_name(c, l, entry->name, err);
      if (rc)
        return rc;
    }
    if (at != (size_t)n)
      return fail(c, EIO, "read a directory", err);
  }
}

static int by_bytes(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int32_t sort_names(ims_tree_cursor *c, ims_cursor_level *l, ims_error *err) {
  l->sorted = ims_calloc(&c->core->alloc, l->count ? l->count : 1, sizeof *l->sorted);
  if (!l->sorted)
    return ims_fail_nomem(err);
  const char *name = l->names;
  for (size_t i = 0; i < l->count; i++, name += strlen(name) + 1)
    l->sorted[i] = name;
  qsort(l->sorted, l->count, sizeof *l->sorted, by_bytes);
  return IMGSTORE_OK;
}

/** Adds a level for the directory in opened->fd, which is taken whatever happens. */
static int32_t push(ims_tree_cursor *c, const ims_opened *opened, const struct stat *st, ims_error *err) {
  if (c->fd >= 0)
    c->core->sys->close(c->fd);
  c->fd = opened->fd;
  if (c->depth == c->capacity) {
    size_t capacity = c->capacity ? c->capacity * 2 : 16;
    ims_cursor_level *levels = ims_realloc_array(&c->core->alloc, c->levels, capacity, sizeof *levels);
    if (!levels)
      return ims_fail_nomem(err);
    c->levels = levels;
    c->capacity = capacity;
  }
  ims_cursor_level *l = &c->levels[c->depth++];
  *l = (ims_cursor_level){.dev = st->st_dev, .ino = st->st_ino, .unlocked = opened->unlocked, .mode = opened->mode};
  l->path_size = c->path.size;
  int32_t rc = read_names(c, l, err);
  return rc ? rc : sort_names(c, l, err);
}

/** Forgets the deepest level, and gives its directory the mode back that it had. */
static void pop(ims_tree_cursor *c, int fd) {
  ims_cursor_level *l = deepest(c);
  if (l->unlocked && fd >= 0)
    (void)c->core->sys->fchmod(fd, l->mode);
  c->names_total -= l->size;
  ims_free(&c->core->alloc, l->names);
  ims_free(&c->core->alloc, l->sorted);
  c->depth--;
}

/* --- the walk --------------------------------------------------------------------------------------------------------
 */

int32_t ims_cursor_init(ims_tree_cursor *c, const ims_core *core, int root, ims_error *err) {
  ims_privileges may;
  struct stat st;
  memset(c, 0, sizeof *c);
  c->core = core;
  c->fd = -1;
  ims_buf_init(&c->path, &core->alloc, PATH_CEILING);
  ims_privileges_get(core->sys, &may);
  c->overrides = may.overrides;
  c->buffer = ims_malloc(&core->alloc, READ_SIZE);
  if (!c->buffer)
    return ims_fail_nomem(err);
  ims_opened top;
  int failed = ims_open_dir(core->sys, may.overrides, root, ".", &top);
  if (failed)
    return ims_fail_os(err, failed, "cannot open the directory");
  if (core->sys->fstat(top.fd, &st)) {
    failed = errno;
    core->sys->close(top.fd);
    return ims_fail_os(err, failed, "cannot look at the directory");
  }
  return push(c, &top, &st, err);
}

/** Modes that were changed on the way to here stay changed only where the way back is cut off. */
static bool climb(ims_tree_cursor *c, int *up) {
  struct stat st;
  const ims_cursor_level *parent = deepest(c) - 1;
  *up = c->core->sys->openat(c->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (*up < 0)
    return false;
  if (c->core->sys->fstat(*up, &st) == 0 && st.st_dev == parent->dev && st.st_ino == parent->ino)
    return true;
  c->core->sys->close(*up);
  errno = ESTALE;
  return false;
}

void ims_cursor_free(ims_tree_cursor *c) {
  if (!c->core)
    return;
  while (c->depth) {
    int fd = c->fd, up = -1;
    if (fd >= 0 && c->depth > 1)
      climb(c, &up);
    pop(c, fd);
    if (fd >= 0)
      c->core->sys->close(fd);
    c->fd = up;
  }
  if (c->fd >= 0)
    c->core->sys->close(c->fd);
  ims_free(&c->core->alloc, c->levels);
  ims_free(&c->core->alloc, c->buffer);
  ims_buf_free(&c->path);
  memset(c, 0, sizeof *c);
}

static int32_t set_path(ims_tree_cursor *c, size_t size, const char *name, ims_error *err) {
  c->path.size = size;
  if (c->path.data)
    c->path.data[size] = '\0';
  if (name && size)
    ims_buf_putc(&c->path, '/');
  if (name)
    ims_buf_puts(&c->path, name);
  if (!c->path.failed)
    return IMGSTORE_OK;
  return c->path.failed == IMGSTORE_ENOMEM ? ims_fail_nomem(err)
                                           : ims_fail(err, IMGSTORE_ELIMIT, "path of more than %d bytes", PATH_CEILING);
}

int32_t ims_cursor_next(ims_tree_cursor *c, int *event, ims_error *err) {
  ims_cursor_level *l = deepest(c);
  c->entering = false;
  if (l->at == l->count && l->at != SIZE_MAX) { /* said once, before it is left */
    l->at = SIZE_MAX;
    *event = c->depth > 1 ? IMS_CURSOR_LEAVE : IMS_CURSOR_END;
    return set_path(c, l->path_size, NULL, err);
  }
  if (l->at == SIZE_MAX) {
    if (c->depth == 1) {
      *event = IMS_CURSOR_END;
      return IMGSTORE_OK;
    }
    int up, left = c->fd;
    if (!climb(c, &up))
      return errno == ESTALE ? ims_entry_fail(err, IMGSTORE_ECONFLICT, ims_buf_text(&c->path),
                                              "the directory was moved while it was read")
                             : fail(c, errno, "go back up from a directory", err);
    pop(c, left);
    c->core->sys->close(left);
    c->fd = up;
    return ims_cursor_next(c, event, err); /* once: the level above is not at its end twice */
  }
  c->name = l->sorted[l->at++];
  c->entering = true;
  *event = IMS_CURSOR_ENTRY;
  return set_path(c, l->path_size, c->name, err);
}

int32_t ims_cursor_enter(ims_tree_cursor *c, const struct stat *st, ims_error *err) {
  struct stat now;
  ims_opened opened;
  if (!c->entering)
    return ims_fail(err, IMGSTORE_EINVALID, "there is no entry to go into");
  c->entering = false;
  if (c->depth >= c->core->limits.max_path_depth)
    return ims_entry_fail(err, IMGSTORE_ELIMIT, ims_buf_text(&c->path), "path has more than %llu components",
                          (unsigned long long)c->core->limits.max_path_depth);
  int failed = ims_open_dir(c->core->sys, c->overrides, c->fd, c->name, &opened);
  if (failed == ENOTDIR || failed == ELOOP || failed == ENOENT)
    return ims_entry_fail(err, IMGSTORE_ECONFLICT, ims_buf_text(&c->path), "changed while it was read");
  if (failed)
    return fail(c, failed, "open a directory", err);
  if (c->core->sys->fstat(opened.fd, &now) != 0)
    failed = errno;
  if (failed || now.st_dev != st->st_dev || now.st_ino != st->st_ino) {
    c->core->sys->close(opened.fd);
    return failed ? fail(c, failed, "look at a directory", err)
                  : ims_entry_fail(err, IMGSTORE_ECONFLICT, ims_buf_text(&c->path), "changed while it was read");
  }
  return push(c, &opened, &now, err);
}

bool ims_cursor_has(const ims_tree_cursor *c, const char *name) {
  const ims_cursor_level *l = deepest(c);
  return bsearch(&name, l->sorted, l->count, sizeof *l->sorted, by_bytes) != NULL;
}
