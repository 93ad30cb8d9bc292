/* tests/unit/test_whiteout.c - how names of a layer are cleaned and what .wh. names mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tar/whiteout.h"

static void expect(const char *path, int kind, const char *cleaned) {
  char *out = malloc(strlen(path) + 1); /* exactly what the function may use */
  ims_error err = IMS_ERROR_INIT;
  int got = -1;
  assert_int_equal(ims_layer_path(path, out, &got, &err), IMGSTORE_OK);
  assert_int_equal(got, kind);
  if (kind != IMS_WHITEOUT_IGNORE)
    assert_string_equal(out, cleaned);
  free(out);
}

static void expect_refused(const char *path, const char *reason) {
  char *out = malloc(strlen(path) + 1), message[256];
  ims_error err = IMS_ERROR_INIT;
  int kind;
  assert_int_equal(ims_layer_path(path, out, &kind, &err), IMGSTORE_EFORMAT);
  snprintf(message, sizeof message, "entry \"%s\": %s", path, reason);
  assert_string_equal(err.message, message);
  assert_int_equal(ims_layer_path(path, out, &kind, NULL), IMGSTORE_EFORMAT);
  free(out);
}

static void test_cleaning(void **state) {
  static const char *const cases[][2] = {
      {"", ""},
      {"/", ""},
      {".", ""},
      {"./", ""},
      {"..", ""},
      {"a", "a"},
      {"/a", "a"},
      {"./a/", "a"},
      {"a//b", "a/b"},
      {"a/./b/.", "a/b"},
      {"../../a", "a"},
      {"a/../b", "b"},
      {"a/..", ""},
      {"a/b/../..", ""},
      {"a/b/../../../c", "c"},
      {"a/bc/../d", "a/d"},
      {"...", "..."},
      {"..a/.b", "..a/.b"},
      {".whx", ".whx"},
      {"wh.x", "wh.x"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    expect(cases[i][0], IMS_WHITEOUT_NONE, cases[i][1]);
}

static void test_whiteouts(void **state) {
  expect(".wh.a", IMS_WHITEOUT_FILE, "a");
  expect("/d/.wh.a", IMS_WHITEOUT_FILE, "d/a");
  expect("d/.wh.a/", IMS_WHITEOUT_FILE, "d/a");
  expect("d/e/../.wh..b", IMS_WHITEOUT_FILE, "d/.b");
  expect("d/.wh.....", IMS_WHITEOUT_FILE, "d/....");
  expect("d/.wh.wh.", IMS_WHITEOUT_FILE, "d/wh.");
  expect("d/.wh.x/../y", IMS_WHITEOUT_NONE, "d/y");
}

static void test_opaque(void **state) {
  expect(".wh..wh..opq", IMS_WHITEOUT_OPAQUE, "");
  expect("./.wh..wh..opq", IMS_WHITEOUT_OPAQUE, "");
  expect("a/b/.wh..wh..opq", IMS_WHITEOUT_OPAQUE, "a/b");
  expect("a/../.wh..wh..opq/", IMS_WHITEOUT_OPAQUE, "");
}

static void test_aufs_metadata(void **state) {
  expect(".wh..wh.plnk", IMS_WHITEOUT_IGNORE, "");
  expect(".wh..wh.plnk/123.456", IMS_WHITEOUT_IGNORE, "");
  expect(".wh..wh.aufs", IMS_WHITEOUT_IGNORE, "");
  expect("a/.wh..wh.", IMS_WHITEOUT_IGNORE, "");
  expect("a/.wh..wh..opqx", IMS_WHITEOUT_IGNORE, "");
  expect("a/.wh..wh..opq/x", IMS_WHITEOUT_IGNORE, "");
  expect("a/.wh..wh.orph/.wh.x", IMS_WHITEOUT_IGNORE, "");
}

static void test_refused(void **state) {
  static const char *const nameless[] = {".wh.",     ".wh..",  ".wh...",  "a/.wh.",     "a/.wh..",
                                         "a/.wh...", "/.wh./", "./.wh..", "a/../.wh..."};
  for (size_t i = 0; i < sizeof nameless / sizeof nameless[0]; i++)
    expect_refused(nameless[i], "whiteout without a name to hide");
  expect_refused(".wh.a/b", "a whiteout cannot be a directory");
  expect_refused("d/.wh.a/.wh.b", "a whiteout cannot be a directory");
  expect_refused(".wh./b", "a whiteout cannot be a directory");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cleaning),      cmocka_unit_test(test_whiteouts), cmocka_unit_test(test_opaque),
      cmocka_unit_test(test_aufs_metadata), cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
