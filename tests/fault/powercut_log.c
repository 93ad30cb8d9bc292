/*
 * powercut_log.c - see powercut_log.h.
 */
#include "powercut_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_OPS = 4096, MAX_NODES = 1024, MAX_NAME = 160, MAX_PATH = 1024, MAX_DATA = 1 << 20 };

enum { OP_LINK, OP_UNLINK, OP_RENAME, OP_WRITE, OP_SIZE, OP_SYNC, OP_MARK };

typedef struct op {
  int kind;
  int node; /* what is named, written or flushed */
  int dir, to_dir;
  char name[MAX_NAME], to_name[MAX_NAME];
  size_t offset, size;
  char *data;
} op;

typedef struct node {
  ino_t inode;
  bool is_dir, gone;
} node;

static op *ops;
static size_t op_count;
static node nodes[MAX_NODES];
static int node_count;
static bool recording;

/* --- recording -------------------------------------------------------------------------------------------------------
 */

static void fatal(const char *what) {
  perror(what);
  abort();
}

static op *add(int kind, int n) {
  if (op_count == MAX_OPS)
    fatal("too many calls");
  op *o = &ops[op_count++];
  memset(o, 0, sizeof *o);
  o->kind = kind;
  o->node = n;
  return o;
}

static int find_node(ino_t inode) {
  for (int i = node_count - 1; i >= 0; i--)
    if (nodes[i].inode == inode && !nodes[i].gone)
      return i;
  return -1;
}

static int add_node(ino_t inode, bool is_dir) {
  if (node_count == MAX_NODES)
    fatal("too many files");
  nodes[node_count] = (node){inode, is_dir, false};
  return node_count++;
}

static int node_of(int fd) {
  struct stat st;
  return recording && fstat(fd, &st) == 0 ? find_node(st.st_ino) : -1;
}

static int node_at(int dir, const char *name) {
  struct stat st;
  return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? find_node(st.st_ino) : -1;
}

static void record_link(int dir, const char *name, bool is_dir) {
  struct stat st;
  int parent = node_of(dir);
  if (parent < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
    return;
  op *o = add(OP_LINK, add_node(st.st_ino, is_dir));
  o->dir = parent;
  snprintf(o->name, sizeof o->name, "%s", name);
}

static int p_openat(int dir, const char *path, int flags, mode_t mode) {
  struct stat st;
  bool fresh = dir >= 0 && (flags & O_CREAT) && fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) && errno == ENOENT;
  int fd = openat(dir, path, flags, mode);
  if (fd >= 0 && fresh)
    record_link(dir, path, false);
  else if (fd >= 0 && (flags & O_TRUNC) && node_of(fd) >= 0)
    add(OP_SIZE, node_of(fd));
  return fd;
}

static ssize_t p_pwrite(int fd, const void *buffer, size_t size, off_t offset) {
  ssize_t n = pwrite(fd, buffer, size, offset);
  int file = node_of(fd);
  if (n > 0 && file >= 0) {
    op *o = add(OP_WRITE, file);
    o->offset = (size_t)offset;
    o->size = (size_t)n;
    o->data = malloc(o->size);
    memcpy(o->data, buffer, o->size);
  }
  return n;
}

static int record_size(int rc, int fd, off_t size) {
  int file = node_of(fd);
  if (rc == 0 && file >= 0)
    add(OP_SIZE, file)->size = (size_t)size;
  return rc;
}

static int p_ftruncate(int fd, off_t size) {
  return record_size(ftruncate(fd, size), fd, size);
}

static int p_fallocate(int fd, int mode, off_t offset, off_t size) {
  return record_size(fallocate(fd, mode, offset, size), fd, offset + size);
}

static int record_sync(int rc, int fd) {
  if (rc == 0 && node_of(fd) >= 0)
    add(OP_SYNC, node_of(fd));
  return rc;
}

static int p_fsync(int fd) {
  return record_sync(fsync(fd), fd);
}

static int p_fdatasync(int fd) {
  return record_sync(fdatasync(fd), fd);
}

/** The store's own directory is made by its path. */
static void record_link_by_path(const char *path) {
  const char *slash = strrchr(path, '/');
  char parent[4096];
  snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
  int fd = open(parent, O_RDONLY | O_DIRECTORY);
  if (fd < 0)
    fatal(parent);
  record_link(fd, slash ? slash + 1 : path, true);
  close(fd);
}

static int p_mkdirat(int dir, const char *path, mode_t mode) {
  int rc = mkdirat(dir, path, mode);
  if (rc == 0 && dir == AT_FDCWD)
    record_link_by_path(path);
  else if (rc == 0)
    record_link(dir, path, true);
  return rc;
}

static int p_unlinkat(int dir, const char *path, int flags) {
  int file = node_at(dir, path), parent = node_of(dir);
  int rc = unlinkat(dir, path, flags);
  if (rc == 0 && file >= 0 && parent >= 0) {
    op *o = add(OP_UNLINK, file);
    o->dir = parent;
    snprintf(o->name, sizeof o->name, "%s", path);
    nodes[file].gone = true;
  }
  return rc;
}

static int p_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  int file = node_at(from_dir, from), replaced = node_at(to_dir, to);
  int rc = renameat2(from_dir, from, to_dir, to, flags);
  if (rc || file < 0)
    return rc;
  op *o = add(OP_RENAME, file);
  o->dir = node_of(from_dir);
  o->to_dir = node_of(to_dir);
  snprintf(o->name, sizeof o->name, "%s", from);
  snprintf(o->to_name, sizeof o->to_name, "%s", to);
  if (replaced >= 0)
    nodes[replaced].gone = true;
  return rc;
}

const ims_sys powercut_sys = {
    .openat = p_openat,
    .close = close,
    .pread = pread,
    .pwrite = p_pwrite,
    .ftruncate = p_ftruncate,
    .fallocate = p_fallocate,
    .fsync = p_fsync,
    .fdatasync = p_fdatasync,
    .sync_file_range = sync_file_range, /* promises nothing */
    .fstat = fstat,
    .fstatat = fstatat,
    .mkdirat = p_mkdirat,
    .unlinkat = p_unlinkat,
    .renameat2 = p_renameat2,
    .fchmod = fchmod,
    .flock = NULL,
    .getdents64 = NULL,
};

void powercut_begin(const char *path) {
  struct stat st;
  powercut_free();
  ops = calloc(MAX_OPS, sizeof *ops);
  if (!ops || stat(path, &st))
    fatal(path);
  add_node(st.st_ino, true);
  recording = true;
}

void powercut_end(void) {
  recording = false;
}

void powercut_free(void) {
  for (size_t i = 0; i < op_count; i++)
    free(ops[i].data);
  free(ops);
  ops = NULL;
  op_count = 0;
  node_count = 0;
}

void powercut_mark(const char *text) {
  op *o = add(OP_MARK, -1);
  snprintf(o->name, sizeof o->name, "%s", text);
}

size_t powercut_instants(void) {
  return op_count + 1;
}

bool powercut_marked(size_t instant, const char *text) {
  for (size_t i = 0; i < instant; i++)
    if (ops[i].kind == OP_MARK && strcmp(ops[i].name, text) == 0)
      return true;
  return false;
}

/* --- what lasts
 * ---------------------------------------------------------------------------------------------------------- */

typedef struct entry {
  int dir, node;
  char name[MAX_NAME];
} entry;

typedef struct disk {
  entry entries[MAX_NODES];
  int entry_count;
  char *data[MAX_NODES];
  size_t size[MAX_NODES];
  uint64_t chance;
} disk;

static unsigned toss(disk *d, unsigned sides) {
  d->chance = d->chance * 6364136223846793005u + 1442695040888963407u;
  return (unsigned)(d->chance >> 33) % sides;
}

static bool synced_later(size_t i, size_t instant, int n) {
  for (size_t j = i + 1; j < instant; j++)
    if (ops[j].kind == OP_SYNC && ops[j].node == n)
      return true;
  return false;
}

/** A journal commits every earlier name with any flush. */
static bool journalled(size_t i, size_t instant) {
  for (size_t j = i + 1; j < instant; j++)
    if (ops[j].kind == OP_SYNC)
      return true;
  return false;
}

static bool name_lasts(disk *d, size_t i, size_t instant, int dir, int model, size_t journal_end) {
  if (model == POWERCUT_JOURNAL)
    return journalled(i, instant) || i < journal_end;
  if (synced_later(i, instant, dir))
    return true;
  return model == POWERCUT_NAMES || model == POWERCUT_ZEROS || model == POWERCUT_ALL ||
         (model == POWERCUT_CHANCE && toss(d, 2));
}

static void set_entry(disk *d, int dir, const char *name, int n) {
  int i = 0;
  while (i < d->entry_count && (d->entries[i].dir != dir || strcmp(d->entries[i].name, name) != 0))
    i++;
  if (n < 0) {
    if (i < d->entry_count)
      d->entries[i] = d->entries[--d->entry_count];
    return;
  }
  if (i == d->entry_count)
    d->entry_count++;
  d->entries[i].dir = dir;
  d->entries[i].node = n;
  snprintf(d->entries[i].name, MAX_NAME, "%s", name);
}

static void resize(disk *d, int n, size_t size) {
  if (size > MAX_DATA)
    fatal("file too large");
  if (!d->data[n])
    d->data[n] = calloc(1, MAX_DATA);
  if (size < d->size[n])
    memset(d->data[n] + size, 0, d->size[n] - size);
  d->size[n] = size;
}

static void apply_data(disk *d, size_t i, size_t instant, int model) {
  const op *o = &ops[i];
  bool zeros = false;
  size_t size = o->size;
  if (!synced_later(i, instant, o->node) && model != POWERCUT_ALL) {
    unsigned luck = model == POWERCUT_ZEROS                                 ? 1
                    : model == POWERCUT_JOURNAL || model == POWERCUT_CHANCE ? toss(d, 4)
                                                                            : 0;
    if (luck == 0)
      return;
    zeros = luck == 1;
    if (luck == 2 && o->kind == OP_WRITE)
      size = toss(d, (unsigned)size + 1);
  }
  if (o->kind == OP_SIZE) {
    resize(d, o->node, o->size);
    return;
  }
  if (o->offset + size > d->size[o->node] || !d->data[o->node])
    resize(d, o->node, o->offset + size > d->size[o->node] ? o->offset + size : d->size[o->node]);
  if (zeros)
    memset(d->data[o->node] + o->offset, 0, size);
  else
    memcpy(d->data[o->node] + o->offset, o->data, size);
}

static void apply(disk *d, size_t i, size_t instant, int model, size_t journal_end) {
  const op *o = &ops[i];
  if (o->kind == OP_LINK && name_lasts(d, i, instant, o->dir, model, journal_end))
    set_entry(d, o->dir, o->name, o->node);
  else if (o->kind == OP_UNLINK && name_lasts(d, i, instant, o->dir, model, journal_end))
    set_entry(d, o->dir, o->name, -1);
  else if (o->kind == OP_RENAME) {
    if (name_lasts(d, i, instant, o->to_dir, model, journal_end))
      set_entry(d, o->to_dir, o->to_name, o->node);
    if (name_lasts(d, i, instant, o->dir, model, journal_end))
      set_entry(d, o->dir, o->name, -1);
  } else if (o->kind == OP_WRITE || o->kind == OP_SIZE)
    apply_data(d, i, instant, model);
}

/* --- building
 * ------------------------------------------------------------------------------------------------------------ */

static void build_file(const disk *d, int n, const char *path, char made[MAX_NODES][MAX_PATH]) {
  if (made[n][0]) {
    if (link(made[n], path))
      fatal(path);
    return;
  }
  int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0644);
  if (fd < 0 || (d->size[n] && write(fd, d->data[n], d->size[n]) != (ssize_t)d->size[n]) || close(fd))
    fatal(path);
  snprintf(made[n], MAX_PATH, "%.*s", MAX_PATH - 1, path);
}

/** Directories are made before what is in them: a node's number is higher than its parent's. */
static void build_tree(const disk *d, const char *path) {
  static char made[MAX_NODES][MAX_PATH];
  memset(made, 0, sizeof made);
  if (mkdir(path, 0755))
    fatal(path);
  snprintf(made[0], sizeof made[0], "%s", path);
  for (int dir = 0; dir < node_count; dir++)
    for (int i = 0; nodes[dir].is_dir && made[dir][0] && i < d->entry_count; i++) {
      const entry *e = &d->entries[i];
      char sub[MAX_PATH];
      if (e->dir != dir)
        continue;
      if ((size_t)snprintf(sub, sizeof sub, "%.700s/%.200s", made[dir], e->name) >= sizeof sub)
        fatal(sub);
      if (!nodes[e->node].is_dir)
        build_file(d, e->node, sub, made);
      else if (mkdir(sub, 0755))
        fatal(sub);
      else
        snprintf(made[e->node], sizeof made[0], "%s", sub);
    }
}

void powercut_build(size_t instant, int model, unsigned seed, const char *path) {
  disk *d = calloc(1, sizeof *d);
  if (!d)
    fatal("disk");
  d->chance = seed * 2654435761u + instant + 1;
  size_t journal_end = toss(d, (unsigned)instant + 1);
  for (size_t i = 0; i < instant; i++)
    apply(d, i, instant, model, journal_end);
  build_tree(d, path);
  for (int i = 0; i < node_count; i++)
    free(d->data[i]);
  free(d);
}
