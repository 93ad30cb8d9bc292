/* tests/unit/test_build_index.c - indexes in the making: adding, removing, annotating, saving; what is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "imgstore/imgstore.h"
#include "oci/compose.h"
#include "oci/mediatype.h"
#include "store/store.h"
#include "store_fixture.h"

#define AMD "localhost/amd:1"
#define ARM "localhost/arm:1"

/* An image without layers for a platform, under a name. */
static int32_t put_image(imgstore_store *store, const char *name, const char *os, const char *arch, const char *variant,
                         ims_error *err) {
  ims_config_changes c = {.text = {[IMGSTORE_IMAGE_OS] = os,
                                   [IMGSTORE_IMAGE_ARCHITECTURE] = arch,
                                   [IMGSTORE_IMAGE_VARIANT] = variant,
                                   [IMGSTORE_IMAGE_COMMENT] = name}};
  imgstore_descriptor config = {.media_type = IMS_MT_OCI_CONFIG};
  ims_manifest_parts parts = {.config = &config};
  ims_target target = {.media_type = IMS_MT_OCI_MANIFEST};
  ims_buf text;
  ims_buf_init(&text, &store->core->alloc, SIZE_MAX - 1);
  int32_t rc = ims_compose_config(&text, NULL, &c, err);
  config.size = text.size;
  ims_digest_of(&config.digest, IMS_HASH_SHA256, ims_buf_text(&text), text.size);
  if (!rc)
    rc = ims_blob_save(store, &config.digest, ims_buf_text(&text), text.size, err);
  ims_buf_clear(&text);
  if (!rc)
    rc = ims_compose_manifest(&text, &parts, err);
  target.size = text.size;
  ims_digest_of(&target.digest, IMS_HASH_SHA256, ims_buf_text(&text), text.size);
  if (!rc)
    rc = ims_blob_save(store, &target.digest, ims_buf_text(&text), text.size, err);
  if (!rc)
    rc = ims_ref_set(store, name, NULL, &target, err);
  ims_buf_free(&text);
  return rc;
}

/* Any document as a blob with a name. */
static void put_document(imgstore_store *store, const char *name, const char *text, const char *media_type) {
  ims_target target = {.size = strlen(text)};
  strcpy(target.media_type, media_type);
  ims_digest_of(&target.digest, IMS_HASH_SHA256, text, strlen(text));
  assert_int_equal(ims_blob_save(store, &target.digest, text, strlen(text), NULL), IMGSTORE_OK);
  assert_int_equal(ims_ref_set(store, name, NULL, &target, NULL), IMGSTORE_OK);
}

static imgstore_store *open_store(void) {
  imgstore_store *store;
  ims_core *core = fixture_core(NULL, NULL);
  assert_int_equal(imgstore_store_open_memory(core, 0, &store, NULL), IMGSTORE_OK);
  ims_core_unref(core);
  assert_int_equal(put_image(store, AMD, "linux", "amd64", "", NULL), IMGSTORE_OK);
  assert_int_equal(put_image(store, ARM, "linux", "arm64", "v8", NULL), IMGSTORE_OK);
  return store;
}

static void check_error(int32_t got, int32_t want, imgstore_error *error, const char *part) {
  assert_int_equal(got, want);
  assert_non_null(error);
  if (!strstr(imgstore_error_message(error), part))
    fail_msg("\"%s\" instead of \"%s\"", imgstore_error_message(error), part);
  imgstore_error_free(error);
}

/* The call fills error first, then that is looked at. */
#define expect_error(call, want, error, part)                                                                          \
  do {                                                                                                                 \
    int32_t got_ = (call);                                                                                             \
    check_error(got_, want, error, part);                                                                              \
  } while (0)

static const char *manifest_text(imgstore_store *store, const char *name) {
  static char text[8192];
  imgstore_manifest *m;
  size_t size;
  assert_int_equal(imgstore_store_manifest(store, name, &m, NULL), IMGSTORE_OK);
  const void *data = imgstore_manifest_data(m, &size);
  assert_true(size < sizeof text);
  memcpy(text, data, size);
  text[size] = '\0';
  imgstore_manifest_unref(m);
  return text;
}

static const char *digest_of(imgstore_store *store, const char *name) {
  static char text[4][IMS_DIGEST_TEXT];
  static int turn;
  imgstore_manifest *m;
  assert_int_equal(imgstore_store_manifest(store, name, &m, NULL), IMGSTORE_OK);
  turn = (turn + 1) % 4;
  strcpy(text[turn], imgstore_manifest_digest(m));
  imgstore_manifest_unref(m);
  return text[turn];
}

static void test_create(void **state) {
  imgstore_store *store = open_store();
  imgstore_index *x;
  imgstore_manifest *m;
  imgstore_image *image;
  assert_int_equal(imgstore_index_new(store, &x, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_add(x, AMD, NULL, 0, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_add(x, ARM, NULL, 0, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_count(x), 2);
  assert_int_equal(imgstore_index_annotate(x, NULL, "b", "2", NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_annotate(x, NULL, "a", "1", NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_save(x, "multi:1", &m, NULL), IMGSTORE_OK);
  char want[2048];
  snprintf(want, sizeof want,
           "{\"schemaVersion\":2,\"mediaType\":\"" IMS_MT_OCI_INDEX
           "\",\"manifests\":[{\"mediaType\":\"%s\",\"digest\":"
           "\"%s\",\"size\":%zu,\"platform\":{\"architecture\":\"amd64\",\"os\":\"linux\"}},{\"mediaType\":\"%s\","
           "\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"architecture\":\"arm64\",\"os\":\"linux\",\"variant\":"
           "\"v8\"}}],\"annotations\":{\"a\":\"1\",\"b\":\"2\"}}",
           IMS_MT_OCI_MANIFEST, digest_of(store, AMD), strlen(manifest_text(store, AMD)), IMS_MT_OCI_MANIFEST,
           digest_of(store, ARM), strlen(manifest_text(store, ARM)));
  assert_string_equal(imgstore_manifest_data(m, NULL), want);
  imgstore_manifest_unref(m);
  imgstore_index_free(x);
  assert_int_equal(imgstore_store_image(store, "multi:1", "linux/arm64", &image, NULL), IMGSTORE_OK);
  assert_string_equal(imgstore_image_text(image, IMGSTORE_IMAGE_COMMENT), ARM);
  imgstore_image_unref(image);
  imgstore_store_close(store);
}

static void test_same_twice(void **state) {
  imgstore_store *store = open_store();
  imgstore_index *x;
  imgstore_error *error = NULL;
  assert_int_equal(put_image(store, "localhost/other:1", "linux", "amd64", "", NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_new(store, &x, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_add(x, AMD, NULL, 0, NULL), IMGSTORE_OK);
  expect_error(imgstore_index_add(x, AMD, NULL, 0, &error), IMGSTORE_EEXISTS, error, "already");
  expect_error(imgstore_index_add(x, "localhost/other:1", NULL, 0, &error), IMGSTORE_EEXISTS, error,
               "an entry for linux/amd64");
  assert_int_equal(imgstore_index_count(x), 1);
  assert_int_equal(imgstore_index_add(x, "localhost/other:1", NULL, IMGSTORE_INDEX_REPLACE, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_count(x), 1);
  assert_int_equal(imgstore_index_add(x, AMD, "linux/riscv64", 0, NULL), IMGSTORE_OK); /* as the caller says */
  assert_int_equal(imgstore_index_count(x), 2);
  expect_error(imgstore_index_add(x, "localhost/none:1", NULL, 0, &error), IMGSTORE_ENOTFOUND, error, "none");
  expect_error(imgstore_index_add(x, ARM, NULL, 8, &error), IMGSTORE_EUNSUPPORTED, error, "flags");
  imgstore_index_free(x);
  imgstore_store_close(store);
}

#define ODD                                                                                                            \
  "{ \"mediaType\":\"" IMS_MT_OCI_MANIFEST "\", \"size\":%zu,\"digest\":\"%s\",\"x\":[1, 2],\"platform\":{\"os\":"     \
  "\"linux\",\"architecture\":\"arm64\",\"os.features\":[\"f\"]}}"
#define ATTESTATION                                                                                                    \
  "{\"mediaType\":\"" IMS_MT_OCI_MANIFEST "\",\"digest\":\"sha256:"                                                    \
  "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\",\"size\":9,\"annotations\":{\"vnd.docker."       \
  "reference.type\":\"attestation-manifest\",\"vnd.docker.reference.digest\":\"%s\"},\"platform\":{\"os\":"            \
  "\"unknown\","                                                                                                       \
  "\"architecture\":\"unknown\"}}"

/* An index with spaces and members that nobody knows, and an attestation that is not in the store. */
static void put_odd_index(imgstore_store *store, char entry[1024]) {
  char text[4096], attestation[1024];
  const char *arm = digest_of(store, ARM);
  snprintf(entry, 1024, ODD, strlen(manifest_text(store, ARM)), arm);
  snprintf(attestation, sizeof attestation, ATTESTATION, arm);
  snprintf(text, sizeof text,
           "{\"schemaVersion\":2, \"mediaType\":\"" IMS_MT_OCI_INDEX "\",\"manifests\":[ %s , %s ],\"annotations\":{"
           "\"k\":\"v\"}}",
           entry, attestation);
  put_document(store, "localhost/odd:1", text, IMS_MT_OCI_INDEX);
}

static void test_entries_keep_their_bytes(void **state) {
  imgstore_store *store = open_store();
  imgstore_index *x;
  char entry[1024];
  put_odd_index(store, entry);
  assert_int_equal(imgstore_index_open(store, "localhost/odd:1", &x, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_count(x), 2);
  assert_int_equal(imgstore_index_add(x, AMD, NULL, 0, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_annotate(x, "linux/amd64", "n", "1", NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_save(x, "localhost/odd:1", NULL, NULL), IMGSTORE_OK);
  imgstore_index_free(x);
  const char *text = manifest_text(store, "localhost/odd:1");
  assert_non_null(strstr(text, entry));
  assert_non_null(strstr(text, "\"annotations\":{\"n\":\"1\"}"));
  assert_non_null(strstr(text, "\"annotations\":{\"k\":\"v\"}"));
  imgstore_store_close(store);
}

static void test_remove_and_annotate(void **state) {
  imgstore_store *store = open_store();
  imgstore_index *x;
  imgstore_error *error = NULL;
  char entry[1024];
  put_odd_index(store, entry);
  assert_int_equal(imgstore_index_open(store, "localhost/odd:1", &x, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_annotate(x, digest_of(store, ARM), "n", "1", NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_annotate(x, NULL, "k", NULL, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_save(x, "localhost/new:1", NULL, NULL), IMGSTORE_OK);
  const char *text = manifest_text(store, "localhost/new:1");
  assert_non_null(strstr(text, "\"x\":[1,2]"));
  assert_non_null(strstr(text, "\"os.features\":[\"f\"]},\"annotations\":{\"n\":\"1\"}}"));
  assert_null(strstr(text, "\"k\""));
  expect_error(imgstore_index_annotate(x, "linux/s390x", "k", "v", &error), IMGSTORE_ENOTFOUND, error, "linux/s390x");
  expect_error(imgstore_index_annotate(x, NULL, "", "v", &error), IMGSTORE_EINVALID, error, "annotation");
  expect_error(imgstore_index_annotate(x, NULL, "k", "\xff", &error), IMGSTORE_EINVALID, error, "UTF-8");
  expect_error(imgstore_index_remove(x, "linux/s390x", &error), IMGSTORE_ENOTFOUND, error, "linux/s390x");
  expect_error(imgstore_index_remove(x, "sha256:12", &error), IMGSTORE_EFORMAT, error, "digest");
  assert_int_equal(imgstore_index_remove(x, "linux/arm64", NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_count(x), 0); /* the attestation went with it */
  imgstore_index_free(x);
  imgstore_store_close(store);
}

static void test_add_index(void **state) {
  imgstore_store *store = open_store();
  imgstore_index *x;
  imgstore_error *error = NULL;
  char entry[1024];
  put_odd_index(store, entry);
  assert_int_equal(imgstore_index_new(store, &x, NULL), IMGSTORE_OK);
  expect_error(imgstore_index_add(x, "localhost/odd:1", "linux/amd64", 0, &error), IMGSTORE_ENOTFOUND, error,
               "none of its images for linux/amd64");
  assert_int_equal(imgstore_index_add(x, "localhost/odd:1", NULL, 0, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_count(x), 1); /* what is not in the store is left out */
  assert_int_equal(imgstore_index_save(x, "new", NULL, NULL), IMGSTORE_OK);
  assert_non_null(strstr(manifest_text(store, "new"), entry));
  imgstore_index_free(x);
  imgstore_store_close(store);
}

static void test_names(void **state) {
  imgstore_store *store = open_store();
  imgstore_index *x, *other;
  imgstore_manifest *m;
  imgstore_error *error = NULL;
  assert_int_equal(imgstore_index_new(store, &x, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_save(x, NULL, &m, NULL), IMGSTORE_OK); /* no name */
  imgstore_manifest_unref(m);
  assert_int_equal(imgstore_index_save(x, "multi", NULL, NULL), IMGSTORE_OK);
  char digest_name[256];
  snprintf(digest_name, sizeof digest_name, "multi@%s", digest_of(store, "multi"));
  expect_error(imgstore_index_save(x, digest_name, NULL, &error), IMGSTORE_EFORMAT, error, "cannot have a digest");
  expect_error(imgstore_index_save(x, "UPPER", NULL, &error), IMGSTORE_EFORMAT, error, "UPPER");
  expect_error(imgstore_index_open(store, AMD, &other, &error), IMGSTORE_EINVALID, error, "is not an index");
  assert_null(other);
  /* Somebody else is faster. */
  assert_int_equal(imgstore_index_open(store, "multi", &other, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_add(other, AMD, NULL, 0, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_save(other, "multi", NULL, NULL), IMGSTORE_OK);
  imgstore_index_free(other);
  assert_int_equal(imgstore_index_add(x, ARM, NULL, 0, NULL), IMGSTORE_OK);
  expect_error(imgstore_index_save(x, "multi", NULL, &error), IMGSTORE_ECONFLICT, error, "multi");
  assert_int_equal(imgstore_index_save(x, "multi2", NULL, NULL), IMGSTORE_OK);
  imgstore_index_free(x);
  imgstore_store_close(store);
}

static void test_docker_format(void **state) {
  imgstore_store *store = open_store();
  imgstore_index *x;
  imgstore_error *error = NULL;
  assert_int_equal(imgstore_index_new(store, &x, NULL), IMGSTORE_OK);
  expect_error(imgstore_index_set_format(x, 2, &error), IMGSTORE_EINVALID, error, "format");
  assert_int_equal(imgstore_index_set_format(x, IMGSTORE_FORMAT_DOCKER, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_add(x, AMD, NULL, 0, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_save(x, "list", NULL, NULL), IMGSTORE_OK);
  assert_non_null(strstr(manifest_text(store, "list"), IMS_MT_DOCKER_LIST));
  assert_int_equal(imgstore_index_annotate(x, NULL, "k", "v", NULL), IMGSTORE_OK);
  expect_error(imgstore_index_save(x, "list", NULL, &error), IMGSTORE_EINVALID, error, "annotations");
  imgstore_index_free(x);
  imgstore_store_close(store);
}

static void test_held_while_the_handle_lives(void **state) {
  imgstore_store *store = open_store();
  imgstore_index *x;
  imgstore_image *image;
  assert_int_equal(imgstore_index_new(store, &x, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_add(x, ARM, NULL, 0, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_store_remove(store, ARM, 0, NULL, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_store_prune(store, NULL, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_index_save(x, "multi", NULL, NULL), IMGSTORE_OK);
  imgstore_index_free(x);
  assert_int_equal(imgstore_store_prune(store, NULL, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_store_image(store, "multi", "linux/arm64", &image, NULL), IMGSTORE_OK);
  imgstore_image_unref(image);
  imgstore_store_close(store);
}

static int32_t everything(imgstore_store *store) {
  imgstore_index *x = NULL, *again = NULL;
  imgstore_manifest *m = NULL;
  int32_t rc = imgstore_index_new(store, &x, NULL);
  if (!rc)
    rc = imgstore_index_add(x, AMD, NULL, 0, NULL);
  if (!rc)
    rc = imgstore_index_add(x, ARM, NULL, 0, NULL);
  if (!rc)
    rc = imgstore_index_annotate(x, "linux/arm64", "k", "v", NULL);
  if (!rc)
    rc = imgstore_index_annotate(x, NULL, "k", "v", NULL);
  if (!rc)
    rc = imgstore_index_save(x, "multi", &m, NULL);
  if (!rc)
    rc = imgstore_index_open(store, "multi", &again, NULL);
  if (!rc)
    rc = imgstore_index_remove(again, "linux/amd64", NULL);
  if (!rc)
    rc = imgstore_index_add(again, "multi", NULL, IMGSTORE_INDEX_REPLACE, NULL);
  if (!rc)
    rc = imgstore_index_save(again, "multi", NULL, NULL);
  imgstore_manifest_unref(m);
  imgstore_index_free(x);
  imgstore_index_free(again);
  return rc;
}

static void test_every_allocation_fails(void **state) {
  long last = 1;
  for (long at = 0; at < last; at++) {
    fixture_memory memory = {.at = -1};
    ims_alloc alloc = fixture_allocator(&memory);
    ims_core *core = fixture_core(NULL, &alloc);
    imgstore_store *store = NULL;
    assert_int_equal(imgstore_store_open_memory(core, 0, &store, NULL), IMGSTORE_OK);
    assert_int_equal(put_image(store, AMD, "linux", "amd64", "", NULL), IMGSTORE_OK);
    assert_int_equal(put_image(store, ARM, "linux", "arm64", "v8", NULL), IMGSTORE_OK);
    long before = memory.seen;
    memory.at = before + at;
    int32_t rc = everything(store);
    if (at == 0)
      last = 10000;
    if (memory.seen <= memory.at) {
      assert_int_equal(rc, IMGSTORE_OK);
      last = 0;
    } else {
      assert_int_equal(rc, IMGSTORE_ENOMEM);
    }
    imgstore_store_close(store);
    ims_core_unref(core);
    assert_int_equal(memory.live, 0);
  }
}

static void test_arguments(void **state) {
  imgstore_index *x;
  assert_int_equal(imgstore_index_new(NULL, &x, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_index_open(NULL, "a", &x, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_index_add(NULL, "a", NULL, 0, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_index_remove(NULL, "a", NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_index_annotate(NULL, NULL, "a", NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_index_set_format(NULL, 0, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_index_save(NULL, "a", NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_index_count(NULL), 0);
  imgstore_index_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_create),
      cmocka_unit_test(test_same_twice),
      cmocka_unit_test(test_entries_keep_their_bytes),
      cmocka_unit_test(test_remove_and_annotate),
      cmocka_unit_test(test_add_index),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_docker_format),
      cmocka_unit_test(test_held_while_the_handle_lives),
      cmocka_unit_test(test_every_allocation_fails),
      cmocka_unit_test(test_arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
