/*
 * tests/unit/test_publish.c - push and copy as operations: workers or none, streaming between registries, cuts at any
 * byte, a source that lies, cancelling, callbacks that stop, dry runs, memory that runs out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failing_alloc.h"
#include "fake_registry.h"
#include "fake_target.h"

#define TARGET "target.test/app:1"

static imgstore_context *context_with(uint32_t workers, const imgstore_allocator *allocator) {
  imgstore_context_options options;
  imgstore_context *context = NULL;
  imgstore_context_options_init(&options, sizeof options);
  options.workers = workers;
  options.allocator = allocator;
  imgstore_context_new(&options, &context, NULL);
  return context;
}

/* Everything that one test needs; every pointer may be NULL. */
typedef struct scene {
  fake_registry fake;
  fake_target target;
  imgstore_context *context;
  imgstore_registry *from, *to;
  imgstore_store *store;
} scene;

static void set(scene *s, uint32_t workers) {
  fake_registry_init(&s->fake);
  fake_target_init(&s->target);
  s->context = context_with(workers, NULL);
  s->from = fake_handle(&s->fake, s->context, NULL);
  s->to = fake_target_handle(&s->target, s->context, NULL);
  assert_int_equal(imgstore_store_open_memory(s->context, 0, &s->store, NULL), IMGSTORE_OK);
}

static void strike(scene *s) {
  imgstore_store_close(s->store);
  imgstore_registry_free(s->from);
  imgstore_registry_free(s->to);
  imgstore_context_free(s->context);
  fake_registry_free(&s->fake);
  fake_target_free(&s->target);
}

static void pull_all(scene *s) {
  imgstore_pull_options options;
  imgstore_pull_options_init(&options, sizeof options);
  options.flags = IMGSTORE_PULL_ALL_PLATFORMS;
  assert_int_equal(imgstore_pull(s->store, s->from, FAKE_NAME, &options, NULL, NULL), IMGSTORE_OK);
}

/* The destination has what the source has, byte for byte, and got the name last. */
static void assert_all_there(const scene *s) {
  for (size_t i = 0; i < s->fake.count; i++) {
    const fake_object *o = &s->fake.objects[i];
    bool named = i == s->fake.index;
    const target_object *there = !o->type[0] ? fake_target_blob(&s->target, o->digest)
                                 : named     ? fake_target_manifest(&s->target, "1")
                                             : fake_target_manifest(&s->target, o->digest);
    assert_non_null(there);
    assert_int_equal(there->size, o->size);
    assert_memory_equal(there->data, o->data, o->size);
  }
  assert_string_equal(s->target.manifests[s->target.manifest_count - 1].name, "1");
}

static int32_t copy(scene *s, imgstore_event_fn progress, void *data, imgstore_report **report,
                    imgstore_error **error) {
  imgstore_place source, destination;
  imgstore_copy_options options;
  imgstore_place_init(&source, sizeof source);
  imgstore_place_init(&destination, sizeof destination);
  imgstore_copy_options_init(&options, sizeof options);
  source.registry = s->from;
  source.name = FAKE_NAME;
  destination.registry = s->to;
  destination.name = TARGET;
  options.flags = IMGSTORE_COPY_ALL_PLATFORMS;
  options.progress = progress;
  options.progress_data = data;
  return imgstore_copy(&source, &destination, &options, report, error);
}

static int32_t push(scene *s, uint32_t flags, imgstore_event_fn progress, void *data, imgstore_report **report,
                    imgstore_error **error) {
  imgstore_push_options options;
  imgstore_push_options_init(&options, sizeof options);
  options.destination = TARGET;
  options.flags = flags;
  options.progress = progress;
  options.progress_data = data;
  return imgstore_push(s->store, s->to, FAKE_NAME, &options, report, error);
}

static size_t count_of(const imgstore_report *report, int32_t kind) {
  size_t count = 0;
  for (size_t i = 0; i < imgstore_report_count(report); i++)
    count += imgstore_report_kind(report, i) == kind;
  return count;
}

static void test_push(void **state) {
  for (uint32_t workers = 0; workers < 3; workers += 2) {
    scene s;
    imgstore_report *report;
    set(&s, workers);
    pull_all(&s);
    assert_int_equal(push(&s, IMGSTORE_PUSH_DRY_RUN, NULL, NULL, &report, NULL), IMGSTORE_OK);
    assert_int_equal(s.target.sent, 0);
    assert_int_equal(count_of(report, IMGSTORE_REPORT_SENT), s.fake.count);
    imgstore_report_free(report);
    assert_int_equal(push(&s, 0, NULL, NULL, &report, NULL), IMGSTORE_OK);
    assert_all_there(&s);
    assert_int_equal(count_of(report, IMGSTORE_REPORT_SENT), s.fake.count);
    assert_int_equal(count_of(report, IMGSTORE_REPORT_PUBLISHED), 1);
    imgstore_report_free(report);
    int before = s.target.requests;
    assert_int_equal(push(&s, 0, NULL, NULL, NULL, NULL), IMGSTORE_OK);
    assert_int_equal(s.target.requests - before, s.fake.count);
    strike(&s);
  }
}

static void test_copy_streams(void **state) {
  static const size_t pieces[] = {0, 1000, 4096, 70000};
  for (size_t i = 0; i < 2 * sizeof pieces / sizeof *pieces; i++) {
    scene s;
    set(&s, i % 2 ? 2 : 0);
    s.fake.piece = pieces[i / 2];
    s.target.piece = pieces[(i / 2 + 1) % 4];
    assert_int_equal(copy(&s, NULL, NULL, NULL, NULL), IMGSTORE_OK);
    assert_all_there(&s);
    strike(&s);
  }
}

/* Cut on the way out, at any byte; the source is asked again from there. */
static void test_cut_uploads(void **state) {
  static const long cuts[] = {0, 1, 2, 1000, 65536, 150000, 299999};
  for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
    scene s;
    set(&s, 0);
    s.target.piece = 4096;
    s.target.cut_at = cuts[i];
    assert_int_equal(copy(&s, NULL, NULL, NULL, NULL), IMGSTORE_OK);
    assert_all_there(&s);
    strike(&s);
  }
}

/* And on the way in. */
static void test_cut_source(void **state) {
  scene s;
  set(&s, 2);
  s.fake.cut_after = 100000;
  assert_int_equal(copy(&s, NULL, NULL, NULL, NULL), IMGSTORE_OK);
  assert_all_there(&s);
  strike(&s);
}

static void test_source_that_lies(void **state) {
  for (uint32_t workers = 0; workers < 3; workers += 2) {
    scene s;
    imgstore_error *error = NULL;
    set(&s, workers);
    s.fake.corrupt = s.fake.layer[1];
    assert_int_equal(copy(&s, NULL, NULL, NULL, &error), IMGSTORE_EDIGEST);
    assert_non_null(strstr(imgstore_error_message(error), s.fake.layer[1]));
    assert_null(fake_target_blob(&s.target, s.fake.layer[1]));
    assert_int_equal(s.target.manifest_count, 0);
    imgstore_error_free(error);
    strike(&s);
  }
}

static void test_refused_name(void **state) {
  scene s;
  imgstore_error *error = NULL;
  set(&s, 0);
  s.target.refused = "1";
  assert_int_equal(copy(&s, NULL, NULL, NULL, &error), IMGSTORE_ECONFLICT);
  assert_int_equal(imgstore_error_http_status(error), 409);
  assert_null(fake_target_manifest(&s.target, "1"));
  imgstore_error_free(error);
  strike(&s);
}

typedef struct stopper {
  int left;
  int32_t last;
} stopper;

static int32_t stop_at(void *user_data, const imgstore_event *event) {
  stopper *s = user_data;
  s->last = event->type;
  return s->left-- == 0 ? 77 : 0;
}

static void test_callback_stops_at_any_event(void **state) {
  int32_t rc = IMGSTORE_ECALLBACK;
  for (int at = 0; rc; at++) {
    scene s;
    stopper stop = {at, 0};
    imgstore_error *error = NULL;
    set(&s, 0);
    rc = copy(&s, stop_at, &stop, NULL, &error);
    assert_true(rc == IMGSTORE_ECALLBACK || (!rc && stop.last == IMGSTORE_EVENT_COMMITTED));
    if (rc)
      assert_int_equal(imgstore_error_callback_value(error), 77);
    imgstore_error_free(error);
    strike(&s);
  }
}

static void test_cancel_at_every_step(void **state) {
  int32_t rc = IMGSTORE_ECANCELLED;
  for (int steps = 0; rc; steps += 3) {
    scene s;
    imgstore_operation *op;
    imgstore_place source, destination;
    set(&s, 0);
    s.fake.piece = 20000;
    imgstore_place_init(&source, sizeof source);
    imgstore_place_init(&destination, sizeof destination);
    source.registry = s.from;
    source.name = FAKE_NAME;
    destination.registry = s.to;
    destination.name = TARGET;
    assert_int_equal(imgstore_copy_start(&source, &destination, NULL, &op, NULL), IMGSTORE_OK);
    rc = IMGSTORE_EAGAIN;
    for (int i = 0; i < steps && rc == IMGSTORE_EAGAIN; i++)
      rc = imgstore_operation_step(op, -1, NULL);
    if (rc == IMGSTORE_EAGAIN) {
      imgstore_operation_cancel(op);
      rc = imgstore_operation_wait(op, NULL);
    }
    assert_true(rc == IMGSTORE_OK || rc == IMGSTORE_ECANCELLED);
    assert_int_equal(fake_target_manifest(&s.target, "1") != NULL, rc == IMGSTORE_OK);
    imgstore_operation_free(op);
    strike(&s);
  }
}

/* --- archives --------------------------------------------------------------------------------------------------------
 */

static void archive_places(const scene *s, const char *path, imgstore_place *registry, imgstore_place *archive) {
  imgstore_place_init(registry, sizeof *registry);
  imgstore_place_init(archive, sizeof *archive);
  registry->registry = s->from;
  registry->name = FAKE_NAME;
  archive->context = s->context;
  archive->archive = path;
}

/* From the registry into an archive, and from there to the other registry. */
static int32_t copy_through(scene *s, const char *path, int32_t format, imgstore_error **error) {
  imgstore_place from, archive, to;
  imgstore_copy_options options;
  imgstore_copy_options_init(&options, sizeof options);
  options.flags = IMGSTORE_COPY_ALL_PLATFORMS;
  archive_places(s, path, &from, &archive);
  archive.archive_format = format;
  int32_t rc = imgstore_copy(&from, &archive, &options, NULL, error);
  archive.archive_format = IMGSTORE_ARCHIVE_AUTO;
  to = from;
  to.registry = s->to;
  to.name = TARGET;
  return rc ? rc : imgstore_copy(&archive, &to, &options, NULL, error);
}

static void test_archives(void **state) {
  char path[] = "/tmp/imgstore-publish-XXXXXX";
  close(mkstemp(path));
  for (uint32_t workers = 0; workers < 3; workers += 2)
    for (int32_t format = IMGSTORE_ARCHIVE_AUTO; format <= IMGSTORE_ARCHIVE_OCI; format++) {
      scene s;
      set(&s, workers);
      assert_int_equal(copy_through(&s, path, format, NULL), IMGSTORE_OK);
      assert_all_there(&s);
      strike(&s);
    }
  unlink(path);
}

/* The file is there when the job has succeeded, and then only. */
static void test_archive_cancelled_at_every_step(void **state) {
  char path[] = "/tmp/imgstore-publish-XXXXXX";
  close(mkstemp(path));
  int32_t rc = IMGSTORE_ECANCELLED;
  for (int steps = 0; rc; steps += 3) {
    scene s;
    imgstore_operation *op;
    imgstore_place source, destination;
    unlink(path);
    set(&s, 0);
    s.fake.piece = 20000;
    archive_places(&s, path, &source, &destination);
    assert_int_equal(imgstore_copy_start(&source, &destination, NULL, &op, NULL), IMGSTORE_OK);
    rc = IMGSTORE_EAGAIN;
    for (int i = 0; i < steps && rc == IMGSTORE_EAGAIN; i++)
      rc = imgstore_operation_step(op, -1, NULL);
    if (rc == IMGSTORE_EAGAIN) {
      imgstore_operation_cancel(op);
      rc = imgstore_operation_wait(op, NULL);
    }
    assert_true(rc == IMGSTORE_OK || rc == IMGSTORE_ECANCELLED);
    assert_int_equal(access(path, F_OK) == 0, rc == IMGSTORE_OK);
    imgstore_operation_free(op);
    strike(&s);
  }
  unlink(path);
}

static void test_bad_arguments(void **state) {
  scene s;
  imgstore_place none, both, source;
  imgstore_push_options push_options;
  static const char *const mounts[] = {"UPPER"};
  set(&s, 0);
  pull_all(&s);
  imgstore_place_init(&none, sizeof none);
  imgstore_place_init(&both, sizeof both);
  imgstore_place_init(&source, sizeof source);
  both.registry = s.to;
  both.store = s.store;
  source.store = s.store;
  assert_int_equal(imgstore_copy(&none, &source, NULL, NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_copy(&source, &both, NULL, NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_copy(NULL, &source, NULL, NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_sync(&source, &source, NULL, NULL, NULL), IMGSTORE_EINVALID);
  both.store = NULL;
  source.archive = "archive.tar";
  assert_int_equal(imgstore_copy(&source, &both, NULL, NULL, NULL), IMGSTORE_EINVALID);
  source.store = NULL; /* and no context */
  both.name = TARGET;
  assert_int_equal(imgstore_copy(&source, &both, NULL, NULL, NULL), IMGSTORE_EINVALID);
  source.context = s.context;
  source.archive_format = IMGSTORE_ARCHIVE_OCI_DIR;
  assert_int_equal(imgstore_copy(&source, &both, NULL, NULL, NULL), IMGSTORE_EINVALID);
  source.store = s.store;
  source.archive = NULL;
  both.name = NULL;
  assert_int_equal(imgstore_copy(&source, &both, NULL, NULL, NULL), IMGSTORE_EINVALID);
  both.name = "elsewhere.test/app:1";
  assert_int_equal(imgstore_copy(&source, &both, NULL, NULL, NULL), IMGSTORE_EINVALID);
  imgstore_push_options_init(&push_options, sizeof push_options);
  push_options.flags = 1u << 30;
  assert_int_equal(imgstore_push(s.store, s.to, FAKE_NAME, &push_options, NULL, NULL), IMGSTORE_EUNSUPPORTED);
  push_options.flags = 0;
  assert_int_equal(imgstore_push(s.store, s.to, FAKE_NAME, &push_options, NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_push(s.store, s.to, "no/such:image", NULL, NULL, NULL), IMGSTORE_ENOTFOUND);
  push_options.destination = TARGET;
  push_options.mount_from = mounts;
  push_options.mount_count = 1;
  assert_int_equal(imgstore_push(s.store, s.to, FAKE_NAME, &push_options, NULL, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(s.target.requests, 0);
  strike(&s);
}

/* --- every allocation fails once -------------------------------------------------------------------------------------
 */

static int32_t whole_story(const imgstore_allocator *allocator, scene *s, const char *archive) {
  imgstore_error *error = NULL;
  s->context = context_with(0, allocator);
  s->from = s->context ? fake_handle(&s->fake, s->context, NULL) : NULL;
  s->to = s->from ? fake_target_handle(&s->target, s->context, NULL) : NULL;
  s->store = NULL;
  int32_t rc = s->to ? imgstore_store_open_memory(s->context, 0, &s->store, NULL) : IMGSTORE_ENOMEM;
  if (!rc && !archive)
    rc = imgstore_pull(s->store, s->from, FAKE_NAME, NULL, NULL, NULL);
  if (!rc && !archive)
    rc = push(s, 0, NULL, NULL, NULL, &error);
  if (!rc)
    rc = archive ? copy_through(s, archive, IMGSTORE_ARCHIVE_DOCKER, &error) : copy(s, NULL, NULL, NULL, &error);
  imgstore_error_free(error);
  imgstore_store_close(s->store);
  imgstore_registry_free(s->from);
  imgstore_registry_free(s->to);
  imgstore_context_free(s->context);
  return rc;
}

static void fail_every_allocation(const char *archive) {
  scene s;
  size_t fail_at = 0;
  const size_t step = getenv("UNDER_VALGRIND") ? 97 : 1; /* each round costs seconds there */
  fake_registry_init(&s.fake);
  for (int32_t rc = IMGSTORE_ENOMEM; rc; fail_at += step) {
    failing f;
    ims_alloc inner = failing_alloc(&f, fail_at);
    const imgstore_allocator allocator = {sizeof allocator, inner.user_data, inner.allocate, inner.reallocate,
                                          inner.release};
    fake_target_init(&s.target);
    rc = whole_story(&allocator, &s, archive);
    if (f.failed && rc != IMGSTORE_ENOMEM && rc != IMGSTORE_OK)
      fail_msg("allocation %zu: result is %d, not out of memory", fail_at, rc);
    if (f.live)
      fail_msg("allocation %zu: %zu pieces of memory are lost", fail_at, f.live);
    fake_target_free(&s.target);
  }
  assert_true(fail_at > 100);
  fake_registry_free(&s.fake);
}

static void test_out_of_memory(void **state) {
  char path[] = "/tmp/imgstore-publish-XXXXXX";
  close(mkstemp(path));
  fail_every_allocation(NULL);
  fail_every_allocation(path);
  unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_push),
      cmocka_unit_test(test_copy_streams),
      cmocka_unit_test(test_cut_uploads),
      cmocka_unit_test(test_cut_source),
      cmocka_unit_test(test_source_that_lies),
      cmocka_unit_test(test_refused_name),
      cmocka_unit_test(test_callback_stops_at_any_event),
      cmocka_unit_test(test_cancel_at_every_step),
      cmocka_unit_test(test_archives),
      cmocka_unit_test(test_archive_cancelled_at_every_step),
      cmocka_unit_test(test_bad_arguments),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
