/*
 * engine/operation.c (L4) - driving a job: descriptor, wake-ups, timer, cancelling, result. Knows no kind of job.
 */
#include "engine/operation.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { TASKS_PER_STEP = 32 };

static int watch_for(int epoll_fd, int fd, uint32_t events) {
  struct epoll_event event = {.events = events, .data.fd = fd};
  return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) ? errno : 0;
}

static int watch(int epoll_fd, int fd) {
  return watch_for(epoll_fd, fd, EPOLLIN);
}

int32_t ims_operation_init(imgstore_operation *op, ims_core *core, const ims_job *job, imgstore_event_fn progress,
                           void *progress_data, ims_error *err) {
  if (core->pid != getpid())
    return ims_fail(err, IMGSTORE_EINVALID, "the context was made before a fork: make a new one in the child");
  op->epoll_fd = op->timer_fd = op->transport_fd = -1;
  int failed = ims_lane_init(&op->lane);
  if (failed)
    return ims_fail_os(err, failed, "cannot make an event descriptor");
  op->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  op->timer_fd = op->epoll_fd < 0 ? -1 : timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  failed = op->timer_fd < 0 ? errno : watch(op->epoll_fd, op->lane.event_fd);
  if (!failed)
    failed = watch(op->epoll_fd, op->timer_fd);
  op->core = ims_core_ref(core);
  if (failed) {
    ims_operation_clean(op);
    return ims_fail_os(err, failed, "cannot make an event descriptor");
  }
  op->job = job;
  op->progress = progress;
  op->progress_data = progress_data;
  op->result = IMGSTORE_EAGAIN;
  atomic_init(&op->cancelled, false);
  ims_lane_signal(&op->lane); /* the first step has work */
  return IMGSTORE_OK;
}

void ims_operation_clean(imgstore_operation *op) {
  ims_lane_free(&op->lane);
  if (op->timer_fd >= 0)
    close(op->timer_fd);
  if (op->epoll_fd >= 0)
    close(op->epoll_fd);
  imgstore_report_free(op->report);
  ims_core_unref(op->core);
}

int32_t ims_operation_watch(imgstore_operation *op, int fd, ims_error *err) {
  if (fd < 0 || fd == op->transport_fd)
    return IMGSTORE_OK;
  int failed = watch(op->epoll_fd, fd);
  if (failed)
    return ims_fail_os(err, failed, "cannot watch the transport's descriptor");
  op->transport_fd = fd;
  return IMGSTORE_OK;
}

int32_t ims_operation_await(imgstore_operation *op, int fd, bool write, ims_error *err) {
  int failed = watch_for(op->epoll_fd, fd, write ? EPOLLOUT : EPOLLIN);
  if (failed == EPERM)
    ims_lane_signal(&op->lane);
  else if (failed && failed != EEXIST)
    return ims_fail_os(err, failed, "cannot watch a descriptor");
  return IMGSTORE_OK;
}

void ims_operation_forget(imgstore_operation *op, int fd) {
  struct epoll_event unused = {0};
  epoll_ctl(op->epoll_fd, EPOLL_CTL_DEL, fd, &unused); /* fails when it was not watched */
}

int32_t ims_sooner(int32_t a, int32_t b) {
  return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Makes the operation's descriptor readable when the job's next deadline passes. */
static void arm_timer(imgstore_operation *op, int32_t timeout) {
  struct itimerspec spec;
  memset(&spec, 0, sizeof spec);
  if (timeout >= 0) {
    spec.it_value.tv_sec = timeout / 1000;
    spec.it_value.tv_nsec = (long)(timeout % 1000) * 1000000;
    if (!timeout)
      spec.it_value.tv_nsec = 1;
  }
  timerfd_settime(op->timer_fd, 0, &spec, NULL);
}

static int32_t finish(imgstore_operation *op, int32_t result) {
  op->job->end(op, result);
  op->finished = true;
  op->result = result;
  if (result)
    op->err.code = result;
  arm_timer(op, -1);
  ims_lane_signal(&op->lane); /* a poller learns of the end */
  return result;
}

/* One round of work; true when tasks of the driving thread are left over. */
static bool work(imgstore_operation *op, int32_t *result) {
  bool more = true;
  ims_lane_clear(&op->lane);
  for (int i = 0; more && i < TASKS_PER_STEP && !atomic_load(&op->cancelled); i++)
    more = ims_lane_run(&op->lane);
  *result = atomic_load(&op->cancelled) ? ims_fail(&op->err, IMGSTORE_ECANCELLED, "cancelled")
                                        : op->job->advance(op, ims_now_ms());
  if (*result != IMGSTORE_EAGAIN)
    finish(op, *result);
  return more;
}

int32_t ims_operation_step(imgstore_operation *op, int32_t timeout) {
  int32_t result;
  if (op->finished)
    return op->result;
  if (op->running)
    return IMGSTORE_EINVALID; /* from a callback of its own: op->err stays the job's */
  if (op->core->pid != getpid())
    return ims_fail(&op->err, IMGSTORE_EINVALID, "the operation was started before a fork");
  op->running = true;
  bool more = work(op, &result);
  op->running = false;
  if (op->finished)
    return result;
  if (more) {
    ims_lane_signal(&op->lane);
    return IMGSTORE_EAGAIN;
  }
  arm_timer(op, op->job->timeout(op, ims_now_ms()));
  if (timeout) {
    struct epoll_event event; /* what is ready stays readable for the next step, or for the caller's own poll */
    epoll_wait(op->epoll_fd, &event, 1, timeout);
  }
  return IMGSTORE_EAGAIN;
}

void ims_operation_free(imgstore_operation *op) {
  if (!op)
    return;
  if (!op->finished && op->core->pid == getpid()) {
    ims_fail(&op->err, IMGSTORE_ECANCELLED, "cancelled");
    finish(op, IMGSTORE_ECANCELLED);
  }
  op->job->destroy(op);
}

int32_t ims_operation_event(imgstore_operation *op, int32_t type, int32_t object, const char *digest, const char *text,
                            uint64_t done, uint64_t total) {
  if (!op->progress)
    return IMGSTORE_OK;
  if (op->stopped) /* several things may happen in one step after the one that the caller stopped at */
    return IMGSTORE_ECALLBACK;
  imgstore_event event = {sizeof event, type, object, digest, text, done, total};
  int32_t value = op->progress(op->progress_data, &event);
  op->stopped = value != 0;
  return value ? ims_fail_callback(&op->err, value, "the progress callback") : IMGSTORE_OK;
}
