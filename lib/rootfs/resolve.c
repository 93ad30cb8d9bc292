/*
 * rootfs/resolve.c (L3) - safe path resolution: openat2 where the kernel has it, and a walk that opens one component
 * after the other without following links. The walk also makes what is missing, so both ways share its rules.
 */
#include "rootfs/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "rootfs/entry_error.h"
#include "rootfs/overlay.h"

enum { MAX_LINKS = 40, OPENAT2_RETRIES = 8 };

typedef struct walk {
  ims_tree *tree;
  const char *path; /* all of it, for messages */
  const char *rest; /* what was not looked at yet */
  bool make;
  bool in_link;   /* components come from tree->link, the target of a link */
  size_t link_at; /* in tree->link */
  unsigned links;
  ims_dir *at;                      /* pinned; its real path is tree->canon */
  bool nowhere;                     /* there is no such directory */
  char home_name[IMS_NAME_MAX + 1]; /* the link in the path itself that is being followed, in directory tree->home */
  char name[IMS_NAME_MAX + 1];      /* the current component */
} walk;

static int32_t step_to(walk *w, ims_dir *dir, ims_error *err) {
  ims_dir *left = w->at;
  w->at = dir;
  return ims_dirs_unpin(&w->tree->dirs, left, err);
}

/* Opens the real directory `name` below the current one, whose real path was put into canon already. 0 or an errno in
 *failed; other failures in the result. */
static int32_t enter_real(walk *w, const char *name, int *failed, ims_error *err) {
  ims_tree *t = w->tree;
  const char *canon = ims_buf_text(&t->canon);
  ims_dir *dir = ims_dirs_find(&t->dirs, canon, t->canon.size, true);
  *failed = 0;
  if (!dir) {
    ims_opened opened;
    *failed = ims_open_dir(t->sys, t->may.overrides, w->at->fd, name, &opened);
    if (*failed)
      return IMGSTORE_OK;
    int32_t rc = ims_dirs_insert(&t->dirs, canon, t->canon.size, true, &opened, &dir, err);
    if (rc)
      return rc;
  }
  return step_to(w, dir, err);
}

static int32_t push_name(ims_buf *path, const char *name, ims_error *err) {
  if (path->size && ims_buf_putc(path, '/'))
    return ims_fail_nomem(err);
  return ims_buf_puts(path, name) ? ims_fail_nomem(err) : IMGSTORE_OK;
}

static void cut(ims_buf *path, size_t size) {
  path->size = size;
  if (path->data)
    path->data[size] = '\0';
}

static int32_t to_root(walk *w, ims_error *err) {
  cut(&w->tree->canon, 0);
  return step_to(w, ims_dirs_find(&w->tree->dirs, "", 0, true), err);
}

/* Goes to the real path in goal, which the walk came through: its components are directories. */
static int32_t go_to(walk *w, const char *goal, size_t size, ims_error *err) {
  int32_t rc = to_root(w, err);
  for (size_t at = 0; at < size && !rc;) {
    char name[IMS_NAME_MAX + 1];
    size_t length = strcspn(goal + at, "/");
    length = length > size - at ? size - at : length;
    memcpy(name, goal + at, length);
    name[length] = '\0';
    int failed = 0;
    rc = push_name(&w->tree->canon, name, err);
    if (!rc)
      rc = enter_real(w, name, &failed, err);
    if (!rc && failed)
      rc = ims_entry_fail_os(err, failed, w->path, "open a directory of its path");
    at += length + 1;
  }
  return rc;
}

static int32_t go_up(walk *w, ims_error *err) {
  ims_buf *canon = &w->tree->canon;
  size_t size = canon->size;
  while (size && canon->data[size - 1] != '/')
    size--;
  size = size ? size - 1 : 0;
  cut(canon, size);
  ims_dir *dir = ims_dirs_find(&w->tree->dirs, ims_buf_text(canon), size, true);
  if (dir)
    return step_to(w, dir, err);
  char *goal = ims_strndup(w->tree->alloc, canon->data, size);
  if (!goal)
    return ims_fail_nomem(err);
  int32_t rc = go_to(w, goal, size, err);
  ims_free(w->tree->alloc, goal);
  return rc;
}

static int32_t make_dir(walk *w, const char *name, ims_error *err) {
  ims_tree *t = w->tree;
  w->at->touched = true;
  if (t->sys->mkdirat(w->at->fd, name, IMS_PARENT_MODE) != 0)
    return ims_entry_fail_os(err, errno, w->path, "make a directory of its path");
  int32_t rc = ims_tree_count(t, w->path, err);
  if (!rc)
    rc = push_name(&t->canon, name, err);
  int failed = 0;
  if (!rc)
    rc = enter_real(w, name, &failed, err);
  if (!rc && failed)
    rc = ims_entry_fail_os(err, failed, w->path, "open a directory of its path");
  return rc ? rc : ims_tree_describe_parent(t, w->at, w->path, err);
}

static int32_t remove_obstacle(walk *w, const char *name, bool is_link, ims_error *err) {
  int32_t rc = is_link ? ims_dirs_clear(&w->tree->dirs, err) : IMGSTORE_OK;
  if (rc)
    return rc;
  struct stat st;
  w->at->touched = true;
  if (w->tree->sys->fstatat(w->at->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
      w->tree->sys->unlinkat(w->at->fd, name, 0) != 0)
    return ims_entry_fail_os(err, errno, w->path, "replace a file in its path");
  ims_tree_uncount(w->tree, &st);
  return IMGSTORE_OK;
}

/* The current component, or the link that led to it, is no directory. */
static int32_t dead_end(walk *w, bool exists, ims_error *err) {
  if (!w->make) {
    w->nowhere = true;
    return IMGSTORE_OK;
  }
  int32_t rc = IMGSTORE_OK;
  const char *name = w->name;
  if (w->in_link) {
    rc = go_to(w, ims_buf_text(&w->tree->home), w->tree->home.size, err);
    name = w->home_name;
    exists = true;
  }
  if (!rc && exists)
    rc = remove_obstacle(w, name, w->in_link, err);
  w->in_link = false;
  return rc ? rc : make_dir(w, name, err);
}

/* Puts the target of the link in front of what is left of the link before it. */
static int32_t follow(walk *w, const char *target, size_t size, ims_error *err) {
  ims_tree *t = w->tree;
  if (!w->in_link) {
    ims_buf_clear(&t->home);
    ims_buf_clear(&t->link);
    if (ims_buf_append(&t->home, ims_buf_text(&t->canon), t->canon.size))
      return ims_fail_nomem(err);
    memcpy(w->home_name, w->name, sizeof w->home_name);
    w->in_link = true;
    w->link_at = 0;
  }
  if (w->links++ >= MAX_LINKS)
    return dead_end(w, true, err);
  ims_buf next;
  ims_buf_init(&next, t->alloc, t->link.ceiling);
  ims_buf_append(&next, target, size);
  ims_buf_putc(&next, '/');
  ims_buf_append(&next, ims_buf_text(&t->link) + w->link_at, t->link.size - w->link_at);
  int32_t failed = next.failed;
  ims_buf_free(&t->link);
  t->link = next;
  w->link_at = 0;
  if (failed)
    return ims_fail_nomem(err);
  return target[0] == '/' ? to_root(w, err) : IMGSTORE_OK;
}

static int32_t not_a_directory(walk *w, ims_error *err) {
  char target[PATH_MAX];
  ssize_t size = w->tree->sys->readlinkat(w->at->fd, w->name, target, sizeof target);
  if (size > 0)
    return follow(w, target, (size_t)size, err);
  if (size == 0 || errno == EINVAL)
    return dead_end(w, true, err);
  return ims_entry_fail_os(err, errno, w->path, "read a link in its path");
}

static int32_t step_down(walk *w, ims_error *err) {
  ims_buf *canon = &w->tree->canon;
  size_t before = canon->size;
  int failed = 0;
  int32_t rc = push_name(canon, w->name, err);
  if (!rc)
    rc = enter_real(w, w->name, &failed, err);
  if (rc || !failed)
    return rc;
  cut(canon, before);
  if (failed == ENOENT)
    return dead_end(w, false, err);
  if (failed == ENOTDIR || failed == ELOOP)
    return not_a_directory(w, err);
  return ims_entry_fail_os(err, failed, w->path, "open a directory of its path");
}

/* Fetches the next component into w->name; false at the end. *size: its length, which may be more than fits. */
static bool next_name(walk *w, size_t *size) {
  const ims_buf *link = &w->tree->link;
  const char *from;
  if (w->in_link) {
    while (w->link_at < link->size && link->data[w->link_at] == '/')
      w->link_at++;
    w->in_link = w->link_at < link->size;
  }
  if (w->in_link) {
    from = link->data + w->link_at;
    *size = strcspn(from, "/");
    w->link_at += *size;
  } else {
    w->rest += strspn(w->rest, "/");
    from = w->rest;
    *size = strcspn(from, "/");
    w->rest += *size;
  }
  size_t kept = *size > IMS_NAME_MAX ? IMS_NAME_MAX : *size;
  memcpy(w->name, from, kept);
  w->name[kept] = '\0';
  return *size != 0;
}

static int32_t step(walk *w, size_t size, ims_error *err) {
  if (size > IMS_NAME_MAX)
    return w->in_link || !w->make ? dead_end(w, false, err) : ims_entry_fail_os(err, ENAMETOOLONG, w->path, "");
  if (w->in_link && strcmp(w->name, ".") == 0)
    return IMGSTORE_OK;
  if (strcmp(w->name, "..") == 0)
    return go_up(w, err);
  return step_down(w, err);
}

static int32_t walk_path(ims_tree *tree, const char *path, bool make, ims_dir **dir, ims_error *err) {
  walk w = {.tree = tree, .path = path, .rest = path, .make = make};
  size_t size;
  int32_t rc = to_root(&w, err);
  while (!rc && !w.nowhere && next_name(&w, &size))
    rc = step(&w, size, err);
  if (!rc && !w.nowhere) {
    *dir = w.at;
    return IMGSTORE_OK;
  }
  int32_t failed = ims_dirs_unpin(&tree->dirs, w.at, err);
  return rc ? rc : failed;
}

/* One call of the kernel. Returns IMGSTORE_EAGAIN, with no message, where only the walk can tell. */
static int32_t resolve_at_once(ims_tree *tree, const char *path, ims_dir **dir, ims_error *err) {
  const ims_open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                            .resolve = IMS_RESOLVE_IN_ROOT | IMS_RESOLVE_NO_MAGICLINKS};
  ims_opened opened = {.fd = -1};
  size_t size = strlen(path);
  if (!tree->has_openat2 || size >= PATH_MAX)
    return IMGSTORE_EAGAIN;
  for (int i = 0; i < OPENAT2_RETRIES && opened.fd < 0; i++) {
    opened.fd = tree->sys->openat2(ims_tree_root(tree)->fd, path, &how);
    if (opened.fd < 0 && errno != EAGAIN && errno != EINTR)
      break;
  }
  if (opened.fd >= 0)
    return ims_dirs_insert(&tree->dirs, path, size, false, &opened, dir, err);
  if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EIO)
    return ims_entry_fail_os(err, errno, path, "open the directory");
  return IMGSTORE_EAGAIN;
}

int32_t ims_resolve_dir(ims_tree *tree, const char *path, bool make, ims_dir **dir, ims_error *err) {
  *dir = ims_dirs_find(&tree->dirs, path, strlen(path), false);
  if (*dir)
    return IMGSTORE_OK;
  int32_t rc = resolve_at_once(tree, path, dir, err);
  return rc == IMGSTORE_EAGAIN ? walk_path(tree, path, make, dir, err) : rc;
}

int32_t ims_resolve_child(ims_tree *tree, ims_dir *dir, const char *name, const char *path, ims_dir **child,
                          ims_error *err) {
  *child = ims_dirs_find(&tree->dirs, path, strlen(path), false);
  if (*child)
    return IMGSTORE_OK;
  ims_opened opened;
  int failed = ims_open_dir(tree->sys, tree->may.overrides, dir->fd, name, &opened);
  if (failed)
    return ims_entry_fail_os(err, failed, path, "open the directory");
  bool real = dir->real && !dir->stale;
  int32_t rc = ims_dirs_insert(&tree->dirs, path, strlen(path), real, &opened, child, err);
  return rc || !tree->overlay ? rc : ims_overlay_opened(tree, dir, *child, path, err);
}
