/*
 * engine/save.c (L4) - the job that writes images as one archive: a task turns the members of the plan into a tar, the
 * output takes it away. Every blob is hashed as it goes by.
 */
#include <string.h>

#include "compress/decoder.h"
#include "engine/archive_jobs.h"
#include "engine/compression.h"
#include "engine/content.h"
#include "engine/save_plan.h"
#include "engine/tar_job.h"
#include "tar/writer.h"

enum {
  TASK_BUDGET = 4 << 20, /* bytes that one run of the task makes */
  COUNT_PIECE = 64 << 10
};

/* Where in a member the task is. */
enum { AT_BEGIN, AT_COUNT, AT_HEADER, AT_CONTENT, AT_PADDING };

typedef struct save_job {
  ims_tar_job base; /* first member */
  imgstore_store *store;
  ims_lease lease;
  ims_save_plan plan;
  char *platform;
  size_t reported; /* members that progress told of */

  /* of the task */
  int at;
  imgstore_stream *stream;
  uint64_t size, done; /* of the member's content */
  uint8_t *piece;
  _Atomic size_t current; /* the member that the task is at */
  _Atomic uint64_t moved; /* bytes of its content */
  uint64_t reported_bytes;
  int64_t reported_at;
} save_job;

/* --- the task -------------------------------------------------------------------------------------------------------
 */

static ims_save_member *member_of(save_job *j) {
  size_t i = atomic_load(&j->current);
  return i < j->plan.count ? &j->plan.members[i] : NULL;
}

static int32_t open_member(save_job *j, const ims_save_member *m) {
  return ims_stream_open(&j->stream, j->store, &m->digest, m->format, &m->expected, &j->base.err);
}

static void close_member(save_job *j) {
  ims_stream_close(j->stream);
  j->stream = NULL;
}

static int32_t begin(save_job *j, const ims_save_member *m) {
  j->size = m->size;
  j->done = 0;
  atomic_store(&j->moved, 0);
  j->at = m->kind == IMS_MEMBER_BLOB && m->format != IMS_FORMAT_NONE ? AT_COUNT : AT_HEADER;
  if (j->at == AT_COUNT)
    j->size = 0;
  return m->kind == IMS_MEMBER_BLOB ? open_member(j, m) : IMGSTORE_OK;
}

/* The size of a layer without compression: its header comes before it. */
static int32_t count(save_job *j, const ims_save_member *m, size_t *work) {
  size_t got = 1;
  int32_t rc = IMGSTORE_OK;
  while (!rc && got && *work < TASK_BUDGET) {
    rc = ims_stream_read(j->stream, j->piece, COUNT_PIECE, &got, &j->base.err);
    j->size += got;
    *work += got;
  }
  if (rc || got)
    return rc;
  close_member(j);
  j->at = AT_HEADER;
  return open_member(j, m);
}

static int32_t stage_header(save_job *j, const ims_save_member *m) {
  ims_tar_entry entry;
  memset(&entry, 0, sizeof entry);
  entry.type = m->kind == IMS_MEMBER_FOLDER ? IMS_TAR_DIRECTORY : IMS_TAR_REGULAR;
  entry.path = m->path;
  entry.linkpath = "";
  entry.mode = m->kind == IMS_MEMBER_FOLDER ? 0755 : 0644;
  entry.size = entry.data_size = m->kind == IMS_MEMBER_FOLDER ? 0 : j->size;
  j->at = AT_CONTENT;
  return ims_tar_put_entry(&j->base.staged, &entry, &j->base.err);
}

static int32_t read_content(save_job *j, const ims_save_member *m, uint8_t *space, size_t room, size_t *got) {
  if (m->kind == IMS_MEMBER_BLOB)
    return ims_stream_read(j->stream, space, room, got, &j->base.err);
  uint64_t left = j->size - j->done;
  *got = left < room ? (size_t)left : room;
  if (*got)
    memcpy(space, m->text + j->done, *got);
  return IMGSTORE_OK;
}

/* *got 0: the content is complete, or the ring is full. */
static int32_t copy(save_job *j, const ims_save_member *m, size_t *work) {
  uint8_t *space;
  size_t room, got = 1;
  int32_t rc = IMGSTORE_OK;
  while (!rc && got && *work < TASK_BUDGET && (room = ims_ring_space(&j->base.output.ring, &space)) > 0) {
    rc = m->kind == IMS_MEMBER_FOLDER ? (int32_t)(got = 0) : read_content(j, m, space, room, &got);
    if (!rc && got > j->size - j->done)
      return ims_fail(&j->base.err, IMGSTORE_ECORRUPT, "blob %s: is longer than it was", m->digest.text);
    if (!rc)
      ims_ring_commit(&j->base.output.ring, got);
    j->done += got;
    *work += got;
    atomic_store(&j->moved, j->done);
  }
  if (rc || got)
    return rc;
  if (j->done != j->size)
    return ims_fail(&j->base.err, IMGSTORE_ECORRUPT, "blob %s: is shorter than it was", m->digest.text);
  close_member(j);
  j->at = AT_PADDING;
  return IMGSTORE_OK;
}

static int32_t stage_padding(save_job *j) {
  static const char zeros[512];
  j->at = AT_BEGIN;
  atomic_fetch_add(&j->current, 1);
  int32_t rc = ims_buf_append(&j->base.staged, zeros, ims_tar_padding(j->size));
  if (!rc && !member_of(j))
    rc = ims_tar_put_end(&j->base.staged);
  return rc ? ims_fail_nomem(&j->base.err) : IMGSTORE_OK;
}

static int32_t advance_member(save_job *j, const ims_save_member *m, size_t *work) {
  switch (j->at) {
  case AT_BEGIN:
    return begin(j, m);
  case AT_COUNT:
    return count(j, m, work);
  case AT_HEADER:
    return stage_header(j, m);
  case AT_CONTENT:
    return copy(j, m, work);
  default:
    return stage_padding(j);
  }
}

static void run_task(ims_task *task) {
  save_job *j = (save_job *)ims_tar_job_of(task);
  size_t work = 0;
  int32_t rc = IMGSTORE_OK;
  bool room = true;
  const ims_save_member *m;
  if (atomic_load(&j->base.failed) || atomic_load(&j->base.output.ring.closed))
    return;
  while (!rc && work < TASK_BUDGET && (room = ims_output_flush(&j->base.output, &j->base.staged, &j->base.staged_at)) &&
         (m = member_of(j)) != NULL) {
    uint8_t *space;
    room = j->at != AT_CONTENT || ims_ring_space(&j->base.output.ring, &space) > 0;
    if (!room)
      break;
    rc = advance_member(j, m, &work);
  }
  if (rc) {
    ims_tar_job_fail(&j->base);
    return;
  }
  if (room && !member_of(j) && !j->base.staged.size)
    ims_ring_close(&j->base.output.ring);
  else if (room)
    ims_task_wake(&j->base.task);
  ims_output_fed(&j->base.output);
}

/* --- the driver -----------------------------------------------------------------------------------------------------
 */

static bool is_told(const ims_save_member *m) {
  return m->kind == IMS_MEMBER_BLOB;
}

static int32_t tell(save_job *j, int32_t type, const ims_save_member *m, uint64_t done) {
  return ims_operation_event(&j->base.op, type, m->object, m->digest.text, NULL, done, m->size > done ? m->size : done);
}

/* Each blob begins, moves and is complete. */
static int32_t report(save_job *j, int64_t now) {
  size_t current = atomic_load(&j->current);
  int32_t rc = IMGSTORE_OK;
  for (; !rc && j->reported < current; j->reported++) {
    const ims_save_member *m = &j->plan.members[j->reported];
    if (is_told(m))
      rc = tell(j, IMGSTORE_EVENT_COMPLETE, m, m->size);
  }
  const ims_save_member *m = current < j->plan.count ? &j->plan.members[current] : NULL;
  uint64_t moved = atomic_load(&j->moved);
  if (rc || !m || !is_told(m) || now - j->reported_at < IMS_PROGRESS_INTERVAL || moved == j->reported_bytes)
    return rc;
  j->reported_at = now;
  j->reported_bytes = moved;
  return tell(j, IMGSTORE_EVENT_DOWNLOADING, m, moved);
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  save_job *j = (save_job *)op;
  int32_t rc = ims_tar_job_advance(&j->base);
  if (rc && rc != IMGSTORE_EAGAIN)
    return rc;
  int32_t told = report(j, now);
  return told ? told : rc;
}

static void end(imgstore_operation *op, int32_t result) {
  save_job *j = (save_job *)op;
  (void)result;
  ims_tar_job_end(&j->base);
  close_member(j);
  ims_lease_close(&j->lease);
}

static void destroy(imgstore_operation *op) {
  save_job *j = (save_job *)op;
  const ims_alloc *alloc = &op->core->alloc;
  ims_save_plan_free(&j->plan);
  ims_free(alloc, j->piece);
  ims_free(alloc, j->platform);
  ims_store_unref(j->store); /* the operation keeps the core */
  ims_tar_job_clean(&j->base);
}

static const ims_tar_job_type save_job_type = {
    {advance, ims_tar_job_timeout, end, destroy}, sizeof(save_job), run_task, 1 << 20};

static int32_t make_plan(save_job *j, const char *const *names, size_t count_of_names,
                         const imgstore_save_options *options, ims_error *err) {
  const ims_alloc *alloc = &j->base.op.core->alloc;
  ims_save_plan *plan = &j->plan;
  plan->lease = &j->lease;
  plan->docker = options->format != IMGSTORE_ARCHIVE_OCI;
  plan->all_platforms = options->flags & IMGSTORE_SAVE_ALL_PLATFORMS;
  plan->uncompressed = options->flags & IMGSTORE_SAVE_UNCOMPRESSED;
  j->piece = ims_malloc(alloc, COUNT_PIECE);
  if (options->platform)
    j->platform = ims_strdup(alloc, options->platform);
  if (!j->piece || (options->platform && !j->platform))
    return ims_fail_nomem(err);
  plan->platform_text = j->platform;
  int32_t rc = ims_lease_open(&j->lease, j->store, err);
  plan->store = j->store;
  return rc ? rc : ims_save_plan_make(plan, names, count_of_names, err);
}

int32_t ims_save_start(imgstore_operation **op, imgstore_store *store, const char *const *names, size_t count_of_names,
                       const char *path, const imgstore_save_options *options, ims_error *err) {
  ims_output_target target = {path, options->fd, options->write, options->write_data, IMS_ENCODE_NONE};
  ims_tar_job *base;
  *op = NULL;
  int32_t rc = ims_compression_encode(options->compression, &target.encode, err);
  if (!rc)
    rc = ims_tar_job_new(&base, &save_job_type, store, options->progress, options->progress_data, err);
  if (rc)
    return rc;
  save_job *j = (save_job *)base;
  j->store = ims_store_ref(store);
  rc = make_plan(j, names, count_of_names, options, err);
  if (!rc)
    rc = ims_tar_job_begin(base, &target, err);
  if (rc) {
    ims_operation_free(&base->op);
    return rc;
  }
  *op = &base->op;
  return IMGSTORE_OK;
}
