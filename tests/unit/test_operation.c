/*
 * tests/unit/test_operation.c - pull, load and unpack through the public interface, on a registry in memory: both
 * faces, workers 0 and more, events, cancelling, callbacks that stop, faults, and every allocation failing in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "failing_alloc.h"
#include "fake_registry.h"
#include "store_fixture.h"

static imgstore_context *context_with(uint32_t workers, const imgstore_allocator *allocator) {
  imgstore_context_options options;
  imgstore_context *context = NULL;
  imgstore_context_options_init(&options, sizeof options);
  options.workers = workers;
  options.allocator = allocator;
  imgstore_context_new(&options, &context, NULL);
  return context;
}

typedef struct seen {
  int counts[16];
  int64_t stop_at; /* the event, counted from 0, that returns 7; -1: none */
  int total;
} seen;

static int32_t on_event(void *user_data, const imgstore_event *event) {
  seen *s = user_data;
  assert_int_equal(event->size, sizeof *event);
  if (event->object != IMGSTORE_OBJECT_CONFIG)
    s->counts[event->type]++;
  return s->total++ == s->stop_at ? 7 : 0;
}

static char *read_text(const char *directory, const char *name, size_t *size) {
  return fixture_read(directory, name, size);
}

static void check_tree(const char *path) {
  size_t size;
  assert_false(fixture_exists(path, "srv/base")); /* whited out by the top layer */
  char *middle = read_text(path, "srv/middle", &size);
  assert_non_null(middle);
  assert_int_equal(size, 299999);
  assert_int_equal(middle[299998], 'b');
  free(middle);
  char *top = read_text(path, "srv/top", &size);
  assert_int_equal(size, 299998);
  free(top);
}

/* --- both faces, all numbers of workers
 * -------------------------------------------------------------------------------------- */

static void pull_and_unpack(uint32_t workers, bool events, size_t piece, bool memory) {
  fake_registry fake;
  fake_registry_init(&fake);
  fake.piece = piece;
  imgstore_context *context = context_with(workers, NULL);
  imgstore_error *error = NULL;
  char *directory = fixture_directory();
  char root[256], store_path[256];
  snprintf(root, sizeof root, "%s/root", directory);
  snprintf(store_path, sizeof store_path, "%s/store", directory);
  imgstore_registry *registry = fake_handle(&fake, context, &error);
  imgstore_store *store;
  assert_int_equal(memory ? imgstore_store_open_memory(context, 0, &store, NULL)
                          : imgstore_store_open(context, store_path, NULL, &store, NULL),
                   IMGSTORE_OK);
  seen s = {.stop_at = -1};
  imgstore_pull_options options;
  imgstore_pull_options_init(&options, sizeof options);
  options.platform = "linux/arm64";
  options.unpack_to = root;
  options.progress = on_event;
  options.progress_data = &s;
  imgstore_image *image = NULL;
  int32_t rc;
  if (events) {
    imgstore_operation *op;
    assert_int_equal(imgstore_pull_start(store, registry, FAKE_NAME, &options, &op, &error), IMGSTORE_OK);
    while ((rc = imgstore_operation_step(op, 0, &error)) == IMGSTORE_EAGAIN) {
      struct pollfd p = {imgstore_operation_fd(op), POLLIN, 0};
      assert_int_equal(poll(&p, 1, 10000), 1);
    }
    image = imgstore_operation_image(op);
    assert_int_equal(imgstore_report_count(imgstore_operation_report(op)), 0);
    imgstore_operation_free(op);
  } else {
    rc = imgstore_pull(store, registry, FAKE_NAME, &options, &image, &error);
  }
  if (rc)
    fail_msg("pull: %s", imgstore_error_message(error));
  assert_non_null(image);
  assert_string_equal(imgstore_image_text(image, IMGSTORE_IMAGE_ARCHITECTURE), "arm64");
  assert_string_equal(imgstore_image_target_digest(image), fake.objects[fake.index].digest);
  assert_int_equal(s.counts[IMGSTORE_EVENT_COMMITTED], 1);
  assert_int_equal(s.counts[IMGSTORE_EVENT_DOWNLOADED], FAKE_LAYERS);
  assert_int_equal(s.counts[IMGSTORE_EVENT_COMPLETE], FAKE_LAYERS);
  assert_int_equal(fake.blob_requests, FAKE_LAYERS + 1);
  check_tree(root);
  /* the handles may go in any order; the image still reads */
  imgstore_store_close(store);
  imgstore_registry_free(registry);
  imgstore_context_free(context);
  imgstore_bytes *bytes;
  assert_int_equal(imgstore_image_read_file(image, "/srv/middle", 1 << 20, &bytes, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_bytes_size(bytes), 299999);
  imgstore_bytes_free(bytes);
  assert_int_equal(imgstore_image_read_file(image, "srv/base", 1 << 20, &bytes, NULL), IMGSTORE_ENOTFOUND);
  assert_int_equal(imgstore_image_read_file(image, "srv/top", 10, &bytes, NULL), IMGSTORE_ELIMIT);
  imgstore_image_unref(image);
  fixture_remove(directory);
  fake_registry_free(&fake);
}

static void test_faces_and_workers(void **state) {
  for (uint32_t workers = 0; workers <= 4; workers += workers ? 3 : 1) {
    pull_and_unpack(workers, false, 0, false);
    pull_and_unpack(workers, true, 5000, false);
    pull_and_unpack(workers, true, 0, true);
  }
}

/* --- what is there is not fetched again
 * ----------------------------------------------------------------------------------------- */

static void test_second_pull_fetches_nothing(void **state) {
  fake_registry fake;
  fake_registry_init(&fake);
  imgstore_context *context = context_with(2, NULL);
  imgstore_registry *registry = fake_handle(&fake, context, NULL);
  imgstore_store *store;
  imgstore_store_open_memory(context, 0, &store, NULL);
  assert_int_equal(imgstore_pull(store, registry, FAKE_NAME, NULL, NULL, NULL), IMGSTORE_OK);
  int blobs = fake.blob_requests, manifests = fake.manifest_requests;
  seen s = {.stop_at = -1};
  imgstore_pull_options options;
  imgstore_pull_options_init(&options, sizeof options);
  options.progress = on_event;
  options.progress_data = &s;
  assert_int_equal(imgstore_pull(store, registry, FAKE_NAME, &options, NULL, NULL), IMGSTORE_OK);
  assert_int_equal(fake.blob_requests, blobs);
  assert_int_equal(fake.manifest_requests, manifests + 1); /* the HEAD */
  assert_int_equal(s.counts[IMGSTORE_EVENT_EXISTS], FAKE_LAYERS);
  assert_int_equal(s.counts[IMGSTORE_EVENT_COMMITTED], 0);
  /* every platform: only the other manifest and config are new */
  options.flags = IMGSTORE_PULL_ALL_PLATFORMS;
  assert_int_equal(imgstore_pull(store, registry, FAKE_NAME, &options, NULL, NULL), IMGSTORE_OK);
  assert_int_equal(fake.blob_requests, blobs + 1);
  imgstore_image *image;
  assert_int_equal(imgstore_store_image(store, FAKE_NAME, "linux/arm64", &image, NULL), IMGSTORE_OK);
  imgstore_image_unref(image);
  imgstore_store_close(store);
  imgstore_registry_free(registry);
  imgstore_context_free(context);
  fake_registry_free(&fake);
}

/* --- faults
 * ------------------------------------------------------------------------------------------------------------------------
 */

typedef struct fault_case {
  imgstore_context *context;
  imgstore_store *store;
  imgstore_registry *registry;
  imgstore_error *error;
  char *directory;
  char root[256];
  imgstore_pull_options options;
} fault_case;

static void open_case(fault_case *c, fake_registry *fake, uint32_t workers) {
  memset(c, 0, sizeof *c);
  c->directory = fixture_directory();
  snprintf(c->root, sizeof c->root, "%s/root", c->directory);
  c->context = context_with(workers, NULL);
  c->registry = fake_handle(fake, c->context, NULL);
  imgstore_store_open_memory(c->context, 0, &c->store, NULL);
  imgstore_pull_options_init(&c->options, sizeof c->options);
}

static void close_case(fault_case *c) {
  imgstore_error_free(c->error);
  imgstore_store_close(c->store);
  imgstore_registry_free(c->registry);
  imgstore_context_free(c->context);
  fixture_remove(c->directory);
}

static size_t count_names(imgstore_store *store) {
  imgstore_report *list;
  assert_int_equal(imgstore_store_list(store, &list, NULL), IMGSTORE_OK);
  size_t count = imgstore_report_count(list);
  imgstore_report_free(list);
  return count;
}

/* In small pieces the archive is seen to be broken long before the digest is: still it is the digest that counts, and
   what is to be heard of. */
static void test_corrupt_layer_publishes_nothing(void **state) {
  for (int i = 0; i < 6; i++) {
    fake_registry fake;
    fault_case c;
    fake_registry_init(&fake);
    fake.corrupt = fake.layer[i / 2];
    fake.piece = i % 2 ? 10000 : 0;
    for (uint32_t workers = 0; workers <= 2; workers += 2) {
      open_case(&c, &fake, workers);
      c.options.unpack_to = c.root;
      assert_int_equal(imgstore_pull(c.store, c.registry, FAKE_NAME, &c.options, NULL, &c.error), IMGSTORE_EDIGEST);
      assert_non_null(strstr(imgstore_error_message(c.error), fake.corrupt));
      assert_int_equal(count_names(c.store), 0);
      assert_false(fixture_exists(c.directory, "root"));
      close_case(&c);
    }
    fake_registry_free(&fake);
  }
}

static void test_cut_connections_are_resumed(void **state) {
  fake_registry fake;
  fault_case c;
  fake_registry_init(&fake);
  fake.piece = 10000;
  fake.cut_after = 100000;
  open_case(&c, &fake, 2);
  c.options.unpack_to = c.root;
  int32_t rc = imgstore_pull(c.store, c.registry, FAKE_NAME, &c.options, NULL, &c.error);
  if (rc)
    fail_msg("%s", imgstore_error_message(c.error));
  check_tree(c.root);
  assert_true(fake.blob_requests > FAKE_LAYERS + 1);
  close_case(&c);
  fake_registry_free(&fake);
}

static int64_t now_ms(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void test_cancel(void **state) {
  for (uint32_t workers = 0; workers <= 2; workers += 2) {
    fake_registry fake;
    fault_case c;
    imgstore_operation *op;
    fake_registry_init(&fake);
    fake.stall = true;
    open_case(&c, &fake, workers);
    c.options.unpack_to = c.root;
    assert_int_equal(imgstore_pull_start(c.store, c.registry, FAKE_NAME, &c.options, &op, NULL), IMGSTORE_OK);
    for (int64_t end = now_ms() + 100; now_ms() < end;)
      assert_int_equal(imgstore_operation_step(op, 10, NULL), IMGSTORE_EAGAIN);
    imgstore_operation_cancel(op);
    assert_int_equal(imgstore_operation_wait(op, &c.error), IMGSTORE_ECANCELLED);
    assert_int_equal(imgstore_operation_step(op, 0, NULL), IMGSTORE_ECANCELLED);
    assert_null(imgstore_operation_image(op));
    imgstore_operation_free(op);
    assert_false(fixture_exists(c.directory, "root"));
    /* an operation that is freed while it runs cleans up too */
    assert_int_equal(imgstore_pull_start(c.store, c.registry, FAKE_NAME, &c.options, &op, NULL), IMGSTORE_OK);
    imgstore_operation_step(op, 0, NULL);
    imgstore_operation_free(op);
    assert_false(fixture_exists(c.directory, "root"));
    close_case(&c);
    fake_registry_free(&fake);
  }
}

/* Whatever the stages of an unpack are doing, ending them is safe: no stage wakes one that has stopped before it. */
static void test_cancel_at_every_step(void **state) {
  static const uint32_t workers[] = {0, 1, 4};
  for (size_t w = 0; w < 3; w++) {
    bool finished = false;
    for (int steps = 1; !finished && steps < 400; steps += 1 + steps / 16) {
      fake_registry fake;
      fault_case c;
      imgstore_operation *op;
      fake_registry_init(&fake);
      fake.piece = 50000;
      open_case(&c, &fake, workers[w]);
      c.options.unpack_to = c.root;
      assert_int_equal(imgstore_pull_start(c.store, c.registry, FAKE_NAME, &c.options, &op, NULL), IMGSTORE_OK);
      for (int i = 0; i < steps && !finished; i++)
        finished = imgstore_operation_step(op, 1, NULL) != IMGSTORE_EAGAIN;
      imgstore_operation_free(op);
      assert_int_equal(fixture_exists(c.directory, "root"), finished);
      close_case(&c);
      fake_registry_free(&fake);
    }
    assert_true(finished);
  }
}

static void test_callback_stops_at_any_event(void **state) {
  for (int64_t at = 0;; at++) {
    fake_registry fake;
    fault_case c;
    seen s = {.stop_at = at};
    fake_registry_init(&fake);
    open_case(&c, &fake, 1);
    c.options.unpack_to = c.root;
    c.options.progress = on_event;
    c.options.progress_data = &s;
    int32_t rc = imgstore_pull(c.store, c.registry, FAKE_NAME, &c.options, NULL, &c.error);
    bool stopped = s.total > at;
    if (stopped) {
      assert_int_equal(rc, IMGSTORE_ECALLBACK);
      assert_int_equal(imgstore_error_callback_value(c.error), 7);
      assert_int_equal(s.total, at + 1); /* no callback after the one that stopped */
    } else {
      assert_int_equal(rc, IMGSTORE_OK);
    }
    close_case(&c);
    fake_registry_free(&fake);
    if (!stopped)
      break;
    assert_true(at < 100);
  }
}

static void test_bad_arguments(void **state) {
  fake_registry fake;
  fault_case c;
  fake_registry_init(&fake);
  open_case(&c, &fake, 0);
  assert_int_equal(imgstore_pull(c.store, c.registry, "other.test/app:1", NULL, NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_pull(c.store, c.registry, "registry.test/App:1", NULL, NULL, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(imgstore_pull(NULL, c.registry, FAKE_NAME, NULL, NULL, NULL), IMGSTORE_EINVALID);
  c.options.size = 4;
  assert_int_equal(imgstore_pull(c.store, c.registry, FAKE_NAME, &c.options, NULL, NULL), IMGSTORE_EINVALID);
  imgstore_pull_options_init(&c.options, sizeof c.options);
  c.options.platform = "linux/s390x";
  assert_int_equal(imgstore_pull(c.store, c.registry, FAKE_NAME, &c.options, NULL, &c.error), IMGSTORE_ENOTFOUND);
  assert_non_null(strstr(imgstore_error_message(c.error), "linux/arm64"));
  imgstore_error_free(c.error);
  c.error = NULL;
  c.options.platform = NULL;
  c.options.unpack_to = c.directory; /* holds a file: not empty */
  fixture_write(c.directory, "precious", "x", 1);
  assert_int_equal(imgstore_pull(c.store, c.registry, FAKE_NAME, &c.options, NULL, &c.error), IMGSTORE_EEXISTS);
  assert_true(fixture_exists(c.directory, "precious"));
  close_case(&c);
  fake_registry_free(&fake);
}

/* --- a struct of a later release
 * -------------------------------------------------------------------------------------------------- */

static void test_longer_options(void **state) {
  struct {
    imgstore_pull_options known;
    uint64_t later;
  } options = {.later = 0};
  fake_registry fake;
  fault_case c;
  fake_registry_init(&fake);
  open_case(&c, &fake, 0);
  assert_int_equal(imgstore_pull_options_init(&options.known, sizeof options), IMGSTORE_OK);
  assert_int_equal(imgstore_pull(c.store, c.registry, FAKE_NAME, &options.known, NULL, NULL), IMGSTORE_OK);
  options.later = 1;
  assert_int_equal(imgstore_pull(c.store, c.registry, FAKE_NAME, &options.known, NULL, NULL), IMGSTORE_EUNSUPPORTED);
  close_case(&c);
  fake_registry_free(&fake);
}

/* --- every allocation fails once
 * ----------------------------------------------------------------------------------------------------- */

static int32_t whole_story(const imgstore_allocator *allocator, fake_registry *fake, const char *directory) {
  char root[256], again[256], store_path[256];
  snprintf(root, sizeof root, "%s/root", directory);
  snprintf(again, sizeof again, "%s/again", directory);
  snprintf(store_path, sizeof store_path, "%s/store", directory);
  imgstore_context *context = context_with(0, allocator);
  imgstore_registry *registry = context ? fake_handle(fake, context, NULL) : NULL;
  imgstore_store *store = NULL, *copy = NULL;
  imgstore_image *image = NULL;
  imgstore_report *report = NULL;
  imgstore_bytes *bytes = NULL;
  imgstore_pull_options options;
  imgstore_pull_options_init(&options, sizeof options);
  options.unpack_to = root;
  int32_t rc = registry ? imgstore_store_open(context, store_path, NULL, &store, NULL) : IMGSTORE_ENOMEM;
  if (!rc)
    rc = imgstore_pull(store, registry, FAKE_NAME, &options, &image, NULL);
  if (!rc)
    rc = imgstore_image_inspect(image, NULL, 0, &bytes, NULL);
  imgstore_bytes_free(bytes);
  if (!rc)
    rc = imgstore_image_read_file(image, "srv/top", 1 << 20, &bytes, NULL);
  if (!rc)
    imgstore_bytes_free(bytes);
  if (!rc)
    rc = imgstore_unpack(image, again, NULL, NULL, NULL);
  if (!rc)
    rc = imgstore_store_open_memory(context, 0, &copy, NULL);
  if (!rc)
    rc = imgstore_load(copy, store_path, NULL, &report, NULL);
  imgstore_report_free(report);
  report = NULL;
  if (!rc)
    rc = imgstore_store_remove(store, FAKE_NAME, 0, &report, NULL);
  imgstore_report_free(report);
  imgstore_image_unref(image);
  imgstore_store_close(copy);
  imgstore_store_close(store);
  imgstore_registry_free(registry);
  imgstore_context_free(context);
  return rc;
}

static void test_out_of_memory(void **state) {
  fake_registry fake;
  size_t fail_at = 0;
  const size_t step = getenv("UNDER_VALGRIND") ? 97 : 1; /* each round costs seconds there */
  fake_registry_init(&fake);
  for (int32_t rc = IMGSTORE_ENOMEM; rc; fail_at += step) {
    failing f;
    ims_alloc inner = failing_alloc(&f, fail_at);
    const imgstore_allocator allocator = {sizeof allocator, inner.user_data, inner.allocate, inner.reallocate,
                                          inner.release};
    char *directory = fixture_directory();
    rc = whole_story(&allocator, &fake, directory);
    if (f.failed && rc != IMGSTORE_ENOMEM && rc != IMGSTORE_OK)
      fail_msg("allocation %zu: result is %d, not out of memory", fail_at, rc);
    if (f.live)
      fail_msg("allocation %zu: %zu pieces of memory are lost", fail_at, f.live);
    if (rc) { /* whatever failed, what is visible in the store is whole and nothing half-made is left */
      assert_false(fixture_exists(directory, "again/srv/.wh.base"));
      imgstore_context *context = context_with(0, NULL);
      imgstore_store *store = NULL;
      imgstore_report *report = NULL;
      char path[256];
      snprintf(path, sizeof path, "%s/store", directory);
      assert_int_equal(imgstore_store_open(context, path, NULL, &store, NULL), IMGSTORE_OK);
      assert_int_equal(imgstore_store_verify(store, IMGSTORE_VERIFY_FULL, &report, NULL), IMGSTORE_OK);
      assert_int_equal(imgstore_report_count(report), 0);
      imgstore_report_free(report);
      imgstore_store_close(store);
      imgstore_context_free(context);
    }
    fixture_remove(directory);
    if (!f.failed)
      assert_int_equal(rc, IMGSTORE_OK);
  }
  assert_true(fail_at > 100);
  fake_registry_free(&fake);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_faces_and_workers),
      cmocka_unit_test(test_second_pull_fetches_nothing),
      cmocka_unit_test(test_corrupt_layer_publishes_nothing),
      cmocka_unit_test(test_cut_connections_are_resumed),
      cmocka_unit_test(test_cancel),
      cmocka_unit_test(test_cancel_at_every_step),
      cmocka_unit_test(test_callback_stops_at_any_event),
      cmocka_unit_test(test_bad_arguments),
      cmocka_unit_test(test_longer_options),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
