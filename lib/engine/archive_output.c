/*
 * engine/archive_output.c (L4) - emptying the ring of an archive into a file, a descriptor or a callback.
 *
 * A regular file is written by a task: first without a name where the file system can, then linked, renamed over what
 * was there, and flushed with its folder. A pipe or socket is written by the driving thread, in pieces that do not
 * block, and waited for with the operation's descriptor. A pipe with a name that nobody reads cannot be waited for: it
 * is tried again.
 */
#include "engine/archive_output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

enum {
  RING_CAPACITY = 1 << 20,
  TASK_BUDGET = 4 << 20, /* bytes that one run of the task writes */
  STEP_BUDGET = 1 << 20, /* bytes that one step writes or hands out */
  PIPE_PIECE = 4096,     /* a pipe that can be written to takes so much without blocking */
  READER_INTERVAL = 50   /* milliseconds between two looks for a reader of a pipe */
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

/* A file without a name goes with the process, however that ends. */
static int32_t open_new_file(ims_output *o, ims_error *err) {
  o->owns_fd = o->is_file = true;
  int32_t rc = open_folder(o, err);
  return rc ? rc : ims_temp_open(o->op->core, o->dir, O_WRONLY, 0666, &o->fd, o->temp, o->path, err);
}

static int32_t take_descriptor(ims_output *o, int fd, ims_error *err) {
  struct stat st;
  o->fd = fd;
  if (o->op->core->sys->fstat(fd, &st))
    return ims_fail_os(err, errno, "%s: cannot be written to", o->path);
  o->is_file = S_ISREG(st.st_mode);
  return IMGSTORE_OK;
}

static int32_t open_existing(ims_output *o, ims_error *err) {
  int fd = o->op->core->sys->openat(AT_FDCWD, o->path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
  if (fd < 0 && errno == ENXIO && o->no_reader)
    return IMGSTORE_EAGAIN;
  if (fd < 0)
    return ims_fail_os(err, errno, "%s: cannot open", o->path);
  o->fd = fd;
  o->owns_fd = true;
  o->no_reader = false;
  return IMGSTORE_OK;
}

/* Names of what is open already, such as /dev/stdout, are no places for a new file. */
static bool is_replaceable(const ims_output *o, const struct stat *st) {
  static const char *const open_files[] = {"/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/"};
  bool replaceable = S_ISREG(st->st_mode);
  for (size_t i = 0; i < sizeof open_files / sizeof *open_files; i++)
    replaceable = replaceable && !ims_starts_with(o->path, open_files[i]);
  return replaceable;
}

/* What is there and is no file is written to as it is: a pipe with a name, a terminal, /dev/null. */
static int32_t open_path(ims_output *o, ims_error *err) {
  const ims_sys *sys = o->op->core->sys;
  struct stat st;
  if (!*name_of(o))
    return ims_fail(err, IMGSTORE_EINVALID, "%s: is no name of a file", o->path);
  if (sys->fstatat(AT_FDCWD, o->path, &st, 0) || is_replaceable(o, &st))
    return open_new_file(o, err);
  if (S_ISDIR(st.st_mode))
    return ims_fail(err, IMGSTORE_EINVALID, "%s: is a directory", o->path);
  o->no_reader = S_ISFIFO(st.st_mode);
  int32_t rc = open_existing(o, err);
  if (rc)
    return rc == IMGSTORE_EAGAIN ? IMGSTORE_OK : rc;
  return take_descriptor(o, o->fd, err);
}

static void run_task(ims_task *task);
static void run_encode_task(ims_task *task);

static int32_t open_encoder(ims_output *o, ims_error *err) {
  const ims_core *core = o->op->core;
  ims_task_init(&o->encode_task, &o->op->lane, core->pool, run_encode_task);
  atomic_init(&o->encode_failed, false);
  if (o->target.encode == IMS_ENCODE_NONE)
    return IMGSTORE_OK;
  if (!ims_ring_init(&o->encoded, &core->alloc, RING_CAPACITY))
    return ims_fail_nomem(err);
  ims_ring_attach(&o->encoded, 0);
  return ims_encoder_new(&o->encoder, &core->alloc, o->target.encode, 0, err);
}

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
  int32_t rc = open_encoder(o, err);
  if (rc)
    return rc;
  if (target->path)
    return open_path(o, err);
  return target->write ? IMGSTORE_OK : take_descriptor(o, target->fd, err);
}

/* --- compression ----------------------------------------------------------------------------------------------------
 */

/* What is to be written. */
static ims_ring *written_ring(ims_output *o) {
  return o->encoder ? &o->encoded : &o->ring;
}

/* There is room in it. */
static void wake_producer(ims_output *o) {
  ims_task_wake(o->encoder ? &o->encode_task : o->producer);
}

/* There are bytes in it, or it was closed. */
static void wake_consumer(ims_output *o) {
  if (o->is_file)
    ims_task_wake(&o->task);
  else
    ims_lane_signal(&o->op->lane);
}

/* Fills some of the space. *idle: there is nothing to be compressed. */
static int32_t encode_piece(ims_output *o, uint8_t *space, size_t room, size_t *used, bool *idle) {
  const uint8_t *data;
  size_t made = 0;
  bool ended = atomic_load(&o->ring.closed), done = false; /* before the ring is looked at */
  size_t size = ims_ring_data(&o->ring, 0, &data);
  int32_t rc = IMGSTORE_OK;
  *used = 0;
  *idle = !size && !ended;
  if (size)
    rc = ims_encoder_run(o->encoder, data, size, used, space, room, &made, &o->encode_err);
  else if (ended)
    rc = ims_encoder_finish(o->encoder, space, room, &made, &done, &o->encode_err);
  ims_ring_consume(&o->ring, 0, *used);
  ims_ring_commit(&o->encoded, made);
  if (!rc && done)
    ims_ring_close(&o->encoded);
  return rc;
}

static void run_encode_task(ims_task *task) {
  ims_output *o = (ims_output *)((char *)task - offsetof(ims_output, encode_task));
  uint8_t *space;
  size_t room, used, work = 0;
  bool idle = false;
  int32_t rc = IMGSTORE_OK;
  if (!o->encoder || atomic_load(&o->state) != STATE_OPEN || atomic_load(&o->encode_failed))
    return;
  while (!rc && !idle && work < TASK_BUDGET && !atomic_load(&o->encoded.closed) &&
         (room = ims_ring_space(&o->encoded, &space)) > 0) {
    rc = encode_piece(o, space, room, &used, &idle);
    work += used;
  }
  if (rc)
    atomic_store(&o->encode_failed, true);
  if (work)
    ims_task_wake(o->producer);
  if (work >= TASK_BUDGET)
    ims_task_wake(task);
  wake_consumer(o);
  if (rc)
    ims_lane_signal(&o->op->lane);
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
    int32_t rc = ims_temp_name(o->temp, o->path, &o->err);
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
  ims_ring *ring = written_ring(o);
  while (!rc && moved < TASK_BUDGET && (size = ims_ring_data(ring, 0, &data)) > 0) {
    rc = write_piece(o, data, size, &done);
    ims_ring_consume(ring, 0, done);
    wake_producer(o);
    moved += done;
  }
  if (!rc && ims_ring_at_end(ring, 0)) {
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
  if (o->encoder)
    ims_task_wake(&o->encode_task);
  else
    wake_consumer(o);
}

static int32_t advance_stream(ims_output *o) {
  const uint8_t *data;
  size_t size, done = 1, moved = 0;
  ims_ring *ring = written_ring(o);
  int32_t rc = o->no_reader ? open_existing(o, &o->op->err) : IMGSTORE_OK;
  if (rc)
    return rc;
  if (o->awaited)
    ims_operation_forget(o->op, o->fd);
  o->awaited = false;
  while (!rc && done && moved < STEP_BUDGET && (size = ims_ring_data(ring, 0, &data)) > 0) {
    rc = o->target.write ? hand_out(o, data, size, &done) : write_stream(o, data, size, &done);
    ims_ring_consume(ring, 0, done);
    moved += done;
  }
  if (moved)
    wake_producer(o);
  if (rc)
    return rc;
  if (ims_ring_at_end(ring, 0))
    return IMGSTORE_OK;
  if (!done)
    rc = ims_operation_await(o->op, o->fd, o->awaited = true, &o->op->err);
  else if (moved >= STEP_BUDGET)
    ims_lane_signal(&o->op->lane);
  return rc ? rc : IMGSTORE_EAGAIN;
}

int32_t ims_output_timeout(const ims_output *o) {
  return o->no_reader ? READER_INTERVAL : -1;
}

int32_t ims_output_advance(ims_output *o) {
  if (atomic_load(&o->encode_failed)) {
    o->op->err = o->encode_err;
    return ims_error_prefix(&o->op->err, "%s", o->path);
  }
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
  atomic_store(&o->state, STATE_FAILED);    /* from here on the tasks do nothing */
  for (int round = 0; round < 3; round++) { /* each may have queued the next while it ran for the last time */
    ims_task_stop(o->producer);
    ims_task_stop(&o->encode_task);
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
  if (o->encoded.data)
    ims_ring_free(&o->encoded);
  ims_encoder_free(o->encoder);
  ims_free(&core->alloc, o->path);
}
