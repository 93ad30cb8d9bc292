/*
 * rootfs/unnamed_file.h (L3) - a file without a name inside the target directory: for what does not fit in memory, and
 * to learn how the file system makes files.
 */
#ifndef IMS_ROOTFS_UNNAMED_FILE_H
#define IMS_ROOTFS_UNNAMED_FILE_H

#include "base/sys.h"

/** A new file in directory dir, open for reading and writing, that vanishes when closed; -1 and errno. */
int ims_unnamed_file(const ims_sys *sys, int dir, mode_t mode);

#endif
