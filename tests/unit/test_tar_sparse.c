/* tests/unit/test_tar_sparse.c - sparse maps in their four forms, and maps that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tar_fixture.h"

static void expect(tar_fixture *f, int32_t code, const char *text) {
  for (size_t chunk = 1; chunk < 4096; chunk += chunk < 520 ? 73 : 1000) {
    ims_error err = IMS_ERROR_INIT;
    ims_buf out;
    ims_buf_init(&out, &ims_alloc_default, 1 << 20);
    assert_int_equal(transcript(ims_buf_text(&f->bytes), f->bytes.size, 0, chunk, NULL, &out, &err), code);
    assert_string_equal(code == IMGSTORE_OK ? ims_buf_text(&out) : err.message, text);
    ims_buf_free(&out);
  }
  fixture_free(f);
}

static tar_fixture start(void) {
  tar_fixture f;
  fixture_init(&f);
  return f;
}

#define SPARSE_TEXT                                                                                                    \
  "f n 644 1:2 size=100 data=7 time=3.000000000 sparse 10+3 50+4\n  @10 abc\n  @50 defg\n. n\n"                        \
  "p last 644 1:2 size=0 data=0 time=3.000000000\n. last\n"

static void finish(tar_fixture *f) {
  fixture_header(f, MAGIC_USTAR, '6', "last", "", 0);
  expect(f, IMGSTORE_OK, SPARSE_TEXT);
}

static void test_pax_0_0(void **state) {
  tar_fixture f = start();
  fixture_pax(&f, 'x', "GNU.sparse.size", "100", "GNU.sparse.numblocks", "3", "GNU.sparse.offset", "10",
              "GNU.sparse.numbytes", "3", "GNU.sparse.offset", "50", "GNU.sparse.numbytes", "4", "GNU.sparse.offset",
              "100", "GNU.sparse.numbytes", "0", NULL);
  fixture_file(&f, '0', "n", "abcdefg", 7);
  finish(&f);
}

static void test_pax_0_1(void **state) {
  tar_fixture f = start();
  fixture_pax(&f, 'x', "GNU.sparse.size", "100", "GNU.sparse.numblocks", "2", "GNU.sparse.name", "n", "GNU.sparse.map",
              "10,3,50,4", NULL);
  fixture_file(&f, '0', "GNUSparseFile.1/n", "abcdefg", 7);
  finish(&f);
}

static void pax_1_0(tar_fixture *f, const char *size) {
  fixture_pax(f, 'x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "n", "GNU.sparse.realsize",
              size, NULL);
}

/* The map's block, then the content. */
static void map_file(tar_fixture *f, const char *map, const char *content) {
  char bytes[2048] = {0};
  const size_t blocks = (strlen(map) + 511) / 512 * 512;
  memcpy(bytes, map, strlen(map));
  memcpy(bytes + blocks, content, strlen(content));
  fixture_file(f, '0', "GNUSparseFile.1/n", bytes, blocks + strlen(content));
}

static void test_pax_1_0(void **state) {
  tar_fixture f = start();
  pax_1_0(&f, "100");
  map_file(&f, "2\n10\n3\n50\n4\n", "abcdefg");
  finish(&f);
}

static void test_pax_1_0_map_over_blocks(void **state) {
  char map[1024] = "202\n";
  tar_fixture f = start();
  for (int i = 0; i < 200; i++)
    strcat(map, "0\n0\n");
  strcat(map, "10\n3\n50\n4\n");
  pax_1_0(&f, "100");
  map_file(&f, map, "abcdefg");
  finish(&f);
}

static void number(char *field, unsigned value) {
  char text[16];
  snprintf(text, sizeof text, "%011o", value);
  memcpy(field, text, 12);
}

static void old_header(tar_fixture *f, unsigned offset, unsigned size, bool more) {
  char map[12 * 8 + 1 + 12] = {0};
  fixture_header(f, MAGIC_GNU, 'S', "n", "", 7);
  number(map, offset);
  number(map + 12, size);
  map[96] = more;
  number(map + 97, 100);
  fixture_patch(f, 386, map, sizeof map);
}

static void test_old_gnu(void **state) {
  tar_fixture f = start();
  char block[512] = {0};
  old_header(&f, 10, 3, true);
  number(block, 50);
  number(block + 12, 4);
  number(block + 24, 100);
  number(block + 36, 0);
  block[504] = 1;
  fixture_content(&f, block, 512);
  memset(block, 0, 512);
  fixture_content(&f, block, 512);
  fixture_content(&f, "abcdefg", 7);
  finish(&f);
}

static void test_old_gnu_refused(void **state) {
  tar_fixture f = start();
  char block[512] = {0};
  old_header(&f, 10, 3, true);
  block[504] = 1;
  fixture_content(&f, block, 512);
  expect(&f, IMGSTORE_EFORMAT, "entry \"n\": empty sparse extension block");
  f = start();
  old_header(&f, 10, 7, false);
  fixture_patch(&f, 257, MAGIC_USTAR, 8);
  fixture_content(&f, "abcdefg", 7);
  expect(&f, IMGSTORE_EUNSUPPORTED, "entry \"n\": sparse file in a format that is not GNU's");
  f = start();
  old_header(&f, 10, 7, false);
  fixture_patch(&f, 398, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
  expect(&f, IMGSTORE_EFORMAT, "entry \"n\": malformed sparse map");
  f = start();
  old_header(&f, 10, 7, false);
  fixture_patch(&f, 483, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
  expect(&f, IMGSTORE_EFORMAT, "entry \"n\": malformed size of a sparse file");
  f = start();
  old_header(&f, 94, 7, false);
  expect(&f, IMGSTORE_EFORMAT, "entry \"n\": sparse segment beyond the end of the file");
}

static void test_a_file_that_is_one_hole(void **state) {
  tar_fixture f = start();
  fixture_pax(&f, 'x', "GNU.sparse.size", "100", "GNU.sparse.numblocks", "0", "GNU.sparse.map", "", NULL);
  fixture_file(&f, '0', "n", "", 0);
  pax_1_0(&f, "100");
  map_file(&f, "0\n", "");
  pax_1_0(&f, "100");
  fixture_file(&f, '0', "g", "0\n", 2); /* the content ends with the map, inside a block */
  expect(&f, IMGSTORE_OK,
         "f n 644 1:2 size=100 data=0 time=3.000000000 sparse\n. n\n"
         "f n 644 1:2 size=100 data=0 time=3.000000000 sparse\n. n\n"
         "f n 644 1:2 size=100 data=0 time=3.000000000 sparse\n. n\n");
}

static void expect_bad_map(const char *size, const char *blocks, const char *map, const char *message) {
  char full[128];
  const bool early = strstr(message, "overlap") || strstr(message, "malformed") || strstr(message, "outside");
  tar_fixture f = start();
  fixture_pax(&f, 'x', "GNU.sparse.size", size, "GNU.sparse.numblocks", blocks, "GNU.sparse.map", map, NULL);
  fixture_file(&f, '0', "n", "abcdefg", 7);
  snprintf(full, sizeof full, "%s: %s", early ? "tar header at byte 0" : "entry \"n\"", message);
  expect(&f, IMGSTORE_EFORMAT, full);
}

static void test_maps_that_lie(void **state) {
  expect_bad_map("100", "2", "50,4,10,3", "sparse segments overlap or are out of order");
  expect_bad_map("100", "2", "10,3,12,4", "sparse segments overlap or are out of order");
  expect_bad_map("100", "1", "94,7", "sparse segment beyond the end of the file");
  expect_bad_map("100", "2", "10,7,101,0", "sparse segment beyond the end of the file");
  expect_bad_map("100", "1", "10,6", "sparse segments do not add up to the size of the content");
  expect_bad_map("100", "1", "10,8", "sparse segments do not add up to the size of the content");
  expect_bad_map("100", "2", "10,7", "sparse map has another length than stated");
  expect_bad_map("100", "1", "10,7,50", "sparse offset without a size");
  expect_bad_map("100", "1", "10,7,", "malformed sparse map");
  expect_bad_map("100", "1", ",7", "malformed sparse map");
  expect_bad_map("100", "1", "-1,7", "malformed sparse map");
  expect_bad_map("100", "1", "10, 7", "malformed sparse map");
  expect_bad_map("100", "1", "9223372036854775807,1", "sparse segment outside of any file");
}

static void expect_records(const char *first, const char *one, const char *second, const char *two, char typeflag,
                           int32_t code, const char *message) {
  tar_fixture f = start();
  fixture_pax(&f, 'x', first, one, second, two, NULL);
  fixture_header(&f, MAGIC_GNU, typeflag, "n", "", 0);
  expect(&f, code, message);
}

static void test_records_that_do_not_hold(void **state) {
  expect_records("GNU.sparse.major", "1", "comment", "", '0', IMGSTORE_EFORMAT,
                 "entry \"n\": incomplete PAX sparse records");
  expect_records("GNU.sparse.name", "a", "comment", "", '0', IMGSTORE_EFORMAT,
                 "entry \"a\": incomplete PAX sparse records");
  expect_records("GNU.sparse.map", "", "GNU.sparse.numblocks", "0", '0', IMGSTORE_EFORMAT,
                 "entry \"n\": incomplete PAX sparse records");
  expect_records("GNU.sparse.size", "1", "GNU.sparse.realsize", "2", '0', IMGSTORE_EFORMAT,
                 "tar header at byte 0: two sizes for one sparse file");
  expect_records("GNU.sparse.size", "1", "GNU.sparse.numblocks", "0", '5', IMGSTORE_EFORMAT,
                 "entry \"n\": PAX sparse records for an entry that cannot have them");
  expect_records("GNU.sparse.size", "1", "GNU.sparse.numblocks", "0", 'S', IMGSTORE_EFORMAT,
                 "entry \"n\": PAX sparse records for an entry that cannot have them");
  expect_records("GNU.sparse.numbytes", "1", "GNU.sparse.offset", "0", '0', IMGSTORE_EFORMAT,
                 "tar header at byte 0: sparse offsets and sizes do not alternate");
  expect_records("GNU.sparse.map", "", "GNU.sparse.offset", "0", '0', IMGSTORE_EFORMAT,
                 "tar header at byte 0: two sparse maps for one file");
  expect_records("GNU.sparse.offset", "0", "GNU.sparse.map", "", '0', IMGSTORE_EFORMAT,
                 "tar header at byte 0: two sparse maps for one file");
  tar_fixture f = start();
  fixture_pax(&f, 'x', "GNU.sparse.major", "2", "GNU.sparse.minor", "0", "GNU.sparse.realsize", "9", NULL);
  fixture_header(&f, MAGIC_USTAR, '0', "n", "", 0);
  expect(&f, IMGSTORE_EUNSUPPORTED, "entry \"n\": unknown sparse format");
  f = start();
  fixture_pax(&f, 'x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.realsize", "9", "GNU.sparse.map",
              "", NULL);
  fixture_header(&f, MAGIC_USTAR, '0', "n", "", 0);
  expect(&f, IMGSTORE_EFORMAT, "entry \"n\": two sparse maps for one file");
}

static void expect_bad_lines(const char *map, int32_t code, const char *message) {
  char full[128];
  tar_fixture f = start();
  pax_1_0(&f, "100");
  map_file(&f, map, "abcdefg");
  snprintf(full, sizeof full, "entry \"n\": %s", message);
  expect(&f, code, full);
}

static void test_1_0_maps_that_lie(void **state) {
  expect_bad_lines("\n", IMGSTORE_EFORMAT, "malformed sparse map");
  expect_bad_lines("x\n", IMGSTORE_EFORMAT, "malformed sparse map");
  expect_bad_lines("-1\n", IMGSTORE_EFORMAT, "malformed sparse map");
  expect_bad_lines("1\n10\n", IMGSTORE_EFORMAT, "malformed sparse map"); /* runs into the block's zeros */
  expect_bad_lines("1\n99999999999999999999\n7\n", IMGSTORE_EFORMAT, "malformed sparse map");
  expect_bad_lines("000000000000000000001\n", IMGSTORE_EFORMAT, "malformed sparse map");
  expect_bad_lines("65537\n", IMGSTORE_ELIMIT, "more than 65536 sparse segments");
  expect_bad_lines("2\n50\n4\n10\n3\n", IMGSTORE_EFORMAT, "sparse segments overlap or are out of order");
  expect_bad_lines("1\n10\n8\n", IMGSTORE_EFORMAT, "sparse segments do not add up to the size of the content");
  expect_bad_lines("1\n98\n7\n", IMGSTORE_EFORMAT, "sparse segment beyond the end of the file");
  tar_fixture f = start();
  pax_1_0(&f, "100");
  fixture_file(&f, '0', "g", "2\n10\n3\n5", 8); /* ends inside the map */
  fixture_header(&f, MAGIC_USTAR, '6', "last", "", 0);
  expect(&f, IMGSTORE_EFORMAT, "entry \"n\": sparse map longer than the content");
}

static void test_too_many_segments(void **state) {
  ims_buf map, records;
  tar_fixture f = start();
  ims_buf_init(&map, &ims_alloc_default, 1 << 20);
  ims_buf_init(&records, &ims_alloc_default, 1 << 20);
  for (int i = 0; i < 65537; i++)
    ims_buf_puts(&map, i ? ",9,0" : "9,0");
  fixture_record(&records, "GNU.sparse.map", map.data, map.size);
  fixture_file(&f, 'x', "p", records.data, records.size);
  expect(&f, IMGSTORE_ELIMIT, "tar header at byte 0: more than 65536 sparse segments");
  ims_buf_free(&map);
  ims_buf_free(&records);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pax_0_0),
      cmocka_unit_test(test_pax_0_1),
      cmocka_unit_test(test_pax_1_0),
      cmocka_unit_test(test_pax_1_0_map_over_blocks),
      cmocka_unit_test(test_old_gnu),
      cmocka_unit_test(test_old_gnu_refused),
      cmocka_unit_test(test_a_file_that_is_one_hole),
      cmocka_unit_test(test_maps_that_lie),
      cmocka_unit_test(test_records_that_do_not_hold),
      cmocka_unit_test(test_1_0_maps_that_lie),
      cmocka_unit_test(test_too_many_segments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
