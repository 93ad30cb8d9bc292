/*
 * compress/encoder.c (L1) - picks an engine, cuts the stream into blocks and puts head and tail around them. It must
 * not know how a block is compressed.
 *
 * gzip: the blocks are pieces of one deflate stream in one member, each ending at a byte boundary. zstd: a frame each.
 */
#include "compress/encoder.h"

#include <string.h>

#include "compress/block_engine.h"
#include "compress/decoder.h"

enum { GZIP_BLOCK = 512 * 1024, ZSTD_BLOCK = 2 * 1024 * 1024, SYSTEM_UNKNOWN = 255 };

struct ims_block_encoder {
  const ims_alloc *alloc;
  const ims_block_engine *engine;
  void *state;
};

struct ims_encoder {
  const ims_alloc *alloc;
  int32_t how;
  ims_block_encoder *blocks; /* NULL for no compression */
  uint8_t *buffer;           /* history, then the block in the making */
  size_t history, filled;
  uint8_t *out; /* a compressed block that is handed out */
  size_t out_size, out_at;
  uint32_t crc;
  uint64_t total;
  bool ended;
};

/* --- what a kind is made of ------------------------------------------------------------------------------------------
 */

static const struct {
  int32_t usual, most;
} levels[] = {[IMS_ENCODE_GZIP] = {1, 9}, [IMS_ENCODE_GZIP_FAST] = {1, 3}, [IMS_ENCODE_ZSTD] = {3, 19}};

static const ims_block_engine *find_engine(int32_t how, int32_t level) {
#if IMS_HAVE_ISAL
  if (how == IMS_ENCODE_GZIP_FAST)
    return &ims_block_engine_isal;
#endif
#if IMS_HAVE_ZSTD
  if (how == IMS_ENCODE_ZSTD)
    return &ims_block_engine_zstd;
#endif
  if (how == IMS_ENCODE_GZIP && level > 1)
    return &ims_block_engine_zlib;
  return how == IMS_ENCODE_GZIP || how == IMS_ENCODE_GZIP_FAST ? &ims_block_engine_deflate : NULL;
}

size_t ims_encode_block_size(int32_t how) {
  return how == IMS_ENCODE_ZSTD ? ZSTD_BLOCK : GZIP_BLOCK;
}

size_t ims_encode_block_room(int32_t how) {
  const size_t size = ims_encode_block_size(how);
  return size + size / 4 + 1024; /* more than any of the engines says it may need */
}

static void put_little_endian(uint8_t *out, uint32_t value) {
  for (int i = 0; i < 4; i++)
    out[i] = (uint8_t)(value >> (8 * i));
}

size_t ims_encode_head(int32_t how, uint8_t out[IMS_ENCODE_EDGE]) {
  static const uint8_t head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, SYSTEM_UNKNOWN}; /* no time, no name */
  if (how != IMS_ENCODE_GZIP && how != IMS_ENCODE_GZIP_FAST)
    return 0;
  memcpy(out, head, sizeof head);
  return sizeof head;
}

size_t ims_encode_tail(int32_t how, uint32_t crc, uint64_t total, uint8_t out[IMS_ENCODE_EDGE]) {
  if (how != IMS_ENCODE_GZIP && how != IMS_ENCODE_GZIP_FAST)
    return 0;
  put_little_endian(out, crc);
  put_little_endian(out + 4, (uint32_t)total);
  return 8;
}

/* --- blocks ----------------------------------------------------------------------------------------------------------
 */

int32_t ims_block_encoder_new(ims_block_encoder **encoder, const ims_alloc *alloc, int32_t how, int32_t level,
                              ims_error *err) {
  *encoder = NULL;
  const ims_block_engine *engine = find_engine(how, level);
  if (!engine && how == IMS_ENCODE_ZSTD)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "zstd: this build has no such encoder");
  if (!engine)
    return ims_fail(err, IMGSTORE_EINVALID, "compression %d: there is none of this number", (int)how);
  if (level < 0 || level > levels[how].most)
    return ims_fail(err, IMGSTORE_EINVALID, "compression level %d: not 0..%d", (int)level, (int)levels[how].most);
  ims_block_encoder *e = ims_calloc(alloc, 1, sizeof *e);
  if (!e)
    return ims_fail_nomem(err);
  e->alloc = alloc;
  e->engine = engine;
  e->state = engine->open(alloc, level ? level : levels[how].usual);
  if (!e->state) {
    ims_free(alloc, e);
    return ims_fail_nomem(err);
  }
  *encoder = e;
  return IMGSTORE_OK;
}

void ims_block_encoder_free(ims_block_encoder *e) {
  if (!e)
    return;
  e->engine->close(e->state);
  ims_free(e->alloc, e);
}

int32_t ims_block_encoder_run(ims_block_encoder *e, ims_encode_block *block, ims_error *err) {
  block->made = 0;
  int32_t rc = e->engine->run(e->state, block);
  if (rc == IMGSTORE_ENOMEM)
    return ims_fail_nomem(err);
  return rc ? ims_fail(err, rc, "compression of a block failed") : IMGSTORE_OK;
}

/* --- a stream --------------------------------------------------------------------------------------------------------
 */

static int32_t make_buffers(ims_encoder *e, int32_t level, ims_error *err) {
  int32_t rc = ims_block_encoder_new(&e->blocks, e->alloc, e->how, level, err);
  if (rc)
    return rc;
  e->buffer = ims_malloc(e->alloc, IMS_ENCODE_HISTORY + ims_encode_block_size(e->how));
  e->out = ims_malloc(e->alloc, ims_encode_block_room(e->how) + 2 * (size_t)IMS_ENCODE_EDGE);
  if (!e->buffer || !e->out)
    return ims_fail_nomem(err);
  e->out_size = ims_encode_head(e->how, e->out);
  return IMGSTORE_OK;
}

int32_t ims_encoder_new(ims_encoder **encoder, const ims_alloc *alloc, int32_t how, int32_t level, ims_error *err) {
  *encoder = NULL;
  ims_encoder *e = ims_calloc(alloc, 1, sizeof *e);
  if (!e)
    return ims_fail_nomem(err);
  e->alloc = alloc;
  e->how = how;
  int32_t rc = how == IMS_ENCODE_NONE ? IMGSTORE_OK : make_buffers(e, level, err);
  if (rc) {
    ims_encoder_free(e);
    return rc;
  }
  *encoder = e;
  return IMGSTORE_OK;
}

void ims_encoder_free(ims_encoder *e) {
  if (!e)
    return;
  ims_block_encoder_free(e->blocks);
  ims_free(e->alloc, e->buffer);
  ims_free(e->alloc, e->out);
  ims_free(e->alloc, e);
}

/** Compresses what is gathered. The block before it was handed out. */
static int32_t compress_block(ims_encoder *e, bool last, ims_error *err) {
  ims_encode_block block = {.in = e->buffer + IMS_ENCODE_HISTORY,
                            .history_size = e->history,
                            .in_size = e->filled,
                            .last = last,
                            .out = e->out,
                            .room = ims_encode_block_room(e->how)};
  int32_t rc = ims_block_encoder_run(e->blocks, &block, err);
  if (rc)
    return rc;
  e->crc = ims_encode_crc_join(e->crc, block.crc, e->filled);
  e->total += e->filled;
  e->out_size = block.made;
  e->out_at = 0;
  if (last) {
    e->out_size += ims_encode_tail(e->how, e->crc, e->total, e->out + e->out_size);
  } else {
    memcpy(e->buffer, e->buffer + e->filled, IMS_ENCODE_HISTORY); /* the block's end becomes the history */
    e->history = IMS_ENCODE_HISTORY;
  }
  e->filled = 0;
  return IMGSTORE_OK;
}

static size_t hand_out(ims_encoder *e, uint8_t *out, size_t room) {
  size_t size = e->out_size - e->out_at < room ? e->out_size - e->out_at : room;
  if (size)
    memcpy(out, e->out + e->out_at, size);
  e->out_at += size;
  return size;
}

static size_t take_in(ims_encoder *e, const uint8_t *in, size_t size) {
  size_t room = ims_encode_block_size(e->how) - e->filled;
  size = size < room ? size : room;
  if (size)
    memcpy(e->buffer + IMS_ENCODE_HISTORY + e->filled, in, size);
  e->filled += size;
  return size;
}

int32_t ims_encoder_run(ims_encoder *e, const uint8_t *in, size_t size, size_t *used, uint8_t *out, size_t room,
                        size_t *made, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  *used = *made = 0;
  if (e->how == IMS_ENCODE_NONE) {
    *used = *made = size < room ? size : room;
    if (*made)
      memcpy(out, in, *made);
    return IMGSTORE_OK;
  }
  for (;;) {
    *used += take_in(e, in + *used, size - *used);
    *made += hand_out(e, out + *made, room - *made);
    if (e->out_at < e->out_size || e->filled < ims_encode_block_size(e->how))
      return IMGSTORE_OK;
    rc = compress_block(e, false, err);
    if (rc)
      return rc;
  }
}

int32_t ims_encoder_finish(ims_encoder *e, uint8_t *out, size_t room, size_t *made, bool *done, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  *made = hand_out(e, out, room);
  *done = e->how == IMS_ENCODE_NONE;
  if (*done || e->out_at < e->out_size)
    return IMGSTORE_OK;
  if (!e->ended)
    rc = compress_block(e, true, err);
  if (rc)
    return rc;
  e->ended = true;
  *made += hand_out(e, out + *made, room - *made);
  *done = e->out_at == e->out_size;
  return IMGSTORE_OK;
}
