/*
 * hash/hash.c (L1) - chooses a kernel, cuts the stream into blocks for it and pads the last one. It must not know
 * how a kernel works, nor what a digest looks like as text.
 */
#include "hash/hash.h"

#include <stdatomic.h>
#include <string.h>

#include "hash/kernel.h"

enum { BLOCK = 64, LENGTH_AT = 56 };

/* Kernel 0 is mbedTLS; a negative one marks a hash that mbedTLS failed on: its digest is all zero and matches nothing.
 */
enum { KERNEL_FAILED = -1, KERNEL_REFERENCE = 0 };

typedef struct kernel_entry {
  const char *name;
  int (*usable)(void);
  ims_sha256_blocks_fn blocks;
} kernel_entry;

static const kernel_entry kernels[] = {
    {"mbedtls", NULL, NULL},
#ifdef IMS_SHA256_X86
    {"sha-ni", ims_sha256_x86_usable, ims_sha256_x86_blocks},
#endif
#ifdef IMS_SHA256_ARMV8
    {"armv8-ce", ims_sha256_armv8_usable, ims_sha256_armv8_blocks},
#endif
};

enum { KERNEL_COUNT = sizeof kernels / sizeof kernels[0] };

typedef struct sha256_stream {
  uint32_t words[8];
  uint64_t total; /* bytes so far; total % BLOCK of them wait in pending */
  uint8_t pending[BLOCK];
} sha256_stream;

_Static_assert(sizeof(sha256_stream) <= sizeof(((ims_hash *)0)->state), "stream fits the state");

const uint32_t ims_sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static int usable(int32_t index) {
  return !kernels[index].usable || kernels[index].usable();
}

/* Asking the processor can take microseconds in a virtual machine, so the answer is kept. Every thread computes the
 * same value, and it is one atomic word: a race does no harm. */
static int32_t best_kernel(void) {
  static atomic_int known;
  int32_t index = (int32_t)atomic_load_explicit(&known, memory_order_relaxed) - 1;
  if (index >= 0)
    return index;
  index = KERNEL_COUNT - 1;
  while (index > 0 && !usable(index))
    index--;
  atomic_store_explicit(&known, index + 1, memory_order_relaxed);
  return index;
}

static sha256_stream *stream_of(ims_hash *hash) {
  return (sha256_stream *)(void *)&hash->state;
}

static void stream_init(sha256_stream *s) {
  static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(s->words, initial, sizeof initial);
  s->total = 0;
}

static void stream_update(sha256_stream *s, ims_sha256_blocks_fn blocks, const uint8_t *data, size_t size) {
  size_t held = s->total % BLOCK;
  s->total += size;
  if (held) {
    size_t part = BLOCK - held < size ? BLOCK - held : size;
    memcpy(s->pending + held, data, part);
    data += part;
    size -= part;
    if (held + part < BLOCK)
      return;
    blocks(s->words, s->pending, 1);
  }
  if (size >= BLOCK)
    blocks(s->words, data, size / BLOCK);
  if (size % BLOCK)
    memcpy(s->pending, data + size / BLOCK * BLOCK, size % BLOCK);
}

static void stream_final(sha256_stream *s, ims_sha256_blocks_fn blocks, uint8_t *digest) {
  size_t held = s->total % BLOCK;
  uint64_t bits = s->total * 8;
  s->pending[held++] = 0x80;
  if (held > LENGTH_AT) {
    memset(s->pending + held, 0, BLOCK - held);
    blocks(s->words, s->pending, 1);
    held = 0;
  }
  memset(s->pending + held, 0, LENGTH_AT - held);
  for (int i = 0; i < 8; i++)
    s->pending[LENGTH_AT + i] = (uint8_t)(bits >> (56 - 8 * i));
  blocks(s->words, s->pending, 1);
  for (int i = 0; i < 32; i++)
    digest[i] = (uint8_t)(s->words[i / 4] >> (24 - 8 * (i % 4)));
}

size_t ims_hash_size(int32_t algorithm) {
  return algorithm == IMS_HASH_SHA512 ? 64 : 32;
}

static void start(ims_hash *hash, int32_t algorithm, int32_t kernel) {
  hash->algorithm = algorithm;
  hash->kernel = kernel;
  if (kernel != KERNEL_REFERENCE)
    stream_init(stream_of(hash));
  else if (ims_mbedtls_hash_init(hash))
    hash->kernel = KERNEL_FAILED;
}

int ims_hash_init_with(ims_hash *hash, int32_t algorithm, int32_t kernel) {
  if (kernel < 0 || kernel >= KERNEL_COUNT || (kernel != best_kernel() && !usable(kernel)))
    return 0;
  if (kernel != KERNEL_REFERENCE && algorithm != IMS_HASH_SHA256)
    return 0;
  start(hash, algorithm, kernel);
  return 1;
}

void ims_hash_init(ims_hash *hash, int32_t algorithm) {
  start(hash, algorithm, algorithm == IMS_HASH_SHA256 ? best_kernel() : KERNEL_REFERENCE);
}

void ims_hash_update(ims_hash *hash, const void *data, size_t size) {
  if (!size || hash->kernel == KERNEL_FAILED)
    return;
  if (hash->kernel != KERNEL_REFERENCE)
    stream_update(stream_of(hash), kernels[hash->kernel].blocks, data, size);
  else if (ims_mbedtls_hash_update(hash, data, size))
    hash->kernel = KERNEL_FAILED;
}

void ims_hash_final(ims_hash *hash, uint8_t *digest) {
  if (hash->kernel > KERNEL_REFERENCE)
    stream_final(stream_of(hash), kernels[hash->kernel].blocks, digest);
  else if (hash->kernel == KERNEL_FAILED || ims_mbedtls_hash_final(hash, digest))
    memset(digest, 0, ims_hash_size(hash->algorithm));
}

const char *ims_hash_kernel_name(void) {
  return kernels[best_kernel()].name;
}

int32_t ims_hash_kernel_count(void) {
  return KERNEL_COUNT;
}
