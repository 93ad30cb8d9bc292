/*
 * compress/gzip_isal.c (L1) - gzip streams by ISA-L, the fast engine, read and made. The only file that sees ISA-L; it
 * knows nothing of limits. Accepts and rejects what gzip_zlib.c does, with one exception that the library offers no way
 * to see: a block whose Huffman code lengths leave codes unused. No encoder writes one, and all that it says is still
 * checked against the member's CRC.
 */
#include "compress/block_engine.h"
#include "compress/engine.h"

#if IMS_HAVE_ISAL

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>

#include "compress/gzip_header.h"

enum { LARGEST_CALL = 1 << 30 };

/* Header is read by gzip_header.c; data and trailer (CRC, size) by ISA-L. */
enum { PART_HEADER, PART_DATA };

typedef struct isal_engine {
  const ims_alloc *alloc;
  int32_t part;
  bool any; /* a member was complete */
  ims_gzip_header header;
  struct inflate_state state; /* 87 KB */
} isal_engine;

static uint32_t checksum(uint32_t crc, const uint8_t *data, size_t size) {
  return crc32_gzip_refl(crc, data, size);
}

static void begin_member(isal_engine *e) {
  e->part = PART_HEADER;
  ims_gzip_header_init(&e->header, checksum);
  isal_inflate_reset(&e->state);
  e->state.crc_flag = ISAL_GZIP_NO_HDR_VER;
}

static void *isal_open(const ims_alloc *alloc, const ims_decoder_limits *limits) {
  isal_engine *e = ims_calloc(alloc, 1, sizeof *e);
  if (!e)
    return NULL;
  e->alloc = alloc;
  isal_inflate_init(&e->state);
  begin_member(e);
  return e;
}

static void isal_close(void *engine) {
  isal_engine *e = engine;
  ims_free(e->alloc, e);
}

static int32_t isal_reset(void *engine) {
  isal_engine *e = engine;
  e->any = false;
  begin_member(e);
  return IMGSTORE_OK;
}

static const char *why_of(int rc) {
  switch (rc) {
  case ISAL_INVALID_BLOCK:
    return "invalid block";
  case ISAL_INVALID_SYMBOL:
    return "invalid code";
  case ISAL_INVALID_LOOKBACK:
    return "invalid distance too far back";
  case ISAL_INCORRECT_CHECKSUM:
    return "incorrect data check";
  default:
    return "not a deflate stream";
  }
}

static uint32_t clamp(size_t size) {
  return size < LARGEST_CALL ? (uint32_t)size : LARGEST_CALL;
}

static int32_t read_header(isal_engine *e, ims_engine_io *io) {
  size_t used;
  int rc = ims_gzip_header_read(&e->header, io->in + io->used, io->in_size - io->used, &used);
  io->used += used;
  if (rc == IMS_GZIP_HEADER_BAD) {
    io->why = e->header.why;
    return IMGSTORE_EFORMAT;
  }
  if (rc == IMS_GZIP_HEADER_DONE)
    e->part = PART_DATA;
  return IMGSTORE_OK;
}

/* One isal_inflate call. Sets *idle when it did nothing. */
static int32_t inflate_some(isal_engine *e, ims_engine_io *io, bool *idle) {
  struct inflate_state *s = &e->state;
  const uint32_t in = clamp(io->in_size - io->used), out = clamp(io->out_size - io->made);
  s->next_in = (uint8_t *)(uintptr_t)(io->in + io->used); /* it reads only: the type lacks a const */
  s->avail_in = in;
  s->next_out = io->out + io->made;
  s->avail_out = out;
  int rc = isal_inflate(s);
  if (s->avail_in > in) { /* it counts bits past the end when a code there is invalid */
    s->avail_in = 0;
    rc = rc ? rc : ISAL_INVALID_SYMBOL;
  }
  io->used += in - s->avail_in;
  io->made += out - s->avail_out;
  *idle = in == s->avail_in && out == s->avail_out;
  if (rc != ISAL_DECOMP_OK) {
    io->why = why_of(rc);
    return IMGSTORE_EFORMAT;
  }
  if (s->block_state == ISAL_BLOCK_FINISH) {
    e->any = true;
    *idle = false;
    begin_member(e);
  }
  return IMGSTORE_OK;
}

static int32_t isal_run(void *engine, ims_engine_io *io) {
  isal_engine *e = engine;
  bool idle = false;
  int32_t rc = IMGSTORE_OK;
  while (!rc && !idle && (e->part == PART_DATA || io->used < io->in_size))
    rc = e->part == PART_HEADER ? read_header(e, io) : inflate_some(e, io, &idle);
  return rc;
}

static const char *isal_finish(const void *engine) {
  const isal_engine *e = engine;
  if (e->part == PART_DATA || ims_gzip_header_begun(&e->header))
    return "ends inside a member";
  return e->any ? NULL : "empty stream";
}

const ims_engine ims_engine_gzip_isal = {"isal", isal_open, isal_close, isal_reset, isal_run, isal_finish};

/* --- making ----------------------------------------------------------------------------------------------------------
 */

typedef struct isal_maker {
  const ims_alloc *alloc;
  uint32_t level;
  uint32_t memory_size;
  uint8_t *memory; /* the level's */
  struct isal_zstream stream;
} isal_maker;

static uint32_t memory_of(int32_t level) {
  return level == 1 ? ISAL_DEF_LVL1_DEFAULT : level == 2 ? ISAL_DEF_LVL2_DEFAULT : ISAL_DEF_LVL3_DEFAULT;
}

static void maker_close(void *engine) {
  isal_maker *m = engine;
  ims_free(m->alloc, m->memory);
  ims_free(m->alloc, m);
}

static void *maker_open(const ims_alloc *alloc, int32_t level) {
  isal_maker *m = ims_calloc(alloc, 1, sizeof *m);
  if (!m)
    return NULL;
  m->alloc = alloc;
  m->level = (uint32_t)level;
  m->memory_size = memory_of(level);
  m->memory = ims_calloc(alloc, 1, m->memory_size); /* ISA-L looks at places that it has not written */
  if (m->memory)
    return m;
  maker_close(m);
  return NULL;
}

static int32_t maker_run(void *engine, ims_encode_block *b) {
  isal_maker *m = engine;
  struct isal_zstream *z = &m->stream;
  isal_deflate_init(z);
  z->level = m->level;
  z->level_buf = m->memory;
  z->level_buf_size = m->memory_size;
  z->gzip_flag = IGZIP_DEFLATE;
  z->flush = b->last ? NO_FLUSH : SYNC_FLUSH;
  z->end_of_stream = b->last;
  if (b->history_size &&
      isal_deflate_set_dict(z, (uint8_t *)(uintptr_t)b->in - b->history_size, (uint32_t)b->history_size) != COMP_OK)
    return IMGSTORE_EINVALID;
  z->next_in = (uint8_t *)(uintptr_t)b->in; /* it reads only: the type lacks a const */
  z->avail_in = (uint32_t)b->in_size;
  z->next_out = b->out;
  z->avail_out = (uint32_t)b->room;
  int rc = isal_deflate(z);
  b->made = b->room - z->avail_out;
  b->crc = checksum(0, b->in, b->in_size);
  return rc == COMP_OK && !z->avail_in && z->avail_out ? IMGSTORE_OK : IMGSTORE_EINVALID;
}

const ims_block_engine ims_block_engine_isal = {maker_open, maker_close, maker_run};

#endif
