/*
 * tar/whiteout.h (L1) - what the names .wh.* mean in a layer.
 */
#ifndef IMS_TAR_WHITEOUT_H
#define IMS_TAR_WHITEOUT_H

#include "base/error.h"

enum { IMS_WHITEOUT_NONE = 0, IMS_WHITEOUT_FILE = 1, IMS_WHITEOUT_OPAQUE = 2 };

/**
 * Splits and cleans an entry's path: "" and "." components dropped, ".." clamped at the root. out receives the cleaned
 * path (capacity strlen(path) + 1; "" is the root). For FILE the last component is the hidden name, for OPAQUE the path
 * is the directory. *kind: IMS_WHITEOUT_*. AUFS metadata (".wh..wh.plnk", ".wh..wh.aufs", other ".wh..wh.*") gives
 * IMS_WHITEOUT_IGNORE. Errors: IMGSTORE_EFORMAT for ".wh.", ".wh..", ".wh...", a whiteout of the root.
 */
enum { IMS_WHITEOUT_IGNORE = 3 };
int32_t ims_layer_path(const char *path, char *out, int *kind, ims_error *err);

#endif
