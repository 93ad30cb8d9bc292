/*
 * engine/archive_output.c (L4) - emptying the ring of an archive into a file, a descriptor or a callback.
 *
 * A regular file is written by a task: first without a name where the file system can, then linked, renamed over what
 * was there, and flushed with its folder. A pipe or socket is written by the driving thread, in pieces that do not
 * block, and waited for with the operation's descriptor.
 */
#include "engine/archive_output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
  RING_CAPACITY = 1 << 20,
  TASK_BUDGET = 4 << 20, /* bytes that one run of the task writes */
  STEP_BUDGET = 1 << 20, /* bytes that one step writes or hands out */
  PIPE_PIECE = 4096,     /* a pipe that can be written to takes so much without blocking */
  NAME_TRIES = 16
};

enum { STATE_OPEN, STATE_DONE, STATE_FAILED };

/* --- opening --------------------------------------------------------------------------------------------------------
 */

static const char *name_of(const ims_output *o) {
  const char *slash = strrchr(o->path, '/');
  return slash ? slash + 1 : o->path;
}

static int32_t open_folder(ims_output *o, ims_error *err) {
  const ims_core *core = o->op->core;
  size_t size = (size_t)(name_of(o) - o->path);
  char *folder = size ? ims_strndup(&core->alloc, o->path, size) : ims_strdup(&core->alloc, ".");
  if (!folder)
    return ims_fail_nomem(err);
  o->dir = core->sys->openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  int failed = o->dir < 0 ? errno : 0;
  ims_free(&core->alloc, folder);
  return failed ? ims_fail_os(err, failed, "%s: cannot open its folder", o->path) : IMGSTORE_OK;
}

/* A name next to the final one; nobody else has it. */
static int32_t make_name(ims_output *o, ims_error *err) {
  uint64_t random;
  if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
    return ims_fail_os(err, errno, "%s: cannot make a name", o->path);
  snprintf(o->temp, sizeof o->temp, ".imgstore-%016llx.tmp", (unsigned long long)random);
  return IMGSTORE_OK;
}

static int32_t open_named(ims_output *o, ims_error *err) {
  const ims_sys *sys = o->op->core->sys;
  for (int i = 0; i < NAME_TRIES; i++) {
    int32_t rc = make_name(o, err);
    if (rc)
      return rc;
    o->fd = sys->openat(o->dir, o->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (o->fd >= 0)
      return IMGSTORE_OK;
    if (errno != EEXIST)
      break;
  }
  o->temp[0] = '\0';
  return ims_fail_os(err, errno, "%s: cannot make a file", o->path);
}

/* A file without a name goes with the process, however that ends. */
static int32_t open_new_file(ims_output *o, ims_error *err) {
  o->owns_fd = o->is_file = true;
  int32_t rc = open_folder(o, err);
  if (rc)
    return rc;
  o->fd = o->op->core->sys->openat(o->dir, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
  if (o->fd >= 0)
    return IMGSTORE_OK;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT)
    return ims_fail_os(err, errno, "%s: cannot make a file", o->path);
  return open_named(o, err);
}

static int32_t take_descriptor(ims_output *o, int fd, ims_error *err) {
  struct stat st;
  o->fd = fd;
  if (o->op->core->sys->fstat(fd, &st))
    return ims_fail_os(err, errno, "%s: cannot be written to", o->path);
  o->is_file = S_ISREG(st.st_mode);
  return IMGSTORE_OK;
}

/* What is there and is no file is written to as it is: a pipe with a name, a terminal, /dev/null. */
static int32_t open_path(ims_output *o, ims_error *err) {
  const ims_sys *sys = o->op->core->sys;
  struct stat st;
  if (!*name_of(o))
    return ims_fail(err, IMGSTORE_EINVALID, "%s: is no name of a file", o->path);
  if (sys->fstatat(AT_FDCWD, o->path, &st, 0) || S_ISREG(st.st_mode))
    return open_new_file(o, err);
  if (S_ISDIR(st.st_mode))
    return ims_fail(err, IMGSTORE_EINVALID, "%s: is a directory", o->path);
  int fd = sys->openat(AT_FDCWD, o->path, O_WRONLY | O_CLOEXEC, 0);
  if (fd < 0)
    return ims_fail_os(err, errno, "%s: cannot open", o->path);
  o->owns_fd = true;
  return take_descriptor(o, fd, err);
}

static void run_task(ims_task *task);

int32_t ims_output_open(ims_output *o, imgstore_operation *op, const ims_output_target *target, ims_task *producer,
                        ims_error *err) {
  memset(o, 0, sizeof *o);
  o->op = op;
  o->producer = producer;
  o->target = *target;
  o->dir = o->fd = -1;
  o->opened = true;
  atomic_init(&o->state, STATE_OPEN);
  ims_task_init(&o->task, &op->lane, op->core->pool, run_task);
  o->path = ims_strdup(&op->core->alloc, target->path ? target->path : target->write ? "archive" : "descriptor");
  if (!o->path || !ims_ring_init(&o->ring, &op->core->alloc, RING_CAPACITY))
    return ims_fail_nomem(err);
  ims_ring_attach(&o->ring, 0);
  if (target->path)
    return open_path(o, err);
  return target->write ? IMGSTORE_OK : take_descriptor(o, target->fd, err);
}

/* --- a file ---------------------------------------------------------------------------------------------------------
 */

static int32_t publish(ims_output *o) {
  const ims_sys *sys = o->op->core->sys;
  if (o->dir < 0)
    return IMGSTORE_OK;
  if (sys->fdatasync(o->fd))
    return ims_fail_os(&o->err, errno, "%s: cannot flush", o->path);
  if (!o->temp[0]) {
    char link[40];
    int32_t rc = make_name(o, &o->err);
    if (rc)
      return rc;
    snprintf(link, sizeof link, "/proc/self/fd/%d", o->fd);
    if (sys->linkat(AT_FDCWD, link, o->dir, o->temp, AT_SYMLINK_FOLLOW)) {
      o->temp[0] = '\0';
      return ims_fail_os(&o->err, errno, "%s: cannot give it its name", o->path);
    }
  }
  if (sys->renameat2(o->dir, o->temp, o->dir, name_of(o), 0))
    return ims_fail_os(&o->err, errno, "%s: cannot give it its name", o->path);
  o->temp[0] = '\0';
  if (sys->fsync(o->dir))
    return ims_fail_os(&o->err, errno, "%s: cannot flush its folder", o->path);
  return IMGSTORE_OK;
}

static int32_t write_piece(ims_output *o, const uint8_t *data, size_t size, size_t *done) {
  ssize_t n = o->op->core->sys->write(o->fd, data, size);
  *done = n > 0 ? (size_t)n : 0;
  if (n < 0 && errno != EINTR)
    return ims_fail_os(&o->err, errno, "%s: cannot write", o->path);
  return IMGSTORE_OK;
}

static int32_t write_file(ims_output *o) {
  const uint8_t *data;
  size_t size, done, moved = 0;
  int32_t rc = IMGSTORE_OK;
  while (!rc && moved < TASK_BUDGET && (size = ims_ring_data(&o->ring, 0, &data)) > 0) {
    rc = write_piece(o, data, size, &done);
    ims_ring_consume(&o->ring, 0, done);
    ims_task_wake(o->producer);
    moved += done;
  }
  if (!rc && ims_ring_at_end(&o->ring, 0)) {
    rc = publish(o);
    if (!rc)
      atomic_store(&o->state, STATE_DONE);
    ims_lane_signal(&o->op->lane);
  } else if (!rc && moved >= TASK_BUDGET) {
    ims_task_wake(&o->task);
  }
  return rc;
}

static void run_task(ims_task *task) {
  ims_output *o = (ims_output *)task;
  if (atomic_load(&o->state) != STATE_OPEN)
    return;
  if (write_file(o)) {
    atomic_store(&o->state, STATE_FAILED);
    ims_lane_signal(&o->op->lane);
  }
}

/* --- a pipe or socket -----------------------------------------------------------------------------------------------
 */

/* write() without a signal when the reader is gone: the host program's handlers are its own. */
static ssize_t write_quietly(const ims_sys *sys, int fd, const uint8_t *data, size_t size) {
  sigset_t pipe_signal, before, pending;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  sigpending(&pending);
  pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  ssize_t n = sys->write(fd, data, size);
  int saved = errno;
  if (n < 0 && saved == EPIPE && !sigismember(&pending, SIGPIPE))
    sigtimedwait(&pipe_signal, NULL, &(struct timespec){0, 0});
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  errno = saved;
  return n;
}

/* *done 0: it takes nothing now. */
static int32_t write_stream(ims_output *o, const uint8_t *data, size_t size, size_t *done) {
  struct pollfd p = {.fd = o->fd, .events = POLLOUT};
  *done = 0;
  if (poll(&p, 1, 0) <= 0)
    return IMGSTORE_OK;
  ssize_t n = write_quietly(o->op->core->sys, o->fd, data, size < PIPE_PIECE ? size : PIPE_PIECE);
  if (n < 0 && errno != EINTR && errno != EAGAIN)
    return ims_fail_os(&o->op->err, errno, "%s: cannot write", o->path);
  *done = n > 0 ? (size_t)n : 0;
  return IMGSTORE_OK;
}

static int32_t hand_out(ims_output *o, const uint8_t *data, size_t size, size_t *done) {
  int32_t value = o->target.write(o->target.write_data, data, size);
  *done = size;
  return value ? ims_fail_callback(&o->op->err, value, "the write callback") : IMGSTORE_OK;
}

/* --- both sides -----------------------------------------------------------------------------------------------------
 */

bool ims_output_flush(ims_output *o, ims_buf *staged, size_t *at) {
  size_t left = staged->size - *at;
  size_t done = left ? ims_ring_write(&o->ring, staged->data + *at, left) : 0;
  *at += done;
  if (done < left)
    return false;
  ims_buf_clear(staged);
  *at = 0;
  return true;
}

void ims_output_fed(ims_output *o) {
  if (o->is_file)
    ims_task_wake(&o->task);
  else
    ims_lane_signal(&o->op->lane);
}

static int32_t advance_stream(ims_output *o) {
  const uint8_t *data;
  size_t size, done = 1, moved = 0;
  int32_t rc = IMGSTORE_OK;
  if (o->awaited)
    ims_operation_forget(o->op, o->fd);
  o->awaited = false;
  while (!rc && done && moved < STEP_BUDGET && (size = ims_ring_data(&o->ring, 0, &data)) > 0) {
    rc = o->target.write ? hand_out(o, data, size, &done) : write_stream(o, data, size, &done);
    ims_ring_consume(&o->ring, 0, done);
    moved += done;
  }
  if (moved)
    ims_task_wake(o->producer);
  if (rc)
    return rc;
  if (ims_ring_at_end(&o->ring, 0))
    return IMGSTORE_OK;
  if (!done)
    rc = ims_operation_await(o->op, o->fd, o->awaited = true, &o->op->err);
  else if (moved >= STEP_BUDGET)
    ims_lane_signal(&o->op->lane);
  return rc ? rc : IMGSTORE_EAGAIN;
}

int32_t ims_output_advance(ims_output *o) {
  if (!o->is_file)
    return advance_stream(o);
  switch (atomic_load(&o->state)) {
  case STATE_DONE:
    return IMGSTORE_OK;
  case STATE_FAILED:
    o->op->err = o->err;
    return o->err.code;
  default:
    return IMGSTORE_EAGAIN;
  }
}

void ims_output_end(ims_output *o) {
  if (!o->opened)
    return;
  const ims_core *core = o->op->core;
  o->opened = false;
  atomic_store(&o->state, STATE_FAILED);    /* from here on the task does nothing */
  for (int round = 0; round < 2; round++) { /* each may have queued the other while it ran for the last time */
    ims_task_stop(o->producer);
    ims_task_stop(&o->task);
  }
  if (o->temp[0])
    core->sys->unlinkat(o->dir, o->temp, 0);
  if (o->awaited)
    ims_operation_forget(o->op, o->fd);
  if (o->fd >= 0 && o->owns_fd)
    core->sys->close(o->fd);
  if (o->dir >= 0)
    core->sys->close(o->dir);
  if (o->ring.data)
    ims_ring_free(&o->ring);
  ims_free(&core->alloc, o->path);
}
