/*
 * test_memory_storage.c - the memory storage: the rules of every storage, and its limit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "storage_conformance.h"
#include "store_fixture.h"

static int32_t make(void *data, imgstore_storage *storage) {
  return ims_memory_storage_open(data, 0, storage, NULL);
}

static void broken(void *data, const char *rule, const char *what, int line) {
  (void)data;
  fprintf(stderr, "memory: %s: %s (line %d)\n", rule, what, line);
}

static void conforms(void **state) {
  (void)state;
  ims_core *core = fixture_core(NULL, NULL);
  storage_conformance suite = {core, make, broken};
  assert_int_equal(storage_conformance_run(&suite), 0);
  ims_core_unref(core);
}

static void limit_is_kept(void **state) {
  (void)state;
  ims_core *core = fixture_core(NULL, NULL);
  imgstore_storage storage;
  imgstore_store *store;
  ims_error err = IMS_ERROR_INIT;
  ims_digest small, large;
  static char zeros[4096];
  assert_int_equal(ims_memory_storage_open(core, 4096, &storage, &err), 0);
  assert_int_equal(ims_store_new(&store, core, &storage, &err), 0);
  ims_digest_of(&small, IMS_HASH_SHA256, zeros, 2000);
  ims_digest_of(&large, IMS_HASH_SHA512, zeros, 4000);
  assert_int_equal(ims_blob_save(store, &small, zeros, 2000, &err), 0);
  assert_int_equal(ims_blob_save(store, &large, zeros, 4000, &err), IMGSTORE_ENOSPACE);
  assert_int_equal(storage.blob_delete(storage.user_data, small.text), 0);
  ims_error_clear(&err);
  assert_int_equal(ims_blob_save(store, &large, zeros, 4000, &err), 0);
  ims_store_unref(store);
  ims_core_unref(core);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(conforms), cmocka_unit_test(limit_is_kept)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
