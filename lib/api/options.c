/*
 * api/options.c (L5) - copying sized structs in, and filling them with defaults.
 */
#include "api/options.h"

#include <string.h>

int32_t ims_options_copy(void *own, size_t own_size, const void *given, size_t minimum, const char *what,
                         ims_error *err) {
  size_t size;
  if (!given)
    return IMGSTORE_OK;
  memcpy(&size, given, sizeof size);
  if (size < minimum)
    return ims_fail(err, IMGSTORE_EINVALID, "%s: size %zu is less than %zu: call its init function first", what, size,
                    minimum);
  const unsigned char *bytes = given;
  for (size_t i = own_size; i < size; i++)
    if (bytes[i])
      return ims_fail(err, IMGSTORE_EUNSUPPORTED, "%s: a field beyond the %zu bytes that this release knows is set",
                      what, own_size);
  memcpy(own, given, size < own_size ? size : own_size);
  memcpy(own, &own_size, sizeof own_size);
  return IMGSTORE_OK;
}

int32_t ims_options_init(void *options, size_t size, const void *defaults, size_t own_size) {
  if (!options || size < sizeof size)
    return IMGSTORE_EINVALID;
  memset(options, 0, size);
  memcpy(options, defaults, size < own_size ? size : own_size);
  memcpy(options, &size, sizeof size);
  return IMGSTORE_OK;
}
