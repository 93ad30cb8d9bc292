/* tests/unit/test_exchange.c - exchange accessors, response heads, failure texts, completing a caller's vtable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <stdlib.h>

#include "transport/curl.h"
#include "transport/exchange.h"
#include "transport/failure.h"
#include "transport/response.h"

typedef struct seen {
  size_t dones, take;
} seen;

static size_t on_body(void *data, const uint8_t *bytes, size_t size) {
  seen *s = data;
  return s->take;
}

static void on_done(void *data) {
  seen *s = data;
  s->dones++;
}

static size_t on_upload(void *data, uint64_t offset, void *buffer, size_t size) {
  memset(buffer, 'u', size);
  return size;
}

static imgstore_exchange make(seen *s) {
  return (imgstore_exchange){.alloc = &ims_alloc_default,
                             .method = "GET",
                             .url = "http://h/",
                             .data = s,
                             .body = on_body,
                             .done = on_done,
                             .upload_size = 10,
                             .upload_read = on_upload};
}

static void test_request_side(void **state) {
  seen s = {0, 0};
  imgstore_exchange e = make(&s);
  const ims_header headers[] = {{(char *)(uintptr_t) "A", (char *)(uintptr_t) "1"}};
  const char *name, *value;
  char buffer[32];
  e.headers = headers;
  e.header_count = 1;
  e.setting[IMGSTORE_EXCHANGE_PROXY] = "http://p";
  assert_int_equal(imgstore_exchange_header(&e, 0, &name, &value), IMGSTORE_OK);
  assert_string_equal(value, "1");
  assert_int_equal(imgstore_exchange_header(&e, 1, &name, &value), IMGSTORE_EINVALID);
  assert_null(name);
  assert_string_equal(imgstore_exchange_setting(&e, IMGSTORE_EXCHANGE_PROXY), "http://p");
  assert_null(imgstore_exchange_setting(&e, 0));
  assert_null(imgstore_exchange_setting(&e, 6));
  assert_null(imgstore_exchange_setting(&e, -1));
  assert_int_equal(imgstore_exchange_upload_read(&e, 4, buffer, sizeof buffer), 6);
  assert_int_equal(imgstore_exchange_upload_read(&e, 10, buffer, sizeof buffer), 0);
}

static void test_header_ceiling(void **state) {
  seen s = {0, 0};
  imgstore_exchange e = make(&s);
  char value[1000];
  memset(value, 'v', sizeof value - 1);
  value[sizeof value - 1] = '\0';
  imgstore_exchange_set_status(&e, 200);
  for (size_t i = 0; i < 300 && !e.failed; i++)
    imgstore_exchange_add_header(&e, "X", value);
  assert_int_equal(e.failed, IMGSTORE_ELIMIT);
  assert_true(e.overflow);
  assert_true(e.response_bytes <= IMS_EXCHANGE_MAX_HEADERS);
  assert_true(e.response_bytes > IMS_EXCHANGE_MAX_HEADERS - 2000);
  assert_true(imgstore_exchange_body(&e, "x", 1) == SIZE_MAX);
  imgstore_exchange_done(&e, IMGSTORE_OK, NULL, 1);
  assert_int_equal(e.done_code, IMGSTORE_ELIMIT);
  assert_false(e.retry);
  ims_exchange_clear_response(&e);
  assert_int_equal(e.failed, IMGSTORE_OK);
}

static void test_careless_transport(void **state) {
  seen s = {0, 0};
  imgstore_exchange e = make(&s);
  imgstore_exchange_done(&e, IMGSTORE_OK, NULL, 0); /* an end without a beginning */
  imgstore_exchange_done(&e, IMGSTORE_OK, NULL, 0);
  assert_int_equal(e.done_code, IMGSTORE_EPROTOCOL);
  assert_int_equal(s.dones, 1);
  assert_true(imgstore_exchange_body(&e, "x", 1) == SIZE_MAX);
  ims_exchange_clear_response(&e);
  assert_true(imgstore_exchange_body(&e, "x", 1) == SIZE_MAX); /* body before the status */
  ims_exchange_clear_response(&e);
  imgstore_exchange_set_status(&e, 100);
  assert_int_equal(e.status, 0);
  imgstore_exchange_set_status(&e, 200);
  imgstore_exchange_add_header(&e, NULL, "x");
  imgstore_exchange_add_header(&e, "Content-TYPE", "x");
  assert_string_equal(ims_exchange_response_header(&e, "content-type"), "x");
  assert_null(ims_exchange_response_header(&e, "content"));
  s.take = 7;
  assert_int_equal(imgstore_exchange_body(&e, "abc", 3), 3);
  s.take = 2;
  assert_int_equal(imgstore_exchange_body(&e, "abc", 3), 2);
  imgstore_exchange_done(&e, 77, "line\nbreak", 1);
  assert_int_equal(e.done_code, IMGSTORE_ENETWORK);
  assert_true(e.retry);
  assert_string_equal(e.done_message, "line\\x0abreak");
  ims_exchange_clear_response(&e);
  imgstore_exchange_set_status(&e, 200);
  imgstore_exchange_set_status(&e, 500);
  imgstore_exchange_done(&e, IMGSTORE_OK, NULL, 0);
  assert_int_equal(e.done_code, IMGSTORE_EPROTOCOL);
  ims_exchange_clear_response(&e);
}

static bool feed(ims_response *r, const char *text) {
  while (*text) {
    size_t size = strcspn(text, "\n") + 1;
    if (!ims_response_line(r, text, size))
      return false;
    text += size;
  }
  return true;
}

static void test_response_head(void **state) {
  seen s = {0, 0};
  imgstore_exchange e = make(&s);
  ims_response r;
  ims_response_init(&r, &e);
  assert_true(feed(&r, "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200\r\nA: 1\r\nno header\r\n: x\r\nB :\t two\r\n"
                       "  three \r\nE:\r\nA: 2\r\n\r\nLate: 1\r\nHTTP/1.1 500 x\r\n"));
  assert_int_equal(e.status, 200);
  assert_int_equal(e.response_count, 4);
  assert_string_equal(ims_exchange_response_header(&e, "a"), "1");
  assert_string_equal(ims_exchange_response_header(&e, "B"), "two three");
  assert_string_equal(ims_exchange_response_header(&e, "E"), "");
  ims_response_free(&r);
  ims_exchange_clear_response(&e);
}

static void test_bad_response_heads(void **state) {
  static const char *const bad[] = {
      "HTTP/1.1\r\n", "HTTP/1.1 20\r\n",    "HTTP/1.1 2000 x\r\n", "HTTP/1.1 +20 x\r\n",   "ICY 200 OK\r\n",
      "\r\n",         "HTTP/1.1 099 x\r\n", "HTTP/1.1 abc\r\n",    "HTTP/1.1  200 OK\r\n", "200 OK\r\n"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    seen s = {0, 0};
    imgstore_exchange e = make(&s);
    ims_response r;
    ims_response_init(&r, &e);
    assert_false(feed(&r, bad[i]));
    imgstore_exchange_done(&e, IMGSTORE_ECANCELLED, NULL, 0);
    assert_int_equal(e.done_code, IMGSTORE_EPROTOCOL);
    ims_response_free(&r);
    ims_exchange_clear_response(&e);
  }
}

static void test_endless_fold(void **state) {
  seen s = {0, 0};
  imgstore_exchange e = make(&s);
  ims_response r;
  ims_response_init(&r, &e);
  assert_true(feed(&r, "HTTP/1.1 200 OK\r\nA: 1\r\n"));
  size_t lines = 0;
  while (lines < 100000 && feed(&r, " 0123456789012345678901234567890123456789\r\n"))
    lines++;
  assert_true(lines > 5000 && lines < 10000);
  assert_int_equal(e.failed, IMGSTORE_ELIMIT);
  ims_response_free(&r);
  ims_exchange_clear_response(&e);
}

static void test_messages(void **state) {
  char text[256];
  ims_failure_message(text, sizeof text, "https://u:secret@h.example:5000/v2/?sig=secret", "not TLS: ", "odd", "plain");
  assert_string_equal(text, "h.example:5000: not TLS: odd");
  ims_failure_message(text, sizeof text, "https://h?x@y", "", "bad proxy http://u:secret@p", "plain");
  assert_string_equal(text, "h: plain");
  ims_failure_message(text, sizeof text, "http://[::1]:5000/x@y", "", "", "plain");
  assert_string_equal(text, "[::1]:5000: plain");
  assert_true(ims_failure_is_not_tls("error:0A00010B:SSL routines::wrong version number"));
  assert_false(ims_failure_is_not_tls("SSL certificate problem: self-signed certificate"));
  assert_false(ims_failure_is_not_tls("tlsv1 alert protocol version"));
  assert_true(ims_header_is_valid("Authorization", "Bearer a\tb"));
  assert_true(ims_header_is_valid("X", ""));
  assert_false(ims_header_is_valid("X", "a\r\nHost: evil"));
  assert_false(ims_header_is_valid("X: y", "a"));
  assert_false(ims_header_is_valid("", "a"));
}

static int32_t fake_start(void *user_data, imgstore_exchange *exchange, void **handle) {
  return 0;
}

static int32_t fake_resume(void *user_data, void *handle) {
  return 0;
}

static int32_t fake_perform(void *user_data, int32_t timeout_ms) {
  return 0;
}

static void fake_close(void *user_data, void *handle) {
}

static void test_check(void **state) {
  struct {
    imgstore_transport known;
    void *later;
  } given = {{sizeof given, NULL, fake_start, fake_resume, fake_perform, NULL, NULL, fake_close, NULL}, NULL};
  imgstore_transport complete;
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(ims_transport_check(&given.known, &complete, &err), IMGSTORE_OK);
  assert_int_equal(complete.poll_fd(NULL), -1);
  assert_int_equal(complete.timeout(NULL), -1);
  complete.destroy(NULL);
  assert_true(complete.size == sizeof complete);
  given.known.perform = NULL;
  assert_int_equal(ims_transport_check(&given.known, &complete, &err), IMGSTORE_EINVALID);
  given.known.perform = fake_perform;
  given.known.size = sizeof complete - 1;
  assert_int_equal(ims_transport_check(&given.known, &complete, &err), IMGSTORE_EINVALID);
  assert_int_equal(ims_transport_check(NULL, &complete, &err), IMGSTORE_EINVALID);
}

static void *failing_allocate(void *data, size_t bytes) {
  long *left = data;
  return (*left)-- > 0 ? malloc(bytes) : NULL;
}

static void *failing_reallocate(void *data, void *memory, size_t bytes) {
  long *left = data;
  return (*left)-- > 0 ? realloc(memory, bytes) : NULL;
}

static void failing_release(void *data, void *memory) {
  free(memory);
}

static void test_no_memory(void **state) {
  int32_t code = IMGSTORE_ENOMEM;
  long succeeded = -1;
  while (code == IMGSTORE_ENOMEM) {
    long left = ++succeeded;
    const ims_alloc alloc = {&left, failing_allocate, failing_reallocate, failing_release};
    seen s = {0, 0};
    imgstore_exchange e = make(&s);
    ims_response r;
    e.alloc = &alloc;
    ims_response_init(&r, &e);
    feed(&r, "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\n folded\r\n\r\n");
    imgstore_exchange_done(&e, IMGSTORE_OK, NULL, 0);
    code = e.done_code;
    assert_true(code == IMGSTORE_OK || code == IMGSTORE_ENOMEM);
    ims_response_free(&r);
    ims_exchange_clear_response(&e);
  }
  assert_true(succeeded >= 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_request_side),       cmocka_unit_test(test_header_ceiling),
      cmocka_unit_test(test_careless_transport), cmocka_unit_test(test_response_head),
      cmocka_unit_test(test_bad_response_heads), cmocka_unit_test(test_endless_fold),
      cmocka_unit_test(test_messages),           cmocka_unit_test(test_check),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
