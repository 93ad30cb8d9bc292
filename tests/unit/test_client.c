/*
 * tests/unit/test_client.c - documents through the client: credentials, tokens, redirects, mirrors, limits, tags.
 */
#include "client_world.h"

#include "base/report.h"

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

/* --- places
 * -------------------------------------------------------------------------------------------------------------------
 */

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

/* Plain http because there is no TLS is for this machine alone; by the caller's choice it is for the registry's realm. */
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
      cmocka_unit_test(test_errors_of_the_registry),
      cmocka_unit_test(test_quote_is_short),
      cmocka_unit_test(test_manifest_limits),
      cmocka_unit_test(test_short_document_is_fetched_again),
      cmocka_unit_test(test_head),
      cmocka_unit_test(test_warning_and_rate),
      cmocka_unit_test(test_docker_hub),
      cmocka_unit_test(test_mirrors),
      cmocka_unit_test(test_loopback_speaks_http_when_it_has_no_tls),
      cmocka_unit_test(test_realm_of_a_registry_without_tls),
      cmocka_unit_test(test_no_downgrade),
      cmocka_unit_test(test_no_downgrade_after_tls_worked),
      cmocka_unit_test(test_proxy),
      cmocka_unit_test(test_tags),
      cmocka_unit_test(test_tags_that_are_refused),
      cmocka_unit_test(test_check),
      cmocka_unit_test(test_cancel_from_a_callback),
      cmocka_unit_test(test_after_a_fork),
      cmocka_unit_test(test_options),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
