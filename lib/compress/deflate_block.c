/*
 * compress/deflate_block.c (L1) - from sequences to the bits of one block: counting, choosing codes, writing.
 */
#include "compress/deflate_block.h"

#include <string.h>

#include "compress/huffman.h"
#include "compress/little_endian.h"

enum { STORED = 0, FIXED = 1, DYNAMIC = 2 };
enum {
  LITERALS = 256,
  END = 256,
  LENGTH_FIRST = 257,
  LENGTH_LAST = 285,
  SYMBOLS = 286,
  DISTANCES = 30,
  LENGTHS_OF_CODES = 19
};
enum { REPEAT_LAST = 16, ZEROS_SHORT = 17, ZEROS_LONG = 18 };
enum { STORED_MAX = 65535, LENGTH_INDEXES = 256 };

/** A prefix code. */
typedef struct code {
  uint16_t bits[IMS_HUFFMAN_SYMBOLS];
  uint8_t length[IMS_HUFFMAN_SYMBOLS];
} code;

/** A run-length coded list of code lengths: symbols 0..18, and the value of their extra bits. */
typedef struct code_list {
  uint8_t symbol[SYMBOLS + DISTANCES];
  uint8_t extra[SYMBOLS + DISTANCES];
  unsigned count;
} code_list;

typedef struct block {
  const uint8_t *in;
  size_t size;
  const ims_tokens *tokens;
  uint32_t literal_counts[SYMBOLS], distance_counts[DISTANCES];
  code literals, distances;
} block;

/* --- bits ------------------------------------------------------------------------------------------------------------
 */

static inline void add(ims_bit_writer *w, uint64_t bits, unsigned count) {
  w->bits |= bits << w->held;
  w->held += count;
}

static inline void flush(ims_bit_writer *w) {
  ims_store_le64(w->at, w->bits);
  w->at += w->held >> 3;
  w->bits >>= w->held & ~7U;
  w->held &= 7;
}

static void put(ims_bit_writer *w, uint32_t bits, unsigned count) {
  add(w, bits, count);
  flush(w);
}

void ims_deflate_pad(ims_bit_writer *w) {
  put(w, 0, -w->held & 7);
}

static void put_stored(ims_bit_writer *w, const uint8_t *in, size_t size, bool last) {
  put(w, last, 3);
  ims_deflate_pad(w);
  put(w, (uint32_t)size | (uint32_t)(size ^ 0xffff) << 16, 32);
  if (size)
    memcpy(w->at, in, size);
  w->at += size;
}

void ims_deflate_align(ims_bit_writer *w) {
  put_stored(w, NULL, 0, false);
}

/* --- symbols of matches (RFC 1951, 3.2.5) ----------------------------------------------------------------------------
 */

/** length: minus 3. Four symbols for each power of two. */
static unsigned length_symbol(unsigned length) {
  const unsigned extra = length < 8 ? 0 : 29 - (unsigned)__builtin_clz(length);
  return length == LENGTH_INDEXES - 1 ? LENGTH_LAST : LENGTH_FIRST + 4 * extra + (length >> extra);
}

static unsigned length_extra(unsigned symbol) {
  const unsigned at = symbol - LENGTH_FIRST;
  return at < 8 || symbol == LENGTH_LAST ? 0 : at / 4 - 1;
}

static unsigned distance_extra(unsigned symbol) {
  return symbol < 4 ? 0 : symbol / 2 - 1;
}

void ims_tokens_reset(ims_tokens *t) {
  t->count = 0;
  memset(t->counts, 0, sizeof t->counts);
  memset(t->distance_counts, 0, sizeof t->distance_counts);
}

static void count_symbols(block *b) {
  memcpy(b->literal_counts, b->tokens->counts, LITERALS * sizeof *b->literal_counts);
  for (unsigned i = 0; i < LENGTH_INDEXES; i++)
    b->literal_counts[length_symbol(i)] += b->tokens->counts[LITERALS + i];
  b->literal_counts[END] = 1;
  memcpy(b->distance_counts, b->tokens->distance_counts, sizeof b->distance_counts);
}

/* --- what the forms cost ---------------------------------------------------------------------------------------------
 */

static uint64_t body_cost(const block *b, const uint8_t *literal_lengths, const uint8_t *distance_lengths) {
  uint64_t bits = 0;
  for (unsigned s = 0; s < SYMBOLS; s++)
    bits += (uint64_t)b->literal_counts[s] * (literal_lengths[s] + (s < LENGTH_FIRST ? 0 : length_extra(s)));
  for (unsigned s = 0; s < DISTANCES; s++)
    bits += (uint64_t)b->distance_counts[s] * (distance_lengths[s] + distance_extra(s));
  return bits;
}

static void fixed_lengths(uint8_t *literals, uint8_t *distances) {
  memset(literals, 8, IMS_HUFFMAN_SYMBOLS);
  memset(literals + 144, 9, 112);
  memset(literals + 256, 7, 24);
  memset(distances, 5, DISTANCES);
}

/* --- the codes of a dynamic block (RFC 1951, 3.2.7) ------------------------------------------------------------------
 */

static void list_add(code_list *list, unsigned symbol, unsigned extra) {
  list->symbol[list->count] = (uint8_t)symbol;
  list->extra[list->count++] = (uint8_t)extra;
}

static void list_run(code_list *list, unsigned length, unsigned run) {
  while (!length && run >= 3) {
    const unsigned part = run < 138 ? run : 138;
    list_add(list, part < 11 ? ZEROS_SHORT : ZEROS_LONG, part - (part < 11 ? 3 : 11));
    run -= part;
  }
  if (length && run) {
    list_add(list, length, 0);
    run--;
  }
  while (length && run >= 3) {
    const unsigned part = run < 6 ? run : 6;
    list_add(list, REPEAT_LAST, part - 3);
    run -= part;
  }
  for (; run; run--)
    list_add(list, length, 0);
}

static void list_lengths(code_list *list, const uint8_t *lengths, unsigned count) {
  list->count = 0;
  for (unsigned at = 0, end; at < count; at = end) {
    for (end = at + 1; end < count && lengths[end] == lengths[at];)
      end++;
    list_run(list, lengths[at], end - at);
  }
}

static unsigned list_extra_bits(unsigned symbol) {
  return symbol < REPEAT_LAST ? 0 : symbol == REPEAT_LAST ? 2 : symbol == ZEROS_SHORT ? 3 : 7;
}

/** What stands before the body of a dynamic block. */
typedef struct preamble {
  unsigned literals, distances, lengths; /* how many of each are listed */
  code_list list;
  code code;
} preamble;

static const uint8_t length_order[LENGTHS_OF_CODES] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                       11, 4,  12, 3, 13, 2, 14, 1, 15};

static unsigned without_zeros(const uint8_t *lengths, unsigned count, unsigned least) {
  while (count > least && !lengths[count - 1])
    count--;
  return count;
}

/** Returns how many bits it takes. */
static uint64_t make_preamble(preamble *p, const block *b) {
  uint8_t all[SYMBOLS + DISTANCES];
  uint32_t counts[LENGTHS_OF_CODES] = {0};
  p->literals = without_zeros(b->literals.length, SYMBOLS, LENGTH_FIRST);
  p->distances = without_zeros(b->distances.length, DISTANCES, 1);
  memcpy(all, b->literals.length, p->literals);
  memcpy(all + p->literals, b->distances.length, p->distances);
  list_lengths(&p->list, all, p->literals + p->distances);
  for (unsigned i = 0; i < p->list.count; i++)
    counts[p->list.symbol[i]]++;
  ims_huffman_lengths(counts, LENGTHS_OF_CODES, 7, p->code.length);
  ims_huffman_codes(p->code.length, LENGTHS_OF_CODES, p->code.bits);
  p->lengths = LENGTHS_OF_CODES;
  while (p->lengths > 4 && !p->code.length[length_order[p->lengths - 1]])
    p->lengths--;
  uint64_t bits = 5 + 5 + 4 + 3 * p->lengths;
  for (unsigned i = 0; i < LENGTHS_OF_CODES; i++)
    bits += (uint64_t)counts[i] * (p->code.length[i] + list_extra_bits(i));
  return bits;
}

static void put_preamble(ims_bit_writer *w, const preamble *p) {
  put(w, p->literals - LENGTH_FIRST, 5);
  put(w, p->distances - 1, 5);
  put(w, p->lengths - 4, 4);
  for (unsigned i = 0; i < p->lengths; i++)
    put(w, p->code.length[length_order[i]], 3);
  for (unsigned i = 0; i < p->list.count; i++) {
    const unsigned symbol = p->list.symbol[i];
    put(w, p->code.bits[symbol], p->code.length[symbol]);
    put(w, p->list.extra[i], list_extra_bits(symbol));
  }
}

/* --- the body --------------------------------------------------------------------------------------------------------
 */

/** Bits and how many they are, of each part of a token. */
typedef struct token_codes {
  uint32_t first[LITERALS + LENGTH_INDEXES]; /**< bits 0..23; 24..31: their number */
  uint32_t distance[IMS_DISTANCE_NONE + 1];  /**< bits 0..15; 16..23: their number; 24..31: that of the extra bits */
} token_codes;

static void join_codes(token_codes *t, const block *b) {
  for (unsigned i = 0; i < LITERALS; i++)
    t->first[i] = b->literals.bits[i] | (uint32_t)b->literals.length[i] << 24;
  for (unsigned i = 0; i < LENGTH_INDEXES; i++) {
    const unsigned symbol = length_symbol(i), length = b->literals.length[symbol], extra = length_extra(symbol);
    const uint32_t low = i & ((1U << extra) - 1);
    t->first[LITERALS + i] = b->literals.bits[symbol] | low << length | (uint32_t)(length + extra) << 24;
  }
  memset(t->distance, 0, sizeof t->distance);
  for (unsigned i = 0; i < DISTANCES; i++)
    t->distance[i] = b->distances.bits[i] | (uint32_t)b->distances.length[i] << 16 | distance_extra(i) << 24;
}

/* The same steps for literals and matches: a processor guesses badly which it will be. */
static void put_body(ims_bit_writer *writer, const block *b) {
  ims_bit_writer w = *writer;
  token_codes codes;
  join_codes(&codes, b);
  const uint32_t *token = b->tokens->list, *end = token + b->tokens->count;
  for (; token < end; token++) {
    const uint32_t first = codes.first[*token & 511], distance = codes.distance[*token >> 9 & 31];
    add(&w, first & 0xffffff, first >> 24);
    add(&w, distance & 0xffff, distance >> 16 & 255);
    add(&w, *token >> 14, distance >> 24);
    flush(&w);
  }
  put(&w, b->literals.bits[END], b->literals.length[END]);
  *writer = w;
}

static void put_coded(ims_bit_writer *w, block *b, const preamble *p, bool last) {
  put(w, (uint32_t)last | (p ? DYNAMIC : FIXED) << 1, 3);
  if (p)
    put_preamble(w, p);
  ims_huffman_codes(b->literals.length, p ? SYMBOLS : IMS_HUFFMAN_SYMBOLS, b->literals.bits);
  ims_huffman_codes(b->distances.length, DISTANCES, b->distances.bits);
  put_body(w, b);
}

static uint64_t stored_cost(size_t size) {
  return 8 * ((uint64_t)size + 5 * (size / STORED_MAX + 1));
}

static void put_all_stored(ims_bit_writer *w, const uint8_t *in, size_t size, bool last) {
  do {
    const size_t part = size < STORED_MAX ? size : STORED_MAX;
    put_stored(w, in, part, last && part == size);
    in += part;
    size -= part;
  } while (size);
}

void ims_deflate_block(ims_bit_writer *w, const uint8_t *in, size_t size, const ims_tokens *tokens, bool last) {
  block b = {.in = in, .size = size, .tokens = tokens};
  uint8_t fixed_literals[IMS_HUFFMAN_SYMBOLS], fixed_distances[DISTANCES];
  preamble p;
  count_symbols(&b);
  ims_huffman_lengths(b.literal_counts, SYMBOLS, IMS_HUFFMAN_BITS, b.literals.length);
  ims_huffman_lengths(b.distance_counts, DISTANCES, IMS_HUFFMAN_BITS, b.distances.length);
  fixed_lengths(fixed_literals, fixed_distances);
  const uint64_t dynamic = make_preamble(&p, &b) + body_cost(&b, b.literals.length, b.distances.length);
  const uint64_t fixed = body_cost(&b, fixed_literals, fixed_distances);
  if (stored_cost(size) <= (dynamic < fixed ? dynamic : fixed)) {
    put_all_stored(w, in, size, last);
  } else if (fixed <= dynamic) {
    memcpy(b.literals.length, fixed_literals, sizeof fixed_literals);
    memcpy(b.distances.length, fixed_distances, sizeof fixed_distances);
    put_coded(w, &b, NULL, last);
  } else {
    put_coded(w, &b, &p, last);
  }
}
