/*
 * api/operation.c (L5) - include/imgstore/operation.h.
 */
#include "imgstore/operation.h"

#include "api/result.h"
#include "engine/operation.h"
#include "imgstore/image.h"

int32_t imgstore_operation_fd(const imgstore_operation *operation) {
  return operation ? operation->epoll_fd : -1;
}

int32_t imgstore_operation_step(imgstore_operation *operation, int32_t timeout, imgstore_error **error) {
  if (!operation)
    return ims_api_invalid("operation is NULL", NULL, error);
  int32_t rc = ims_operation_step(operation, timeout);
  if (rc == IMGSTORE_EAGAIN)
    return rc;
  return ims_api_result(rc, &operation->err, &operation->core->alloc, error);
}

int32_t imgstore_operation_wait(imgstore_operation *operation, imgstore_error **error) {
  int32_t rc;
  do
    rc = imgstore_operation_step(operation, -1, error);
  while (rc == IMGSTORE_EAGAIN);
  return rc;
}

void imgstore_operation_cancel(imgstore_operation *operation) {
  if (!operation)
    return;
  atomic_store(&operation->cancelled, true);
  ims_lane_signal(&operation->lane);
}

imgstore_image *imgstore_operation_image(const imgstore_operation *operation) {
  if (!operation || !operation->finished || operation->result || !operation->image)
    return NULL;
  return imgstore_image_ref(operation->image);
}

const imgstore_report *imgstore_operation_report(const imgstore_operation *operation) {
  return operation && operation->finished ? operation->report : NULL;
}

void imgstore_operation_free(imgstore_operation *operation) {
  ims_operation_free(operation);
}
