/*
 * api/options.h (L5) - structs that cross the ABI: copied by the size their caller knows.
 */
#ifndef IMS_API_OPTIONS_H
#define IMS_API_OPTIONS_H

#include <stddef.h>

#include "base/error.h"

/**
 * Copies a caller's options struct, which begins with size_t size, over own, which holds the defaults. given NULL: own
 * stays. minimum: size of the struct in the first release. what: the struct's name for messages.
 * Errors: IMGSTORE_EINVALID (shorter than minimum), IMGSTORE_EUNSUPPORTED (non-zero fields that this release lacks).
 */
int32_t ims_options_copy(void *own, size_t own_size, const void *given, size_t minimum, const char *what,
                         ims_error *err);
/**
 * The body of every imgstore_X_options_init: copies min(size, own_size) bytes of the defaults and zeroes the rest.
 * Errors: IMGSTORE_EINVALID (NULL, or no room for the size field).
 */
int32_t ims_options_init(void *options, size_t size, const void *defaults, size_t own_size);

#endif
