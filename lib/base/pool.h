/*
 * base/pool.h (L0) - tasks: small state machines that run on worker threads, or on the driving thread.
 *
 * A task is woken when it may have work; it then runs once, on one thread at a time, and is run again when it was
 * woken meanwhile. A task is bound to a lane (the queue that the driver of an operation empties in step()) and, when
 * the context has workers and the task may leave the driving thread, to the pool. Tasks never call user code on a
 * worker.
 */
#ifndef IMS_BASE_POOL_H
#define IMS_BASE_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/alloc.h"

typedef struct ims_pool ims_pool;
typedef struct ims_lane ims_lane;
typedef struct ims_task ims_task;

struct ims_task {
  void (*run)(ims_task *task); /**< does bounded work; wakes itself when there is more */
  ims_lane *lane;
  ims_pool *pool; /**< NULL: runs on the driving thread */
  ims_task *next; /**< in a queue */
  int state;      /**< guarded by the lock of its queue's owner */
};

/** Starts threads. NULL when one could not be started. */
ims_pool *ims_pool_new(const ims_alloc *alloc, unsigned threads);
/** Lets running tasks finish and joins the threads. No task may be queued. NULL is accepted. */
void ims_pool_free(ims_pool *pool);

/** The driver's side of an operation: a queue of tasks and a wake-up descriptor (eventfd). */
struct ims_lane {
  pthread_mutex_t mutex;
  pthread_cond_t quiet; /**< a task stopped running */
  ims_task *head, *tail;
  int event_fd;
  atomic_bool signalled;
};

/** Returns 0 or an errno. */
int ims_lane_init(ims_lane *lane);
void ims_lane_free(ims_lane *lane);
/** Makes the descriptor readable; from any thread. */
void ims_lane_signal(ims_lane *lane);
/** Takes the signal back; the driver calls it before it looks at shared state. */
void ims_lane_clear(ims_lane *lane);
/** Runs one queued task of the driving thread; false when there was none. */
bool ims_lane_run(ims_lane *lane);

/** pool NULL: the task runs in ims_lane_run. */
void ims_task_init(ims_task *task, ims_lane *lane, ims_pool *pool, void (*run)(ims_task *task));
/** May be called from any thread, also from the task itself. */
void ims_task_wake(ims_task *task);
/** Takes the task out of its queue and waits while it runs; it does not run again unless it is woken. */
void ims_task_stop(ims_task *task);

#endif
