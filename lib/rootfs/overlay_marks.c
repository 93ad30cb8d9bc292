/*
 * rootfs/overlay_marks.c (L3) - attributes and names of overlay file systems. No I/O.
 */
#include "rootfs/overlay_marks.h"

#include <string.h>
#include <sys/sysmacros.h>

#include "base/text.h"
#include "tar/whiteout.h"

#define TRUSTED "trusted.overlay."
#define USER "user.overlay."
#define FUSE "user.fuseoverlayfs."

/** The part of the name behind the prefix of the kinds, or NULL. */
static const char *own_part(int32_t kinds, const char *name) {
  if ((kinds & IMS_MARKS_TRUSTED) && ims_starts_with(name, TRUSTED))
    return name + sizeof TRUSTED - 1;
  if ((kinds & IMS_MARKS_USER) && ims_starts_with(name, USER))
    return name + sizeof USER - 1;
  if ((kinds & IMS_MARKS_FUSE) && ims_starts_with(name, FUSE))
    return name + sizeof FUSE - 1;
  return NULL;
}

uint32_t ims_overlay_mark(int32_t kinds, const char *name, const void *value, size_t size) {
  const char *part = own_part(kinds, name);
  if (!part)
    return 0;
  if (strcmp(part, "opaque") == 0)
    return size == 1 && memcmp(value, "y", 1) == 0   ? IMS_MARK_OPAQUE
           : size == 1 && memcmp(value, "x", 1) == 0 ? IMS_MARK_XWHITEOUTS
                                                     : 0;
  if (strcmp(part, "whiteout") == 0)
    return IMS_MARK_WHITEOUT;
  if (strcmp(part, "redirect") == 0)
    return IMS_MARK_REDIRECT;
  return strcmp(part, "metacopy") == 0 ? IMS_MARK_METACOPY : 0;
}

bool ims_is_overlay_attribute(const char *name) {
  return ims_starts_with(name, TRUSTED) || ims_starts_with(name, USER) || ims_starts_with(name, FUSE) ||
         strcmp(name, "user.containers.override_stat") == 0;
}

bool ims_is_whiteout_device(const struct stat *st) {
  return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

int ims_overlay_name(const char *name, const char **hidden) {
  *hidden = NULL;
  if (!ims_starts_with(name, ".wh."))
    return IMS_WHITEOUT_NONE;
  if (strcmp(name, ".wh..wh..opq") == 0)
    return IMS_WHITEOUT_OPAQUE;
  if (ims_starts_with(name, ".wh..wh.") || strcmp(name, ".wh.") == 0 || strcmp(name, ".wh..") == 0 ||
      strcmp(name, ".wh...") == 0)
    return IMS_WHITEOUT_IGNORE;
  *hidden = name + 4;
  return IMS_WHITEOUT_FILE;
}
