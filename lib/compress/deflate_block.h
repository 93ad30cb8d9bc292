/*
 * compress/deflate_block.h (L1, inside compress/) - writes blocks of a deflate stream (RFC 1951). Must not know how
 * matches are found.
 */
#ifndef IMS_COMPRESS_DEFLATE_BLOCK_H
#define IMS_COMPRESS_DEFLATE_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  IMS_TOKENS_MAX = 32 * 1024,
  IMS_DISTANCE_NONE = 31,
  IMS_DEFLATE_MATCH_MIN = 3,
  IMS_DEFLATE_MATCH_MAX = 258,
  IMS_DEFLATE_DISTANCE_MAX = 32768,
  IMS_DEFLATE_SLACK = 64 /**< bytes that a block may take beyond its input, and that are written beyond its end */
};

/**
 * What a block consists of, as it is found: a literal, or a match, in each token. Bits 0..8: a byte, or 256 + the
 * match's length - 3; 9..13: the distance's symbol (IMS_DISTANCE_NONE: a literal); from 14: its extra bits.
 */
typedef struct ims_tokens {
  uint32_t count;
  uint32_t counts[512];         /**< by bits 0..8 */
  uint32_t distance_counts[32]; /**< by bits 9..13 */
  uint32_t list[IMS_TOKENS_MAX];
} ims_tokens;

/** Where the stream goes. Bits that are not yet a whole byte wait in bits. */
typedef struct ims_bit_writer {
  uint8_t *at;
  uint64_t bits; /**< lowest first */
  unsigned held; /**< 0..7 between calls */
} ims_bit_writer;

/** Makes it an empty list. */
void ims_tokens_reset(ims_tokens *t);

/* Those that add a token take and return where in the list the next one goes: a variable of the caller's, which no
   write into the list can change. */

static inline uint32_t *ims_tokens_literal(ims_tokens *t, uint32_t *next, uint8_t byte) {
  t->counts[byte]++;
  *next = (uint32_t)IMS_DISTANCE_NONE << 9 | byte;
  return next + 1;
}

/** Takes back the last token, which is a literal. */
static inline uint32_t *ims_tokens_undo(ims_tokens *t, uint32_t *next) {
  next--;
  t->counts[*next & 255]--;
  return next;
}

/** distance: minus 1. */
static inline uint32_t *ims_tokens_match(ims_tokens *t, uint32_t *next, unsigned length, uint32_t distance) {
  const unsigned extra = distance < 4 ? 0 : 30 - (unsigned)__builtin_clz(distance);
  const uint32_t symbol = 2 * extra + (distance >> extra), low = distance & ((1U << extra) - 1);
  const uint32_t index = 256 + length - IMS_DEFLATE_MATCH_MIN;
  t->counts[index]++;
  t->distance_counts[symbol]++;
  *next = low << 14 | symbol << 9 | index;
  return next + 1;
}

/**
 * One block, in whichever of the three forms is shortest. in: what the tokens describe, size bytes in all, below 2^23.
 * There is room for size + IMS_DEFLATE_SLACK bytes, and 5 for each 65,535 of size.
 */
void ims_deflate_block(ims_bit_writer *w, const uint8_t *in, size_t size, const ims_tokens *tokens, bool last);

/** An empty stored block: the stream continues at a byte boundary. */
void ims_deflate_align(ims_bit_writer *w);

/** Zero bits up to the end of the byte. */
void ims_deflate_pad(ims_bit_writer *w);

#endif
