/* tests/unit/test_build.c - the builder and artifacts by their C interface: events, arguments, memory, storages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "imgstore/imgstore.h"
#include "store_fixture.h"
#include "tar_fixture.h"

/* --- helpers ------------------------------------------------------------------------------------------------------ */

typedef struct source {
  tar_fixture tar;
  size_t at, piece;
  int32_t fails;
} source;

static int32_t read_source(void *user_data, void *buffer, size_t size, size_t *got) {
  source *s = user_data;
  size_t left = s->tar.bytes.size - s->at;
  if (s->fails)
    return s->fails;
  *got = left < s->piece ? left : s->piece;
  if (*got > size)
    *got = size;
  memcpy(buffer, s->tar.bytes.data + s->at, *got);
  s->at += *got;
  return 0;
}

static void begin_source(source *s, const char *name, size_t piece) {
  memset(s, 0, sizeof *s);
  fixture_init(&s->tar);
  fixture_file(&s->tar, '0', name, "content", 7);
  fixture_end(&s->tar);
  s->piece = piece;
}

static imgstore_store *open_store(uint32_t workers) {
  imgstore_context_options options;
  imgstore_context *context;
  imgstore_store *store;
  imgstore_context_options_init(&options, sizeof options);
  options.workers = workers;
  assert_int_equal(imgstore_context_new(&options, &context, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_store_open_memory(context, 0, &store, NULL), IMGSTORE_OK);
  imgstore_context_free(context);
  return store;
}

static imgstore_build_options fixed(void) {
  imgstore_build_options o;
  assert_int_equal(imgstore_build_options_init(&o, sizeof o), IMGSTORE_OK);
  o.flags = IMGSTORE_BUILD_EPOCH;
  o.source_date_epoch = 1700000000;
  return o;
}

#define expect_error(call, want, part)                                                                                 \
  do {                                                                                                                 \
    imgstore_error *error = NULL;                                                                                      \
    int32_t got_ = (call);                                                                                             \
    if (got_ != (want) || !strstr(imgstore_error_message(error), part))                                                \
      fail_msg("%d: \"%s\" instead of \"%s\"", got_, imgstore_error_message(error), part);                             \
    imgstore_error_free(error);                                                                                        \
  } while (0)

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void test_reader_in_pieces(void **state) {
  static const size_t pieces[] = {1, 3, 511, 512, 100000};
  char first[IMS_DIGEST_TEXT] = "";
  for (size_t i = 0; i < 2 * sizeof pieces / sizeof *pieces; i++) {
    source s;
    imgstore_builder *b;
    imgstore_image *image;
    imgstore_store *store = open_store(i % 2 ? 2 : 0);
    const imgstore_build_options o = fixed();
    begin_source(&s, "file", pieces[i / 2]);
    assert_int_equal(imgstore_builder_new(store, NULL, &b, NULL), IMGSTORE_OK);
    assert_int_equal(imgstore_builder_set_platform(b, "linux/amd64", NULL), IMGSTORE_OK);
    assert_int_equal(imgstore_builder_add_tar_reader(b, read_source, &s, 0, NULL), IMGSTORE_OK);
    assert_int_equal(imgstore_builder_finish(b, "made", &o, &image, NULL, NULL), IMGSTORE_OK);
    const char *digest = imgstore_manifest_digest(imgstore_image_manifest(image));
    if (i)
      assert_string_equal(digest, first);
    strcpy(first, digest);
    assert_int_equal(imgstore_image_layer_count(image), 1);
    imgstore_image_unref(image);
    expect_error(imgstore_builder_finish(b, "made", &o, NULL, NULL, &error), IMGSTORE_EINVALID, "read to its end");
    imgstore_builder_free(b);
    imgstore_store_close(store);
    fixture_free(&s.tar);
  }
}

static void test_reader_that_fails(void **state) {
  source s;
  imgstore_builder *b;
  imgstore_report *list;
  imgstore_store *store = open_store(1);
  begin_source(&s, "file", 10);
  s.fails = 42;
  assert_int_equal(imgstore_builder_new(store, NULL, &b, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_builder_add_tar_reader(b, read_source, &s, 0, NULL), IMGSTORE_OK);
  imgstore_error *error = NULL;
  assert_int_equal(imgstore_builder_finish(b, "made", NULL, NULL, NULL, &error), IMGSTORE_ECALLBACK);
  assert_int_equal(imgstore_error_callback_value(error), 42);
  imgstore_error_free(error);
  assert_int_equal(imgstore_store_list(store, &list, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_report_count(list), 0);
  imgstore_report_free(list);
  imgstore_builder_free(b);
  imgstore_store_close(store);
  fixture_free(&s.tar);
}

typedef struct seen {
  int packing, packed, committed;
  int32_t stop_at;
} seen;

static int32_t count_events(void *user_data, const imgstore_event *event) {
  seen *s = user_data;
  s->packing += event->type == IMGSTORE_EVENT_PACKING;
  s->packed += event->type == IMGSTORE_EVENT_PACKED;
  s->committed += event->type == IMGSTORE_EVENT_COMMITTED;
  return event->type == s->stop_at ? 7 : 0;
}

static void test_events_and_busy(void **state) {
  source s;
  imgstore_builder *b;
  imgstore_operation *op;
  seen events = {0};
  imgstore_store *store = open_store(0);
  imgstore_build_options o = fixed();
  o.progress = count_events;
  o.progress_data = &events;
  begin_source(&s, "file", 100);
  assert_int_equal(imgstore_builder_new(store, NULL, &b, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_builder_add_tar_reader(b, read_source, &s, 0, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_builder_finish_start(b, "made", &o, &op, NULL), IMGSTORE_OK);
  expect_error(imgstore_builder_set_text(b, IMGSTORE_IMAGE_USER, "u", &error), IMGSTORE_EBUSY, "being finished");
  expect_error(imgstore_builder_finish(b, NULL, NULL, NULL, NULL, &error), IMGSTORE_EBUSY, "being finished");
  imgstore_builder_free(b); /* in any order */
  imgstore_store_close(store);
  assert_int_equal(imgstore_operation_wait(op, NULL), IMGSTORE_OK);
  assert_true(events.packing >= 1 && events.packed == 1 && events.committed == 1);
  imgstore_image *image = imgstore_operation_image(op);
  assert_non_null(image);
  imgstore_image_unref(image);
  imgstore_operation_free(op);
  fixture_free(&s.tar);
}

static void test_stopped_and_cancelled(void **state) {
  static const int32_t stops[] = {IMGSTORE_EVENT_PACKING, IMGSTORE_EVENT_PACKED, IMGSTORE_EVENT_FLUSHING, 0};
  for (size_t i = 0; i < 4; i++) {
    source s;
    imgstore_builder *b;
    imgstore_operation *op;
    imgstore_report *list;
    seen events = {.stop_at = stops[i]};
    imgstore_store *store = open_store(i % 2 ? 2 : 0);
    imgstore_build_options o = fixed();
    o.progress = count_events;
    o.progress_data = &events;
    begin_source(&s, "file", 1);
    assert_int_equal(imgstore_builder_new(store, NULL, &b, NULL), IMGSTORE_OK);
    assert_int_equal(imgstore_builder_add_tar_reader(b, read_source, &s, 0, NULL), IMGSTORE_OK);
    assert_int_equal(imgstore_builder_finish_start(b, "made", &o, &op, NULL), IMGSTORE_OK);
    if (!stops[i])
      imgstore_operation_cancel(op);
    assert_int_equal(imgstore_operation_wait(op, NULL), stops[i] ? IMGSTORE_ECALLBACK : IMGSTORE_ECANCELLED);
    imgstore_operation_free(op);
    assert_int_equal(imgstore_builder_set_text(b, IMGSTORE_IMAGE_USER, "u", NULL), IMGSTORE_OK); /* no longer busy */
    assert_int_equal(imgstore_store_list(store, &list, NULL), IMGSTORE_OK);
    assert_int_equal(imgstore_report_count(list), 0);
    imgstore_report_free(list);
    imgstore_builder_free(b);
    imgstore_store_close(store);
    fixture_free(&s.tar);
  }
}

static void test_arguments(void **state) {
  static const char *const word[] = {"x"}, *const check[] = {"CMD", "x"};
  imgstore_store *store = open_store(0);
  imgstore_builder *b;
  imgstore_image *image;
  imgstore_build_options o = fixed();
  assert_int_equal(imgstore_builder_new(NULL, NULL, &b, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_builder_new(store, NULL, &b, NULL), IMGSTORE_OK);
  expect_error(imgstore_builder_set_text(b, IMGSTORE_IMAGE_OS, "x", &error), IMGSTORE_EINVALID, "field");
  expect_error(imgstore_builder_set_text(b, 99, "x", &error), IMGSTORE_EINVALID, "field");
  expect_error(imgstore_builder_set_list(b, IMGSTORE_IMAGE_LABELS, word, 1, &error), IMGSTORE_EINVALID, "list");
  expect_error(imgstore_builder_set_list(b, 0, word, 1, &error), IMGSTORE_EINVALID, "list");
  expect_error(imgstore_builder_set_list(b, IMGSTORE_IMAGE_ENV, word, 1, &error), IMGSTORE_EINVALID, "env");
  expect_error(imgstore_builder_set_item(b, IMGSTORE_IMAGE_CMD, "x", "y", &error), IMGSTORE_EINVALID, "list");
  expect_error(imgstore_builder_set_item(b, IMGSTORE_IMAGE_ENV, "A=B", "y", &error), IMGSTORE_EINVALID, "env");
  expect_error(imgstore_builder_set_healthcheck(b, word, 1, 0, 0, 0, 0, &error), IMGSTORE_EINVALID, "healthcheck");
  expect_error(imgstore_builder_add_tar(b, "x", 8, &error), IMGSTORE_EUNSUPPORTED, "flags");
  expect_error(imgstore_builder_add_directory(b, "x", "../y", 0, &error), IMGSTORE_EINVALID, "path");
  assert_int_equal(imgstore_builder_set_healthcheck(b, check, 2, 0, 0, 0, 3, NULL), IMGSTORE_OK);
  o.compression = 9;
  expect_error(imgstore_builder_finish(b, NULL, &o, NULL, NULL, &error), IMGSTORE_EINVALID, "compression");
  o = fixed();
  o.source_date_epoch = INT64_MAX;
  expect_error(imgstore_builder_finish(b, NULL, &o, NULL, NULL, &error), IMGSTORE_EINVALID, "epoch");
  o = fixed();
  assert_int_equal(imgstore_builder_finish(b, NULL, &o, &image, NULL, NULL), IMGSTORE_OK);
  size_t size;
  assert_non_null(
      strstr(imgstore_image_config(image, &size), "\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"],\"Retries\":3}"));
  imgstore_image_unref(image);
  imgstore_builder_free(b);
  imgstore_builder_free(NULL);
  imgstore_store_close(store);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static int32_t everything(imgstore_store *store, source *one, source *two) {
  imgstore_builder *b = NULL, *more = NULL, *again = NULL;
  imgstore_image *image = NULL, *upper = NULL, *last = NULL;
  const imgstore_build_options o = fixed();
  static const char *const cmd[] = {"a", "b"};
  one->at = two->at = 0;
  int32_t rc = imgstore_builder_new(store, NULL, &b, NULL);
  if (!rc)
    rc = imgstore_builder_set_item(b, IMGSTORE_IMAGE_ENV, "A", "1", NULL);
  if (!rc)
    rc = imgstore_builder_set_list(b, IMGSTORE_IMAGE_CMD, cmd, 2, NULL);
  if (!rc)
    rc = imgstore_builder_set_annotation(b, "k", "v", NULL);
  if (!rc)
    rc = imgstore_builder_add_tar_reader(b, read_source, one, 0, NULL);
  if (!rc)
    rc = imgstore_builder_finish(b, "base", &o, &image, NULL, NULL);
  if (!rc)
    rc = imgstore_builder_new(store, image, &more, NULL);
  if (!rc)
    rc = imgstore_builder_set_history(more, "by", "comment", NULL);
  if (!rc)
    rc = imgstore_builder_add_tar_reader(more, read_source, two, IMGSTORE_ADD_AS_IS, NULL);
  if (!rc)
    rc = imgstore_builder_finish(more, "upper", &o, &upper, NULL, NULL);
  if (!rc)
    rc = imgstore_builder_new(store, upper, &again, NULL);
  if (!rc)
    rc = imgstore_builder_rebase(again, image, image, NULL);
  if (!rc)
    rc = imgstore_builder_squash(again, 0, NULL);
  if (!rc)
    rc = imgstore_builder_finish(again, "flat", &o, &last, NULL, NULL);
  imgstore_image_unref(image);
  imgstore_image_unref(upper);
  imgstore_image_unref(last);
  imgstore_builder_free(b);
  imgstore_builder_free(more);
  imgstore_builder_free(again);
  return rc;
}

static ims_core *core_of(fixture_memory *memory) {
  ims_alloc alloc = fixture_allocator(memory);
  ims_core *core = fixture_core(NULL, &alloc);
  core->limits.max_layer_output = core->limits.max_layer_entries = UINT32_MAX;
  core->pid = getpid();
  core->limits.max_layer_ratio = 500;
  core->limits.max_path_depth = 512;
  core->limits.max_zstd_window = 1 << 27;
  return core;
}

static void test_every_allocation_fails(void **state) {
  source one, two;
  bool done = false;
  begin_source(&one, "one", 4096);
  begin_source(&two, "two", 4096);
  for (long at = 0; !done; at++) {
    fixture_memory memory = {.at = -1};
    ims_core *core = core_of(&memory);
    imgstore_store *store = NULL;
    assert_int_equal(imgstore_store_open_memory(core, 0, &store, NULL), IMGSTORE_OK);
    memory.at = memory.seen + at;
    int32_t rc = everything(store, &one, &two);
    done = memory.seen <= memory.at;
    if (rc || done) /* the memory storage has a second try where it asks for more than it needs */
      assert_int_equal(rc, done ? IMGSTORE_OK : IMGSTORE_ENOMEM);
    imgstore_store_close(store);
    ims_core_unref(core);
    assert_int_equal(memory.live, 0);
  }
  fixture_free(&one.tar);
  fixture_free(&two.tar);
}

static int32_t make_artifact(imgstore_store *store, const char *path, const char *folder) {
  imgstore_artifact *a = NULL;
  imgstore_manifest *m = NULL;
  int32_t rc = imgstore_artifact_new(store, "a/b", &a, NULL);
  if (!rc)
    rc = imgstore_artifact_add_file(a, path, NULL, "title", NULL);
  if (!rc)
    rc = imgstore_artifact_set_annotation(a, "k", "v", NULL);
  if (!rc)
    rc = imgstore_artifact_finish(a, "bundle", &m, NULL);
  if (!rc)
    rc = imgstore_artifact_unpack(store, "bundle", folder, NULL);
  imgstore_manifest_unref(m);
  imgstore_artifact_free(a);
  return rc;
}

static void test_artifact_allocations(void **state) {
  char *folder = fixture_directory();
  bool done = false;
  fixture_write(folder, "file", "content", 7);
  for (long at = 0; !done; at++) {
    fixture_memory memory = {.at = -1};
    ims_core *core = core_of(&memory);
    imgstore_store *store = NULL;
    assert_int_equal(imgstore_store_open_memory(core, 0, &store, NULL), IMGSTORE_OK);
    memory.at = memory.seen + at;
    int32_t rc = make_artifact(store, fixture_path(folder, "file"), folder);
    done = memory.seen <= memory.at;
    assert_int_equal(rc, done ? IMGSTORE_OK : IMGSTORE_ENOMEM);
    assert_int_equal(fixture_exists(folder, "title"), done);
    imgstore_store_close(store);
    ims_core_unref(core);
    assert_int_equal(memory.live, 0);
  }
  fixture_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reader_in_pieces),
      cmocka_unit_test(test_reader_that_fails),
      cmocka_unit_test(test_events_and_busy),
      cmocka_unit_test(test_stopped_and_cancelled),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_every_allocation_fails),
      cmocka_unit_test(test_artifact_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
