/*
 * compress/encoder.h (L1) - one interface for making gzip, zstd and uncompressed streams. No I/O.
 *
 * A stream is cut into blocks of a fixed size that are compressed each on its own: one after the other here, or many
 * at once by engine/layer_writer.c. The bytes are the same either way.
 */
#ifndef IMS_COMPRESS_ENCODER_H
#define IMS_COMPRESS_ENCODER_H

#include "base/alloc.h"
#include "base/error.h"

enum {
  IMS_ENCODE_NONE = 0,
  IMS_ENCODE_GZIP = 1,      /**< level 1 by an encoder of our own: the same bytes on every machine; above by zlib */
  IMS_ENCODE_GZIP_FAST = 2, /**< by ISA-L where it is built in, else as level 1 */
  IMS_ENCODE_ZSTD = 3
};

/* --- a stream --------------------------------------------------------------------------------------------------------
 */

typedef struct ims_encoder ims_encoder;

/**
 * level: 0 for the default (1, 1, 3); 1..9 (gzip), 1..3 (fast gzip), 1..19 (zstd). Of gzip, level 6 takes ten times as
 * long as level 1 and makes layers an eighth smaller.
 * Errors: IMGSTORE_EINVALID (how, level), IMGSTORE_EUNSUPPORTED (zstd is not built in), IMGSTORE_ENOMEM.
 */
int32_t ims_encoder_new(ims_encoder **encoder, const ims_alloc *alloc, int32_t how, int32_t level, ims_error *err);
void ims_encoder_free(ims_encoder *encoder);
/** *used: input bytes taken; *made: output bytes written. With input and room it always takes or makes something. */
int32_t ims_encoder_run(ims_encoder *encoder, const uint8_t *in, size_t size, size_t *used, uint8_t *out, size_t room,
                        size_t *made, ims_error *err);
/** The input has ended: writes what is left; again until *done. */
int32_t ims_encoder_finish(ims_encoder *encoder, uint8_t *out, size_t room, size_t *made, bool *done, ims_error *err);

/* --- blocks ----------------------------------------------------------------------------------------------------------
 */

enum {
  IMS_ENCODE_HISTORY = 32 * 1024, /**< most bytes of the block before that a block refers to */
  IMS_ENCODE_EDGE = 16            /**< room for a head or a tail */
};

typedef struct ims_block_encoder ims_block_encoder;

/** One block: all but last have ims_encode_block_size bytes; an empty last one is right. */
typedef struct ims_encode_block {
  const uint8_t *in;
  size_t history_size; /**< bytes right before `in` that come before it in the stream: 0..IMS_ENCODE_HISTORY, as many as
                          there are */
  size_t in_size;
  bool last;
  uint8_t *out;
  size_t room;  /**< ims_encode_block_room bytes */
  size_t made;  /**< set by run */
  uint32_t crc; /**< of in, for the tail; set by run */
} ims_encode_block;

/** The state that one thread compresses blocks with. Errors as of ims_encoder_new; how may not be NONE. */
int32_t ims_block_encoder_new(ims_block_encoder **encoder, const ims_alloc *alloc, int32_t how, int32_t level,
                              ims_error *err);
void ims_block_encoder_free(ims_block_encoder *encoder);
int32_t ims_block_encoder_run(ims_block_encoder *encoder, ims_encode_block *block, ims_error *err);
size_t ims_encode_block_size(int32_t how);
size_t ims_encode_block_room(int32_t how);
/** What comes before the first and after the last block; the bytes of it. crc: of all blocks, joined in order. */
size_t ims_encode_head(int32_t how, uint8_t out[IMS_ENCODE_EDGE]);
size_t ims_encode_tail(int32_t how, uint32_t crc, uint64_t total, uint8_t out[IMS_ENCODE_EDGE]);
/** The check of two pieces one after the other, of which the second has size bytes. */
uint32_t ims_encode_crc_join(uint32_t first, uint32_t second, uint64_t size);

#endif
