/*
 * base/alloc.h (L0) - the only way to memory: the caller's allocator with checked size arithmetic.
 */
#ifndef IMS_BASE_ALLOC_H
#define IMS_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ims_alloc {
  void *user_data;
  void *(*allocate)(void *user_data, size_t bytes);
  void *(*reallocate)(void *user_data, void *memory, size_t bytes);
  void (*release)(void *user_data, void *memory);
} ims_alloc;

/** malloc, realloc, free. */
extern const ims_alloc ims_alloc_default;

/** Uninitialised memory; NULL when there is none. A size of 0 gives a valid pointer. */
void *ims_malloc(const ims_alloc *a, size_t size);
/** Zeroed memory for count objects. NULL on overflow. */
void *ims_calloc(const ims_alloc *a, size_t count, size_t size);
/** Resizes an array; on failure the old one stays as it is. NULL on overflow. */
void *ims_realloc_array(const ims_alloc *a, void *memory, size_t count, size_t size);
void ims_free(const ims_alloc *a, void *memory);
char *ims_strdup(const ims_alloc *a, const char *text);
/** Copies size bytes and adds a NUL. */
char *ims_strndup(const ims_alloc *a, const char *text, size_t size);
/** Overwrites memory that held a secret; not optimised away. */
void ims_wipe(void *memory, size_t size);
/** Wipes a string and frees it. */
void ims_free_secret(const ims_alloc *a, char *text);

bool ims_add_size(size_t x, size_t y, size_t *sum);
bool ims_mul_size(size_t x, size_t y, size_t *product);
bool ims_add_u64(uint64_t x, uint64_t y, uint64_t *sum);

#endif
