/*
 * tests/unit/test_call.c - the call state machine without a client, back-off, dates, and the header grammars.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <strings.h>

#include "registry/call.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define D1 "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const ims_alloc *const A = &ims_alloc_default;

/* One header, as often as it is asked for by its number. */
typedef struct one {
  const char *name, *value[3];
} one;

static const char *field(const void *source, const char *name, size_t nth) {
  const one *h = source;
  return h->name && strcasecmp(h->name, name) == 0 && nth < 3 ? h->value[nth] : NULL;
}

static ims_reply reply(int32_t status, const one *header) {
  return (ims_reply){status, header, field};
}

static void begin(ims_call *call, uint64_t size) {
  const ims_call_limits limits = {2, 3, 100, 1000};
  ims_url url;
  ims_call_init(call, A, "r.org/a", &limits, 42);
  call->ranged = size > 0;
  call->size = size;
  assert_int_equal(ims_url_parse(&url, A, "https://r.org/v2/a", "x", NULL), 0);
  assert_int_equal(ims_call_aim(call, &url, &url, NULL), 0);
  ims_url_free(A, &url);
}

static ims_verdict answer(ims_call *call, int32_t status, const one *header, ims_error *err) {
  const one none = {NULL, {NULL}};
  ims_reply r = reply(status, header ? header : &none);
  ims_verdict verdict;
  ims_error_clear(err);
  ims_call_answer(call, &r, "", 0, NULL, 1000, &verdict, err);
  return verdict;
}

static void test_redirects(void **state) {
  const one away = {"Location", {"https://cdn.org/x?y"}}, back = {"Location", {"https://r.org/z"}};
  ims_call call;
  ims_error err;
  begin(&call, 0);
  assert_true(ims_call_may_authorize(&call));
  assert_int_equal(answer(&call, 302, &away, &err).next, IMS_NEXT_SEND);
  assert_string_equal(call.at.text, "https://cdn.org/x?y");
  assert_false(ims_call_may_authorize(&call));
  assert_int_equal(answer(&call, 308, &back, &err).next, IMS_NEXT_SEND);
  assert_true(ims_call_may_authorize(&call));
  assert_int_equal(answer(&call, 301, &away, &err).next, IMS_NEXT_FAIL);
  assert_int_equal(err.code, IMGSTORE_EPROTOCOL);
  assert_int_equal(answer(&call, 302, NULL, &err).next, IMS_NEXT_FAIL); /* without Location */
  ims_call_free(&call);
}

static void test_the_next_try_starts_at_home(void **state) {
  const one away = {"Location", {"https://cdn.org/x"}};
  ims_call call;
  ims_error err = IMS_ERROR_INIT;
  ims_verdict verdict;
  begin(&call, 0);
  assert_int_equal(answer(&call, 302, &away, &err).next, IMS_NEXT_SEND);
  ims_call_broken(&call, IMGSTORE_ENETWORK, "reset", true, &verdict, &err);
  assert_int_equal(verdict.next, IMS_NEXT_WAIT);
  assert_string_equal(call.at.text, "https://r.org/v2/a");
  assert_string_equal(err.message, "r.org/a: cdn.org: reset");
  ims_call_free(&call);
}

static void test_statuses(void **state) {
  static const struct {
    int32_t status, next, code;
    bool hold;
  } cases[] = {
      {401, IMS_NEXT_AUTHORIZE, IMGSTORE_EUNAUTHORIZED, false}, {403, IMS_NEXT_FAIL, IMGSTORE_EDENIED, false},
      {404, IMS_NEXT_FAIL, IMGSTORE_ENOTFOUND, false},          {408, IMS_NEXT_WAIT, IMGSTORE_ENETWORK, false},
      {425, IMS_NEXT_WAIT, IMGSTORE_ENETWORK, false},           {429, IMS_NEXT_WAIT, IMGSTORE_ETOOMANY, true},
      {500, IMS_NEXT_WAIT, IMGSTORE_ENETWORK, false},           {503, IMS_NEXT_WAIT, IMGSTORE_ENETWORK, true},
      {501, IMS_NEXT_FAIL, IMGSTORE_EPROTOCOL, false},          {416, IMS_NEXT_FAIL, IMGSTORE_EPROTOCOL, false},
      {204, IMS_NEXT_FAIL, IMGSTORE_EPROTOCOL, false},          {600, IMS_NEXT_FAIL, IMGSTORE_EPROTOCOL, false},
      {300, IMS_NEXT_FAIL, IMGSTORE_EPROTOCOL, false},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    ims_call call;
    ims_error err;
    begin(&call, 0);
    ims_verdict v = answer(&call, cases[i].status, NULL, &err);
    assert_int_equal(v.next, cases[i].next);
    assert_int_equal(v.hold_host, cases[i].hold);
    assert_int_equal(err.code, cases[i].code);
    ims_call_free(&call);
  }
}

static void test_budget_and_progress(void **state) {
  ims_call call;
  ims_error err;
  begin(&call, 0);
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 3; i++)
      assert_int_equal(answer(&call, 500, NULL, &err).next, IMS_NEXT_WAIT);
    if (!round)
      ims_call_progress(&call);
  }
  assert_int_equal(answer(&call, 500, NULL, &err).next, IMS_NEXT_FAIL);
  ims_call_free(&call);
}

static void test_range(void **state) {
  char text[64];
  ims_call call;
  begin(&call, 10);
  assert_false(ims_call_range(&call, 0, text, sizeof text));
  assert_true(ims_call_range(&call, 4, text, sizeof text));
  assert_string_equal(text, "bytes=4-9");
  const one good = {"Content-Range", {"bytes 4-9/10"}}, other = {"Content-Range", {"bytes 5-9/10"}};
  ims_reply r = reply(206, &good);
  assert_int_equal(ims_call_head(&call, &r), IMS_HEAD_CONTENT);
  assert_int_equal(call.skip, 0);
  r = reply(206, &other);
  assert_int_equal(ims_call_head(&call, &r), IMS_HEAD_STOP);
  r = reply(200, &good);
  assert_int_equal(ims_call_head(&call, &r), IMS_HEAD_CONTENT);
  assert_int_equal(call.skip, 4);
  ims_error err;
  assert_int_equal(answer(&call, 416, NULL, &err).next, IMS_NEXT_SEND);
  assert_false(ims_call_range(&call, 4, text, sizeof text));
  r = reply(200, &good);
  assert_int_equal(ims_call_head(&call, &r), IMS_HEAD_CONTENT);
  assert_int_equal(call.skip, 4);
  assert_int_equal(answer(&call, 416, NULL, &err).next, IMS_NEXT_FAIL);
  ims_call_free(&call);
}

static void test_backoff(void **state) {
  ims_backoff b = {.first_ms = 100, .max_ms = 1000, .allowed = 40, .seed = 7};
  uint32_t delay;
  for (uint32_t i = 0; i < 40; i++) {
    uint32_t whole = i < 4 ? 100u << i : 1000;
    assert_true(ims_backoff_next(&b, &delay));
    assert_in_range(delay, whole - whole / 4, whole + whole / 4 < 1000 ? whole + whole / 4 : 1000);
  }
  assert_false(ims_backoff_next(&b, &delay));
  b = (ims_backoff){.first_ms = UINT32_MAX, .max_ms = UINT32_MAX, .allowed = 100, .seed = 7};
  for (int i = 0; i < 100; i++)
    assert_true(ims_backoff_next(&b, &delay));
  b = (ims_backoff){.allowed = 1};
  assert_true(ims_backoff_next(&b, &delay));
  assert_int_equal(delay, 0);
}

static void test_dates(void **state) {
  static const char *const same[] = {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                                     "Sun Nov  6 08:49:37 1994"};
  static const char *const bad[] = {"",
                                    "S",
                                    "Sun",
                                    "Sun,",
                                    "Sun, ",
                                    "Sun, 0",
                                    "Sun, 06 Nov 1994 08:49:37",
                                    "Sun, 06 Now 1994 08:49:37 GMT",
                                    "Sun, 06 Nov 1994 24:49:37 GMT",
                                    "Sun, 00 Nov 1994 08:49:37 GMT",
                                    "Sun, 06-Nov 94 08:49:37 GMT",
                                    "06 Nov 1994 08:49:37 GMT",
                                    "Sun Nov  6 08:49:37 1994 GMT",
                                    "Sun, 06 Nov 1994 08:49:37 GMTx"};
  int64_t seconds;
  for (size_t i = 0; i < COUNT(same); i++) {
    assert_true(ims_http_date(same[i], &seconds));
    assert_int_equal(seconds, 784111777);
  }
  for (size_t i = 0; i < COUNT(bad); i++)
    assert_false(ims_http_date(bad[i], &seconds));
  assert_true(ims_http_date("Thu, 01 Jan 1970 00:00:00 GMT", &seconds));
  assert_int_equal(seconds, 0);
  assert_true(ims_http_date("Thu, 29 Feb 2024 12:00:00 GMT", &seconds));
  assert_int_equal(seconds, 1709208000);
}

static void test_retry_after(void **state) {
  uint32_t delay;
  assert_true(ims_retry_after("3", 0, 60000, &delay));
  assert_int_equal(delay, 3000);
  assert_true(ims_retry_after("99999999999999999999999", 0, 60000, &delay));
  assert_int_equal(delay, 60000);
  assert_true(ims_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111777 - 10, 60000, &delay));
  assert_int_equal(delay, 10000);
  assert_true(ims_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111777 + 10, 60000, &delay));
  assert_int_equal(delay, 0);
  assert_false(ims_retry_after("soon", 0, 60000, &delay));
  assert_false(ims_retry_after("", 0, 60000, &delay));
  assert_false(ims_retry_after("-1", 0, 60000, &delay));
}

static void test_content_range(void **state) {
  static const char *const bad[] = {"",
                                    "bytes",
                                    "bytes 0-1",
                                    "bytes 1-0/2",
                                    "bytes 0-2/2",
                                    "bytes */2",
                                    "bits 0-1/2",
                                    "bytes 0-1/2x",
                                    "bytes 0-1/",
                                    "bytes -1/2",
                                    "bytes0-1/2",
                                    "bytes 0-18446744073709551616/18446744073709551617",
                                    "b"};
  uint64_t first, last, total;
  assert_true(ims_content_range("bytes 5-9/10", &first, &last, &total));
  assert_int_equal(first, 5);
  assert_int_equal(last, 9);
  assert_int_equal(total, 10);
  assert_true(ims_content_range(" Bytes  0-0/* ", &first, &last, &total));
  assert_true(total == UINT64_MAX);
  for (size_t i = 0; i < COUNT(bad); i++)
    assert_false(ims_content_range(bad[i], &first, &last, &total));
}

static void test_link(void **state) {
  static const struct {
    const char *value, *next;
  } cases[] = {
      {"</a>; rel=\"next\"", "/a"},
      {"</a>;rel=next", "/a"},
      {"</a>; rel=\"prev next\"", "/a"},
      {"</p>; rel=prev, </a>; REL=\"Next\"", "/a"},
      {"</p>; title=\"x, <y>; rel=next\"; rel=prev, </a,b>; rel=next", "/a,b"},
      {"</p>; rel=prev; rel=next", NULL},
      {"</a>; rel=nextish", NULL},
      {"</a>", NULL},
      {"</a; rel=next", NULL},
      {"rel=next", NULL},
      {"</a>; rel", NULL},
      {"</a>; rel=\"next", "/a"},
      {"", NULL},
      {"<>; rel=next", ""},
      {"</a>;;; ; rel = next ; x", "/a"},
      {"</a>; title=\"unclosed, </b>; rel=next", NULL},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    const one header = {"Link", {"</zzz>; rel=other", cases[i].value}};
    ims_reply r = reply(200, &header);
    char *next;
    assert_int_equal(ims_link_next(&next, A, &r, NULL), 0);
    if (cases[i].next)
      assert_string_equal(next, cases[i].next);
    else
      assert_null(next);
    ims_free(A, next);
  }
}

static void test_other_fields(void **state) {
  char text[64], *type;
  uint64_t number;
  ims_digest digest;
  assert_true(ims_warning_text("299 - \"a \\\"b\\\"\" \"date\"", text, sizeof text));
  assert_string_equal(text, "a \"b\"");
  assert_true(ims_warning_text("299 x \"esc\x1b[1m\"", text, sizeof text));
  assert_string_equal(text, "esc\\x1b[1m");
  assert_false(ims_warning_text("199 - \"a\"", text, sizeof text));
  assert_false(ims_warning_text("299 - a", text, sizeof text));
  assert_false(ims_warning_text("299", text, sizeof text));
  assert_true(ims_rate_value("100;w=21600", &number));
  assert_int_equal(number, 100);
  assert_false(ims_rate_value("x", &number));
  assert_false(ims_rate_value("1x", &number));
  const one good = {"Docker-Content-Digest", {" " D1 " "}}, bad = {"Docker-Content-Digest", {"sha256:../../x"}};
  ims_reply r = reply(200, &good);
  ims_reply_digest(&r, &digest);
  assert_string_equal(digest.text, D1);
  r = reply(200, &bad);
  ims_reply_digest(&r, &digest);
  assert_int_equal(digest.algorithm, 0);
  const one with = {"Content-Type", {" text/Plain ; charset=x"}}, length = {"Content-Length", {"-1"}};
  r = reply(200, &with);
  assert_int_equal(ims_reply_media_type(&type, A, &r, NULL), 0);
  assert_string_equal(type, "text/Plain");
  ims_free(A, type);
  r = reply(200, &length);
  assert_false(ims_reply_length(&r, &number));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_redirects),     cmocka_unit_test(test_the_next_try_starts_at_home),
      cmocka_unit_test(test_statuses),      cmocka_unit_test(test_budget_and_progress),
      cmocka_unit_test(test_range),         cmocka_unit_test(test_backoff),
      cmocka_unit_test(test_dates),         cmocka_unit_test(test_retry_after),
      cmocka_unit_test(test_content_range), cmocka_unit_test(test_link),
      cmocka_unit_test(test_other_fields),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
