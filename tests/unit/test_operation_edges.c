/*
 * tests/unit/test_operation_edges.c - images that are unusual but right, storages of a caller's own, and what callers
 * may do at the wrong moment: all through the public interface, with and without workers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_registry.h"
#include "storage_spy.h"
#include "store_fixture.h"
#include "tar_fixture.h"

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"
#define LAYER_TYPE "application/vnd.oci.image.layer.v1.tar"

static const uint32_t worker_counts[] = {0, 1, 4};

typedef struct world {
  fake_registry fake;
  imgstore_context *context;
  imgstore_registry *registry;
  imgstore_store *store;
  imgstore_error *error;
  imgstore_pull_options options;
  char *directory;
  char root[256], layout[256];
} world;

static imgstore_context *context_with(uint32_t workers) {
  imgstore_context_options options;
  imgstore_context *context;
  imgstore_context_options_init(&options, sizeof options);
  options.workers = workers;
  assert_int_equal(imgstore_context_new(&options, &context, NULL), IMGSTORE_OK);
  return context;
}

static void open_world(world *w, uint32_t workers) {
  memset(w, 0, sizeof *w);
  fake_registry_init(&w->fake);
  w->context = context_with(workers);
  w->registry = fake_handle(&w->fake, w->context, NULL);
  w->directory = fixture_directory();
  snprintf(w->root, sizeof w->root, "%s/root", w->directory);
  snprintf(w->layout, sizeof w->layout, "%s/layout", w->directory);
  assert_int_equal(imgstore_store_open(w->context, w->layout, NULL, &w->store, NULL), IMGSTORE_OK);
  imgstore_pull_options_init(&w->options, sizeof w->options);
  w->options.platform = "linux/amd64";
}

static void close_world(world *w) {
  imgstore_error_free(w->error);
  imgstore_store_close(w->store);
  imgstore_registry_free(w->registry);
  imgstore_context_free(w->context);
  fake_registry_free(&w->fake);
  fixture_remove(w->directory);
}

/* --- making images
 * ------------------------------------------------------------------------------------------------------ */

typedef struct text_buffer {
  char text[8192];
  int size;
} text_buffer;

__attribute__((format(printf, 2, 3))) static void put(text_buffer *b, const char *format, ...) {
  va_list args;
  va_start(args, format);
  b->size += vsnprintf(b->text + b->size, sizeof b->text - (size_t)b->size, format, args);
  va_end(args);
}

static const fake_object *one_file_layer(world *w, const char *name) {
  tar_fixture tar;
  fixture_init(&tar);
  fixture_file(&tar, '0', name, "content", 7);
  fixture_end(&tar);
  const fake_object *o = fake_add(&w->fake, "", tar.bytes.data, tar.bytes.size);
  fixture_free(&tar);
  return o;
}

static const fake_object *config_of(world *w, const fake_object *const *layers, size_t count) {
  text_buffer b = {.size = 0};
  put(&b, "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[");
  for (size_t i = 0; i < count; i++)
    put(&b, "%s\"%s\"", i ? "," : "", layers[i]->digest);
  put(&b, "]}}");
  return fake_add(&w->fake, "", b.text, (size_t)b.size);
}

/* extra: more members of the config's descriptor. */
static const fake_object *image_of(world *w, const fake_object *const *layers, size_t count, const fake_object *config,
                                   const char *extra) {
  text_buffer b = {.size = 0};
  put(&b,
      "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"config\":{\"mediaType\":"
      "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu%s},\"layers\":[",
      config->digest, config->size, extra);
  for (size_t i = 0; i < count; i++)
    put(&b, "%s{\"mediaType\":\"" LAYER_TYPE "\",\"digest\":\"%s\",\"size\":%zu}", i ? "," : "", layers[i]->digest,
        layers[i]->size);
  put(&b, "]}");
  return fake_add(&w->fake, MANIFEST_TYPE, b.text, (size_t)b.size);
}

static const fake_object *artifact_of(world *w, const fake_object *content) {
  const fake_object *empty = fake_add(&w->fake, "", "{}", 2);
  text_buffer b = {.size = 0};
  put(&b,
      "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"artifactType\":\"application/vnd.test\",\"config\":"
      "{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"%s\",\"size\":2,\"data\":\"e30=\"},"
      "\"layers\":[{\"mediaType\":\"application/octet-stream\",\"digest\":\"%s\",\"size\":%zu}]}",
      empty->digest, content->digest, content->size);
  return fake_add(&w->fake, MANIFEST_TYPE, b.text, (size_t)b.size);
}

static const fake_object *index_of(world *w, const fake_object *const *children, const char *const *platforms,
                                   size_t count) {
  text_buffer b = {.size = 0};
  put(&b, "{\"schemaVersion\":2,\"mediaType\":\"" INDEX_TYPE "\",\"manifests\":[");
  for (size_t i = 0; i < count; i++) {
    put(&b, "%s{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu", i ? "," : "", children[i]->type,
        children[i]->digest, children[i]->size);
    if (platforms[i])
      put(&b, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"%s\"}", platforms[i]);
    put(&b, "}");
  }
  put(&b, "]}");
  return fake_add(&w->fake, INDEX_TYPE, b.text, (size_t)b.size);
}

static void publish(world *w, const fake_object *object) {
  w->fake.index = (size_t)(object - w->fake.objects);
}

/* --- what must hold after any pull
 * -------------------------------------------------------------------------------------- */

static void check_store(imgstore_store *store) {
  imgstore_report *report;
  assert_int_equal(imgstore_store_verify(store, IMGSTORE_VERIFY_FULL, &report, NULL), IMGSTORE_OK);
  for (size_t i = 0; i < imgstore_report_count(report); i++)
    print_error("%d %s %s %s\n", imgstore_report_kind(report, i), imgstore_report_name(report, i),
                imgstore_report_digest(report, i), imgstore_report_detail(report, i));
  assert_int_equal(imgstore_report_count(report), 0);
  imgstore_report_free(report);
}

static void pull(world *w, int32_t expected, imgstore_image **image) {
  int32_t rc = imgstore_pull(w->store, w->registry, FAKE_NAME, &w->options, image, &w->error);
  if (rc != expected)
    fail_msg("pull: %d: %s", rc, imgstore_error_message(w->error));
  check_store(w->store);
}

/* Collecting takes garbage objects and nothing that a reference reaches, and a copy of the store is as whole as the
 * store. */
static void check_copy(world *w, size_t garbage) {
  imgstore_store *copy;
  imgstore_report *report;
  assert_int_equal(imgstore_store_prune(w->store, &report, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_report_count(report), garbage);
  imgstore_report_free(report);
  check_store(w->store);
  assert_int_equal(imgstore_store_open_memory(w->context, 0, &copy, NULL), IMGSTORE_OK);
  int32_t rc = imgstore_load(copy, w->layout, NULL, &report, &w->error);
  if (rc)
    fail_msg("load: %s", imgstore_error_message(w->error));
  assert_int_equal(imgstore_report_count(report), 1);
  imgstore_report_free(report);
  check_store(copy);
  imgstore_store_close(copy);
}

static void for_all_workers(void (*test)(world *w)) {
  for (size_t i = 0; i < sizeof worker_counts / sizeof worker_counts[0]; i++) {
    world w;
    open_world(&w, worker_counts[i]);
    test(&w);
    close_world(&w);
  }
}

/* --- unusual images
 * ----------------------------------------------------------------------------------------------------- */

static void unpacks(world *w, size_t layers, size_t garbage) {
  imgstore_image *image;
  w->options.unpack_to = w->root;
  pull(w, IMGSTORE_OK, &image);
  assert_non_null(image);
  assert_int_equal(imgstore_image_layer_count(image), layers);
  assert_true(fixture_exists(w->directory, "root"));
  char again[300];
  snprintf(again, sizeof again, "%s/again", w->directory);
  assert_int_equal(imgstore_unpack(image, again, NULL, NULL, &w->error), IMGSTORE_OK);
  imgstore_image_unref(image);
  check_copy(w, garbage);
}

static void no_layers(world *w) {
  publish(w, image_of(w, NULL, 0, config_of(w, NULL, 0), ""));
  unpacks(w, 0, 0);
}

static void one_layer_twice(world *w) {
  const fake_object *layer = one_file_layer(w, "file"), *layers[] = {layer, layer, layer};
  publish(w, image_of(w, layers, 3, config_of(w, layers, 3), ""));
  unpacks(w, 3, 0);
  assert_true(fixture_exists(w->root, "file"));
}

static void layer_without_a_byte(world *w) {
  const fake_object *empty = fake_add(&w->fake, "", "", 0), *layers[] = {empty, one_file_layer(w, "file"), empty};
  publish(w, image_of(w, layers, 3, config_of(w, layers, 3), ""));
  unpacks(w, 3, 0);
  assert_true(fixture_exists(w->root, "file"));
}

static void embedded_config(world *w) {
  /* {"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}} */
  const fake_object *config = config_of(w, NULL, 0);
  assert_int_equal(config->size, 78);
  publish(w, image_of(w, NULL, 0, config,
                      ",\"data\":\"eyJhcmNoaXRlY3R1cmUiOiJhbWQ2NCIsIm9zIjoibGludXgiLCJyb290ZnMiOnsidHlwZSI6ImxheWVycyIs"
                      "ImRpZmZfaWRzIjpbXX19\""));
  unpacks(w, 0, 0);
  assert_int_equal(w->fake.blob_requests, 0);
}

static void nested_index(world *w) {
  const fake_object *layer = one_file_layer(w, "file"), *image = image_of(w, &layer, 1, config_of(w, &layer, 1), "");
  static const char *const amd64 = "amd64";
  const fake_object *inner = index_of(w, &image, &amd64, 1), *outer = index_of(w, &inner, &amd64, 1);
  publish(w, outer);
  unpacks(w, 1, 1); /* of the indexes on the way to one platform the first is kept */
}

/* Both platforms of the fake's own index have the same layers. */
static void all_platforms(world *w) {
  imgstore_image *image;
  w->options.flags = IMGSTORE_PULL_ALL_PLATFORMS;
  w->options.unpack_to = w->root;
  pull(w, IMGSTORE_OK, &image);
  assert_string_equal(imgstore_image_text(image, IMGSTORE_IMAGE_ARCHITECTURE), "amd64");
  imgstore_image_unref(image);
  assert_int_equal(w->fake.blob_requests, FAKE_LAYERS + 2);
  assert_true(fixture_exists(w->root, "srv/top"));
  check_copy(w, 0);
}

/* An artifact whose content is the manifest of the image beside it. */
static void manifest_as_layer(world *w) {
  static const char *const platforms[] = {"amd64", NULL};
  const fake_object *layer = one_file_layer(w, "file");
  const fake_object *children[] = {image_of(w, &layer, 1, config_of(w, &layer, 1), ""), NULL};
  children[1] = artifact_of(w, children[0]);
  publish(w, index_of(w, children, platforms, 2));
  w->options.flags = IMGSTORE_PULL_ALL_PLATFORMS;
  pull(w, IMGSTORE_OK, NULL);
  check_copy(w, 0);
}

static void artifact(world *w) {
  imgstore_image *image;
  publish(w, artifact_of(w, fake_add(&w->fake, "", "anything", 8)));
  w->options.unpack_to = w->root;
  pull(w, IMGSTORE_EUNSUPPORTED, &image);
  assert_null(image);
  assert_false(fixture_exists(w->directory, "root"));
  w->options.unpack_to = NULL;
  imgstore_error_free(w->error);
  w->error = NULL;
  pull(w, IMGSTORE_OK, &image);
  assert_null(image);
  check_copy(w, 0);
}

/* The platform's entry of an index may be no image: its name still stands for what is in the store. */
static void chosen_artifact(world *w) {
  static const char *const platforms[] = {"arm64", "amd64"};
  const fake_object *layer = one_file_layer(w, "file");
  const fake_object *children[] = {image_of(w, &layer, 1, config_of(w, &layer, 1), ""),
                                   artifact_of(w, fake_add(&w->fake, "", "anything", 8))};
  imgstore_manifest *manifest;
  publish(w, index_of(w, children, platforms, 2));
  pull(w, IMGSTORE_OK, NULL);
  assert_int_equal(imgstore_store_manifest(w->store, FAKE_NAME, &manifest, NULL), IMGSTORE_OK);
  assert_string_equal(imgstore_manifest_digest(manifest), children[1]->digest);
  imgstore_manifest_unref(manifest);
}

static void test_no_layers(void **state) {
  for_all_workers(no_layers);
}

static void test_one_layer_twice(void **state) {
  for_all_workers(one_layer_twice);
}

static void test_layer_without_a_byte(void **state) {
  for_all_workers(layer_without_a_byte);
}

static void test_embedded_config(void **state) {
  for_all_workers(embedded_config);
}

static void test_nested_index(void **state) {
  for_all_workers(nested_index);
}

static void test_all_platforms(void **state) {
  for_all_workers(all_platforms);
}

static void test_manifest_as_layer(void **state) {
  for_all_workers(manifest_as_layer);
}

static void test_artifact(void **state) {
  for_all_workers(artifact);
}

static void test_chosen_artifact(void **state) {
  for_all_workers(chosen_artifact);
}

/* --- storages of a caller's own
 * ----------------------------------------------------------------------------------------- */

static void use_storage(uint32_t workers, uint32_t flags) {
  world w;
  storage_spy spy;
  imgstore_image *image;
  open_world(&w, workers);
  imgstore_storage storage = spy_storage(&spy, w.context, flags);
  imgstore_store_close(w.store);
  assert_int_equal(imgstore_store_open_storage(w.context, &storage, &w.store, NULL), IMGSTORE_OK);
  w.options.unpack_to = w.root;
  pull(&w, IMGSTORE_OK, &image);
  char again[300];
  snprintf(again, sizeof again, "%s/again", w.directory);
  assert_int_equal(imgstore_unpack(image, again, NULL, NULL, NULL), IMGSTORE_OK);
  imgstore_image_unref(image);
  w.options.unpack_to = NULL;
  pull(&w, IMGSTORE_OK, NULL);
  /* one that is given up in the middle */
  imgstore_operation *op;
  assert_int_equal(imgstore_store_remove(w.store, FAKE_NAME, 0, NULL, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_pull_start(w.store, w.registry, FAKE_NAME, &w.options, &op, NULL), IMGSTORE_OK);
  for (int i = 0; i < 8; i++)
    imgstore_operation_step(op, 5, NULL);
  imgstore_store_close(w.store); /* the operation keeps what it needs */
  w.store = NULL;
  assert_int_equal(atomic_load(&spy.destroyed), 0);
  imgstore_operation_free(op);
  assert_int_equal(atomic_load(&spy.destroyed), 1);
  assert_int_equal(atomic_load(&spy.wrong), 0);
  assert_int_equal(atomic_load(&spy.together), 0);
  assert_int_equal(atomic_load(&spy.on_workers) > 0, workers && flags);
  assert_true(atomic_load(&spy.calls) > 50);
  close_world(&w);
}

static void test_storage_runs_on_its_thread(void **state) {
  for (size_t i = 0; i < sizeof worker_counts / sizeof worker_counts[0]; i++) {
    use_storage(worker_counts[i], 0);
    use_storage(worker_counts[i], IMGSTORE_STORAGE_CONCURRENT);
  }
}

/* Whatever a storage answers, the job ends with it. */
static void test_storage_answers(void **state) {
  static const struct {
    int32_t answer, code, value;
  } cases[] = {{IMGSTORE_ENOSPACE, IMGSTORE_ENOSPACE, 0},
               {IMGSTORE_EAGAIN, IMGSTORE_EPROTOCOL, 0},
               {77, IMGSTORE_ECALLBACK, 77},
               {-1000, IMGSTORE_ECALLBACK, -1000}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    for (int which = 0; which < 2; which++) {
      world w;
      storage_spy spy;
      open_world(&w, 1);
      imgstore_storage storage = spy_storage(&spy, w.context, IMGSTORE_STORAGE_CONCURRENT);
      *(which ? &spy.ingest_open_rc : &spy.lease_open_rc) = cases[i].answer;
      imgstore_store_close(w.store);
      assert_int_equal(imgstore_store_open_storage(w.context, &storage, &w.store, NULL), IMGSTORE_OK);
      assert_int_equal(imgstore_pull(w.store, w.registry, FAKE_NAME, NULL, NULL, &w.error), cases[i].code);
      assert_int_equal(imgstore_error_code(w.error), cases[i].code);
      assert_int_equal(imgstore_error_callback_value(w.error), cases[i].value);
      close_world(&w);
    }
  }
}

/* --- at the wrong moment
 * ------------------------------------------------------------------------------------------------ */

typedef struct meddler {
  imgstore_operation *op;
  int total, stop_at, refused;
} meddler;

static int32_t meddle(void *user_data, const imgstore_event *event) {
  meddler *m = user_data;
  if (m->op && imgstore_operation_step(m->op, 0, NULL) == IMGSTORE_EINVALID)
    m->refused++;
  return m->total++ == m->stop_at ? 9 : 0;
}

static void test_step_from_a_callback_is_refused(void **state) {
  world w;
  meddler m = {.stop_at = -1};
  open_world(&w, 1);
  w.options.progress = meddle;
  w.options.progress_data = &m;
  assert_int_equal(imgstore_pull_start(w.store, w.registry, FAKE_NAME, &w.options, &m.op, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_operation_wait(m.op, &w.error), IMGSTORE_OK);
  assert_true(m.total > 0);
  assert_int_equal(m.refused, m.total);
  imgstore_operation_free(m.op);
  close_world(&w);
}

/* Several answers come in one step here, also when the first one of them stops the job. */
static void test_nothing_after_the_stop(void **state) {
  int total = 1;
  for (int at = 0; at < total; at++) {
    world w;
    meddler m = {.stop_at = at};
    open_world(&w, 1);
    w.fake.cut_after = 100000;
    w.fake.piece = 50000;
    w.options.flags = IMGSTORE_PULL_ALL_PLATFORMS;
    w.options.progress = meddle;
    w.options.progress_data = &m;
    int32_t rc = imgstore_pull(w.store, w.registry, FAKE_NAME, &w.options, NULL, &w.error);
    total = m.total > at ? at + 2 : at;
    if (m.total > at) {
      assert_int_equal(rc, IMGSTORE_ECALLBACK);
      assert_int_equal(imgstore_error_callback_value(w.error), 9);
      assert_int_equal(m.total, at + 1);
    } else {
      assert_int_equal(rc, IMGSTORE_OK);
      assert_true(at > 20);
    }
    close_world(&w);
  }
}

/* A child has neither the workers nor the connections: it may free what it inherited, and use nothing of it. */
static void child_of_fork(world *w, imgstore_operation *op) {
  imgstore_operation *another = NULL;
  bool good = imgstore_operation_step(op, 0, NULL) == IMGSTORE_EINVALID &&
              imgstore_pull_start(w->store, w->registry, FAKE_NAME, NULL, &another, NULL) == IMGSTORE_EINVALID;
  imgstore_operation_free(op);
  imgstore_store_close(w->store);
  imgstore_registry_free(w->registry);
  imgstore_context_free(w->context);
  /* another program ends the child: what belongs to the parent's tasks and tests is no leak of the child's */
  execlp(good && !another ? "true" : "false", "true", (char *)NULL);
  _exit(2);
}

static void test_fork(void **state) {
  world w;
  imgstore_operation *op;
  int status;
  open_world(&w, 2);
  w.options.unpack_to = w.root;
  w.fake.piece = 20000;
  assert_int_equal(imgstore_pull_start(w.store, w.registry, FAKE_NAME, &w.options, &op, NULL), IMGSTORE_OK);
  for (int i = 0; i < 10; i++)
    imgstore_operation_step(op, 1, NULL);
  pid_t child = fork();
  if (!child)
    child_of_fork(&w, op);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  assert_int_equal(imgstore_operation_wait(op, &w.error), IMGSTORE_OK); /* the parent goes on */
  imgstore_operation_free(op);
  assert_true(fixture_exists(w.root, "srv/top"));
  check_store(w.store);
  close_world(&w);
}

static int32_t count_complete(void *user_data, const imgstore_event *event) {
  *(int *)user_data += event->type == IMGSTORE_EVENT_COMPLETE;
  return 0;
}

/* Each of the layers and both configs, whether all of it is unpacked or only kept. */
static void test_everything_is_complete_once(void **state) {
  for (size_t i = 0; i < 6; i++) {
    world w;
    int complete = 0;
    open_world(&w, worker_counts[i / 2]);
    w.options.flags = IMGSTORE_PULL_ALL_PLATFORMS;
    w.options.unpack_to = i % 2 ? w.root : NULL;
    w.options.progress = count_complete;
    w.options.progress_data = &complete;
    pull(&w, IMGSTORE_OK, NULL);
    assert_int_equal(complete, FAKE_LAYERS + 2);
    close_world(&w);
  }
}

/* --- streams of damaged content
 * ------------------------------------------------------------------------------------------ */

/* What is read after a failure must not look like the verified end. */
static void read_damaged(imgstore_layer *layer, int32_t form) {
  static char buffer[1 << 16];
  imgstore_stream *stream;
  size_t got;
  int32_t rc;
  assert_int_equal(imgstore_layer_open(layer, form, &stream, NULL), IMGSTORE_OK);
  while (!(rc = imgstore_stream_read(stream, buffer, sizeof buffer, &got, NULL)) && got)
    ;
  assert_int_equal(rc, IMGSTORE_EDIGEST);
  for (int i = 0; i < 3; i++) {
    imgstore_error *error = NULL;
    assert_int_equal(imgstore_stream_read(stream, buffer, sizeof buffer, &got, &error), IMGSTORE_EDIGEST);
    assert_int_equal(got, 0);
    assert_non_null(error);
    imgstore_error_free(error);
  }
  imgstore_stream_close(stream);
  imgstore_files *files;
  assert_int_equal(imgstore_files_open(layer, &files, NULL), IMGSTORE_OK);
  while (!(rc = imgstore_files_next(files, NULL)))
    ;
  assert_int_equal(rc, IMGSTORE_EDIGEST);
  assert_int_equal(imgstore_files_next(files, NULL), IMGSTORE_EDIGEST);
  assert_string_equal(imgstore_files_path(files), "");
  imgstore_files_close(files);
}

static void test_damage_stays_an_error(void **state) {
  world w;
  imgstore_image *image;
  char path[400];
  open_world(&w, 0);
  pull(&w, IMGSTORE_OK, &image);
  imgstore_layer *layer = imgstore_image_layer(image, 1);
  snprintf(path, sizeof path, "%s/blobs/sha256/%s", w.layout, imgstore_layer_digest(layer) + 7);
  FILE *file = fopen(path, "r+");
  if (!file)
    fail_msg("cannot open %s", path);
  assert_int_equal(fseek(file, 2000, SEEK_SET), 0);
  assert_int_equal(fputc('!', file), '!');
  fclose(file);
  read_damaged(layer, IMGSTORE_LAYER_RAW);
  read_damaged(layer, IMGSTORE_LAYER_UNCOMPRESSED);
  imgstore_image_unref(image);
  close_world(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_no_layers),
      cmocka_unit_test(test_one_layer_twice),
      cmocka_unit_test(test_layer_without_a_byte),
      cmocka_unit_test(test_embedded_config),
      cmocka_unit_test(test_nested_index),
      cmocka_unit_test(test_all_platforms),
      cmocka_unit_test(test_manifest_as_layer),
      cmocka_unit_test(test_artifact),
      cmocka_unit_test(test_chosen_artifact),
      cmocka_unit_test(test_storage_runs_on_its_thread),
      cmocka_unit_test(test_storage_answers),
      cmocka_unit_test(test_step_from_a_callback_is_refused),
      cmocka_unit_test(test_nothing_after_the_stop),
      cmocka_unit_test(test_fork),
      cmocka_unit_test(test_everything_is_complete_once),
      cmocka_unit_test(test_damage_stays_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
