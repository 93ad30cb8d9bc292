/*
 * tests/unit/test_client_auth.c - documents through the client: credentials, tokens, and what a redirect may not carry
 * away.
 */
#include "client_world.h"

/* --- credentials
 * ---------------------------------------------------------------------------------------------------------- */

static void test_anonymous_token_is_fetched_once(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/manifests/1"), 401, CHALLENGE, "{}"},
      {"GET https://auth.example/token", 200, NULL, "{\"access_token\":\"T1\",\"expires_in\":5}"},
      {HUB_GET("a/b/manifests/1"), 200, MT "Docker-Content-Digest: " D1 "\n", "{}"},
      {HUB_GET("a/b/manifests/2"), 200, MT, "{ }"},
      {HUB_GET("a/b/manifests/3"), 200, MT, "{  }"},
      {"GET https://auth.example/token", 200, NULL, "{\"token\":\"T2\"}"},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_string_equal(o.text, "{}");
  assert_string_equal(o.type, "application/vnd.oci.image.manifest.v1+json");
  assert_string_equal(o.digest.text, D1);
  assert_string_equal(line(&w, 1), "GET https://auth.example/token?service=r&scope=repository%3Aa%2Fb%3Apull");
  assert_string_equal(w.script.log[1].authorization, "");
  assert_string_equal(w.script.log[2].authorization, "Bearer T1");
  assert_non_null(strstr(w.script.log[0].accept, "application/vnd.oci.image.index.v1+json"));
  w.now += 50000; /* within the floor of a minute */
  manifest(&w, &o, "2", false);
  assert_true(run(&w));
  assert_int_equal(w.script.log_count, 4);
  assert_string_equal(w.script.log[3].authorization, "Bearer T1");
  w.now += 9000; /* it is refreshed early */
  manifest(&w, &o, "3", false);
  assert_true(run(&w));
  assert_string_equal(line(&w, 4), line(&w, 1));
  assert_string_equal(w.script.log[5].authorization, "Bearer T2");
  close_world(&w);
}

static void test_many_wait_for_one_token(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/manifests/1"), 401, CHALLENGE, NULL},
      {HUB_GET("a/b/manifests/2"), 401, CHALLENGE, NULL},
      {HUB_GET("a/b/manifests/3"), 401, CHALLENGE, NULL},
      {"GET https://auth.example/token", 200, NULL, "{\"token\":\"T\"}"},
      {HUB_GET("a/b/manifests/1"), 200, MT, "{}"},
      {HUB_GET("a/b/manifests/2"), 200, MT, "{}"},
      {HUB_GET("a/b/manifests/3"), 200, MT, "{}"},
  };
  world w;
  outcome o[3];
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  manifest(&w, &o[0], "1", false);
  manifest(&w, &o[1], "2", false);
  manifest(&w, &o[2], "3", false);
  assert_true(run(&w));
  for (int i = 0; i < 3; i++)
    assert_int_equal(o[i].code, 0);
  assert_int_equal(w.script.log_count, 7);
  close_world(&w);
}

static void test_token_failure_reaches_those_who_wait(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/manifests/1"), 401, CHALLENGE, NULL},
      {HUB_GET("a/b/manifests/2"), 401, CHALLENGE, NULL},
      {"GET https://auth.example/token", 403, NULL, "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\"}]}"},
  };
  world w;
  outcome o[2];
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  manifest(&w, &o[0], "1", false);
  manifest(&w, &o[1], "2", false);
  assert_true(run(&w));
  assert_int_equal(o[0].code, IMGSTORE_EDENIED);
  assert_int_equal(o[1].code, IMGSTORE_EDENIED);
  assert_string_equal(o[0].err.registry_code, "DENIED");
  assert_int_equal(o[0].err.http_status, 403);
  close_world(&w);
}

static void test_basic(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/manifests/1"), 401, "WWW-Authenticate: Basic realm=\"x\"\n", NULL},
      {HUB_GET("a/b/manifests/1"), 200, MT, "{}"},
      {HUB_GET("a/b/manifests/2"), 401, "WWW-Authenticate: Basic realm=\"x\"\n", "dXNlcjpwYXNz user:pass"},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  w.options.username = "user";
  w.options.password = "pass";
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_string_equal(w.script.log[0].authorization, ""); /* nothing before it is asked for */
  assert_string_equal(w.script.log[1].authorization, "Basic dXNlcjpwYXNz");
  manifest(&w, &o, "2", false);
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_EUNAUTHORIZED);
  assert_int_equal(w.script.log_count, 3);
  assert_null(strstr(o.err.message, "dXNlcjpwYXNz"));
  assert_null(strstr(o.err.message, "pass"));
  close_world(&w);
}

static void test_basic_without_credentials(void **state) {
  const answer script[] = {{HUB_GET("a/b/manifests/1"), 401, "WWW-Authenticate: Basic realm=\"x\"\n", NULL}};
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_EUNAUTHORIZED);
  close_world(&w);
}

static void test_identity_token(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/manifests/1"), 401, CHALLENGE, NULL},
      {"POST https://auth.example/token", 404, NULL, "no"},
      {"GET https://auth.example/token", 200, NULL, "{\"token\":\"T\"}"},
      {HUB_GET("a/b/manifests/1"), 200, MT, "{}"},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  w.options.identity_token = "s3cr&t";
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_string_equal(line(&w, 1), "POST https://auth.example/token");
  assert_non_null(strstr(w.script.log[1].form, "grant_type=refresh_token&"));
  assert_non_null(strstr(w.script.log[1].form, "&refresh_token=s3cr%26t"));
  assert_string_equal(w.script.log[1].authorization, "");
  assert_string_equal(w.script.log[2].authorization, "Basic PHRva2VuPjpzM2NyJnQ=");
  close_world(&w);
}

static void test_post_of_a_token_is_not_redirected(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/manifests/1"), 401, CHALLENGE, NULL},
      {"POST https://auth.example/token", 307, "Location: https://evil.example/\n", NULL},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  w.options.identity_token = "secret";
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_EPROTOCOL);
  assert_int_equal(w.script.log_count, 2);
  close_world(&w);
}

static void test_one_refresh(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/manifests/1"), 401, CHALLENGE, NULL},
      {"GET https://auth.example/token", 200, NULL, "{\"token\":\"T1\"}"},
      {HUB_GET("a/b/manifests/1"), 401,
       "WWW-Authenticate: Bearer realm=\"https://auth.example/token\",service=\"r\",scope=\"more:x:y\"\n", NULL},
      {"GET https://auth.example/token", 200, NULL, "{\"token\":\"T2\"}"},
      {HUB_GET("a/b/manifests/1"), 401, CHALLENGE, "you sent T2-is-secret"},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_EUNAUTHORIZED);
  assert_int_equal(o.err.http_status, 401);
  assert_int_equal(w.script.log_count, 5);
  assert_string_equal(w.script.log[4].authorization, "Bearer T2");
  assert_string_equal(line(&w, 3),
                      "GET https://auth.example/token?service=r&scope=more%3Ax%3Ay&scope=repository%3Aa%2Fb%3Apull");
  close_world(&w);
}

/* A token that is refused before its time is up is not taken from the cache again. */
static void test_revoked_token(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/manifests/1"), 401, CHALLENGE, NULL},
      {"GET https://auth.example/token", 200, NULL, "{\"token\":\"T1\"}"},
      {HUB_GET("a/b/manifests/1"), 200, MT, "{}"},
      {HUB_GET("a/b/manifests/2"), 401, CHALLENGE, NULL},
      {"GET https://auth.example/token", 200, NULL, "{\"token\":\"T2\"}"},
      {HUB_GET("a/b/manifests/2"), 200, MT, "{}"},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  manifest(&w, &o, "2", false);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_int_equal(w.script.log_count, 6);
  assert_string_equal(w.script.log[5].authorization, "Bearer T2");
  close_world(&w);
}

static void test_realm_must_be_a_permitted_place(void **state) {
  static const char *const bad[] = {
      "http://auth.example/token", "https://127.0.0.1/token", "https://169.254.169.254/",
      "https://10.1.2.3/t",        "https://[::1]/",          "ftp://auth.example/",
      "https://2130706433/",       "https://localhost/",      "https://u:p@auth.example/"};
  for (size_t i = 0; i < COUNT(bad); i++) {
    char header[200];
    snprintf(header, sizeof header, "WWW-Authenticate: Bearer realm=\"%s\"\n", bad[i]);
    const answer script[] = {{HUB_GET("a/b/manifests/1"), 401, header, NULL}};
    world w;
    outcome o;
    prepare(&w, script, COUNT(script));
    w.options.username = "u";
    w.options.password = "password";
    open_world(&w, "r.example");
    manifest(&w, &o, "1", false);
    assert_true(run(&w));
    assert_int_equal(o.code, IMGSTORE_EPROTOCOL);
    assert_int_equal(w.script.log_count, 1);
    close_world(&w);
  }
}

static void test_secrets_that_come_back_are_not_quoted(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/manifests/1"), 401, "WWW-Authenticate: Basic realm=\"x\"\n", NULL},
      {HUB_GET("a/b/manifests/1"), 400, NULL, "you sent Basic dXNlcjpodW50ZXIy"},
      {HUB_GET("a/b/manifests/2"), 400, NULL, "{\"errors\":[{\"code\":\"hunter2\",\"message\":\"\\u0068unter2\"}]}"},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  w.options.username = "user";
  w.options.password = "hunter2";
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_EPROTOCOL);
  assert_null(strstr(o.err.message, "dXNlcjpodW50ZXIy"));
  manifest(&w, &o, "2", false);
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_EPROTOCOL);
  assert_null(strstr(o.err.message, "hunter2"));
  assert_null(strstr(o.err.registry_code, "hunter2"));
  close_world(&w);
}

/* --- redirects
 * -------------------------------------------------------------------------------------------------------------- */

static void test_redirect_loses_credentials(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/manifests/1"), 401, "WWW-Authenticate: Basic realm=\"x\"\n", NULL},
      {HUB_GET("a/b/manifests/1"), 307, "Location: /elsewhere?x=1\n", NULL},
      {"GET https://r.example/elsewhere?x=1", 302, "Location: //cdn.example/blob?signature=k\n", NULL},
      {"GET https://cdn.example/blob?signature=k", 200, MT, "{}"},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  w.options.username = "user";
  w.options.password = "pass";
  w.options.cert_file = "/cert";
  w.options.key_file = "/key";
  w.options.ca_file = "/ca";
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_string_equal(w.script.log[2].authorization, "Basic dXNlcjpwYXNz");
  assert_string_equal(w.script.log[2].cert, "/cert");
  assert_string_equal(w.script.log[3].authorization, "");
  assert_string_equal(w.script.log[3].cert, "");
  assert_string_equal(w.script.log[3].ca, "/ca");
  close_world(&w);
}

static void test_redirect_to_another_port_loses_credentials(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/manifests/1"), 401, "WWW-Authenticate: Basic realm=\"x\"\n", NULL},
      {HUB_GET("a/b/manifests/1"), 307, "Location: https://r.example:8443/x\n", NULL},
      {"GET https://r.example:8443/x", 401, "WWW-Authenticate: Basic realm=\"x\"\n", NULL},
      {HUB_GET("a/b/manifests/1"), 200, MT, "{}"},
  };
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  w.options.username = "user";
  w.options.password = "pass";
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_int_equal(o.code, 0);
  assert_string_equal(w.script.log[2].authorization, "");
  close_world(&w);
}

static void test_redirects_that_are_refused(void **state) {
  static const char *const bad[] = {
      "http://r.example/x",         "https://10.0.0.1/",  "https://169.254.169.254/latest",
      "https://[fe80::1]/",         "https://localhost/", "https://0177.0.0.1/",
      "https://[::ffff:10.0.0.1]/", "file:///etc/passwd", "https://metadata.google.internal/",
      "https://u:p@cdn.example/"};
  for (size_t i = 0; i < COUNT(bad); i++) {
    char header[200];
    snprintf(header, sizeof header, "Location: %s\n", bad[i]);
    const answer script[] = {{HUB_GET("a/b/manifests/1"), 302, header, NULL}};
    world w;
    outcome o;
    prepare(&w, script, COUNT(script));
    open_world(&w, "r.example");
    manifest(&w, &o, "1", false);
    assert_true(run(&w));
    assert_int_equal(o.code, IMGSTORE_EPROTOCOL);
    assert_int_equal(w.script.log_count, 1);
    close_world(&w);
  }
}

static void test_redirect_limit(void **state) {
  answer script[12];
  for (size_t i = 0; i < COUNT(script); i++)
    script[i] = (answer){"GET https://r.example/", 302, "Location: /v2/x\n", NULL};
  world w;
  outcome o;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  manifest(&w, &o, "1", false);
  assert_true(run(&w));
  assert_int_equal(o.code, IMGSTORE_EPROTOCOL);
  assert_int_equal(w.script.log_count, 11);
  close_world(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_anonymous_token_is_fetched_once),
      cmocka_unit_test(test_many_wait_for_one_token),
      cmocka_unit_test(test_token_failure_reaches_those_who_wait),
      cmocka_unit_test(test_basic),
      cmocka_unit_test(test_basic_without_credentials),
      cmocka_unit_test(test_identity_token),
      cmocka_unit_test(test_post_of_a_token_is_not_redirected),
      cmocka_unit_test(test_one_refresh),
      cmocka_unit_test(test_revoked_token),
      cmocka_unit_test(test_realm_must_be_a_permitted_place),
      cmocka_unit_test(test_secrets_that_come_back_are_not_quoted),
      cmocka_unit_test(test_redirect_loses_credentials),
      cmocka_unit_test(test_redirect_to_another_port_loses_credentials),
      cmocka_unit_test(test_redirects_that_are_refused),
      cmocka_unit_test(test_redirect_limit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
