/*
 * api/result.c (L5) - imgstore_error, imgstore_bytes and the end of blocking jobs.
 */
#include "api/result.h"

#include <string.h>

#include "engine/operation.h"

struct imgstore_error {
  ims_alloc alloc;
  ims_error details;
};

struct imgstore_bytes {
  ims_alloc alloc;
  char *data;
  size_t size;
};

/* What a caller gets when there is no memory for an error object. Never written, never freed. */
static const imgstore_error no_memory = {.details = {.code = IMGSTORE_ENOMEM, .message = "out of memory"}};

int32_t ims_api_result(int32_t code, const ims_error *err, const ims_alloc *alloc, imgstore_error **out) {
  if (!code || !out)
    return code;
  alloc = alloc ? alloc : &ims_alloc_default;
  imgstore_error *error = code == IMGSTORE_ENOMEM ? NULL : ims_malloc(alloc, sizeof *error);
  if (!error) {
    *out = (imgstore_error *)&no_memory;
    return code;
  }
  error->alloc = *alloc;
  error->details = *err;
  error->details.code = code;
  if (!error->details.message[0])
    strcpy(error->details.message, imgstore_error_name(code));
  *out = error;
  return code;
}

int32_t ims_api_invalid(const char *what, const ims_alloc *alloc, imgstore_error **out) {
  ims_error err = IMS_ERROR_INIT;
  return ims_api_result(ims_fail(&err, IMGSTORE_EINVALID, "%s", what), &err, alloc, out);
}

int32_t ims_api_finish(imgstore_operation *op, imgstore_image **image, imgstore_report **report,
                       imgstore_error **error) {
  int32_t rc = imgstore_operation_wait(op, error);
  if (!rc && image)
    *image = imgstore_operation_image(op);
  if ((!rc || op->report_stays) && report) {
    *report = op->report;
    op->report = NULL;
  }
  imgstore_operation_free(op);
  return rc;
}

int32_t imgstore_error_code(const imgstore_error *error) {
  return error ? error->details.code : IMGSTORE_OK;
}

const char *imgstore_error_message(const imgstore_error *error) {
  return error ? error->details.message : "";
}

int32_t imgstore_error_http_status(const imgstore_error *error) {
  return error ? error->details.http_status : 0;
}

const char *imgstore_error_registry_code(const imgstore_error *error) {
  return error ? error->details.registry_code : "";
}

int32_t imgstore_error_os_errno(const imgstore_error *error) {
  return error ? error->details.os_errno : 0;
}

int32_t imgstore_error_callback_value(const imgstore_error *error) {
  return error ? error->details.callback_value : 0;
}

void imgstore_error_free(imgstore_error *error) {
  if (!error || error == &no_memory)
    return;
  ims_alloc alloc = error->alloc;
  ims_free(&alloc, error);
}

const char *imgstore_error_name(int32_t code) {
  static const char *const names[] = {"success",
                                      "invalid argument",
                                      "out of memory",
                                      "not found",
                                      "already exists",
                                      "unauthorized",
                                      "denied",
                                      "digest mismatch",
                                      "too many requests",
                                      "unsupported",
                                      "limit exceeded",
                                      "busy",
                                      "cancelled",
                                      "not finished",
                                      "corrupt",
                                      "no space left",
                                      "input/output error",
                                      "network error",
                                      "TLS error",
                                      "timed out",
                                      "protocol error",
                                      "stopped by callback",
                                      "ambiguous",
                                      "conflict",
                                      "access denied",
                                      "malformed",
                                      "not trusted"};
  if (code > 0 || -(int64_t)code >= (int64_t)(sizeof names / sizeof names[0]))
    return "unknown error";
  return names[-code];
}

int32_t ims_bytes_from_buf(imgstore_bytes **bytes, ims_buf *buf, ims_error *err) {
  *bytes = NULL;
  imgstore_bytes *b = buf->failed ? NULL : ims_calloc(buf->alloc, 1, sizeof *b);
  if (b) {
    b->alloc = *buf->alloc;
    b->data = ims_buf_detach(buf, &b->size);
  }
  int32_t rc = buf->failed == IMGSTORE_ELIMIT ? ims_fail(err, IMGSTORE_ELIMIT, "result is too large")
               : !b || !b->data               ? ims_fail_nomem(err)
                                              : IMGSTORE_OK;
  ims_buf_free(buf);
  if (rc) {
    imgstore_bytes_free(b);
    return rc;
  }
  *bytes = b;
  return IMGSTORE_OK;
}

const char *imgstore_bytes_data(const imgstore_bytes *bytes) {
  return bytes ? bytes->data : "";
}

size_t imgstore_bytes_size(const imgstore_bytes *bytes) {
  return bytes ? bytes->size : 0;
}

void imgstore_bytes_free(imgstore_bytes *bytes) {
  if (!bytes)
    return;
  ims_alloc alloc = bytes->alloc;
  ims_free(&alloc, bytes->data);
  ims_free(&alloc, bytes);
}
