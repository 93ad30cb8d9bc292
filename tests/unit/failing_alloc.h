/* tests/unit/failing_alloc.h - an allocator whose n-th call fails, and that counts what is not given back. */
#ifndef TEST_FAILING_ALLOC_H
#define TEST_FAILING_ALLOC_H

#include <stdlib.h>

#include "base/alloc.h"

typedef struct failing {
  size_t left; /* calls that succeed before one fails */
  bool failed; /* it came to that */
  size_t live; /* pieces of memory not freed */
} failing;

static bool failing_may(failing *f) {
  if (f->left) {
    f->left--;
    return true;
  }
  f->failed = true;
  return false;
}

static void *failing_allocate(void *user_data, size_t bytes) {
  failing *f = user_data;
  void *memory = failing_may(f) ? malloc(bytes) : NULL;
  f->live += memory != NULL;
  return memory;
}

static void *failing_reallocate(void *user_data, void *memory, size_t bytes) {
  failing *f = user_data;
  void *moved = failing_may(f) ? realloc(memory, bytes) : NULL;
  f->live += moved && !memory;
  return moved;
}

static void failing_release(void *user_data, void *memory) {
  failing *f = user_data;
  f->live -= memory != NULL;
  free(memory);
}

static ims_alloc failing_alloc(failing *f, size_t left) {
  f->left = left;
  f->failed = false;
  f->live = 0;
  return (ims_alloc){f, failing_allocate, failing_reallocate, failing_release};
}

#endif
