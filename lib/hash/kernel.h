/*
 * hash/kernel.h (L1, inside hash/) - what an implementation of a digest offers to hash.c.
 */
#ifndef IMS_HASH_KERNEL_H
#define IMS_HASH_KERNEL_H

#include "config.h"
#include "hash/hash.h"

#ifndef IMS_SHA_KERNELS
#define IMS_SHA_KERNELS 1
#endif

#if IMS_SHA_KERNELS && defined(__x86_64__) && defined(__GNUC__)
#define IMS_SHA256_X86 1
#endif
#if IMS_SHA_KERNELS && defined(__aarch64__) && defined(__GNUC__) && !defined(__ARM_BIG_ENDIAN)
#define IMS_SHA256_ARMV8 1
#endif

/** The 64 round constants of FIPS 180-4, 4.2.2. */
extern const uint32_t ims_sha256_constants[64];

/** Mixes whole 64-byte blocks into the eight words of the state. */
typedef void (*ims_sha256_blocks_fn)(uint32_t state[8], const uint8_t *data, size_t blocks);

#ifdef IMS_SHA256_X86
int ims_sha256_x86_usable(void);
void ims_sha256_x86_blocks(uint32_t state[8], const uint8_t *data, size_t blocks);
#endif
#ifdef IMS_SHA256_ARMV8
int ims_sha256_armv8_usable(void);
void ims_sha256_armv8_blocks(uint32_t state[8], const uint8_t *data, size_t blocks);
#endif

/** The reference, for both algorithms; the context lives in hash->state. 0 or non-zero when mbedTLS fails. */
int ims_mbedtls_hash_init(ims_hash *hash);
int ims_mbedtls_hash_update(ims_hash *hash, const void *data, size_t size);
int ims_mbedtls_hash_final(ims_hash *hash, uint8_t *digest);

#endif
