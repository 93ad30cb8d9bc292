/*
 * compress/gzip_zlib.c (L1) - gzip streams by zlib: always built in, the reference for the other engine. The only
 * file that sees zlib; it knows nothing of limits.
 */
#include <limits.h>
#include <string.h>
#include <zlib.h>

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
