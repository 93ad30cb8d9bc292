/*
 * tests/unit/test_client_blob.c - blobs through the client: resume, wrong ranges, cuts, stalls, hold-backs, queueing,
 * mirrors, foreign urls, memory that runs out.
 */
#include "client_world.h"

#include "failing_alloc.h"

#define BLOB "blobs/" D1
#define CUT .code = IMGSTORE_ENETWORK, .message = "connection reset", .retry = 1

static void test_whole(void **state) {
  static const size_t chunks[] = {0, 1, 3};
  for (size_t i = 0; i < COUNT(chunks); i++) {
    const answer script[] = {{HUB_GET("a/b/" BLOB), 200, "Content-Length: 10\n", "0123456789"}};
    world w;
    outcome o;
    prepare(&w, script, COUNT(script));
    w.script.chunk = chunks[i];
    open_world(&w, "r.example");
    blob(&w, &o, 10);
    assert_true(run(&w));
    assert_int_equal(o.code, 0);
    assert_string_equal(o.text, "0123456789");
    assert_string_equal(w.script.log[0].range, "");
    close_world(&w);
  }
}

static void test_nothing_to_fetch(void **state) {
  world w;
  outcome a, b;
  prepare(&w, NULL, 0);
  open_world(&w, "r.example");
  blob(&w, &a, 0);
  blob(&w, &b, 4);
  b.position = 4;
  assert_true(run(&w));
  assert_int_equal(a.code, 0);
  assert_int_equal(b.code, 0);
  assert_int_equal(w.script.log_count, 0);
  close_world(&w);
}

/* After a cut the rest comes by a closed range, from the registry again and not from where it redirected to. */
static void test_resume(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/" BLOB), 307, "Location: https://cdn.example/1\n", NULL},
      {.url = "GET https://cdn.example/1", .status = 200, .body = "0123", CUT},
      {HUB_GET("a/b/" BLOB), 307, "Location: https://cdn.example/2\n", NULL},
      {"GET https://cdn.example/2", 206, "Content-Range: bytes 4-6/10\n", "456"},
      {HUB_GET("a/b/" BLOB), 206, "Content-Range: bytes 7-9/10\n", "789"},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  blob(&w, &o, 10);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_string_equal(o.text, "0123456789");
  assert_string_equal(w.script.log[2].range, "bytes=4-9");
  assert_string_equal(w.script.log[3].range, "bytes=4-9");
  assert_string_equal(w.script.log[4].range, "bytes=7-9");
  assert_int_equal(w.retries, 2);
  close_world(&w);
}

/* Whatever a server makes of a range, the sink gets each byte once. */
static void test_wrong_ranges(void **state) {
  static const answer seconds[] = {
      {HUB_GET("a/b/" BLOB), 206, "Content-Range: bytes 0-9/10\n", "0123456789"},
      {HUB_GET("a/b/" BLOB), 206, "Content-Range: bytes 4-9/11\n", "456789"},
      {HUB_GET("a/b/" BLOB), 206, "Content-Range: bytes 4-9/*\n", "456789"},
      {HUB_GET("a/b/" BLOB), 206, "Content-Range: nonsense\n", "456789"},
      {HUB_GET("a/b/" BLOB), 206, NULL, "456789"},
      {HUB_GET("a/b/" BLOB), 416, "Content-Range: bytes */4\n", NULL},
  };
  for (size_t i = 0; i < COUNT(seconds); i++) {
    const answer script[] = {{.url = HUB_GET("a/b/" BLOB), .status = 200, .body = "0123", CUT},
                             seconds[i],
                             {HUB_GET("a/b/" BLOB), 200, NULL, "0123456789"}};
    world w;
    outcome o;
    prepare(&w, script, COUNT(script));
    w.script.chunk = 3;
    open_world(&w, "r.example");
    blob(&w, &o, 10);
    assert_true(run(&w));
    assert_int_equal(o.code, 0);
    assert_string_equal(o.text, "0123456789");
    assert_int_equal(w.script.log_count, 3);
    assert_string_equal(w.script.log[2].range, "");
    close_world(&w);
  }
}

static void test_ranges_are_ignored(void **state) {
  const answer script[] = {{.url = HUB_GET("a/b/" BLOB), .status = 200, .body = "0123", CUT},
                           {.url = HUB_GET("a/b/" BLOB), .status = 200, .body = "01234567", CUT},
                           {HUB_GET("a/b/" BLOB), 200, NULL, "0123456789"}};
  for (size_t chunk = 0; chunk < 6; chunk++) {
    world w;
    outcome o;
    prepare(&w, script, COUNT(script));
    w.script.chunk = chunk;
    open_world(&w, "r.example");
    blob(&w, &o, 10);
    assert_true(run(&w));
    assert_int_equal(o.code, 0);
    assert_string_equal(o.text, "0123456789");
    close_world(&w);
  }
}

static void test_refused_bodies(void **state) {
  static const struct {
    answer answer;
    int32_t code;
  } cases[] = {
      {{HUB_GET("a/b/" BLOB), 200, NULL, "01234567890"}, IMGSTORE_EDIGEST},
      {{HUB_GET("a/b/" BLOB), 200, "Content-Encoding: gzip\n", "0123456789"}, IMGSTORE_EPROTOCOL},
      {{HUB_GET("a/b/" BLOB), 206, "Content-Range: bytes 1-9/10\n", "123456789"}, IMGSTORE_EPROTOCOL},
      {{HUB_GET("a/b/" BLOB), 416, NULL, NULL}, IMGSTORE_EPROTOCOL},
      {{HUB_GET("a/b/" BLOB), 404, NULL, NULL}, IMGSTORE_ENOTFOUND},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    world w;
    outcome o;
    prepare(&w, &cases[i].answer, 1);
    open_world(&w, "r.example");
    blob(&w, &o, 10);
    assert_true(run(&w));
    assert_int_equal(o.code, cases[i].code);
    assert_non_null(strstr(o.err.message, "r.example/a/b@" D1));
    assert_int_equal(w.script.log_count, 1);
    close_world(&w);
  }
}

/* Tries with progress do not count; those without do. */
static void test_budget(void **state) {
  static const char all[] = "0123456789";
  answer script[16];
  for (size_t i = 0; i < 9; i++)
    script[i] = (answer){.url = HUB_GET("a/b/" BLOB), .status = 200, .body = all, .size = i + 1, CUT};
  for (size_t i = 9; i < COUNT(script); i++)
    script[i] = (answer){.url = HUB_GET("a/b/" BLOB), CUT};
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  w.options.stall_bytes = 1; /* any byte is progress */
  w.options.retries = 2;
  open_world(&w, "r.example");
  blob(&w, &o, 10);
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_ENETWORK);
  assert_int_equal(o.position, 9);
  assert_int_equal(w.script.log_count, 9 + 2); /* the ninth failure is the first without progress after it */
  assert_int_equal(w.retries, 10);
  close_world(&w);
}

static void test_failure_that_is_final(void **state) {
  const answer script[] = {{.url = HUB_GET("a/b/" BLOB), .code = IMGSTORE_ETLS, .message = "expired certificate"}};
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  blob(&w, &o, 10);
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_ETLS);
  assert_int_equal(w.retries, 0);
  close_world(&w);
}

static void test_presigned_url_expired(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/" BLOB), 307, "Location: https://cdn.example/1?sig=secret\n", NULL},
      {"GET https://cdn.example/1", 403, NULL, "<Error>expired</Error>"},
      {HUB_GET("a/b/" BLOB), 307, "Location: https://cdn.example/2?sig=secret\n", NULL},
      {"GET https://cdn.example/2", 200, NULL, "0123456789"},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  blob(&w, &o, 10);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  close_world(&w);

  answer forever[32];
  for (size_t i = 0; i < COUNT(forever); i++)
    forever[i] = script[i % 2];
  prepare(&w, forever, COUNT(forever));
  open_world(&w, "r.example");
  blob(&w, &o, 10);
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_EDENIED);
  assert_int_equal(w.script.log_count, 12);
  assert_null(strstr(o.err.message, "secret"));
  close_world(&w);
}

static void test_too_many_requests_hold_the_host(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/manifests/1"), 429, "Retry-After: 7\n", NULL},
      {HUB_GET("a/b/" BLOB), 200, NULL, "0123"},
      {HUB_GET("a/b/manifests/1"), 200, MT, "{}"},
  };
  world w;
  outcome a, b;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  manifest(&w, &a, "1", false);
  ims_client_perform(w.client, w.now);
  ims_client_perform(w.client, w.now);
  assert_int_equal(w.last_delay, 7000);
  blob(&w, &b, 4);
  int64_t start = w.now;
  w.now += 6999;
  ims_client_perform(w.client, w.now);
  assert_int_equal(w.script.log_count, 1);
  assert_true(run(&w));
  assert_int_equal(w.now, start + 7000);
  assert_int_equal(a.code, 0);
  assert_int_equal(b.code, 0);
  close_world(&w);
}

static void test_too_many_requests_for_good(void **state) {
  answer script[8];
  for (size_t i = 0; i < COUNT(script); i++)
    script[i] = (answer){HUB_GET("a/b/" BLOB), 429, "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\n", NULL};
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  w.options.retries = 3;
  w.options.max_retry_delay = 2000;
  open_world(&w, "r.example");
  blob(&w, &o, 4);
  int64_t start = w.now;
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_ETOOMANY);
  assert_int_equal(o.err.http_status, 429);
  assert_int_equal(w.script.log_count, 4);
  assert_int_equal(w.now - start, 6000);
  close_world(&w);
}

static void test_time_limits(void **state) {
  static const struct {
    answer answer;
    int64_t limit;
    const char *part;
  } cases[] = {
      {{.url = HUB_GET("a/b/" BLOB), .flags = SCRIPT_HANG}, 5000, "no answer within 5000 ms"},
      {{.url = HUB_GET("a/b/" BLOB), .status = 200, .flags = SCRIPT_HANG}, 3000, "stalled"},
      {{.url = HUB_GET("a/b/" BLOB), .status = 200, .body = "01", .flags = SCRIPT_HANG}, 3000, "stalled"},
      {{.url = HUB_GET("a/b/" BLOB), .status = 500, .flags = SCRIPT_HANG}, 3000, "stalled"},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    world w;
    outcome o;
    prepare(&w, &cases[i].answer, 1);
    w.options.retries = 0;
    w.options.first_byte_timeout = 5000;
    w.options.stall_window = 3000;
    open_world(&w, "r.example");
    blob(&w, &o, 10);
    int64_t start = w.now;
    assert_true(run(&w));
    assert_int_equal(o.code, IMGSTORE_ETIMEOUT);
    assert_non_null(strstr(o.err.message, cases[i].part));
    assert_in_range(w.now - start, cases[i].limit, cases[i].limit + 100);
    close_world(&w);
  }
}

/* A server that sends all and then neither ends nor closes has done its part. */
static void test_all_bytes_and_no_end(void **state) {
  const answer script[] = {{.url = HUB_GET("a/b/" BLOB), .status = 200, .body = "0123", .flags = SCRIPT_HANG}};
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  blob(&w, &o, 4);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  close_world(&w);
}

static void test_total_time(void **state) {
  const answer script[] = {{.url = HUB_GET("a/b/" BLOB), .flags = SCRIPT_HANG},
                           {.url = HUB_GET("a/b/manifests/1"), CUT}};
  world w;
  outcome a, b;
  prepare(&w, script, COUNT(script));
  w.options.total_timeout = 2000;
  w.options.retry_delay = 50000;
  open_world(&w, "r.example");
  assert_int_equal(imgstore_registry_add_mirror(w.registry, "never.example", IMGSTORE_MIRROR_DIGEST_ONLY, NULL), 0);
  blob(&w, &a, 4);
  manifest(&w, &b, "1", false);
  int64_t start = w.now;
  assert_true(run(&w));
  assert_int_equal(a.code, IMGSTORE_ETIMEOUT);
  assert_int_equal(b.code, IMGSTORE_ETIMEOUT);
  assert_in_range(w.now - start, 2000, 2100);
  close_world(&w);
}

/* The clock of a stall stands while the sink is full. */
static void test_pause(void **state) {
  const answer script[] = {{HUB_GET("a/b/" BLOB), 200, NULL, "0123456789"}};
  for (size_t chunk = 0; chunk < 5; chunk++) {
    world w;
    outcome o;
    prepare(&w, script, COUNT(script));
    w.script.chunk = chunk;
    open_world(&w, "r.example");
    blob(&w, &o, 10);
    o.take = 4;
    for (int i = 0; i < 5; i++, w.now += 100000)
      ims_client_perform(w.client, w.now);
    assert_int_equal(o.position, 4);
    assert_false(o.done);
    o.take = 7;
    ims_fetch_resume(o.fetch);
    assert_int_equal(o.position, 4); /* not in here */
    assert_int_equal(ims_client_timeout(w.client, w.now), 0);
    ims_client_perform(w.client, w.now);
    assert_int_equal(o.position, 7);
    o.take = 0;
    ims_fetch_resume(o.fetch);
    assert_true(run(&w));
    assert_int_equal(o.code, 0);
    assert_string_equal(o.text, "0123456789");
    close_world(&w);
  }
}

static void test_connections_per_host(void **state) {
  enum { BLOBS = 20 };
  answer script[BLOBS + 1];
  world w;
  outcome o[BLOBS], m;
  for (size_t i = 0; i < BLOBS; i++)
    script[i] = (answer){HUB_GET("a/b/" BLOB), 200, NULL, "0123"};
  script[BLOBS] = (answer){HUB_GET("a/b/manifests/1"), 200, MT, "{}"};
  prepare(&w, script, COUNT(script));
  w.options.max_connections = 3;
  open_world(&w, "r.example");
  for (size_t i = 0; i < BLOBS; i++) {
    blob(&w, &o[i], 4);
    o[i].take = 2;
  }
  for (int i = 0; i < 3; i++)
    ims_client_perform(w.client, w.now);
  assert_int_equal(w.script.open_count, 3);
  manifest(&w, &m, "1", false); /* is not kept waiting by full sinks */
  for (int i = 0; i < 3; i++)
    ims_client_perform(w.client, w.now);
  assert_true(m.done);
  for (size_t i = 0; i < BLOBS; i++) {
    o[i].take = 0;
    ims_fetch_resume(o[i].fetch);
  }
  assert_true(run(&w));
  assert_int_equal(w.script.most_open, 4);
  for (size_t i = 0; i < BLOBS; i++)
    assert_string_equal(o[i].text, "0123");
  close_world(&w);
}

static void test_cancel_inside_the_sink(void **state) {
  const answer script[] = {{HUB_GET("a/b/" BLOB), 200, NULL, "0123"},
                           {HUB_GET("a/b/" BLOB), 200, NULL, "0123"},
                           {HUB_GET("a/b/" BLOB), 200, NULL, "0123"}};
  world w;
  outcome o[3];
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  for (int i = 0; i < 3; i++)
    blob(&w, &o[i], 4);
  o[0].cancel = o[0].fetch; /* itself */
  o[1].cancel = o[2].fetch; /* another */
  assert_true(run(&w));
  assert_false(o[0].done);
  assert_true(o[1].done);
  assert_false(o[2].done);
  assert_int_equal(w.script.open_count, 0);
  close_world(&w);
}

static void test_free_while_running(void **state) {
  const answer script[] = {{.url = HUB_GET("a/b/" BLOB), .status = 200, .body = "01", .flags = SCRIPT_HANG}};
  world w;
  outcome o[9];
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  for (int i = 0; i < 9; i++)
    blob(&w, &o[i], 4);
  ims_client_perform(w.client, w.now);
  close_world(&w);
  assert_false(o[0].done);
}

static void test_mirror_goes_on_where_another_stopped(void **state) {
  const answer script[] = {
      {.url = "GET https://one.example/v2/a/b/" BLOB, .status = 200, .body = "0123", CUT},
      {"GET https://one.example/v2/a/b/" BLOB, 500, NULL, NULL},
      {"GET https://one.example/v2/a/b/" BLOB, 500, NULL, NULL},
      {HUB_GET("a/b/" BLOB), 206, "Content-Range: bytes 4-9/10\n", "456789"},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  assert_int_equal(imgstore_registry_add_mirror(w.registry, "one.example", IMGSTORE_MIRROR_DIGEST_ONLY, NULL), 0);
  blob(&w, &o, 10);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_string_equal(o.text, "0123456789");
  close_world(&w);
}

static void test_foreign_urls(void **state) {
  static const char *const urls[] = {"http://plain.example/", "https://192.168.0.1/", "https://files.example/layer"};
  const answer script[] = {
      {HUB_GET("a/b/" BLOB), 401, "WWW-Authenticate: Basic realm=\"x\"\n", NULL},
      {HUB_GET("a/b/" BLOB), 404, NULL, NULL},
      {"GET https://files.example/layer", 200, NULL, "0123"},
  };
  for (int allowed = 0; allowed < 2; allowed++) {
    world w;
    outcome o;
    prepare(&w, script, COUNT(script));
    w.options.flags = allowed ? IMGSTORE_REGISTRY_FOREIGN_URLS : 0;
    w.options.username = "user";
    w.options.password = "pass";
    open_world(&w, "r.example");
    blob_urls(&w, &o, 4, urls, 3);
    assert_true(run(&w));
    assert_int_equal(o.code, allowed ? 0 : IMGSTORE_ENOTFOUND);
    assert_int_equal(w.script.log_count, allowed ? 3 : 2);
    if (allowed)
      assert_string_equal(w.script.log[2].authorization, "");
    close_world(&w);
  }
}

/* --- memory that runs out
 * ------------------------------------------------------------------------------------------------- */

static const answer memory_script[] = {
    {HUB_GET("a/b/manifests/1"), 401, CHALLENGE, "{\"errors\":[{\"code\":\"UNAUTHORIZED\"}]}"},
    {"GET https://auth.example/token", 200, NULL, "{\"token\":\"T\"}"},
    {HUB_GET("a/b/manifests/1"), 200, MT, "{}"},
    {HUB_GET("a/b/" BLOB), 307, "Location: https://cdn.example/1\n", NULL},
    {.url = "GET https://cdn.example/1", .status = 200, .body = "0123", CUT},
    {HUB_GET("a/b/" BLOB), 206, "Content-Range: bytes 4-9/10\n", "456789"},
};

static int32_t everything(world *w, const imgstore_allocator *allocator) {
  static const char *const urls[] = {"https://files.example/layer"};
  ims_error err = IMS_ERROR_INIT;
  outcome m = {0}, b = {0};
  prepare(w, memory_script, COUNT(memory_script));
  w->options.username = "user";
  w->options.password = "pass";
  w->options.flags = IMGSTORE_REGISTRY_FOREIGN_URLS;
  int32_t rc = open_on(w, "r.example", allocator, &err);
  if (!rc)
    rc = try_manifest(w, &m, "1", &err);
  if (!rc) {
    assert_true(run(w));
    rc = m.code;
  }
  if (!rc)
    rc = try_blob(w, &b, 10, urls, 1, &err);
  if (!rc) {
    assert_true(run(w));
    rc = b.code;
  }
  if (!rc)
    assert_string_equal(b.text, "0123456789");
  return rc;
}

static void test_every_allocation_fails_once(void **state) {
  for (size_t i = 0;; i++) {
    failing f;
    ims_alloc alloc = failing_alloc(&f, i);
    f.left = i;
    const imgstore_allocator allocator = {sizeof allocator, &f, alloc.allocate, alloc.reallocate, alloc.release};
    world w;
    int32_t rc = everything(&w, &allocator);
    ims_client_free(w.client);
    imgstore_registry_free(w.registry);
    ims_core_unref(w.core);
    assert_int_equal(w.script.open_count, 0);
    assert_int_equal(f.live, 0);
    if (!f.failed) {
      assert_int_equal(rc, 0);
      assert_true(i > 50);
      break;
    }
    assert_int_equal(rc, IMGSTORE_ENOMEM);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_whole),
      cmocka_unit_test(test_nothing_to_fetch),
      cmocka_unit_test(test_resume),
      cmocka_unit_test(test_wrong_ranges),
      cmocka_unit_test(test_ranges_are_ignored),
      cmocka_unit_test(test_refused_bodies),
      cmocka_unit_test(test_budget),
      cmocka_unit_test(test_failure_that_is_final),
      cmocka_unit_test(test_presigned_url_expired),
      cmocka_unit_test(test_too_many_requests_hold_the_host),
      cmocka_unit_test(test_too_many_requests_for_good),
      cmocka_unit_test(test_time_limits),
      cmocka_unit_test(test_all_bytes_and_no_end),
      cmocka_unit_test(test_total_time),
      cmocka_unit_test(test_pause),
      cmocka_unit_test(test_connections_per_host),
      cmocka_unit_test(test_cancel_inside_the_sink),
      cmocka_unit_test(test_free_while_running),
      cmocka_unit_test(test_mirror_goes_on_where_another_stopped),
      cmocka_unit_test(test_foreign_urls),
      cmocka_unit_test(test_every_allocation_fails_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
