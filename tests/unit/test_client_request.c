/*
 * tests/unit/test_client_request.c - requests other than fetches: method, headers, body, statuses, scopes, redirects,
 * and when they are tried again.
 */
#include "client_world.h"

#include "failing_alloc.h"

#define TOKEN "GET https://auth.example/token"
#define PUSH_CHALLENGE                                                                                                 \
  "WWW-Authenticate: Bearer realm=\"https://auth.example/token\",service=\"r\",scope=\"repository:a/b:push,pull\"\n"

static size_t read_body(void *data, uint64_t offset, void *buffer, size_t size) {
  const char *text = data;
  size_t left = strlen(text) - (size_t)offset;
  size = size < left ? size : left;
  memcpy(buffer, text + offset, size);
  return size;
}

static ims_request put_request(const char *text) {
  return (ims_request){.method = "PUT",
                       .repository = "a/b",
                       .path = "manifests/1",
                       .object = "1",
                       .actions = "pull,push",
                       .headers = {{"Content-Type", "application/x"}, {"Content-Range", "0-1"}},
                       .body_size = strlen(text),
                       .body = read_body,
                       .body_data = (char *)text,
                       .expects = {201}};
}

static ims_request delete_request(void) {
  return (ims_request){.method = "DELETE", .repository = "a/b", .path = "manifests/1", .object = "1", .expects = {202}};
}

static void test_body_headers_and_answer(void **state) {
  const answer script[] = {
      {"PUT " HUB "a/b/manifests/1", 201, "Location: /v2/a/b/manifests/x\nDocker-Content-Digest: " D1 "\n", "done"}};
  world w;
  outcome o;
  ims_request r = put_request("{\"a\":1}");
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  request_of(&w, &o, &r);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_int_equal(o.status, 201);
  assert_string_equal(o.location, "/v2/a/b/manifests/x");
  assert_string_equal(o.url, HUB "a/b/manifests/1");
  assert_string_equal(o.digest.text, D1);
  assert_string_equal(o.text, "done");
  assert_string_equal(w.script.log[0].form, "{\"a\":1}");
  assert_string_equal(w.script.log[0].content, "Content-Type: application/x\nContent-Range: 0-1\n");
  close_world(&w);
}

/* The body goes out again from its start, with a token for what the request does. */
static void test_token_for_the_action(void **state) {
  const answer script[] = {
      {"PUT " HUB "a/b/manifests/1", 401, PUSH_CHALLENGE, NULL}, {TOKEN, 200, NULL, "{\"token\":\"T\"}"},
      {"PUT " HUB "a/b/manifests/1", 201, NULL, NULL},           {TOKEN, 200, NULL, "{\"token\":\"D\"}"},
      {"DELETE " HUB "a/b/manifests/1", 202, NULL, NULL},
  };
  world w;
  outcome o;
  ims_error err = IMS_ERROR_INIT;
  ims_request r = put_request("body");
  r.scopes = "repository:c/d:pull";
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  request_of(&w, &o, &r);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_non_null(strstr(line(&w, 1), "scope=repository%3Aa%2Fb%3Apush%2Cpull"));
  assert_non_null(strstr(line(&w, 1), "scope=repository%3Ac%2Fd%3Apull"));
  assert_string_equal(w.script.log[2].authorization, "Bearer T");
  assert_string_equal(w.script.log[2].form, "body");
  r = delete_request();
  r.actions = "delete";
  request_of(&w, &o, &r);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_non_null(strstr(line(&w, 3), "scope=repository%3Aa%2Fb%3Adelete"));
  assert_string_equal(w.script.log[4].authorization, "Bearer D");
  assert_int_equal(ims_request_start(w.client, &(ims_request){.method = "GET", .repository = "A", .object = "1"}, NULL,
                                     NULL, NULL, &err),
                   IMGSTORE_EFORMAT);
  close_world(&w);
}

/* A status of the list is an answer; any other is the registry's refusal in its own words. */
static void test_expected_statuses(void **state) {
  const answer script[] = {
      {"HEAD " HUB "a/b/blobs/x", 404, NULL, NULL},
      {"HEAD " HUB "a/b/blobs/x", 200, "Content-Length: 77\n", NULL},
      {"HEAD " HUB "a/b/blobs/x", 403, NULL, NULL},
      {"DELETE " HUB "a/b/manifests/1", 200, NULL, NULL},
      {"DELETE " HUB "a/b/manifests/1", 405, NULL, "{\"errors\":[{\"code\":\"UNSUPPORTED\",\"message\":\"off\"}]}"},
      {"DELETE " HUB "a/b/manifests/1", 202, "Content-Type: text/html\n", "<p>"},
      {"PUT " HUB "a/b/manifests/1", 200, "Content-Type: text/html\n", "<html>log in"},
  };
  const ims_request head = {
      .method = "HEAD", .repository = "a/b", .path = "blobs/x", .object = "x", .expects = {200, 404}};
  world w;
  outcome o;
  ims_request r = delete_request(), put = put_request("x");
  put.expects[1] = 200;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  const int32_t codes[] = {0, 0, IMGSTORE_EDENIED, IMGSTORE_EPROTOCOL, IMGSTORE_EUNSUPPORTED, 0, IMGSTORE_EPROTOCOL};
  for (size_t i = 0; i < COUNT(codes); i++) {
    request_of(&w, &o, i < 3 ? &head : i < 6 ? &r : &put);
    assert_true(run(&w));
    assert_int_equal(o.code, codes[i]);
    if (i == 1)
      assert_int_equal(o.length, 77);
    if (i == 4)
      assert_non_null(strstr(o.err.message, "off"));
  }
  assert_int_equal(w.script.log_count, COUNT(script)); /* a HEAD that is refused does not become a GET */
  close_world(&w);
}

static void test_where_a_location_leads(void **state) {
  const answer script[] = {
      {"PUT " HUB "a/b/manifests/1", 401, "WWW-Authenticate: Basic realm=\"x\"\n", NULL},
      {"PUT " HUB "a/b/manifests/1", 201, NULL, NULL},
      {"PUT https://r.example/upload?state=1", 201, NULL, NULL},
      {"PUT https://cdn.example/upload", 201, NULL, NULL},
      {"PUT https://cdn.example/upload", 401, "WWW-Authenticate: Basic realm=\"x\"\n", NULL},
  };
  static const char *const urls[] = {NULL, "https://r.example/upload?state=1", "https://cdn.example/upload",
                                     "https://cdn.example/upload"};
  world w;
  outcome o;
  ims_error err = IMS_ERROR_INIT;
  ims_request r = put_request("x");
  prepare(&w, script, COUNT(script));
  w.options.username = "user";
  w.options.password = "pass";
  open_world(&w, "r.example");
  for (size_t i = 0; i < COUNT(urls); i++) {
    r.url = urls[i];
    request_of(&w, &o, &r);
    assert_true(run(&w));
    assert_int_equal(o.code, i == 3 ? IMGSTORE_EUNAUTHORIZED : 0);
  }
  assert_int_equal(w.script.log_count, COUNT(script));
  assert_string_equal(w.script.log[2].authorization, "Basic dXNlcjpwYXNz");
  assert_string_equal(w.script.log[3].authorization, "");
  assert_string_equal(w.script.log[4].authorization, "");
  r.url = "http://r.example/upload"; /* down from https */
  assert_int_equal(try_request(&w, &o, &r, &err), IMGSTORE_EPROTOCOL);
  ims_error_clear(&err);
  r.url = "https://169.254.169.254/";
  assert_int_equal(try_request(&w, &o, &r, &err), IMGSTORE_EPROTOCOL);
  close_world(&w);
}

static void test_redirects_keep_the_method(void **state) {
  const answer script[] = {
      {"PUT " HUB "a/b/manifests/1", 307, "Location: https://cdn.example/x\n", NULL},
      {"PUT https://cdn.example/x", 201, NULL, NULL},
      {"PUT " HUB "a/b/manifests/1", 303, "Location: https://r.example/y\n", NULL},
  };
  world w;
  outcome o;
  ims_request r = put_request("body");
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  request_of(&w, &o, &r);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_string_equal(o.url, "https://cdn.example/x");
  assert_string_equal(w.script.log[1].form, "body");
  request_of(&w, &o, &r);
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_EPROTOCOL);
  assert_int_equal(w.script.log_count, 3);
  close_world(&w);
}

static void test_tried_again_or_not(void **state) {
  const answer script[] = {
      {"PUT " HUB "a/b/manifests/1", 0, NULL, NULL, 0, IMGSTORE_ENETWORK, "reset", 1},
      {"PUT " HUB "a/b/manifests/1", 500, NULL, NULL},
      {"PUT " HUB "a/b/manifests/1", 201, NULL, NULL},
      {"PUT " HUB "a/b/manifests/1", 0, NULL, NULL, 0, IMGSTORE_ENETWORK, "reset", 1},
      {"PUT " HUB "a/b/manifests/1", 500, NULL, NULL},
      {"PUT " HUB "a/b/manifests/1", 429, "Retry-After: 1\n", NULL},
      {"PUT " HUB "a/b/manifests/1", 201, NULL, NULL},
  };
  world w;
  outcome o;
  ims_request r = put_request("body");
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  request_of(&w, &o, &r);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_int_equal(w.retries, 2);
  r.once = true;
  const int32_t codes[] = {IMGSTORE_ENETWORK, IMGSTORE_ENETWORK, 0};
  for (size_t i = 0; i < COUNT(codes); i++) {
    request_of(&w, &o, &r);
    assert_true(run(&w));
    assert_int_equal(o.code, codes[i]);
  }
  assert_int_equal(w.retries, 3);
  assert_int_equal(w.script.log_count, COUNT(script));
  close_world(&w);
}

static int32_t everything(world *w, const answer *script, size_t count, const imgstore_allocator *allocator) {
  outcome o = {0};
  ims_error err = IMS_ERROR_INIT;
  ims_request r = put_request("body");
  r.scopes = "repository:c/d:pull";
  prepare(w, script, count);
  int32_t rc = open_on(w, "r.example", allocator, &err);
  if (!rc)
    rc = try_request(w, &o, &r, &err);
  if (!rc) {
    assert_true(run(w));
    rc = o.code;
  }
  return rc;
}

static void test_every_allocation_fails_once(void **state) {
  const answer script[] = {{"PUT " HUB "a/b/manifests/1", 401, PUSH_CHALLENGE, NULL},
                           {TOKEN, 200, NULL, "{\"token\":\"T\"}"},
                           {"PUT " HUB "a/b/manifests/1", 201, "Location: /x\n", "done"}};
  for (size_t i = 0;; i++) {
    failing f;
    ims_alloc alloc = failing_alloc(&f, i);
    const imgstore_allocator allocator = {sizeof allocator, &f, alloc.allocate, alloc.reallocate, alloc.release};
    world w;
    int32_t rc = everything(&w, script, COUNT(script), &allocator);
    ims_client_free(w.client);
    imgstore_registry_free(w.registry);
    ims_core_unref(w.core);
    assert_int_equal(w.script.open_count, 0);
    assert_int_equal(f.live, 0);
    if (!f.failed) {
      assert_int_equal(rc, 0);
      assert_true(i > 40);
      break;
    }
    assert_int_equal(rc, IMGSTORE_ENOMEM);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_body_headers_and_answer),     cmocka_unit_test(test_token_for_the_action),
      cmocka_unit_test(test_expected_statuses),           cmocka_unit_test(test_where_a_location_leads),
      cmocka_unit_test(test_redirects_keep_the_method),   cmocka_unit_test(test_tried_again_or_not),
      cmocka_unit_test(test_every_allocation_fails_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
