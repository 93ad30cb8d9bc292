/*
 * rootfs/lower_view.c (L3) - look-ups in stacked layer directories: one call of the kernel for each layer, or a walk
 * without links where the kernel has no openat2 or the path is longer than it takes.
 */
#include "rootfs/lower_view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "rootfs/entry_error.h"

enum { PATH_CEILING = 1 << 24, NAME_SIZE = 256 };

bool ims_is_whiteout(const struct stat *st) {
  return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

int ims_has_xattr(const ims_sys *sys, int fd, const char *name, bool *has) {
  char path[40], value[8];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  *has = sys->getxattr(path, name, value, sizeof value) >= 0;
  return *has || errno == ENODATA || errno == EOPNOTSUPP ? 0 : errno;
}

/* Opens component after component. -1 and errno. */
static int walk(const ims_sys *sys, int dir, const char *path, int flags) {
  char name[NAME_SIZE];
  int at = -1;
  do {
    path += strspn(path, "/");
    size_t size = strcspn(path, "/");
    if (size >= sizeof name) {
      errno = ENAMETOOLONG;
    } else {
      memcpy(name, path, size);
      name[size] = '\0';
    }
    path += size;
    bool last = !path[strspn(path, "/")];
    int next = size >= sizeof name ? -1
                                   : sys->openat(at < 0 ? dir : at, size ? name : ".",
                                                 O_NOFOLLOW | O_CLOEXEC | (last ? flags : O_PATH | O_DIRECTORY), 0);
    int saved = errno;
    if (at >= 0)
      sys->close(at);
    errno = saved;
    at = next;
    if (last || at < 0)
      return at;
  } while (true);
}

static int open_beneath(const ims_sys *sys, int dir, const char *path, int flags) {
  const ims_open_how how = {.flags = (uint64_t)(flags | O_NOFOLLOW | O_CLOEXEC),
                            .resolve = IMS_RESOLVE_BENEATH | IMS_RESOLVE_NO_SYMLINKS | IMS_RESOLVE_NO_MAGICLINKS};
  int fd = sys->openat2(dir, *path ? path : ".", &how);
  if (fd >= 0 || errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
    return fd;
  return walk(sys, dir, path, flags);
}

/* The layer's prefix and path together. */
static int32_t full_path(const ims_lower *layer, const char *path, size_t size, ims_buf *out, ims_error *err) {
  ims_buf_clear(out);
  ims_buf_puts(out, layer->prefix);
  if (*layer->prefix && size)
    ims_buf_putc(out, '/');
  return ims_buf_append(out, path, size) ? ims_fail_nomem(err) : IMGSTORE_OK;
}

/* Is one of the directories that path lies in opaque here? */
static int32_t find_opaque(const ims_lower_view *view, const ims_lower *layer, const char *path, ims_buf *full,
                           bool *opaque, ims_error *err) {
  for (const char *slash = strchr(path, '/'); slash && !*opaque; slash = strchr(slash + 1, '/')) {
    int32_t rc = full_path(layer, path, (size_t)(slash - path), full, err);
    if (rc)
      return rc;
    int fd = open_beneath(view->sys, layer->dir, ims_buf_text(full), O_PATH | O_DIRECTORY);
    if (fd < 0)
      return errno == ENOENT ? IMGSTORE_OK : ims_entry_fail_os(err, errno, path, "look at the layers below");
    int failed = ims_has_xattr(view->sys, fd, view->opaque_name, opaque);
    view->sys->close(fd);
    if (failed)
      return ims_entry_fail_os(err, failed, path, "look at the layers below");
  }
  return IMGSTORE_OK;
}

static int32_t classify(const ims_lower_view *view, const char *path, ims_lower_object *object, ims_error *err) {
  if (view->sys->fstat(object->fd, &object->st) != 0) {
    int saved = errno;
    view->sys->close(object->fd);
    object->fd = -1;
    return ims_entry_fail_os(err, saved, path, "look at the layers below");
  }
  object->kind = S_ISDIR(object->st.st_mode)   ? IMS_LOWER_DIRECTORY
                 : S_ISLNK(object->st.st_mode) ? IMS_LOWER_LINK
                                               : IMS_LOWER_OTHER;
  if (ims_is_whiteout(&object->st)) {
    object->kind = IMS_LOWER_NONE;
    view->sys->close(object->fd);
    object->fd = -1;
  }
  return IMGSTORE_OK;
}

int32_t ims_lower_look(const ims_lower_view *view, const ims_lower *layer, const char *path, ims_lower_object *object,
                       bool *stop, ims_error *err) {
  ims_buf full;
  object->kind = IMS_LOWER_NONE;
  *stop = false;
  ims_buf_init(&full, view->alloc, PATH_CEILING);
  int32_t rc = full_path(layer, path, strlen(path), &full, err);
  object->fd = rc ? -1 : open_beneath(view->sys, layer->dir, ims_buf_text(&full), O_PATH);
  if (rc) {
    ; /* out of memory */
  } else if (object->fd >= 0) {
    *stop = true;
    rc = classify(view, path, object, err);
  } else if (errno == ENOTDIR || errno == ELOOP) {
    *stop = true; /* a directory of its path is something else here */
  } else if (errno != ENOENT && errno != ENAMETOOLONG) {
    rc = ims_entry_fail_os(err, errno, path, "look at the layers below");
  } else if (layer->opaque) {
    rc = find_opaque(view, layer, path, &full, stop, err);
  }
  ims_buf_free(&full);
  return rc;
}

int32_t ims_lower_find(const ims_lower_view *view, const char *path, ims_lower_object *object, ims_error *err) {
  bool stop = false;
  object->kind = IMS_LOWER_NONE;
  object->fd = -1;
  for (size_t i = 0; i < view->count && !stop; i++) {
    int32_t rc = ims_lower_look(view, &view->layers[i], path, object, &stop, err);
    if (rc)
      return rc;
  }
  return IMGSTORE_OK;
}
