/*
 * tar/whiteout.c (L1) - names of a layer: cleaning, and what the prefix ".wh." means (image-spec, layer, "Whiteouts").
 * Knows nothing of what is on disk: a path is text here.
 */
#include "tar/whiteout.h"

#include <stdbool.h>
#include <string.h>

#include "base/text.h"

#define PREFIX ".wh."
#define META_PREFIX ".wh..wh."
#define OPAQUE_NAME ".wh..wh..opq"

enum { PREFIX_SIZE = sizeof PREFIX - 1 };

static bool is_name(const char *name, size_t size, const char *text) {
  return size == strlen(text) && memcmp(name, text, size) == 0;
}

static size_t drop_last(const char *out, size_t length) {
  while (length && out[length - 1] != '/')
    length--;
  return length ? length - 1 : 0;
}

/* Copies the components that count. out has room for all of path. */
static void clean(const char *path, char *out) {
  size_t length = 0;
  while (*path) {
    size_t size = (size_t)(strchrnul(path, '/') - path);
    if (is_name(path, size, "..")) {
      length = drop_last(out, length);
    } else if (size && !is_name(path, size, ".")) {
      if (length)
        out[length++] = '/';
      memmove(out + length, path, size);
      length += size;
    }
    path += size + (path[size] == '/');
  }
  out[length] = '\0';
}

/* A whiteout is a file, so nothing can lie below one; AUFS metadata folders are the exception. */
static int32_t check_parents(const char *path, int *kind, ims_error *err) {
  for (const char *slash = strchr(path, '/'); slash; path = slash + 1, slash = strchr(path, '/')) {
    if (ims_starts_with(path, META_PREFIX)) {
      *kind = IMS_WHITEOUT_IGNORE;
      return IMGSTORE_OK;
    }
    if (ims_starts_with(path, PREFIX))
      return ims_fail(err, IMGSTORE_EFORMAT, "a whiteout cannot be a directory");
  }
  return IMGSTORE_OK;
}

static int32_t take_whiteout(char *out, char *name, int *kind, ims_error *err) {
  char *hidden = name + PREFIX_SIZE;
  if (strcmp(name, OPAQUE_NAME) == 0) {
    out[drop_last(out, strlen(out))] = '\0';
    *kind = IMS_WHITEOUT_OPAQUE;
    return IMGSTORE_OK;
  }
  if (ims_starts_with(name, META_PREFIX)) {
    *kind = IMS_WHITEOUT_IGNORE;
    return IMGSTORE_OK;
  }
  if (!*hidden || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
    return ims_fail(err, IMGSTORE_EFORMAT, "whiteout without a name to hide");
  memmove(name, hidden, strlen(hidden) + 1);
  *kind = IMS_WHITEOUT_FILE;
  return IMGSTORE_OK;
}

int32_t ims_layer_path(const char *path, char *out, int *kind, ims_error *err) {
  *kind = IMS_WHITEOUT_NONE;
  clean(path, out);
  char *slash = strrchr(out, '/'), *name = slash ? slash + 1 : out;
  int32_t rc = check_parents(out, kind, err);
  if (rc == IMGSTORE_OK && *kind == IMS_WHITEOUT_NONE && ims_starts_with(name, PREFIX))
    rc = take_whiteout(out, name, kind, err);
  if (rc != IMGSTORE_OK && err)
    ims_error_prefix(err, "entry \"%.256s\"", path);
  return rc;
}
