/*
 * tests/unit/test_challenge.c - WWW-Authenticate in the forms that registries and proxies send, scope sets, token
 * messages, Authorization values.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "registry/challenge.h"
#include "registry/token.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const ims_alloc *const A = &ims_alloc_default;

static void same(const char *a, const char *b) {
  if (a && b)
    assert_string_equal(a, b);
  else
    assert_ptr_equal(a, b);
}

static void test_forms(void **state) {
  static const struct {
    const char *first, *second;
    size_t count;
    int scheme;
    const char *realm, *service, *scope;
  } cases[] = {
      {"Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull\"", NULL, 1, IMS_AUTH_BEARER,
       "https://a/t", "s", "repository:x:pull"},
      {"bearer  Realm = \"https://a/t\" , SERVICE=s", NULL, 1, IMS_AUTH_BEARER, "https://a/t", "s", NULL},
      {"Basic realm=\"r\", Bearer realm=\"t\"", NULL, 2, IMS_AUTH_BEARER, "t", NULL, NULL},
      {"Bearer realm=\"t\", Basic realm=\"r\"", NULL, 2, IMS_AUTH_BEARER, "t", NULL, NULL},
      {"Basic realm=\"r\"", "Bearer realm=\"t\"", 2, IMS_AUTH_BEARER, "t", NULL, NULL},
      {"Negotiate, Basic realm=\"r\"", NULL, 1, IMS_AUTH_BASIC, "r", NULL, NULL},
      {"Negotiate YWJj==, Basic realm=\"r\"", NULL, 1, IMS_AUTH_BASIC, "r", NULL, NULL},
      {"Digest realm=\"d\", qop=\"auth, auth-int\", nonce=\"n\", Basic realm=\"r\"", NULL, 1, IMS_AUTH_BASIC, "r", NULL,
       NULL},
      {"Basic", NULL, 1, IMS_AUTH_BASIC, NULL, NULL, NULL},
      {",, ,Basic realm=\"a \\\"quoted\\\" \\\\ one, Bearer realm=x\",", NULL, 1, IMS_AUTH_BASIC,
       "a \"quoted\" \\ one, Bearer realm=x", NULL, NULL},
      {"Bearer realm=\"\", Basic realm=\"r\"", NULL, 2, IMS_AUTH_BASIC, "r", NULL, NULL},
      {"Bearer error=\"invalid_token\",realm=\"t\",scope=\"a b\"", NULL, 1, IMS_AUTH_BEARER, "t", NULL, "a b"},
      {"Bearer realm=\"one\",realm=\"two\"", NULL, 1, IMS_AUTH_BEARER, "one", NULL, NULL},
      {"Bearer realm=\"t\" Basic realm=\"r\"", NULL, 2, IMS_AUTH_BEARER, "t", NULL, NULL},
      {"realm=\"x\"", NULL, 0, 0, NULL, NULL, NULL},
      {"Bearer realm=\"not closed", NULL, 1, 0, NULL, NULL, NULL},
      {"Bearer realm=\"ctrl\x01\"", NULL, 1, 0, NULL, NULL, NULL},
      {"", NULL, 0, 0, NULL, NULL, NULL},
      {"=,=\"\"", NULL, 0, 0, NULL, NULL, NULL},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    ims_challenges list = {.count = 0};
    assert_int_equal(ims_challenges_add(&list, A, cases[i].first, NULL), 0);
    if (cases[i].second)
      assert_int_equal(ims_challenges_add(&list, A, cases[i].second, NULL), 0);
    assert_int_equal(list.count, cases[i].count);
    const ims_challenge *c = ims_challenges_choose(&list);
    assert_int_equal(c ? c->scheme : 0, cases[i].scheme);
    if (c) {
      same(c->realm, cases[i].realm);
      same(c->service, cases[i].service);
      same(c->scope, cases[i].scope);
    }
    ims_challenges_free(&list, A);
  }
}

static void test_many_challenges_are_bounded(void **state) {
  ims_challenges list = {.count = 0};
  for (int i = 0; i < 100; i++)
    assert_int_equal(ims_challenges_add(&list, A, "Basic realm=\"r\", Bearer realm=\"t\"", NULL), 0);
  assert_int_equal(list.count, IMS_CHALLENGE_MAX);
  ims_challenges_free(&list, A);
}

static void test_scopes(void **state) {
  char *merged;
  assert_int_equal(ims_scope_merge(&merged, A, "b  c b", "a b", NULL), 0);
  assert_string_equal(merged, "b c a");
  assert_true(ims_scope_equal(merged, "a b c"));
  assert_true(ims_scope_equal("", ""));
  assert_false(ims_scope_equal(merged, "a b"));
  assert_false(ims_scope_equal("a", "a b"));
  assert_false(ims_scope_equal("ab", "a"));
  ims_free(A, merged);
  assert_int_equal(ims_scope_merge(&merged, A, NULL, "", NULL), 0);
  assert_string_equal(merged, "");
  ims_free(A, merged);
  static char long_set[10000];
  memset(long_set, 'x', sizeof long_set - 1);
  assert_int_equal(ims_scope_merge(&merged, A, long_set, "", NULL), IMGSTORE_ELIMIT);
}

static void test_token_url(void **state) {
  const ims_challenge plain = {IMS_AUTH_BEARER, "https://a/t#x", "s &", NULL};
  const ims_challenge query = {IMS_AUTH_BEARER, "https://a/t?k=v", NULL, NULL};
  const ims_secret user = {"me@x", "p", NULL}, nobody = {NULL, NULL, NULL};
  char *url;
  assert_int_equal(ims_token_url(&url, A, &plain, "r:a/b:pull r:c:*", &user, NULL), 0);
  assert_string_equal(url, "https://a/t?service=s%20%26&scope=r%3Aa%2Fb%3Apull&scope=r%3Ac%3A%2A&account=me%40x");
  ims_free(A, url);
  assert_int_equal(ims_token_url(&url, A, &query, NULL, &nobody, NULL), 0);
  assert_string_equal(url, "https://a/t?k=v");
  ims_free(A, url);
  assert_int_equal(ims_token_url(&url, A, &query, "x", &nobody, NULL), 0);
  assert_string_equal(url, "https://a/t?k=v&scope=x");
  ims_free(A, url);
}

static int32_t parse(const char *text, ims_token *token) {
  return ims_token_parse(token, A, text, strlen(text), "realm", NULL);
}

static void test_token_answers(void **state) {
  static const struct {
    const char *text, *token;
    int64_t lifetime;
  } good[] = {
      {"{\"token\":\"a\"}", "a", 60000},
      {"{\"access_token\":\"b\",\"expires_in\":300}", "b", 300000},
      {"{\"token\":\"a\",\"access_token\":\"b\",\"expires_in\":1}", "a", 60000},
      {"{\"token\":\"\",\"access_token\":\"b\",\"expires_in\":-1}", "b", 60000},
      {"{\"token\":\"a\",\"expires_in\":9007199254740991}", "a", 31536000000},
      {"{\"token\":\"a\",\"expires_in\":\"300\"}", "a", 60000},
  };
  static const char *const bad[] = {"",
                                    "{}",
                                    "[]",
                                    "{\"token\":1}",
                                    "{\"token\":\"a\\r\\nX: y\"}",
                                    "{\"token\":\"a b\"}",
                                    "{\"token\":\"a\"} x",
                                    "<html>",
                                    "{\"token\":\"\"}",
                                    "{\"token\":\"\xc3\xa9\"}"};
  ims_token token;
  for (size_t i = 0; i < COUNT(good); i++) {
    assert_int_equal(parse(good[i].text, &token), 0);
    assert_string_equal(token.text, good[i].token);
    assert_true(token.lifetime_ms == good[i].lifetime);
    ims_free_secret(A, token.text);
  }
  for (size_t i = 0; i < COUNT(bad); i++)
    assert_int_equal(parse(bad[i], &token), IMGSTORE_EPROTOCOL);
}

static void test_values(void **state) {
  const ims_secret user = {"Aladdin", "open sesame", NULL}, identity = {NULL, NULL, "x"}, nobody = {NULL, NULL, NULL};
  char *value;
  assert_int_equal(ims_basic_value(&value, A, &user, NULL), 0);
  assert_string_equal(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
  ims_free_secret(A, value);
  assert_int_equal(ims_basic_value(&value, A, &identity, NULL), 0);
  assert_string_equal(value, "Basic PHRva2VuPjp4");
  ims_free_secret(A, value);
  assert_int_equal(ims_basic_value(&value, A, &nobody, NULL), 0);
  assert_null(value);
  assert_int_equal(ims_bearer_value(&value, A, "t", NULL), 0);
  assert_string_equal(value, "Bearer t");
  ims_free_secret(A, value);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_forms),         cmocka_unit_test(test_many_challenges_are_bounded),
      cmocka_unit_test(test_scopes),        cmocka_unit_test(test_token_url),
      cmocka_unit_test(test_token_answers), cmocka_unit_test(test_values),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
