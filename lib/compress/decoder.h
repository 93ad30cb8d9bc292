/*
 * compress/decoder.h (L1) - one interface for gzip, zstd and no compression, with limits. No I/O.
 */
#ifndef IMS_COMPRESS_DECODER_H
#define IMS_COMPRESS_DECODER_H

#include "base/alloc.h"
#include "base/error.h"

enum { IMS_FORMAT_NONE = 0, IMS_FORMAT_GZIP = 1, IMS_FORMAT_ZSTD = 2 };
/** Which gzip engine: the build's best, or one by name (tests compare them). */
enum { IMS_ENGINE_BEST = 0, IMS_ENGINE_ZLIB = 1, IMS_ENGINE_ISAL = 2 };

typedef struct ims_decoder_limits {
  uint64_t max_output; /**< bytes */
  uint64_t max_ratio;  /**< output bytes per input byte, checked after 64 MiB of output */
  uint64_t max_window; /**< zstd window, bytes */
} ims_decoder_limits;

typedef struct ims_decoder ims_decoder;

/** Errors: IMGSTORE_ENOMEM, IMGSTORE_EUNSUPPORTED (zstd not built in, engine not built in). */
int32_t ims_decoder_new(ims_decoder **decoder, const ims_alloc *alloc, int32_t format, int32_t engine,
                        const ims_decoder_limits *limits, ims_error *err);
void ims_decoder_free(ims_decoder *decoder);
/** Makes it ready for a new stream of the same format, keeping its memory. */
int32_t ims_decoder_reset(ims_decoder *decoder, ims_error *err);
/**
 * Decodes. *used: input bytes taken; *made: output bytes written. With room in out and input left it always takes or
 * makes something. Output may be pending when used == in_size and made == out_size: call again with in_size 0.
 * Errors: IMGSTORE_EFORMAT (what is wrong and at which input byte), IMGSTORE_ELIMIT, IMGSTORE_ENOMEM.
 */
int32_t ims_decoder_run(ims_decoder *decoder, const uint8_t *in, size_t in_size, size_t *used, uint8_t *out,
                        size_t out_size, size_t *made, ims_error *err);
/** The input has ended (and run with in_size 0 makes nothing more): IMGSTORE_EFORMAT when inside a member or empty
 * gzip/zstd. */
int32_t ims_decoder_finish(ims_decoder *decoder, ims_error *err);
/** Which format the first bytes (at least 4 unless the blob is shorter) look like; NONE for anything else. */
int32_t ims_format_sniff(const uint8_t *data, size_t size);
/** "gzip", "zstd", "none". */
const char *ims_format_name(int32_t format);

#endif
