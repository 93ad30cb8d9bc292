/*
 * compress/huffman.c (L1) - length-limited prefix codes. Must not know what is coded.
 *
 * The lengths of an unlimited code come from one array of sorted frequencies that becomes, in place, the parents of the
 * tree's nodes and then the nodes' depths (Moffat and Katajainen, 1995). Only how many codes have which length matters
 * after that; codes that are too long are shortened there, and others lengthened, until the code is complete again.
 */
#include "compress/huffman.h"

#include <stdbool.h>
#include <string.h>

enum { SYMBOL_BITS = 9, SYMBOL_MASK = (1 << SYMBOL_BITS) - 1 };

/** Ascending; every value is there once, so that any way of sorting gives the same. */
static void sort(uint32_t *values, unsigned count) {
  static const unsigned gaps[] = {132, 57, 23, 10, 4, 1};
  for (unsigned g = 0; g < sizeof gaps / sizeof *gaps; g++)
    for (unsigned i = gaps[g]; i < count; i++) {
      const uint32_t value = values[i];
      unsigned at = i;
      for (; at >= gaps[g] && values[at - gaps[g]] > value; at -= gaps[g])
        values[at] = values[at - gaps[g]];
      values[at] = value;
    }
}

/** The symbols that have a frequency, as frequency and number in one value. Two at least. */
static unsigned collect(const uint32_t *counts, unsigned symbols, uint32_t *found) {
  unsigned count = 0;
  for (unsigned s = 0; s < symbols; s++)
    if (counts[s])
      found[count++] = counts[s] << SYMBOL_BITS | s;
  for (unsigned s = 0; s < symbols && count < 2; s++)
    if (!counts[s])
      found[count++] = (uint32_t)1 << SYMBOL_BITS | s;
  return count;
}

/** Joins the two lightest nodes, again and again: weights[i] becomes the parent of inner node i. */
static void join(uint32_t *weights, unsigned count) {
  unsigned leaf = 0, inner = 0;
  for (unsigned made = 0; made + 1 < count; made++) {
    uint32_t sum = 0;
    for (int child = 0; child < 2; child++) {
      if (leaf < count && (inner >= made || weights[leaf] <= weights[inner])) {
        sum += weights[leaf++];
      } else {
        sum += weights[inner];
        weights[inner++] = made;
      }
    }
    weights[made] = sum;
  }
}

/** From parents to how many leaves there are at each depth; what is deeper than limit counts there. */
static void count_depths(uint32_t *parents, unsigned count, unsigned limit, unsigned *at_depth) {
  unsigned open = 1, left = count;
  int node = (int)count - 2;
  parents[node] = 0; /* the root's depth */
  for (int i = node - 1; i >= 0; i--)
    parents[i] = parents[parents[i]] + 1;
  for (unsigned depth = 0; left; depth++) {
    unsigned inner = 0;
    for (; node >= 0 && parents[node] == depth; node--)
      inner++;
    at_depth[depth < limit ? depth : limit] += open - inner;
    left -= open - inner;
    open = 2 * inner;
  }
}

/** The codes that were cut to limit bits take more room than there is: others become longer until they fit. */
static void fit(unsigned *at_depth, unsigned limit) {
  uint32_t taken = 0;
  for (unsigned depth = 1; depth <= limit; depth++)
    taken += (uint32_t)at_depth[depth] << (limit - depth);
  for (; taken > (uint32_t)1 << limit; taken--) {
    unsigned depth = limit - 1;
    while (!at_depth[depth])
      depth--;
    at_depth[depth]--; /* it and one of the longest become the two children of where it was */
    at_depth[depth + 1] += 2;
    at_depth[limit]--;
  }
}

void ims_huffman_lengths(const uint32_t *counts, unsigned symbols, unsigned limit, uint8_t *lengths) {
  uint32_t found[IMS_HUFFMAN_SYMBOLS], weights[IMS_HUFFMAN_SYMBOLS];
  unsigned at_depth[IMS_HUFFMAN_BITS + 1] = {0};
  const unsigned count = collect(counts, symbols, found);
  sort(found, count);
  for (unsigned i = 0; i < count; i++)
    weights[i] = found[i] >> SYMBOL_BITS;
  join(weights, count);
  count_depths(weights, count, limit, at_depth);
  fit(at_depth, limit);
  memset(lengths, 0, symbols);
  unsigned next = 0;
  for (unsigned depth = limit; depth; depth--)
    for (unsigned i = 0; i < at_depth[depth]; i++)
      lengths[found[next++] & SYMBOL_MASK] = (uint8_t)depth;
}

static uint16_t reverse(uint32_t code, unsigned bits) {
  uint32_t out = 0;
  for (unsigned i = 0; i < bits; i++)
    out |= (code >> i & 1) << (bits - 1 - i);
  return (uint16_t)out;
}

void ims_huffman_codes(const uint8_t *lengths, unsigned symbols, uint16_t *codes) {
  uint32_t next[IMS_HUFFMAN_BITS + 2] = {0}, of_length[IMS_HUFFMAN_BITS + 1] = {0};
  for (unsigned s = 0; s < symbols; s++)
    of_length[lengths[s]]++;
  of_length[0] = 0;
  for (unsigned bits = 1; bits <= IMS_HUFFMAN_BITS; bits++)
    next[bits + 1] = (next[bits] + of_length[bits]) << 1;
  for (unsigned s = 0; s < symbols; s++)
    codes[s] = lengths[s] ? reverse(next[lengths[s]]++, lengths[s]) : 0;
}
