/*
 * rootfs/overlay_settle.c (L3) - what a layer that was applied on its own owes to the layers below it, once they are
 * known: the description of its placeholders, and hiding whole roots.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/folder.h"
#include "rootfs/dir_files.h"
#include "rootfs/entry_error.h"
#include "rootfs/overlay_parts.h"

/* --- sealing ------------------------------------------------------------------------------------------------------ */

/* The parent's path in a placeholder's; its name. */
static const char *split(char *path, char **slash) {
  *slash = strrchr(path, '/');
  if (*slash)
    **slash = '\0';
  return *slash ? *slash + 1 : path;
}

static int32_t is_described(ims_tree *t, char *path, bool *described, ims_error *err) {
  char *slash;
  const char *name = split(path, &slash);
  ims_dir *dir;
  int32_t rc = ims_overlay_dir(t, slash ? path : "", IMS_OVERLAY_FIND, &dir, err);
  if (slash)
    *slash = '/';
  *described = false;
  if (rc == IMGSTORE_EAGAIN || (!rc && !dir)) { /* it was removed again */
    t->overlay->unsure = false;
    return IMGSTORE_OK;
  }
  if (rc)
    return rc;
  rc = ims_created_has(&t->created, ims_name_hash(&t->key, dir->dev, dir->ino, name), described, err);
  int32_t failed = ims_dirs_unpin(&t->dirs, dir, err);
  return rc ? rc : failed;
}

int32_t ims_overlay_seal(ims_tree *t, ims_error *err) {
  ims_buf *list = &t->overlay->placeholders;
  int32_t rc = IMGSTORE_OK;
  for (size_t at = 0; !rc && at < list->size;) {
    bool described;
    size_t size = strlen(list->data + at) + 1;
    rc = is_described(t, list->data + at + 1, &described, err);
    if (!rc && described && list->data[at] != IMS_PLACEHOLDER_WHITEOUT)
      list->data[at] = IMS_PLACEHOLDER_DESCRIBED;
    at += size;
  }
  if (!rc)
    rc = ims_dirs_clear(&t->dirs, err);
  ims_created_free(&t->created);
  ims_created_free(&t->overlay->placeholder_paths);
  return rc;
}

/* --- settling ----------------------------------------------------------------------------------------------------- */

/* An entry gave the metadata of a directory that has attributes in a layer below: those that it does not name stay.
   What they are depends on the order of things in this layer. */
static int32_t check_attributes(ims_tree *t, ims_error *err) {
  const ims_lower own = {.dir = ims_tree_root(t)->fd, .prefix = ""};
  for (size_t i = 0; i < t->overlay->view->count; i++) {
    const ims_lower *layer = &t->overlay->view->layers[i];
    if (layer->any_attributes)
      return ims_overlay_unsure(t->overlay);
    for (size_t at = 0; layer->attributes && at < layer->attributes->size;) {
      const char *path = layer->attributes->data + at;
      ims_lower_object object;
      bool stop;
      at += strlen(path) + 1;
      if (!*path && !t->overlay->root_described)
        continue;
      int32_t rc = ims_lower_look(t->overlay->view, &own, path, &object, &stop, err);
      if (rc)
        return rc;
      if (object.fd >= 0)
        t->sys->close(object.fd);
      if (object.kind == IMS_LOWER_DIRECTORY)
        return ims_overlay_unsure(t->overlay);
    }
  }
  return IMGSTORE_OK;
}

/* The whiteout at path hides nothing: a directory that is not merged with others would show it. */
static int32_t drop_whiteout(ims_tree *t, char *path, ims_error *err) {
  char *slash;
  ims_dir *parent;
  struct stat st;
  const char *name = split(path, &slash);
  int32_t rc = ims_overlay_dir(t, slash ? path : "", IMS_OVERLAY_FIND, &parent, err);
  if (slash)
    *slash = '/';
  if (rc || !parent)
    return rc;
  if (t->sys->fstatat(parent->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
    rc = errno == ENOENT ? IMGSTORE_OK : ims_entry_fail_os(err, errno, path, "look at a whiteout");
  } else if (ims_is_whiteout(&st)) {
    parent->touched = true;
    rc = t->sys->unlinkat(parent->fd, name, 0) == 0 ? IMGSTORE_OK
                                                    : ims_entry_fail_os(err, errno, path, "remove a whiteout");
    ims_tree_uncount(t, &st);
  }
  int32_t failed = ims_dirs_unpin(&t->dirs, parent, err);
  return rc ? rc : failed;
}

/* Describes one placeholder that is still there. */
static int32_t settle_one(ims_tree *t, char kind, char *path, ims_error *err) {
  ims_lower_object below;
  ims_dir *dir = NULL;
  int32_t rc = ims_lower_find(t->overlay->view, path, &below, err);
  if (rc || below.kind == IMS_LOWER_NONE)
    return rc || kind != IMS_PLACEHOLDER_WHITEOUT ? rc : drop_whiteout(t, path, err);
  if (kind == IMS_PLACEHOLDER_WHITEOUT)
    rc = IMGSTORE_OK;
  else if (below.kind == IMS_LOWER_LINK)
    rc = ims_overlay_unsure(t->overlay); /* what was put here belongs where the link leads */
  else if (below.kind == IMS_LOWER_DIRECTORY && kind != IMS_PLACEHOLDER_DESCRIBED)
    rc = ims_overlay_dir(t, path, IMS_OVERLAY_FIND, &dir, err);
  if (!rc && dir)
    rc = ims_copy_directory(t, dir, &below, path, err);
  t->sys->close(below.fd);
  int32_t failed = ims_dirs_unpin(&t->dirs, dir, err);
  return rc ? rc : failed;
}

static int32_t remove_if_empty(ims_tree *t, char *path, ims_error *err) {
  char *slash;
  ims_dir *parent;
  const char *name = split(path, &slash);
  int32_t rc = ims_overlay_dir(t, slash ? path : "", IMS_OVERLAY_FIND, &parent, err);
  if (!rc && parent) {
    parent->touched = true;
    if (t->sys->unlinkat(parent->fd, name, AT_REMOVEDIR) == 0)
      t->inodes--;
    else if (errno != ENOTEMPTY && errno != EEXIST)
      rc = ims_entry_fail_os(err, errno, path, "remove a directory");
  }
  if (slash)
    *slash = '/';
  int32_t failed = rc ? IMGSTORE_OK : ims_dirs_unpin(&t->dirs, parent, err);
  return rc ? rc : failed;
}

/* A directory that was made for whiteouts only, which are gone, and no lower layer has it. */
static int32_t drop_weak(ims_tree *t, char *path, ims_error *err) {
  ims_lower_object below;
  ims_dir *dir;
  int32_t rc = ims_lower_find(t->overlay->view, path, &below, err);
  if (below.fd >= 0)
    t->sys->close(below.fd);
  if (rc || below.kind == IMS_LOWER_DIRECTORY)
    return rc;
  rc = ims_overlay_dir(t, path, IMS_OVERLAY_FIND, &dir, err);
  if (rc || !dir)
    return rc;
  rc = ims_dirs_unpin(&t->dirs, dir, err);
  if (!rc)
    rc = ims_dirs_clear(&t->dirs, err);
  return rc ? rc : remove_if_empty(t, path, err);
}

static int32_t settle_root(ims_tree *t, ims_error *err) {
  ims_lower_object below;
  if (t->overlay->root_described)
    return IMGSTORE_OK;
  int32_t rc = ims_lower_find(t->overlay->view, "", &below, err);
  if (rc || below.kind != IMS_LOWER_DIRECTORY)
    return rc;
  rc = ims_copy_directory(t, ims_tree_root(t), &below, "", err);
  t->sys->close(below.fd);
  return rc;
}

int32_t ims_overlay_begin(ims_tree *t, ims_error *err) {
  return settle_root(t, err);
}

int32_t ims_overlay_settle(ims_tree *t, ims_error *err) {
  ims_buf *list = &t->overlay->placeholders;
  int32_t rc = check_attributes(t, err);
  if (!rc)
    rc = settle_root(t, err);
  for (size_t at = 0; !rc && at < list->size; at += strlen(list->data + at) + 1)
    rc = settle_one(t, list->data[at], list->data + at + 1, err);
  for (size_t end = list->size; !rc && end;) { /* the last made first: what lies in another comes after it */
    size_t at = end - 1;
    while (at && list->data[at - 1])
      at--;
    if (list->data[at] == IMS_PLACEHOLDER_WEAK)
      rc = drop_weak(t, list->data + at + 1, err);
    end = at;
  }
  return rc;
}

/* --- roots ---------------------------------------------------------------------------------------------------------
 */

typedef struct hiding {
  ims_tree *tree;
  ims_error *err;
} hiding;

static int32_t hide_one(void *data, const char *name, unsigned char type) {
  hiding *h = data;
  return ims_overlay_hide_named(h->tree, name, h->err);
}

int32_t ims_overlay_hide_roots(ims_tree *t, ims_error *err) {
  hiding h = {t, err};
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < t->overlay->view->count; i++) {
    const ims_lower *layer = &t->overlay->view->layers[i];
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = t->sys->openat(layer->dir, *layer->prefix ? layer->prefix : ".", flags, 0);
    if (fd < 0)
      return ims_fail_os(err, errno, "cannot open the root of a layer below");
    rc = ims_folder_scan(t->overlay->core, fd, hide_one, &h);
    if (rc)
      ims_fail(err, rc, "cannot read the root of a layer below");
    t->sys->close(fd);
  }
  return rc;
}
