/*
 * transport/check.c (L3) - makes a caller's transport vtable complete: what is missing and optional gets a harmless
 * stand-in, what is missing and required is refused. It runs none of it.
 */
#include <string.h>

#include "transport/curl.h"

/* Up to the last entry of the first release. */
enum { FIRST_SIZE = offsetof(imgstore_transport, destroy) + sizeof(void (*)(void *)) };

static int32_t no_poll_fd(void *user_data) {
  return -1;
}

static int32_t no_timeout(void *user_data) {
  return -1;
}

static void no_destroy(void *user_data) {
}

int32_t ims_transport_check(const imgstore_transport *given, imgstore_transport *complete, ims_error *err) {
  imgstore_transport own = {.size = sizeof own};
  memset(complete, 0, sizeof *complete);
  if (!given || given->size < FIRST_SIZE)
    return ims_fail(err, IMGSTORE_EINVALID, "transport: size is smaller than the first release's struct");
  memcpy(&own, given, given->size < sizeof own ? given->size : sizeof own);
  own.size = sizeof own;
  if (!own.start || !own.resume || !own.perform || !own.close)
    return ims_fail(err, IMGSTORE_EINVALID, "transport: start, resume, perform and close are required");
  if (!own.poll_fd)
    own.poll_fd = no_poll_fd;
  if (!own.timeout)
    own.timeout = no_timeout;
  if (!own.destroy)
    own.destroy = no_destroy;
  *complete = own;
  return IMGSTORE_OK;
}
