/* tests/unit/test_tar.c - the tar reader on archives made byte by byte: what it reads, what it refuses, any split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tar_fixture.h"

static ims_buf read_all(const tar_fixture *f, size_t first, size_t chunk, const ims_tar_limits *limits, int32_t *rc,
                        ims_error *err) {
  ims_buf out;
  ims_buf_init(&out, &ims_alloc_default, (size_t)1 << 28);
  ims_error_clear(err);
  *rc = transcript(ims_buf_text(&f->bytes), f->bytes.size, first, chunk, limits, &out, err);
  return out;
}

/* Every way to cut the archive in two, and a few sizes of pieces, must tell the same story, errors too. */
static void check_splits(const tar_fixture *f, const ims_tar_limits *limits, const ims_buf *whole, int32_t expected,
                         const char *message) {
  static const size_t chunks[] = {1, 7, 511, 512, 513, 1500};
  const size_t all = f->bytes.size + 1, cuts = f->bytes.size < 8192 ? f->bytes.size : 0;
  for (size_t i = 0; i < cuts + sizeof chunks / sizeof chunks[0]; i++) {
    ims_error err = IMS_ERROR_INIT;
    int32_t rc;
    ims_buf out =
        i < cuts ? read_all(f, i + 1, all, limits, &rc, &err) : read_all(f, 0, chunks[i - cuts], limits, &rc, &err);
    assert_int_equal(rc, expected);
    assert_string_equal(err.message, message);
    assert_int_equal(out.size, whole->size);
    assert_int_equal(memcmp(ims_buf_text(&out), ims_buf_text(whole), whole->size), 0);
    ims_buf_free(&out);
  }
}

static void expect_with(tar_fixture *f, const ims_tar_limits *limits, int32_t code, const char *text) {
  ims_error err = IMS_ERROR_INIT;
  int32_t rc;
  ims_buf out = read_all(f, 0, f->bytes.size + 1, limits, &rc, &err);
  if (rc != IMGSTORE_OK || code != IMGSTORE_OK)
    assert_string_equal(err.message, code == IMGSTORE_OK ? "" : text);
  else
    assert_string_equal(ims_buf_text(&out), text);
  assert_int_equal(rc, code);
  check_splits(f, limits, &out, code, err.message);
  ims_buf_free(&out);
  fixture_free(f);
}

/* The transcript, or the error message when code is not OK. Frees the fixture. */
static void expect(tar_fixture *f, int32_t code, const char *text) {
  expect_with(f, NULL, code, text);
}

static tar_fixture start(void) {
  tar_fixture f;
  fixture_init(&f);
  return f;
}

#define PLAIN " 644 1:2 size=0 data=0 time=3.000000000"

static void test_every_type(void **state) {
  tar_fixture f = start();
  fixture_file(&f, '0', "a", "hello", 5);
  fixture_file(&f, '\0', "old", "x", 1);
  fixture_file(&f, '\0', "slash/", "", 0); /* the typeflag decides, not the slash */
  fixture_file(&f, '0', "slash/", "x", 1);
  fixture_file(&f, '7', "c", "", 0);
  fixture_header(&f, MAGIC_USTAR, '1', "hard", "a", 5); /* no content follows */
  fixture_header(&f, MAGIC_USTAR, '2', "soft", "../x", 0);
  fixture_header(&f, MAGIC_USTAR, '3', "char", "", 0);
  fixture_patch(&f, 329, "0000001\0000000003", 16);
  fixture_header(&f, MAGIC_USTAR, '4', "block", "", 0);
  fixture_patch(&f, 329, "\x80\0\0\0\xff\xff\xff\xff\x80\0\0\0\0\0\0\x07", 16);
  fixture_header(&f, MAGIC_USTAR, '5', "dir/", "ignored", 512);
  fixture_header(&f, MAGIC_USTAR, '6', "fifo", "", 0);
  fixture_patch(&f, 100, "0104755", 7);
  fixture_end(&f);
  expect(&f, IMGSTORE_OK,
         "f a 644 1:2 size=5 data=5 time=3.000000000\n  @0 hello\n. a\n"
         "f old 644 1:2 size=1 data=1 time=3.000000000\n  @0 x\n. old\n"
         "f slash/" PLAIN "\n. slash/\n"
         "f slash/ 644 1:2 size=1 data=1 time=3.000000000\n  @0 x\n. slash/\n"
         "f c" PLAIN "\n. c\n"
         "h hard -> a" PLAIN "\n. hard\n"
         "l soft -> ../x" PLAIN "\n. soft\n"
         "c char" PLAIN " dev=1,3\n. char\n"
         "b block" PLAIN " dev=4294967295,7\n. block\n"
         "d dir/" PLAIN "\n. dir/\n"
         "p fifo 4755 1:2 size=0 data=0 time=3.000000000\n. fifo\n"
         "END\n");
  f = start();
  fixture_file(&f, '\0', "slash/", "x", 1); /* file or directory: readers differ in where the next header is */
  expect(&f, IMGSTORE_EFORMAT, "entry \"slash/\": a name that ends in a slash has content");
}

static void test_unknown_types_are_refused(void **state) {
  static const char types[] = {'8', 'A', 'D', 'M', 'N', 'V', 'X', 'Z', 'a', ' ', '\x7f'};
  for (size_t i = 0; i < sizeof types; i++) {
    char message[64];
    tar_fixture f = start();
    fixture_header(&f, MAGIC_USTAR, types[i], "n", "", 0);
    snprintf(message, sizeof message, "entry \"n\": unknown entry type 0x%02x", (unsigned)types[i]);
    expect(&f, IMGSTORE_EUNSUPPORTED, message);
  }
}

static void test_prefix_depends_on_magic(void **state) {
  tar_fixture f = start();
  fixture_header(&f, MAGIC_USTAR, '0', "name", "", 0);
  fixture_patch(&f, 345, "pre/fix", 7);
  fixture_header(&f, MAGIC_GNU, '0', "name", "", 0);
  fixture_patch(&f, 345, "12345670123", 11);
  fixture_header(&f, MAGIC_V7, '0', "name", "", 0);
  fixture_patch(&f, 345, "pre/fix", 7);
  fixture_header(&f, MAGIC_USTAR, '0', "name", "", 0); /* star: times from 476 on */
  fixture_patch(&f, 345, "pre", 3);
  fixture_patch(&f, 476,
                "00000000001\0"
                "00000000002\0"
                "\0\0\0\0\0\0\0\0tar",
                36);
  expect(&f, IMGSTORE_OK,
         "f pre/fix/name" PLAIN "\n. pre/fix/name\n"
         "f name" PLAIN "\n. name\n"
         "f name" PLAIN "\n. name\n"
         "f pre/name" PLAIN "\n. pre/name\n");
}

static void test_full_fields_have_no_nul(void **state) {
  char name[101], prefix[156], expected[800];
  tar_fixture f = start();
  memset(name, 'n', 100);
  memset(prefix, 'p', 155);
  name[100] = prefix[155] = '\0';
  fixture_header(&f, MAGIC_USTAR, '2', name, name, 0);
  fixture_patch(&f, 345, prefix, 155);
  snprintf(expected, sizeof expected, "l %s/%s -> %s" PLAIN "\n. %s/%s\n", prefix, name, name, prefix, name);
  expect(&f, IMGSTORE_OK, expected);
}

static void expect_number(const char *field, int64_t value) {
  char expected[128];
  tar_fixture f = start();
  fixture_header(&f, MAGIC_GNU, '6', "n", "", 0);
  fixture_patch(&f, 136, field, 12);
  snprintf(expected, sizeof expected, "p n 644 1:2 size=0 data=0 time=%lld.000000000\n. n\n", (long long)value);
  expect(&f, IMGSTORE_OK, expected);
}

static void expect_bad_number(const char *field) {
  tar_fixture f = start();
  fixture_header(&f, MAGIC_GNU, '6', "n", "", 0);
  fixture_patch(&f, 136, field, 12);
  expect(&f, IMGSTORE_EFORMAT, "entry \"n\": malformed mtime field");
}

static void test_numbers(void **state) {
  expect_number("777777777777", 68719476735);
  expect_number("  1234 \0    ", 668);
  expect_number("\0\0\0\0\0\0\0\0\0\0\0\0", 0);
  expect_number("            ", 0);
  expect_number("12\0\0junk\0\0\0", 10);
  expect_number("\x80\0\0\0\0\0\0\0\x01\0\0\x07", 16777223);
  expect_number("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", INT64_MAX);
  expect_number("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", -1);
  expect_number("\xff\xff\xff\xff\x80\0\0\0\0\0\0\0", INT64_MIN);
  expect_bad_number("12 34       ");
  expect_bad_number("8           ");
  expect_bad_number("-1          ");
  expect_bad_number("0x1         ");
  expect_bad_number("\x80\0\0\0\x80\0\0\0\0\0\0\0");
  expect_bad_number("\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff");
  expect_bad_number("\x80\x01\0\0\0\0\0\0\0\0\0\0");
}

static void expect_patched(size_t offset, const void *bytes, size_t size, const char *message) {
  tar_fixture f = start();
  fixture_header(&f, MAGIC_USTAR, '4', "n", "", 0);
  fixture_patch(&f, offset, bytes, size);
  expect(&f, IMGSTORE_EFORMAT, message);
}

static void test_numbers_out_of_range(void **state) {
  static const char minus[12] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
  expect_patched(100, minus, 8, "entry \"n\": negative mode");
  expect_patched(108, minus, 8, "entry \"n\": negative uid");
  expect_patched(116, minus, 8, "entry \"n\": negative gid");
  expect_patched(124, minus, 12, "entry \"n\": negative size");
  expect_patched(124, "\x80\0\0\0\x80\0\0\0\0\0\0\0", 12, "entry \"n\": malformed size field");
  expect_patched(329, minus, 8, "entry \"n\": device number out of range");
  expect_patched(337, "\x80\0\0\x01\0\0\0\0", 8, "entry \"n\": device number out of range");
  expect_patched(329, "abc", 3, "entry \"n\": malformed device number");
  expect_patched(100, "9", 1, "entry \"n\": malformed mode field");
  expect_patched(108, "9", 1, "entry \"n\": malformed uid field");
  expect_patched(116, "9", 1, "entry \"n\": malformed gid field");
}

static void test_checksums(void **state) {
  tar_fixture f = start();
  fixture_header(&f, MAGIC_USTAR, '6', "\xe4\xf6", "", 0); /* the historical sum takes bytes as signed */
  char *block = f.bytes.data;
  unsigned sum = (unsigned)strtoul(block + 148, NULL, 8) - 2 * 256;
  snprintf(block + 148, 8, "%06o", sum);
  expect(&f, IMGSTORE_OK, "p \xe4\xf6" PLAIN "\n. \xe4\xf6\n");

  f = start();
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  f.bytes.data[3] = 'x';
  expect(&f, IMGSTORE_EFORMAT, "tar header at byte 0: wrong checksum");

  f = start();
  fixture_file(&f, '0', "n", "hello", 5);
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  memset(f.bytes.data + f.header + 148, 0, 8);
  expect(&f, IMGSTORE_EFORMAT, "tar header at byte 1024: wrong checksum");
}

static void test_names_and_targets_are_not_empty(void **state) {
  tar_fixture f = start();
  fixture_header(&f, MAGIC_USTAR, '0', "", "", 0);
  expect(&f, IMGSTORE_EFORMAT, "tar header at byte 0: empty name");
  f = start();
  fixture_header(&f, MAGIC_USTAR, '2', "n", "", 0);
  expect(&f, IMGSTORE_EFORMAT, "entry \"n\": empty link target");
  f = start();
  fixture_header(&f, MAGIC_USTAR, '1', "n", "", 0);
  expect(&f, IMGSTORE_EFORMAT, "entry \"n\": empty link target");
}

static void test_pax_values(void **state) {
  tar_fixture f = start();
  fixture_pax(&f, 'x', "path", "long/path", "uid", "4294967296", "gid", "7", "mtime", "12.5", "size", "5", "comment",
              "\xff", "uname", "somebody", "SCHILY.xattr.user.b", "v=1", "SCHILY.xattr.user.a", "first",
              "SCHILY.xattr.user.a", "", "VENDOR.x", "y", NULL);
  fixture_header(&f, MAGIC_USTAR, '0', "n", "", 0); /* the size is PAX's */
  fixture_content(&f, "hello", 5);
  fixture_pax(&f, 'x', "linkpath", "there", "path", "", "mtime", "-1.25", NULL);
  fixture_header(&f, MAGIC_USTAR, '2', "header-name", "n", 0);
  fixture_header(&f, MAGIC_USTAR, '6', "last", "", 0); /* nothing is left over */
  fixture_end(&f);
  expect(&f, IMGSTORE_OK,
         "f long/path 644 4294967296:7 size=5 data=5 time=12.500000000 user.b=763d31 user.a=\n  @0 hello\n. long/path\n"
         "l header-name -> there 644 1:2 size=0 data=0 time=-2.750000000\n. header-name\n"
         "p last" PLAIN "\n. last\nEND\n");
}

static void expect_time(const char *value, int64_t seconds, unsigned nanoseconds) {
  char expected[128];
  tar_fixture f = start();
  fixture_pax(&f, 'x', "mtime", value, NULL);
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  snprintf(expected, sizeof expected, "p n 644 1:2 size=0 data=0 time=%lld.%09u\n. n\n", (long long)seconds,
           nanoseconds);
  expect(&f, IMGSTORE_OK, expected);
}

static void test_pax_times(void **state) {
  expect_time("0.000000001", 0, 1);
  expect_time("5.", 5, 0);
  expect_time("5.1234567899", 5, 123456789);
  expect_time("-0.5", -1, 500000000);
  expect_time("-3", -3, 0);
  expect_time("-3.0000000001", -3, 0);
  expect_time("9223372036854775807.9", INT64_MAX, 900000000);
  static const char *const bad[] = {"x", ".5", "1e5", "--1", "+1", "1.x", "1 ", "9223372036854775808", "-"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    tar_fixture f = start();
    fixture_pax(&f, 'x', "mtime", bad[i], NULL);
    expect(&f, IMGSTORE_EFORMAT, "tar header at byte 0: malformed PAX record mtime");
  }
}

static void expect_pax_text(const char *text, size_t size, const char *message) {
  char full[128];
  tar_fixture f = start();
  fixture_file(&f, 'x', "p", text, size);
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  snprintf(full, sizeof full, "tar header at byte 0: %s", message);
  expect(&f, IMGSTORE_EFORMAT, full);
}

static void test_malformed_pax(void **state) {
#define BAD(text, message) expect_pax_text(text, sizeof text - 1, message)
  BAD("x", "malformed PAX record at byte 0");
  BAD("9 path=a\n\n", "malformed PAX record at byte 9");
  BAD("9 path=a\n\0", "malformed PAX record at byte 9");
  BAD("8 path=a\n", "malformed PAX record at byte 0");
  BAD("11 path=a\n", "malformed PAX record at byte 0");
  BAD("99 path=a\n", "malformed PAX record at byte 0");
  BAD("99999999999999999999999 path=a\n", "malformed PAX record at byte 0");
  BAD("-9 path=a\n", "malformed PAX record at byte 0");
  BAD("+9 path=a\n", "malformed PAX record at byte 0");
  BAD(" 9 path=a\n", "malformed PAX record at byte 0");
  BAD("9path=ab\n", "malformed PAX record at byte 0");
  BAD("9 path:a\n", "malformed PAX record at byte 0");
  BAD("6 =ab\n", "malformed PAX record at byte 0");
  BAD("2 \n", "malformed PAX record at byte 0");
  BAD("3 =\n", "malformed PAX record at byte 0");
  BAD("9 path=ab", "malformed PAX record at byte 0");
  BAD("10 pa\0h=a\n", "malformed PAX record at byte 0");
  BAD("11 path=a\0b\n9 path=c\n", "malformed PAX record at byte 0");
  BAD("12 path=a\0b\n", "NUL inside the PAX record path");
  BAD("16 linkpath=a\0b\n", "NUL inside the PAX record linkpath");
  BAD("9 size=x\n", "malformed PAX record size");
  BAD("11 size=-1\n", "negative size in a PAX record");
  BAD("9 uid=-1\n", "negative uid in a PAX record");
  BAD("9 gid=-1\n", "negative gid in a PAX record");
  BAD("28 size=9223372036854775808\n", "malformed PAX record size");
  BAD("30 size=999999999999999999999\n", "malformed PAX record size");
  BAD("16 SCHILY.xattr.=v\n", "malformed PAX record at byte 0");
  BAD("19 SCHILY.xattr.=v\n", "extended attribute without a name");
#undef BAD
}

static void test_pax_size_waits_for_the_file(void **state) {
  char inner[1536];
  tar_fixture nested = start(), f = start();
  fixture_file(&nested, '0', "smuggled", "x", 1);
  memcpy(inner, nested.bytes.data, 1024);
  fixture_free(&nested);
  fixture_pax(&f, 'x', "size", "1024", NULL);
  fixture_file(&f, 'L', "l", "long-name", 10);
  fixture_file(&f, 'K', "l", "unused", 7);
  fixture_header(&f, MAGIC_USTAR, '0', "n", "", 0);
  fixture_content(&f, inner, 1024);
  fixture_header(&f, MAGIC_USTAR, '6', "last", "", 0);
  ims_error err = IMS_ERROR_INIT;
  int32_t rc;
  ims_buf out = read_all(&f, 0, 100, NULL, &rc, &err);
  const char *text = ims_buf_text(&out);
  assert_int_equal(rc, IMGSTORE_OK);
  assert_true(strncmp(text, "f long-name 644 1:2 size=1024 data=1024 ", 40) == 0);
  const char *tail = "\n. long-name\np last" PLAIN "\n. last\n";
  assert_string_equal(text + out.size - strlen(tail), tail);
  ims_buf_free(&out);
  fixture_free(&f);
}

static void test_global_headers(void **state) {
  tar_fixture f = start();
  fixture_pax(&f, 'g', "uid", "10", "gid", "11", "mtime", "12.5", "comment", "0123", NULL);
  fixture_header(&f, MAGIC_USTAR, '6', "a", "", 0);
  fixture_pax(&f, 'x', "uid", "20", "gid", "", NULL);
  fixture_header(&f, MAGIC_USTAR, '6', "b", "", 0);
  fixture_pax(&f, 'g', "uid", "", "gid", "30", NULL);
  fixture_header(&f, MAGIC_USTAR, '6', "c", "", 0);
  fixture_file(&f, 'g', "empty", "", 0);
  fixture_header(&f, MAGIC_USTAR, '6', "d", "", 0);
  expect(&f, IMGSTORE_OK,
         "p a 644 10:11 size=0 data=0 time=12.500000000\n. a\n"
         "p b 644 20:2 size=0 data=0 time=12.500000000\n. b\n"
         "p c 644 1:30 size=0 data=0 time=12.500000000\n. c\n"
         "p d 644 1:30 size=0 data=0 time=12.500000000\n. d\n");
  static const char *const refused[] = {
      "path", "linkpath", "size", "GNU.sparse.map", "SCHILY.xattr.user.a", "LIBARCHIVE.xattr.user.a"};
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    char message[128];
    f = start();
    fixture_pax(&f, 'g', refused[i], "1", NULL);
    snprintf(message, sizeof message, "tar header at byte 0: %s in a global PAX header", refused[i]);
    expect(&f, IMGSTORE_EUNSUPPORTED, message);
  }
}

static void test_libarchive_xattrs(void **state) {
  tar_fixture f = start();
  fixture_pax(&f, 'x', "LIBARCHIVE.xattr.user.%3d%25", "AAECAw", "LIBARCHIVE.xattr.user.p",
              "AAE=", "SCHILY.xattr.user.s", "plain", "LIBARCHIVE.xattr.user.s", "AAAA", "LIBARCHIVE.xattr.user.t",
              "AAAA", "SCHILY.xattr.user.t", "plain", "LIBARCHIVE.xattr.user.e", "", NULL);
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  expect(&f, IMGSTORE_OK,
         "p n" PLAIN " user.=%=00010203 user.p=0001 user.s=706c61696e user.t=706c61696e user.e=\n. n\n");
  static const char *const values[] = {"A", "AB", "AAEC A", "AA==A", "====", "A===", "AA=", "AAE\n"};
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
    f = start();
    fixture_pax(&f, 'x', "LIBARCHIVE.xattr.u", values[i], NULL);
    expect(&f, IMGSTORE_EFORMAT, "tar header at byte 0: malformed base64 in LIBARCHIVE.xattr.u");
  }
  static const char *const names[] = {"LIBARCHIVE.xattr.%", "LIBARCHIVE.xattr.a%2", "LIBARCHIVE.xattr.%zz",
                                      "LIBARCHIVE.xattr.a%00b"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    f = start();
    fixture_pax(&f, 'x', names[i], "AAAA", NULL);
    expect(&f, IMGSTORE_EFORMAT, "tar header at byte 0: malformed name of a LIBARCHIVE.xattr record");
  }
}

static void test_xattrs_are_bounded_and_binary(void **state) {
  ims_buf records;
  char key[64];
  tar_fixture f = start();
  ims_buf_init(&records, &ims_alloc_default, 1 << 20);
  fixture_record(&records, "SCHILY.xattr.security.capability", "\1\0\n\2\0", 5);
  fixture_file(&f, 'x', "p", records.data, records.size);
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  expect(&f, IMGSTORE_OK, "p n" PLAIN " security.capability=01000a0200\n. n\n");
  ims_buf_clear(&records);
  for (int i = 0; i < 513; i++) {
    snprintf(key, sizeof key, "SCHILY.xattr.user.%d", i);
    fixture_record(&records, key, "", 0);
  }
  f = start();
  fixture_file(&f, 'x', "p", records.data, records.size);
  expect(&f, IMGSTORE_ELIMIT, "tar header at byte 0: more than 512 extended attributes");
  ims_buf_free(&records);
}

static void test_gnu_long_names(void **state) {
  for (int k_first = 0; k_first < 2; k_first++) {
    tar_fixture f = start();
    fixture_header(&f, MAGIC_GNU, k_first ? 'K' : 'L', "././@LongLink", "", 6);
    fixture_content(&f, k_first ? "target" : "source", 6); /* no NUL at the end */
    fixture_header(&f, MAGIC_GNU, k_first ? 'L' : 'K', "././@LongLink", "", 8);
    fixture_content(&f, k_first ? "source\0" : "target\0", 8);
    fixture_header(&f, MAGIC_GNU, '2', "sou", "tar", 0);
    fixture_header(&f, MAGIC_GNU, '2', "sou", "tar", 0);
    expect(&f, IMGSTORE_OK, "l source -> target" PLAIN "\n. source\nl sou -> tar" PLAIN "\n. sou\n");
  }
}

static void test_long_names_that_do_not_hold(void **state) {
  static const struct {
    const char *text;
    size_t size;
    const char *message;
  } cases[] = {{"", 0, "empty long name"}, {"\0", 2, "empty long name"}, {"a\0b", 4, "NUL inside a long name"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    for (int k = 0; k < 2; k++) {
      char message[128];
      tar_fixture f = start();
      fixture_file(&f, k ? 'K' : 'L', "l", cases[i].text, cases[i].size);
      fixture_header(&f, MAGIC_GNU, '6', "n", "", 0);
      snprintf(message, sizeof message, "tar header at byte 0: %s", cases[i].message);
      expect(&f, IMGSTORE_EFORMAT, message);
    }
}

static void test_disagreeing_sources(void **state) {
  tar_fixture f = start();
  fixture_file(&f, 'L', "l", "one", 4);
  fixture_pax(&f, 'x', "path", "two", NULL);
  fixture_header(&f, MAGIC_GNU, '6', "n", "", 0);
  expect(&f, IMGSTORE_EFORMAT, "entry \"two\": PAX path and GNU long name differ");
  f = start();
  fixture_file(&f, 'K', "l", "one", 4);
  fixture_pax(&f, 'x', "linkpath", "two", NULL);
  fixture_header(&f, MAGIC_GNU, '2', "n", "", 0);
  expect(&f, IMGSTORE_EFORMAT, "entry \"n\": PAX linkpath and GNU long link differ");
  f = start();
  fixture_file(&f, 'L', "l", "one", 4);
  fixture_pax(&f, 'x', "path", "one", NULL);
  fixture_header(&f, MAGIC_GNU, '6', "n", "", 0);
  expect(&f, IMGSTORE_OK, "p one" PLAIN "\n. one\n");
  static const char types[] = "xLK";
  for (size_t i = 0; i < 3; i++) {
    char message[128];
    f = start();
    fixture_file(&f, types[i], "e", types[i] == 'x' ? "9 path=a\n" : "a", types[i] == 'x' ? 9 : 1);
    fixture_pax(&f, 'g', "comment", "c", NULL);
    expect(&f, IMGSTORE_EFORMAT,
           "tar header at byte 1024: global PAX header between an extension header and its entry");
    f = start();
    for (int twice = 0; twice < 2; twice++)
      fixture_file(&f, types[i], "e", types[i] == 'x' ? "9 path=a\n" : "a", types[i] == 'x' ? 9 : 1);
    fixture_header(&f, MAGIC_GNU, '6', "n", "", 0);
    snprintf(message, sizeof message, "tar header at byte 1024: two extension headers of type '%c' for one entry",
             types[i]);
    expect(&f, IMGSTORE_EFORMAT, message);
  }
}

static void test_extension_limits(void **state) {
  tar_fixture f = start();
  fixture_header(&f, MAGIC_USTAR, 'x', "p", "", (1 << 20) + 1);
  expect(&f, IMGSTORE_ELIMIT, "tar header at byte 0: extension header of 1048577 bytes");
  f = start();
  fixture_header(&f, MAGIC_USTAR, 'L', "p", "", 0);
  fixture_patch(&f, 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
  expect(&f, IMGSTORE_EFORMAT, "tar header at byte 0: malformed size of an extension header");
  f = start();
  for (int i = 0; i < 8; i++)
    fixture_pax(&f, 'g', "comment", "c", NULL);
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  for (int i = 0; i < 9; i++)
    fixture_pax(&f, 'g', "comment", "c", NULL);
  expect(&f, IMGSTORE_ELIMIT, "tar header at byte 16896: more than 8 extension headers in a row");
}

static void test_megabyte_of_path(void **state) {
  const size_t size = (1 << 20) - 14; /* "1048576 path=" and "\n" around it */
  char *path = malloc(size + 1);
  tar_fixture f = start();
  ims_error err = IMS_ERROR_INIT;
  int32_t rc;
  memset(path, 'p', size);
  path[size] = '\0';
  fixture_pax(&f, 'x', "path", path, NULL);
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  ims_buf out = read_all(&f, 0, 4096, NULL, &rc, &err);
  assert_int_equal(rc, IMGSTORE_OK);
  assert_true(out.size > size * 2);
  ims_buf_free(&out);
  fixture_free(&f);
  free(path);
}

static void test_end(void **state) {
  tar_fixture f = start();
  expect(&f, IMGSTORE_OK, "");
  f = start();
  fixture_end(&f);
  expect(&f, IMGSTORE_OK, "END\n");
  f = start();
  fixture_end(&f);
  fixture_file(&f, '0', "behind the end", "x", 1);
  ims_buf_puts(&f.bytes, "odd");
  expect(&f, IMGSTORE_OK, "END\n");
  f = start();
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  expect(&f, IMGSTORE_OK, "p n" PLAIN "\n. n\n"); /* no end marker */
  f = start();
  fixture_end(&f);
  f.bytes.size = 512;
  expect(&f, IMGSTORE_OK, "");
  f = start();
  fixture_end(&f);
  f.bytes.size = 512;
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  expect(&f, IMGSTORE_EFORMAT, "tar header at byte 512: data after a single zero block");
  f = start();
  fixture_pax(&f, 'x', "path", "n", NULL);
  fixture_end(&f);
  expect(&f, IMGSTORE_EFORMAT, "tar header at byte 1024: extension header without an entry");
}

static void test_truncated_anywhere(void **state) {
  tar_fixture f = start();
  fixture_pax(&f, 'x', "path", "name", NULL);
  fixture_file(&f, '0', "n", "hello", 5);
  const size_t whole = f.bytes.size;
  for (size_t size = 1; size < whole; size++) {
    ims_error err = IMS_ERROR_INIT;
    int32_t rc;
    f.bytes.size = size;
    ims_buf out = read_all(&f, 0, 300, NULL, &rc, &err);
    if (size < whole - 512 + 5) {
      assert_int_equal(rc, IMGSTORE_EFORMAT);
      assert_non_null(strstr(err.message, "archive is truncated"));
    } else { /* some writers leave out the padding of the last entry, and the end marker */
      assert_int_equal(rc, IMGSTORE_OK);
      assert_non_null(strstr(ims_buf_text(&out), "name"));
    }
    ims_buf_free(&out);
  }
  fixture_free(&f);
}

static void test_limits(void **state) {
  const ims_tar_limits limits = {2, 3};
  tar_fixture f = start();
  fixture_header(&f, MAGIC_USTAR, '5', "/a//b/c/", "", 0);
  fixture_header(&f, MAGIC_USTAR, '2', "s", "a/b/c/d/e", 0); /* a target is only text */
  expect_with(&f, &limits, IMGSTORE_OK, "d /a//b/c/" PLAIN "\n. /a//b/c/\nl s -> a/b/c/d/e" PLAIN "\n. s\n");
  f = start();
  for (int i = 0; i < 3; i++)
    fixture_header(&f, MAGIC_USTAR, '5', "d", "", 0);
  expect_with(&f, &limits, IMGSTORE_ELIMIT, "tar header at byte 1024: more than 2 entries");
  f = start();
  fixture_header(&f, MAGIC_USTAR, '5', "a/b/c/d", "", 0);
  expect_with(&f, &limits, IMGSTORE_ELIMIT, "entry \"a/b/c/d\": path has more than 3 components");
  f = start();
  fixture_header(&f, MAGIC_USTAR, '1', "n", "a/b/c/d", 0);
  expect_with(&f, &limits, IMGSTORE_ELIMIT, "entry \"n\": path has more than 3 components");
}

static void test_huge_file_is_not_an_allocation(void **state) {
  tar_fixture f = start();
  fixture_pax(&f, 'x', "size", "9223372036854775807", NULL);
  fixture_header(&f, MAGIC_USTAR, '0', "n", "", 0);
  ims_buf_puts(&f.bytes, "content");
  expect(&f, IMGSTORE_EFORMAT, "entry \"n\": archive is truncated");
}

static void test_reset_and_failure_stick(void **state) {
  const ims_tar_limits limits = {100, 100};
  ims_error err = IMS_ERROR_INIT;
  ims_tar_reader *reader;
  ims_tar_event event;
  size_t used;
  tar_fixture f = start();
  fixture_pax(&f, 'g', "uid", "77", NULL);
  fixture_pax(&f, 'x', "path", "renamed", NULL);
  f.bytes.data[1024 + 2] ^= 1; /* breaks the second header */
  assert_int_equal(ims_tar_reader_new(&reader, &ims_alloc_default, &limits, &err), IMGSTORE_OK);
  const uint8_t *bytes = (const uint8_t *)f.bytes.data;
  assert_int_equal(ims_tar_reader_next(reader, bytes, 2048, &used, &event, &err), IMGSTORE_EFORMAT);
  assert_int_equal(ims_tar_reader_next(reader, bytes, 1024, &used, &event, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(used, 0);
  assert_int_equal(ims_tar_reader_finish(reader, NULL), IMGSTORE_EFORMAT);
  ims_tar_reader_reset(reader);
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  bytes = (const uint8_t *)f.bytes.data + f.header;
  assert_int_equal(ims_tar_reader_next(reader, bytes, 512, &used, &event, NULL), IMGSTORE_OK);
  assert_int_equal(event.type, IMS_TAR_ENTRY);
  assert_string_equal(event.entry->path, "n");
  assert_int_equal(event.entry->uid, 1); /* the global header is forgotten */
  assert_int_equal(ims_tar_reader_next(reader, NULL, 0, &used, &event, NULL), IMGSTORE_OK);
  assert_int_equal(event.type, IMS_TAR_ENTRY_END);
  assert_int_equal(ims_tar_reader_finish(reader, NULL), IMGSTORE_OK);
  ims_tar_reader_free(reader);
  ims_tar_reader_free(NULL);
  fixture_free(&f);
}

static void test_entry_stays_valid_until_the_next(void **state) {
  const ims_tar_limits limits = {100, 100};
  ims_tar_reader *reader;
  ims_tar_event event;
  const ims_tar_entry *first = NULL;
  size_t at = 0, used;
  int ended = 0;
  tar_fixture f = start();
  fixture_pax(&f, 'x', "path", "first", "SCHILY.xattr.user.a", "1", NULL);
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  fixture_pax(&f, 'x', "path", "second", "SCHILY.xattr.user.a", "2", NULL);
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  assert_int_equal(ims_tar_reader_new(&reader, &ims_alloc_default, &limits, NULL), IMGSTORE_OK);
  while (at < f.bytes.size) {
    const uint8_t *bytes = (const uint8_t *)f.bytes.data + at;
    assert_int_equal(ims_tar_reader_next(reader, bytes, 1, &used, &event, NULL), IMGSTORE_OK);
    at += used;
    if (event.type == IMS_TAR_ENTRY && !first)
      first = event.entry;
    else if (event.type == IMS_TAR_ENTRY)
      break;
    ended |= event.type == IMS_TAR_ENTRY_END;
    if (ended && first) {
      assert_string_equal(first->path, "first");
      assert_int_equal(first->xattr_count, 1);
      assert_memory_equal(first->xattrs[0].value, "1", 1);
    }
  }
  assert_string_equal(event.entry->path, "second");
  ims_tar_reader_free(reader);
  fixture_free(&f);
}

typedef struct failing {
  size_t left;
} failing;

static void *failing_allocate(void *user_data, size_t bytes) {
  failing *f = user_data;
  return f->left && f->left-- ? malloc(bytes) : NULL;
}

static void *failing_reallocate(void *user_data, void *memory, size_t bytes) {
  failing *f = user_data;
  return f->left && f->left-- ? realloc(memory, bytes) : NULL;
}

static void failing_release(void *user_data, void *memory) {
  free(memory);
}

static int32_t read_with(const ims_alloc *alloc, const tar_fixture *f) {
  const ims_tar_limits limits = {100, 100};
  ims_tar_reader *reader;
  ims_tar_event event;
  size_t at = 0, used;
  int32_t rc = ims_tar_reader_new(&reader, alloc, &limits, NULL);
  while (rc == IMGSTORE_OK && at < f->bytes.size) {
    rc = ims_tar_reader_next(reader, (const uint8_t *)f->bytes.data + at, f->bytes.size - at, &used, &event, NULL);
    at += used;
  }
  ims_tar_reader_free(reader);
  return rc;
}

static void test_out_of_memory(void **state) {
  tar_fixture f = start();
  failing counter = {0};
  const ims_alloc alloc = {&counter, failing_allocate, failing_reallocate, failing_release};
  fixture_pax(&f, 'g', "uid", "7", NULL);
  fixture_pax(&f, 'x', "path", "n", "SCHILY.xattr.user.a", "1", "SCHILY.xattr.user.b", "1", NULL);
  fixture_file(&f, 'K', "l", "link", 5);
  fixture_header(&f, MAGIC_USTAR, '6', "n", "", 0);
  fixture_pax(&f, 'x', "GNU.sparse.map", "0,1", "GNU.sparse.numblocks", "1", "GNU.sparse.size", "1", NULL);
  fixture_file(&f, '0', "n", "x", 1);
  fixture_end(&f);
  int32_t rc = IMGSTORE_ENOMEM;
  for (size_t i = 0; rc != IMGSTORE_OK; i++) {
    counter.left = i;
    rc = read_with(&alloc, &f);
    assert_true(rc == IMGSTORE_OK ? i > 5 : rc == IMGSTORE_ENOMEM);
  }
  fixture_free(&f);
}

static void test_codec_name(void **state) {
  assert_true(strcmp(ims_tar_codec_name(), "libtar") == 0 || strcmp(ims_tar_codec_name(), "builtin") == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_type),
      cmocka_unit_test(test_unknown_types_are_refused),
      cmocka_unit_test(test_prefix_depends_on_magic),
      cmocka_unit_test(test_full_fields_have_no_nul),
      cmocka_unit_test(test_numbers),
      cmocka_unit_test(test_numbers_out_of_range),
      cmocka_unit_test(test_checksums),
      cmocka_unit_test(test_names_and_targets_are_not_empty),
      cmocka_unit_test(test_pax_values),
      cmocka_unit_test(test_pax_times),
      cmocka_unit_test(test_malformed_pax),
      cmocka_unit_test(test_pax_size_waits_for_the_file),
      cmocka_unit_test(test_global_headers),
      cmocka_unit_test(test_libarchive_xattrs),
      cmocka_unit_test(test_xattrs_are_bounded_and_binary),
      cmocka_unit_test(test_gnu_long_names),
      cmocka_unit_test(test_long_names_that_do_not_hold),
      cmocka_unit_test(test_disagreeing_sources),
      cmocka_unit_test(test_extension_limits),
      cmocka_unit_test(test_megabyte_of_path),
      cmocka_unit_test(test_end),
      cmocka_unit_test(test_truncated_anywhere),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_huge_file_is_not_an_allocation),
      cmocka_unit_test(test_reset_and_failure_stick),
      cmocka_unit_test(test_entry_stays_valid_until_the_next),
      cmocka_unit_test(test_out_of_memory),
      cmocka_unit_test(test_codec_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
