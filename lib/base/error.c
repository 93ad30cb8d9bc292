/*
 * base/error.c (L0) - filling error structs. Names in messages come from hostile input, so every message is
 * reduced to printable UTF-8 here and nowhere else.
 */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

void ims_error_clear(ims_error *err) {
  if (err)
    memset(err, 0, sizeof *err);
}

static int is_unprintable(const unsigned char *s, size_t length) {
  if (length == 1)
    return s[0] < 0x20 || s[0] == 0x7f;
  if (length == 2 && s[0] == 0xc2 && s[1] < 0xa0)
    return 1; /* C1 controls */
  if (length == 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9 || (s[2] >= 0xaa && s[2] <= 0xae)))
    return 1; /* line separators and direction overrides */
  return length == 3 && s[0] == 0xe2 && s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9;
}

void ims_sanitize(char *out, size_t capacity, const char *src, size_t size) {
  size_t used = 0;
  for (size_t i = 0; i < size && capacity;) {
    const unsigned char *s = (const unsigned char *)src + i;
    size_t length = ims_utf8_length(s, size - i);
    if (length && !is_unprintable(s, length)) {
      if (used + length >= capacity)
        break;
      memcpy(out + used, s, length);
      used += length;
      i += length;
    } else {
      if (used + 4 >= capacity)
        break;
      used += (size_t)snprintf(out + used, capacity - used, "\\x%02x", s[0]);
      i++;
    }
  }
  if (capacity)
    out[used] = '\0';
}

static void set_message(ims_error *err, int32_t code, const char *format, va_list args) {
  char raw[IMS_ERROR_MESSAGE];
  int length = vsnprintf(raw, sizeof raw, format, args);
  size_t size = length < 0 ? 0 : (size_t)length;
  if (size >= sizeof raw)
    size = sizeof raw - 1;
  err->code = code;
  ims_sanitize(err->message, sizeof err->message, raw, size);
}

int32_t ims_fail(ims_error *err, int32_t code, const char *format, ...) {
  if (!err || err->code)
    return code;
  va_list args;
  va_start(args, format);
  set_message(err, code, format, args);
  va_end(args);
  return code;
}

int32_t ims_code_of_errno(int os_errno) {
  switch (os_errno) {
  case ENOENT:
    return IMGSTORE_ENOTFOUND;
  case ENOMEM:
    return IMGSTORE_ENOMEM;
  case EEXIST:
  case ENOTEMPTY:
    return IMGSTORE_EEXISTS;
  case ENOSPC:
  case EDQUOT:
    return IMGSTORE_ENOSPACE;
  case EACCES:
  case EPERM:
  case EROFS:
    return IMGSTORE_EACCESS;
  case EBUSY:
  case EWOULDBLOCK:
    return IMGSTORE_EBUSY;
  default:
    return IMGSTORE_EIO;
  }
}

int32_t ims_fail_os(ims_error *err, int os_errno, const char *format, ...) {
  int32_t code = ims_code_of_errno(os_errno);
  if (!err || err->code)
    return code;
  va_list args;
  va_start(args, format);
  set_message(err, code, format, args);
  va_end(args);
  err->os_errno = os_errno;
  char reason[128];
  ims_errno_text(os_errno, reason, sizeof reason);
  size_t used = strlen(err->message);
  snprintf(err->message + used, sizeof err->message - used, ": %s", reason);
  return code;
}

int32_t ims_fail_nomem(ims_error *err) {
  return ims_fail(err, IMGSTORE_ENOMEM, "out of memory");
}

int32_t ims_fail_callback(ims_error *err, int32_t value, const char *what) {
  ims_fail(err, IMGSTORE_ECALLBACK, "stopped by %s", what);
  if (err && !err->callback_value)
    err->callback_value = value;
  return IMGSTORE_ECALLBACK;
}

int32_t ims_error_prefix(ims_error *err, const char *format, ...) {
  if (!err || !err->code)
    return IMGSTORE_EIO; /* whoever puts a prefix has met a failure: never success */
  char lower[IMS_ERROR_MESSAGE];
  memcpy(lower, err->message, sizeof lower);
  va_list args;
  va_start(args, format);
  set_message(err, err->code, format, args);
  va_end(args);
  size_t used = strlen(err->message);
  if (used + 2 < sizeof err->message) {
    memcpy(err->message + used, ": ", 3);
    used += 2;
    ims_sanitize(err->message + used, sizeof err->message - used, lower, strlen(lower)); /* cuts between characters */
  }
  return err->code;
}
