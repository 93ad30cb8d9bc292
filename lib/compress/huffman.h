/*
 * compress/huffman.h (L1, inside compress/) - codes of limited length for given frequencies. No allocation.
 *
 * The same frequencies give the same code on every machine: symbols of one frequency are ordered by their number.
 */
#ifndef IMS_COMPRESS_HUFFMAN_H
#define IMS_COMPRESS_HUFFMAN_H

#include <stdint.h>

enum { IMS_HUFFMAN_SYMBOLS = 288, IMS_HUFFMAN_BITS = 15 }; /**< the most of both */

/**
 * lengths: of the codes in bits, 1..limit; 0 for what has frequency 0. At least two symbols get a code, so that the
 * code is complete. counts: as many as IMS_HUFFMAN_SYMBOLS; the sum of the frequencies is below 2^23.
 */
void ims_huffman_lengths(const uint32_t *counts, unsigned symbols, unsigned limit, uint8_t *lengths);

/** codes: canonical (RFC 1951, 3.2.2), and with the first bit lowest, as deflate writes them. */
void ims_huffman_codes(const uint8_t *lengths, unsigned symbols, uint16_t *codes);

#endif
