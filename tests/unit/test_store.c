/*
 * test_store.c - what stands above a storage: tables, verification of blobs and ingests, references, finding images.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/report.h"
#include "oci/mediatype.h"
#include "store_fixture.h"

typedef struct scratch {
  ims_core *core;
  imgstore_store *store;
  imgstore_storage storage;
} scratch;

static int setup(void **state) {
  scratch *s = calloc(1, sizeof *s);
  s->core = fixture_core(NULL, NULL);
  assert_int_equal(ims_memory_storage_open(s->core, 0, &s->storage, NULL), 0);
  assert_int_equal(ims_store_new(&s->store, s->core, &s->storage, NULL), 0);
  *state = s;
  return 0;
}

static int teardown(void **state) {
  scratch *s = *state;
  ims_store_unref(s->store);
  ims_core_unref(s->core);
  free(s);
  return 0;
}

static fixture_image put(scratch *s, const char *name) {
  fixture_image image;
  fixture_image_init(&image, name);
  assert_int_equal(fixture_image_put(s->store, &image, name, NULL), 0);
  assert_int_equal(ims_ref_set(s->store, name, NULL, &image.target, NULL), 0);
  return image;
}

/* --- tables ----------------------------------------------------------------------------------------------------------
 */

static void count_destroy(void *user_data) {
  ++*(int *)user_data;
}

static void incomplete_tables_are_refused(void **state) {
  scratch *s = *state;
  int destroyed = 0;
  imgstore_store *store;
  ims_error err = IMS_ERROR_INIT;
  imgstore_storage bad = s->storage;
  bad.user_data = &destroyed;
  bad.destroy = count_destroy;
  bad.lease_add = NULL;
  assert_int_equal(ims_store_new(&store, s->core, &bad, &err), IMGSTORE_EINVALID);
  assert_null(store);
  assert_int_equal(destroyed, 1);
  bad = s->storage;
  bad.size = 16;
  bad.destroy = count_destroy;
  assert_int_equal(ims_store_new(&store, s->core, &bad, NULL), IMGSTORE_EINVALID);
  assert_int_equal(destroyed, 1); /* so short a table has no destroy entry */
}

static void longer_tables_are_taken(void **state) {
  scratch *s = *state;
  struct {
    imgstore_storage storage;
    void (*later)(void);
  } later = {s->storage, NULL};
  int destroyed = 0;
  imgstore_store *store;
  later.storage.size = sizeof later;
  later.storage.user_data = &destroyed;
  later.storage.destroy = count_destroy;
  assert_int_equal(ims_store_new(&store, s->core, &later.storage, NULL), 0);
  assert_ptr_equal(ims_store_ref(store), store);
  ims_store_unref(store);
  assert_int_equal(destroyed, 0);
  ims_store_unref(store);
  assert_int_equal(destroyed, 1);
}

static int32_t odd_open(void *user_data, const char *digest, void **blob, uint64_t *size) {
  (void)digest;
  (void)size;
  *blob = NULL;
  return *(int32_t *)user_data;
}

static void values_of_callbacks_are_kept(void **state) {
  scratch *s = *state;
  int32_t value = 4711;
  imgstore_storage odd = s->storage;
  imgstore_store *store;
  ims_blob blob;
  ims_digest digest;
  ims_error err = IMS_ERROR_INIT;
  ims_digest_of(&digest, IMS_HASH_SHA256, "x", 1);
  odd.user_data = &value;
  odd.destroy = NULL;
  odd.blob_open = odd_open;
  assert_int_equal(ims_store_new(&store, s->core, &odd, NULL), 0);
  assert_int_equal(ims_blob_open(&blob, store, &digest, &err), IMGSTORE_ECALLBACK);
  assert_int_equal(err.callback_value, 4711);
  value = IMGSTORE_EIO;
  ims_error_clear(&err);
  assert_int_equal(ims_blob_open(&blob, store, &digest, &err), IMGSTORE_EIO);
  assert_non_null(strstr(err.message, digest.text));
  ims_store_unref(store);
}

/* --- blobs and ingests
 * ------------------------------------------------------------------------------------------------- */

static void wrong_content_is_never_published(void **state) {
  scratch *s = *state;
  ims_ingest in;
  ims_digest digest;
  bool present;
  ims_error err = IMS_ERROR_INIT;
  ims_digest_of(&digest, IMS_HASH_SHA256, "content", 7);
  assert_int_equal(ims_ingest_open(&in, s->store, &digest, 7, NULL), 0);
  assert_int_equal(ims_ingest_write(&in, "contemt", 7, NULL), 0);
  assert_int_equal(ims_ingest_verify(&in, &err), IMGSTORE_EDIGEST);
  assert_non_null(strstr(err.message, digest.text));
  assert_int_equal(in.offset, 0);
  /* The engine starts over once in the same ingest. */
  assert_int_equal(ims_ingest_write(&in, "cont", 4, NULL), 0);
  ims_error_clear(&err);
  assert_int_equal(ims_ingest_write(&in, "entry", 5, &err), IMGSTORE_EDIGEST);
  assert_int_equal(ims_ingest_write(&in, "ent", 3, NULL), 0);
  assert_int_equal(ims_ingest_verify(&in, NULL), 0);
  assert_int_equal(ims_ingest_verify(&in, NULL), 0);
  assert_int_equal(ims_blob_check(s->store, &digest, 7, &present, NULL), 0);
  assert_false(present);
  assert_int_equal(ims_ingest_commit(&in, NULL), 0);
  assert_int_equal(ims_blob_check(s->store, &digest, 7, &present, NULL), 0);
  assert_true(present);
  assert_int_equal(ims_blob_check(s->store, &digest, 8, &present, NULL), 0);
  assert_false(present);
  assert_int_equal(ims_blob_check(s->store, &digest, UINT64_MAX, &present, NULL), 0);
  assert_true(present);
}

static void unverified_is_not_committed(void **state) {
  scratch *s = *state;
  ims_ingest in;
  ims_digest digest;
  bool present;
  ims_digest_of(&digest, IMS_HASH_SHA512, "content", 7);
  assert_int_equal(ims_ingest_open(&in, s->store, &digest, 7, NULL), 0);
  assert_int_equal(ims_ingest_write(&in, "content", 7, NULL), 0);
  assert_int_equal(ims_ingest_commit(&in, NULL), IMGSTORE_EINVALID);
  assert_null(in.ingest);
  ims_ingest_close(&in, true);
  assert_int_equal(ims_blob_check(s->store, &digest, 7, &present, NULL), 0);
  assert_false(present);
}

static void resumed_bytes_are_hashed(void **state) {
  scratch *s = *state;
  ims_ingest in;
  ims_digest digest;
  ims_digest_of(&digest, IMS_HASH_SHA256, "content", 7);
  for (int damaged = 1; damaged >= 0; damaged--) {
    assert_int_equal(ims_ingest_open(&in, s->store, &digest, 7, NULL), 0);
    assert_int_equal(in.offset, 0);
    assert_int_equal(ims_ingest_write(&in, damaged ? "cox" : "con", 3, NULL), 0);
    ims_ingest_close(&in, true);
    assert_int_equal(ims_ingest_open(&in, s->store, &digest, 7, NULL), 0);
    assert_int_equal(in.offset, 3);
    assert_int_equal(ims_ingest_write(&in, "tent", 4, NULL), 0);
    assert_int_equal(ims_ingest_verify(&in, NULL), damaged ? IMGSTORE_EDIGEST : 0);
    ims_ingest_close(&in, false);
  }
}

static void small_blobs_are_whole_or_refused(void **state) {
  scratch *s = *state;
  ims_digest digest;
  ims_buf out;
  ims_error err = IMS_ERROR_INIT;
  ims_digest_of(&digest, IMS_HASH_SHA256, "content", 7);
  ims_buf_init(&out, &s->core->alloc, 100);
  assert_int_equal(ims_blob_load(s->store, &digest, 100, &out, &err), IMGSTORE_ENOTFOUND);
  assert_int_equal(ims_blob_save(s->store, &digest, "Content", 7, NULL), IMGSTORE_EDIGEST);
  assert_int_equal(ims_blob_save(s->store, &digest, "content", 7, NULL), 0);
  assert_int_equal(ims_blob_load(s->store, &digest, 6, &out, NULL), IMGSTORE_ELIMIT);
  assert_int_equal(ims_blob_load(s->store, &digest, 7, &out, NULL), 0);
  assert_string_equal(ims_buf_text(&out), "content");
  ims_buf_free(&out);
}

/* --- finding images
 * ----------------------------------------------------------------------------------------------------- */

static int32_t resolve(scratch *s, const char *name, ims_target *target, char found[256], ims_error *err) {
  ims_buf ref_name;
  ims_buf_init(&ref_name, &s->core->alloc, 4096);
  int32_t rc = ims_store_resolve(s->store, name, target, &ref_name, err);
  snprintf(found, 256, "%s", ims_buf_text(&ref_name));
  ims_buf_free(&ref_name);
  return rc;
}

static void images_are_found_by_name_and_id(void **state) {
  scratch *s = *state;
  fixture_image image = put(s, "docker.io/library/alpine:3.20");
  put(s, "3.20");
  ims_target t;
  char found[256], text[300];
  assert_int_equal(resolve(s, "alpine:3.20", &t, found, NULL), 0);
  assert_string_equal(found, "docker.io/library/alpine:3.20");
  assert_true(ims_digest_equal(&t.digest, &image.target.digest));
  assert_int_equal(resolve(s, "3.20", &t, found, NULL), 0);
  assert_string_equal(found, "3.20");
  assert_int_equal(resolve(s, "alpine", &t, found, NULL), IMGSTORE_ENOTFOUND);
  const char *const ids[] = {image.target.digest.text, ims_digest_hex(&image.target.digest), image.config.text,
                             ims_digest_hex(&image.config)};
  for (size_t i = 0; i < 4; i++)
    for (size_t length = 12; length <= strlen(ids[i]); length += 13) {
      snprintf(text, sizeof text, "%.*s", (int)length, ids[i]);
      assert_int_equal(resolve(s, text, &t, found, NULL), 0);
      assert_string_equal(found, "");
      assert_true(ims_digest_equal(&t.digest, &image.target.digest));
    }
  snprintf(text, sizeof text, "%.3s", ims_digest_hex(&image.config));
  assert_int_equal(resolve(s, text, &t, found, NULL), IMGSTORE_ENOTFOUND);
  assert_int_equal(resolve(s, "", &t, found, NULL), IMGSTORE_EINVALID);
}

static void the_digest_decides(void **state) {
  scratch *s = *state;
  fixture_image old = put(s, "docker.io/library/alpine:3.19");
  put(s, "docker.io/library/alpine:3.20");
  ims_target t;
  char found[256], text[300];
  snprintf(text, sizeof text, "alpine:3.20@%s", old.target.digest.text);
  assert_int_equal(resolve(s, text, &t, found, NULL), 0);
  assert_string_equal(found, "docker.io/library/alpine:3.19");
  assert_true(ims_digest_equal(&t.digest, &old.target.digest));
  snprintf(text, sizeof text, "alpine:3.20@%s", old.config.text);
  text[strlen(text) - 1] = text[strlen(text) - 1] == '0' ? '1' : '0';
  assert_int_equal(resolve(s, text, &t, found, NULL), IMGSTORE_ENOTFOUND);
}

/** Images are made until two IDs begin alike. */
static void ambiguous_prefixes_list_the_candidates(void **state) {
  scratch *s = *state;
  enum { IMAGES = 1500 };
  fixture_image *images = calloc(IMAGES, sizeof *images);
  int a = -1, b = -1;
  for (int i = 0; i < IMAGES && a < 0; i++) {
    char name[64];
    snprintf(name, sizeof name, "h.example/r:%d", i);
    fixture_image_init(&images[i], name);
    for (int j = 0; j < i && a < 0; j++)
      if (strncmp(images[i].config.text, images[j].config.text, 11) == 0) {
        a = j;
        b = i;
      }
  }
  assert_true(a >= 0);
  char name[64], prefix[8], found[256];
  ims_target t;
  ims_error err = IMS_ERROR_INIT;
  snprintf(prefix, sizeof prefix, "%.4s", ims_digest_hex(&images[a].config));
  snprintf(name, sizeof name, "h.example/r:%d", a);
  put(s, name);
  assert_int_equal(resolve(s, prefix, &t, found, NULL), 0);
  snprintf(name, sizeof name, "h.example/r:%d", b);
  put(s, name);
  assert_int_equal(resolve(s, prefix, &t, found, &err), IMGSTORE_EAMBIGUOUS);
  assert_non_null(strstr(err.message, images[a].config.text));
  assert_non_null(strstr(err.message, images[b].config.text));
  free(images);
}

static ims_digest put_index(scratch *s, const char *name, const fixture_image *child) {
  char text[1024];
  ims_target target = {.media_type = IMS_MT_OCI_INDEX};
  snprintf(text, sizeof text,
           "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"manifests\":[{\"mediaType\":\"%s\",\"digest\":\"sha256:"
           "1111111111111111111111111111111111111111111111111111111111111111\",\"size\":10,\"platform\":{\"os\":"
           "\"linux\",\"architecture\":\"arm64\"}},{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%llu,\"platform\":{"
           "\"os\":\"linux\",\"architecture\":\"amd64\"}}]}",
           IMS_MT_OCI_INDEX, IMS_MT_OCI_MANIFEST, IMS_MT_OCI_MANIFEST, child->target.digest.text,
           (unsigned long long)child->target.size);
  target.size = strlen(text);
  ims_digest_of(&target.digest, IMS_HASH_SHA256, text, strlen(text));
  assert_int_equal(ims_blob_save(s->store, &target.digest, text, strlen(text), NULL), 0);
  assert_int_equal(ims_ref_set(s->store, name, NULL, &target, NULL), 0);
  return target.digest;
}

static void images_of_an_index_are_found(void **state) {
  scratch *s = *state;
  fixture_image child;
  ims_target t;
  char found[256];
  fixture_image_init(&child, "child");
  assert_int_equal(fixture_image_put(s->store, &child, "child", NULL), 0);
  ims_digest index = put_index(s, "h.example/multi:1", &child);
  assert_int_equal(resolve(s, index.text, &t, found, NULL), 0);
  assert_true(ims_digest_equal(&t.digest, &index));
  assert_int_equal(resolve(s, child.config.text, &t, found, NULL), 0);
  assert_true(ims_digest_equal(&t.digest, &child.target.digest));
  assert_true(ims_digest_equal(&t.index, &index));
}

static void targets_come_back(void **state) {
  scratch *s = *state;
  fixture_image image = put(s, "h.example/a:1");
  ims_target t;
  image.target.index = image.config;
  assert_int_equal(ims_ref_set(s->store, "h.example/a:2", "", &image.target, NULL), 0);
  assert_int_equal(ims_ref_get(s->store, "h.example/a:2", &t, NULL), 0);
  assert_memory_equal(&t, &image.target, sizeof t);
  assert_int_equal(ims_ref_set(s->store, "h.example/a:2", "", &image.target, NULL), IMGSTORE_ECONFLICT);
  assert_int_equal(ims_store_tag(s->store, "h.example/a:2", "h.example/a:3", NULL), 0);
  assert_int_equal(ims_ref_get(s->store, "h.example/a:3", &t, NULL), 0);
  assert_memory_equal(&t, &image.target, sizeof t);
  assert_int_equal(ims_store_tag(s->store, "nothing", "h.example/a:3", NULL), IMGSTORE_ENOTFOUND);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(incomplete_tables_are_refused),
      TEST(longer_tables_are_taken),
      TEST(values_of_callbacks_are_kept),
      TEST(wrong_content_is_never_published),
      TEST(unverified_is_not_committed),
      TEST(resumed_bytes_are_hashed),
      TEST(small_blobs_are_whole_or_refused),
      TEST(images_are_found_by_name_and_id),
      TEST(the_digest_decides),
      TEST(ambiguous_prefixes_list_the_candidates),
      TEST(images_of_an_index_are_found),
      TEST(targets_come_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
