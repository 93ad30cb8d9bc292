/*
 * tests/fuzz/fuzz_encoder.c - what the encoders make comes back from the decoders. The first byte picks the kind and
 * the level; the rest is a program that makes the input: noise, runs, copies from before. So a few bytes reach the ends
 * of blocks and windows.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "compress/decoder.h"
#include "compress/encoder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAPACITY = 640 * 1024 };

static void require(int condition) {
  if (!condition)
    __builtin_trap();
}

typedef struct input {
  uint8_t *bytes;
  size_t size;
  uint32_t noise;
} input;

static void put(input *in, uint8_t byte) {
  if (in->size < CAPACITY)
    in->bytes[in->size++] = byte;
}

/** op: four bytes. The first: what to do, and how often to double the second, a number of bytes. */
static void run_op(input *in, const uint8_t *op) {
  const size_t count = (size_t)(op[1] + 1) << (op[0] >> 2 & 15) % 13, back = (size_t)op[2] << 8 | op[3];
  for (size_t i = 0; i < count && in->size < CAPACITY; i++) {
    in->noise = in->noise * 1664525u + 1013904223u;
    if (op[0] % 4 == 0)
      put(in, (uint8_t)(in->noise >> 24));
    else if (op[0] % 4 == 1)
      put(in, (uint8_t)(op[2] + (in->noise >> 24) % (op[3] + 1u)));
    else
      put(in, back < in->size ? in->bytes[in->size - 1 - back] : op[3]);
  }
}

static uint8_t *encode(const input *in, int32_t how, int32_t level, size_t *out_size) {
  const size_t room = CAPACITY + CAPACITY / 4;
  uint8_t *out = malloc(room);
  ims_encoder *e = NULL;
  size_t used, made;
  bool done = false;
  require(out && !ims_encoder_new(&e, &ims_alloc_default, how, level, NULL));
  require(!ims_encoder_run(e, in->bytes, in->size, &used, out, room, out_size, NULL) && used == in->size);
  while (!done) {
    require(!ims_encoder_finish(e, out + *out_size, room - *out_size, &made, &done, NULL));
    *out_size += made;
  }
  ims_encoder_free(e);
  return out;
}

static void check(const input *in, int32_t format, int32_t engine, const uint8_t *packed, size_t packed_size) {
  static const ims_decoder_limits limits = {CAPACITY, UINT64_MAX, 1 << 27};
  uint8_t *out = malloc(CAPACITY + 1);
  ims_decoder *d = NULL;
  size_t at = 0, got = 0, used, made = 1;
  require(out && !ims_decoder_new(&d, &ims_alloc_default, format, engine, &limits, NULL));
  while (at < packed_size || made) {
    require(!ims_decoder_run(d, packed + at, packed_size - at, &used, out + got, CAPACITY + 1 - got, &made, NULL));
    at += used;
    got += made;
  }
  require(!ims_decoder_finish(d, NULL) && got == in->size && !memcmp(out, in->bytes, got));
  ims_decoder_free(d);
  free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size)
    return 0;
  const int32_t how = data[0] % 8 ? IMS_ENCODE_GZIP : IMS_ENCODE_GZIP_FAST, level = data[0] % 8 == 7 ? 2 : 1;
  input in = {malloc(CAPACITY), 0, data[0]};
  size_t packed_size = 0;
  require(in.bytes != NULL);
  for (size_t at = 1; at + 4 <= size; at += 4)
    run_op(&in, data + at);
  uint8_t *packed = encode(&in, how, level, &packed_size);
  check(&in, IMS_FORMAT_GZIP, IMS_ENGINE_ZLIB, packed, packed_size);
  check(&in, IMS_FORMAT_GZIP, IMS_ENGINE_BEST, packed, packed_size);
  free(packed);
  free(in.bytes);
  return 0;
}
