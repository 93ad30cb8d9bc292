/*
 * engine/unpacker.c (L4) - layers into a directory. Knows nothing of registries or manifests.
 *
 *   transfer's ring or blob -> [inflate task] -> ring -> [apply task]
 *                                                     -> [hash task] -> diffID
 */
#include "engine/unpacker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "compress/decoder.h"
#include "oci/mediatype.h"
#include "rootfs/apply.h"

enum {
  OUT_CAPACITY = 2 << 20,
  READ_PIECE = 256 << 10,     /* of a blob in the store */
  INFLATE_BUDGET = 512 << 10, /* output bytes of one run */
  CONSUME_BUDGET = 1 << 20,
  CONSUME_PIECE = 512 << 10
};

enum { READER_APPLY = 0, READER_HASH = 1 };

enum { FINISH_IDLE, FINISH_RUNNING, FINISH_DONE };

/* A task that knows its unpacker and keeps its own failure. */
typedef struct stage {
  ims_task task;
  ims_unpacker *unpacker;
  atomic_bool done;
  atomic_bool failed;
  ims_error err;
} stage;

struct ims_unpacker {
  imgstore_operation *op;
  imgstore_store *store;
  char *directory;
  int root_fd;
  bool made_directory;
  ims_apply *apply;
  ims_decoder *decoder[3]; /* by format, kept from layer to layer */
  ims_ring out;
  stage inflate, applier, hasher;
  atomic_bool stalled; /* inflate waits for room in the ring */
  atomic_bool ending;  /* stages do nothing any more */

  bool busy;
  size_t done;
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
  atomic_int finishing;
};

static void stage_failed(stage *s) {
  atomic_store(&s->failed, true);
  ims_lane_signal(&s->unpacker->op->lane);
}

static void stage_done(stage *s) {
  atomic_store(&s->done, true);
  ims_lane_signal(&s->unpacker->op->lane);
}

/* --- inflate --------------------------------------------------------------------------------------------------------
 */

/* The next compressed bytes; size 0 and *end false: none now. */
static int32_t input_peek(ims_unpacker *u, const uint8_t **data, size_t *size, bool *end) {
  *end = false;
  if (u->stream) {
    *end = ims_ring_at_end(&u->stream->ring, IMS_TRANSFER_FOLLOW); /* before data: see ims_ring_at_end */
    *size = ims_ring_data(&u->stream->ring, IMS_TRANSFER_FOLLOW, data);
    return IMGSTORE_OK;
  }
  if (u->input_at == u->input_size) {
    u->input_at = u->input_size = 0;
    int32_t rc =
        ims_blob_read(&u->blob, atomic_load(&u->input_offset), u->input, READ_PIECE, &u->input_size, &u->inflate.err);
    if (rc)
      return rc;
    *end = u->input_size == 0;
  }
  *data = u->input + u->input_at;
  *size = u->input_size - u->input_at;
  return IMGSTORE_OK;
}

static void input_consume(ims_unpacker *u, size_t size) {
  atomic_store(&u->input_offset, atomic_load(&u->input_offset) + size);
  if (!u->stream) {
    u->input_at += size;
    return;
  }
  ims_ring_consume(&u->stream->ring, IMS_TRANSFER_FOLLOW, size);
  ims_transfer_followed(u->stream);
}

static void wake_consumers(ims_unpacker *u) {
  ims_task_wake(&u->applier.task);
  ims_task_wake(&u->hasher.task);
}

/* Contiguous room in the ring; 0 when inflate has to wait: whoever makes room wakes it. */
static size_t out_room(ims_unpacker *u, uint8_t **space) {
  size_t room = ims_ring_space(&u->out, space);
  if (room)
    return room;
  atomic_store(&u->stalled, true);
  room = ims_ring_space(&u->out, space);
  if (room)
    atomic_store(&u->stalled, false);
  return room;
}

/* Inflates one piece. *moved: whether anything happened. */
static int32_t inflate_piece(ims_unpacker *u, uint8_t *space, size_t room, size_t *made, bool *moved, bool *end) {
  const uint8_t *data;
  size_t size, used;
  ims_error *err = &u->inflate.err;
  int32_t rc = input_peek(u, &data, &size, end);
  if (rc)
    return rc;
  rc = ims_decoder_run(u->decoder[u->format], data, size, &used, space, room, made, err);
  if (rc)
    return rc;
  if (used)
    input_consume(u, used);
  if (*made)
    ims_ring_commit(&u->out, *made);
  *moved = used || *made;
  if (*end && !*moved)
    return ims_decoder_finish(u->decoder[u->format], err);
  return IMGSTORE_OK;
}

static void run_inflate(ims_task *task) {
  stage *s = (stage *)task;
  ims_unpacker *u = s->unpacker;
  size_t total = 0;
  if (atomic_load(&u->ending))
    return;
  while (total < INFLATE_BUDGET) {
    uint8_t *space;
    size_t made = 0, room = out_room(u, &space);
    bool moved = false, end = false;
    if (!room)
      return;
    if (room > INFLATE_BUDGET)
      room = INFLATE_BUDGET;
    if (inflate_piece(u, space, room, &made, &moved, &end)) {
      stage_failed(s);
      return;
    }
    total += made;
    if (made)
      wake_consumers(u);
    if (moved)
      continue;
    if (end) {
      ims_ring_close(&u->out);
      stage_done(s);
      wake_consumers(u);
    }
    return; /* the end, or no input now: the transfer wakes us */
  }
  ims_task_wake(task);
}

/* --- apply and hash
 * ---------------------------------------------------------------------------------------------------- */

static void made_room(ims_unpacker *u) {
  if (atomic_load(&u->stalled) && ims_ring_free_bytes(&u->out) >= OUT_CAPACITY / 4 &&
      atomic_exchange(&u->stalled, false))
    ims_task_wake(&u->inflate.task);
}

static int32_t feed_apply(ims_unpacker *u, const uint8_t *data, size_t size) {
  return ims_apply_feed(u->apply, data, size, &u->applier.err);
}

static int32_t end_apply(ims_unpacker *u) {
  return ims_apply_end_layer(u->apply, &u->applier.err);
}

static int32_t feed_hash(ims_unpacker *u, const uint8_t *data, size_t size) {
  ims_hash_update(&u->hash, data, size);
  return IMGSTORE_OK;
}

static int32_t end_hash(ims_unpacker *u) {
  return IMGSTORE_OK;
}

/* What both consumers do: hand pieces to feed, tell inflate that there is room, and end with the ring. */
static void consume(stage *s, int reader, int32_t (*feed)(ims_unpacker *, const uint8_t *, size_t),
                    int32_t (*end)(ims_unpacker *)) {
  ims_unpacker *u = s->unpacker;
  const uint8_t *data;
  size_t size, total = 0;
  if (atomic_load(&s->done) || atomic_load(&u->ending))
    return;
  while (total < CONSUME_BUDGET && (size = ims_ring_data(&u->out, reader, &data)) > 0) {
    if (size > CONSUME_PIECE)
      size = CONSUME_PIECE;
    if (feed(u, data, size)) {
      stage_failed(s);
      return;
    }
    ims_ring_consume(&u->out, reader, size);
    made_room(u);
    total += size;
  }
  if (ims_ring_at_end(&u->out, reader)) {
    if (end(u))
      stage_failed(s);
    else
      stage_done(s);
  } else if (total >= CONSUME_BUDGET) {
    ims_task_wake(&s->task);
  }
}

static void run_finish(ims_unpacker *u) {
  if (ims_apply_finish(u->apply, &u->applier.err)) {
    stage_failed(&u->applier);
    return;
  }
  atomic_store(&u->finishing, FINISH_DONE);
  ims_lane_signal(&u->op->lane);
}

static void run_apply(ims_task *task) {
  stage *s = (stage *)task;
  if (atomic_load(&s->unpacker->finishing) == FINISH_RUNNING)
    run_finish(s->unpacker);
  else
    consume(s, READER_APPLY, feed_apply, end_apply);
}

static void run_hash(ims_task *task) {
  consume((stage *)task, READER_HASH, feed_hash, end_hash);
}

/* --- the driver's side
 * ------------------------------------------------------------------------------------------------- */

static int32_t require_empty(ims_unpacker *u, ims_error *err) {
  char entries[1024];
  long size = u->op->core->sys->getdents64(u->root_fd, entries, sizeof entries);
  if (size < 0)
    return ims_fail_os(err, errno, "cannot read directory \"%s\"", u->directory);
  /* "." and ".." are 24 bytes each in linux_dirent64 */
  if (size > 48)
    return ims_fail(err, IMGSTORE_EEXISTS, "directory \"%s\" is not empty", u->directory);
  return IMGSTORE_OK;
}

static int32_t open_directory(ims_unpacker *u, ims_error *err) {
  const ims_sys *sys = u->op->core->sys;
  u->made_directory = sys->mkdirat(AT_FDCWD, u->directory, 0755) == 0;
  if (!u->made_directory && errno != EEXIST)
    return ims_fail_os(err, errno, "cannot make directory \"%s\"", u->directory);
  u->root_fd = sys->openat(AT_FDCWD, u->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (u->root_fd < 0)
    return ims_fail_os(err, errno, "cannot open directory \"%s\"", u->directory);
  if (!u->made_directory)
    return require_empty(u, err);
  if (sys->fchmod(u->root_fd, 0755)) /* exact, whatever the umask */
    return ims_fail_os(err, errno, "cannot set the mode of directory \"%s\"", u->directory);
  return IMGSTORE_OK;
}

static void init_stage(ims_unpacker *u, stage *s, ims_pool *pool, void (*run)(ims_task *)) {
  s->unpacker = u;
  ims_task_init(&s->task, &u->op->lane, pool, run);
}

static int32_t setup(ims_unpacker *u, const char *directory, const imgstore_unpack_options *options, ims_error *err) {
  ims_core *core = u->op->core;
  u->directory = ims_strdup(&core->alloc, directory);
  u->input = ims_malloc(&core->alloc, READ_PIECE);
  if (!u->directory || !u->input || !ims_ring_init(&u->out, &core->alloc, OUT_CAPACITY))
    return ims_fail_nomem(err);
  if (!u->op->report && !(u->op->report = ims_report_new(&core->alloc)))
    return ims_fail_nomem(err);
  int32_t rc = open_directory(u, err);
  return rc ? rc : ims_apply_new(&u->apply, core, u->root_fd, options, u->op->report, err);
}

int32_t ims_unpacker_new(ims_unpacker **unpacker, imgstore_operation *op, imgstore_store *store, const char *directory,
                         const imgstore_unpack_options *options, ims_error *err) {
  *unpacker = NULL;
  ims_unpacker *u = ims_calloc(&op->core->alloc, 1, sizeof *u);
  if (!u)
    return ims_fail_nomem(err);
  u->op = op;
  u->store = store;
  u->root_fd = -1;
  ims_pool *pool = op->core->pool;
  init_stage(u, &u->inflate, (store->storage.flags & IMGSTORE_STORAGE_CONCURRENT) ? pool : NULL, run_inflate);
  init_stage(u, &u->applier, pool, run_apply);
  init_stage(u, &u->hasher, pool, run_hash);
  int32_t rc = setup(u, directory, options, err);
  if (rc) {
    if (u->made_directory)
      op->core->sys->unlinkat(AT_FDCWD, directory, AT_REMOVEDIR);
    ims_unpacker_free(u, true);
    return rc;
  }
  *unpacker = u;
  return IMGSTORE_OK;
}

bool ims_unpacker_is_idle(const ims_unpacker *u) {
  return !u->busy;
}

size_t ims_unpacker_done(const ims_unpacker *u) {
  return u->done;
}

static int32_t prepare_decoder(ims_unpacker *u) {
  const imgstore_context_options *limits = &u->op->core->limits;
  const ims_decoder_limits decoder_limits = {limits->max_layer_output, limits->max_layer_ratio,
                                             limits->max_zstd_window};
  ims_decoder **decoder = &u->decoder[u->format];
  if (*decoder)
    return ims_decoder_reset(*decoder, &u->op->err);
  return ims_decoder_new(decoder, &u->op->core->alloc, u->format, IMS_ENGINE_BEST, &decoder_limits, &u->op->err);
}

static int32_t open_source(ims_unpacker *u, ims_transfer *stream) {
  if (stream) {
    int32_t rc = ims_transfer_follow(stream, &u->inflate.task);
    if (!rc)
      u->stream = stream;
    return rc;
  }
  int32_t rc = ims_blob_open(&u->blob, u->store, &u->layer->digest, &u->op->err);
  if (rc)
    return ims_fail(&u->op->err, rc, "layer %s: not in the store", u->layer->digest.text);
  u->has_blob = true;
  return IMGSTORE_OK;
}

int32_t ims_unpacker_begin(ims_unpacker *u, const imgstore_descriptor *layer, const ims_digest *diff_id,
                           ims_transfer *stream) {
  u->layer = layer;
  u->format = ims_media_layer_format(layer->media_type);
  if (u->format < 0)
    return ims_fail(&u->op->err, IMGSTORE_EUNSUPPORTED, "layer %s: cannot unpack media type \"%s\"", layer->digest.text,
                    layer->media_type);
  int32_t rc = prepare_decoder(u);
  if (!rc)
    rc = ims_apply_begin_layer(u->apply, &u->op->err);
  if (!rc)
    rc = open_source(u, stream);
  if (rc)
    return rc;
  ims_ring_reset(&u->out);
  ims_ring_attach(&u->out, READER_APPLY);
  ims_ring_attach(&u->out, READER_HASH);
  stage *stages[] = {&u->inflate, &u->applier, &u->hasher};
  for (size_t i = 0; i < 3; i++)
    atomic_store(&stages[i]->done, false);
  atomic_store(&u->stalled, false);
  atomic_store(&u->input_offset, 0);
  u->input_at = u->input_size = 0;
  u->reported_at = u->reported = 0;
  u->busy = true;
  ims_hash_init(&u->hash, diff_id ? diff_id->algorithm : layer->digest.algorithm);
  ims_task_wake(&u->inflate.task);
  return IMGSTORE_OK;
}

/* The stages wake each other, so one that was stopped may be queued again by a run of another that had begun before.
   Once all were seen at rest, whatever is queued does nothing and wakes nobody: the second round ends it. */
static void stop_stages(ims_unpacker *u) {
  atomic_store(&u->ending, true);
  for (int round = 0; round < 2; round++) {
    ims_task_stop(&u->inflate.task);
    ims_task_stop(&u->applier.task);
    ims_task_stop(&u->hasher.task);
  }
}

static void close_source(ims_unpacker *u) {
  if (u->stream)
    ims_transfer_unfollow(u->stream);
  u->stream = NULL;
  if (u->has_blob)
    ims_blob_close(&u->blob);
  u->has_blob = false;
}

/* What broke while it streamed in may not be what the digest names: that is for the transfer to say, which goes on. */
static bool await_judge(ims_unpacker *u, int32_t code) {
  if (u->stream && code == IMGSTORE_EFORMAT) {
    u->judge = u->stream;
    stop_stages(u);
    close_source(u);
  }
  return u->judge && !ims_transfer_is_finished(u->judge);
}

static int32_t check_stages(ims_unpacker *u) {
  stage *stages[] = {&u->inflate, &u->applier, &u->hasher};
  for (size_t i = 0; i < 3; i++) {
    if (!atomic_load(&stages[i]->failed))
      continue;
    if (await_judge(u, stages[i]->err.code))
      return IMGSTORE_EAGAIN;
    u->op->err = stages[i]->err;
    return ims_error_prefix(&u->op->err, "layer %s", u->layer->digest.text);
  }
  return IMGSTORE_OK;
}

static int32_t report(ims_unpacker *u, int64_t now) {
  uint64_t offset = atomic_load(&u->input_offset);
  if (now - u->reported_at < IMS_PROGRESS_INTERVAL || offset == u->reported)
    return IMGSTORE_OK;
  u->reported_at = now;
  u->reported = offset;
  return ims_operation_event(u->op, IMGSTORE_EVENT_UNPACKING, IMGSTORE_OBJECT_LAYER, u->layer->digest.text, NULL,
                             offset, u->layer->size);
}

static int32_t check_diff_id(ims_unpacker *u, const ims_digest *expected) {
  ims_digest got;
  if (expected->algorithm != u->hash.algorithm)
    return ims_fail(&u->op->err, IMGSTORE_EUNSUPPORTED, "layer %s: diffID %s has another algorithm",
                    u->layer->digest.text, expected->text);
  ims_digest_from_hash(&got, &u->hash);
  if (ims_digest_equal(&got, expected))
    return IMGSTORE_OK;
  return ims_fail(&u->op->err, IMGSTORE_EDIGEST, "layer %s: unpacks to %s, but the config says diffID %s",
                  u->layer->digest.text, got.text, expected->text);
}

int32_t ims_unpacker_advance(ims_unpacker *u, const ims_digest *diff_id, int64_t now) {
  int32_t rc = check_stages(u);
  if (!rc)
    rc = report(u, now);
  if (rc)
    return rc;
  if (!atomic_load(&u->applier.done) || !atomic_load(&u->hasher.done) || !atomic_load(&u->inflate.done) || !diff_id)
    return IMGSTORE_EAGAIN;
  ims_task_stop(&u->inflate.task);
  ims_task_stop(&u->applier.task);
  ims_task_stop(&u->hasher.task);
  close_source(u);
  rc = check_diff_id(u, diff_id);
  if (rc)
    return rc;
  u->busy = false;
  u->done++;
  return ims_operation_event(u->op, IMGSTORE_EVENT_COMPLETE, IMGSTORE_OBJECT_LAYER, u->layer->digest.text, NULL,
                             u->layer->size, u->layer->size);
}

int32_t ims_unpacker_finish(ims_unpacker *u) {
  int expected = FINISH_IDLE;
  if (atomic_compare_exchange_strong(&u->finishing, &expected, FINISH_RUNNING)) {
    ims_task_wake(&u->applier.task);
    return IMGSTORE_EAGAIN;
  }
  if (atomic_load(&u->applier.failed)) {
    u->op->err = u->applier.err;
    return ims_error_prefix(&u->op->err, "directory \"%s\"", u->directory);
  }
  return expected == FINISH_DONE ? IMGSTORE_OK : IMGSTORE_EAGAIN;
}

static void remove_all(ims_unpacker *u) {
  ims_error ignored = IMS_ERROR_INIT; /* the failure that brought us here is what the caller must hear of */
  ims_tree_remove(u->op->core, u->root_fd, &ignored);
  if (u->made_directory)
    u->op->core->sys->unlinkat(AT_FDCWD, u->directory, AT_REMOVEDIR);
}

void ims_unpacker_free(ims_unpacker *u, bool keep) {
  if (!u)
    return;
  ims_core *core = u->op->core;
  stop_stages(u);
  close_source(u);
  ims_apply_free(u->apply);
  for (size_t i = 0; i < sizeof u->decoder / sizeof u->decoder[0]; i++)
    ims_decoder_free(u->decoder[i]);
  ims_ring_free(&u->out);
  if (!keep && u->root_fd >= 0)
    remove_all(u);
  if (u->root_fd >= 0)
    core->sys->close(u->root_fd);
  ims_free(&core->alloc, u->input);
  ims_free(&core->alloc, u->directory);
  ims_free(&core->alloc, u);
}
