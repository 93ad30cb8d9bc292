/*
 * base/error.h (L0) - failure details inside the library: a plain struct on the caller's stack or in its object,
 * so that reporting an error needs no memory. The API layer turns it into an imgstore_error.
 *
 * Rules: set once, where the failure is detected, with the name of the object; layers above pass it on. A message
 * is one line, without a full stop, and says nothing that the code says already.
 */
#ifndef IMS_BASE_ERROR_H
#define IMS_BASE_ERROR_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "imgstore/error.h"

enum { IMS_ERROR_MESSAGE = 1024, IMS_ERROR_REGISTRY_CODE = 64 };

typedef struct ims_error {
  int32_t code;
  int32_t http_status;
  int32_t os_errno;
  int32_t callback_value;
  char registry_code[IMS_ERROR_REGISTRY_CODE];
  char message[IMS_ERROR_MESSAGE];
} ims_error;

#define IMS_ERROR_INIT                                                                                                 \
  { 0, 0, 0, 0, "", "" }

/** Empties an error. */
void ims_error_clear(ims_error *err);
/** Sets *err, if there is one and it is still empty, and returns code. Control characters are escaped. */
int32_t ims_fail(ims_error *err, int32_t code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/** As ims_fail, with the code that fits an errno and ": " and its text appended. */
int32_t ims_fail_os(ims_error *err, int os_errno, const char *format, ...) __attribute__((format(printf, 3, 4)));
int32_t ims_fail_nomem(ims_error *err);
/** A callback of the caller's returned value: IMGSTORE_ECALLBACK, with the value kept. */
int32_t ims_fail_callback(ims_error *err, int32_t value, const char *what);
/** The code that ims_fail_os would use. */
int32_t ims_code_of_errno(int os_errno);
/** Puts "prefix: " before the message of a failure that a lower layer set. Returns its code. */
int32_t ims_error_prefix(ims_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Copies src into out (capacity bytes, NUL-terminated) with everything unprintable escaped; text for people. */
void ims_sanitize(char *out, size_t capacity, const char *src, size_t size);

#endif
