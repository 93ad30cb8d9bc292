/*
 * store/memory.h (L3) - what the two parts of the memory storage share.
 */
#ifndef IMS_STORE_MEMORY_H
#define IMS_STORE_MEMORY_H

#include <pthread.h>

#include "store/store.h"

typedef struct ims_memory_piece ims_memory_piece; /**< a blob or an ingest: memory.c */
typedef struct ims_memory_reference ims_memory_reference;
typedef struct ims_memory_lease ims_memory_lease;

typedef struct ims_memory {
  ims_core *core;
  pthread_mutex_t mutex; /**< guards all of it, so that worker threads may bring in blobs */
  pthread_cond_t lock_free;
  uint64_t used, max_bytes;
  ims_memory_piece *blobs, *ingests;
  ims_memory_reference *references;
  ims_memory_lease *leases;
  unsigned readers; /**< shared locks */
  bool writer;
} ims_memory;

/** Fills in the entries of references, leases and the lock. */
void ims_memory_name_entries(imgstore_storage *storage);
void ims_memory_free_names(ims_memory *m);

#endif
