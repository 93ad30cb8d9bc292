/*
 * rootfs/overlay_path.c (L3) - where a path leads to in the merged tree of a layer and those below it, as text: the
 * rules of resolve.c, on look-ups instead of open directories.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "rootfs/entry_error.h"
#include "rootfs/overlay_parts.h"

enum { MAX_LINKS = 40 };

typedef struct walk {
  ims_tree *tree;
  const char *path, *rest;
  bool make, nowhere;
  bool in_link;
  size_t link_at;
  unsigned links;
  char home_name[IMS_NAME_MAX + 1]; /* the link in the path itself that is being followed, in tree->home */
} walk;

static void cut(ims_buf *b, size_t size) {
  b->size = size;
  if (b->data)
    b->data[size] = '\0';
}

static int32_t push(ims_buf *canon, const char *name, size_t size, ims_error *err) {
  if (canon->size)
    ims_buf_putc(canon, '/');
  return ims_buf_append(canon, name, size) ? ims_fail_nomem(err) : IMGSTORE_OK;
}

static void go_up(ims_buf *canon) {
  size_t size = canon->size;
  while (size && canon->data[size - 1] != '/')
    size--;
  cut(canon, size ? size - 1 : 0);
}

/* In the layer itself, then below. */
static int32_t look(walk *w, ims_lower_object *object, ims_error *err) {
  const ims_overlay *o = w->tree->overlay;
  const char *path = ims_buf_text(&w->tree->canon);
  const ims_lower own = {.dir = ims_tree_root(w->tree)->fd, .prefix = "", .opaque = o->has_opaque};
  bool stop;
  int32_t rc = ims_lower_look(o->view, &own, path, object, &stop, err);
  return rc || stop ? rc : ims_lower_find(o->view, path, object, err);
}

/* There is no directory at canon; a link that led here is itself in the way. */
static int32_t dead_end(walk *w, ims_error *err) {
  ims_buf *canon = &w->tree->canon;
  if (!w->make) {
    w->nowhere = true;
    return IMGSTORE_OK;
  }
  if (!w->in_link)
    return IMGSTORE_OK;
  w->in_link = false;
  ims_buf_clear(canon);
  if (ims_buf_append(canon, ims_buf_text(&w->tree->home), w->tree->home.size))
    return ims_fail_nomem(err);
  return push(canon, w->home_name, strlen(w->home_name), err);
}

/* canon ends in the link: it is where its target starts from. */
static int32_t follow(walk *w, const char *target, size_t size, ims_error *err) {
  ims_tree *t = w->tree;
  if (!w->in_link) {
    const char *slash = strrchr(ims_buf_text(&t->canon), '/');
    const char *name = slash ? slash + 1 : ims_buf_text(&t->canon);
    memcpy(w->home_name, name, strlen(name) + 1);
    ims_buf_clear(&t->home);
    ims_buf_clear(&t->link);
    if (ims_buf_append(&t->home, t->canon.data, slash ? (size_t)(slash - t->canon.data) : 0))
      return ims_fail_nomem(err);
    w->in_link = true;
    w->link_at = 0;
  }
  if (!size || w->links++ >= MAX_LINKS)
    return dead_end(w, err);
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
  if (target[0] == '/')
    cut(&t->canon, 0);
  else
    go_up(&t->canon);
  return IMGSTORE_OK;
}

static int32_t step_down(walk *w, const char *name, size_t size, ims_error *err) {
  ims_lower_object object = {.fd = -1};
  int32_t rc = push(&w->tree->canon, name, size, err);
  if (!rc)
    rc = look(w, &object, err);
  if (rc || object.kind == IMS_LOWER_DIRECTORY) {
    if (object.fd >= 0)
      w->tree->sys->close(object.fd);
    return rc;
  }
  if (object.kind == IMS_LOWER_LINK) {
    char target[PATH_MAX];
    ssize_t length = w->tree->sys->readlinkat(object.fd, "", target, sizeof target);
    rc = length < 0 ? ims_entry_fail_os(err, errno, w->path, "read a link in its path")
                    : follow(w, target, (size_t)length, err);
  } else {
    rc = dead_end(w, err);
  }
  if (object.fd >= 0)
    w->tree->sys->close(object.fd);
  return rc;
}

/* The next component; false at the end. It is copied: the buffers may change. */
static bool next_name(walk *w, char name[IMS_NAME_MAX + 1], size_t *size) {
  const char *from = ims_buf_text(&w->tree->link) + w->link_at;
  if (w->in_link) {
    w->link_at += strspn(from, "/");
    w->in_link = w->link_at < w->tree->link.size;
  }
  if (w->in_link) {
    from = w->tree->link.data + w->link_at;
    *size = strcspn(from, "/");
    w->link_at += *size;
  } else {
    w->rest += strspn(w->rest, "/");
    from = w->rest;
    *size = strcspn(from, "/");
    w->rest += *size;
  }
  size_t kept = *size > IMS_NAME_MAX ? IMS_NAME_MAX : *size;
  memcpy(name, from, kept);
  name[kept] = '\0';
  return *size != 0;
}

static int32_t step(walk *w, const char *name, size_t size, ims_error *err) {
  if (size > IMS_NAME_MAX)
    return w->in_link || !w->make ? dead_end(w, err) : ims_entry_fail_os(err, ENAMETOOLONG, w->path, "");
  if (w->in_link && strcmp(name, ".") == 0)
    return IMGSTORE_OK;
  if (strcmp(name, "..") == 0) {
    go_up(&w->tree->canon);
    return IMGSTORE_OK;
  }
  return step_down(w, name, size, err);
}

int32_t ims_overlay_resolve(ims_tree *tree, const char *path, bool make, bool *found, ims_error *err) {
  walk w = {.tree = tree, .path = path, .rest = path, .make = make};
  char name[IMS_NAME_MAX + 1];
  size_t size;
  int32_t rc = IMGSTORE_OK;
  ims_buf_clear(&tree->canon);
  while (!rc && !w.nowhere && next_name(&w, name, &size))
    rc = step(&w, name, size, err);
  *found = !rc && !w.nowhere;
  return rc;
}
