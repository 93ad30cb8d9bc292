/*
 * base/alloc.c (L0) - allocation through the caller's functions, overflow-checked sizes, wiping.
 */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

static void *default_allocate(void *user_data, size_t bytes) {
  (void)user_data;
  return malloc(bytes);
}

static void *default_reallocate(void *user_data, void *memory, size_t bytes) {
  (void)user_data;
  return realloc(memory, bytes);
}

static void default_release(void *user_data, void *memory) {
  (void)user_data;
  free(memory);
}

const ims_alloc ims_alloc_default = {NULL, default_allocate, default_reallocate, default_release};

void *ims_malloc(const ims_alloc *a, size_t size) {
  return a->allocate(a->user_data, size ? size : 1);
}

void *ims_calloc(const ims_alloc *a, size_t count, size_t size) {
  size_t bytes;
  if (!ims_mul_size(count, size, &bytes))
    return NULL;
  void *memory = ims_malloc(a, bytes);
  if (memory)
    memset(memory, 0, bytes);
  return memory;
}

void *ims_realloc_array(const ims_alloc *a, void *memory, size_t count, size_t size) {
  size_t bytes;
  if (!ims_mul_size(count, size, &bytes))
    return NULL;
  return a->reallocate(a->user_data, memory, bytes ? bytes : 1);
}

void ims_free(const ims_alloc *a, void *memory) {
  if (memory)
    a->release(a->user_data, memory);
}

char *ims_strndup(const ims_alloc *a, const char *text, size_t size) {
  size_t bytes;
  if (!ims_add_size(size, 1, &bytes))
    return NULL;
  char *copy = ims_malloc(a, bytes);
  if (!copy)
    return NULL;
  memcpy(copy, text, size);
  copy[size] = '\0';
  return copy;
}

char *ims_strdup(const ims_alloc *a, const char *text) {
  return ims_strndup(a, text, strlen(text));
}

void ims_wipe(void *memory, size_t size) {
  volatile unsigned char *p = memory;
  while (size--)
    *p++ = 0;
}

void ims_free_secret(const ims_alloc *a, char *text) {
  if (text)
    ims_wipe(text, strlen(text));
  ims_free(a, text);
}

bool ims_add_size(size_t x, size_t y, size_t *sum) {
  return !__builtin_add_overflow(x, y, sum);
}

bool ims_mul_size(size_t x, size_t y, size_t *product) {
  return !__builtin_mul_overflow(x, y, product);
}

bool ims_add_u64(uint64_t x, uint64_t y, uint64_t *sum) {
  return !__builtin_add_overflow(x, y, sum);
}
