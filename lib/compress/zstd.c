/*
 * compress/zstd.c (L1) - zstd streams, read and made: frames one after the other, skippable ones included. The only
 * file that sees libzstd; of the limits it knows the window only, which libzstd must refuse before it allocates.
 */
#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_createDCtx_advanced: memory from the caller's allocator */

#include "compress/block_engine.h"
#include "compress/engine.h"

#if IMS_HAVE_ZSTD

#include <zstd.h>
#include <zstd_errors.h>

enum { MAGIC_SIZE = 4 };

typedef struct zstd_engine {
  const ims_alloc *alloc;
  ZSTD_DCtx *context;
  uint8_t magic[MAGIC_SIZE]; /* of the frame, read here: libzstd would also take formats of before 0.8 */
  uint8_t magic_size;        /* bytes of it seen; 0 between two frames */
  bool any;                  /* a frame was complete */
  bool pending;              /* the last call filled the output: there may be more */
} zstd_engine;

static void *allocate(void *opaque, size_t size) {
  return ims_malloc(opaque, size);
}

static void release(void *opaque, void *memory) {
  ims_free(opaque, memory);
}

static size_t window_of(const ims_decoder_limits *limits) {
  const uint64_t least = (uint64_t)1 << ZSTD_WINDOWLOG_MIN, most = (uint64_t)1 << ZSTD_WINDOWLOG_MAX;
  uint64_t window = limits->max_window;
  window = window < least ? least : window;
  return (size_t)(window > most ? most : window);
}

static void *zstd_open(const ims_alloc *alloc, const ims_decoder_limits *limits) {
  zstd_engine *e = ims_calloc(alloc, 1, sizeof *e);
  if (!e)
    return NULL;
  e->alloc = alloc;
  ZSTD_customMem memory = {allocate, release, (void *)(uintptr_t)alloc};
  e->context = ZSTD_createDCtx_advanced(memory);
  if (e->context && !ZSTD_isError(ZSTD_DCtx_setMaxWindowSize(e->context, window_of(limits))))
    return e;
  ZSTD_freeDCtx(e->context);
  ims_free(alloc, e);
  return NULL;
}

static void zstd_close(void *engine) {
  zstd_engine *e = engine;
  ZSTD_freeDCtx(e->context);
  ims_free(e->alloc, e);
}

static int32_t zstd_reset(void *engine) {
  zstd_engine *e = engine;
  e->magic_size = 0;
  e->any = e->pending = false;
  ZSTD_DCtx_reset(e->context, ZSTD_reset_session_only);
  return IMGSTORE_OK;
}

static bool magic_known(const uint8_t *m) {
  uint32_t magic = m[0] | (uint32_t)m[1] << 8 | (uint32_t)m[2] << 16 | (uint32_t)m[3] << 24;
  return magic == ZSTD_MAGICNUMBER || (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

static int32_t fail(ims_engine_io *io, size_t result) {
  ZSTD_ErrorCode code = ZSTD_getErrorCode(result);
  io->why = ZSTD_getErrorString(code);
  if (code == ZSTD_error_memory_allocation)
    return IMGSTORE_ENOMEM;
  return code == ZSTD_error_frameParameter_windowTooLarge ? IMGSTORE_ELIMIT : IMGSTORE_EFORMAT;
}

/* Collects the magic of the next frame and hands it to libzstd when it is complete and right. */
static int32_t begin_frame(zstd_engine *e, ims_engine_io *io) {
  while (e->magic_size < MAGIC_SIZE && io->used < io->in_size)
    e->magic[e->magic_size++] = io->in[io->used++];
  if (e->magic_size < MAGIC_SIZE)
    return IMGSTORE_OK;
  if (!magic_known(e->magic)) {
    io->why = "not a zstd frame";
    return IMGSTORE_EFORMAT;
  }
  ZSTD_inBuffer in = {e->magic, MAGIC_SIZE, 0};
  ZSTD_outBuffer none = {io->out, 0, 0};
  size_t result = ZSTD_decompressStream(e->context, &none, &in);
  return ZSTD_isError(result) ? fail(io, result) : IMGSTORE_OK;
}

static int32_t decode_some(zstd_engine *e, ims_engine_io *io) {
  ZSTD_inBuffer in = {io->in, io->in_size, io->used};
  ZSTD_outBuffer out = {io->out, io->out_size, io->made};
  size_t result = ZSTD_decompressStream(e->context, &out, &in);
  io->used = in.pos;
  io->made = out.pos;
  if (ZSTD_isError(result))
    return fail(io, result);
  e->pending = out.pos == out.size && result != 0;
  if (result == 0) {
    e->any = true;
    e->magic_size = 0;
  }
  return IMGSTORE_OK;
}

static int32_t zstd_run(void *engine, ims_engine_io *io) {
  zstd_engine *e = engine;
  int32_t rc = IMGSTORE_OK;
  while (!rc && io->made < io->out_size && (e->pending || io->used < io->in_size))
    rc = e->magic_size < MAGIC_SIZE ? begin_frame(e, io) : decode_some(e, io);
  return rc;
}

static const char *zstd_finish(const void *engine) {
  const zstd_engine *e = engine;
  if (e->magic_size)
    return "ends inside a frame";
  return e->any ? NULL : "empty stream";
}

const ims_engine ims_engine_zstd = {"zstd", zstd_open, zstd_close, zstd_reset, zstd_run, zstd_finish};

/* --- making ----------------------------------------------------------------------------------------------------------
 */

typedef struct zstd_maker {
  const ims_alloc *alloc;
  ZSTD_CCtx *context;
} zstd_maker;

static void maker_close(void *engine) {
  zstd_maker *m = engine;
  ZSTD_freeCCtx(m->context);
  ims_free(m->alloc, m);
}

static void *maker_open(const ims_alloc *alloc, int32_t level) {
  zstd_maker *m = ims_calloc(alloc, 1, sizeof *m);
  if (!m)
    return NULL;
  m->alloc = alloc;
  ZSTD_customMem memory = {allocate, release, (void *)(uintptr_t)alloc};
  m->context = ZSTD_createCCtx_advanced(memory);
  if (m->context && !ZSTD_isError(ZSTD_CCtx_setParameter(m->context, ZSTD_c_compressionLevel, level)))
    return m;
  maker_close(m);
  return NULL;
}

/** A frame of its own: frames one after the other are one stream. An empty one is needed only when it is the first. */
static int32_t maker_run(void *engine, ims_encode_block *b) {
  zstd_maker *m = engine;
  b->crc = 0;
  if (!b->in_size && b->history_size)
    return IMGSTORE_OK;
  size_t result = ZSTD_compress2(m->context, b->out, b->room, b->in, b->in_size);
  if (ZSTD_isError(result))
    return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? IMGSTORE_ENOMEM : IMGSTORE_EINVALID;
  b->made = result;
  return IMGSTORE_OK;
}

const ims_block_engine ims_block_engine_zstd = {maker_open, maker_close, maker_run};

#endif
