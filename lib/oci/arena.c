/*
 * oci/arena.c (L1) - a list of chunks, newest first; each piece comes from the newest that has room.
 */
#include "oci/arena.h"

#include <string.h>

enum { ALIGNMENT = 16, CHUNK = 2048 };

typedef struct chunk {
  struct chunk *next;
  size_t used;
  size_t size;
  _Alignas(ALIGNMENT) unsigned char bytes[];
} chunk;

static chunk *add_chunk(void **arena, const ims_alloc *alloc, size_t size) {
  size_t room = size > CHUNK ? size : CHUNK, bytes;
  chunk *c = ims_add_size(room, sizeof *c, &bytes) ? ims_malloc(alloc, bytes) : NULL;
  if (!c)
    return NULL;
  c->next = *arena;
  c->used = 0;
  c->size = room;
  *arena = c;
  return c;
}

void *ims_arena_take(void **arena, const ims_alloc *alloc, size_t count, size_t size) {
  size_t bytes;
  if (!ims_mul_size(count, size, &bytes) || !ims_add_size(bytes, ALIGNMENT - 1, &bytes))
    return NULL;
  bytes &= ~(size_t)(ALIGNMENT - 1);
  chunk *c = *arena;
  if (!c || c->size - c->used < bytes)
    c = add_chunk(arena, alloc, bytes);
  if (!c)
    return NULL;
  void *piece = c->bytes + c->used;
  c->used += bytes;
  memset(piece, 0, bytes);
  return piece;
}

void ims_arena_free(void **arena, const ims_alloc *alloc) {
  for (chunk *c = *arena; c;) {
    chunk *next = c->next;
    ims_free(alloc, c);
    c = next;
  }
  *arena = NULL;
}
