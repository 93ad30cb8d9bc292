/*
 * compress/gzip_zlib.c (L1) - gzip streams by zlib, read and made: always built in, the reference for the other engine.
 * The only file that sees zlib; it knows nothing of limits.
 */
#include <limits.h>
#include <string.h>
#include <zlib.h>

#include "compress/block_engine.h"
#include "compress/engine.h"

enum { GZIP_ONLY = 16 };

typedef struct zlib_engine {
  const ims_alloc *alloc;
  z_stream stream;
  bool any;    /* a member was complete */
  bool inside; /* a member has begun */
} zlib_engine;

static voidpf allocate(voidpf opaque, uInt items, uInt size) {
  return ims_calloc(((zlib_engine *)opaque)->alloc, items, size);
}

static void release(voidpf opaque, voidpf memory) {
  ims_free(((zlib_engine *)opaque)->alloc, memory);
}

static void *zlib_open(const ims_alloc *alloc, const ims_decoder_limits *limits) {
  zlib_engine *e = ims_calloc(alloc, 1, sizeof *e);
  if (!e)
    return NULL;
  e->alloc = alloc;
  e->stream.zalloc = allocate;
  e->stream.zfree = release;
  e->stream.opaque = e;
  if (inflateInit2(&e->stream, MAX_WBITS + GZIP_ONLY) == Z_OK)
    return e;
  ims_free(alloc, e);
  return NULL;
}

static void zlib_close(void *engine) {
  zlib_engine *e = engine;
  inflateEnd(&e->stream);
  ims_free(e->alloc, e);
}

static int32_t zlib_reset(void *engine) {
  zlib_engine *e = engine;
  e->any = e->inside = false;
  return inflateReset(&e->stream) == Z_OK ? IMGSTORE_OK : IMGSTORE_EFORMAT;
}

static uInt clamp(size_t size) {
  return size < UINT_MAX ? (uInt)size : UINT_MAX;
}

/* One inflate call; counts what it did. Sets *idle when it did nothing. */
static int inflate_some(zlib_engine *e, ims_engine_io *io, bool *idle) {
  z_stream *z = &e->stream;
  const uInt in = clamp(io->in_size - io->used), out = clamp(io->out_size - io->made);
  z->next_in = (z_const Bytef *)io->in + io->used;
  z->avail_in = in;
  z->next_out = io->out + io->made;
  z->avail_out = out;
  int rc = inflate(z, Z_NO_FLUSH);
  io->used += in - z->avail_in;
  io->made += out - z->avail_out;
  *idle = in == z->avail_in && out == z->avail_out;
  if (in != z->avail_in)
    e->inside = true;
  return rc;
}

static int32_t zlib_run(void *engine, ims_engine_io *io) {
  zlib_engine *e = engine;
  bool idle = false;
  while (!idle && (e->inside || io->used < io->in_size)) {
    int rc = inflate_some(e, io, &idle);
    if (rc == Z_STREAM_END) {
      e->any = true;
      e->inside = false;
      inflateReset(&e->stream);
    } else if (rc == Z_MEM_ERROR) {
      return IMGSTORE_ENOMEM;
    } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
      io->why = e->stream.msg ? e->stream.msg : "not a deflate stream";
      return IMGSTORE_EFORMAT;
    }
  }
  return IMGSTORE_OK;
}

static const char *zlib_finish(const void *engine) {
  const zlib_engine *e = engine;
  if (e->inside)
    return "ends inside a member";
  return e->any ? NULL : "empty stream";
}

const ims_engine ims_engine_gzip_zlib = {"zlib", zlib_open, zlib_close, zlib_reset, zlib_run, zlib_finish};

/* --- making ----------------------------------------------------------------------------------------------------------
 */

enum { RAW_WINDOW = -MAX_WBITS, MEMORY_LEVEL = 8 };

typedef struct zlib_maker {
  const ims_alloc *alloc;
  z_stream stream;
} zlib_maker;

static voidpf maker_allocate(voidpf opaque, uInt items, uInt size) {
  return ims_calloc(((zlib_maker *)opaque)->alloc, items, size);
}

static void maker_release(voidpf opaque, voidpf memory) {
  ims_free(((zlib_maker *)opaque)->alloc, memory);
}

static void *maker_open(const ims_alloc *alloc, int32_t level) {
  zlib_maker *m = ims_calloc(alloc, 1, sizeof *m);
  if (!m)
    return NULL;
  m->alloc = alloc;
  m->stream.zalloc = maker_allocate;
  m->stream.zfree = maker_release;
  m->stream.opaque = m;
  if (deflateInit2(&m->stream, level, Z_DEFLATED, RAW_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK)
    return m;
  ims_free(alloc, m);
  return NULL;
}

static void maker_close(void *engine) {
  zlib_maker *m = engine;
  deflateEnd(&m->stream);
  ims_free(m->alloc, m);
}

static int32_t maker_run(void *engine, ims_encode_block *b) {
  z_stream *z = &((zlib_maker *)engine)->stream;
  if (deflateReset(z) != Z_OK)
    return IMGSTORE_EINVALID;
  if (b->history_size && deflateSetDictionary(z, b->in - b->history_size, (uInt)b->history_size) != Z_OK)
    return IMGSTORE_EINVALID;
  z->next_in = (z_const Bytef *)b->in;
  z->avail_in = (uInt)b->in_size;
  z->next_out = b->out;
  z->avail_out = (uInt)b->room;
  int rc = deflate(z, b->last ? Z_FINISH : Z_SYNC_FLUSH);
  b->made = b->room - z->avail_out;
  b->crc = ims_crc32(0, b->in, b->in_size);
  return rc == (b->last ? Z_STREAM_END : Z_OK) && !z->avail_in && z->avail_out ? IMGSTORE_OK : IMGSTORE_EINVALID;
}

const ims_block_engine ims_block_engine_zlib = {maker_open, maker_close, maker_run};

uint32_t ims_crc32(uint32_t crc, const uint8_t *data, size_t size) {
  return (uint32_t)crc32_z(crc, data, size);
}

uint32_t ims_encode_crc_join(uint32_t first, uint32_t second, uint64_t size) {
  return (uint32_t)crc32_combine(first, second, (z_off_t)size);
}
