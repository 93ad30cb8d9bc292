/*
 * rootfs/privileges.h (L3) - what this process may do to a file system.
 */
#ifndef IMS_ROOTFS_PRIVILEGES_H
#define IMS_ROOTFS_PRIVILEGES_H

#include <stdbool.h>

#include "base/sys.h"

typedef struct ims_privileges {
  bool overrides; /**< modes do not bind it (CAP_DAC_OVERRIDE) */
  bool owners;    /**< it may give files to anybody */
  bool devices;   /**< it may make device nodes */
  bool xattrs;    /**< it may set file capabilities */
  bool trusted;   /**< it may set trusted.* attributes */
} ims_privileges;

void ims_privileges_get(const ims_sys *sys, ims_privileges *privileges);

#endif
