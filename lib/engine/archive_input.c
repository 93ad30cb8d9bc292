/*
 * engine/archive_input.c (L4) - filling the ring of an archive from a file or a descriptor, and decompressing what is
 * compressed as a whole.
 *
 * A regular file is read by a task. A pipe or socket is read by the driving thread, when it has something, and waited
 * for with the operation's descriptor.
 */
#include "engine/archive_input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

enum {
  RING_CAPACITY = 1 << 20,
  OUT_SIZE = 256 << 10,
  TASK_BUDGET = 4 << 20, /* bytes that one run of the task reads */
  STEP_BUDGET = 1 << 20, /* bytes that one step reads */
  SNIFF_SIZE = 4
};

static int32_t take_descriptor(ims_input *in, ims_error *err) {
  struct stat st;
  if (in->op->core->sys->fstat(in->fd, &st))
    return ims_fail_os(err, errno, "%s: cannot be read", in->name);
  if (S_ISDIR(st.st_mode))
    return ims_fail(err, IMGSTORE_EINVALID, "%s: is a directory", in->name);
  in->is_file = S_ISREG(st.st_mode);
  in->total = in->is_file && st.st_size > 0 ? (uint64_t)st.st_size : 0;
  return IMGSTORE_OK;
}

static void run_task(ims_task *task);

/* A pipe without a writer opens as well: that is waited for like its bytes. */
int ims_input_open_path(const ims_core *core, const char *path, ims_error *err) {
  int fd = core->sys->openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
  if (fd < 0)
    ims_fail_os(err, errno, "%s: cannot open", path);
  return fd;
}

int32_t ims_input_open(ims_input *in, imgstore_operation *op, const char *path, int fd, ims_task *consumer,
                       ims_error *err) {
  const ims_core *core = op->core;
  memset(in, 0, sizeof *in);
  in->op = op;
  in->consumer = consumer;
  in->fd = fd;
  in->opened = true;
  atomic_init(&in->full, false);
  atomic_init(&in->failed, false);
  ims_task_init(&in->task, &op->lane, core->pool, run_task);
  in->name = ims_strdup(&core->alloc, path ? path : "standard input");
  in->out = ims_malloc(&core->alloc, OUT_SIZE);
  if (!in->name || !in->out || !ims_ring_init(&in->ring, &core->alloc, RING_CAPACITY))
    return ims_fail_nomem(err);
  ims_ring_attach(&in->ring, 0);
  if (fd < 0) {
    in->fd = ims_input_open_path(core, path, err);
    if (in->fd < 0)
      return err->code;
    in->owns_fd = true;
  }
  int32_t rc = take_descriptor(in, err);
  if (!rc && in->is_file)
    ims_task_wake(&in->task);
  return rc;
}

/* --- filling --------------------------------------------------------------------------------------------------------
 */

/* One read into free space. *got 0: the end, and the ring is closed. */
static int32_t read_piece(ims_input *in, uint8_t *space, size_t room, size_t *got, ims_error *err) {
  ssize_t n = in->op->core->sys->read(in->fd, space, room);
  *got = n > 0 ? (size_t)n : 0;
  if (n < 0 && (errno == EINTR || errno == EAGAIN))
    return IMGSTORE_EAGAIN;
  if (n < 0)
    return ims_fail_os(err, errno, "%s: cannot read", in->name);
  if (n == 0)
    ims_ring_close(&in->ring);
  else
    ims_ring_commit(&in->ring, *got);
  ims_task_wake(in->consumer);
  return IMGSTORE_OK;
}

static void run_task(ims_task *task) {
  ims_input *in = (ims_input *)task;
  size_t room, moved = 0, got;
  uint8_t *space;
  int32_t rc = IMGSTORE_OK;
  if (atomic_load(&in->failed) || atomic_load(&in->ring.closed))
    return;
  while (moved < TASK_BUDGET && !atomic_load(&in->ring.closed) && (room = ims_ring_space(&in->ring, &space)) > 0) {
    rc = read_piece(in, space, room, &got, &in->err);
    if (rc && rc != IMGSTORE_EAGAIN)
      break;
    moved += got;
  }
  if (rc && rc != IMGSTORE_EAGAIN) {
    atomic_store(&in->failed, true);
    ims_lane_signal(&in->op->lane);
  } else if (moved >= TASK_BUDGET) {
    ims_task_wake(&in->task);
  }
}

static bool is_readable(const ims_input *in) {
  struct pollfd p = {.fd = in->fd, .events = POLLIN};
  return poll(&p, 1, 0) > 0;
}

static int32_t read_stream(ims_input *in) {
  size_t room, moved = 0, got;
  uint8_t *space;
  bool ready = true;
  if (in->awaited)
    ims_operation_forget(in->op, in->fd);
  in->awaited = false;
  atomic_store(&in->full, true); /* before the ring is looked at: whoever makes room later signals */
  while (moved < STEP_BUDGET && !atomic_load(&in->ring.closed) && (room = ims_ring_space(&in->ring, &space)) > 0 &&
         (ready = is_readable(in))) {
    int32_t rc = read_piece(in, space, room, &got, &in->op->err);
    if (rc && rc != IMGSTORE_EAGAIN)
      return rc;
    moved += got;
  }
  if (!ready) {
    atomic_store(&in->full, false);
    return ims_operation_await(in->op, in->fd, !(in->awaited = true), &in->op->err);
  }
  if (moved >= STEP_BUDGET)
    ims_lane_signal(&in->op->lane);
  return IMGSTORE_OK;
}

int32_t ims_input_advance(ims_input *in) {
  if (atomic_load(&in->failed)) {
    in->op->err = in->err;
    return in->err.code;
  }
  return in->is_file || atomic_load(&in->ring.closed) ? IMGSTORE_OK : read_stream(in);
}

int32_t ims_input_report(ims_input *in, int64_t now) {
  uint64_t position = atomic_load(&in->ring.written);
  if (now - in->reported_at < IMS_PROGRESS_INTERVAL || position == in->reported)
    return IMGSTORE_OK;
  in->reported_at = now;
  in->reported = position;
  return ims_operation_event(in->op, IMGSTORE_EVENT_DOWNLOADING, IMGSTORE_OBJECT_NONE, NULL, in->name, position,
                             in->total);
}

/* --- emptying -------------------------------------------------------------------------------------------------------
 */

static void consume(ims_input *in, size_t size) {
  if (!size)
    return;
  ims_ring_consume(&in->ring, 0, size);
  if (in->is_file)
    ims_task_wake(&in->task);
  else if (atomic_exchange(&in->full, false))
    ims_lane_signal(&in->op->lane);
}

/* Looks at the first bytes. A ring that is empty but for them holds them in one piece. */
static int32_t start(ims_input *in, ims_error *err) {
  const uint8_t *data;
  const imgstore_context_options *own = &in->op->core->limits;
  const ims_decoder_limits limits = {own->max_layer_output, own->max_layer_ratio, own->max_zstd_window};
  bool closed = atomic_load(&in->ring.closed); /* before the ring is looked at */
  size_t size = ims_ring_data(&in->ring, 0, &data);
  if (size < SNIFF_SIZE && !closed)
    return IMGSTORE_EAGAIN;
  in->started = true;
  int32_t format = ims_format_sniff(data, size);
  return format == IMS_FORMAT_NONE
             ? IMGSTORE_OK
             : ims_decoder_new(&in->decoder, &in->op->core->alloc, format, IMS_ENGINE_BEST, &limits, err);
}

static int32_t next_decoded(ims_input *in, const uint8_t **data, size_t *size, ims_error *err) {
  *data = in->out;
  for (;;) {
    const uint8_t *raw;
    size_t used;
    bool closed = atomic_load(&in->ring.closed);
    size_t left = ims_ring_data(&in->ring, 0, &raw);
    int32_t rc = ims_decoder_run(in->decoder, raw, left, &used, in->out, OUT_SIZE, size, err);
    if (rc)
      return rc;
    consume(in, used);
    if (*size)
      return IMGSTORE_OK;
    if (left)
      continue;
    return closed ? ims_decoder_finish(in->decoder, err) : IMGSTORE_EAGAIN;
  }
}

int32_t ims_input_next(ims_input *in, const uint8_t **data, size_t *size, ims_error *err) {
  *size = 0;
  consume(in, in->lent);
  in->lent = 0;
  int32_t rc = in->started ? IMGSTORE_OK : start(in, err);
  if (rc)
    return rc;
  if (in->decoder)
    return next_decoded(in, data, size, err);
  bool closed = atomic_load(&in->ring.closed);
  *size = in->lent = ims_ring_data(&in->ring, 0, data);
  return *size || closed ? IMGSTORE_OK : IMGSTORE_EAGAIN;
}

void ims_input_end(ims_input *in) {
  if (!in->opened)
    return;
  const ims_core *core = in->op->core;
  in->opened = false;
  atomic_store(&in->failed, true);          /* from here on the task does nothing */
  for (int round = 0; round < 2; round++) { /* each may have queued the other while it ran for the last time */
    ims_task_stop(in->consumer);
    ims_task_stop(&in->task);
  }
  if (in->awaited)
    ims_operation_forget(in->op, in->fd);
  if (in->fd >= 0 && in->owns_fd)
    core->sys->close(in->fd);
  if (in->ring.data)
    ims_ring_free(&in->ring);
  ims_decoder_free(in->decoder);
  ims_free(&core->alloc, in->out);
  ims_free(&core->alloc, in->name);
}
