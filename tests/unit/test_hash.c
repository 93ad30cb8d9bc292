/* tests/unit/test_hash.c - known answers, and every kernel against the reference over all split boundaries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "hash/hash.h"

static void digest_of(int32_t algorithm, const void *data, size_t size, char *hex) {
  ims_hash h;
  uint8_t digest[IMS_HASH_MAX_SIZE];
  ims_hash_init(&h, algorithm);
  ims_hash_update(&h, data, size);
  ims_hash_final(&h, digest);
  ims_hex_encode(digest, ims_hash_size(algorithm), hex);
}

/* FIPS 180-4 examples, and the digest that every empty blob has. */
static void test_known_answers(void **state) {
  char hex[2 * IMS_HASH_MAX_SIZE + 1];
  digest_of(IMS_HASH_SHA256, "", 0, hex);
  assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  digest_of(IMS_HASH_SHA256, "abc", 3, hex);
  assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  digest_of(IMS_HASH_SHA256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, hex);
  assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  digest_of(IMS_HASH_SHA512, "abc", 3, hex);
  assert_string_equal(hex, "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                           "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
  digest_of(IMS_HASH_SHA512, "", 0, hex);
  assert_string_equal(hex, "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
                           "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e");
}

static void fill(uint8_t *data, size_t size) {
  uint32_t x = 12345;
  for (size_t i = 0; i < size; i++) {
    x = x * 1664525u + 1013904223u;
    data[i] = (uint8_t)(x >> 24);
  }
}

static void run_pieces(int32_t algorithm, int32_t kernel, const uint8_t *data, const size_t *pieces, size_t count,
                       uint8_t *digest) {
  ims_hash h;
  assert_true(ims_hash_init_with(&h, algorithm, kernel));
  for (size_t i = 0; i < count; data += pieces[i++])
    ims_hash_update(&h, data, pieces[i]);
  ims_hash_final(&h, digest);
}

static int usable(int32_t kernel) {
  ims_hash h;
  return ims_hash_init_with(&h, IMS_HASH_SHA256, kernel);
}

/* Every length up to five blocks, cut at every place, from an odd address. */
static void test_kernels_all_splits(void **state) {
  static uint8_t data[1 + 5 * 64];
  fill(data, sizeof data);
  for (int32_t kernel = 0; kernel < ims_hash_kernel_count(); kernel++) {
    if (!usable(kernel))
      continue;
    for (size_t size = 0; size < sizeof data; size++) {
      uint8_t want[32], got[32];
      run_pieces(IMS_HASH_SHA256, 0, data + 1, &size, 1, want);
      for (size_t cut = 0; cut <= size; cut++) {
        run_pieces(IMS_HASH_SHA256, kernel, data + 1, (const size_t[]){cut, size - cut}, 2, got);
        assert_memory_equal(got, want, 32);
      }
    }
  }
}

static void test_kernels_three_pieces(void **state) {
  static uint8_t data[3 * 64];
  fill(data, sizeof data);
  uint8_t want[32], got[32];
  run_pieces(IMS_HASH_SHA256, 0, data, (const size_t[]){sizeof data}, 1, want);
  for (int32_t kernel = 0; kernel < ims_hash_kernel_count() && usable(kernel); kernel++)
    for (size_t a = 0; a <= sizeof data; a++)
      for (size_t b = a; b <= sizeof data; b++) {
        run_pieces(IMS_HASH_SHA256, kernel, data, (const size_t[]){a, b - a, sizeof data - b}, 3, got);
        assert_memory_equal(got, want, 32);
      }
}

/* Multi-block calls on real sizes, at every alignment. */
static void test_kernels_long(void **state) {
  static uint8_t data[100003 + 64];
  fill(data, sizeof data);
  for (int32_t kernel = 1; kernel < ims_hash_kernel_count(); kernel++)
    for (size_t at = 0; usable(kernel) && at < 64; at++) {
      uint8_t want[32], got[32];
      const size_t size = sizeof data - 64;
      run_pieces(IMS_HASH_SHA256, 0, data + at, &size, 1, want);
      run_pieces(IMS_HASH_SHA256, kernel, data + at, (const size_t[]){at, 8192, size - 8192 - at}, 3, got);
      assert_memory_equal(got, want, 32);
    }
}

static void test_state_may_be_copied(void **state) {
  static const int32_t algorithms[] = {IMS_HASH_SHA256, IMS_HASH_SHA512};
  for (size_t i = 0; i < 2; i++) {
    ims_hash a, b;
    uint8_t x[IMS_HASH_MAX_SIZE] = {0}, y[IMS_HASH_MAX_SIZE] = {0};
    ims_hash_init(&a, algorithms[i]);
    ims_hash_update(&a, "some", 4);
    b = a;
    ims_hash_update(&a, "thing", 5);
    ims_hash_final(&a, x);
    ims_hash_update(&b, "thing", 5);
    ims_hash_final(&b, y);
    assert_memory_equal(x, y, sizeof x);
  }
}

static void test_kernel_choice(void **state) {
  ims_hash h;
  const char *name = ims_hash_kernel_name();
  assert_true(!strcmp(name, "mbedtls") || !strcmp(name, "sha-ni") || !strcmp(name, "armv8-ce"));
  assert_false(ims_hash_init_with(&h, IMS_HASH_SHA256, -1));
  assert_false(ims_hash_init_with(&h, IMS_HASH_SHA256, ims_hash_kernel_count()));
  assert_false(ims_hash_init_with(&h, IMS_HASH_SHA512, 1)); /* the kernels are for SHA-256 */
  ims_hash_init(&h, IMS_HASH_SHA256);
  assert_true(h.kernel >= 0 && h.kernel < ims_hash_kernel_count());
  assert_int_equal(ims_hash_size(IMS_HASH_SHA256), 32);
  assert_int_equal(ims_hash_size(IMS_HASH_SHA512), 64);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_known_answers),        cmocka_unit_test(test_kernels_all_splits),
      cmocka_unit_test(test_kernels_three_pieces), cmocka_unit_test(test_kernels_long),
      cmocka_unit_test(test_state_may_be_copied),  cmocka_unit_test(test_kernel_choice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
