/*
 * base/ring.h (L0) - a bounded byte stream in memory: one writer, up to two readers, each on its own thread.
 *
 * The writer sees contiguous free space, a reader contiguous data; space is free when every attached reader has
 * consumed it. No lock: positions are atomic byte counts. The memory is mapped on demand by the system, so a ring
 * costs what was ever used of it.
 */
#ifndef IMS_BASE_RING_H
#define IMS_BASE_RING_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/alloc.h"

enum { IMS_RING_READERS = 2 };

typedef struct ims_ring {
  const ims_alloc *alloc;
  uint8_t *data;
  size_t capacity; /**< a power of two */
  _Atomic uint64_t written;
  _Atomic uint64_t consumed[IMS_RING_READERS]; /**< UINT64_MAX: not attached */
  atomic_bool closed;
} ims_ring;

/** capacity: a power of two. False when out of memory. No reader is attached. */
bool ims_ring_init(ims_ring *ring, const ims_alloc *alloc, size_t capacity);
void ims_ring_free(ims_ring *ring);

/** Attaches a reader at the writer's position. Only while the writer is not writing. */
void ims_ring_attach(ims_ring *ring, int reader);
/** The reader wants no more: it holds nothing back. */
void ims_ring_detach(ims_ring *ring, int reader);
bool ims_ring_is_attached(const ims_ring *ring, int reader);

/** Contiguous free space; 0 when full. */
size_t ims_ring_space(ims_ring *ring, uint8_t **space);
/** All free space, contiguous or not. */
size_t ims_ring_free_bytes(ims_ring *ring);
void ims_ring_commit(ims_ring *ring, size_t size);
/** Copies as much of data as fits; returns how much. */
size_t ims_ring_write(ims_ring *ring, const void *data, size_t size);
/** No more data will come. */
void ims_ring_close(ims_ring *ring);
/** Takes everything back: positions 0, open. Readers stay attached. Only while nobody else uses it. */
void ims_ring_reset(ims_ring *ring);

/** Contiguous data for a reader; 0 when there is none now. */
size_t ims_ring_data(ims_ring *ring, int reader, const uint8_t **data);
void ims_ring_consume(ims_ring *ring, int reader, size_t size);
/** True when the writer has closed and the reader consumed all. */
bool ims_ring_at_end(ims_ring *ring, int reader);

#endif
