/*
 * oci/arena.h (L1) - memory that a parsed document needs beside its JSON: taken piece by piece, freed at once.
 */
#ifndef IMS_OCI_ARENA_H
#define IMS_OCI_ARENA_H

#include "base/alloc.h"

/** Zeroed memory for count objects from the arena, which begins as NULL; NULL when there is none. Alignment 16. */
void *ims_arena_take(void **arena, const ims_alloc *alloc, size_t count, size_t size);
void ims_arena_free(void **arena, const ims_alloc *alloc);

#endif
