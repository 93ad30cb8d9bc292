/*
 * hash/hash.h (L1) - streaming digests. No allocation; the state is plain memory and may be copied.
 */
#ifndef IMS_HASH_HASH_H
#define IMS_HASH_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { IMS_HASH_SHA256 = 1, IMS_HASH_SHA512 = 2 };
enum { IMS_HASH_MAX_SIZE = 64 };

typedef struct ims_hash {
  int32_t algorithm;
  int32_t kernel; /**< which implementation runs it, chosen at init */
  union {
    uint64_t align;
    unsigned char bytes[248];
  } state;
} ims_hash;

/** Bytes of a digest: 32 or 64. */
size_t ims_hash_size(int32_t algorithm);
void ims_hash_init(ims_hash *hash, int32_t algorithm);
void ims_hash_update(ims_hash *hash, const void *data, size_t size);
/** Writes ims_hash_size bytes; the state is used up. */
void ims_hash_final(ims_hash *hash, uint8_t *digest);

/** Which kernel this machine uses for sha256: "sha-ni", "armv8-ce", "mbedtls". */
const char *ims_hash_kernel_name(void);
/** For tests: init with a given kernel (0: mbedTLS reference); false when the machine lacks it. */
int ims_hash_init_with(ims_hash *hash, int32_t algorithm, int32_t kernel);
/** How many kernels there are to pass to ims_hash_init_with. */
int32_t ims_hash_kernel_count(void);

#endif
