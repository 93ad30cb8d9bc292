/*
 * engine/archive_path.c (L4) - paths and links inside an archive of images: relative, without "." and ".."; what a path
 * says about its member.
 */
#include "engine/archive_path.h"

#include <string.h>

#include "base/text.h"

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

/* --- what a path says -----------------------------------------------------------------------------------------------
 */

bool ims_archive_path_digest(const char *path, ims_digest *digest) {
  char text[IMS_DIGEST_TEXT];
  memset(digest, 0, sizeof *digest);
  if (!ims_starts_with(path, "blobs/") || strlen(path + 6) >= sizeof text)
    return false;
  strcpy(text, path + 6);
  char *slash = strchr(text, '/');
  if (!slash)
    return false;
  *slash = ':';
  if (ims_digest_parse(digest, text, strlen(text), NULL) == IMGSTORE_OK)
    return true;
  memset(digest, 0, sizeof *digest);
  return false;
}

bool ims_archive_path_is_document(const char *path) {
  static const char *const names[] = {"manifest.json", "index.json", "oci-layout"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(path, names[i]) == 0)
      return true;
  return false;
}

bool ims_archive_path_is_legacy(const char *path) {
  const char *slash = strchr(path, '/');
  return strcmp(path, "repositories") == 0 || (slash && (!strcmp(slash, "/VERSION") || !strcmp(slash, "/json")));
}

static bool ends_with(const char *text, size_t size, const char *ending) {
  size_t length = strlen(ending);
  return size > length && ims_equal_fold_n(text + size - length, length, ending, length);
}

size_t ims_archive_base_name(const char *path, bool archive, const char **base) {
  static const char *const endings[] = {".gz", ".zst", ".tar", ".tgz", ".tzst"};
  size_t end = strlen(path);
  while (end > 1 && path[end - 1] == '/')
    end--;
  size_t start = end;
  while (start > 0 && path[start - 1] != '/')
    start--;
  for (size_t i = 0; archive && i < sizeof endings / sizeof *endings; i++)
    if (ends_with(path + start, end - start, endings[i]))
      end -= strlen(endings[i]);
  *base = path + start;
  return end - start;
}
