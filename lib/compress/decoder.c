/*
 * compress/decoder.c (L1) - picks an engine, holds it to the limits and says where a stream went wrong. It must not
 * know how any format is decoded.
 */
#include "compress/decoder.h"

#include <string.h>

#include "compress/engine.h"

/* Below this much output the ratio says nothing: files of zeros are common and harmless. */
enum { RATIO_FREE_OUTPUT = 64 << 20 };

struct ims_decoder {
  const ims_alloc *alloc;
  int32_t format;
  const ims_engine *engine; /* NULL for no compression */
  void *state;
  ims_decoder_limits limits;
  uint64_t total_in;
  uint64_t total_out;
  int32_t failed; /* the code of the first failure; later calls give it again */
};

static const ims_engine *find_engine(int32_t format, int32_t engine) {
#if IMS_HAVE_ISAL
  if (format == IMS_FORMAT_GZIP && engine != IMS_ENGINE_ZLIB)
    return &ims_engine_gzip_isal;
#endif
#if IMS_HAVE_ZSTD
  if (format == IMS_FORMAT_ZSTD)
    return &ims_engine_zstd;
#endif
  if (format == IMS_FORMAT_GZIP && engine != IMS_ENGINE_ISAL)
    return &ims_engine_gzip_zlib;
  return NULL;
}

int32_t ims_decoder_new(ims_decoder **decoder, const ims_alloc *alloc, int32_t format, int32_t engine,
                        const ims_decoder_limits *limits, ims_error *err) {
  *decoder = NULL;
  const ims_engine *found = find_engine(format, engine);
  if (!found && format != IMS_FORMAT_NONE)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "%s: this build has no such decoder", ims_format_name(format));
  ims_decoder *d = ims_calloc(alloc, 1, sizeof *d);
  if (!d)
    return ims_fail_nomem(err);
  d->alloc = alloc;
  d->format = format;
  d->engine = found;
  d->limits = *limits;
  if (found && !(d->state = found->open(alloc, limits))) {
    ims_free(alloc, d);
    return ims_fail_nomem(err);
  }
  *decoder = d;
  return IMGSTORE_OK;
}

void ims_decoder_free(ims_decoder *d) {
  if (!d)
    return;
  if (d->engine)
    d->engine->close(d->state);
  ims_free(d->alloc, d);
}

int32_t ims_decoder_reset(ims_decoder *d, ims_error *err) {
  d->total_in = d->total_out = 0;
  d->failed = d->engine ? d->engine->reset(d->state) : IMGSTORE_OK;
  return d->failed ? ims_fail(err, d->failed, "%s: decoder cannot start again", ims_format_name(d->format))
                   : IMGSTORE_OK;
}

static void copy_through(ims_engine_io *io) {
  size_t size = io->in_size < io->out_size ? io->in_size : io->out_size;
  if (size)
    memcpy(io->out, io->in, size);
  io->used = io->made = size;
}

/* Room for one byte over the limit, so that reaching it and passing it can be told apart. */
static size_t allowed_output(const ims_decoder *d, size_t out_size) {
  uint64_t left = d->limits.max_output - d->total_out;
  return left < out_size ? (size_t)left + 1 : out_size;
}

static int32_t check_limits(ims_decoder *d, ims_error *err) {
  const char *name = ims_format_name(d->format);
  if (d->total_out > d->limits.max_output)
    return ims_fail(err, IMGSTORE_ELIMIT, "%s: more than %llu bytes of output", name,
                    (unsigned long long)d->limits.max_output);
  if (d->engine && d->limits.max_ratio && d->total_out > RATIO_FREE_OUTPUT &&
      d->total_out / d->limits.max_ratio > d->total_in)
    return ims_fail(err, IMGSTORE_ELIMIT, "%s: more than %llu bytes of output per byte of input at byte %llu", name,
                    (unsigned long long)d->limits.max_ratio, (unsigned long long)d->total_in);
  return IMGSTORE_OK;
}

static int32_t report(const ims_decoder *d, int32_t code, const char *why, ims_error *err) {
  if (code == IMGSTORE_ENOMEM)
    return ims_fail_nomem(err);
  return ims_fail(err, code, "%s: %s at byte %llu", ims_format_name(d->format), why, (unsigned long long)d->total_in);
}

int32_t ims_decoder_run(ims_decoder *d, const uint8_t *in, size_t in_size, size_t *used, uint8_t *out, size_t out_size,
                        size_t *made, ims_error *err) {
  *used = *made = 0;
  if (d->failed)
    return report(d, d->failed, "failed before", err);
  if (!out_size)
    return IMGSTORE_OK;
  static const uint8_t nothing;
  ims_engine_io io = {.in = in_size ? in : &nothing, .in_size = in_size, .out = out};
  io.out_size = allowed_output(d, out_size);
  int32_t rc = IMGSTORE_OK;
  if (d->engine)
    rc = d->engine->run(d->state, &io);
  else
    copy_through(&io);
  if (!rc && in_size && !io.used && !io.made) {
    io.why = "decoder makes no progress"; /* an engine that broke its promise must not make callers loop */
    rc = IMGSTORE_EFORMAT;
  }
  *used = io.used;
  *made = io.made;
  d->total_in += io.used;
  d->total_out += io.made;
  d->failed = rc ? report(d, rc, io.why, err) : check_limits(d, err);
  return d->failed;
}

int32_t ims_decoder_finish(ims_decoder *d, ims_error *err) {
  if (d->failed)
    return report(d, d->failed, "failed before", err);
  const char *why = d->engine ? d->engine->finish(d->state) : NULL;
  if (why)
    d->failed = report(d, IMGSTORE_EFORMAT, why, err);
  return d->failed;
}

int32_t ims_format_sniff(const uint8_t *data, size_t size) {
  if (size >= 2 && data[0] == 0x1f && data[1] == 0x8b)
    return IMS_FORMAT_GZIP;
  if (size >= 4 && data[0] == 0x28 && data[1] == 0xb5 && data[2] == 0x2f && data[3] == 0xfd)
    return IMS_FORMAT_ZSTD;
  if (size >= 4 && (data[0] & 0xf0) == 0x50 && data[1] == 0x2a && data[2] == 0x4d && data[3] == 0x18)
    return IMS_FORMAT_ZSTD; /* a skippable frame comes first */
  return IMS_FORMAT_NONE;
}

const char *ims_format_name(int32_t format) {
  switch (format) {
  case IMS_FORMAT_GZIP:
    return "gzip";
  case IMS_FORMAT_ZSTD:
    return "zstd";
  default:
    return "none";
  }
}
