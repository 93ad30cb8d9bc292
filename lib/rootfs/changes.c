/*
 * rootfs/changes.c (L3) - walks a directory and the merged view of the lower ones side by side.
 *
 * Whether lower names that the directory lacks are deleted depends: in an upper directory only whiteouts delete, unless
 * it is opaque; in a whole tree whatever is not there was deleted.
 */
#include "rootfs/changes.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "rootfs/disk_entry.h"
#include "rootfs/entry_error.h"
#include "tar/whiteout.h"

enum { PATH_CEILING = 1 << 20, TARGET = 4096 };

/** A directory on the way down. */
typedef struct change_level {
  bool complete; /**< what it lacks was deleted */
  uint32_t marks;
  ims_name_list below; /**< with complete: the names of the lower directories */
  size_t at;           /**< of below: the first that was not compared yet */
} change_level;

struct ims_changes {
  const ims_core *core;
  int32_t marks;
  ims_tree_cursor cursor;
  ims_lower_stack *lowers;
  ims_disk_rules rules; /**< none: ids are compared as they are */
  ims_disk_entry object;
  ims_disk_entry below; /**< of a lower directory, to compare with */
  change_level *levels;
  size_t depth, capacity;
  ims_buf path;
  dev_t device;
  bool ended;
};

typedef struct teller {
  ims_change_visit visit;
  void *data;
} teller;

/* --- deleted names ---------------------------------------------------------------------------------------------------
 */

static int32_t tell_deleted(ims_changes *c, size_t directory, const char *name, teller *t, ims_error *err) {
  bool found;
  struct stat st;
  ims_buf_clear(&c->path);
  ims_buf_append(&c->path, c->cursor.path.data, directory);
  if (directory)
    ims_buf_putc(&c->path, '/');
  ims_buf_puts(&c->path, name);
  if (c->path.failed)
    return ims_fail_nomem(err);
  int32_t rc = ims_lowers_find(c->lowers, c->path.data, &found, &st, err);
  return rc || !found ? rc : t->visit(t->data, IMS_CHANGE_DELETED, c->path.data, err);
}

/** Lower names before `name` (NULL: all that are left) that the directory of the deepest level lacks. */
static int32_t tell_missing(ims_changes *c, const char *name, teller *t, ims_error *err) {
  change_level *l = &c->levels[c->depth - 1];
  const size_t size = name ? c->cursor.path.size - strlen(name) : c->cursor.path.size;
  const size_t directory = name && size ? size - 1 : size;
  int32_t rc = IMGSTORE_OK;
  for (; l->at < l->below.count && !rc; l->at++) {
    const char *missing = l->below.items[l->at];
    if (name && strcmp(missing, name) >= 0)
      break;
    rc = tell_deleted(c, directory, missing, t, err);
  }
  if (!rc && name && l->at < l->below.count && strcmp(l->below.items[l->at], name) == 0)
    l->at++;
  return rc;
}

/* --- levels ----------------------------------------------------------------------------------------------------------
 */

/** The directory that the cursor has just entered. */
static int32_t push(ims_changes *c, bool complete, uint32_t marks, ims_error *err) {
  if (c->depth == c->capacity) {
    size_t capacity = c->capacity ? c->capacity * 2 : 16;
    change_level *levels = ims_realloc_array(&c->core->alloc, c->levels, capacity, sizeof *levels);
    if (!levels)
      return ims_fail_nomem(err);
    c->levels = levels;
    c->capacity = capacity;
  }
  change_level *l = &c->levels[c->depth++];
  *l = (change_level){.complete = complete, .marks = marks};
  return complete ? ims_lowers_names(c->lowers, ims_buf_text(&c->cursor.path), &l->below, err) : IMGSTORE_OK;
}

static void pop(ims_changes *c) {
  ims_name_list_free(&c->levels[--c->depth].below);
}

static int32_t enter(ims_changes *c, ims_error *err) {
  const struct stat st = c->object.st;
  const uint32_t marks = c->object.marks;
  bool complete = !c->marks || (marks & IMS_MARK_OPAQUE);
  ims_disk_entry_close(&c->object);
  if (st.st_dev != c->device)
    return IMGSTORE_OK;
  int32_t rc = ims_cursor_enter(&c->cursor, &st, err);
  if (!rc && (c->marks & IMS_MARKS_FUSE) && ims_cursor_has(&c->cursor, ".wh..wh..opq"))
    complete = true;
  if (!rc)
    rc = ims_lowers_enter(c->lowers, c->cursor.path.data, err);
  return rc ? rc : push(c, complete, marks, err);
}

/* --- entries ---------------------------------------------------------------------------------------------------------
 */

/** A link's target in a lower directory is only compared when its length is the same. */
static int32_t same_target(ims_changes *c, bool *same, ims_error *err) {
  char ours[TARGET], theirs[TARGET];
  ssize_t n = c->core->sys->readlinkat(c->cursor.fd, c->cursor.name, ours, sizeof ours), m;
  int32_t rc = ims_lowers_readlink(c->lowers, c->cursor.path.data, theirs, sizeof theirs, &m, err);
  *same = !rc && n >= 0 && n == m && memcmp(ours, theirs, (size_t)n) == 0;
  return rc;
}

static bool same_metadata(const struct stat *a, const struct stat *b) {
  return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid && a->st_rdev == b->st_rdev &&
         a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
         (S_ISDIR(a->st_mode) || a->st_size == b->st_size);
}

/** Attributes leave no trace in a time that a copy keeps. Those of a layer are compared. */
static int32_t same_xattrs(ims_changes *c, bool *same, ims_error *err) {
  ims_disk_entry *ours = &c->object, *theirs = &c->below;
  const char *path = c->cursor.path.data;
  int32_t rc = ims_disk_entry_marks(ours, c->cursor.fd, c->cursor.name, path, IMS_MARKS_NONE, err);
  theirs->st = ours->st;
  if (!rc)
    rc = ims_lowers_open(c->lowers, path, &theirs->fd, err);
  if (!rc)
    rc = ims_disk_entry_attributes(theirs, path, err);
  *same = !rc && ours->xattrs.count == theirs->xattrs.count;
  for (size_t i = 0; *same && i < ours->xattrs.count; i++) {
    const ims_tar_xattr *a = &ours->xattrs.items[i], *b = &theirs->xattrs.items[i];
    *same = strcmp(a->name, b->name) == 0 && a->size == b->size && memcmp(a->value, b->value, a->size) == 0;
  }
  ims_disk_entry_close(theirs);
  return rc;
}

static int32_t tell_present(ims_changes *c, teller *t, ims_error *err) {
  bool found, same = false;
  struct stat below;
  const char *path = c->cursor.path.data;
  int32_t rc = ims_lowers_find(c->lowers, path, &found, &below, err);
  if (!rc && found && !c->marks)
    same = same_metadata(&c->object.st, &below);
  if (!rc && same && S_ISLNK(below.st_mode))
    rc = same_target(c, &same, err);
  if (!rc && same && (S_ISREG(below.st_mode) || S_ISDIR(below.st_mode)))
    rc = same_xattrs(c, &same, err);
  return rc || same ? rc : t->visit(t->data, found ? IMS_CHANGE_MODIFIED : IMS_CHANGE_ADDED, path, err);
}

/** *hidden: the lower name that this entry deletes, or NULL; *nothing: it is only a mark. */
static int32_t read_entry(ims_changes *c, const char **hidden, bool *nothing, ims_error *err) {
  ims_disk_entry *o = &c->object;
  const char *path = c->cursor.path.data, *name;
  *hidden = NULL;
  *nothing = false;
  int32_t rc = ims_disk_entry_look(o, c->cursor.fd, c->cursor.name, path, err);
  if (rc || !c->marks)
    return rc;
  if (c->marks & IMS_MARKS_FUSE) {
    int kind = ims_overlay_name(c->cursor.name, &name);
    *hidden = kind == IMS_WHITEOUT_FILE ? name : NULL;
    *nothing = kind != IMS_WHITEOUT_NONE;
  }
  if (!*nothing && ims_is_whiteout_device(&o->st))
    *hidden = c->cursor.name;
  bool marked = S_ISDIR(o->st.st_mode) ||
                (S_ISREG(o->st.st_mode) && !o->st.st_size && (c->levels[c->depth - 1].marks & IMS_MARK_XWHITEOUTS));
  o->marks = 0;
  if (*hidden || *nothing || !marked)
    return rc;
  rc = ims_disk_entry_marks(o, c->cursor.fd, c->cursor.name, path, c->marks, err);
  if (!rc && S_ISREG(o->st.st_mode) && (o->marks & IMS_MARK_WHITEOUT))
    *hidden = c->cursor.name;
  return rc;
}

static int32_t tell_entry(ims_changes *c, teller *t, ims_error *err) {
  const char *hidden;
  bool nothing;
  int32_t rc = read_entry(c, &hidden, &nothing, err);
  if (!rc)
    rc = tell_missing(c, c->cursor.name, t, err);
  if (!rc && hidden)
    return tell_deleted(c, c->cursor.path.size - strlen(c->cursor.name) - (c->depth > 1), hidden, t, err);
  if (rc || nothing)
    return rc;
  rc = tell_present(c, t, err);
  return rc || !S_ISDIR(c->object.st.st_mode) ? rc : enter(c, err);
}

static int32_t tell_next(ims_changes *c, teller *t, ims_error *err) {
  int event;
  int32_t rc = ims_cursor_next(&c->cursor, &event, err);
  if (rc)
    return rc;
  if (event == IMS_CURSOR_ENTRY)
    return tell_entry(c, t, err);
  rc = tell_missing(c, NULL, t, err);
  if (rc)
    return rc;
  c->ended = event == IMS_CURSOR_END;
  if (!c->ended) {
    pop(c);
    ims_lowers_leave(c->lowers);
  }
  return IMGSTORE_OK;
}

/* --- the handle ------------------------------------------------------------------------------------------------------
 */

int32_t ims_changes_new(ims_changes **changes, const ims_core *core, int directory, int32_t marks,
                        ims_lower_stack *lowers, ims_error *err) {
  struct stat st;
  *changes = NULL;
  ims_changes *c = ims_calloc(&core->alloc, 1, sizeof *c);
  if (!c)
    return ims_fail_nomem(err);
  c->core = core;
  c->marks = marks;
  c->lowers = lowers;
  ims_buf_init(&c->path, &core->alloc, PATH_CEILING);
  ims_disk_entry_init(&c->object, core, &c->rules);
  ims_disk_entry_init(&c->below, core, &c->rules);
  int32_t rc = ims_cursor_init(&c->cursor, core, directory, err);
  if (!rc && core->sys->fstat(c->cursor.fd, &st))
    rc = ims_fail_os(err, errno, "cannot look at the directory");
  if (!rc) {
    c->device = st.st_dev;
    rc = push(c, !marks, 0, err);
  }
  if (rc) {
    ims_changes_free(c);
    return rc;
  }
  *changes = c;
  return IMGSTORE_OK;
}

void ims_changes_free(ims_changes *c) {
  if (!c)
    return;
  ims_cursor_free(&c->cursor);
  ims_disk_entry_free(&c->object);
  ims_disk_entry_free(&c->below);
  while (c->depth)
    pop(c);
  ims_free(&c->core->alloc, c->levels);
  ims_buf_free(&c->path);
  ims_free(&c->core->alloc, c);
}

const ims_tree_cursor *ims_changes_cursor(const ims_changes *c) {
  return &c->cursor;
}

int32_t ims_changes_run(ims_changes *c, uint64_t budget, ims_change_visit visit, void *data, ims_error *err) {
  teller t = {visit, data};
  int32_t rc = IMGSTORE_OK;
  while (!rc && !c->ended && budget--)
    rc = tell_next(c, &t, err);
  return rc ? rc : c->ended ? IMGSTORE_OK : IMGSTORE_EAGAIN;
}
