/*
 * rootfs/remove.c (L3) - removal of trees of any depth and width with one descriptor, bounded memory and no recursion.
 *
 * Going down remembers device and inode of each directory, and going back up through ".." checks them. The names of
 * subdirectories are collected in batches: when one does not fit, the directory is read again for the part of the
 * names whose hashes come next.
 */
#include "rootfs/remove.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "rootfs/apply.h"
#include "rootfs/entry_error.h"
#include "rootfs/overlay.h"

enum { READ_SIZE = 32768, BATCH_TOTAL = 4 << 20, BATCH_LEAST = 1024, RMDIR_TRIES = 16, ATTRIBUTE_MOUNT_ROOT = 0x2000 };

typedef struct level {
  dev_t dev;
  ino_t ino;
  mode_t mode; /* to be set again when the directory stays */
  bool unlocked;
  struct timespec mtime;
  char *names; /* NUL-terminated names of subdirectories, one after the other */
  size_t size, capacity, at;
  uint64_t from; /* names with hashes from here on were not collected yet */
  bool more;
} level;

typedef struct removal {
  const ims_alloc *alloc;
  const ims_sys *sys;
  bool overrides;
  ims_hash_key key;
  ims_created_set *keep; /* names to leave, or NULL: none */
  ims_tree *counts;      /* what goes is taken off its numbers; NULL: nobody asks */
  size_t *budget;        /* how many objects may go still; NULL: any number */
  const char *path;      /* for messages */
  int fd;                /* the directory of the deepest level */
  level *levels;
  size_t depth, capacity;
  size_t batch_total;
  unsigned tries; /* of one rmdir */
  char *buffer;
} removal;

static int32_t fail(removal *r, int os_errno, const char *what, ims_error *err) {
  if (r->path)
    return ims_entry_fail_os(err, os_errno, r->path, what);
  return ims_fail_os(err, os_errno, "cannot %s", what);
}

static bool is_spent(const removal *r) {
  return r->budget && !*r->budget;
}

static void spend(removal *r) {
  if (r->budget)
    --*r->budget;
}

static level *deepest(removal *r) {
  return &r->levels[r->depth - 1];
}

static int32_t keeps(removal *r, const level *l, const char *name, bool *keeps, ims_error *err) {
  *keeps = false;
  if (!r->keep)
    return IMGSTORE_OK;
  return ims_created_has(r->keep, ims_name_hash(&r->key, l->dev, l->ino, name), keeps, err);
}

/* Something mounted there, also of the same file system, is not ours to empty. */
static bool is_mounted(const removal *r, int fd) {
  struct statx st;
  return r->sys->statx(fd, "", AT_EMPTY_PATH, 0, &st) == 0 && st.stx_attributes & ATTRIBUTE_MOUNT_ROOT;
}

/* Adds a level for the directory in fd, which is taken when this succeeds. */
static int32_t push(removal *r, const ims_opened *opened, bool scan, ims_error *err) {
  struct stat st;
  if (r->sys->fstat(opened->fd, &st) != 0)
    return fail(r, errno, "look at a directory to be removed", err);
  if (r->depth && (st.st_dev != r->levels[0].dev || is_mounted(r, opened->fd)))
    return fail(r, EBUSY, "remove a mount point", err);
  if (r->depth == r->capacity) {
    size_t capacity = r->capacity ? r->capacity * 2 : 16;
    level *levels = ims_realloc_array(r->alloc, r->levels, capacity, sizeof *levels);
    if (!levels)
      return ims_fail_nomem(err);
    r->levels = levels;
    r->capacity = capacity;
  }
  level *l = &r->levels[r->depth];
  *l = (level){.dev = st.st_dev, .ino = st.st_ino, .mode = st.st_mode & 07777, .mtime = st.st_mtim, .more = scan};
  if (opened->unlocked) {
    l->mode = opened->mode;
    l->unlocked = true;
  } else if (!r->overrides && (l->mode & 0700) != 0700 && st.st_uid == geteuid()) {
    if (r->sys->fchmod(opened->fd, l->mode | 0700) != 0)
      return fail(r, errno, "open a directory to be removed", err);
    l->unlocked = true;
  }
  if (r->fd >= 0)
    r->sys->close(r->fd);
  r->fd = opened->fd;
  r->depth++;
  return IMGSTORE_OK;
}

static int32_t reserve(removal *r, level *l, size_t size, ims_error *err) {
  if (size <= l->capacity)
    return IMGSTORE_OK;
  size_t capacity = l->capacity * 2 > size ? l->capacity * 2 : size;
  char *names = ims_realloc_array(r->alloc, l->names, capacity, 1);
  if (!names)
    return ims_fail_nomem(err);
  r->batch_total += capacity - l->capacity;
  l->names = names;
  l->capacity = capacity;
  return IMGSTORE_OK;
}

/* How many bytes of names this level may hold: half of what the levels above leave. */
static size_t batch_ceiling(const removal *r, const level *l) {
  size_t others = r->batch_total - l->capacity;
  size_t left = others < BATCH_TOTAL ? (BATCH_TOTAL - others) / 2 : 0;
  return left > BATCH_LEAST ? left : BATCH_LEAST;
}

/* Drops the names with hashes of at least `end` from the batch. */
static void narrow(removal *r, level *l, uint64_t end) {
  size_t kept = 0;
  for (size_t at = 0; at < l->size;) {
    size_t size = strlen(l->names + at) + 1;
    if (ims_name_hash(&r->key, 0, 0, l->names + at) < end) {
      memmove(l->names + kept, l->names + at, size);
      kept += size;
    }
    at += size;
  }
  l->size = kept;
}

/* Remembers a subdirectory if its turn is in [from, *end); *end comes down when there are too many. */
static int32_t collect(removal *r, level *l, const char *name, uint64_t *end, ims_error *err) {
  uint64_t hash = ims_name_hash(&r->key, 0, 0, name);
  size_t size = strlen(name) + 1;
  if (hash < l->from)
    return IMGSTORE_OK;
  while (hash < *end && l->size + size > batch_ceiling(r, l) && *end - l->from > 1) {
    *end = l->from + (*end - l->from) / 2;
    narrow(r, l, *end);
  }
  if (hash >= *end)
    return IMGSTORE_OK;
  int32_t rc = reserve(r, l, l->size + size, err);
  if (rc)
    return rc;
  memcpy(l->names + l->size, name, size);
  l->size += size;
  return IMGSTORE_OK;
}

/* One name in the directory: what is not a directory goes at once. */
static int32_t visit(removal *r, level *l, const char *name, unsigned type, uint64_t *end, ims_error *err) {
  enum { DIRECTORY = 4 };
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
    return IMGSTORE_OK;
  if (type == DIRECTORY)
    return collect(r, l, name, end, err);
  bool kept;
  int32_t rc = keeps(r, l, name, &kept, err);
  if (rc)
    return rc;
  if (kept) {
    struct stat st;
    if (type)
      return IMGSTORE_OK;
    if (r->sys->fstatat(r->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
      return fail(r, errno, "look at a file", err);
    return S_ISDIR(st.st_mode) ? collect(r, l, name, end, err) : IMGSTORE_OK;
  }
  if (is_spent(r))
    return IMGSTORE_EAGAIN;
  struct stat st;
  bool counts = r->counts && r->sys->fstatat(r->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (r->sys->unlinkat(r->fd, name, 0) == 0) {
    spend(r);
    if (counts)
      ims_tree_uncount(r->counts, &st);
    return IMGSTORE_OK;
  }
  if (errno == ENOENT)
    return IMGSTORE_OK;
  if (errno == EISDIR)
    return collect(r, l, name, end, err);
  return fail(r, errno, "remove a file", err);
}

static int32_t visit_all(removal *r, level *l, size_t size, uint64_t *end, ims_error *err) {
  enum { RECLEN = 16, TYPE = 18, NAME = 19 }; /* struct linux_dirent64 */
  for (size_t at = 0; at < size;) {
    uint16_t length;
    const char *entry = r->buffer + at;
    memcpy(&length, entry + RECLEN, sizeof length);
    if (length <= NAME || length > size - at || !memchr(entry + NAME, 0, length - NAME))
      return fail(r, EIO, "read a directory", err);
    int32_t rc = visit(r, l, entry + NAME, (unsigned char)entry[TYPE], end, err);
    if (rc)
      return rc;
    at += length;
  }
  return IMGSTORE_OK;
}

/* Reads the directory from its start: removes files, fills the next batch of subdirectories. */
static int32_t scan(removal *r, ims_error *err) {
  level *l = deepest(r);
  uint64_t end = UINT64_MAX;
  l->size = l->at = 0;
  int fd = r->sys->openat(r->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0)
    return fail(r, errno, "open a directory", err);
  int32_t rc = IMGSTORE_OK;
  for (;;) {
    long size = r->sys->getdents64(fd, r->buffer, READ_SIZE);
    if (size < 0)
      rc = fail(r, errno, "read a directory", err);
    if (size > 0)
      rc = visit_all(r, l, (size_t)size, &end, err);
    if (rc || size == 0)
      break;
  }
  r->sys->close(fd);
  l->more = end != UINT64_MAX;
  l->from = end;
  return rc;
}

static int32_t descend(removal *r, ims_error *err) {
  const level *l = deepest(r);
  const char *name = l->names + l->at;
  ims_opened opened;
  int failed = ims_open_dir(r->sys, r->overrides, r->fd, name, &opened);
  if (failed)
    return fail(r, failed, "open a directory to be removed", err);
  int32_t rc = push(r, &opened, true, err);
  if (rc)
    r->sys->close(opened.fd);
  return rc;
}

static int32_t leave_as_it_was(removal *r, const level *l, int fd, ims_error *err) {
  const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, l->mtime};
  if (l->unlocked && r->sys->fchmod(fd, l->mode) != 0)
    return fail(r, errno, "set the mode of a directory", err);
  if (r->sys->futimens(fd, times) != 0)
    return fail(r, errno, "set the time of a directory", err);
  return IMGSTORE_OK;
}

/* Back to the parent; *left is the directory that was left, still open. */
static int32_t open_parent(removal *r, const level *parent, int *left, ims_error *err) {
  *left = -1;
  int fd = r->sys->openat(r->fd, "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (fd < 0)
    return fail(r, errno, "go back to a directory", err);
  struct stat st;
  int failed = r->sys->fstat(fd, &st) == 0 ? 0 : errno;
  if (!failed && (st.st_dev != parent->dev || st.st_ino != parent->ino))
    failed = EBUSY; /* somebody moved it meanwhile */
  if (failed) {
    r->sys->close(fd);
    return fail(r, failed, "go back to a directory", err);
  }
  *left = r->fd;
  r->fd = fd;
  return IMGSTORE_OK;
}

static int32_t remove_empty(removal *r, level *parent, ims_error *err) {
  const char *name = parent->names + parent->at;
  bool kept;
  int32_t rc = keeps(r, parent, name, &kept, err);
  if (rc)
    return rc;
  if (is_spent(r))
    return IMGSTORE_EAGAIN;
  int failed = kept || r->sys->unlinkat(r->fd, name, AT_REMOVEDIR) == 0 ? 0 : errno;
  if (!kept && !failed)
    spend(r);
  if (failed && failed != ENOENT) {
    bool filled = failed == ENOTEMPTY || failed == EEXIST;
    if (filled && !r->keep && r->tries++ < RMDIR_TRIES)
      return IMGSTORE_OK; /* a name was missed while names went away: once more */
    if (!filled || !r->keep)
      return fail(r, failed, "remove a directory", err);
  }
  if (!kept && !failed && r->counts)
    r->counts->inodes--;
  r->tries = 0;
  parent->at += strlen(name) + 1;
  return IMGSTORE_OK;
}

static int32_t ascend(removal *r, ims_error *err) {
  level *l = deepest(r), *parent = l - 1;
  int left;
  int32_t rc = open_parent(r, parent, &left, err);
  if (rc)
    return rc;
  if (r->keep) /* only now: the way up may lead through its mode */
    rc = leave_as_it_was(r, l, left, err);
  r->sys->close(left);
  if (rc)
    return rc;
  r->batch_total -= l->capacity;
  ims_free(r->alloc, l->names);
  r->depth--;
  return remove_empty(r, parent, err);
}

static int32_t run(removal *r, ims_error *err) {
  for (;;) {
    const level *l = deepest(r);
    int32_t rc;
    if (l->at < l->size)
      rc = descend(r, err);
    else if (l->more)
      rc = scan(r, err);
    else if (r->depth > 1)
      rc = ascend(r, err);
    else
      return IMGSTORE_OK;
    if (rc)
      return rc;
  }
}

/* name NULL: the content of dir; else only that directory in it. */
static int32_t remove_tree(removal *r, int dir, const char *name, ims_error *err) {
  ims_opened top = {.fd = r->sys->openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)};
  r->fd = -1;
  if (top.fd < 0)
    return fail(r, errno, "open a directory", err);
  r->buffer = ims_malloc(r->alloc, READ_SIZE);
  int32_t rc = r->buffer ? push(r, &top, !name, err) : ims_fail_nomem(err);
  if (rc)
    r->sys->close(top.fd);
  if (!rc && name) {
    level *l = deepest(r);
    rc = reserve(r, l, strlen(name) + 1, err);
    if (!rc) {
      memcpy(l->names, name, strlen(name) + 1);
      l->size = strlen(name) + 1;
    }
  }
  if (!rc)
    rc = run(r, err);
  while (r->depth)
    ims_free(r->alloc, r->levels[--r->depth].names);
  if (r->fd >= 0)
    r->sys->close(r->fd);
  ims_free(r->alloc, r->levels);
  ims_free(r->alloc, r->buffer);
  return rc;
}

static int32_t remove_named(ims_tree *tree, ims_dir *dir, const char *name, bool keep, const char *path,
                            ims_error *err) {
  struct stat st;
  if (tree->sys->fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? IMGSTORE_OK : ims_entry_fail_os(err, errno, path, "look at what is there");
  dir->touched = true;
  int32_t rc = S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode) ? ims_dirs_clear(&tree->dirs, err) : IMGSTORE_OK;
  if (rc)
    return rc;
  if (!S_ISDIR(st.st_mode)) {
    if (tree->sys->unlinkat(dir->fd, name, 0) != 0 && errno != ENOENT)
      return ims_entry_fail_os(err, errno, path, "remove what is there");
    ims_tree_uncount(tree, &st);
    return IMGSTORE_OK;
  }
  removal r = {
      .alloc = tree->alloc, .sys = tree->sys, .overrides = tree->may.overrides, .key = tree->key, .path = path};
  r.keep = keep ? &tree->created : NULL;
  r.counts = tree->counts ? tree : NULL;
  return remove_tree(&r, dir->fd, name, err);
}

int32_t ims_remove_entry(ims_tree *tree, ims_dir *dir, const char *name, const char *path, ims_error *err) {
  return remove_named(tree, dir, name, false, path, err);
}

/* Where the lower layers' content was hidden once, this layer's is all there is, and no further entry need look:
   *before. In the set of what the layer made, under a name that no object has. With the layers below in view, objects
   of theirs may be copied to where they were hidden, into a directory that has the number of another one. */
static int32_t note_hidden(ims_tree *tree, dev_t dev, ino_t ino, bool *before, ims_error *err) {
  uint64_t hash = ims_name_hash(&tree->key, dev, ino, "/");
  *before = false;
  if (tree->overlay && tree->overlay->view)
    return IMGSTORE_OK;
  int32_t rc = ims_created_has(&tree->created, hash, before, err);
  return rc || *before ? rc : ims_created_add(&tree->created, hash, err);
}

int32_t ims_hide_entry(ims_tree *tree, ims_dir *dir, const char *name, const char *path, ims_error *err) {
  struct stat st;
  bool kept, before = false;
  int32_t rc = ims_created_has(&tree->created, ims_name_hash(&tree->key, dir->dev, dir->ino, name), &kept, err);
  if (rc)
    return rc;
  if (tree->sys->fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? IMGSTORE_OK : ims_entry_fail_os(err, errno, path, "look at what is there");
  if (kept && !S_ISDIR(st.st_mode))
    return IMGSTORE_OK;
  if (S_ISDIR(st.st_mode))
    rc = note_hidden(tree, st.st_dev, st.st_ino, &before, err);
  return rc || before ? rc : remove_named(tree, dir, name, true, path, err);
}

int32_t ims_hide_content(ims_tree *tree, ims_dir *dir, const char *path, ims_error *err) {
  dir->touched = true;
  bool before;
  int32_t rc = note_hidden(tree, dir->dev, dir->ino, &before, err);
  if (rc || before)
    return rc;
  rc = ims_dirs_clear(&tree->dirs, err);
  if (rc)
    return rc;
  removal r = {
      .alloc = tree->alloc, .sys = tree->sys, .overrides = tree->may.overrides, .key = tree->key, .path = path};
  r.keep = &tree->created;
  r.counts = tree->counts ? tree : NULL;
  return remove_tree(&r, dir->fd, NULL, err);
}

int32_t ims_tree_remove(ims_core *core, int dir_fd, ims_error *err) {
  return ims_tree_remove_some(core, dir_fd, NULL, err);
}

int32_t ims_tree_remove_some(ims_core *core, int dir_fd, size_t *budget, ims_error *err) {
  ims_privileges may;
  removal r = {.alloc = &core->alloc, .sys = core->sys, .budget = budget};
  int32_t rc = ims_hash_key_draw(&r.key, err);
  if (rc)
    return rc;
  ims_privileges_get(core->sys, &may);
  r.overrides = may.overrides;
  return remove_tree(&r, dir_fd, NULL, err);
}
