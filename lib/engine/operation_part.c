/*
 * engine/operation_part.c (L4) - jobs whose parts are jobs.
 */
#include "engine/operation_part.h"

int32_t ims_part_event(void *whole, const imgstore_event *e) {
  return ims_operation_event(whole, e->type, e->object, e->digest, e->text, e->done, e->total);
}

int32_t ims_part_begin(imgstore_operation *whole, imgstore_operation *part) {
  whole->transport_fd = -1; /* the number of the last part's descriptor may come again */
  return ims_operation_watch(whole, part->epoll_fd, &whole->err);
}

int32_t ims_part_step(imgstore_operation *whole, imgstore_operation *part) {
  int32_t rc = ims_operation_step(part, 0);
  if (rc && rc != IMGSTORE_EAGAIN && !whole->err.code)
    whole->err = part->err;
  return rc;
}
