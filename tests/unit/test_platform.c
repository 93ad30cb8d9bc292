/* tests/unit/test_platform.c - platform names and which image runs where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "oci/platform.h"

static void assert_parses(const char *text, const char *want) {
  ims_platform p;
  char out[IMS_PLATFORM_TEXT];
  if (ims_platform_parse(&p, text, NULL) != IMGSTORE_OK)
    fail_msg("refused: %s", text);
  ims_platform_text(&p, out);
  assert_string_equal(out, want);
}

static void test_parse(void **state) {
  static const char *const cases[][2] = {{"linux/amd64", "linux/amd64"},
                                         {"Linux/X86_64", "linux/amd64"},
                                         {"linux/amd64/v1", "linux/amd64"},
                                         {"linux/amd64/3", "linux/amd64/v3"},
                                         {"linux/aarch64", "linux/arm64"},
                                         {"linux/arm64/v8", "linux/arm64"},
                                         {"linux/arm64/8", "linux/arm64"},
                                         {"linux/arm", "linux/arm/v7"},
                                         {"linux/arm/6", "linux/arm/v6"},
                                         {"armhf", "linux/arm/v7"},
                                         {"linux/armel", "linux/arm/v6"},
                                         {"linux/i686", "linux/386"},
                                         {"s390x", "linux/s390x"},
                                         {"riscv64", "linux/riscv64"},
                                         {"macos/arm64", "darwin/arm64"},
                                         {"windows/amd64", "windows/amd64"},
                                         {"linux/new-arch", "linux/new-arch"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_parses(cases[i][0], cases[i][1]);
}

static void test_this_machine(void **state) {
  ims_platform a, b;
  assert_int_equal(ims_platform_parse(&a, NULL, NULL), IMGSTORE_OK);
  assert_string_equal(a.os, "linux");
  assert_true(a.architecture[0]);
  assert_int_equal(ims_platform_parse(&b, "linux", NULL), IMGSTORE_OK);
  assert_true(ims_platform_score(&a, &b) > 0);
  assert_int_equal(ims_platform_score(&a, &b), ims_platform_score(&b, &a));
}

static void test_parse_refuses(void **state) {
  static const char *const bad[] = {"",
                                    "/",
                                    "linux/",
                                    "/amd64",
                                    "linux/amd64/",
                                    "a/b/c/d",
                                    "lin ux/amd64",
                                    "linux/am\n64",
                                    "nonsense",
                                    "linux//v7",
                                    "linux/a234567890123456789012345678901234567890",
                                    "linux/\xc3\xa9"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ims_platform p;
    ims_error err = IMS_ERROR_INIT;
    if (ims_platform_parse(&p, bad[i], &err) != IMGSTORE_EFORMAT)
      fail_msg("accepted: %s", bad[i]);
    assert_string_equal(p.os, "");
  }
}

static int score(const char *want, const char *have) {
  ims_platform w = {"", "", ""}, h = {"", "", ""};
  assert_true(sscanf(want, "%31[^/]/%31[^/]/%31s", w.os, w.architecture, w.variant) >= 2);
  assert_true(sscanf(have, "%31[^/]/%31[^/]/%31s", h.os, h.architecture, h.variant) >= 2);
  return ims_platform_score(&w, &h);
}

static void test_score(void **state) {
  assert_true(score("linux/amd64", "linux/amd64") > 0);
  assert_int_equal(score("linux/amd64", "linux/arm64"), 0);
  assert_int_equal(score("linux/amd64", "windows/amd64"), 0);
  assert_int_equal(score("linux/amd64", "linux/amd64/v2"), 0);
  assert_true(score("linux/amd64/v3", "linux/amd64/v2") > score("linux/amd64/v3", "linux/amd64"));
  assert_true(score("linux/amd64/v3", "linux/amd64") > 0);
  assert_int_equal(score("linux/arm64", "linux/arm64/v8"), score("linux/arm64/v8", "linux/arm64"));
  assert_true(score("linux/arm64", "linux/aarch64") > 0);
  assert_int_equal(score("linux/arm64", "linux/arm64/v9"), 0);
  assert_true(score("linux/arm64/v9", "linux/arm64/v8.2") > score("linux/arm64/v9", "linux/arm64"));
  assert_int_equal(score("linux/arm/v7", "linux/arm"), score("linux/arm", "linux/arm/v7"));
  assert_true(score("linux/arm/v7", "linux/arm/v7") > score("linux/arm/v7", "linux/arm/v6"));
  assert_true(score("linux/arm/v7", "linux/arm/v6") > score("linux/arm/v7", "linux/arm/v5"));
  assert_true(score("linux/arm/v7", "linux/arm/v5") > 0);
  assert_int_equal(score("linux/arm/v6", "linux/arm/v7"), 0);
  assert_int_equal(score("linux/arm64", "linux/arm/v7"), 0);
  assert_true(score("linux/riscv64/rva23u64", "linux/riscv64") > 0);
  assert_int_equal(score("linux/riscv64", "linux/riscv64/rva23u64"), 0);
  ims_platform none = {"", "", ""};
  assert_int_equal(ims_platform_score(&none, &none), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_parse), cmocka_unit_test(test_this_machine),
                                     cmocka_unit_test(test_parse_refuses), cmocka_unit_test(test_score)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
