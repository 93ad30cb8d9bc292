/*
 * tests/unit/test_url.c - URLs: normal form, joining (RFC 3986, 5.4), kinds of addresses, permitted targets, no_proxy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "registry/net.h"
#include "registry/url.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const ims_alloc *const A = &ims_alloc_default;

static void test_normal_form(void **state) {
  static const char *const cases[][2] = {
      {"https://R.Example", "https://r.example/"},
      {"HTTPS://r.example:443/v2/", "https://r.example/v2/"},
      {"http://r.example:80?x", "http://r.example/?x"},
      {"http://r.example:443/", "http://r.example:443/"},
      {"https://[::1]:5000/a#frag", "https://[::1]:5000/a"},
      {"https://r.example./x", "https://r.example/x"},
      {"https://r.example:/x", "https://r.example/x"},
      {"https://r.example/a b\xc3\xa9\"", "https://r.example/a%20b%C3%A9%22"},
      {"https://127.1/", "https://127.1/"},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    ims_url url;
    assert_int_equal(ims_url_parse(&url, A, cases[i][0], "x", NULL), 0);
    assert_string_equal(url.text, cases[i][1]);
    ims_url_free(A, &url);
  }
}

static void test_bad(void **state) {
  static const char *const bad[] = {"",
                                    "r.example",
                                    "ftp://x/",
                                    "https:/x",
                                    "https://",
                                    "https:///x",
                                    "https://:1/",
                                    "https://a:0/",
                                    "https://a:65536/",
                                    "https://a:b/",
                                    "https://u@a/",
                                    "https://u:p@a/",
                                    "https://a b/",
                                    "https://a\n/",
                                    "https://a/\r\nX: y",
                                    "https://a/\x7f",
                                    "https://[::1/",
                                    "https://[x]/",
                                    "https://[::1]x/",
                                    "https://a..b/",
                                    "https://.a/",
                                    "https://a../",
                                    "https://a%2eb/",
                                    "https://[fe80::1%25eth0]/",
                                    "https://1.2.3.4.5/",
                                    "https://256.1.1.1/",
                                    "https://0x100000000/",
                                    "https://a\\b/",
                                    "https://\xc3\xa9/"};
  for (size_t i = 0; i < COUNT(bad); i++) {
    ims_url url;
    assert_int_equal(ims_url_parse(&url, A, bad[i], "x", NULL), IMGSTORE_EPROTOCOL);
    assert_null(url.text);
  }
  ims_url url;
  char *huge = malloc(IMS_URL_MAX + 100);
  memset(huge, 'a', IMS_URL_MAX + 99);
  memcpy(huge, "https://a/", 10);
  huge[IMS_URL_MAX + 99] = '\0';
  assert_int_equal(ims_url_parse(&url, A, huge, "x", NULL), IMGSTORE_EPROTOCOL);
  free(huge);
}

static void test_join(void **state) {
  static const char *const cases[][2] = {
      {"g", "http://a/b/c/g"},        {"./g", "http://a/b/c/g"},
      {"g/", "http://a/b/c/g/"},      {"/g", "http://a/g"},
      {"//g", "http://g/"},           {"?y", "http://a/b/c/d;p?y"},
      {"g?y", "http://a/b/c/g?y"},    {"#s", "http://a/b/c/d;p"},
      {"g#s", "http://a/b/c/g"},      {";x", "http://a/b/c/;x"},
      {"", "http://a/b/c/d;p"},       {".", "http://a/b/c/"},
      {"./", "http://a/b/c/"},        {"..", "http://a/b/"},
      {"../", "http://a/b/"},         {"../g", "http://a/b/g"},
      {"../..", "http://a/"},         {"../../g", "http://a/g"},
      {"../../../g", "http://a/g"},   {"../../../../g", "http://a/g"},
      {"/./g", "http://a/g"},         {"/../g", "http://a/g"},
      {"g.", "http://a/b/c/g."},      {"..g", "http://a/b/c/..g"},
      {"./../g", "http://a/b/g"},     {"./g/.", "http://a/b/c/g/"},
      {"g/../h", "http://a/b/c/h"},   {"g?y/../x", "http://a/b/c/g?y/../x"},
      {"https://x/y", "https://x/y"}, {"?n=1&last=a:b", "http://a/b/c/d;p?n=1&last=a:b"},
      {"/x//y", "http://a/x//y"},
  };
  ims_url base, url;
  assert_int_equal(ims_url_parse(&base, A, "http://a/b/c/d;p?q", "x", NULL), 0);
  for (size_t i = 0; i < COUNT(cases); i++) {
    assert_int_equal(ims_url_join(&url, A, &base, cases[i][0], "x", NULL), 0);
    if (*cases[i][0] && *cases[i][0] != '#')
      assert_string_equal(url.text, cases[i][1]);
    ims_url_free(A, &url);
  }
  assert_int_equal(ims_url_join(&url, A, &base, "g:h", "x", NULL), IMGSTORE_EPROTOCOL);
  assert_int_equal(ims_url_join(&url, A, &base, "javascript:x", "x", NULL), IMGSTORE_EPROTOCOL);
  ims_url_free(A, &base);
}

static void test_classes(void **state) {
  static const struct {
    const char *host;
    int net_class;
  } cases[] = {
      {"example.org", IMS_NET_PUBLIC},
      {"8.8.8.8", IMS_NET_PUBLIC},
      {"[2001:db8::1]", IMS_NET_PUBLIC},
      {"localhost", IMS_NET_LOOPBACK},
      {"LocalHost.", IMS_NET_LOOPBACK},
      {"x.localhost", IMS_NET_LOOPBACK},
      {"127.0.0.1", IMS_NET_LOOPBACK},
      {"127.1", IMS_NET_LOOPBACK},
      {"0x7f.1", IMS_NET_LOOPBACK},
      {"2130706433", IMS_NET_LOOPBACK},
      {"017700000001", IMS_NET_LOOPBACK},
      {"0.0.0.0", IMS_NET_LOOPBACK},
      {"0", IMS_NET_LOOPBACK},
      {"[::1]", IMS_NET_LOOPBACK},
      {"::1", IMS_NET_LOOPBACK},
      {"[::]", IMS_NET_LOOPBACK},
      {"[::ffff:127.0.0.1]", IMS_NET_LOOPBACK},
      {"[64:ff9b::7f00:1]", IMS_NET_LOOPBACK},
      {"10.0.0.1", IMS_NET_PRIVATE},
      {"172.31.0.1", IMS_NET_PRIVATE},
      {"172.32.0.1", IMS_NET_PUBLIC},
      {"192.168.1.1", IMS_NET_PRIVATE},
      {"100.64.0.1", IMS_NET_PRIVATE},
      {"[fd00::1]", IMS_NET_PRIVATE},
      {"[2002:a00:1::]", IMS_NET_PRIVATE},
      {"registry", IMS_NET_PRIVATE},
      {"metadata.google.internal", IMS_NET_PRIVATE},
      {"169.254.169.254", IMS_NET_LINK_LOCAL},
      {"[fe80::1]", IMS_NET_LINK_LOCAL},
      {"[::ffff:a9fe:a9fe]", IMS_NET_LINK_LOCAL},
      {"notlocalhost.org", IMS_NET_PUBLIC},
  };
  for (size_t i = 0; i < COUNT(cases); i++)
    assert_int_equal(ims_net_class(cases[i].host, strlen(cases[i].host)), cases[i].net_class);
}

static void test_permit(void **state) {
  static const struct {
    const char *home, *from, *target;
    bool permitted;
  } cases[] = {
      {"https://r.org/", "https://r.org/", "https://cdn.org/", true},
      {"https://r.org/", "https://r.org/", "http://r.org/", false},
      {"https://r.org/", "https://r.org/", "https://10.0.0.1/", false},
      {"https://10.0.0.2/", "https://10.0.0.2/", "https://10.0.0.1/", true},
      {"https://10.0.0.2/", "https://10.0.0.2/", "https://169.254.169.254/", false},
      {"http://127.0.0.1:5000/", "http://127.0.0.1:5000/", "http://localhost:9000/", true},
      {"http://127.0.0.1:5000/", "http://127.0.0.1:5000/", "http://10.0.0.1/", false},
      {"http://127.0.0.1:5000/", "https://cdn.org/", "http://cdn.org/", false},
      {"https://169.254.1.1/", "https://169.254.1.1/", "https://169.254.1.1:8080/", true},
      {"http://r.org/", "http://r.org/", "https://r.org/", true},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    ims_url home, from, target;
    assert_int_equal(ims_url_parse(&home, A, cases[i].home, "x", NULL), 0);
    assert_int_equal(ims_url_parse(&from, A, cases[i].from, "x", NULL), 0);
    assert_int_equal(ims_url_parse(&target, A, cases[i].target, "x", NULL), 0);
    assert_int_equal(ims_url_permit(&home, &from, &target, "x", NULL),
                     cases[i].permitted ? IMGSTORE_OK : IMGSTORE_EPROTOCOL);
    ims_url_free(A, &home);
    ims_url_free(A, &from);
    ims_url_free(A, &target);
  }
}

static void test_no_proxy(void **state) {
  static const struct {
    const char *list, *url;
    bool matches;
  } cases[] = {
      {"*", "https://x.org/", true},
      {"x.org", "https://x.org/", true},
      {"x.org", "https://a.x.org/", true},
      {"x.org", "https://ax.org/", false},
      {".x.org", "https://a.x.org/", true},
      {".x.org", "https://x.org/", false},
      {"a, X.ORG ,b", "https://x.org/", true},
      {"x.org:443", "https://x.org/", true},
      {"x.org:444", "https://x.org/", false},
      {"10.0.0.0/8", "http://10.1.2.3:5000/", true},
      {"10.0.0.0/8", "http://11.1.2.3/", false},
      {"10.0.0.0/33", "http://10.0.0.1/", false},
      {"192.168.1.128/25", "http://192.168.1.129/", true},
      {"192.168.1.128/25", "http://192.168.1.127/", false},
      {"fd00::/8", "http://[fd12::1]/", true},
      {"::1", "http://[::1]:5000/", true},
      {"[::1]:5000", "http://[::1]:5000/", true},
      {"[::1]:5001", "http://[::1]:5000/", false},
      {"127.0.0.1", "http://127.1/", true},
      {"", "http://x.org/", false},
      {NULL, "http://x.org/", false},
      {",,  ,", "http://x.org/", false},
      {".", "http://x.org/", false},
      {"/", "http://1.2.3.4/", false},
      {":80", "http://x.org/", false},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    ims_url url;
    assert_int_equal(ims_url_parse(&url, A, cases[i].url, "x", NULL), 0);
    assert_int_equal(ims_no_proxy_matches(cases[i].list, &url), cases[i].matches);
    ims_url_free(A, &url);
  }
}

static void test_public_part(void **state) {
  ims_url url;
  assert_int_equal(ims_url_parse(&url, A, "https://cdn.org/a/b?sig=secret", "x", NULL), 0);
  assert_int_equal(ims_url_public_size(&url), strlen("https://cdn.org/a/b"));
  ims_url_free(A, &url);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_normal_form), cmocka_unit_test(test_bad),    cmocka_unit_test(test_join),
      cmocka_unit_test(test_classes),     cmocka_unit_test(test_permit), cmocka_unit_test(test_no_proxy),
      cmocka_unit_test(test_public_part),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
