/*
 * compress/deflate.c (L1) - the deflate encoder whose output this library answers for: the bytes depend on the input
 * alone, not on a release of zlib, a processor or a byte order. It trades size for speed as zlib's level 1 does.
 *
 * Positions are looked up by a hash of the bytes there; a table keeps the last position of each hash. A match is taken
 * where it is found, and as long as it is. Where nothing is found for a while the steps become longer. Everything is a
 * function of the block and of the 32 KiB before it, because a table that lived longer would make the bytes depend on
 * which thread compressed which block.
 */
#include <string.h>

#include "compress/block_engine.h"
#include "compress/deflate_block.h"
#include "compress/little_endian.h"

enum { TABLE_BITS = 13, WORD = 8, LOOK = WORD + 1, STEP_SHIFT = 6 };

typedef struct deflate_maker {
  const ims_alloc *alloc;
  uint16_t table[1 << TABLE_BITS]; /**< the low bits of offsets from base */
  ims_tokens tokens;
} deflate_maker;

/** A search through one block of the encoder. */
typedef struct search {
  uint16_t *table;
  ims_tokens *tokens;
  uint32_t *next;      /**< where the next token goes */
  const uint8_t *base; /**< where the history begins */
  const uint8_t *at;   /**< what is before it has tokens */
  const uint8_t *end;
} search;

static void *maker_open(const ims_alloc *alloc, int32_t level) {
  (void)level;
  deflate_maker *m = ims_malloc(alloc, sizeof *m);
  if (m)
    m->alloc = alloc;
  return m;
}

static void maker_close(void *engine) {
  deflate_maker *m = engine;
  ims_free(m->alloc, m);
}

/* --- matches ---------------------------------------------------------------------------------------------------------
 */

/** Of five bytes. */
static inline uint32_t hash_of(uint64_t word) {
  return (uint32_t)((word << 24) * 0x9e3779b185ebca87U >> (64 - TABLE_BITS));
}

/** The last position with this hash, at most 64 KiB back; base when there is none. It becomes `at`. */
static inline const uint8_t *exchange(search *s, const uint8_t *at, uint32_t hash) {
  const size_t offset = (size_t)(at - s->base);
  const size_t back = (uint16_t)(offset - s->table[hash]);
  s->table[hash] = (uint16_t)offset;
  return back <= offset ? at - back : s->base;
}

/** The list has room for what is added between two questions. */
static inline bool is_full(const search *s) {
  return s->next >= s->tokens->list + IMS_TOKENS_MAX - (IMS_TOKENS_MAX >> STEP_SHIFT) - 2 * LOOK;
}

static inline void note(search *s, const uint8_t *at) {
  s->table[hash_of(ims_load_le64(at))] = (uint16_t)(at - s->base);
}

static inline bool is_near(const uint8_t *at, const uint8_t *from) {
  return (size_t)(at - from - 1) < IMS_DEFLATE_DISTANCE_MAX; /* at itself is not */
}

/** How many bytes are equal. Those of the first word differ in `differ`. */
static inline unsigned match_length(const uint8_t *at, const uint8_t *from, uint64_t differ, const uint8_t *end) {
  const unsigned most = (size_t)(end - at) < IMS_DEFLATE_MATCH_MAX ? (unsigned)(end - at) : IMS_DEFLATE_MATCH_MAX;
  unsigned n = 0;
  while (!differ) {
    n += WORD;
    if (n + WORD > most) {
      while (n < most && at[n] == from[n])
        n++;
      return n;
    }
    differ = ims_load_le64(at + n) ^ ims_load_le64(from + n);
  }
  return n + ((unsigned)__builtin_ctzll(differ) >> 3);
}

/** Literals up to `until`. */
static inline void pass(search *s, const uint8_t *until) {
  while (s->at < until)
    s->next = ims_tokens_literal(s->tokens, s->next, *s->at++);
}

/** Tokens for a match, and for what follows it at the same distance where it is longer than one token can say. */
static inline void take(search *s, const uint8_t *at, const uint8_t *from, uint64_t differ) {
  const uint32_t distance = (uint32_t)(at - from - 1);
  const uint8_t *start = at;
  unsigned length = match_length(at, from, differ, s->end);
  for (;;) {
    s->next = ims_tokens_match(s->tokens, s->next, length, distance);
    at += length;
    if (length < IMS_DEFLATE_MATCH_MAX || s->end - at < LOOK || is_full(s))
      break;
    differ = ims_load_le64(at) ^ ims_load_le64(at - distance - 1);
    if ((uint32_t)differ)
      break;
    length = match_length(at, at - distance - 1, differ, s->end);
  }
  s->at = at;
  if (s->end - at >= LOOK) {
    note(s, start + 2);
    note(s, at - 1);
  }
}

/**
 * Looks at two positions at once, which keeps the processor busy while it waits for either: a literal for each, or up
 * to a match one match. False: nothing was found.
 */
static inline bool look(search *s) {
  const uint8_t *at = s->at;
  const uint64_t word = ims_load_le64(at), next = ims_load_le64(at + 1);
  const uint32_t hash = hash_of(word), next_hash = hash_of(next);
  const uint8_t *from = exchange(s, at, hash), *next_from = exchange(s, at + 1, next_hash);
  uint64_t differ = word ^ ims_load_le64(from);
  const uint64_t next_differ = next ^ ims_load_le64(next_from);
  s->next = ims_tokens_literal(s->tokens, s->next, at[0]);
  s->next = ims_tokens_literal(s->tokens, s->next, at[1]);
  s->at += 2;
  if ((uint32_t)differ && (uint32_t)next_differ)
    return false;
  const bool second = (uint32_t)differ || !is_near(at, from);
  if (second) {
    at++;
    from = next_from;
    differ = next_differ;
    if ((uint32_t)differ || !is_near(at, from))
      return false;
  }
  s->next = ims_tokens_undo(s->tokens, s->next);
  if (!second)
    s->next = ims_tokens_undo(s->tokens, s->next);
  take(s, at, from, differ);
  return true;
}

/** Tokens for what comes next: until the list is full or everything has one. */
static void fill_tokens(search *origin) {
  search s = *origin; /* in registers */
  const uint8_t *searchable = s.end - s.at < LOOK ? s.at : s.end - LOOK + 1, *found = s.at;
  s.next = s.tokens->list;
  while (s.at < searchable && !is_full(&s)) {
    if (look(&s)) {
      found = s.at;
      continue;
    }
    const size_t step = (size_t)(s.at - found) >> STEP_SHIFT;
    if (step)
      pass(&s, (size_t)(s.end - s.at) < step ? s.end : s.at + step);
  }
  if (!is_full(&s))
    pass(&s, s.end);
  s.tokens->count = (uint32_t)(s.next - s.tokens->list);
  *origin = s;
}

static void prime(search *s, const uint8_t *until) {
  memset(s->table, 0, sizeof(uint16_t) << TABLE_BITS);
  for (const uint8_t *at = s->base; at < until; at += 2)
    note(s, at);
}

static int32_t maker_run(void *engine, ims_encode_block *b) {
  deflate_maker *m = engine;
  search s = {
      .table = m->table, .tokens = &m->tokens, .base = b->in - b->history_size, .at = b->in, .end = b->in + b->in_size};
  ims_bit_writer w = {.at = b->out};
  if (b->room < b->in_size + b->in_size / 1024 + 2 * (size_t)IMS_DEFLATE_SLACK)
    return IMGSTORE_EINVALID;
  prime(&s, b->in_size < WORD ? s.base : b->in);
  do {
    const uint8_t *start = s.at;
    ims_tokens_reset(&m->tokens);
    fill_tokens(&s);
    ims_deflate_block(&w, start, (size_t)(s.at - start), &m->tokens, b->last && s.at == s.end);
  } while (s.at < s.end);
  if (b->last)
    ims_deflate_pad(&w);
  else
    ims_deflate_align(&w);
  b->made = (size_t)(w.at - b->out);
  b->crc = ims_crc32(0, b->in, b->in_size);
  return IMGSTORE_OK;
}

const ims_block_engine ims_block_engine_deflate = {maker_open, maker_close, maker_run};
