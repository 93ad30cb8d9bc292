/*
 * engine/archive_open.c (L4) - from the path of an archive to a store: a task that makes a copy where it must, and
 * reads headers and documents.
 */
#include "engine/archive_open.h"

#include <errno.h>
#include <string.h>

#include "engine/archive_input.h"
#include "engine/temp_file.h"

enum { TASK_BUDGET = 4 << 20 /* bytes that one run of the task copies */ };

enum {
  AT_BEGIN, /* nothing is open */
  AT_COPY,  /* the task writes the copy */
  AT_READ,  /* it reads headers and documents */
  AT_OPEN,
  AT_FAILED
};

struct ims_archive_opening {
  ims_task task; /* first member */
  imgstore_operation *op;
  char *path, *temp_dir;
  int32_t format;
  atomic_int state;
  ims_error err;    /* of the task */
  int source, copy; /* descriptors, until the archive has its own; -1 */
  ims_input input;  /* of a source that is copied */
  ims_archive_store *archive;
};

/* --- the task -------------------------------------------------------------------------------------------------------
 */

static int32_t write_copy(ims_archive_opening *o, const uint8_t *data, size_t size) {
  while (size) {
    ssize_t n = o->op->core->sys->write(o->copy, data, size);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return ims_fail_os(&o->err, n < 0 ? errno : ENOSPC, "cannot write its temporary copy in %s", o->temp_dir);
    data += n;
    size -= (size_t)n;
  }
  return IMGSTORE_OK;
}

/* Takes over *fd. */
static int32_t begin_reading(ims_archive_opening *o, int *fd, ims_error *err) {
  int own = *fd;
  *fd = -1;
  atomic_store(&o->state, AT_READ);
  return ims_archive_store_new(&o->archive, o->op->core, o->path, own, o->format, err);
}

/* IMGSTORE_OK: there is more. */
static int32_t copy_some(ims_archive_opening *o) {
  const uint8_t *data;
  size_t size = 1, work = 0;
  int32_t rc = IMGSTORE_OK;
  while (!rc && size && work < TASK_BUDGET) {
    rc = ims_input_next(&o->input, &data, &size, &o->err);
    if (!rc && size)
      rc = write_copy(o, data, size);
    work += size;
  }
  return rc || size ? rc : begin_reading(o, &o->copy, &o->err);
}

static void run_task(ims_task *task) {
  ims_archive_opening *o = (ims_archive_opening *)task;
  int state = atomic_load(&o->state);
  if (state != AT_COPY && state != AT_READ)
    return;
  int32_t rc = state == AT_COPY ? copy_some(o) : ims_archive_store_step(o->archive, &o->err);
  if (state == AT_COPY ? rc == IMGSTORE_OK : rc == IMGSTORE_EAGAIN) {
    ims_task_wake(task);
  } else if (rc != IMGSTORE_EAGAIN) {
    atomic_store(&o->state, rc ? AT_FAILED : AT_OPEN);
    ims_lane_signal(&o->op->lane);
  }
}

/* --- the driver's side ----------------------------------------------------------------------------------------------
 */

static int32_t must_be_copied(ims_archive_opening *o, bool *copied, ims_error *err) {
  const ims_core *core = o->op->core;
  uint8_t head[IMS_CONTENT_HEAD];
  struct stat st;
  size_t got;
  if (core->sys->fstat(o->source, &st))
    return ims_fail_os(err, errno, "%s: cannot be read", o->path);
  if (S_ISDIR(st.st_mode))
    return ims_fail(err, IMGSTORE_EINVALID, "%s: is a directory", o->path);
  *copied = !S_ISREG(st.st_mode);
  if (*copied)
    return IMGSTORE_OK;
  int failed = ims_archive_read_at(core, o->source, 0, head, sizeof head, &got);
  if (failed)
    return ims_fail_os(err, failed, "%s: cannot read", o->path);
  *copied = ims_format_sniff(head, got) != IMS_FORMAT_NONE;
  return IMGSTORE_OK;
}

static int32_t begin_copy(ims_archive_opening *o, ims_error *err) {
  int32_t rc = ims_temp_open_unnamed(o->op->core, o->temp_dir, &o->copy, err);
  if (rc)
    return ims_error_prefix(err, "%s", o->path);
  atomic_store(&o->state, AT_COPY);
  return ims_input_open(&o->input, o->op, o->path, o->source, &o->task, err);
}

static int32_t begin(ims_archive_opening *o) {
  ims_error *err = &o->op->err;
  bool copied = false;
  o->source = ims_input_open_path(o->op->core, o->path, err);
  if (o->source < 0)
    return err->code;
  int32_t rc = must_be_copied(o, &copied, err);
  if (rc)
    return rc;
  if (copied) {
    rc = begin_copy(o, err);
  } else if ((rc = begin_reading(o, &o->source, err))) {
    ims_error_prefix(err, "%s", o->path);
  }
  ims_task_wake(&o->task);
  return rc ? rc : IMGSTORE_EAGAIN;
}

int32_t ims_archive_opening_advance(ims_archive_opening *o, int64_t now) {
  int32_t rc;
  switch (atomic_load(&o->state)) {
  case AT_BEGIN:
    return begin(o);
  case AT_COPY:
    rc = ims_input_advance(&o->input);
    if (!rc)
      rc = ims_input_report(&o->input, now);
    return rc ? rc : IMGSTORE_EAGAIN;
  case AT_READ:
    return IMGSTORE_EAGAIN;
  case AT_OPEN:
    return IMGSTORE_OK;
  default:
    o->op->err = o->err;
    return ims_error_prefix(&o->op->err, "%s", o->path);
  }
}

int32_t ims_archive_opening_take(ims_archive_opening *o, imgstore_store **store, ims_error *err) {
  ims_archive_store *archive = o->archive;
  o->archive = NULL;
  return ims_archive_store_take(archive, store, err);
}

int32_t ims_archive_opening_new(ims_archive_opening **opening, imgstore_operation *op, const char *path, int32_t format,
                                const char *temp_dir, ims_error *err) {
  const ims_alloc *alloc = &op->core->alloc;
  *opening = NULL;
  ims_archive_opening *o = ims_calloc(alloc, 1, sizeof *o);
  if (!o)
    return ims_fail_nomem(err);
  o->op = op;
  o->format = format;
  o->source = o->copy = -1;
  atomic_init(&o->state, AT_BEGIN);
  ims_task_init(&o->task, &op->lane, op->core->pool, run_task);
  o->path = ims_strdup(alloc, path);
  o->temp_dir = ims_strdup(alloc, temp_dir);
  if (!o->path || !o->temp_dir) {
    ims_archive_opening_free(o);
    return ims_fail_nomem(err);
  }
  *opening = o;
  return IMGSTORE_OK;
}

void ims_archive_opening_free(ims_archive_opening *o) {
  if (!o)
    return;
  const ims_core *core = o->op->core;
  ims_input_end(&o->input);
  ims_task_stop(&o->task);
  if (o->source >= 0)
    core->sys->close(o->source);
  if (o->copy >= 0)
    core->sys->close(o->copy);
  ims_archive_store_free(o->archive);
  ims_free(&core->alloc, o->path);
  ims_free(&core->alloc, o->temp_dir);
  ims_free(&core->alloc, o);
}
