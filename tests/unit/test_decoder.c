/* tests/unit/test_decoder.c - both gzip engines on the same streams, zstd, limits, cuts at every byte, no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "compress/decoder.h"
#include "config.h"

#if IMS_HAVE_ZSTD
#include <zstd.h>
#endif

enum { CAPACITY = 4 << 20 };

static const ims_decoder_limits wide = {UINT64_MAX, UINT64_MAX, (uint64_t)1 << 27};

typedef struct stream {
  uint8_t *data;
  size_t size;
} stream;

static stream buffers[3]; /* made by group_setup: a stream to decode and the outputs of two decoders */

static int group_setup(void **state) {
  for (size_t i = 0; i < 3; i++)
    if (!(buffers[i].data = malloc(CAPACITY)))
      return -1;
  return 0;
}

static int group_teardown(void **state) {
  for (size_t i = 0; i < 3; i++)
    free(buffers[i].data);
  return 0;
}

static stream *empty_input(void) {
  buffers[0].size = 0;
  return &buffers[0];
}

static void add(stream *s, const void *data, size_t size) {
  assert_true(s->size + size <= CAPACITY);
  memcpy(s->data + s->size, data, size);
  s->size += size;
}

static void add_gzip(stream *s, const void *data, size_t size, int level, int strategy, gz_header *header) {
  z_stream z = {0};
  assert_int_equal(deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 8, strategy), Z_OK);
  if (header)
    assert_int_equal(deflateSetHeader(&z, header), Z_OK);
  z.next_in = (z_const Bytef *)data;
  z.avail_in = (uInt)size;
  z.next_out = s->data + s->size;
  z.avail_out = (uInt)(CAPACITY - s->size);
  assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
  s->size += z.total_out;
  deflateEnd(&z);
}

/* Half text, half noise, with repeats from far and near. */
static void fill(uint8_t *data, size_t size) {
  static const char words[] = "usr/share/doc/base-files/copyright root 0755 ustar ";
  uint32_t x = 1;
  for (size_t i = 0; i < size; i++) {
    x = x * 1664525u + 1013904223u;
    data[i] = i / 4096 % 2 ? (uint8_t)(x >> 24) : (uint8_t)words[(i + (x >> 30)) % (sizeof words - 1)];
  }
}

/* Feeds the input in pieces of in_step (the first one: first) with out_step bytes of room. */
static int32_t decode_with(ims_decoder *d, const stream *in, size_t first, size_t in_step, size_t out_step, stream *out,
                           ims_error *err) {
  size_t at = 0, used, made;
  out->size = 0;
  for (size_t piece = first; at < in->size; piece = in_step) {
    if (piece > in->size - at)
      piece = in->size - at;
    for (size_t end = at + piece; at < end || !piece; at += used, out->size += made) {
      size_t room = out_step < CAPACITY - out->size ? out_step : CAPACITY - out->size;
      int32_t rc = ims_decoder_run(d, in->data + at, end - at, &used, out->data + out->size, room, &made, err);
      if (rc)
        return rc;
      assert_true(used || made);
      if (!piece)
        break;
    }
  }
  do {
    size_t room = out_step < CAPACITY - out->size ? out_step : CAPACITY - out->size;
    int32_t rc = ims_decoder_run(d, NULL, 0, &used, out->data + out->size, room, &made, err);
    if (rc)
      return rc;
    out->size += made;
  } while (made);
  return ims_decoder_finish(d, err);
}

static int32_t decode_error(int32_t format, int32_t engine, const stream *in, size_t first, size_t in_step,
                            size_t out_step, stream *out, ims_error *err) {
  ims_decoder *d;
  ims_error_clear(err);
  assert_int_equal(ims_decoder_new(&d, &ims_alloc_default, format, engine, &wide, err), IMGSTORE_OK);
  int32_t rc = decode_with(d, in, first ? first : in_step, in_step, out_step, out, err);
  assert_int_equal(err->code, rc);
  if (rc)
    assert_string_not_equal(err->message, "");
  ims_decoder_free(d);
  return rc;
}

static int32_t decode(int32_t format, int32_t engine, const stream *in, size_t first, size_t in_step, size_t out_step,
                      stream *out) {
  ims_error err;
  return decode_error(format, engine, in, first, in_step, out_step, out, &err);
}

#if IMS_HAVE_ISAL
/* The one liberty that ISA-L takes: codes of a block that leave bit patterns unused ("invalid distances set"). */
static bool leaves_codes_unused(const ims_error *zlib_error) {
  return strstr(zlib_error->message, "gzip: invalid ") && strstr(zlib_error->message, " set at byte ");
}
#endif

/* By both engines: the same verdict, the same content. */
static int32_t gunzip(const stream *in, size_t first, size_t in_step, size_t out_step) {
  ims_error err;
  int32_t rc = decode_error(IMS_FORMAT_GZIP, IMS_ENGINE_ZLIB, in, first, in_step, out_step, &buffers[1], &err);
#if IMS_HAVE_ISAL
  int32_t fast = decode(IMS_FORMAT_GZIP, IMS_ENGINE_ISAL, in, first, in_step, out_step, &buffers[2]);
  if (leaves_codes_unused(&err) && !fast)
    return IMGSTORE_EFORMAT;
  assert_int_equal(fast, rc);
  if (!rc) {
    assert_int_equal(buffers[1].size, buffers[2].size);
    assert_memory_equal(buffers[1].data, buffers[2].data, buffers[1].size);
  }
#endif
  return rc;
}

static void expect_gunzip(const stream *in, const void *data, size_t size) {
  static const size_t steps[][2] = {{CAPACITY, CAPACITY}, {1, 7},        {13, 1},
                                    {32768, 65536},       {1, CAPACITY}, {CAPACITY, 1}};
  for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
    if (size > 100000 && (steps[i][0] < 100 || steps[i][1] < 100))
      continue;
    assert_int_equal(gunzip(in, 0, steps[i][0], steps[i][1]), IMGSTORE_OK);
    assert_int_equal(buffers[1].size, size);
    assert_memory_equal(buffers[1].data, data, size);
  }
}

static gz_header full_header(void) {
  static Bytef extra[] = "xyextra", name[] = "layer.tar", comment[] = "a comment";
  gz_header h = {.text = 1, .time = 12345, .extra = extra, .extra_len = 7, .name = name, .comment = comment, .hcrc = 1};
  return h;
}

static void test_sniff(void **state) {
  assert_int_equal(ims_format_sniff((const uint8_t *)"\x1f\x8b\x08\x00", 4), IMS_FORMAT_GZIP);
  assert_int_equal(ims_format_sniff((const uint8_t *)"\x1f\x8b", 2), IMS_FORMAT_GZIP);
  assert_int_equal(ims_format_sniff((const uint8_t *)"\x1f", 1), IMS_FORMAT_NONE);
  assert_int_equal(ims_format_sniff((const uint8_t *)"\x28\xb5\x2f\xfd", 4), IMS_FORMAT_ZSTD);
  assert_int_equal(ims_format_sniff((const uint8_t *)"\x5e\x2a\x4d\x18", 4), IMS_FORMAT_ZSTD);
  assert_int_equal(ims_format_sniff((const uint8_t *)"\x28\xb5\x2f", 3), IMS_FORMAT_NONE);
  assert_int_equal(ims_format_sniff(NULL, 0), IMS_FORMAT_NONE);
  assert_string_equal(ims_format_name(IMS_FORMAT_ZSTD), "zstd");
  assert_string_equal(ims_format_name(IMS_FORMAT_GZIP), "gzip");
  assert_string_equal(ims_format_name(IMS_FORMAT_NONE), "none");
}

/* Stored, fixed and dynamic blocks; small and large. */
static void test_gzip_block_kinds(void **state) {
  static uint8_t data[600000];
  static const int kinds[][2] = {{0, Z_DEFAULT_STRATEGY}, {1, Z_DEFAULT_STRATEGY},
                                 {9, Z_DEFAULT_STRATEGY}, {6, Z_FIXED},
                                 {6, Z_HUFFMAN_ONLY},     {6, Z_RLE}};
  static const size_t sizes[] = {0, 1, 2, 1000, 66000, sizeof data};
  fill(data, sizeof data);
  for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
      stream *s = empty_input();
      add_gzip(s, data, sizes[i], kinds[k][0], kinds[k][1], NULL);
      expect_gunzip(s, data, sizes[i]);
    }
}

static void test_gzip_cut_everywhere(void **state) {
  static uint8_t data[900];
  gz_header header = full_header();
  fill(data, sizeof data);
  stream *s = empty_input();
  add_gzip(s, data, 500, 9, Z_DEFAULT_STRATEGY, &header);
  add_gzip(s, "", 0, 9, Z_DEFAULT_STRATEGY, &header);
  add_gzip(s, data + 500, 400, 6, Z_FIXED, NULL);
  for (size_t cut = 1; cut < s->size; cut++) {
    assert_int_equal(gunzip(s, cut, s->size, CAPACITY), IMGSTORE_OK);
    assert_int_equal(buffers[1].size, sizeof data);
    assert_memory_equal(buffers[1].data, data, sizeof data);
  }
  expect_gunzip(s, data, sizeof data);
}

static void test_gzip_truncated_everywhere(void **state) {
  static uint8_t data[900];
  gz_header header = full_header();
  fill(data, sizeof data);
  stream *s = empty_input();
  add_gzip(s, data, 500, 9, Z_DEFAULT_STRATEGY, &header);
  const size_t boundary = s->size;
  add_gzip(s, data + 500, 400, 6, Z_DEFAULT_STRATEGY, &header);
  const size_t whole = s->size;
  for (s->size = 0; s->size < whole; s->size++) {
    const int32_t want = s->size == boundary ? IMGSTORE_OK : IMGSTORE_EFORMAT;
    assert_int_equal(gunzip(s, 0, 64, 512), want);
    assert_int_equal(gunzip(s, 0, CAPACITY, CAPACITY), want);
  }
}

static void test_gzip_junk_after(void **state) {
  static const struct {
    const char *bytes;
    size_t size;
  } junk[] = {{"\0", 1},       {"\0\0\0\0\0\0\0\0", 8},         {"junk", 4}, {"\x1f", 1},
              {"\x1f\x8b", 2}, {"\x1f\x8b\x08\0\0\0\0\0\0", 9}, {"\n", 1}};
  static const uint8_t zeros[1024];
  for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++)
    for (size_t step = 1; step < 100; step += 30) {
      stream *s = empty_input();
      add_gzip(s, "content", 7, 6, Z_DEFAULT_STRATEGY, NULL);
      add(s, junk[i].bytes, junk[i].size);
      assert_int_equal(gunzip(s, 0, step, 100), IMGSTORE_EFORMAT);
    }
  stream *s = empty_input();
  add_gzip(s, "content", 7, 6, Z_DEFAULT_STRATEGY, NULL);
  add(s, zeros, sizeof zeros);
  assert_int_equal(gunzip(s, 0, CAPACITY, CAPACITY), IMGSTORE_EFORMAT);
}

/* Whatever one bit does, both engines agree; what is accepted (header fields, padding) has the same content. */
static void test_gzip_bit_flips(void **state) {
  static uint8_t data[700];
  fill(data, sizeof data);
  gz_header header = full_header();
  for (int strategy = 0; strategy < 5; strategy++) {
    stream *s = empty_input();
    add_gzip(s, data, sizeof data, 6, strategy, strategy % 2 ? &header : NULL);
    size_t accepted = 0;
    for (size_t bit = 0; bit < s->size * 8; bit++) {
      s->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
      if (!gunzip(s, 0, CAPACITY, CAPACITY)) {
        accepted++;
        assert_int_equal(buffers[1].size, sizeof data);
        assert_memory_equal(buffers[1].data, data, sizeof data);
      }
      s->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_in_range(accepted, 0, 6 * 8 + 1 + 7); /* time, extra flags, system; text flag; padding */
  }
}

/* Builds a member by hand: every combination of flags, with fields of any length. */
static void add_member(stream *s, unsigned flags, size_t field_size, int break_check) {
  static uint8_t field[70000];
  memset(field, 'n', sizeof field);
  const size_t start = s->size;
  const uint8_t fixed[10] = {0x1f, 0x8b, 8, (uint8_t)flags, 1, 2, 3, 4, 0, 255};
  add(s, fixed, sizeof fixed);
  if (flags & 4) {
    const size_t extra = field_size < 65535 ? field_size : 65535;
    const uint8_t size[2] = {(uint8_t)extra, (uint8_t)(extra >> 8)};
    add(s, size, 2);
    add(s, field, extra);
  }
  for (unsigned flag = 8; flag <= 16; flag *= 2)
    if (flags & flag) {
      add(s, field, field_size);
      add(s, "", 1);
    }
  if (flags & 2) {
    uLong crc = crc32(0, s->data + start, (uInt)(s->size - start)) ^ (break_check ? 1u : 0u);
    const uint8_t check[2] = {(uint8_t)crc, (uint8_t)(crc >> 8)};
    add(s, check, 2);
  }
  static const uint8_t body[] = {0x4b, 0x04, 0x00, 0x43, 0xbe, 0xb7, 0xe8, 1, 0, 0, 0}; /* "a" */
  add(s, body, sizeof body);
}

static void test_gzip_headers(void **state) {
  static const size_t sizes[] = {0, 1, 255, 5000, 65535, 70000};
  for (unsigned flags = 0; flags < 256; flags++)
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
      if (i > 2 && flags % 7)
        continue;
      stream *s = empty_input();
      add_member(s, flags, sizes[i], 0);
      add_member(s, flags, sizes[i], 0);
      const int32_t want = flags < 32 ? IMGSTORE_OK : IMGSTORE_EFORMAT;
      assert_int_equal(gunzip(s, 0, CAPACITY, CAPACITY), want);
      assert_int_equal(gunzip(s, 0, 1000, 1), want);
      if (i < 3)
        assert_int_equal(gunzip(s, 0, 1, CAPACITY), want);
      if (!want)
        assert_int_equal(buffers[1].size, 2);
    }
  stream *s = empty_input();
  add_member(s, 31, 20, 1);
  assert_int_equal(gunzip(s, 0, 3, CAPACITY), IMGSTORE_EFORMAT);
}

static void test_gzip_many_empty_members(void **state) {
  stream *s = empty_input();
  while (s->size < CAPACITY - 1000)
    add(s, "\x1f\x8b\x08\0\0\0\0\0\0\3\3\0\0\0\0\0\0\0\0\0", 20);
  assert_int_equal(gunzip(s, 0, 4096, 16), IMGSTORE_OK);
  assert_int_equal(buffers[1].size, 0);
  assert_int_equal(gunzip(s, 0, CAPACITY, 1), IMGSTORE_OK);
}

static void expect_failure(int32_t format, const stream *in, const ims_decoder_limits *limits, int32_t code,
                           const char *message) {
  for (int32_t engine = IMS_ENGINE_BEST; engine <= IMS_ENGINE_ZLIB; engine++) {
    ims_decoder *d;
    ims_error err = IMS_ERROR_INIT;
    assert_int_equal(ims_decoder_new(&d, &ims_alloc_default, format, engine, limits, &err), IMGSTORE_OK);
    buffers[1].size = 0;
    int32_t rc = IMGSTORE_OK;
    for (size_t at = 0, used = 1, made = 1; !rc && (used || made); at += used)
      rc = ims_decoder_run(d, in->data + at, in->size - at, &used, buffers[1].data, 1 << 20, &made, &err);
    if (!rc)
      rc = ims_decoder_finish(d, &err);
    assert_int_equal(rc, code);
    assert_int_equal(strncmp(err.message, message, strlen(message)), 0);
    assert_true(!code == !*message);
    if (code) { /* it stays failed until it is reset */
      size_t used, made;
      assert_int_equal(ims_decoder_run(d, in->data, in->size, &used, buffers[1].data, 9, &made, NULL), code);
      assert_int_equal(ims_decoder_finish(d, NULL), code);
    }
    ims_decoder_free(d);
  }
}

static void test_limits(void **state) {
  static uint8_t zeros[1 << 20];
  stream *s = empty_input();
  for (int i = 0; i < 128; i++)
    add_gzip(s, zeros, sizeof zeros, 9, Z_DEFAULT_STRATEGY, NULL);
  const uint64_t all = (uint64_t)128 << 20;
  expect_failure(IMS_FORMAT_GZIP, s, &(ims_decoder_limits){all, 1100, 0}, IMGSTORE_OK, "");
  expect_failure(IMS_FORMAT_GZIP, s, &(ims_decoder_limits){all - 1, 1100, 0}, IMGSTORE_ELIMIT,
                 "gzip: more than 134217727 bytes of output");
  expect_failure(IMS_FORMAT_GZIP, s, &(ims_decoder_limits){0, 1100, 0}, IMGSTORE_ELIMIT,
                 "gzip: more than 0 bytes of output");
  ims_decoder *d;
  ims_error err = IMS_ERROR_INIT;
  const ims_decoder_limits ratio = {UINT64_MAX, 100, 0};
  assert_int_equal(ims_decoder_new(&d, &ims_alloc_default, IMS_FORMAT_GZIP, IMS_ENGINE_BEST, &ratio, &err),
                   IMGSTORE_OK);
  size_t used, made, at = 0, total = 0;
  int32_t rc;
  while (!(rc = ims_decoder_run(d, s->data + at, s->size - at, &used, buffers[1].data, 65536, &made, &err))) {
    at += used;
    total += made;
  }
  assert_int_equal(rc, IMGSTORE_ELIMIT);
  assert_in_range(total, (64 << 20) - 65536, (64 << 20) + 65536); /* no later than this */
  ims_decoder_free(d);
  s->size = 1000;
  expect_failure(IMS_FORMAT_NONE, s, &(ims_decoder_limits){1000, 1, 0}, IMGSTORE_OK, "");
  expect_failure(IMS_FORMAT_NONE, s, &(ims_decoder_limits){999, 1, 0}, IMGSTORE_ELIMIT,
                 "none: more than 999 bytes of output");
}

static void test_messages(void **state) {
  stream *s = empty_input();
  expect_failure(IMS_FORMAT_GZIP, s, &wide, IMGSTORE_EFORMAT, "gzip: empty stream at byte 0");
  add_gzip(s, "content", 7, 6, Z_DEFAULT_STRATEGY, NULL);
  s->size--;
  expect_failure(IMS_FORMAT_GZIP, s, &wide, IMGSTORE_EFORMAT, "gzip: ends inside a member at byte 26");
  s->size++;
  s->data[20] ^= 1;
  expect_failure(IMS_FORMAT_GZIP, s, &wide, IMGSTORE_EFORMAT, "gzip: incorrect data check at byte 2");
}

static void test_none(void **state) {
  static uint8_t data[1000];
  fill(data, sizeof data);
  stream *s = empty_input();
  add(s, data, sizeof data);
  assert_int_equal(decode(IMS_FORMAT_NONE, 0, s, 0, 7, 5, &buffers[1]), IMGSTORE_OK);
  assert_int_equal(buffers[1].size, sizeof data);
  assert_memory_equal(buffers[1].data, data, sizeof data);
  s->size = 0;
  assert_int_equal(decode(IMS_FORMAT_NONE, 0, s, 0, 7, 5, &buffers[1]), IMGSTORE_OK);
}

static void test_reset(void **state) {
  static const int32_t engines[] = {IMS_ENGINE_BEST, IMS_ENGINE_ZLIB};
  for (size_t i = 0; i < 2; i++) {
    ims_decoder *d;
    ims_error err = IMS_ERROR_INIT;
    assert_int_equal(ims_decoder_new(&d, &ims_alloc_default, IMS_FORMAT_GZIP, engines[i], &wide, &err), IMGSTORE_OK);
    for (int round = 0; round < 3; round++) {
      stream *s = empty_input();
      add_gzip(s, "content", 7, 6, Z_DEFAULT_STRATEGY, NULL);
      s->size -= 5; /* leaves it inside a member */
      assert_int_equal(decode_with(d, s, 3, 100, 100, &buffers[1], &err), IMGSTORE_EFORMAT);
      ims_error_clear(&err);
      assert_int_equal(ims_decoder_reset(d, &err), IMGSTORE_OK);
      s->size += 5;
      assert_int_equal(decode_with(d, s, 3, 100, 100, &buffers[1], &err), IMGSTORE_OK);
      assert_int_equal(buffers[1].size, 7);
      assert_int_equal(ims_decoder_reset(d, &err), IMGSTORE_OK);
    }
    ims_decoder_free(d);
  }
}

typedef struct failing_alloc {
  int left;
  int live;
} failing_alloc;

static void *failing_allocate(void *user_data, size_t bytes) {
  failing_alloc *f = user_data;
  if (f->left-- <= 0)
    return NULL;
  void *memory = malloc(bytes);
  f->live += memory != NULL;
  return memory;
}

static void failing_release(void *user_data, void *memory) {
  failing_alloc *f = user_data;
  f->live--;
  free(memory);
}

static void fail_each_allocation(int32_t format, int32_t engine, const stream *in) {
  int32_t rc = IMGSTORE_ENOMEM;
  int i = 0;
  for (; rc == IMGSTORE_ENOMEM; i++) {
    assert_in_range(i, 0, 50);
    failing_alloc f = {i, 0};
    const ims_alloc alloc = {&f, failing_allocate, NULL, failing_release};
    ims_decoder *d;
    ims_error err = IMS_ERROR_INIT;
    rc = ims_decoder_new(&d, &alloc, format, engine, &wide, &err);
    if (rc)
      assert_null(d);
    else
      rc = decode_with(d, in, 10, 100, 100, &buffers[1], &err);
    assert_int_equal(err.code, rc);
    ims_decoder_free(d);
    assert_int_equal(f.live, 0);
  }
  assert_int_equal(rc, IMGSTORE_OK);
  assert_true(i > 1); /* its memory does come from the allocator */
}

static void test_no_memory(void **state) {
  static uint8_t data[5000];
  fill(data, sizeof data);
  stream *s = empty_input();
  add_gzip(s, data, sizeof data, 6, Z_DEFAULT_STRATEGY, NULL);
  fail_each_allocation(IMS_FORMAT_GZIP, IMS_ENGINE_ZLIB, s);
  fail_each_allocation(IMS_FORMAT_GZIP, IMS_ENGINE_BEST, s);
#if IMS_HAVE_ZSTD
  s->size = ZSTD_compress(s->data, CAPACITY, data, sizeof data, 3);
  fail_each_allocation(IMS_FORMAT_ZSTD, IMS_ENGINE_BEST, s);
#endif
}

#if IMS_HAVE_ZSTD

static void add_zstd(stream *s, const void *data, size_t size, int window_log) {
  ZSTD_CCtx *c = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
  ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, window_log == 0);
  if (window_log)
    ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, window_log);
  ZSTD_inBuffer in = {data, size, 0};
  ZSTD_outBuffer out = {s->data, CAPACITY, s->size};
  ZSTD_inBuffer first = {data, size / 2, 0}; /* in two pieces, so that the size is not known to the frame */
  if (window_log)
    ZSTD_compressStream2(c, &out, &first, ZSTD_e_flush);
  in.pos = first.pos;
  assert_int_equal(ZSTD_compressStream2(c, &out, &in, ZSTD_e_end), 0);
  s->size = out.pos;
  ZSTD_freeCCtx(c);
}

static void add_skippable(stream *s, size_t size) {
  const uint8_t header[8] = {0x5a, 0x2a, 0x4d, 0x18, (uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16), 0};
  add(s, header, 8);
  memset(s->data + s->size, 'x', size);
  s->size += size;
}

static int32_t unzstd(const stream *in, size_t first, size_t in_step, size_t out_step) {
  return decode(IMS_FORMAT_ZSTD, IMS_ENGINE_BEST, in, first, in_step, out_step, &buffers[1]);
}

static void test_zstd_frames(void **state) {
  static uint8_t data[3000];
  fill(data, sizeof data);
  stream *s = empty_input();
  size_t boundary[8], frames = 0;
  add_skippable(s, 40);
  boundary[frames++] = s->size;
  add_zstd(s, data, 2000, 0);
  boundary[frames++] = s->size;
  add_zstd(s, "", 0, 0);
  boundary[frames++] = s->size;
  add_skippable(s, 0);
  boundary[frames++] = s->size;
  add_zstd(s, data + 2000, 1000, 12);
  boundary[frames++] = s->size;
  add_skippable(s, 100);
  for (size_t cut = 1; cut < s->size; cut++) {
    assert_int_equal(unzstd(s, cut, CAPACITY, CAPACITY), IMGSTORE_OK);
    assert_int_equal(buffers[1].size, sizeof data);
    assert_memory_equal(buffers[1].data, data, sizeof data);
  }
  assert_int_equal(unzstd(s, 0, 1, 1), IMGSTORE_OK);
  assert_int_equal(buffers[1].size, sizeof data);
  assert_int_equal(unzstd(s, 0, CAPACITY, 1), IMGSTORE_OK);
  assert_int_equal(buffers[1].size, sizeof data);
  const size_t whole = s->size;
  for (s->size = 0; s->size < whole; s->size++) {
    int32_t want = IMGSTORE_EFORMAT;
    for (size_t i = 0; i < frames; i++)
      want = s->size == boundary[i] ? IMGSTORE_OK : want;
    assert_int_equal(unzstd(s, 0, 50, CAPACITY), want);
  }
}

static void test_zstd_bad(void **state) {
  static uint8_t data[1 << 20];
  fill(data, sizeof data);
  stream *s = empty_input();
  add_zstd(s, "content", 7, 0);
  add(s, "\0", 1);
  assert_int_equal(unzstd(s, 0, 100, 100), IMGSTORE_EFORMAT);
  add(s, "\0\0\0", 3);
  expect_failure(IMS_FORMAT_ZSTD, s, &wide, IMGSTORE_EFORMAT, "zstd: not a zstd frame at byte 24");
  s->size = 0;
  expect_failure(IMS_FORMAT_ZSTD, s, &wide, IMGSTORE_EFORMAT, "zstd: empty stream at byte 0");
  add(s, "\x27\xb5\x2f\xfd\0\0\0\0", 8); /* the format of version 0.7 */
  expect_failure(IMS_FORMAT_ZSTD, s, &wide, IMGSTORE_EFORMAT, "zstd: not a zstd frame at byte 4");
  s->size = 0;
  add_zstd(s, "content", 7, 0);
  s->data[s->size - 1] ^= 1;
  assert_int_equal(unzstd(s, 0, 100, 100), IMGSTORE_EFORMAT);
  s->size = 0;
  add_zstd(s, data, sizeof data, 20);
  expect_failure(IMS_FORMAT_ZSTD, s, &(ims_decoder_limits){UINT64_MAX, 100, 1 << 20}, IMGSTORE_OK, "");
  expect_failure(IMS_FORMAT_ZSTD, s, &(ims_decoder_limits){UINT64_MAX, 100, 1 << 19}, IMGSTORE_ELIMIT,
                 "zstd: Frame requires too much memory for decoding at byte ");
}

static void test_zstd_bomb(void **state) {
  static uint8_t zeros[1 << 20];
  stream *s = empty_input();
  for (int i = 0; i < 40; i++)
    add_zstd(s, zeros, sizeof zeros, 0);
  expect_failure(IMS_FORMAT_ZSTD, s, &(ims_decoder_limits){(uint64_t)40 << 20, UINT64_MAX, 1 << 27}, IMGSTORE_OK, "");
  expect_failure(IMS_FORMAT_ZSTD, s, &(ims_decoder_limits){(40 << 20) - 1, UINT64_MAX, 1 << 27}, IMGSTORE_ELIMIT,
                 "zstd: more than 41943039 bytes of output");
  s->size = 0;
  while (s->size < CAPACITY - 8)
    add_skippable(s, 0);
  assert_int_equal(unzstd(s, 0, 4096, 16), IMGSTORE_OK);
  assert_int_equal(buffers[1].size, 0);
}

#else

static void test_zstd_missing(void **state) {
  ims_decoder *d;
  assert_int_equal(ims_decoder_new(&d, &ims_alloc_default, IMS_FORMAT_ZSTD, IMS_ENGINE_BEST, &wide, NULL),
                   IMGSTORE_EUNSUPPORTED);
  assert_null(d);
}

#endif

static void test_unknown_format(void **state) {
  ims_decoder *d;
  assert_int_equal(ims_decoder_new(&d, &ims_alloc_default, 99, IMS_ENGINE_BEST, &wide, NULL), IMGSTORE_EUNSUPPORTED);
  assert_null(d);
  ims_decoder_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_sniff),
    cmocka_unit_test(test_gzip_block_kinds),
    cmocka_unit_test(test_gzip_cut_everywhere),
    cmocka_unit_test(test_gzip_truncated_everywhere),
    cmocka_unit_test(test_gzip_junk_after),
    cmocka_unit_test(test_gzip_bit_flips),
    cmocka_unit_test(test_gzip_headers),
    cmocka_unit_test(test_gzip_many_empty_members),
    cmocka_unit_test(test_limits),
    cmocka_unit_test(test_messages),
    cmocka_unit_test(test_none),
    cmocka_unit_test(test_reset),
    cmocka_unit_test(test_no_memory),
#if IMS_HAVE_ZSTD
    cmocka_unit_test(test_zstd_frames),
    cmocka_unit_test(test_zstd_bad),
    cmocka_unit_test(test_zstd_bomb),
#else
    cmocka_unit_test(test_zstd_missing),
#endif
    cmocka_unit_test(test_unknown_format),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
