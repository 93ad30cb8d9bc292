/*
 * engine/open_in_root.h (L4) - opening a path of a foreign root file system as if its root were "/".
 */
#ifndef IMS_ENGINE_OPEN_IN_ROOT_H
#define IMS_ENGINE_OPEN_IN_ROOT_H

#include "base/sys.h"

/**
 * Opens path as a process whose root directory is root would: links cannot lead out of it. flags: of open(2), with
 * O_CLOEXEC added; nothing is made. Returns a descriptor, or -1 and errno.
 */
int ims_open_in_root(const ims_sys *sys, int root, const char *path, int flags);

#endif
