/* tests/unit/test_base64.c - RFC 4648 vectors, every length, and everything that a strict decoder refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "imgstore/error.h"

static void test_vectors(void **state) {
  static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
  static const char *const coded[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
    char text[16];
    uint8_t bytes[16];
    size_t size;
    assert_int_equal(ims_base64_encode((const uint8_t *)plain[i], strlen(plain[i]), text), strlen(coded[i]));
    assert_string_equal(text, coded[i]);
    assert_int_equal(ims_base64_decode(coded[i], strlen(coded[i]), bytes, &size), IMGSTORE_OK);
    assert_int_equal(size, strlen(plain[i]));
    assert_memory_equal(bytes, plain[i], (int)size);
  }
}

static void test_round_trip(void **state) {
  uint8_t bytes[256], back[256];
  char text[IMS_BASE64_ENCODED(256) + 1];
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = (uint8_t)(i * 167 + 13);
  for (size_t length = 0; length <= sizeof bytes; length++) {
    size_t size, coded = ims_base64_encode(bytes, length, text);
    assert_int_equal(coded, IMS_BASE64_ENCODED(length));
    assert_int_equal(ims_base64_decode(text, coded, back, &size), IMGSTORE_OK);
    assert_int_equal(size, length);
    assert_memory_equal(back, bytes, (int)length);
    assert_int_equal(ims_base64_decode(text, coded, (uint8_t *)text, &size), IMGSTORE_OK); /* in place */
    assert_memory_equal(text, bytes, (int)length);
  }
}

static void test_refused(void **state) {
  static const char *const bad[] = {"Z",      "Zg",         "Zg=",      "Zg=a",     "Z===",    "====",  "=Zg=",
                                    "Zh==",   "Zm9=",       "Zg==Zg==", "Zm8=Zm9v", "Zm 9",    "Zm9\n", "Zm-_",
                                    "Zm9v\n", "Zm9vZg==\n", "\x80m9v",  "Zm9v====", "Zm9v=AAA"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    uint8_t bytes[16];
    size_t size = 7;
    assert_int_equal(ims_base64_decode(bad[i], strlen(bad[i]), bytes, &size), IMGSTORE_EFORMAT);
    assert_int_equal(size, 0);
  }
  uint8_t bytes[4];
  size_t size;
  assert_int_equal(ims_base64_decode("Zm\0v", 4, bytes, &size), IMGSTORE_EFORMAT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_vectors),
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
