/*
 * compress/engine.h (L1, inside compress/) - what a decompression engine offers to decoder.c.
 *
 * An engine decodes a whole stream: every gzip member, every zstd frame. Limits on output are decoder.c's business.
 */
#ifndef IMS_COMPRESS_ENGINE_H
#define IMS_COMPRESS_ENGINE_H

#include "compress/decoder.h"
#include "config.h"

/** One call's work: what is given, what was done with it, and why it failed. */
typedef struct ims_engine_io {
  const uint8_t *in;
  size_t in_size;
  uint8_t *out;
  size_t out_size;
  size_t used;     /**< of in_size */
  size_t made;     /**< of out_size */
  const char *why; /**< after a failure: what is wrong, static text */
} ims_engine_io;

typedef struct ims_engine {
  const char *name;
  /** NULL when out of memory. */
  void *(*open)(const ims_alloc *alloc, const ims_decoder_limits *limits);
  void (*close)(void *engine);
  /** Ready for a new stream. */
  int32_t (*reset)(void *engine);
  /** IMGSTORE_OK, IMGSTORE_EFORMAT, IMGSTORE_ELIMIT (why set) or IMGSTORE_ENOMEM. used and made are 0 at entry. */
  int32_t (*run)(void *engine, ims_engine_io *io);
  /** NULL, or what is wrong with a stream that ends here. */
  const char *(*finish)(const void *engine);
} ims_engine;

extern const ims_engine ims_engine_gzip_zlib;
#if IMS_HAVE_ISAL
extern const ims_engine ims_engine_gzip_isal;
#endif
#if IMS_HAVE_ZSTD
extern const ims_engine ims_engine_zstd;
#endif

#endif
