/*
 * engine/relay.c (L4) - a blob on its way from one registry to another. Knows nothing of manifests or of how uploads go
 * on after a failure: it delivers from wherever it is asked.
 */
#include "engine/relay.h"

#include <string.h>

enum {
  RING_CAPACITY = 1 << 20,
  TASK_BUDGET = 1 << 20, /* bytes that one run of the task hashes */
  UPLOAD = 0,            /* readers of the ring */
  HASH = 1
};

/* --- the task -------------------------------------------------------------------------------------------------------
 */

static void judge(ims_relay *r) {
  ims_digest have;
  ims_digest_from_hash(&have, &r->hash);
  atomic_store(&r->verdict, ims_digest_equal(&have, &r->digest) ? IMS_RELAY_RIGHT : IMS_RELAY_WRONG);
  ims_lane_signal(&r->op->lane);
}

/* Bytes that come a second time, because the upload went back, are not hashed again. */
static void hash_piece(ims_relay *r, const uint8_t *data, size_t size) {
  uint64_t at = r->start + atomic_load(&r->ring.consumed[HASH]);
  uint64_t known = r->hashed > at ? r->hashed - at : 0;
  if (known >= size)
    return;
  ims_hash_update(&r->hash, data + known, size - (size_t)known);
  r->hashed = at + size;
}

static void run_task(ims_task *task) {
  ims_relay *r = (ims_relay *)task;
  const uint8_t *data;
  size_t size, moved = 0;
  while (moved < TASK_BUDGET && (size = ims_ring_data(&r->ring, HASH, &data)) > 0) {
    hash_piece(r, data, size);
    ims_ring_consume(&r->ring, HASH, size);
    moved += size;
  }
  if (moved && atomic_load(&r->paused))
    ims_lane_signal(&r->op->lane);
  if (moved >= TASK_BUDGET)
    ims_task_wake(task);
  else if (r->hashed == r->size && !atomic_load(&r->verdict))
    judge(r);
}

/* --- the source -----------------------------------------------------------------------------------------------------
 */

static uint64_t fetch_position(void *data) {
  ims_relay *r = data;
  return r->start + atomic_load(&r->ring.written);
}

static size_t fetch_body(void *data, const uint8_t *bytes, size_t size) {
  ims_relay *r = data;
  atomic_store(&r->paused, true); /* before the ring is looked at: whoever makes room later signals */
  size_t taken = ims_ring_write(&r->ring, bytes, size);
  if (taken == size)
    atomic_store(&r->paused, false);
  ims_task_wake(&r->task);
  if (r->starved)
    ims_lane_signal(&r->op->lane);
  return taken;
}

static void fetch_done(void *data, int32_t code, const ims_error *err) {
  ims_relay *r = data;
  r->fetch = NULL;
  if (code) {
    r->err = *err;
    r->err.code = code;
  }
  ims_lane_signal(&r->op->lane);
}

static int32_t start_fetch(ims_relay *r, ims_error *err) {
  const ims_blob_sink sink = {r, fetch_position, fetch_body, fetch_done};
  const ims_blob_request request = {r->repository, r->digest, r->size, r->urls, r->url_count};
  r->from_mirrors = r->from_mirrors || ims_client_uses_mirrors(r->source);
  return ims_fetch_blob(r->source, &request, &sink, &r->fetch, err);
}

static int32_t make_ring(ims_relay *r, ims_error *err) {
  size_t capacity = RING_CAPACITY;
  if (r->has_ring) {
    ims_ring_reset(&r->ring);
    return IMGSTORE_OK;
  }
  while (capacity > 4096 && capacity / 2 >= r->size)
    capacity /= 2;
  if (!ims_ring_init(&r->ring, &r->op->core->alloc, capacity))
    return ims_fail_nomem(err);
  ims_ring_attach(&r->ring, UPLOAD);
  ims_ring_attach(&r->ring, HASH);
  r->has_ring = true;
  return IMGSTORE_OK;
}

/* Delivers from wanted on. What was hashed must stay without a gap: it goes back at most to where that ends. */
static int32_t seek(ims_relay *r, ims_error *err) {
  ims_fetch_cancel(r->fetch);
  r->fetch = NULL;
  ims_task_stop(&r->task);
  int32_t rc = make_ring(r, err);
  if (rc)
    return rc;
  atomic_store(&r->paused, false);
  r->start = r->wanted < r->hashed ? r->wanted : r->hashed;
  return start_fetch(r, err);
}

/* --- the upload -----------------------------------------------------------------------------------------------------
 */

/* Where the upload reads in the ring. */
static uint64_t read_position(const ims_relay *r) {
  return r->start + atomic_load(&r->ring.consumed[UPLOAD]);
}

static int32_t starve(ims_relay *r, uint64_t offset) {
  r->asked = r->starved = true;
  r->wanted = offset;
  ims_lane_signal(&r->op->lane);
  return IMGSTORE_OK;
}

/* Bytes of the blob that may be sent now. */
static size_t sendable(ims_relay *r, uint64_t offset, const uint8_t **data) {
  size_t size = ims_ring_data(&r->ring, UPLOAD, data);
  bool ends = offset + size == r->size;
  return size && ends && atomic_load(&r->verdict) != IMS_RELAY_RIGHT ? size - 1 : size;
}

int32_t ims_relay_read(void *data, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err) {
  ims_relay *r = data;
  const uint8_t *bytes;
  *got = 0;
  (void)err;
  if (!r->has_ring || read_position(r) != offset)
    return starve(r, offset);
  size_t have = sendable(r, offset, &bytes);
  if (!have)
    return starve(r, offset);
  *got = size < have ? size : have;
  memcpy(buffer, bytes, *got);
  ims_ring_consume(&r->ring, UPLOAD, *got);
  r->wanted = offset + *got;
  if (atomic_load(&r->paused))
    ims_lane_signal(&r->op->lane);
  return IMGSTORE_OK;
}

/* After a gap to what was hashed: bytes that the upload has already. */
static void skip_to_wanted(ims_relay *r) {
  const uint8_t *bytes;
  size_t have;
  while (read_position(r) < r->wanted && (have = ims_ring_data(&r->ring, UPLOAD, &bytes)) > 0) {
    uint64_t gap = r->wanted - read_position(r);
    ims_ring_consume(&r->ring, UPLOAD, gap < have ? (size_t)gap : have);
  }
}

static bool is_within_reach(const ims_relay *r) {
  return r->has_ring && r->wanted >= read_position(r) &&
         (r->fetch || r->start + atomic_load(&r->ring.written) == r->size);
}

void ims_relay_init(ims_relay *r, imgstore_operation *op, ims_client *source, const char *repository,
                    const ims_digest *digest, uint64_t size) {
  memset(r, 0, sizeof *r);
  r->op = op;
  r->source = source;
  r->repository = repository;
  r->digest = *digest;
  r->size = size;
  ims_hash_init(&r->hash, digest->algorithm);
  ims_task_init(&r->task, &op->lane, op->core->pool, run_task);
}

int32_t ims_relay_advance(ims_relay *r, int *next, ims_error *err) {
  *next = IMS_RELAY_REST;
  if (r->err.code) {
    if (err && !err->code)
      *err = r->err;
    return r->err.code;
  }
  if (atomic_load(&r->verdict) == IMS_RELAY_WRONG)
    return ims_fail(err, IMGSTORE_EDIGEST, "blob %s: what the source sends does not hash to it", r->digest.text);
  if (!r->asked)
    return IMGSTORE_OK;
  if (!is_within_reach(r)) {
    int32_t rc = seek(r, err);
    if (rc)
      return rc;
  }
  skip_to_wanted(r);
  if (r->fetch && atomic_load(&r->paused) && ims_ring_free_bytes(&r->ring) >= r->ring.capacity / 4) {
    atomic_store(&r->paused, false);
    ims_fetch_resume(r->fetch);
  }
  const uint8_t *bytes;
  if (r->starved && read_position(r) == r->wanted && sendable(r, r->wanted, &bytes)) {
    r->starved = false;
    *next = IMS_RELAY_RESUME;
  }
  return IMGSTORE_OK;
}

void ims_relay_end(ims_relay *r) {
  if (!r->op)
    return;
  ims_fetch_cancel(r->fetch);
  r->fetch = NULL;
  ims_task_stop(&r->task);
  if (r->has_ring)
    ims_ring_free(&r->ring);
  r->has_ring = false;
}
