/*
 * base/pool.c (L0) - the task queues of the worker pool and of the driving thread.
 *
 * State changes of a task happen under its lane's mutex when it is bound to a lane only, under the pool's when it
 * is bound to the pool; lock order is never nested.
 */
#include "base/pool.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { TASK_IDLE, TASK_QUEUED, TASK_RUNNING, TASK_AGAIN, TASK_STOPPING };

enum { WORKER_STACK = 256 * 1024 };

struct ims_pool {
  const ims_alloc *alloc;
  pthread_mutex_t mutex;
  pthread_cond_t work;
  pthread_cond_t quiet;
  ims_task *head, *tail;
  bool ending;
  unsigned count;
  pthread_t threads[];
};

static void push(ims_task **head, ims_task **tail, ims_task *task) {
  task->next = NULL;
  if (*tail)
    (*tail)->next = task;
  else
    *head = task;
  *tail = task;
}

static ims_task *pop(ims_task **head, ims_task **tail) {
  ims_task *task = *head;
  if (task && !(*head = task->next))
    *tail = NULL;
  return task;
}

static void unlink_task(ims_task **head, ims_task **tail, ims_task *task) {
  ims_task *before = NULL;
  for (ims_task *t = *head; t; before = t, t = t->next) {
    if (t != task)
      continue;
    *(before ? &before->next : head) = t->next;
    if (*tail == t)
      *tail = before;
    return;
  }
}

/* Runs a task that was just taken from its queue; the mutex is held at entry and at return. */
static bool run_locked(ims_task *task, pthread_mutex_t *mutex, pthread_cond_t *quiet) {
  task->state = TASK_RUNNING;
  pthread_mutex_unlock(mutex);
  task->run(task);
  pthread_mutex_lock(mutex);
  bool again = task->state == TASK_AGAIN;
  task->state = again ? TASK_QUEUED : TASK_IDLE;
  if (!again)
    pthread_cond_broadcast(quiet);
  return again;
}

static void *worker(void *arg) {
  ims_pool *pool = arg;
  pthread_mutex_lock(&pool->mutex);
  for (;;) {
    ims_task *task = pop(&pool->head, &pool->tail);
    if (task) {
      if (run_locked(task, &pool->mutex, &pool->quiet))
        push(&pool->head, &pool->tail, task);
    } else if (pool->ending) {
      break;
    } else {
      pthread_cond_wait(&pool->work, &pool->mutex);
    }
  }
  pthread_mutex_unlock(&pool->mutex);
  return NULL;
}

/* A guest's threads must not take the host program's signals. */
static int start_threads(ims_pool *pool, unsigned threads) {
  sigset_t all, old;
  pthread_attr_t attributes;
  int failed = pthread_attr_init(&attributes);
  if (failed)
    return failed;
  pthread_attr_setstacksize(&attributes, WORKER_STACK);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  while (!failed && pool->count < threads) {
    failed = pthread_create(&pool->threads[pool->count], &attributes, worker, pool);
    if (!failed)
      pool->count++;
  }
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attributes);
  return failed;
}

ims_pool *ims_pool_new(const ims_alloc *alloc, unsigned threads) {
  ims_pool *pool = ims_calloc(alloc, 1, sizeof *pool + threads * sizeof pool->threads[0]);
  if (!pool)
    return NULL;
  pool->alloc = alloc;
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->work, NULL);
  pthread_cond_init(&pool->quiet, NULL);
  if (start_threads(pool, threads)) {
    ims_pool_free(pool);
    return NULL;
  }
  return pool;
}

void ims_pool_free(ims_pool *pool) {
  if (!pool)
    return;
  pthread_mutex_lock(&pool->mutex);
  pool->ending = true;
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->mutex);
  for (unsigned i = 0; i < pool->count; i++)
    pthread_join(pool->threads[i], NULL);
  pthread_cond_destroy(&pool->quiet);
  pthread_cond_destroy(&pool->work);
  pthread_mutex_destroy(&pool->mutex);
  ims_free(pool->alloc, pool);
}

int ims_lane_init(ims_lane *lane) {
  lane->head = lane->tail = NULL;
  atomic_init(&lane->signalled, false);
  lane->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (lane->event_fd < 0)
    return errno;
  pthread_mutex_init(&lane->mutex, NULL);
  pthread_cond_init(&lane->quiet, NULL);
  return 0;
}

void ims_lane_free(ims_lane *lane) {
  if (lane->event_fd < 0)
    return;
  close(lane->event_fd);
  lane->event_fd = -1;
  pthread_cond_destroy(&lane->quiet);
  pthread_mutex_destroy(&lane->mutex);
}

void ims_lane_signal(ims_lane *lane) {
  if (atomic_exchange(&lane->signalled, true))
    return;
  uint64_t one = 1;
  ssize_t ignored = write(lane->event_fd, &one, sizeof one); /* only fails when it is readable already */
  (void)ignored;
}

void ims_lane_clear(ims_lane *lane) {
  uint64_t count; /* read in any case: a signaller writes after it has set the flag, maybe only after the last clear */
  ssize_t ignored = read(lane->event_fd, &count, sizeof count);
  (void)ignored;
  atomic_store(&lane->signalled, false);
}

bool ims_lane_run(ims_lane *lane) {
  pthread_mutex_lock(&lane->mutex);
  ims_task *task = pop(&lane->head, &lane->tail);
  if (task && run_locked(task, &lane->mutex, &lane->quiet))
    push(&lane->head, &lane->tail, task);
  pthread_mutex_unlock(&lane->mutex);
  return task != NULL;
}

void ims_task_init(ims_task *task, ims_lane *lane, ims_pool *pool, void (*run)(ims_task *task)) {
  task->run = run;
  task->lane = lane;
  task->pool = pool;
  task->next = NULL;
  task->state = TASK_IDLE;
}

/* True when the task was idle and must be queued by the caller, who holds the mutex. */
static bool mark_woken(ims_task *task) {
  if (task->state == TASK_RUNNING)
    task->state = TASK_AGAIN;
  if (task->state != TASK_IDLE)
    return false;
  task->state = TASK_QUEUED;
  return true;
}

void ims_task_wake(ims_task *task) {
  if (task->pool) {
    ims_pool *pool = task->pool;
    pthread_mutex_lock(&pool->mutex);
    if (mark_woken(task)) {
      push(&pool->head, &pool->tail, task);
      pthread_cond_signal(&pool->work);
    }
    pthread_mutex_unlock(&pool->mutex);
    return;
  }
  ims_lane *lane = task->lane;
  pthread_mutex_lock(&lane->mutex);
  bool queued = mark_woken(task);
  if (queued)
    push(&lane->head, &lane->tail, task);
  pthread_mutex_unlock(&lane->mutex);
  if (queued)
    ims_lane_signal(lane);
}

void ims_task_stop(ims_task *task) {
  if (!task->lane)
    return; /* never initialised */
  pthread_mutex_t *mutex = task->pool ? &task->pool->mutex : &task->lane->mutex;
  pthread_cond_t *quiet = task->pool ? &task->pool->quiet : &task->lane->quiet;
  pthread_mutex_lock(mutex);
  for (;;) {
    if (task->state == TASK_QUEUED) {
      unlink_task(task->pool ? &task->pool->head : &task->lane->head,
                  task->pool ? &task->pool->tail : &task->lane->tail, task);
      task->state = TASK_IDLE;
    }
    if (task->state == TASK_IDLE)
      break;
    task->state = TASK_STOPPING; /* wake-ups are forgotten: a task that always wakes itself comes to rest as well */
    pthread_cond_wait(quiet, mutex);
  }
  pthread_mutex_unlock(mutex);
}
