/*
 * tests/unit/test_client_places.c - where the client asks: Docker Hub, mirrors, loopback, http and https, proxies.
 */
#include "client_world.h"

static void test_docker_hub(void **state) {
  const answer script[] = {{"GET https://registry-1.docker.io/v2/a/b/manifests/1", 404, NULL, NULL}};
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "docker.io");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_string_equal(o.err.message, "docker.io/a/b:1: not found");
  close_world(&w);
}

static void test_mirrors(void **state) {
  const answer script[] = {
      {"GET https://one.example/v2/hub/a/b/manifests/1", 404, NULL, NULL},
      {HUB_GET("a/b/manifests/1"), 200, MT, "{}"},
      {"GET https://one.example/v2/hub/a/b/manifests/sha256:", 500, NULL, NULL},
      {"GET https://one.example/v2/hub/a/b/manifests/sha256:", 500, NULL, NULL},
      {"GET http://two.example/v2/a/b/manifests/sha256:", 401, "WWW-Authenticate: Basic realm=\"x\"\n", NULL},
      {HUB_GET("a/b/manifests/sha256:"), 200, MT, "{ }"},
      {"GET https://one.example/v2/hub/a/b/manifests/2", 200, MT, "{}"},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  w.options.username = "user"; /* for the registry alone */
  w.options.password = "pass";
  open_world(&w, "r.example");
  assert_int_equal(imgstore_registry_add_mirror(w.registry, "one.example/hub", 0, NULL), 0);
  assert_int_equal(imgstore_registry_add_mirror(w.registry, "two.example",
                                                IMGSTORE_MIRROR_DIGEST_ONLY | IMGSTORE_MIRROR_PLAIN_HTTP, NULL),
                   0);
  assert_int_equal(imgstore_registry_add_mirror(w.registry, "bad host", 0, NULL), IMGSTORE_EFORMAT);
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_string_equal(o.mirror, "");
  assert_int_equal(w.script.log_count, 2); /* the second mirror has no tags */
  manifest(&w, &o, D1, false);
  assert_true(run(&w));
  assert_string_equal(o.text, "{ }");
  assert_int_equal(w.script.log_count, 6);
  manifest(&w, &o, "2", false);
  assert_true(run(&w));
  assert_string_equal(o.mirror, "one.example");
  for (size_t i = 0; i < w.script.log_count; i++)
    assert_string_equal(w.script.log[i].authorization, "");
  close_world(&w);
}

static void test_loopback_speaks_http_when_it_has_no_tls(void **state) {
  const answer script[] = {
      {.url = "GET https://127.0.0.1:5000/v2/a/b/manifests/1", .code = IMGSTORE_EPROTOCOL, .message = "not TLS: http"},
      {"GET http://127.0.0.1:5000/v2/a/b/manifests/1", 401,
       "WWW-Authenticate: Bearer realm=\"http://localhost:5001/token\"\n", NULL},
      {"GET http://localhost:5001/token", 200, NULL, "{\"token\":\"T\"}"},
      {"GET http://127.0.0.1:5000/v2/a/b/manifests/1", 307, "Location: http://127.0.0.2:9000/x\n", NULL},
      {"GET http://127.0.0.2:9000/x", 200, MT, "{}"},
      {"GET http://127.0.0.1:5000/v2/a/b/manifests/2", 307, "Location: http://169.254.169.254/x\n", NULL},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "127.0.0.1:5000");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_int_equal(w.retries, 0);
  manifest(&w, &o, "2", false);
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_EPROTOCOL);
  assert_int_equal(w.script.log_count, 6);
  close_world(&w);
}

/* Plain http because there is no TLS is for this machine alone; by the caller's choice it is for the registry's realm.
 */
static void test_realm_of_a_registry_without_tls(void **state) {
  const answer script[] = {
      {.url = "GET https://127.0.0.1:5000/v2/a/b/manifests/1", .code = IMGSTORE_EPROTOCOL, .message = "not TLS: http"},
      {"GET http://127.0.0.1:5000/v2/a/b/manifests/1", 401,
       "WWW-Authenticate: Bearer realm=\"http://auth.example/token\"\n", NULL},
      {"GET http://auth.example/token", 200, NULL, "{\"token\":\"T\"}"},
      {"GET http://127.0.0.1:5000/v2/a/b/manifests/1", 200, MT, "{}"},
  };
  for (int chosen = 0; chosen < 2; chosen++) {
    world w;
    outcome o;
    prepare(&w, script + chosen, COUNT(script) - (size_t)chosen);
    w.options.flags = chosen ? IMGSTORE_REGISTRY_PLAIN_HTTP : 0;
    w.options.username = "u";
    w.options.password = "password";
    open_world(&w, "127.0.0.1:5000");
    manifest(&w, &o, "1", false);
    assert_true(run(&w));
    assert_int_equal(o.code, chosen ? 0 : IMGSTORE_EPROTOCOL);
    assert_int_equal(w.script.log_count, chosen ? 3 : 2);
    close_world(&w);
  }
}

static void test_no_downgrade(void **state) {
  static const struct {
    const char *host;
    int32_t code;
    const char *message;
  } cases[] = {{"127.0.0.1:5000", IMGSTORE_ETLS, "self-signed certificate"},
               {"r.example", IMGSTORE_EPROTOCOL, "not TLS: http"},
               {"10.0.0.1:5000", IMGSTORE_EPROTOCOL, "not TLS: http"}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    const answer script[] = {{.url = "GET https://", .code = cases[i].code, .message = cases[i].message}};
    world w;
    outcome o;
    prepare(&w, script, COUNT(script));
    open_world(&w, cases[i].host);
    manifest(&w, &o, "1", false);
    assert_true(run(&w));
    assert_int_equal(o.code, cases[i].code);
    assert_int_equal(w.script.log_count, 1);
    close_world(&w);
  }
}

static void test_no_downgrade_after_tls_worked(void **state) {
  const answer script[] = {
      {"GET https://localhost/v2/a/b/manifests/1", 200, MT, "{}"},
      {.url = "GET https://localhost/", .code = IMGSTORE_EPROTOCOL, .message = "not TLS: http"},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "localhost");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  manifest(&w, &o, "2", false);
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_EPROTOCOL);
  assert_int_equal(w.script.log_count, 2);
  close_world(&w);
}

static void test_proxy(void **state) {
  const answer script[] = {{HUB_GET("a/b/manifests/1"), 307, "Location: https://cdn.example/x\n", NULL},
                           {"GET https://cdn.example/x", 200, MT, "{}"}};
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  w.options.proxy = "http://proxy:3128";
  w.options.no_proxy = "x.org, .r.example,cdn.example:443";
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_string_equal(w.script.log[0].proxy, "http://proxy:3128");
  assert_string_equal(w.script.log[1].proxy, "");
  close_world(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_docker_hub),
      cmocka_unit_test(test_mirrors),
      cmocka_unit_test(test_loopback_speaks_http_when_it_has_no_tls),
      cmocka_unit_test(test_realm_of_a_registry_without_tls),
      cmocka_unit_test(test_no_downgrade),
      cmocka_unit_test(test_no_downgrade_after_tls_worked),
      cmocka_unit_test(test_proxy),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
