/*
 * storage_spy.h - a storage of a caller's own: memory behind a table that notes which thread calls which entry, and can
 * answer one entry with a value of the test's choice.
 */
#ifndef STORAGE_SPY_H
#define STORAGE_SPY_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/core.h"
#include "imgstore/storage.h"

typedef struct storage_spy {
  imgstore_storage inner;
  pthread_t driver;
  uint32_t flags;
  atomic_int calls, on_workers;
  atomic_int wrong;       /* calls on a thread that the rules of storage.h forbid */
  atomic_int entered;     /* entries that are under way now */
  atomic_int together;    /* times that two were, without IMGSTORE_STORAGE_CONCURRENT */
  int32_t ingest_open_rc; /* returned in place of the entry's own result; 0: not */
  int32_t lease_open_rc;
  atomic_int destroyed;
} storage_spy;

/* The calling thread is the driver. flags: of the table. */
imgstore_storage spy_storage(storage_spy *spy, imgstore_context *context, uint32_t flags);

#endif
