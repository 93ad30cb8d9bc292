/*
 * hash/hash_mbedtls.c (L1) - SHA-256 and SHA-512 by mbedTLS: the reference, and the fallback where the processor has
 * no SHA instructions. The only file of hash/ that sees mbedTLS; it knows nothing of other kernels.
 */
#include <mbedtls/sha256.h>
#include <mbedtls/sha512.h>
#include <mbedtls/version.h>

#include "hash/kernel.h"

#if MBEDTLS_VERSION_NUMBER < 0x03000000
#define mbedtls_sha256_starts mbedtls_sha256_starts_ret
#define mbedtls_sha256_update mbedtls_sha256_update_ret
#define mbedtls_sha256_finish mbedtls_sha256_finish_ret
#define mbedtls_sha512_starts mbedtls_sha512_starts_ret
#define mbedtls_sha512_update mbedtls_sha512_update_ret
#define mbedtls_sha512_finish mbedtls_sha512_finish_ret
#endif

_Static_assert(sizeof(mbedtls_sha256_context) <= sizeof(((ims_hash *)0)->state), "SHA-256 context fits the state");
_Static_assert(sizeof(mbedtls_sha512_context) <= sizeof(((ims_hash *)0)->state), "SHA-512 context fits the state");

static mbedtls_sha256_context *sha256_of(ims_hash *hash) {
  return (mbedtls_sha256_context *)(void *)&hash->state;
}

static mbedtls_sha512_context *sha512_of(ims_hash *hash) {
  return (mbedtls_sha512_context *)(void *)&hash->state;
}

int ims_mbedtls_hash_init(ims_hash *hash) {
  if (hash->algorithm == IMS_HASH_SHA512) {
    mbedtls_sha512_init(sha512_of(hash));
    return mbedtls_sha512_starts(sha512_of(hash), 0);
  }
  mbedtls_sha256_init(sha256_of(hash));
  return mbedtls_sha256_starts(sha256_of(hash), 0);
}

int ims_mbedtls_hash_update(ims_hash *hash, const void *data, size_t size) {
  if (hash->algorithm == IMS_HASH_SHA512)
    return mbedtls_sha512_update(sha512_of(hash), data, size);
  return mbedtls_sha256_update(sha256_of(hash), data, size);
}

int ims_mbedtls_hash_final(ims_hash *hash, uint8_t *digest) {
  if (hash->algorithm == IMS_HASH_SHA512)
    return mbedtls_sha512_finish(sha512_of(hash), digest);
  return mbedtls_sha256_finish(sha256_of(hash), digest);
}
