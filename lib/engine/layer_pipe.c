/*
 * engine/layer_pipe.c (L4) - see layer_pipe.h.
 */
#include "engine/layer_pipe.h"

#include <string.h>

#include "compress/decoder.h"
#include "oci/mediatype.h"

enum {
  OUT_CAPACITY = 2 << 20,
  READ_PIECE = 256 << 10,     /* of a blob in the store */
  INFLATE_BUDGET = 512 << 10, /* output bytes of one run */
  CONSUME_BUDGET = 1 << 20,
  CONSUME_PIECE = 512 << 10
};

enum { READER_SINK = 0, READER_HASH = 1 };

enum { WORK_NONE, WORK_RUNNING, WORK_DONE };

/* A task that knows its pipe and keeps its own failure. */
typedef struct stage {
  ims_task task;
  ims_layer_pipe *pipe;
  atomic_bool done;
  atomic_bool failed;
  ims_error err;
} stage;

struct ims_layer_pipe {
  imgstore_operation *op;
  imgstore_store *store;
  ims_layer_sink sink;
  ims_decoder *decoder[3]; /* by format, kept from layer to layer */
  ims_ring out;
  stage inflate, sinker, hasher;
  atomic_bool stalled; /* inflate waits for room in the ring */
  atomic_bool ending;  /* stages do nothing any more */

  bool busy;
  const imgstore_descriptor *layer;
  int32_t format;
  ims_transfer *stream; /* source: a transfer */
  ims_transfer *judge;  /* after a failure: the transfer whose digest decides what is to blame */
  ims_blob blob;        /* or a blob */
  bool has_blob;
  uint8_t *input; /* READ_PIECE bytes for the blob */
  size_t input_at, input_size;
  _Atomic uint64_t input_offset; /* bytes of the blob that were inflated */
  ims_hash hash;
  int64_t reported_at;
  uint64_t reported;
  atomic_int working;
  ims_layer_work work;
  void *work_data;
  int32_t work_result;
};

static void stage_failed(stage *s) {
  atomic_store(&s->failed, true);
  ims_lane_signal(&s->pipe->op->lane);
}

static void stage_done(stage *s) {
  atomic_store(&s->done, true);
  ims_lane_signal(&s->pipe->op->lane);
}

/* --- inflate --------------------------------------------------------------------------------------------------------
 */

/* The next compressed bytes; size 0 and *end false: none now. */
static int32_t input_peek(ims_layer_pipe *p, const uint8_t **data, size_t *size, bool *end) {
  *end = false;
  if (p->stream) {
    *end = ims_ring_at_end(&p->stream->ring, IMS_TRANSFER_FOLLOW); /* before data: see ims_ring_at_end */
    *size = ims_ring_data(&p->stream->ring, IMS_TRANSFER_FOLLOW, data);
    return IMGSTORE_OK;
  }
  if (p->input_at == p->input_size) {
    p->input_at = p->input_size = 0;
    int32_t rc =
        ims_blob_read(&p->blob, atomic_load(&p->input_offset), p->input, READ_PIECE, &p->input_size, &p->inflate.err);
    if (rc)
      return rc;
    *end = p->input_size == 0;
  }
  *data = p->input + p->input_at;
  *size = p->input_size - p->input_at;
  return IMGSTORE_OK;
}

static void input_consume(ims_layer_pipe *p, size_t size) {
  atomic_store(&p->input_offset, atomic_load(&p->input_offset) + size);
  if (!p->stream) {
    p->input_at += size;
    return;
  }
  ims_ring_consume(&p->stream->ring, IMS_TRANSFER_FOLLOW, size);
  ims_transfer_followed(p->stream);
}

static void wake_consumers(ims_layer_pipe *p) {
  ims_task_wake(&p->sinker.task);
  ims_task_wake(&p->hasher.task);
}

/* Contiguous room in the ring; 0 when inflate has to wait: whoever makes room wakes it. */
static size_t out_room(ims_layer_pipe *p, uint8_t **space) {
  size_t room = ims_ring_space(&p->out, space);
  if (room)
    return room;
  atomic_store(&p->stalled, true);
  room = ims_ring_space(&p->out, space);
  if (room)
    atomic_store(&p->stalled, false);
  return room;
}

/* Inflates one piece. *moved: whether anything happened. */
static int32_t inflate_piece(ims_layer_pipe *p, uint8_t *space, size_t room, size_t *made, bool *moved, bool *end) {
  const uint8_t *data;
  size_t size, used;
  ims_error *err = &p->inflate.err;
  int32_t rc = input_peek(p, &data, &size, end);
  if (rc)
    return rc;
  rc = ims_decoder_run(p->decoder[p->format], data, size, &used, space, room, made, err);
  if (rc)
    return rc;
  if (used)
    input_consume(p, used);
  if (*made)
    ims_ring_commit(&p->out, *made);
  *moved = used || *made;
  if (*end && !*moved)
    return ims_decoder_finish(p->decoder[p->format], err);
  return IMGSTORE_OK;
}

static void run_inflate(ims_task *task) {
  stage *s = (stage *)task;
  ims_layer_pipe *p = s->pipe;
  size_t total = 0;
  if (atomic_load(&p->ending))
    return;
  while (total < INFLATE_BUDGET) {
    uint8_t *space;
    size_t made = 0, room = out_room(p, &space);
    bool moved = false, end = false;
    if (!room)
      return;
    if (room > INFLATE_BUDGET)
      room = INFLATE_BUDGET;
    if (inflate_piece(p, space, room, &made, &moved, &end)) {
      stage_failed(s);
      return;
    }
    total += made;
    if (made)
      wake_consumers(p);
    if (moved)
      continue;
    if (end) {
      ims_ring_close(&p->out);
      stage_done(s);
      wake_consumers(p);
    }
    return; /* the end, or no input now: the transfer wakes us */
  }
  ims_task_wake(task);
}

/* --- sink and hash
 * ---------------------------------------------------------------------------------------------------- */

static void made_room(ims_layer_pipe *p) {
  if (atomic_load(&p->stalled) && ims_ring_free_bytes(&p->out) >= OUT_CAPACITY / 4 &&
      atomic_exchange(&p->stalled, false))
    ims_task_wake(&p->inflate.task);
}

static int32_t feed_sink(ims_layer_pipe *p, const uint8_t *data, size_t size) {
  return p->sink.feed(p->sink.data, data, size, &p->sinker.err);
}

static int32_t end_sink(ims_layer_pipe *p) {
  return p->sink.end(p->sink.data, &p->sinker.err);
}

static int32_t feed_hash(ims_layer_pipe *p, const uint8_t *data, size_t size) {
  ims_hash_update(&p->hash, data, size);
  return IMGSTORE_OK;
}

static int32_t end_hash(ims_layer_pipe *p) {
  return IMGSTORE_OK;
}

/* What both consumers do: hand pieces to feed, tell inflate that there is room, and end with the ring. */
static void consume(stage *s, int reader, int32_t (*feed)(ims_layer_pipe *, const uint8_t *, size_t),
                    int32_t (*end)(ims_layer_pipe *)) {
  ims_layer_pipe *p = s->pipe;
  const uint8_t *data;
  size_t size, total = 0;
  if (atomic_load(&s->done) || atomic_load(&p->ending))
    return;
  while (total < CONSUME_BUDGET && (size = ims_ring_data(&p->out, reader, &data)) > 0) {
    if (size > CONSUME_PIECE)
      size = CONSUME_PIECE;
    if (feed(p, data, size)) {
      stage_failed(s);
      return;
    }
    ims_ring_consume(&p->out, reader, size);
    made_room(p);
    total += size;
  }
  if (ims_ring_at_end(&p->out, reader)) {
    if (end(p))
      stage_failed(s);
    else
      stage_done(s);
  } else if (total >= CONSUME_BUDGET) {
    ims_task_wake(&s->task);
  }
}

static void run_work(ims_layer_pipe *p) {
  p->work_result = p->work(p->work_data, &p->sinker.err);
  atomic_store(&p->working, WORK_DONE);
  ims_lane_signal(&p->op->lane);
}

static void run_sink(ims_task *task) {
  stage *s = (stage *)task;
  if (atomic_load(&s->pipe->working) == WORK_RUNNING)
    run_work(s->pipe);
  else
    consume(s, READER_SINK, feed_sink, end_sink);
}

static void run_hash(ims_task *task) {
  consume((stage *)task, READER_HASH, feed_hash, end_hash);
}

/* --- the driver's side
 * ------------------------------------------------------------------------------------------------- */

static void init_stage(ims_layer_pipe *p, stage *s, ims_pool *pool, void (*run)(ims_task *)) {
  s->pipe = p;
  ims_task_init(&s->task, &p->op->lane, pool, run);
}

int32_t ims_layer_pipe_new(ims_layer_pipe **pipe, imgstore_operation *op, imgstore_store *store, ims_error *err) {
  *pipe = NULL;
  ims_layer_pipe *p = ims_calloc(&op->core->alloc, 1, sizeof *p);
  if (!p)
    return ims_fail_nomem(err);
  p->op = op;
  p->store = store;
  ims_pool *pool = op->core->pool;
  init_stage(p, &p->inflate, (store->storage.flags & IMGSTORE_STORAGE_CONCURRENT) ? pool : NULL, run_inflate);
  init_stage(p, &p->sinker, pool, run_sink);
  init_stage(p, &p->hasher, pool, run_hash);
  p->input = ims_malloc(&op->core->alloc, READ_PIECE);
  if (!p->input || !ims_ring_init(&p->out, &op->core->alloc, OUT_CAPACITY)) {
    ims_layer_pipe_free(p);
    return ims_fail_nomem(err);
  }
  *pipe = p;
  return IMGSTORE_OK;
}

bool ims_layer_pipe_is_idle(const ims_layer_pipe *p) {
  return !p->busy;
}

static int32_t prepare_decoder(ims_layer_pipe *p) {
  const imgstore_context_options *limits = &p->op->core->limits;
  const ims_decoder_limits decoder_limits = {limits->max_layer_output, limits->max_layer_ratio,
                                             limits->max_zstd_window};
  ims_decoder **decoder = &p->decoder[p->format];
  if (*decoder)
    return ims_decoder_reset(*decoder, &p->op->err);
  return ims_decoder_new(decoder, &p->op->core->alloc, p->format, IMS_ENGINE_BEST, &decoder_limits, &p->op->err);
}

static int32_t open_source(ims_layer_pipe *p, ims_transfer *stream) {
  if (stream) {
    int32_t rc = ims_transfer_follow(stream, &p->inflate.task);
    if (!rc)
      p->stream = stream;
    return rc;
  }
  int32_t rc = ims_blob_open(&p->blob, p->store, &p->layer->digest, &p->op->err);
  if (rc)
    return ims_fail(&p->op->err, rc, "layer %s: not in the store", p->layer->digest.text);
  p->has_blob = true;
  return IMGSTORE_OK;
}

int32_t ims_layer_pipe_begin(ims_layer_pipe *p, const imgstore_descriptor *layer, const ims_digest *diff_id,
                             ims_transfer *stream, const ims_layer_sink *sink) {
  p->layer = layer;
  p->sink = *sink;
  p->format = ims_media_layer_format(layer->media_type);
  if (p->format < 0)
    return ims_fail(&p->op->err, IMGSTORE_EUNSUPPORTED, "layer %s: cannot unpack media type \"%s\"", layer->digest.text,
                    layer->media_type);
  int32_t rc = prepare_decoder(p);
  if (!rc)
    rc = open_source(p, stream);
  if (rc)
    return rc;
  ims_ring_reset(&p->out);
  ims_ring_attach(&p->out, READER_SINK);
  ims_ring_attach(&p->out, READER_HASH);
  stage *stages[] = {&p->inflate, &p->sinker, &p->hasher};
  for (size_t i = 0; i < 3; i++)
    atomic_store(&stages[i]->done, false);
  atomic_store(&p->stalled, false);
  atomic_store(&p->input_offset, 0);
  p->input_at = p->input_size = 0;
  p->reported_at = p->reported = 0;
  p->busy = true;
  ims_hash_init(&p->hash, diff_id ? diff_id->algorithm : layer->digest.algorithm);
  ims_task_wake(&p->inflate.task);
  return IMGSTORE_OK;
}

/* The stages wake each other, so one that was stopped may be queued again by a run of another that had begun before.
   Once all were seen at rest, whatever is queued does nothing and wakes nobody: the second round ends it. */
void ims_layer_pipe_stop(ims_layer_pipe *p) {
  atomic_store(&p->ending, true);
  for (int round = 0; round < 2; round++) {
    ims_task_stop(&p->inflate.task);
    ims_task_stop(&p->sinker.task);
    ims_task_stop(&p->hasher.task);
  }
}

static void close_source(ims_layer_pipe *p) {
  if (p->stream)
    ims_transfer_unfollow(p->stream);
  p->stream = NULL;
  if (p->has_blob)
    ims_blob_close(&p->blob);
  p->has_blob = false;
}

/* What broke while it streamed in may not be what the digest names: that is for the transfer to say, which goes on. */
static bool await_judge(ims_layer_pipe *p, int32_t code) {
  if (p->stream && code == IMGSTORE_EFORMAT) {
    p->judge = p->stream;
    ims_layer_pipe_stop(p);
    close_source(p);
  }
  return p->judge && !ims_transfer_is_finished(p->judge);
}

static int32_t check_stages(ims_layer_pipe *p) {
  stage *stages[] = {&p->inflate, &p->sinker, &p->hasher};
  for (size_t i = 0; i < 3; i++) {
    if (!atomic_load(&stages[i]->failed))
      continue;
    if (await_judge(p, stages[i]->err.code))
      return IMGSTORE_EAGAIN;
    p->op->err = stages[i]->err;
    return ims_error_prefix(&p->op->err, "layer %s", p->layer->digest.text);
  }
  return IMGSTORE_OK;
}

static int32_t report(ims_layer_pipe *p, int64_t now) {
  uint64_t offset = atomic_load(&p->input_offset);
  if (now - p->reported_at < IMS_PROGRESS_INTERVAL || offset == p->reported)
    return IMGSTORE_OK;
  p->reported_at = now;
  p->reported = offset;
  return ims_operation_event(p->op, IMGSTORE_EVENT_UNPACKING, IMGSTORE_OBJECT_LAYER, p->layer->digest.text, NULL,
                             offset, p->layer->size);
}

static int32_t check_diff_id(ims_layer_pipe *p, const ims_digest *expected) {
  ims_digest got;
  if (expected->algorithm != p->hash.algorithm)
    return ims_fail(&p->op->err, IMGSTORE_EUNSUPPORTED, "layer %s: diffID %s has another algorithm",
                    p->layer->digest.text, expected->text);
  ims_digest_from_hash(&got, &p->hash);
  if (ims_digest_equal(&got, expected))
    return IMGSTORE_OK;
  return ims_fail(&p->op->err, IMGSTORE_EDIGEST, "layer %s: unpacks to %s, but the config says diffID %s",
                  p->layer->digest.text, got.text, expected->text);
}

int32_t ims_layer_pipe_advance(ims_layer_pipe *p, const ims_digest *diff_id, int64_t now) {
  int32_t rc = check_stages(p);
  if (!rc)
    rc = report(p, now);
  if (rc)
    return rc;
  if (!atomic_load(&p->sinker.done) || !atomic_load(&p->hasher.done) || !atomic_load(&p->inflate.done) || !diff_id)
    return IMGSTORE_EAGAIN;
  ims_task_stop(&p->inflate.task);
  ims_task_stop(&p->sinker.task);
  ims_task_stop(&p->hasher.task);
  close_source(p);
  rc = check_diff_id(p, diff_id);
  if (rc)
    return rc;
  p->busy = false;
  return ims_operation_event(p->op, IMGSTORE_EVENT_COMPLETE, IMGSTORE_OBJECT_LAYER, p->layer->digest.text, NULL,
                             p->layer->size, p->layer->size);
}

int32_t ims_layer_pipe_work(ims_layer_pipe *p, ims_layer_work work, void *data) {
  if (atomic_load(&p->working) == WORK_NONE) {
    p->work = work;
    p->work_data = data;
    ims_error_clear(&p->sinker.err);
    atomic_store(&p->working, WORK_RUNNING);
    ims_task_wake(&p->sinker.task);
    return IMGSTORE_EAGAIN;
  }
  if (atomic_load(&p->working) == WORK_RUNNING)
    return IMGSTORE_EAGAIN;
  ims_task_stop(&p->sinker.task);
  atomic_store(&p->working, WORK_NONE);
  if (p->work_result)
    p->op->err = p->sinker.err;
  return p->work_result;
}

void ims_layer_pipe_free(ims_layer_pipe *p) {
  if (!p)
    return;
  ims_core *core = p->op->core;
  ims_layer_pipe_stop(p);
  close_source(p);
  for (size_t i = 0; i < sizeof p->decoder / sizeof p->decoder[0]; i++)
    ims_decoder_free(p->decoder[i]);
  ims_ring_free(&p->out);
  ims_free(&core->alloc, p->input);
  ims_free(&core->alloc, p);
}
