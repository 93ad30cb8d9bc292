/*
 * rootfs/overlay.c (L3) - directories of a layer that is applied on its own: opening and making them, whiteouts, opaque
 * marks. What is done once the layers below are known is in overlay_settle.c, paths through links in overlay_path.c.
 */
#include "rootfs/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "rootfs/entry_error.h"
#include "rootfs/overlay_parts.h"
#include "rootfs/remove.h"
#include "rootfs/resolve.h"

enum { PLACEHOLDERS_MAX = 1 << 20, ATTRIBUTES_LISTED = 64 };

void ims_overlay_init(ims_overlay *o, const ims_core *core, const char *opaque_name) {
  memset(o, 0, sizeof *o);
  o->core = core;
  o->opaque_name = opaque_name;
  ims_buf_init(&o->placeholders, &core->alloc, PLACEHOLDERS_MAX);
}

void ims_overlay_free(ims_overlay *o) {
  ims_buf_free(&o->placeholders);
  ims_created_free(&o->placeholder_paths);
}

int32_t ims_overlay_unsure(ims_overlay *o) {
  o->unsure = true;
  return IMGSTORE_EAGAIN;
}

/* Where layers are merged in one tree a path may lead through links: then it is not the directory's own. */
static bool is_own_path(const ims_tree *t, const char *path) {
  const ims_lower_view here = {.alloc = t->alloc, .sys = t->sys};
  const ims_lower own = {.dir = t->dirs.slots[0].fd, .prefix = ""};
  ims_lower_object object;
  bool stop;
  if (t->overlay || ims_lower_look(&here, &own, path, &object, &stop, NULL))
    return t->overlay != NULL;
  if (object.fd >= 0)
    t->sys->close(object.fd);
  return object.kind == IMS_LOWER_DIRECTORY;
}

int32_t ims_overlay_note_attributes(ims_tree *t, const char *path, ims_error *err) {
  if (!t->counts || t->any_attributes)
    return IMGSTORE_OK;
  int32_t rc = t->attribute_count++ < ATTRIBUTES_LISTED && is_own_path(t, path)
                   ? ims_buf_append(&t->attributes, path, strlen(path) + 1)
                   : IMGSTORE_ELIMIT;
  t->any_attributes = rc == IMGSTORE_ELIMIT;
  return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : IMGSTORE_OK;
}

/* --- opening and making ------------------------------------------------------------------------------------------- */

int32_t ims_overlay_opened(const ims_tree *t, const ims_dir *parent, ims_dir *dir, const char *path, ims_error *err) {
  if (dir->pure || parent->pure) {
    dir->pure = true;
    return IMGSTORE_OK;
  }
  int failed = t->overlay->has_opaque ? ims_has_xattr(t->sys, dir->fd, t->overlay->opaque_name, &dir->pure) : 0;
  return failed ? ims_entry_fail_os(err, failed, path, "look at the directory") : IMGSTORE_OK;
}

int32_t ims_overlay_set_opaque(ims_tree *t, ims_dir *dir, const char *path, ims_error *err) {
  int32_t rc = ims_dirs_clear(&t->dirs, err); /* what is known of directories below is out of date */
  if (rc)
    return rc;
  if (t->sys->fsetxattr(dir->fd, t->overlay->opaque_name, "y", 1, 0) != 0) {
    if (errno == EOPNOTSUPP)
      return ims_entry_fail(err, IMGSTORE_EUNSUPPORTED, path, "the file system cannot keep the attribute %s",
                            t->overlay->opaque_name);
    return ims_entry_fail_os(err, errno, path, "mark the directory as opaque");
  }
  dir->pure = t->overlay->has_opaque = true;
  return IMGSTORE_OK;
}

/* path[0, end) names the directory; *dir is pinned. */
static int32_t make(ims_tree *t, ims_dir *at, const char *path, const char *name, bool replaced, ims_dir **dir,
                    ims_error *err) {
  at->touched = true;
  if (t->sys->mkdirat(at->fd, name, IMS_PARENT_MODE) != 0)
    return ims_entry_fail_os(err, errno, path, "make a directory of its path");
  int32_t rc = ims_tree_count(t, path, err);
  if (!rc)
    rc = ims_resolve_child(t, at, name, path, dir, err);
  if (!rc)
    rc = ims_tree_describe_parent(t, *dir, path, err);
  if (!rc && replaced && !(*dir)->pure)
    rc = ims_overlay_set_opaque(t, *dir, path, err);
  return rc;
}

enum { PATH_ITSELF, PATH_LEADS };

static uint64_t path_hash(const ims_tree *t, int what, const char *path, size_t size) {
  return ims_name_hash_sized(&t->key, (uint64_t)what, 0, path, size);
}

/* The paths that lead to it, from the longest: when one is known, so are those before it. */
static int32_t note_path(ims_tree *t, const char *path, ims_error *err) {
  ims_created_set *set = &t->overlay->placeholder_paths;
  size_t size = strlen(path);
  if (!set->alloc)
    ims_created_init(set, t->alloc, t->sys, ims_tree_root(t)->fd, IMS_CREATED_SLOTS);
  int32_t rc = ims_created_add(set, path_hash(t, PATH_ITSELF, path, size), err);
  while (!rc && size) {
    bool known;
    while (size && path[--size] != '/')
      ;
    uint64_t hash = path_hash(t, PATH_LEADS, path, size);
    rc = ims_created_has(set, hash, &known, err);
    if (rc || known)
      return rc;
    rc = ims_created_add(set, hash, err);
  }
  return rc;
}

static int32_t note_placeholder(ims_tree *t, char kind, const char *path, ims_error *err) {
  ims_overlay *o = t->overlay;
  int32_t rc = ims_buf_putc(&o->placeholders, kind);
  if (!rc)
    rc = ims_buf_append(&o->placeholders, path, strlen(path) + 1);
  if (rc == IMGSTORE_ELIMIT)
    return ims_overlay_unsure(o); /* with the layers below in view nothing needs to be remembered */
  return rc ? ims_fail_nomem(err) : note_path(t, path, err);
}

/* The layer does not have it, and lower layers are seen in its parent. */
static int32_t make_placeholder(ims_tree *t, ims_dir *at, const char *path, const char *name, int how, ims_dir **dir,
                                ims_error *err) {
  ims_overlay *o = t->overlay;
  ims_lower_object below = {.kind = IMS_LOWER_NONE, .fd = -1};
  if (how == IMS_OVERLAY_FIND)
    return o->view ? IMGSTORE_OK : ims_overlay_unsure(o);
  int32_t rc = o->view ? ims_lower_find(o->view, path, &below, err) : IMGSTORE_OK;
  if (!rc && !(o->view && how == IMS_OVERLAY_HIDE && below.kind != IMS_LOWER_DIRECTORY)) {
    rc = make(t, at, path, name, false, dir, err);
    if (!rc && below.kind == IMS_LOWER_DIRECTORY)
      rc = ims_copy_directory(t, *dir, &below, path, err);
    if (!rc && !o->view)
      rc = note_placeholder(t, how == IMS_OVERLAY_HIDE ? IMS_PLACEHOLDER_WEAK : IMS_PLACEHOLDER_STRONG, path, err);
  }
  if (below.fd >= 0)
    t->sys->close(below.fd);
  return rc;
}

/* Something that is no directory has the name. */
static int32_t meet_obstacle(ims_tree *t, ims_dir *at, const char *path, const char *name, int how, ims_dir **dir,
                             ims_error *err) {
  struct stat st;
  if (t->sys->fstatat(at->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return ims_entry_fail_os(err, errno, path, "look at what is in its path");
  bool whiteout = ims_is_whiteout(&st);
  if (S_ISLNK(st.st_mode) && !t->overlay->view)
    return ims_overlay_unsure(t->overlay);
  if (how != IMS_OVERLAY_MAKE)
    return IMGSTORE_OK;
  if (!whiteout && !t->overlay->view)
    return ims_overlay_unsure(t->overlay);
  at->touched = true;
  if (t->sys->unlinkat(at->fd, name, 0) != 0)
    return ims_entry_fail_os(err, errno, path, "replace a file in its path");
  ims_tree_uncount(t, &st);
  return make(t, at, path, name, true, dir, err);
}

/* *dir NULL: it is not there and was not made. */
static int32_t enter(ims_tree *t, ims_dir *at, const char *path, const char *name, int how, ims_dir **dir,
                     ims_error *err) {
  ims_opened opened;
  int failed = ims_open_dir(t->sys, t->may.overrides, at->fd, name, &opened);
  if (!failed) {
    int32_t rc = ims_dirs_insert(&t->dirs, path, strlen(path), true, &opened, dir, err);
    return rc ? rc : ims_overlay_opened(t, at, *dir, path, err);
  }
  if (failed == ENOTDIR || failed == ELOOP)
    return meet_obstacle(t, at, path, name, how, dir, err);
  if (failed != ENOENT)
    return ims_entry_fail_os(err, failed, path, "open a directory of its path");
  if (!at->pure)
    return make_placeholder(t, at, path, name, how, dir, err);
  return how == IMS_OVERLAY_MAKE ? make(t, at, path, name, false, dir, err) : IMGSTORE_OK;
}

/* The deepest directory of path that is open; *size: of its path. Pinned. */
static ims_dir *deepest_open(ims_tree *t, const char *path, size_t *size) {
  ims_dir *at = ims_dirs_find(&t->dirs, path, *size, true);
  while (!at) {
    while (*size && path[--*size] != '/')
      ;
    at = ims_dirs_find(&t->dirs, path, *size, true);
  }
  return at;
}

static int32_t descend(ims_tree *t, ims_dir **at, char *prefix, const char *path, size_t size, int how,
                       ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  while (!rc && *at && path[size]) {
    const char *name = path + size + (size > 0);
    size_t length = strcspn(name, "/");
    ims_dir *child = NULL;
    size = (size_t)(name - path) + length;
    memcpy(prefix, path, size);
    prefix[size] = '\0';
    if (length <= IMS_NAME_MAX)
      rc = enter(t, *at, prefix, prefix + (name - path), how, &child, err);
    else if (how == IMS_OVERLAY_MAKE)
      rc = ims_entry_fail_os(err, ENAMETOOLONG, path, "");
    int32_t failed = ims_dirs_unpin(&t->dirs, *at, err);
    rc = rc ? rc : failed;
    *at = child;
  }
  return rc;
}

int32_t ims_overlay_dir(ims_tree *t, const char *path, int how, ims_dir **dir, ims_error *err) {
  size_t size = strlen(path), open = size;
  *dir = NULL;
  ims_dir *at = deepest_open(t, path, &open);
  if (open == size) {
    *dir = at;
    return IMGSTORE_OK;
  }
  char *prefix = ims_malloc(t->alloc, size + 1);
  int32_t rc = prefix ? descend(t, &at, prefix, path, open, how, err) : ims_fail_nomem(err);
  ims_free(t->alloc, prefix);
  if (rc) {
    ims_dirs_unpin(&t->dirs, at, err);
    return rc;
  }
  *dir = at;
  return IMGSTORE_OK;
}

/* --- replacing and hiding ------------------------------------------------------------------------------------------
 */

/* Is the directory at path, or one below it, waiting to be described? *has is also set when it cannot be told from
   another path, which the key makes as good as impossible. */
static int32_t has_placeholder(ims_tree *t, const char *path, bool itself, bool *has, ims_error *err) {
  ims_created_set *set = &t->overlay->placeholder_paths;
  *has = false;
  if (t->overlay->view || !t->overlay->placeholders.size)
    return IMGSTORE_OK;
  int32_t rc = ims_created_has(set, path_hash(t, PATH_LEADS, path, strlen(path)), has, err);
  if (!rc && !*has && itself)
    rc = ims_created_has(set, path_hash(t, PATH_ITSELF, path, strlen(path)), has, err);
  return rc;
}

int32_t ims_overlay_replaces(ims_tree *t, const ims_dir *dir, const char *name, const char *path, ims_error *err) {
  struct stat st;
  if (t->overlay->view)
    return IMGSTORE_OK;
  if (t->sys->fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT ? IMGSTORE_OK : ims_entry_fail_os(err, errno, path, "look at what is there");
  return S_ISDIR(st.st_mode) ? ims_overlay_unsure(t->overlay) : IMGSTORE_OK;
}

static int32_t plant_whiteout(ims_tree *t, ims_dir *dir, const char *name, const char *path, ims_error *err) {
  dir->touched = true;
  if (t->sys->mknodat(dir->fd, name, S_IFCHR, 0) != 0)
    return ims_entry_fail_os(err, errno, path, "make a whiteout");
  int32_t rc = ims_tree_count(t, path, err);
  return rc || t->overlay->view ? rc : note_placeholder(t, IMS_PLACEHOLDER_WHITEOUT, path, err);
}

/* What this layer has of the name was dealt with: hides what is below. */
static int32_t hide_below(ims_tree *t, ims_dir *dir, const char *name, const char *path, ims_error *err) {
  struct stat st;
  ims_dir *child;
  if (dir->pure)
    return IMGSTORE_OK;
  bool missing = t->sys->fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0;
  if (missing && errno != ENOENT)
    return ims_entry_fail_os(err, errno, path, "look at what is there");
  if (!missing && !S_ISDIR(st.st_mode))
    return IMGSTORE_OK; /* it hides what is below by itself */
  if (t->overlay->view) {
    ims_lower_object below;
    int32_t rc = ims_lower_find(t->overlay->view, path, &below, err);
    if (rc || below.kind == IMS_LOWER_NONE)
      return rc;
    t->sys->close(below.fd);
  }
  if (missing)
    return plant_whiteout(t, dir, name, path, err);
  int32_t rc = ims_resolve_child(t, dir, name, path, &child, err);
  if (rc)
    return rc;
  rc = child->pure ? IMGSTORE_OK : ims_overlay_set_opaque(t, child, path, err);
  int32_t failed = ims_dirs_unpin(&t->dirs, child, err);
  return rc ? rc : failed;
}

int32_t ims_overlay_hide(ims_tree *t, ims_dir *dir, const char *name, const char *path, ims_error *err) {
  bool waits;
  int32_t rc = has_placeholder(t, path, true, &waits, err);
  if (rc || waits)
    return rc ? rc : ims_overlay_unsure(t->overlay);
  if (strlen(name) > IMS_NAME_MAX)
    return IMGSTORE_OK; /* nothing has such a name */
  rc = ims_hide_entry(t, dir, name, path, err);
  return rc ? rc : hide_below(t, dir, name, path, err);
}

int32_t ims_overlay_hide_content(ims_tree *t, ims_dir *dir, const char *path, ims_error *err) {
  bool waits;
  int32_t rc = has_placeholder(t, path, false, &waits, err);
  if (rc || waits)
    return rc ? rc : ims_overlay_unsure(t->overlay);
  rc = ims_hide_content(t, dir, path, err);
  if (rc || dir->pure)
    return rc;
  if (*path)
    return ims_overlay_set_opaque(t, dir, path, err);
  return t->overlay->view ? ims_overlay_hide_roots(t, err) : ims_overlay_unsure(t->overlay);
}

int32_t ims_overlay_hide_named(ims_tree *t, const char *name, ims_error *err) {
  return hide_below(t, ims_tree_root(t), name, name, err);
}

int32_t ims_overlay_made_directory(ims_tree *t, ims_dir *dir, const char *path, ims_error *err) {
  ims_lower_object below;
  bool any = false;
  if (!t->overlay->view)
    return IMGSTORE_OK; /* ims_overlay_settle looks whether there was anything to take over */
  int32_t rc = ims_lower_find(t->overlay->view, path, &below, err);
  if (rc || below.kind == IMS_LOWER_NONE)
    return rc;
  if (below.kind == IMS_LOWER_DIRECTORY) {
    const ims_object to = {.path = path, .fd = dir->fd, .is_dir = true};
    rc = ims_copy_xattrs(t, &to, &below, &any, err);
    if (!rc && any)
      rc = ims_overlay_refresh_mode(t, dir, path, err);
    if (!rc && any)
      rc = ims_overlay_note_attributes(t, path, err);
  }
  t->sys->close(below.fd);
  return rc;
}
