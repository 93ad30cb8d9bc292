/*
 * hash/sha256_x86.c (L1) - SHA-256 blocks with the SHA instructions of x86-64. Compiled for them by function
 * attributes, run only after cpuid said yes. It knows nothing of streams and padding.
 */
#include "hash/kernel.h"

#ifdef IMS_SHA256_X86

#include <cpuid.h>
#include <immintrin.h>

enum { LEAF1_ECX_SSSE3 = 1 << 9, LEAF1_ECX_SSE41 = 1 << 19, LEAF7_EBX_SHA = 1 << 29 };

int ims_sha256_x86_usable(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & LEAF1_ECX_SSSE3) || !(c & LEAF1_ECX_SSE41))
    return 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & LEAF7_EBX_SHA);
}

#define SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))

/* Four rounds on message words m[4i..4i+3]; the instruction does two at a time on the low half. */
#define ROUNDS4(i, m)                                                                                                  \
  do {                                                                                                                 \
    __m128i wk = _mm_add_epi32(m, _mm_loadu_si128((const __m128i *)(const void *)(ims_sha256_constants + 4 * (i))));   \
    cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);                                                                      \
    abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));                                             \
  } while (0)

/* Replaces the oldest four message words by the four that come 16 later. */
#define SCHEDULE(oldest, second, third, newest)                                                                        \
  (oldest) = _mm_sha256msg2_epu32(                                                                                     \
      _mm_add_epi32(_mm_sha256msg1_epu32(oldest, second), _mm_alignr_epi8(newest, third, 4)), newest)

#define ROUNDS16(i)                                                                                                    \
  do {                                                                                                                 \
    ROUNDS4(i, m0);                                                                                                    \
    SCHEDULE(m0, m1, m2, m3);                                                                                          \
    ROUNDS4((i) + 1, m1);                                                                                              \
    SCHEDULE(m1, m2, m3, m0);                                                                                          \
    ROUNDS4((i) + 2, m2);                                                                                              \
    SCHEDULE(m2, m3, m0, m1);                                                                                          \
    ROUNDS4((i) + 3, m3);                                                                                              \
    SCHEDULE(m3, m0, m1, m2);                                                                                          \
  } while (0)

SHA_TARGET static __m128i load_words(const uint8_t *data) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)data), big_endian);
}

SHA_TARGET void ims_sha256_x86_blocks(uint32_t state[8], const uint8_t *data, size_t blocks) {
  __m128i *words = (__m128i *)(void *)state;
  /* The instructions want the words as (a b e f) and (c d g h), highest lane first. */
  __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128(words), 0xb1);
  __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(words + 1), 0x1b);
  __m128i abef = _mm_alignr_epi8(badc, hgfe, 8);
  __m128i cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);

  for (; blocks; blocks--, data += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i m0 = load_words(data), m1 = load_words(data + 16);
    __m128i m2 = load_words(data + 32), m3 = load_words(data + 48);
    ROUNDS16(0);
    ROUNDS16(4);
    ROUNDS16(8);
    ROUNDS4(12, m0);
    ROUNDS4(13, m1);
    ROUNDS4(14, m2);
    ROUNDS4(15, m3);
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }

  __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
  __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(words, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(words + 1, _mm_alignr_epi8(dchg, feba, 8));
}

#endif
