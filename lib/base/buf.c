/*
 * base/buf.c (L0) - the growable buffer. Grows by doubling up to its ceiling and remembers its first failure.
 */
#include "base/buf.h"

#include <stdio.h>
#include <string.h>

void ims_buf_init(ims_buf *b, const ims_alloc *alloc, size_t ceiling) {
  memset(b, 0, sizeof *b);
  b->alloc = alloc;
  b->ceiling = ceiling;
}

void ims_buf_free(ims_buf *b) {
  if (b->alloc)
    ims_free(b->alloc, b->data);
  b->data = NULL;
  b->size = b->capacity = 0;
}

void ims_buf_free_secret(ims_buf *b) {
  if (b->data)
    ims_wipe(b->data, b->capacity);
  ims_buf_free(b);
}

void ims_buf_clear(ims_buf *b) {
  b->size = 0;
  b->failed = IMGSTORE_OK;
  if (b->data)
    b->data[0] = '\0';
}

int32_t ims_buf_reserve(ims_buf *b, size_t more) {
  size_t need;
  if (b->failed)
    return b->failed;
  if (!ims_add_size(b->size, more, &need) || need > b->ceiling || need == SIZE_MAX)
    return b->failed = IMGSTORE_ELIMIT;
  if (need + 1 <= b->capacity)
    return IMGSTORE_OK;
  size_t capacity = b->capacity ? b->capacity : 64;
  while (capacity < need + 1)
    capacity = capacity > SIZE_MAX / 2 ? need + 1 : capacity * 2;
  char *data = ims_realloc_array(b->alloc, b->data, capacity, 1);
  if (!data)
    return b->failed = IMGSTORE_ENOMEM;
  b->data = data;
  b->capacity = capacity;
  return IMGSTORE_OK;
}

int32_t ims_buf_append(ims_buf *b, const void *data, size_t size) {
  if (ims_buf_reserve(b, size) != IMGSTORE_OK)
    return b->failed;
  if (size)
    memcpy(b->data + b->size, data, size);
  b->size += size;
  b->data[b->size] = '\0';
  return IMGSTORE_OK;
}

int32_t ims_buf_puts(ims_buf *b, const char *text) {
  return ims_buf_append(b, text, strlen(text));
}

int32_t ims_buf_putc(ims_buf *b, char c) {
  return ims_buf_append(b, &c, 1);
}

int32_t ims_buf_printf(ims_buf *b, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int length = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (length < 0)
    return b->failed = IMGSTORE_EINVALID;
  if (ims_buf_reserve(b, (size_t)length) != IMGSTORE_OK)
    return b->failed;
  va_start(args, format);
  vsnprintf(b->data + b->size, (size_t)length + 1, format, args);
  va_end(args);
  b->size += (size_t)length;
  return IMGSTORE_OK;
}

const char *ims_buf_text(const ims_buf *b) {
  return b->data ? b->data : "";
}

char *ims_buf_detach(ims_buf *b, size_t *size) {
  if (ims_buf_reserve(b, 0) != IMGSTORE_OK)
    return NULL;
  char *data = b->data;
  data[b->size] = '\0';
  if (size)
    *size = b->size;
  b->data = NULL;
  b->size = b->capacity = 0;
  return data;
}
