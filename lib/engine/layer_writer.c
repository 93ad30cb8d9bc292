/*
 * engine/layer_writer.c (L4) - hashes, compresses and stores a layer as it is made. Must not know what is in the tar.
 *
 * The stream is cut into blocks (compress/encoder.h), each in a slot of a ring:
 *
 *     put fills -> ready -> a helper on the pool, or put itself, compresses -> done -> put writes it to the ingest
 *
 * Slots are written in order. When the ring is full, whoever fills compresses a block that no helper has taken, so that
 * nobody ever waits for a task that is still in a queue: put may run on the only worker there is.
 */
#include "engine/layer_writer.h"

#include <pthread.h>
#include <string.h>

#include "base/pool.h"

enum { HELPERS_MAX = 16, SLOTS_SPARE = 2 };
enum { SLOT_FREE, SLOT_READY, SLOT_RUNNING, SLOT_DONE };

typedef struct slot {
  int state;       /**< guarded by the mutex */
  uint8_t *buffer; /**< room for the history, then the block */
  uint8_t *out;
  ims_encode_block block;
  int32_t rc;
  ims_error err;
} slot;

typedef struct helper {
  ims_task task; /**< first member */
  ims_layer_writer *writer;
  ims_block_encoder *encoder; /**< made when it is first needed */
} helper;

struct ims_layer_writer {
  imgstore_store *store;
  ims_core *core;
  ims_lease *lease;
  int32_t encode, level;
  ims_ingest ingest;
  ims_hash tar_hash;
  uint64_t tar_size;
  uint32_t crc;
  bool ended;
  int32_t failed;
  /* the ring; used only with compression */
  pthread_mutex_t mutex;
  pthread_cond_t done;
  bool has_locks;
  ims_lane lane; /**< tasks must have one; nothing runs in it */
  bool has_lane;
  slot *slots;
  size_t slot_count;
  size_t oldest;              /**< not yet written */
  size_t filling;             /**< both count up; modulo slot_count they are places in the ring */
  size_t filled;              /**< bytes in the slot that is being filled */
  ims_block_encoder *encoder; /**< for the blocks that put compresses */
  helper *helpers;
  size_t helper_count;
  size_t next_helper;
};

/* --- compressing -----------------------------------------------------------------------------------------------------
 */

static slot *slot_at(ims_layer_writer *w, size_t number) {
  return &w->slots[number % w->slot_count];
}

/** The oldest block that nobody compresses yet, now taken; NULL: none. */
static slot *take_ready(ims_layer_writer *w) {
  slot *found = NULL;
  pthread_mutex_lock(&w->mutex);
  for (size_t i = 0; i < w->slot_count && !found; i++)
    if (slot_at(w, w->oldest + i)->state == SLOT_READY)
      found = slot_at(w, w->oldest + i);
  if (found)
    found->state = SLOT_RUNNING;
  pthread_mutex_unlock(&w->mutex);
  return found;
}

static void compress_slot(ims_layer_writer *w, slot *s, ims_block_encoder **encoder) {
  s->rc = IMGSTORE_OK;
  if (!*encoder)
    s->rc = ims_block_encoder_new(encoder, &w->core->alloc, w->encode, w->level, &s->err);
  if (!s->rc)
    s->rc = ims_block_encoder_run(*encoder, &s->block, &s->err);
  pthread_mutex_lock(&w->mutex);
  s->state = SLOT_DONE;
  pthread_cond_signal(&w->done);
  pthread_mutex_unlock(&w->mutex);
}

static void run_helper(ims_task *task) {
  helper *h = (helper *)task;
  slot *s = take_ready(h->writer);
  if (!s)
    return;
  compress_slot(h->writer, s, &h->encoder);
  ims_task_wake(task);
}

static void wake_helper(ims_layer_writer *w) {
  if (w->helper_count)
    ims_task_wake(&w->helpers[w->next_helper++ % w->helper_count].task);
}

static int slot_state(ims_layer_writer *w, const slot *s) {
  pthread_mutex_lock(&w->mutex);
  int state = s->state;
  pthread_mutex_unlock(&w->mutex);
  return state;
}

/** Comes back when the slot, which is ready or further, is done. */
static void await(ims_layer_writer *w, slot *s) {
  slot *mine;
  while (slot_state(w, s) != SLOT_DONE && (mine = take_ready(w)))
    compress_slot(w, mine, &w->encoder);
  pthread_mutex_lock(&w->mutex);
  while (s->state != SLOT_DONE)
    pthread_cond_wait(&w->done, &w->mutex);
  pthread_mutex_unlock(&w->mutex);
}

/* --- the stream ------------------------------------------------------------------------------------------------------
 */

/** Writes the oldest block, which is done, and frees its slot. */
static int32_t write_oldest(ims_layer_writer *w, ims_error *err) {
  slot *s = slot_at(w, w->oldest);
  if (s->rc) {
    if (err)
      *err = s->err;
    return s->rc;
  }
  int32_t rc = ims_ingest_write(&w->ingest, s->out, s->block.made, err);
  w->crc = ims_encode_crc_join(w->crc, s->block.crc, s->block.in_size);
  pthread_mutex_lock(&w->mutex);
  s->state = SLOT_FREE;
  w->oldest++; /* helpers read it */
  pthread_mutex_unlock(&w->mutex);
  return rc;
}

/** Writes what is done, and waits until at most `left` blocks are under way. */
static int32_t drain(ims_layer_writer *w, size_t left, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  while (!rc && w->oldest < w->filling) {
    slot *s = slot_at(w, w->oldest);
    if (w->filling - w->oldest > left)
      await(w, s);
    else if (slot_state(w, s) != SLOT_DONE)
      break;
    rc = write_oldest(w, err);
  }
  return rc;
}

static int32_t make_slot(ims_layer_writer *w, slot *s, ims_error *err) {
  if (!s->buffer)
    s->buffer = ims_malloc(&w->core->alloc, IMS_ENCODE_HISTORY + ims_encode_block_size(w->encode));
  if (!s->out)
    s->out = ims_malloc(&w->core->alloc, ims_encode_block_room(w->encode));
  return s->buffer && s->out ? IMGSTORE_OK : ims_fail_nomem(err);
}

/** The slot that was filled goes to whoever compresses it; its end becomes the history of the next. */
static int32_t submit(ims_layer_writer *w, bool last, ims_error *err) {
  slot *s = slot_at(w, w->filling);
  const size_t history = w->filling ? IMS_ENCODE_HISTORY : 0;
  s->block = (ims_encode_block){.in = s->buffer + IMS_ENCODE_HISTORY,
                                .history_size = history,
                                .in_size = w->filled,
                                .last = last,
                                .out = s->out,
                                .room = ims_encode_block_room(w->encode)};
  const uint8_t *end = s->buffer + w->filled; /* the last bytes of the block: a full one is longer than the history */
  pthread_mutex_lock(&w->mutex);
  s->state = SLOT_READY;
  pthread_mutex_unlock(&w->mutex);
  wake_helper(w);
  w->filling++;
  w->filled = 0;
  int32_t rc = drain(w, last ? 0 : w->slot_count - 1, err);
  if (rc || last)
    return rc;
  slot *next = slot_at(w, w->filling);
  rc = make_slot(w, next, err);
  if (!rc)
    memmove(next->buffer, end, IMS_ENCODE_HISTORY); /* of one slot when there is only one */
  return rc;
}

static int32_t put_blocks(ims_layer_writer *w, const uint8_t *data, size_t size, ims_error *err) {
  const size_t block = ims_encode_block_size(w->encode);
  int32_t rc = IMGSTORE_OK;
  while (size && !rc) {
    slot *s = slot_at(w, w->filling);
    size_t part = size < block - w->filled ? size : block - w->filled;
    memcpy(s->buffer + IMS_ENCODE_HISTORY + w->filled, data, part);
    w->filled += part;
    data += part;
    size -= part;
    if (w->filled == block)
      rc = submit(w, false, err);
  }
  return rc;
}

int32_t ims_layer_writer_put(ims_layer_writer *w, const void *data, size_t size, ims_error *err) {
  if (w->failed || w->ended)
    return ims_fail(err, w->failed ? w->failed : IMGSTORE_EINVALID, "new layer: nothing may be added any more");
  ims_hash_update(&w->tar_hash, data, size);
  w->tar_size += size;
  w->failed =
      w->encode == IMS_ENCODE_NONE ? ims_ingest_write(&w->ingest, data, size, err) : put_blocks(w, data, size, err);
  return w->failed;
}

uint64_t ims_layer_writer_tar_size(const ims_layer_writer *w) {
  return w->tar_size;
}

/* --- the end ---------------------------------------------------------------------------------------------------------
 */

int32_t ims_layer_writer_end(ims_layer_writer *w, ims_error *err) {
  uint8_t tail[IMS_ENCODE_EDGE];
  if (w->failed)
    return ims_fail(err, w->failed, "new layer: cannot be finished");
  if (w->ended)
    return IMGSTORE_OK;
  if (w->encode != IMS_ENCODE_NONE)
    w->failed = submit(w, true, err);
  if (!w->failed)
    w->failed = ims_ingest_write(&w->ingest, tail, ims_encode_tail(w->encode, w->crc, w->tar_size, tail), err);
  w->ended = !w->failed;
  return w->failed;
}

static void name_types(ims_new_layer *layer) {
  static const char *const suffix[] = {"", "gzip", "gzip", "zstd"};
  const char *format = suffix[layer->encode];
  strcpy(layer->media_type, "application/vnd.oci.image.layer.v1.tar");
  strcpy(layer->docker_type, "application/vnd.docker.image.rootfs.diff.tar");
  if (*format) {
    strcat(strcat(layer->media_type, "+"), format);
    strcat(strcat(layer->docker_type, "."), format);
  }
}

int32_t ims_layer_writer_commit(ims_layer_writer *w, ims_new_layer *layer, ims_error *err) {
  memset(layer, 0, sizeof *layer);
  if (w->failed || !w->ended)
    return ims_fail(err, w->failed ? w->failed : IMGSTORE_EINVALID, "new layer: it is not complete");
  int32_t rc = ims_ingest_name(&w->ingest, err);
  if (rc)
    return w->failed = rc;
  layer->digest = w->ingest.digest;
  layer->size = w->ingest.size;
  layer->tar_size = w->tar_size;
  layer->encode = w->encode;
  ims_digest_from_hash(&layer->diff_id, &w->tar_hash);
  name_types(layer);
  rc = ims_lease_add(w->lease, &layer->digest, err);
  if (!rc)
    rc = ims_ingest_verify(&w->ingest, err);
  if (!rc)
    rc = ims_ingest_commit(&w->ingest, err);
  w->failed = rc ? rc : IMGSTORE_EINVALID; /* it cannot be committed twice */
  return rc;
}

int32_t ims_layer_writer_finish(ims_layer_writer *w, ims_new_layer *layer, ims_error *err) {
  int32_t rc = ims_layer_writer_end(w, err);
  return rc ? rc : ims_layer_writer_commit(w, layer, err);
}

/* --- the handle ------------------------------------------------------------------------------------------------------
 */

static int32_t make_ring(ims_layer_writer *w, ims_error *err) {
  const ims_alloc *alloc = &w->core->alloc;
  size_t workers = w->core->pool ? w->core->limits.workers : 0;
  if (pthread_mutex_init(&w->mutex, NULL) || pthread_cond_init(&w->done, NULL))
    return ims_fail_nomem(err);
  w->has_locks = true;
  int failed = ims_lane_init(&w->lane);
  if (failed)
    return ims_fail_os(err, failed, "new layer: cannot make an event descriptor");
  w->has_lane = true;
  w->helper_count = workers < HELPERS_MAX ? workers : HELPERS_MAX;
  w->slot_count = w->helper_count ? w->helper_count + SLOTS_SPARE : 1;
  w->slots = ims_calloc(alloc, w->slot_count, sizeof *w->slots);
  w->helpers = ims_calloc(alloc, w->helper_count ? w->helper_count : 1, sizeof *w->helpers);
  if (!w->slots || !w->helpers)
    return ims_fail_nomem(err);
  for (size_t i = 0; i < w->helper_count; i++) {
    w->helpers[i].writer = w;
    ims_task_init(&w->helpers[i].task, &w->lane, w->core->pool, run_helper);
  }
  /* The first encoder is made here so that what is wrong with its parameters is said here. */
  int32_t rc = ims_block_encoder_new(&w->encoder, alloc, w->encode, w->level, err);
  return rc ? rc : make_slot(w, &w->slots[0], err);
}

static int32_t begin(ims_layer_writer *w, ims_error *err) {
  uint8_t head[IMS_ENCODE_EDGE];
  int32_t rc = w->encode == IMS_ENCODE_NONE ? IMGSTORE_OK : make_ring(w, err);
  if (!rc)
    rc = ims_ingest_create(&w->ingest, w->store, err);
  return rc ? rc : ims_ingest_write(&w->ingest, head, ims_encode_head(w->encode, head), err);
}

int32_t ims_layer_writer_open(ims_layer_writer **writer, imgstore_store *store, ims_lease *lease, int32_t encode,
                              int32_t level, ims_error *err) {
  *writer = NULL;
  ims_layer_writer *w = ims_calloc(&store->core->alloc, 1, sizeof *w);
  if (!w)
    return ims_fail_nomem(err);
  w->store = ims_store_ref(store);
  w->core = store->core;
  w->lease = lease;
  w->encode = encode;
  w->level = level;
  ims_hash_init(&w->tar_hash, IMS_HASH_SHA256);
  int32_t rc = begin(w, err);
  if (rc) {
    ims_layer_writer_free(w);
    return rc;
  }
  *writer = w;
  return IMGSTORE_OK;
}

void ims_layer_writer_free(ims_layer_writer *w) {
  if (!w)
    return;
  const ims_alloc *alloc = &w->core->alloc;
  for (size_t i = 0; i < w->helper_count && w->helpers; i++) {
    ims_task_stop(&w->helpers[i].task);
    ims_block_encoder_free(w->helpers[i].encoder);
  }
  for (size_t i = 0; i < w->slot_count && w->slots; i++) {
    ims_free(alloc, w->slots[i].buffer);
    ims_free(alloc, w->slots[i].out);
  }
  ims_block_encoder_free(w->encoder);
  ims_free(alloc, w->slots);
  ims_free(alloc, w->helpers);
  if (w->has_lane)
    ims_lane_free(&w->lane);
  if (w->has_locks) {
    pthread_cond_destroy(&w->done);
    pthread_mutex_destroy(&w->mutex);
  }
  ims_ingest_close(&w->ingest, false);
  imgstore_store *store = w->store;
  ims_free(alloc, w);
  ims_store_unref(store);
}
