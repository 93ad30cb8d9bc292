/*
 * base/buf.h (L0) - a growable byte buffer with a ceiling. Its content is always followed by a NUL.
 */
#ifndef IMS_BASE_BUF_H
#define IMS_BASE_BUF_H

#include <stdarg.h>

#include "base/alloc.h"
#include "imgstore/error.h"

typedef struct ims_buf {
  const ims_alloc *alloc;
  char *data;  /**< NULL until the first byte; use ims_buf_text to read */
  size_t size; /**< bytes, without the NUL */
  size_t capacity;
  size_t ceiling; /**< the most bytes it may hold */
  int32_t failed; /**< the first failure (IMGSTORE_ENOMEM, IMGSTORE_ELIMIT): later appends do nothing and return it */
} ims_buf;

void ims_buf_init(ims_buf *b, const ims_alloc *alloc, size_t ceiling);
void ims_buf_free(ims_buf *b);
/** Wipes the content, then frees. */
void ims_buf_free_secret(ims_buf *b);
/** Forgets content and failure, keeps the memory. */
void ims_buf_clear(ims_buf *b);
int32_t ims_buf_reserve(ims_buf *b, size_t more);
int32_t ims_buf_append(ims_buf *b, const void *data, size_t size);
int32_t ims_buf_puts(ims_buf *b, const char *text);
int32_t ims_buf_putc(ims_buf *b, char c);
int32_t ims_buf_printf(ims_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** The content as a NUL-terminated string; "" when empty. */
const char *ims_buf_text(const ims_buf *b);
/** Hands the memory to the caller (freed with ims_free) and empties the buffer; NULL when out of memory. */
char *ims_buf_detach(ims_buf *b, size_t *size);

#endif
