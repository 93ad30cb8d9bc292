/* imgstore/version.h - the release, at compile time and at run time. meson reads the SONAME from here. */
#ifndef IMGSTORE_VERSION_H
#define IMGSTORE_VERSION_H

#include <stdint.h>

#define IMGSTORE_VERSION_MAJOR 0
#define IMGSTORE_VERSION_MINOR 1
#define IMGSTORE_VERSION_PATCH 0
/** The number of the shared library's SONAME: raised only when a built program would break. */
#define IMGSTORE_SOVERSION 0

#endif
