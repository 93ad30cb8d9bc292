/* tests/unit/test_layer_writer.c - layers that are made: the same bytes with any number of workers, and all faults. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/pool.h"
#include "config.h"
#include "engine/layer_writer.h"
#include "storage_spy.h"
#include "store_fixture.h"

enum { TAR_SIZE = 9000000 };

static uint8_t *tar;

static int group_setup(void **state) {
  uint32_t x = 1;
  tar = malloc(TAR_SIZE);
  for (size_t i = 0; tar && i < TAR_SIZE; i++) {
    x = x * 1664525u + 1013904223u;
    tar[i] = i / 4096 % 3 ? (uint8_t)(x >> 28) : (uint8_t)i;
  }
  return tar ? 0 : -1;
}

static int group_teardown(void **state) {
  free(tar);
  return 0;
}

static ims_core *core_with(unsigned workers) {
  ims_core *core = fixture_core(NULL, NULL);
  core->limits.workers = workers;
  core->pool = workers ? ims_pool_new(&core->alloc, workers) : NULL;
  return core;
}

static int32_t make(imgstore_store *store, int32_t encode, size_t size, size_t step, ims_new_layer *layer,
                    ims_error *err) {
  ims_lease lease = {0};
  ims_layer_writer *w = NULL;
  int32_t rc = ims_lease_open(&lease, store, err);
  if (!rc)
    rc = ims_layer_writer_open(&w, store, &lease, encode, 0, err);
  for (size_t at = 0; !rc && at < size; at += step)
    rc = ims_layer_writer_put(w, tar + at, size - at < step ? size - at : step, err);
  if (!rc)
    rc = ims_layer_writer_finish(w, layer, err);
  ims_layer_writer_free(w);
  ims_lease_close(&lease);
  return rc;
}

static void need(int32_t rc, const ims_error *err) {
  assert_string_equal(err->message, "");
  assert_int_equal(rc, 0);
}

static void check_blob(imgstore_store *store, const ims_new_layer *layer, size_t size) {
  ims_digest plain;
  ims_error err = IMS_ERROR_INIT;
  ims_buf blob;
  bool present;
  ims_digest_of(&plain, IMS_HASH_SHA256, tar, size);
  assert_string_equal(layer->diff_id.text, plain.text);
  assert_true(layer->tar_size == size);
  need(ims_blob_check(store, &layer->digest, layer->size, &present, &err), &err);
  assert_true(present);
  ims_buf_init(&blob, &store->core->alloc, TAR_SIZE * 2);
  need(ims_blob_load(store, &layer->digest, TAR_SIZE * 2, &blob, &err), &err);
  if (layer->encode == IMS_ENCODE_NONE)
    assert_memory_equal(blob.data, tar, size);
  ims_buf_free(&blob);
}

static void workers_do_not_change_the_bytes(void **state) {
  static const size_t sizes[] = {0, 10240, 524288, TAR_SIZE};
  static const unsigned workers[] = {0, 1, 2, 5};
  for (int32_t encode = IMS_ENCODE_NONE; encode <= (IMS_HAVE_ZSTD ? IMS_ENCODE_ZSTD : IMS_ENCODE_GZIP_FAST); encode++)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      ims_new_layer first = {0}, layer;
      for (size_t n = 0; n < sizeof workers / sizeof *workers; n++) {
        ims_error err = IMS_ERROR_INIT;
        imgstore_storage storage;
        imgstore_store *store;
        ims_core *core = core_with(workers[n]);
        need(ims_memory_storage_open(core, 0, &storage, &err), &err);
        need(ims_store_new(&store, core, &storage, &err), &err);
        need(make(store, encode, sizes[i], n ? 100000 : 7001, &layer, &err), &err);
        check_blob(store, &layer, sizes[i]);
        if (!n)
          first = layer;
        assert_string_equal(layer.digest.text, first.digest.text);
        ims_store_unref(store);
        ims_core_unref(core);
      }
    }
}

static void types_are_named(void **state) {
  imgstore_storage storage;
  imgstore_store *store;
  ims_error err = IMS_ERROR_INIT;
  ims_new_layer layer;
  ims_core *core = core_with(0);
  need(ims_memory_storage_open(core, 0, &storage, &err), &err);
  need(ims_store_new(&store, core, &storage, &err), &err);
  need(make(store, IMS_ENCODE_NONE, 512, 512, &layer, &err), &err);
  assert_string_equal(layer.media_type, "application/vnd.oci.image.layer.v1.tar");
  need(make(store, IMS_ENCODE_GZIP_FAST, 512, 512, &layer, &err), &err);
  assert_string_equal(layer.media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
  assert_string_equal(layer.docker_type, "application/vnd.docker.image.rootfs.diff.tar.gzip");
  assert_int_equal(make(store, IMS_ENCODE_GZIP + 7, 512, 512, &layer, &err), IMGSTORE_EINVALID);
  ims_store_unref(store);
  ims_core_unref(core);
}

/* On a storage of a caller's own that takes no blob without a name, also one that is stored twice. */
static void storages_without_unnamed_blobs_do(void **state) {
  for (uint32_t flags = 0; flags <= IMGSTORE_STORAGE_CONCURRENT; flags += IMGSTORE_STORAGE_CONCURRENT) {
    storage_spy spy;
    imgstore_store *store;
    ims_error err = IMS_ERROR_INIT;
    ims_new_layer layer, second;
    ims_core *core = core_with(2);
    imgstore_storage storage = spy_storage(&spy, core, flags);
    need(ims_store_new(&store, core, &storage, &err), &err);
    need(make(store, IMS_ENCODE_GZIP, TAR_SIZE, 65536, &layer, &err), &err);
    check_blob(store, &layer, TAR_SIZE);
    need(make(store, IMS_ENCODE_GZIP, TAR_SIZE, 65536, &second, &err), &err);
    assert_string_equal(second.digest.text, layer.digest.text);
    spy.ingest_open_rc = 4711;
    assert_int_equal(make(store, IMS_ENCODE_GZIP, 512, 512, &second, &err), IMGSTORE_ECALLBACK);
    assert_int_equal(err.callback_value, 4711);
    assert_int_equal(spy.wrong, 0);
    assert_int_equal(spy.together, 0);
    ims_store_unref(store);
    ims_core_unref(core);
  }
}

static void abandoned_layers_leave_nothing(void **state) {
  char *top = fixture_directory();
  imgstore_store *store;
  ims_lease lease;
  ims_layer_writer *w;
  ims_error err = IMS_ERROR_INIT;
  ims_core *core = core_with(2);
  need(fixture_open(core, fixture_path(top, "store"), 0, IMGSTORE_DURABILITY_NONE, &store, &err), &err);
  need(ims_lease_open(&lease, store, &err), &err);
  need(ims_layer_writer_open(&w, store, &lease, IMS_ENCODE_GZIP, 0, &err), &err);
  need(ims_layer_writer_put(w, tar, TAR_SIZE, &err), &err);
  ims_layer_writer_free(w);
  ims_lease_close(&lease);
  char command[300];
  snprintf(command, sizeof command, "test -z \"$(ls -A %s/.imgstore/ingest)\"", fixture_path(top, "store"));
  assert_int_equal(system(command), 0);
  ims_store_unref(store);
  ims_core_unref(core);
  fixture_remove(top);
}

static void every_allocation_fails(void **state) {
  fixture_memory memory = {.at = -1};
  ims_alloc alloc = fixture_allocator(&memory);
  bool done = false;
  for (long at = 0; !done; at++) {
    memory = (fixture_memory){.at = -1};
    ims_core *core = fixture_core(NULL, &alloc);
    imgstore_storage storage;
    imgstore_store *store;
    ims_error err = IMS_ERROR_INIT;
    ims_new_layer layer;
    need(ims_memory_storage_open(core, 0, &storage, &err), &err);
    need(ims_store_new(&store, core, &storage, &err), &err);
    memory.seen = 0;
    memory.at = at;
    int32_t rc = make(store, IMS_ENCODE_GZIP, 900000, 100000, &layer, &err);
    done = memory.seen <= at;
    assert_true(rc == IMGSTORE_OK || (!done && rc == IMGSTORE_ENOMEM)); /* growing by less is tried again */
    ims_store_unref(store);
    ims_core_unref(core);
    assert_int_equal(memory.live, 0);
  }
}

static void every_system_call_fails(void **state) {
  bool done = false;
  for (long at = 0; !done; at++) {
    char *top = fixture_directory();
    imgstore_store *store;
    ims_error err = IMS_ERROR_INIT;
    ims_new_layer layer;
    bool present;
    fixture_fault_now = (fixture_fault){.at = -1};
    ims_core *core = fixture_core(&fixture_sys, NULL);
    need(fixture_open(core, fixture_path(top, "store"), 0, IMGSTORE_DURABILITY_BATCH, &store, &err), &err);
    fixture_fault_now = (fixture_fault){.at = at, .os_errno = at % 2 ? ENOSPC : EIO};
    int32_t rc = make(store, IMS_ENCODE_GZIP, 900000, 100000, &layer, &err);
    done = fixture_fault_now.seen <= at;
    fixture_fault_now = (fixture_fault){.at = -1};
    assert_true(rc == IMGSTORE_OK || err.message[0]);
    if (!rc) /* a call whose failure does not matter */
      need(ims_blob_check(store, &layer.digest, layer.size, &present, &err), &err);
    ims_error_clear(&err);
    need(make(store, IMS_ENCODE_GZIP, 900000, 100000, &layer, &err), &err);
    check_blob(store, &layer, 900000);
    ims_store_unref(store);
    ims_core_unref(core);
    fixture_remove(top);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(workers_do_not_change_the_bytes),
      cmocka_unit_test(types_are_named),
      cmocka_unit_test(storages_without_unnamed_blobs_do),
      cmocka_unit_test(abandoned_layers_leave_nothing),
      cmocka_unit_test(every_allocation_fails),
      cmocka_unit_test(every_system_call_fails),
  };
  return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
