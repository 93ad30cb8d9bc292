/*
 * rootfs/open_dir.h (L3) - opens one directory by one name, never through a link, also where its own mode shuts its
 * owner out.
 */
#ifndef IMS_ROOTFS_OPEN_DIR_H
#define IMS_ROOTFS_OPEN_DIR_H

#include <stdbool.h>

#include "base/sys.h"

typedef struct ims_opened {
  int fd;
  bool unlocked; /**< the owner's rights were added to get in */
  mode_t mode;   /**< the mode before that */
} ims_opened;

/** Opens dir/name for reading. overrides: modes do not bind this process. Returns 0 or an errno. */
int ims_open_dir(const ims_sys *sys, bool overrides, int dir, const char *name, ims_opened *opened);
/** Sets the mode of dir/name, which is no link and not a directory. Returns 0 or an errno. */
int ims_chmod_special(const ims_sys *sys, int dir, const char *name, mode_t mode);

#endif
