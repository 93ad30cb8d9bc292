/*
 * rootfs/lower_stack.c (L3) - the merged view of lower directories. For each directory on the way down it is remembered
 * which of them have it, so that what lies below is looked for there only.
 */
#include "rootfs/lower_stack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/folder.h"
#include "rootfs/entry_error.h"
#include "tar/whiteout.h"

enum { CHUNK = 4000, NAMES_CEILING = 512 << 20, READ_SIZE = 32768 };

/** A lower directory that has the directory of a level. */
typedef struct lower_place {
  size_t index;
  bool xwhiteouts; /**< whiteouts in it may be files with an attribute */
} lower_place;

struct ims_lower_level {
  lower_place *places; /**< uppermost first; those below an opaque one are left out */
  size_t count;
};

/* --- opening ---------------------------------------------------------------------------------------------------------
 */

static int open_one(const ims_sys *sys, int dir, const char *path, int flags) {
  const ims_open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOFOLLOW),
                            .resolve = IMS_RESOLVE_BENEATH | IMS_RESOLVE_NO_SYMLINKS | IMS_RESOLVE_NO_MAGICLINKS};
  return sys->openat2(dir, path, &how);
}

/** Where the first piece of path, of at most CHUNK bytes or one component, ends. */
static size_t piece_of(const char *path, bool single) {
  size_t size = strlen(path);
  if (!single && size <= CHUNK)
    return size;
  const char *first = strchr(path, '/');
  size_t end = first ? (size_t)(first - path) : size;
  while (!single && end < size) {
    const char *next = strchr(path + end + 1, '/');
    size_t at = next ? (size_t)(next - path) : size;
    if (at > CHUNK)
      break;
    end = at;
  }
  return end;
}

/** As openat2 beneath root without links, for a path of any length and on kernels that lack it. -1 and errno. */
static int open_beneath(const ims_sys *sys, int root, const char *path, int flags) {
  char piece[CHUNK + 1];
  bool single = false;
  int dir = root;
  for (;;) {
    size_t size = piece_of(path, single);
    const bool last = path[size] == '\0';
    const int how = last ? flags : O_PATH | O_DIRECTORY;
    if (size > CHUNK) {
      errno = ENAMETOOLONG;
      break;
    }
    memcpy(piece, path, size);
    piece[size] = '\0';
    int fd = single ? sys->openat(dir, piece, how | O_NOFOLLOW | O_CLOEXEC, 0) : open_one(sys, dir, piece, how);
    if (fd < 0 && errno == ENOSYS && !single) {
      single = true;
      continue;
    }
    int failed = errno;
    if (dir != root)
      sys->close(dir);
    errno = failed;
    if (fd < 0 || last)
      return fd;
    dir = fd;
    path += size + 1;
  }
  if (dir != root)
    sys->close(dir);
  errno = ENAMETOOLONG;
  return -1;
}

static bool is_absent(int os_errno) {
  return os_errno == ENOENT || os_errno == ENOTDIR || os_errno == ELOOP;
}

/* --- one lower directory ---------------------------------------------------------------------------------------------
 */

enum { HERE_NOTHING, HERE_HIDDEN, HERE_FOUND };

static uint32_t mark_of(const ims_lower_stack *s, int fd, const char *part) {
  static const struct {
    int32_t kind;
    const char *prefix;
  } prefixes[] = {{IMS_MARKS_TRUSTED, "trusted.overlay."}, {IMS_MARKS_USER, "user.overlay."}};
  uint32_t marks = 0;
  for (size_t i = 0; i < 2; i++) {
    char name[64], value[8];
    if (!(s->marks & prefixes[i].kind))
      continue;
    snprintf(name, sizeof name, "%s%s", prefixes[i].prefix, part);
    ssize_t n = s->core->sys->fgetxattr(fd, name, value, sizeof value);
    if (n >= 0)
      marks |= ims_overlay_mark(s->marks, name, value, (size_t)n);
  }
  return marks;
}

static bool is_xwhiteout(const ims_lower_stack *s, const lower_place *place, const char *path, const struct stat *st) {
  if (!place->xwhiteouts || !S_ISREG(st->st_mode) || st->st_size)
    return false;
  int fd = open_beneath(s->core->sys, s->roots[place->index], path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  uint32_t marks = fd < 0 ? 0 : mark_of(s, fd, "whiteout");
  if (fd >= 0)
    s->core->sys->close(fd);
  return marks & IMS_MARK_WHITEOUT;
}

/** What one lower directory says about path: HERE_*. */
static int32_t look(const ims_lower_stack *s, const lower_place *place, const char *path, int *here, struct stat *st,
                    ims_error *err) {
  *here = HERE_NOTHING;
  int fd = open_beneath(s->core->sys, s->roots[place->index], path, O_PATH);
  if (fd < 0)
    return is_absent(errno) ? IMGSTORE_OK : ims_entry_fail_os(err, errno, path, "look at it in a lower directory");
  int failed = s->core->sys->fstat(fd, st) ? errno : 0;
  s->core->sys->close(fd);
  if (failed)
    return ims_entry_fail_os(err, failed, path, "look at it in a lower directory");
  *here = ims_is_whiteout_device(st) || is_xwhiteout(s, place, path, st) ? HERE_HIDDEN : HERE_FOUND;
  return IMGSTORE_OK;
}

int32_t ims_lowers_find(ims_lower_stack *s, const char *path, bool *found, struct stat *st, ims_error *err) {
  const ims_lower_level *l = &s->levels[s->depth - 1];
  int here = HERE_NOTHING;
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; i < l->count && !rc && here == HERE_NOTHING; i++)
    rc = look(s, &l->places[i], path, &here, st, err);
  *found = here == HERE_FOUND;
  return rc;
}

int32_t ims_lowers_open(ims_lower_stack *s, const char *path, int *fd, ims_error *err) {
  const ims_lower_level *l = &s->levels[s->depth - 1];
  *fd = -1;
  for (size_t i = 0; i < l->count; i++) {
    *fd = open_beneath(s->core->sys, s->roots[l->places[i].index], path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (*fd >= 0)
      return IMGSTORE_OK;
    if (!is_absent(errno))
      return ims_entry_fail_os(err, errno, path, "open it in a lower directory");
  }
  return ims_entry_fail(err, IMGSTORE_ECONFLICT, path, "changed in a lower directory while it was read");
}

int32_t ims_lowers_readlink(ims_lower_stack *s, const char *path, char *target, size_t size, ssize_t *got,
                            ims_error *err) {
  const ims_lower_level *l = &s->levels[s->depth - 1];
  *got = -1;
  for (size_t i = 0; i < l->count && *got < 0; i++) {
    int fd = open_beneath(s->core->sys, s->roots[l->places[i].index], path, O_PATH);
    if (fd < 0 && is_absent(errno))
      continue;
    if (fd < 0)
      return ims_entry_fail_os(err, errno, path, "look at it in a lower directory");
    *got = s->core->sys->readlinkat(fd, "", target, size);
    int failed = errno;
    s->core->sys->close(fd);
    if (*got < 0)
      return ims_entry_fail_os(err, failed, path, "read a link in a lower directory");
  }
  return IMGSTORE_OK;
}

/* --- levels ----------------------------------------------------------------------------------------------------------
 */

static int32_t push(ims_lower_stack *s, size_t places, ims_error *err) {
  if (s->depth == s->capacity) {
    size_t capacity = s->capacity ? s->capacity * 2 : 16;
    ims_lower_level *levels = ims_realloc_array(&s->core->alloc, s->levels, capacity, sizeof *levels);
    if (!levels)
      return ims_fail_nomem(err);
    s->levels = levels;
    s->capacity = capacity;
  }
  lower_place *list = ims_calloc(&s->core->alloc, places ? places : 1, sizeof *list);
  if (!list)
    return ims_fail_nomem(err);
  s->levels[s->depth++] = (ims_lower_level){list, 0};
  return IMGSTORE_OK;
}

void ims_lowers_leave(ims_lower_stack *s) {
  ims_free(&s->core->alloc, s->levels[--s->depth].places);
}

/** Adds a lower directory that has the new level's directory; *opaque: what is below it does not count. */
static int32_t add_place(ims_lower_stack *s, size_t index, const char *path, bool *opaque, ims_error *err) {
  ims_lower_level *l = &s->levels[s->depth - 1];
  int fd = open_beneath(s->core->sys, s->roots[index], *path ? path : ".", O_RDONLY | O_DIRECTORY);
  if (fd < 0)
    return is_absent(errno) ? IMGSTORE_OK : ims_entry_fail_os(err, errno, path, "open it in a lower directory");
  uint32_t marks = mark_of(s, fd, "opaque");
  s->core->sys->close(fd);
  *opaque = marks & IMS_MARK_OPAQUE;
  l->places[l->count++] = (lower_place){index, marks & IMS_MARK_XWHITEOUTS};
  return IMGSTORE_OK;
}

int32_t ims_lowers_enter(ims_lower_stack *s, const char *path, ims_error *err) {
  const size_t above = s->levels[s->depth - 1].count;
  int32_t rc = push(s, above, err);
  bool ends = false;
  for (size_t i = 0; i < above && !rc && !ends; i++) {
    const lower_place place = s->levels[s->depth - 2].places[i];
    struct stat st;
    int here;
    rc = look(s, &place, path, &here, &st, err);
    if (rc || here == HERE_NOTHING)
      continue;
    ends = here == HERE_HIDDEN || !S_ISDIR(st.st_mode);
    if (!ends)
      rc = add_place(s, place.index, path, &ends, err);
  }
  return rc;
}

int32_t ims_lowers_init(ims_lower_stack *s, const ims_core *core, size_t count, int32_t marks, ims_lower_open open,
                        void *data, ims_error *err) {
  memset(s, 0, sizeof *s);
  s->core = core;
  s->marks = marks;
  s->roots = ims_calloc(&core->alloc, count ? count : 1, sizeof *s->roots);
  if (!s->roots)
    return ims_fail_nomem(err);
  int32_t rc = push(s, count, err);
  for (; s->count < count && !rc; s->count += !rc)
    rc = open(data, s->count, &s->roots[s->count], err);
  bool opaque = false; /* of a root it means nothing */
  for (size_t i = 0; i < count && !rc; i++)
    rc = add_place(s, i, "", &opaque, err);
  return rc;
}

void ims_lowers_free(ims_lower_stack *s) {
  if (!s->core)
    return;
  while (s->depth)
    ims_lowers_leave(s);
  for (size_t i = 0; i < s->count; i++)
    s->core->sys->close(s->roots[i]);
  ims_free(&s->core->alloc, s->levels);
  ims_free(&s->core->alloc, s->roots);
  memset(s, 0, sizeof *s);
}

/* --- names -----------------------------------------------------------------------------------------------------------
 */

static int32_t read_names(const ims_lower_stack *s, int fd, char *buffer, ims_name_list *names, ims_error *err) {
  for (;;) {
    long n = s->core->sys->getdents64(fd, buffer, READ_SIZE);
    if (n < 0)
      return ims_fail_os(err, errno, "cannot read a lower directory");
    if (n == 0)
      return IMGSTORE_OK;
    size_t at = 0;
    for (const ims_folder_entry *entry; (entry = ims_folder_next(buffer, (size_t)n, &at));) {
      if (ims_buf_append(&names->text, entry->name, strlen(entry->name) + 1))
        return names->text.failed == IMGSTORE_ENOMEM
                   ? ims_fail_nomem(err)
                   : ims_fail(err, IMGSTORE_ELIMIT, "directory with too many entries");
      names->count++;
    }
    if (at != (size_t)n)
      return ims_fail_os(err, EIO, "cannot read a lower directory");
  }
}

static int by_bytes(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int32_t sort_names(const ims_lower_stack *s, ims_name_list *names, ims_error *err) {
  names->items = ims_calloc(&s->core->alloc, names->count ? names->count : 1, sizeof *names->items);
  if (!names->items)
    return ims_fail_nomem(err);
  const char *name = names->text.data;
  for (size_t i = 0; i < names->count; i++, name += strlen(name) + 1)
    names->items[i] = name;
  qsort(names->items, names->count, sizeof *names->items, by_bytes);
  size_t kept = 0;
  for (size_t i = 0; i < names->count; i++)
    if (!kept || strcmp(names->items[kept - 1], names->items[i]) != 0)
      names->items[kept++] = names->items[i];
  names->count = kept;
  return IMGSTORE_OK;
}

int32_t ims_lowers_names(ims_lower_stack *s, const char *path, ims_name_list *names, ims_error *err) {
  const ims_lower_level *l = &s->levels[s->depth - 1];
  memset(names, 0, sizeof *names);
  ims_buf_init(&names->text, &s->core->alloc, NAMES_CEILING);
  char *buffer = ims_malloc(&s->core->alloc, READ_SIZE);
  int32_t rc = buffer ? IMGSTORE_OK : ims_fail_nomem(err);
  for (size_t i = 0; i < l->count && !rc; i++) {
    int fd = open_beneath(s->core->sys, s->roots[l->places[i].index], *path ? path : ".", O_RDONLY | O_DIRECTORY);
    if (fd < 0)
      rc = ims_entry_fail_os(err, errno, path, "open it in a lower directory");
    else
      rc = read_names(s, fd, buffer, names, err);
    if (fd >= 0)
      s->core->sys->close(fd);
  }
  ims_free(&s->core->alloc, buffer);
  if (!rc)
    rc = sort_names(s, names, err);
  if (rc)
    ims_name_list_free(names);
  return rc;
}

void ims_name_list_free(ims_name_list *names) {
  if (names->text.alloc)
    ims_free(names->text.alloc, names->items);
  ims_buf_free(&names->text);
  memset(names, 0, sizeof *names);
}
