/* tests/unit/test_encoder.c - streams that the encoder makes, read by the decoder, by gzip(1) and zstd(1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compress/decoder.h"
#include "compress/encoder.h"
#include "compress/huffman.h"
#include "config.h"
#include "failing_alloc.h"
#include "hash/hash.h"

enum { CAPACITY = 12 << 20 };

static const ims_decoder_limits wide = {UINT64_MAX, UINT64_MAX, (uint64_t)1 << 27};
static uint8_t *plain, *packed, *again;

static int group_setup(void **state) {
  static const char words[] = "usr/share/doc/base-files/copyright root 0755 ustar ";
  uint32_t x = 1;
  plain = malloc(CAPACITY);
  packed = malloc(CAPACITY);
  again = malloc(CAPACITY);
  if (!plain || !packed || !again)
    return -1;
  for (size_t i = 0; i < CAPACITY; i++) {
    x = x * 1664525u + 1013904223u;
    plain[i] = i / 4096 % 2 ? (uint8_t)(x >> 24) : (uint8_t)words[(i + (x >> 30)) % (sizeof words - 1)];
  }
  return 0;
}

static int group_teardown(void **state) {
  free(plain);
  free(packed);
  free(again);
  return 0;
}

static bool has(int32_t how) {
  return how != IMS_ENCODE_ZSTD || IMS_HAVE_ZSTD;
}

static int32_t encode(const ims_alloc *alloc, int32_t how, int32_t level, const uint8_t *in, size_t size,
                      size_t in_step, size_t out_step, uint8_t *out, size_t *out_size, ims_error *err) {
  ims_encoder *e;
  size_t at = 0, used, made;
  bool done = false;
  *out_size = 0;
  int32_t rc = ims_encoder_new(&e, alloc, how, level, err);
  while (!rc && at < size) {
    size_t room = CAPACITY - *out_size < out_step ? CAPACITY - *out_size : out_step;
    rc = ims_encoder_run(e, in + at, size - at < in_step ? size - at : in_step, &used, out + *out_size, room, &made,
                         err);
    assert_true(rc || used || made);
    at += used;
    *out_size += made;
  }
  while (!rc && !done) {
    rc = ims_encoder_finish(e, out + *out_size, CAPACITY - *out_size < out_step ? CAPACITY - *out_size : out_step,
                            &made, &done, err);
    assert_true(rc || made || done);
    *out_size += made;
  }
  ims_encoder_free(e);
  return rc;
}

static size_t decode(int32_t how, const uint8_t *in, size_t size, int32_t engine, uint8_t *out) {
  static const int32_t format[] = {IMS_FORMAT_NONE, IMS_FORMAT_GZIP, IMS_FORMAT_GZIP, IMS_FORMAT_ZSTD};
  ims_decoder *d;
  ims_error err = IMS_ERROR_INIT;
  size_t at = 0, got = 0, used, made = 1;
  assert_int_equal(ims_decoder_new(&d, &ims_alloc_default, format[how], engine, &wide, &err), 0);
  while (at < size || made) {
    int32_t rc = ims_decoder_run(d, in + at, size - at, &used, out + got, CAPACITY - got, &made, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, 0);
    at += used;
    got += made;
  }
  assert_int_equal(ims_decoder_finish(d, &err), 0);
  ims_decoder_free(d);
  return got;
}

static void streams_come_back(void **state) {
  static const size_t sizes[] = {0, 1, 1000, 524287, 524288, 524289, 1048576, 3000000, 4194304, 5000000, 9000000};
  for (int32_t how = IMS_ENCODE_NONE; how <= IMS_ENCODE_ZSTD; how++)
    for (size_t i = 0; has(how) && i < sizeof sizes / sizeof *sizes; i++) {
      size_t size;
      ims_error err = IMS_ERROR_INIT;
      assert_int_equal(encode(&ims_alloc_default, how, 0, plain, sizes[i], 100000, 70000, packed, &size, &err), 0);
      assert_int_equal(decode(how, packed, size, IMS_ENGINE_BEST, again), sizes[i]);
      assert_int_equal(memcmp(again, plain, sizes[i]), 0);
      if (how == IMS_ENCODE_GZIP || how == IMS_ENCODE_GZIP_FAST)
        assert_int_equal(decode(how, packed, size, IMS_ENGINE_ZLIB, again), sizes[i]);
    }
}

static void every_level_comes_back(void **state) {
  static const int32_t most[] = {0, 9, 3, 19};
  for (int32_t how = IMS_ENCODE_GZIP; how <= IMS_ENCODE_ZSTD; how++)
    for (int32_t level = 1; has(how) && level <= most[how]; level++) {
      size_t size;
      assert_int_equal(encode(&ims_alloc_default, how, level, plain, 900000, 900000, CAPACITY, packed, &size, NULL), 0);
      assert_int_equal(decode(how, packed, size, IMS_ENGINE_BEST, again), 900000);
      assert_int_equal(memcmp(again, plain, 900000), 0);
    }
}

/* However the input is cut, the bytes are the same; and the header says nothing of when and where. */
static void bytes_do_not_depend_on_pieces(void **state) {
  static const size_t steps[][2] = {{1, 3}, {511, 1}, {524288, 5000}, {1000000, CAPACITY}};
  for (int32_t how = IMS_ENCODE_GZIP; how <= IMS_ENCODE_ZSTD; how++)
    for (size_t i = 0; has(how) && i < sizeof steps / sizeof *steps; i++) {
      size_t size, same;
      assert_int_equal(encode(&ims_alloc_default, how, 0, plain, 900000, 900000, CAPACITY, packed, &size, NULL), 0);
      assert_int_equal(encode(&ims_alloc_default, how, 0, plain, 900000, steps[i][0], steps[i][1], again, &same, NULL),
                       0);
      assert_int_equal(size, same);
      assert_int_equal(memcmp(packed, again, size), 0);
      if (how != IMS_ENCODE_ZSTD)
        assert_memory_equal(packed, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
    }
}

/* Blocks refer to the one before them, so that cutting costs next to nothing. */
static void text_across_blocks_is_found(void **state) {
  const size_t period = 30000, total = 2000000;
  size_t whole;
  uint32_t x = 7;
  for (size_t i = 0; i < total; i++)
    again[i] = i < period ? (uint8_t)((x = x * 1664525u + 1013904223u) >> 24) : again[i - period];
  assert_int_equal(encode(&ims_alloc_default, IMS_ENCODE_GZIP, 0, again, total, total, CAPACITY, packed, &whole, NULL),
                   0);
  assert_in_range(whole, period, 2 * period);
}

static void wrong_parameters_are_refused(void **state) {
  static const int32_t bad[][2] = {{-1, 0}, {4, 0}, {1, 10}, {1, -1}, {2, 10}, {3, 20}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ims_encoder *e;
    ims_error err = IMS_ERROR_INIT;
    if (!has(bad[i][0]))
      continue;
    assert_int_equal(ims_encoder_new(&e, &ims_alloc_default, bad[i][0], bad[i][1], &err), IMGSTORE_EINVALID);
    assert_null(e);
    assert_string_not_equal(err.message, "");
  }
}

static void every_allocation_fails(void **state) {
  for (int32_t how = IMS_ENCODE_NONE; how <= IMS_ENCODE_ZSTD; how++) {
    failing f = {.failed = true};
    for (size_t left = 0; has(how) && f.failed; left++) {
      size_t size;
      ims_error err = IMS_ERROR_INIT;
      ims_alloc alloc = failing_alloc(&f, left);
      int32_t rc = encode(&alloc, how, 0, plain, 300000, 300000, CAPACITY, packed, &size, &err);
      assert_int_equal(rc, f.failed ? IMGSTORE_ENOMEM : IMGSTORE_OK);
      assert_int_equal(f.live, 0);
    }
  }
}

static void check_program(const char *program, int32_t how) {
  char command[200], name[] = "/tmp/imgstore-encoder-XXXXXX";
  size_t size;
  snprintf(command, sizeof command, "%s --version >/dev/null 2>&1", program);
  if (!has(how) || system(command) != 0)
    return;
  assert_int_equal(encode(&ims_alloc_default, how, 0, plain, 9000000, 100000, CAPACITY, packed, &size, NULL), 0);
  int fd = mkstemp(name);
  FILE *f = fdopen(fd, "wb");
  assert_int_equal(fwrite(packed, 1, size, f), size);
  assert_int_equal(fclose(f), 0);
  snprintf(command, sizeof command, "%s -dc <%s", program, name);
  f = popen(command, "r");
  assert_int_equal(fread(again, 1, CAPACITY, f), 9000000);
  assert_int_equal(pclose(f), 0);
  assert_int_equal(memcmp(again, plain, 9000000), 0);
  remove(name);
}

static void programs_read_it(void **state) {
  check_program("gzip", IMS_ENCODE_GZIP);
  check_program("gzip", IMS_ENCODE_GZIP_FAST);
  check_program("zstd", IMS_ENCODE_ZSTD);
}

/* The bytes of level 1 are a promise: images that are built again keep their digests. Change them on purpose only, and
   say so in the changelog. */
static void the_bytes_of_level_1_stay(void **state) {
  static const uint8_t known[] = {0x0c, 0xdc, 0x66, 0xf2, 0xf7, 0x2e, 0x94, 0xee, 0xa9, 0x2e, 0x7a,
                                  0xa6, 0x66, 0x3a, 0xc2, 0xaf, 0x14, 0x97, 0x63, 0xa4, 0xf3, 0x8d,
                                  0x5c, 0xb3, 0x4a, 0x42, 0xcd, 0xbe, 0xdb, 0x76, 0x59, 0x18};
  uint8_t digest[32];
  size_t size;
  ims_hash hash;
  assert_int_equal(
      encode(&ims_alloc_default, IMS_ENCODE_GZIP, 1, plain, 9000000, 100000, CAPACITY, packed, &size, NULL), 0);
  ims_hash_init(&hash, IMS_HASH_SHA256);
  ims_hash_update(&hash, packed, size);
  ims_hash_final(&hash, digest);
  assert_memory_equal(digest, known, sizeof known);
}

/* What cannot be compressed costs five bytes in 64 KiB, and the end of each block. */
static void noise_hardly_grows(void **state) {
  const size_t total = 3000000;
  size_t size;
  uint64_t x = 88172645463325252u;
  for (size_t i = 0; i < total; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    again[i] = (uint8_t)(x >> 32);
  }
  assert_int_equal(encode(&ims_alloc_default, IMS_ENCODE_GZIP, 1, again, total, total, CAPACITY, packed, &size, NULL),
                   0);
  assert_in_range(size, total, total + total / 3000);
}

/* Matches and literals in every proportion, at every small size, up to the last byte of a window. */
static void small_and_odd_streams_come_back(void **state) {
  uint32_t x = 1;
  for (size_t size = 0; size < 700; size++) {
    size_t made;
    for (size_t i = 0; i < size; i++) {
      x = x * 1664525u + 1013904223u;
      again[i] = i > size % 40 && x >> 30 ? again[i - 1 - size % 40] : (uint8_t)(x >> 24);
    }
    assert_int_equal(
        encode(&ims_alloc_default, IMS_ENCODE_GZIP, 1, again, size, size + 1, CAPACITY, packed, &made, NULL), 0);
    assert_int_equal(decode(IMS_ENCODE_GZIP, packed, made, IMS_ENGINE_ZLIB, again + 4096), size);
    assert_memory_equal(again, again + 4096, size);
  }
}

/** 2^-length of every code, added up: 1 says that the code is complete. */
static void check_code(const uint32_t *counts, unsigned symbols, unsigned limit) {
  uint8_t lengths[IMS_HUFFMAN_SYMBOLS];
  uint32_t sum = 0;
  ims_huffman_lengths(counts, symbols, limit, lengths);
  for (unsigned s = 0; s < symbols; s++) {
    assert_true(lengths[s] <= limit && (lengths[s] || !counts[s]));
    sum += lengths[s] ? 1U << (limit - lengths[s]) : 0;
    for (unsigned t = 0; t < s; t++)
      assert_true(!counts[s] || !counts[t] || counts[s] <= counts[t] || lengths[s] <= lengths[t]);
  }
  assert_int_equal(sum, 1U << limit);
}

/* Fibonacci's numbers ask for the longest codes. */
static void codes_are_complete_and_short_enough(void **state) {
  uint32_t counts[IMS_HUFFMAN_SYMBOLS] = {0}, x = 3;
  for (unsigned used = 0; used < 30; used++) {
    counts[used] = used < 2 ? used : counts[used - 1] + counts[used - 2];
    check_code(counts, IMS_HUFFMAN_SYMBOLS, used < 20 ? 7 : 15);
  }
  for (unsigned turn = 0; turn < 300; turn++) {
    for (unsigned s = 0; s < IMS_HUFFMAN_SYMBOLS; s++) {
      x = x * 1664525u + 1013904223u;
      counts[s] = x >> 30 ? 0 : x >> (turn % 20 + 9);
    }
    check_code(counts, IMS_HUFFMAN_SYMBOLS, 9 + turn % 7);
    check_code(counts, 19, 7);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(streams_come_back),
      cmocka_unit_test(every_level_comes_back),
      cmocka_unit_test(bytes_do_not_depend_on_pieces),
      cmocka_unit_test(text_across_blocks_is_found),
      cmocka_unit_test(wrong_parameters_are_refused),
      cmocka_unit_test(every_allocation_fails),
      cmocka_unit_test(programs_read_it),
      cmocka_unit_test(the_bytes_of_level_1_stay),
      cmocka_unit_test(noise_hardly_grows),
      cmocka_unit_test(small_and_odd_streams_come_back),
      cmocka_unit_test(codes_are_complete_and_short_enough),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
