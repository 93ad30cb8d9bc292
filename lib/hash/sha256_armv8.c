/*
 * hash/sha256_armv8.c (L1) - SHA-256 blocks with the cryptography extension of ARMv8. Compiled for it by target
 * pragmas, run only after the kernel's capability word said yes. It knows nothing of streams and padding.
 */
#if defined(__aarch64__) && defined(__clang__) && !defined(__ARM_FEATURE_SHA2)
/* Older clang declares the intrinsics only when this is set, whatever the function's target is. */
#define __ARM_FEATURE_CRYPTO 1
#define __ARM_FEATURE_SHA2 1
#define IMS_CLANG_TARGET 1
#endif

#include "hash/kernel.h"

#ifdef IMS_SHA256_ARMV8

#include <arm_neon.h>
#include <sys/auxv.h>

enum { CAPABILITY_SHA2 = 1 << 6 }; /* HWCAP_SHA2 of asm/hwcap.h */

int ims_sha256_armv8_usable(void) {
  return (getauxval(AT_HWCAP) & CAPABILITY_SHA2) != 0;
}

#ifdef IMS_CLANG_TARGET
#pragma clang attribute push(__attribute__((target("crypto"))), apply_to = function)
#elif !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("+crypto")
#endif

/* Four rounds on message words m[4i..4i+3]. */
#define ROUNDS4(i, m)                                                                                                  \
  do {                                                                                                                 \
    const uint32x4_t wk = vaddq_u32(m, vld1q_u32(ims_sha256_constants + 4 * (i)));                                     \
    const uint32x4_t abcd_before = abcd;                                                                               \
    abcd = vsha256hq_u32(abcd, efgh, wk);                                                                              \
    efgh = vsha256h2q_u32(efgh, abcd_before, wk);                                                                      \
  } while (0)

/* Replaces the oldest four message words by the four that come 16 later. */
#define SCHEDULE(oldest, second, third, newest)                                                                        \
  (oldest) = vsha256su1q_u32(vsha256su0q_u32(oldest, second), third, newest)

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

static uint32x4_t load_words(const uint8_t *data) {
  return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data)));
}

void ims_sha256_armv8_blocks(uint32_t state[8], const uint8_t *data, size_t blocks) {
  uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);

  for (; blocks; blocks--, data += 64) {
    const uint32x4_t abcd_start = abcd, efgh_start = efgh;
    uint32x4_t m0 = load_words(data), m1 = load_words(data + 16);
    uint32x4_t m2 = load_words(data + 32), m3 = load_words(data + 48);
    ROUNDS16(0);
    ROUNDS16(4);
    ROUNDS16(8);
    ROUNDS4(12, m0);
    ROUNDS4(13, m1);
    ROUNDS4(14, m2);
    ROUNDS4(15, m3);
    abcd = vaddq_u32(abcd, abcd_start);
    efgh = vaddq_u32(efgh, efgh_start);
  }

  vst1q_u32(state, abcd);
  vst1q_u32(state + 4, efgh);
}

#ifdef IMS_CLANG_TARGET
#pragma clang attribute pop
#elif !defined(__clang__)
#pragma GCC pop_options
#endif

#endif
