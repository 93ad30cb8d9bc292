/*
 * engine/archive_path.c (L4) - paths and links inside an archive of images: relative, without "." and "..".
 */
#include <string.h>

#include "engine/archive_path.h"

/* Appends the components of path to out, which holds *size bytes. False: it leads outside. */
static bool join(char *out, size_t *size, const char *path) {
  if (*path == '/')
    return false;
  while (*path) {
    size_t length = strcspn(path, "/");
    if (length == 2 && path[0] == '.' && path[1] == '.') {
      if (!*size)
        return false;
      while (*size && out[--*size] != '/') {
      }
    } else if (length && !(length == 1 && *path == '.')) {
      if (*size)
        out[(*size)++] = '/';
      memcpy(out + *size, path, length);
      *size += length;
    }
    path += length;
    path += strspn(path, "/");
  }
  out[*size] = '\0';
  return true;
}

int32_t ims_archive_clean_path(const char *path, char *out, ims_error *err) {
  size_t size = 0;
  bool inside = join(out, &size, path);
  for (const char *at = path; inside && *at; at += strspn(at, "/")) {
    size_t length = strcspn(at, "/");
    inside = !(length == 2 && at[0] == '.' && at[1] == '.');
    at += length;
  }
  return inside ? IMGSTORE_OK
                : ims_fail(err, IMGSTORE_EFORMAT, "member \"%.256s\": its path leads out of the archive", path);
}

int32_t ims_archive_link_path(const char *path, const char *target, bool symbolic, char *out, ims_error *err) {
  size_t size = 0;
  const char *slash = symbolic ? strrchr(path, '/') : NULL;
  if (slash) {
    size = (size_t)(slash - path);
    memcpy(out, path, size);
  }
  if (join(out, &size, target))
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_EFORMAT, "member \"%.256s\": its link to \"%.256s\" leads out of the archive", path,
                  target);
}
