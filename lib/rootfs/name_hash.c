/*
 * rootfs/name_hash.c (L3) - SipHash-2-4 (Aumasson, Bernstein 2012) over a directory's identity and a name.
 * Knows nothing of files or layers.
 */
#include "rootfs/name_hash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

typedef struct sip {
  uint64_t v0, v1, v2, v3;
} sip;

static uint64_t rotate(uint64_t x, unsigned bits) {
  return x << bits | x >> (64 - bits);
}

static void sip_round(sip *s) {
  s->v0 += s->v1;
  s->v1 = rotate(s->v1, 13) ^ s->v0;
  s->v0 = rotate(s->v0, 32);
  s->v2 += s->v3;
  s->v3 = rotate(s->v3, 16) ^ s->v2;
  s->v0 += s->v3;
  s->v3 = rotate(s->v3, 21) ^ s->v0;
  s->v2 += s->v1;
  s->v1 = rotate(s->v1, 17) ^ s->v2;
  s->v2 = rotate(s->v2, 32);
}

static void sip_word(sip *s, uint64_t word) {
  s->v3 ^= word;
  sip_round(s);
  sip_round(s);
  s->v0 ^= word;
}

int32_t ims_hash_key_draw(ims_hash_key *key, ims_error *err) {
  ssize_t got;
  do
    got = getrandom(key, sizeof *key, 0);
  while (got < 0 && errno == EINTR);
  if (got != (ssize_t)sizeof *key)
    return ims_fail_os(err, got < 0 ? errno : EIO, "cannot read random bytes");
  return IMGSTORE_OK;
}

uint64_t ims_name_hash_sized(const ims_hash_key *key, uint64_t dev, uint64_t ino, const char *name, size_t size) {
  sip s = {key->k0 ^ 0x736f6d6570736575u, key->k1 ^ 0x646f72616e646f6du, key->k0 ^ 0x6c7967656e657261u,
           key->k1 ^ 0x7465646279746573u};
  sip_word(&s, dev);
  sip_word(&s, ino);
  size_t at = 0;
  uint64_t word;
  for (; at + 8 <= size; at += 8) {
    memcpy(&word, name + at, 8);
    sip_word(&s, word);
  }
  word = 0;
  memcpy(&word, name + at, size - at);
  sip_word(&s, word ^ ((uint64_t)(size + 16) << 56));
  s.v2 ^= 0xff;
  for (int i = 0; i < 4; i++)
    sip_round(&s);
  uint64_t hash = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
  return hash ? hash : 1;
}

uint64_t ims_name_hash(const ims_hash_key *key, dev_t dev, ino_t ino, const char *name) {
  return ims_name_hash_sized(key, (uint64_t)dev, (uint64_t)ino, name, strlen(name));
}
