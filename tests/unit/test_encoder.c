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
#include "config.h"
#include "failing_alloc.h"

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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(streams_come_back),
      cmocka_unit_test(every_level_comes_back),
      cmocka_unit_test(bytes_do_not_depend_on_pieces),
      cmocka_unit_test(text_across_blocks_is_found),
      cmocka_unit_test(wrong_parameters_are_refused),
      cmocka_unit_test(every_allocation_fails),
      cmocka_unit_test(programs_read_it),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
