/*
 * compress/block_engine.h (L1, inside compress/) - what a compression engine offers to encoder.c: one block at a time.
 */
#ifndef IMS_COMPRESS_BLOCK_ENGINE_H
#define IMS_COMPRESS_BLOCK_ENGINE_H

#include "compress/encoder.h"
#include "config.h"

typedef struct ims_block_engine {
  /** NULL when out of memory. */
  void *(*open)(const ims_alloc *alloc, int32_t level);
  void (*close)(void *engine);
  /** Sets made and crc. IMGSTORE_OK, IMGSTORE_ENOMEM, or IMGSTORE_EINVALID for a room that is too small. */
  int32_t (*run)(void *engine, ims_encode_block *block);
} ims_block_engine;

extern const ims_block_engine ims_block_engine_deflate;
extern const ims_block_engine ims_block_engine_zlib;
#if IMS_HAVE_ISAL
extern const ims_block_engine ims_block_engine_isal;
#endif
#if IMS_HAVE_ZSTD
extern const ims_block_engine ims_block_engine_zstd;
#endif

/** The check of gzip members, by zlib. crc: of what came before, 0 at the start. */
uint32_t ims_crc32(uint32_t crc, const uint8_t *data, size_t size);

#endif
