/*
 * base/ring.c (L0) - the single-writer, two-reader byte ring.
 */
#include "base/ring.h"

#include <string.h>

static const uint64_t DETACHED = UINT64_MAX;

bool ims_ring_init(ims_ring *ring, const ims_alloc *alloc, size_t capacity) {
  memset(ring, 0, sizeof *ring);
  ring->alloc = alloc;
  ring->capacity = capacity;
  ring->data = ims_malloc(alloc, capacity);
  atomic_init(&ring->written, 0);
  atomic_init(&ring->closed, false);
  for (int i = 0; i < IMS_RING_READERS; i++)
    atomic_init(&ring->consumed[i], DETACHED);
  return ring->data != NULL;
}

void ims_ring_free(ims_ring *ring) {
  if (ring->alloc)
    ims_free(ring->alloc, ring->data);
  ring->data = NULL;
}

void ims_ring_attach(ims_ring *ring, int reader) {
  atomic_store(&ring->consumed[reader], atomic_load(&ring->written));
}

void ims_ring_detach(ims_ring *ring, int reader) {
  atomic_store(&ring->consumed[reader], DETACHED);
}

bool ims_ring_is_attached(const ims_ring *ring, int reader) {
  return atomic_load(&ring->consumed[reader]) != DETACHED;
}

size_t ims_ring_free_bytes(ims_ring *ring) {
  uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
  uint64_t oldest = written;
  for (int i = 0; i < IMS_RING_READERS; i++) {
    uint64_t consumed = atomic_load(&ring->consumed[i]);
    if (consumed < oldest)
      oldest = consumed;
  }
  return ring->capacity - (size_t)(written - oldest);
}

size_t ims_ring_space(ims_ring *ring, uint8_t **space) {
  size_t free_bytes = ims_ring_free_bytes(ring);
  size_t at = (size_t)(atomic_load_explicit(&ring->written, memory_order_relaxed) & (ring->capacity - 1));
  *space = ring->data + at;
  return free_bytes < ring->capacity - at ? free_bytes : ring->capacity - at;
}

void ims_ring_commit(ims_ring *ring, size_t size) {
  atomic_store(&ring->written, atomic_load_explicit(&ring->written, memory_order_relaxed) + size);
}

size_t ims_ring_write(ims_ring *ring, const void *data, size_t size) {
  size_t done = 0;
  uint8_t *space;
  size_t room;
  while (done < size && (room = ims_ring_space(ring, &space)) > 0) {
    size_t piece = size - done < room ? size - done : room;
    memcpy(space, (const uint8_t *)data + done, piece);
    ims_ring_commit(ring, piece);
    done += piece;
  }
  return done;
}

void ims_ring_close(ims_ring *ring) {
  atomic_store(&ring->closed, true);
}

void ims_ring_reset(ims_ring *ring) {
  atomic_store(&ring->written, 0);
  atomic_store(&ring->closed, false);
  for (int i = 0; i < IMS_RING_READERS; i++)
    if (ims_ring_is_attached(ring, i))
      atomic_store(&ring->consumed[i], 0);
}

size_t ims_ring_data(ims_ring *ring, int reader, const uint8_t **data) {
  uint64_t consumed = atomic_load_explicit(&ring->consumed[reader], memory_order_relaxed);
  uint64_t written = atomic_load(&ring->written);
  size_t at = (size_t)(consumed & (ring->capacity - 1));
  size_t available = (size_t)(written - consumed);
  *data = ring->data + at;
  return available < ring->capacity - at ? available : ring->capacity - at;
}

void ims_ring_consume(ims_ring *ring, int reader, size_t size) {
  uint64_t consumed = atomic_load_explicit(&ring->consumed[reader], memory_order_relaxed);
  atomic_store(&ring->consumed[reader], consumed + size);
}

bool ims_ring_at_end(ims_ring *ring, int reader) {
  /* closed first: what was written before it is visible after it */
  return atomic_load(&ring->closed) && atomic_load(&ring->consumed[reader]) == atomic_load(&ring->written);
}
