/*
 * engine/transfer.c (L4) - one blob on its way into a store. Knows nothing of manifests or unpacking.
 */
#include "engine/transfer.h"

#include <string.h>

enum {
  RING_CAPACITY = 1 << 20,
  TASK_BUDGET = 1 << 20,   /* bytes that one run of the task moves */
  RESUME_BUDGET = 4 << 20, /* of an earlier job's bytes, hashed in one run */
  COPY_PIECE = 256 << 10,  /* read size from another store */
  BUSY_INTERVAL = 100      /* ms between two looks at a blob that somebody else brings in */
};

static void set_phase(ims_transfer *t, int phase) {
  atomic_store(&t->phase, phase);
  ims_lane_signal(&t->op->lane);
}

static void task_failed(ims_transfer *t) {
  set_phase(t, IMS_TRANSFER_FAILED);
}

/* --- the task: runs on a worker when the storage allows ---------------------------------------------------------- */

static int32_t look(ims_transfer *t, bool *present) {
  bool damaged;
  int32_t rc = ims_blob_find(t->store, &t->digest, t->size, present, &damaged, &t->err);
  t->damaged |= damaged;
  return rc;
}

/* Hashes what an earlier job left, a piece at a time. */
static void resume_ingest(ims_transfer *t) {
  int32_t rc = ims_ingest_resume(&t->ingest, RESUME_BUDGET, &t->err);
  if (rc == IMGSTORE_EAGAIN) {
    ims_task_wake(&t->task);
  } else if (rc) {
    task_failed(t);
  } else {
    t->resumed = t->ingest.offset;
    atomic_store(&t->stored, t->ingest.offset);
    set_phase(t, IMS_TRANSFER_READY);
  }
}

/* Looks whether it is there. True: not, and nothing failed. */
static bool is_absent(ims_transfer *t) {
  bool present = false;
  if (look(t, &present)) {
    task_failed(t);
    return false;
  }
  if (present) {
    ims_ingest_close(&t->ingest, false);
    set_phase(t, IMS_TRANSFER_EXISTS);
  }
  return !present;
}

static void check_presence(ims_transfer *t) {
  if (!is_absent(t))
    return;
  int32_t rc = ims_ingest_begin(&t->ingest, t->store, &t->digest, t->size, &t->err);
  if (rc == IMGSTORE_EBUSY) {
    ims_error_clear(&t->err);
    set_phase(t, IMS_TRANSFER_BUSY);
  } else if (rc) {
    task_failed(t);
  } else if (is_absent(t)) { /* whoever had it may have finished between the look and the open */
    resume_ingest(t);
  }
}

/* All bytes are there. What an earlier job left, or a mirror sent, may be wrong: then everything is fetched once more.
 */
static void finish_blob(ims_transfer *t) {
  int32_t rc = ims_ingest_verify(&t->ingest, &t->err);
  if (rc == IMGSTORE_EDIGEST && (t->resumed || t->from_mirrors)) {
    ims_error_clear(&t->err);
    ims_ingest_close(&t->ingest, false);
    set_phase(t, IMS_TRANSFER_IDLE);
    return;
  }
  if (!rc)
    rc = ims_ingest_commit(&t->ingest, &t->err);
  if (rc)
    task_failed(t);
  else
    set_phase(t, IMS_TRANSFER_DONE);
}

static void signal_room(ims_transfer *t) {
  if (atomic_load(&t->paused) && ims_ring_free_bytes(&t->ring) >= t->ring.capacity / 4)
    ims_lane_signal(&t->op->lane);
}

static void store_from_ring(ims_transfer *t) {
  size_t moved = 0;
  const uint8_t *data;
  size_t size;
  while (moved < TASK_BUDGET && (size = ims_ring_data(&t->ring, IMS_TRANSFER_STORE, &data)) > 0) {
    if (ims_ingest_write(&t->ingest, data, size, &t->err)) {
      task_failed(t);
      return;
    }
    ims_ring_consume(&t->ring, IMS_TRANSFER_STORE, size);
    atomic_store(&t->stored, t->ingest.offset);
    signal_room(t);
    moved += size;
  }
  if (ims_ring_at_end(&t->ring, IMS_TRANSFER_STORE))
    finish_blob(t);
  else if (moved >= TASK_BUDGET)
    ims_task_wake(&t->task);
}

static int32_t copy_piece(ims_transfer *t, ims_blob *blob, void *buffer, size_t *got) {
  uint64_t left = t->size - t->ingest.offset;
  int32_t rc =
      ims_blob_read(blob, t->ingest.offset, buffer, left < COPY_PIECE ? (size_t)left : COPY_PIECE, got, &t->err);
  if (!rc && !*got && left)
    rc = ims_fail(&t->err, IMGSTORE_ECORRUPT, "blob %s: ends %llu bytes early", t->digest.text,
                  (unsigned long long)left);
  if (!rc)
    rc = ims_ingest_write(&t->ingest, buffer, *got, &t->err);
  atomic_store(&t->stored, t->ingest.offset);
  return rc;
}

static void store_from_source(ims_transfer *t) {
  ims_blob blob;
  size_t moved = 0, got;
  void *buffer = NULL;
  int32_t rc = ims_blob_open(&blob, t->source, &t->digest, &t->err);
  if (rc) {
    ims_fail(&t->err, rc, "blob %s: not in the source", t->digest.text);
    task_failed(t);
    return;
  }
  if (blob.size != t->size)
    rc = ims_fail(&t->err, IMGSTORE_EDIGEST, "blob %s: has %llu bytes in the source, not %llu", t->digest.text,
                  (unsigned long long)blob.size, (unsigned long long)t->size);
  if (!rc && !(buffer = ims_malloc(&t->op->core->alloc, COPY_PIECE)))
    rc = ims_fail_nomem(&t->err);
  while (!rc && moved < TASK_BUDGET && t->ingest.offset < t->size) {
    rc = copy_piece(t, &blob, buffer, &got);
    moved += got;
  }
  ims_free(&t->op->core->alloc, buffer);
  ims_blob_close(&blob);
  if (rc)
    task_failed(t);
  else if (t->ingest.offset == t->size)
    finish_blob(t);
  else
    ims_task_wake(&t->task);
}

static void run_task(ims_task *task) {
  ims_transfer *t = (ims_transfer *)task;
  switch (atomic_load(&t->phase)) {
  case IMS_TRANSFER_CHECKING:
    if (t->ingest.ingest)
      resume_ingest(t);
    else
      check_presence(t);
    break;
  case IMS_TRANSFER_RUNNING:
    if (t->source)
      store_from_source(t);
    else
      store_from_ring(t);
    break;
  default:
    break; /* a late wake-up */
  }
}

/* --- the source: a fetch that fills the ring ------------------------------------------------------------------------
 */

static uint64_t fetch_position(void *data) {
  ims_transfer *t = data;
  return t->resumed + atomic_load(&t->ring.written);
}

static size_t fetch_body(void *data, const uint8_t *bytes, size_t size) {
  ims_transfer *t = data;
  atomic_store(&t->paused, true); /* before the ring is looked at: whoever makes room later signals */
  size_t taken = ims_ring_write(&t->ring, bytes, size);
  if (taken == size)
    atomic_store(&t->paused, false);
  ims_task_wake(&t->task);
  if (t->follower)
    ims_task_wake(t->follower);
  return taken;
}

static void fetch_done(void *data, int32_t code, const ims_error *err) {
  ims_transfer *t = data;
  t->fetch = NULL;
  if (code) {
    ims_task_stop(&t->task);
    if (atomic_load(&t->phase) == IMS_TRANSFER_FAILED)
      return; /* the task's own failure came first */
    t->err = *err;
    t->err.code = code;
    set_phase(t, IMS_TRANSFER_FAILED);
    return;
  }
  ims_ring_close(&t->ring);
  ims_task_wake(&t->task);
  if (t->follower)
    ims_task_wake(t->follower);
}

static int32_t make_ring(ims_transfer *t) {
  if (t->has_ring) {
    ims_ring_reset(&t->ring);
    return IMGSTORE_OK;
  }
  size_t capacity = RING_CAPACITY;
  while (capacity > 4096 && capacity / 2 >= t->size)
    capacity /= 2;
  if (!ims_ring_init(&t->ring, &t->op->core->alloc, capacity))
    return ims_fail_nomem(&t->op->err);
  ims_ring_attach(&t->ring, IMS_TRANSFER_STORE);
  t->has_ring = true;
  return IMGSTORE_OK;
}

static int32_t start_source(ims_transfer *t) {
  atomic_store(&t->phase, IMS_TRANSFER_RUNNING);
  if (t->source || t->resumed == t->size) { /* nothing (more) to fetch */
    int32_t rc = t->source ? IMGSTORE_OK : make_ring(t);
    if (!rc && !t->source)
      ims_ring_close(&t->ring);
    ims_task_wake(&t->task);
    if (t->follower)
      ims_task_wake(t->follower);
    return rc;
  }
  int32_t rc = make_ring(t);
  if (rc)
    return rc;
  t->from_mirrors = ims_client_uses_mirrors(t->client);
  const ims_blob_sink sink = {t, fetch_position, fetch_body, fetch_done};
  const ims_blob_request request = {t->repository, t->digest, t->size, t->urls, t->url_count};
  return ims_fetch_blob(t->client, &request, &sink, &t->fetch, &t->op->err);
}

/* --- the driver's side
 * ------------------------------------------------------------------------------------------------- */

void ims_transfer_init(ims_transfer *t, const ims_transfer_setup *setup, const imgstore_descriptor *descriptor,
                       int32_t object) {
  t->op = setup->op;
  t->store = setup->store;
  t->lease = setup->lease;
  t->client = setup->client;
  t->repository = setup->repository;
  t->source = setup->source;
  t->object = object;
  t->digest = descriptor->digest;
  t->size = descriptor->size;
  t->media_type = descriptor->media_type;
  t->urls = descriptor->urls;
  t->url_count = descriptor->url_count;
  bool concurrent = (t->store->storage.flags & IMGSTORE_STORAGE_CONCURRENT) &&
                    (!t->source || (t->source->storage.flags & IMGSTORE_STORAGE_CONCURRENT));
  ims_task_init(&t->task, &t->op->lane, concurrent ? t->op->core->pool : NULL, run_task);
}

int32_t ims_transfer_begin(ims_transfer *t) {
  int32_t rc = ims_lease_add(t->lease, &t->digest, &t->op->err);
  if (rc)
    return rc;
  atomic_store(&t->phase, IMS_TRANSFER_CHECKING);
  ims_task_wake(&t->task);
  return IMGSTORE_OK;
}

bool ims_transfer_is_finished(const ims_transfer *t) {
  int phase = atomic_load(&t->phase);
  return phase == IMS_TRANSFER_DONE || phase == IMS_TRANSFER_EXISTS;
}

bool ims_transfer_is_active(const ims_transfer *t) {
  int phase = atomic_load(&t->phase);
  return phase != IMS_TRANSFER_IDLE && (!ims_transfer_is_finished(t) || t->has_ring);
}

bool ims_transfer_is_ready(const ims_transfer *t) {
  return atomic_load(&t->phase) == IMS_TRANSFER_READY;
}

bool ims_transfer_can_follow(const ims_transfer *t) {
  return ims_transfer_is_ready(t) && !t->source && !t->resumed && !ims_client_uses_mirrors(t->client);
}

int32_t ims_transfer_follow(ims_transfer *t, ims_task *follower) {
  int32_t rc = make_ring(t);
  if (rc)
    return rc;
  ims_ring_attach(&t->ring, IMS_TRANSFER_FOLLOW);
  t->follower = follower;
  return IMGSTORE_OK;
}

void ims_transfer_followed(ims_transfer *t) {
  signal_room(t);
}

void ims_transfer_unfollow(ims_transfer *t) {
  t->follower = NULL;
  if (t->has_ring) {
    ims_ring_detach(&t->ring, IMS_TRANSFER_FOLLOW);
    signal_room(t);
  }
}

/* The task found it so: the log is for the driving thread. */
static void log_damage(ims_transfer *t) {
  if (t->damaged)
    ims_blob_log_damage(t->store, &t->digest);
  t->damaged = false;
}

static int32_t report(ims_transfer *t, int32_t type, int64_t now) {
  uint64_t done = type == IMGSTORE_EVENT_DOWNLOADING ? atomic_load(&t->stored) : t->size;
  t->reported_at = now;
  t->reported = done;
  return ims_operation_event(t->op, type, t->object, t->digest.text, NULL, done, t->size);
}

static int32_t advance_running(ims_transfer *t, int64_t now) {
  if (t->fetch && atomic_load(&t->paused) && ims_ring_free_bytes(&t->ring) >= t->ring.capacity / 4) {
    atomic_store(&t->paused, false);
    ims_fetch_resume(t->fetch);
  }
  if (now - t->reported_at >= IMS_PROGRESS_INTERVAL && atomic_load(&t->stored) != t->reported) {
    int32_t rc = report(t, IMGSTORE_EVENT_DOWNLOADING, now);
    if (rc)
      return rc;
  }
  return IMGSTORE_EAGAIN;
}

static int32_t advance_finished(ims_transfer *t, int phase, int64_t now) {
  if (t->has_ring && !t->follower) {
    ims_task_stop(&t->task);
    ims_ring_free(&t->ring);
    t->has_ring = false;
  }
  if (t->announced_end)
    return IMGSTORE_OK;
  t->announced_end = true;
  log_damage(t);
  return report(t, phase == IMS_TRANSFER_EXISTS ? IMGSTORE_EVENT_EXISTS : IMGSTORE_EVENT_DOWNLOADED, now);
}

int32_t ims_transfer_advance(ims_transfer *t, int64_t now) {
  int32_t rc;
  int phase = atomic_load(&t->phase);
  switch (phase) {
  case IMS_TRANSFER_IDLE:
    if (t->from_mirrors) /* it is here again because they sent wrong bytes */
      ims_client_distrust_mirrors(t->client);
    rc = ims_transfer_begin(t);
    return rc ? rc : IMGSTORE_EAGAIN;
  case IMS_TRANSFER_BUSY:
    if (!t->announced_wait) {
      t->announced_wait = true;
      t->retry_at = now + BUSY_INTERVAL;
      rc = ims_operation_event(t->op, IMGSTORE_EVENT_WAITING, t->object, t->digest.text, NULL, 0, t->size);
      return rc ? rc : IMGSTORE_EAGAIN;
    }
    if (now < t->retry_at)
      return IMGSTORE_EAGAIN;
    t->retry_at = now + BUSY_INTERVAL;
    rc = ims_transfer_begin(t);
    return rc ? rc : IMGSTORE_EAGAIN;
  case IMS_TRANSFER_RUNNING:
    return advance_running(t, now);
  case IMS_TRANSFER_EXISTS:
  case IMS_TRANSFER_DONE:
    return advance_finished(t, phase, now);
  case IMS_TRANSFER_FAILED:
    t->op->err = t->err;
    return t->err.code ? t->err.code : IMGSTORE_EIO;
  default:
    return IMGSTORE_EAGAIN;
  }
}

int32_t ims_transfer_start(ims_transfer *t, int64_t now) {
  log_damage(t);
  int32_t rc = start_source(t);
  return rc ? rc : report(t, IMGSTORE_EVENT_DOWNLOADING, now);
}

int32_t ims_transfer_timeout(const ims_transfer *t, int64_t now) {
  int phase = atomic_load(&t->phase);
  if (phase == IMS_TRANSFER_BUSY)
    return t->retry_at > now ? (int32_t)(t->retry_at - now) : 0;
  if (phase == IMS_TRANSFER_RUNNING && t->op->progress)
    return IMS_PROGRESS_INTERVAL;
  return -1;
}

void ims_transfer_end(ims_transfer *t) {
  if (t->fetch)
    ims_fetch_cancel(t->fetch);
  t->fetch = NULL;
  ims_task_stop(&t->task);
  ims_ingest_close(&t->ingest, true);
  if (t->has_ring)
    ims_ring_free(&t->ring);
  t->has_ring = false;
}
