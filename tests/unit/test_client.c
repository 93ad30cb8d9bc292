/*
 * tests/unit/test_client.c - documents through the client: answers and their limits, tags, ends.
 */
#include "client_world.h"

#include "base/report.h"

/* --- answers
 * ----------------------------------------------------------------------------------------------------------------- */

static void test_errors_of_the_registry(void **state) {
  static const struct {
    int32_t status, code;
    const char *body, *registry_code, *part;
  } cases[] = {
      {404, IMGSTORE_ENOTFOUND, "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}",
       "MANIFEST_UNKNOWN", "r.example/a/b:1: not found"},
      {404, IMGSTORE_ENOTFOUND, "<html>", "", "r.example/a/b:1: not found"},
      {403, IMGSTORE_EDENIED, "{\"errors\":[{\"code\":\"DENIED\"}]}", "DENIED", "access denied"},
      {400, IMGSTORE_EPROTOCOL, "<html>what\x1b[31m</html>", "", "HTTP 400 (<html>what\\x1b[31m</html>)"},
      {405, IMGSTORE_EUNSUPPORTED, "", "", "HTTP 405"},
      {204, IMGSTORE_EPROTOCOL, "", "", "204"},
      {304, IMGSTORE_EPROTOCOL, "", "", "304"},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    const answer script[] = {{HUB_GET("a/b/manifests/1"), cases[i].status, NULL, cases[i].body}};
    world w;
    outcome o;
    prepare(&w, script, COUNT(script));
    open_world(&w, "r.example");
    manifest(&w, &o, "1", false);
    assert_true(run(&w));
    assert_int_equal(o.code, cases[i].code);
    assert_int_equal(o.err.http_status, cases[i].status);
    assert_string_equal(o.err.registry_code, cases[i].registry_code);
    assert_non_null(strstr(o.err.message, cases[i].part));
    close_world(&w);
  }
}

static void test_quote_is_short(void **state) {
  static char body[5000];
  memset(body, 'x', sizeof body - 1);
  const answer script[] = {{HUB_GET("a/b/manifests/1"), 418, NULL, body}};
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_true(strlen(o.err.message) < 600);
  close_world(&w);
}

static void test_manifest_limits(void **state) {
  char body[102];
  memset(body, ' ', 101);
  body[101] = '\0';
  const answer script[] = {
      {HUB_GET("a/b/manifests/1"), 200, MT "Content-Length: 101\n", body},
      {HUB_GET("a/b/manifests/2"), 200, MT, body},
      {HUB_GET("a/b/manifests/3"), 200, MT "Content-Encoding: gzip\n", "x"},
      {HUB_GET("a/b/manifests/4"), 200, MT "Content-Encoding: identity\nContent-Length: 100\n", body + 1},
  };
  static const int32_t codes[] = {IMGSTORE_ELIMIT, IMGSTORE_ELIMIT, IMGSTORE_EPROTOCOL, IMGSTORE_OK};
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  for (size_t i = 0; i < COUNT(script); i++) {
    manifest(&w, &o, (const char *[]){"1", "2", "3", "4"}[i], false);
    assert_true(run(&w));
    assert_int_equal(o.code, codes[i]);
  }
  assert_int_equal(w.script.log_count, 4);
  close_world(&w);
}

static void test_short_document_is_fetched_again(void **state) {
  const answer script[] = {{HUB_GET("a/b/manifests/1"), 200, MT "Content-Length: 4\n", "{ "},
                           {HUB_GET("a/b/manifests/1"), 200, MT "Content-Length: 4\n", "{  }"}};
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_string_equal(o.text, "{  }");
  assert_int_equal(w.retries, 1);
  close_world(&w);
}

static void test_head(void **state) {
  const answer script[] = {
      {HUB_HEAD("a/b/manifests/1"), 200, MT "Content-Length: 7\n", NULL},
      {HUB_HEAD("a/b/manifests/2"), 405, NULL, NULL},
      {HUB_GET("a/b/manifests/2"), 200, MT, "{}"},
      {HUB_HEAD("a/b/manifests/3"), 200, MT, NULL},
      {HUB_GET("a/b/manifests/3"), 200, MT, "{ }"},
      {HUB_HEAD("a/b/manifests/4"), 404, NULL, NULL},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  manifest(&w, &o, "1", true);
  assert_true(run(&w));
  assert_true(o.is_head);
  assert_int_equal(o.length, 7);
  manifest(&w, &o, "2", true);
  assert_true(run(&w));
  assert_string_equal(o.text, "{}");
  manifest(&w, &o, "3", true);
  assert_true(run(&w));
  assert_string_equal(o.text, "{ }");
  manifest(&w, &o, "4", true);
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_ENOTFOUND);
  close_world(&w);
}

static void test_warning_and_rate(void **state) {
  const answer script[] = {{HUB_GET("a/b/manifests/1"), 200,
                            MT "Warning: 299 - \"old \\\"thing\\\"\"\nratelimit-limit: 100;w=21600\n"
                               "RateLimit-Remaining: 76;w=21600\n",
                            "{}"}};
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_string_equal(w.warning, "old \"thing\"");
  assert_int_equal(w.rate_left, 76);
  assert_int_equal(w.rate_limit, 100);
  close_world(&w);
}

/* --- tags
 * -----------------------------------------------------------------------------------------------------------------------
 */

static int32_t list(world *w, imgstore_report **tags, imgstore_error **error) {
  return imgstore_registry_tags(w->registry, "a/b", tags, error);
}

static void test_tags(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/tags/list?n=1000"), 200, "Link: </v2/a/b/tags/list?n=2&last=b>; rel=\"next\"\n",
       "{\"name\":\"a/b\",\"tags\":[\"a\",\"b\"]}"},
      {HUB_GET("a/b/tags/list?n=2&last=b"), 200,
       "Link: <https://r.example/o?p>; rel=\"prev\", <https://R.example:443/v2/a/b/tags/list?last=c>; title=\"a, b\"; "
       "REL=next\n",
       "{\"tags\":[\"b\",\"c\"]}"},
      {HUB_GET("a/b/tags/list?last=c"), 200, NULL, "{\"tags\":null}"},
  };
  world w;
  imgstore_report *tags;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  assert_int_equal(list(&w, &tags, NULL), 0);
  assert_int_equal(imgstore_report_count(tags), 3);
  assert_string_equal(imgstore_report_name(tags, 2), "c");
  imgstore_report_free(tags);
  close_world(&w);
}

static void test_tags_that_are_refused(void **state) {
  answer loop[40];
  for (size_t i = 0; i < COUNT(loop); i++)
    loop[i] = (answer){HUB_GET("a/b/tags/list"), 200, "Link: <?n=1>; rel=next\n", "{\"tags\":[\"a\"]}"};
  const answer away[] = {
      {HUB_GET("a/b/tags/list"), 200, "Link: <https://evil.example/>; rel=next\n", "{\"tags\":[\"a\"]}"}};
  const answer html[] = {{HUB_GET("a/b/tags/list"), 200, NULL, "<html>"}};
  const answer odd[] = {{HUB_GET("a/b/tags/list"), 200, NULL, "{\"tags\":[\"a b\"]}"}};
  const struct {
    const answer *script;
    size_t count;
    int32_t code;
  } cases[] = {{loop, COUNT(loop), IMGSTORE_EPROTOCOL},
               {away, 1, IMGSTORE_EPROTOCOL},
               {html, 1, IMGSTORE_EFORMAT},
               {odd, 1, IMGSTORE_EFORMAT}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    world w;
    imgstore_report *tags;
    imgstore_error *error = NULL;
    prepare(&w, cases[i].script, cases[i].count);
    open_world(&w, "r.example");
    assert_int_equal(list(&w, &tags, &error), cases[i].code);
    assert_null(tags);
    assert_non_null(strstr(imgstore_error_message(error), "r.example/a/b"));
    if (cases[i].script == html)
      assert_non_null(strstr(imgstore_error_message(error), "(<html>)"));
    if (cases[i].count == 1)
      assert_int_equal(w.script.log_count, 1);
    imgstore_error_free(error);
    close_world(&w);
  }
}

static void test_check(void **state) {
  const answer script[] = {
      {"GET https://r.example/v2/", 401,
       "WWW-Authenticate: Bearer realm=\"https://auth.example/token\",service=\"r\"\n", NULL},
      {"GET https://auth.example/token?service=r&account=user", 200, NULL, "{\"token\":\"T\"}"},
      {"GET https://r.example/v2/", 200, NULL, "{}"},
  };
  world w;
  prepare(&w, script, COUNT(script));
  w.options.username = "user";
  w.options.password = "pass";
  open_world(&w, "r.example");
  assert_int_equal(imgstore_registry_check(w.registry, NULL), 0);
  assert_string_equal(w.script.log[1].authorization, "Basic dXNlcjpwYXNz");
  assert_string_equal(w.script.log[2].authorization, "Bearer T");
  close_world(&w);
}

/* --- life
 * -----------------------------------------------------------------------------------------------------------------------
 */

static void test_cancel_from_a_callback(void **state) {
  const answer script[] = {{HUB_GET("a/b/manifests/1"), 200, MT, "{}"}, {HUB_GET("a/b/manifests/2"), 200, MT, "{}"}};
  world w;
  outcome a, b;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  manifest(&w, &a, "1", false);
  manifest(&w, &b, "2", false);
  a.cancel = b.fetch; /* and its own, in on_document */
  w.pending--;
  assert_true(run(&w));
  assert_true(a.done);
  assert_false(b.done);
  assert_int_equal(w.script.open_count, 0);
  close_world(&w);
}

static void test_after_a_fork(void **state) {
  world w;
  ims_error err = IMS_ERROR_INIT;
  ims_client *client;
  prepare(&w, NULL, 0);
  open_world(&w, "r.example");
  w.core->pid++; /* as a child sees it */
  assert_int_equal(ims_client_new(&client, w.registry, NULL, NULL, &err), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_registry_check(w.registry, NULL), IMGSTORE_EINVALID);
  w.core->pid--;
  close_world(&w);
}

static void test_options(void **state) {
  imgstore_context *context;
  imgstore_registry *registry;
  imgstore_registry_options o;
  assert_int_equal(imgstore_context_new(NULL, &context, NULL), 0);
  assert_int_equal(imgstore_registry_options_init(&o, sizeof o), 0);
  assert_int_equal(o.max_redirects, 10);
  o.max_connections = 65;
  assert_int_equal(imgstore_registry_new(context, "r.example", &o, &registry, NULL), IMGSTORE_EINVALID);
  o.max_connections = 1;
  o.username = "u";
  assert_int_equal(imgstore_registry_new(context, "r.example", &o, &registry, NULL), IMGSTORE_EINVALID);
  o.username = NULL;
  o.flags = 1u << 30;
  assert_int_equal(imgstore_registry_new(context, "r.example", &o, &registry, NULL), IMGSTORE_EUNSUPPORTED);
  o.flags = 0;
  assert_int_equal(imgstore_registry_new(context, "r.example/x", &o, &registry, NULL), IMGSTORE_EFORMAT);
  assert_null(registry);
  o.size = 16;
  assert_int_equal(imgstore_registry_new(context, "r.example", &o, &registry, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_registry_new(NULL, "r.example", NULL, &registry, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_registry_new(context, "[::1]:5000", NULL, &registry, NULL), 0);
  imgstore_context_free(context);
  assert_string_equal(imgstore_registry_host(registry), "[::1]:5000");
  imgstore_registry_free(registry);
  imgstore_registry_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_errors_of_the_registry),
      cmocka_unit_test(test_quote_is_short),
      cmocka_unit_test(test_manifest_limits),
      cmocka_unit_test(test_short_document_is_fetched_again),
      cmocka_unit_test(test_head),
      cmocka_unit_test(test_warning_and_rate),
      cmocka_unit_test(test_tags),
      cmocka_unit_test(test_tags_that_are_refused),
      cmocka_unit_test(test_check),
      cmocka_unit_test(test_cancel_from_a_callback),
      cmocka_unit_test(test_after_a_fork),
      cmocka_unit_test(test_options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
