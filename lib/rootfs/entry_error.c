/*
 * rootfs/entry_error.c (L3) - messages about entries. The layer's digest is put before them by the caller above.
 */
#include "rootfs/entry_error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_HEAD = 120, SHOWN_TAIL = 80, SHOWN = SHOWN_HEAD + SHOWN_TAIL + 4 };

static void shorten(char out[SHOWN], const char *path) {
  size_t size = strlen(path);
  if (size < SHOWN)
    memcpy(out, path, size + 1);
  else
    snprintf(out, SHOWN, "%.*s...%s", SHOWN_HEAD, path, path + size - SHOWN_TAIL);
}

int32_t ims_entry_fail(ims_error *err, int32_t code, const char *path, const char *format, ...) {
  char shown[SHOWN], what[512];
  shorten(shown, path);
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  return ims_fail(err, code, "entry \"%s\": %s", shown, what);
}

int32_t ims_entry_fail_os(ims_error *err, int os_errno, const char *path, const char *what) {
  char shown[SHOWN];
  shorten(shown, path);
  if (os_errno == ENAMETOOLONG)
    return ims_fail(err, IMGSTORE_EFORMAT, "entry \"%s\": name too long", shown);
  return ims_fail_os(err, os_errno, "entry \"%s\": cannot %s", shown, what);
}
