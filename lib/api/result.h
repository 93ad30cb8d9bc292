/*
 * api/result.h (L5) - turns the inside's error struct into what a caller gets; the end of blocking jobs; bytes
 * handed out.
 */
#ifndef IMS_API_RESULT_H
#define IMS_API_RESULT_H

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "imgstore/operation.h"

/**
 * Ends an exported function: when code is not IMGSTORE_OK and out is given, *out becomes a new error object (a static
 * one when there is no memory). alloc NULL: the default allocator. Returns code.
 */
int32_t ims_api_result(int32_t code, const ims_error *err, const ims_alloc *alloc, imgstore_error **out);
/** A missing required argument: IMGSTORE_EINVALID. */
int32_t ims_api_invalid(const char *what, const ims_alloc *alloc, imgstore_error **out);
/**
 * The blocking face of a job: waits for the operation, hands out its image and its report where they are wanted (when
 * it went well, else they stay as they are; the report also when the job says so), and frees it.
 */
int32_t ims_api_finish(imgstore_operation *op, imgstore_image **image, imgstore_report **report,
                       imgstore_error **error);
/** Turns the content of buf into bytes for the caller and frees buf. */
int32_t ims_bytes_from_buf(imgstore_bytes **bytes, ims_buf *buf, ims_error *err);

#endif
