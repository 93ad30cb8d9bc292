/* tests/unit/test_curl_transport.c - the libcurl transport and certs.d against a server of our own on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "transport/certs.h"
#include "transport/curl.h"
#include "transport/exchange.h"

enum { PLAIN, TLS, MUTUAL, SILENT, CLOSING, PROXY, PORTS };

static char root[] = "/tmp/ims-transport-XXXXXX";
static int port[PORTS];
static pid_t server;
static int server_input;
static ims_core *core;
static imgstore_transport transport;

/* One request and what came back. */
typedef struct call {
  imgstore_exchange exchange;
  void *handle;
  char url[512];
  ims_buf body;
  const char *upload;
  size_t appetite; /* bytes taken until the next resume; SIZE_MAX: no end */
  size_t refuse;   /* the body is not wanted from here on */
  size_t pauses;
  bool hash_only; /* the body is only compared with the server's pattern */
  uint64_t received;
  bool wrong, done, in_start;
} call;

static size_t on_body(void *data, const uint8_t *bytes, size_t size) {
  call *c = data;
  assert_false(c->in_start);
  if (c->received >= c->refuse)
    return SIZE_MAX;
  size_t take = size < c->appetite ? size : c->appetite;
  if (c->appetite != SIZE_MAX)
    c->appetite -= take;
  if (!c->hash_only)
    ims_buf_append(&c->body, bytes, take);
  for (size_t i = 0; c->hash_only && i < take; i++)
    c->wrong = c->wrong || bytes[i] != (c->received + i) % 251;
  c->received += take;
  c->pauses += take < size;
  return take;
}

static void on_done(void *data) {
  call *c = data;
  assert_false(c->done);
  assert_false(c->in_start);
  c->done = true;
}

static size_t on_upload(void *data, uint64_t offset, void *buffer, size_t size) {
  call *c = data;
  memcpy(buffer, c->upload + offset, size);
  return size;
}

static void prepare(call *c, int which, const char *path) {
  const char *scheme = which == TLS || which == MUTUAL ? "https" : "http";
  memset(c, 0, sizeof *c);
  snprintf(c->url, sizeof c->url, "%s://localhost:%d/%s", scheme, port[which], path);
  c->exchange = (imgstore_exchange){.alloc = &core->alloc,
                                    .method = "GET",
                                    .url = c->url,
                                    .connect_timeout = 10000,
                                    .data = c,
                                    .body = on_body,
                                    .done = on_done,
                                    .upload_read = on_upload};
  c->exchange.setting[IMGSTORE_EXCHANGE_USER_AGENT] = "test/1";
  c->appetite = c->refuse = SIZE_MAX;
  ims_buf_init(&c->body, &ims_alloc_default, SIZE_MAX / 2);
}

static void begin(call *c) {
  c->in_start = true;
  assert_int_equal(transport.start(transport.user_data, &c->exchange, &c->handle), IMGSTORE_OK);
  c->in_start = false;
}

static void end(call *c) {
  transport.close(transport.user_data, c->handle);
  ims_exchange_clear_response(&c->exchange);
  ims_buf_free(&c->body);
}

/* Drives by descriptor and timeout alone, as an event loop does. */
static void turn(void) {
  struct pollfd p = {transport.poll_fd(transport.user_data), POLLIN, 0};
  int timeout = transport.timeout(transport.user_data);
  poll(&p, 1, timeout < 0 || timeout > 1000 ? 1000 : timeout);
  assert_int_equal(transport.perform(transport.user_data, 0), IMGSTORE_OK);
}

static void run(call *c) {
  int64_t limit = ims_now_ms() + 60000;
  begin(c);
  while (!c->done) {
    assert_true(ims_now_ms() < limit);
    turn();
  }
}

static const char *header(const call *c, const char *name) {
  return ims_exchange_response_header(&c->exchange, name);
}

static void expect(int which, const char *path, int32_t code, bool retry) {
  call c;
  prepare(&c, which, path);
  run(&c);
  if (c.exchange.done_code != code)
    print_error("%s: %d %s\n", path, c.exchange.done_code, c.exchange.done_message);
  assert_int_equal(c.exchange.done_code, code);
  assert_int_equal(c.exchange.retry, retry);
  if (code != IMGSTORE_OK)
    assert_true(c.exchange.done_message[0] != '\0');
  end(&c);
}

static void test_get(void **state) {
  call c;
  prepare(&c, PLAIN, "hello");
  run(&c);
  assert_int_equal(c.exchange.done_code, IMGSTORE_OK);
  assert_int_equal(c.exchange.status, 200);
  assert_string_equal(ims_buf_text(&c.body), "hello");
  assert_string_equal(header(&c, "content-length"), "5");
  end(&c);
}

/* What goes out is what was asked for and nothing else. */
static void test_request(void **state) {
  call c;
  char expected[512];
  ims_header headers[] = {{(char *)(uintptr_t) "Authorization", (char *)(uintptr_t) "Bearer x"},
                          {(char *)(uintptr_t) "X-Empty", (char *)(uintptr_t) ""}};
  prepare(&c, PLAIN, "a/../b%2f/echo");
  c.exchange.headers = headers;
  c.exchange.header_count = 2;
  run(&c);
  snprintf(
      expected, sizeof expected,
      "GET /a/../b%%2f/echo HTTP/1.1\nHost: localhost:%d\nUser-Agent: test/1\nAuthorization: Bearer x\nX-Empty:\n\n",
      port[PLAIN]);
  assert_string_equal(ims_buf_text(&c.body), expected);
  end(&c);
  headers[0].value = (char *)(uintptr_t) "a\r\nEvil: 1";
  prepare(&c, PLAIN, "echo");
  c.exchange.headers = headers;
  c.exchange.header_count = 1;
  assert_int_equal(transport.start(transport.user_data, &c.exchange, &c.handle), IMGSTORE_EINVALID);
  assert_null(c.handle);
}

static void test_upload(void **state) {
  static const char *const methods[] = {"POST", "PUT", "PATCH"};
  char *data = malloc(300001);
  memset(data, 'z', 300000);
  data[300000] = '\0';
  for (size_t i = 0; i < 6; i++) {
    call c;
    prepare(&c, PLAIN, "stale"); /* the connection is dead when the next request wants it */
    run(&c);
    end(&c);
    nanosleep(&(struct timespec){0, 100000000}, NULL); /* the server's close has arrived */
    prepare(&c, PLAIN, "echo");
    c.exchange.method = methods[i / 2];
    c.upload = data;
    c.exchange.upload_size = i % 2 ? 300000 : 0;
    run(&c);
    assert_int_equal(c.exchange.status, 200);
    const char *text = ims_buf_text(&c.body);
    assert_memory_equal(text, methods[i / 2], strlen(methods[i / 2]));
    assert_null(strstr(text, "Expect"));
    assert_null(strstr(text, "Content-Type"));
    assert_non_null(strstr(text, i % 2 ? "Content-Length: 300000" : "Content-Length: 0"));
    assert_string_equal(strstr(text, "\n\n") + 2, i % 2 ? data : "");
    end(&c);
  }
  free(data);
  call c;
  prepare(&c, PLAIN, "echo");
  c.exchange.method = "DELETE";
  run(&c);
  assert_memory_equal(ims_buf_text(&c.body), "DELETE /echo", 12);
  end(&c);
}

static void test_odd_answers(void **state) {
  call c;
  prepare(&c, PLAIN, "head");
  c.exchange.method = "HEAD";
  run(&c);
  assert_int_equal(c.exchange.done_code, IMGSTORE_OK);
  assert_string_equal(header(&c, "Content-Length"), "12345");
  assert_int_equal(c.received, 0);
  end(&c);
  prepare(&c, PLAIN, "interim");
  run(&c);
  assert_int_equal(c.exchange.status, 200);
  assert_string_equal(header(&c, "X-A"), "final");
  assert_null(header(&c, "Link"));
  end(&c);
  prepare(&c, PLAIN, "trailer");
  run(&c);
  assert_int_equal(c.exchange.status, 200);
  assert_string_equal(ims_buf_text(&c.body), "abcde");
  assert_null(header(&c, "X-Late"));
  end(&c);
  prepare(&c, PLAIN, "fold");
  run(&c);
  assert_string_equal(header(&c, "X-Fold"), "one two");
  assert_string_equal(header(&c, "X-Blank"), "v");
  assert_string_equal(header(&c, "X-Empty"), "");
  end(&c);
  prepare(&c, PLAIN, "gzip");
  run(&c);
  assert_string_equal(ims_buf_text(&c.body), "plain");
  end(&c);
}

static void test_nothing_is_followed_or_added(void **state) {
  call c;
  prepare(&c, PLAIN, "redirect");
  run(&c);
  assert_int_equal(c.exchange.status, 307);
  assert_string_equal(header(&c, "location"), "/hello");
  end(&c);
  prepare(&c, PLAIN, "echo");
  run(&c);
  assert_null(strstr(ims_buf_text(&c.body), "Cookie"));
  end(&c);
  prepare(&c, PLAIN, "challenge");
  run(&c);
  assert_int_equal(c.exchange.status, 401);
  end(&c);
  setenv("http_proxy", "http://127.0.0.1:1", 1);
  expect(PLAIN, "hello", IMGSTORE_OK, false);
  unsetenv("http_proxy");
  prepare(&c, PLAIN, "hello");
  snprintf(c.url, sizeof c.url, "http://user:secret@localhost:%d/hello", port[PLAIN]);
  run(&c);
  assert_int_equal(c.exchange.done_code, IMGSTORE_EPROTOCOL);
  assert_null(strstr(c.exchange.done_message, "secret"));
  end(&c);
  prepare(&c, PLAIN, "hello");
  snprintf(c.url, sizeof c.url, "file:///etc/passwd");
  run(&c);
  assert_int_equal(c.exchange.done_code, IMGSTORE_EPROTOCOL);
  end(&c);
}

static void test_failures(void **state) {
  expect(PLAIN, "short", IMGSTORE_ENETWORK, true);
  expect(PLAIN, "close", IMGSTORE_ENETWORK, true);
  expect(PLAIN, "reset", IMGSTORE_ENETWORK, true);
  expect(PLAIN, "garbage", IMGSTORE_EPROTOCOL, false);
  expect(CLOSING, "x", IMGSTORE_ENETWORK, true);
  expect(PLAIN, "hello", IMGSTORE_OK, false);
  expect(PLAIN, "nothing", IMGSTORE_OK, false);
  call c;
  prepare(&c, PLAIN, "headers");
  run(&c);
  assert_true(c.exchange.done_code == IMGSTORE_ELIMIT || c.exchange.done_code == IMGSTORE_EPROTOCOL);
  end(&c);
  prepare(&c, PLAIN, "line");
  run(&c);
  assert_int_equal(c.exchange.done_code, IMGSTORE_ELIMIT);
  end(&c);
  prepare(&c, PLAIN, "x");
  snprintf(c.url, sizeof c.url, "http://127.0.0.1:1/v2/?sig=secret");
  run(&c);
  assert_int_equal(c.exchange.done_code, IMGSTORE_ENETWORK);
  assert_memory_equal(c.exchange.done_message, "127.0.0.1:1: ", 13);
  assert_null(strstr(c.exchange.done_message, "secret"));
  end(&c);
  prepare(&c, PLAIN, "x");
  snprintf(c.url, sizeof c.url, "http://nowhere.invalid/");
  run(&c);
  assert_int_equal(c.exchange.done_code, IMGSTORE_ENETWORK);
  assert_true(c.exchange.retry);
  end(&c);
}

static const char *in_root(const char *name) {
  static char path[4][256];
  static int next;
  char *text = path[next++ % 4];
  snprintf(text, sizeof path[0], "%s/%s", root, name);
  return text;
}

static int32_t tls_call(int which, const char *ca, const char *client, bool insecure, char message[256]) {
  call c;
  prepare(&c, which, "hello");
  c.exchange.setting[IMGSTORE_EXCHANGE_CA_FILE] = ca ? in_root(ca) : NULL;
  if (client) {
    char name[64];
    snprintf(name, sizeof name, "%s.cert", client);
    c.exchange.setting[IMGSTORE_EXCHANGE_CERT_FILE] = in_root(name);
    snprintf(name, sizeof name, "%s.key", client);
    c.exchange.setting[IMGSTORE_EXCHANGE_KEY_FILE] = in_root(name);
  }
  c.exchange.insecure_tls = insecure;
  run(&c);
  int32_t code = c.exchange.done_code;
  assert_int_equal(code == IMGSTORE_OK, c.exchange.status == 200);
  if (c.exchange.retry)
    print_error("%d %s\n", code, c.exchange.done_message);
  assert_false(c.exchange.retry);
  snprintf(message, 256, "%s", c.exchange.done_message);
  end(&c);
  return code;
}

static void test_tls(void **state) {
  char message[256];
  assert_int_equal(tls_call(TLS, "ca.crt", NULL, false, message), IMGSTORE_OK);
  assert_int_equal(tls_call(TLS, "other.crt", NULL, false, message), IMGSTORE_ETLS);
  assert_int_equal(tls_call(TLS, NULL, NULL, false, message), IMGSTORE_ETLS);
  assert_int_equal(tls_call(TLS, NULL, NULL, true, message), IMGSTORE_OK);
  assert_int_equal(tls_call(TLS, NULL, NULL, false, message), IMGSTORE_ETLS); /* no reuse of the lax connection */
  assert_int_equal(tls_call(TLS, "nothing.crt", NULL, false, message), IMGSTORE_ETLS);
  assert_int_equal(tls_call(MUTUAL, "ca.crt", "client", false, message), IMGSTORE_OK);
  assert_int_equal(tls_call(MUTUAL, "ca.crt", NULL, false, message), IMGSTORE_ETLS);
  assert_int_equal(tls_call(MUTUAL, "ca.crt", "nothing", false, message), IMGSTORE_ETLS);
  int tls = port[TLS];
  port[TLS] = port[PLAIN];
  assert_int_equal(tls_call(TLS, "ca.crt", NULL, false, message), IMGSTORE_EPROTOCOL);
  port[TLS] = tls;
  assert_non_null(strstr(message, ": not TLS"));
}

/* Before any TLS connection is there: some releases of libcurl send a plain request to the same port over it. */
static void test_plain_to_tls(void **state) {
  int plain = port[PLAIN];
  port[PLAIN] = port[TLS];
  call c;
  prepare(&c, PLAIN, "hello");
  run(&c);
  assert_int_not_equal(c.exchange.done_code, IMGSTORE_OK);
  end(&c);
  port[PLAIN] = plain;
}

static void test_proxy(void **state) {
  call c;
  char proxy[64];
  snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", port[PROXY]);
  prepare(&c, PLAIN, "hello");
  c.exchange.setting[IMGSTORE_EXCHANGE_PROXY] = proxy;
  run(&c);
  assert_memory_equal(ims_buf_text(&c.body), "proxied GET http://localhost:", 29);
  end(&c);
  prepare(&c, PLAIN, "hello");
  c.exchange.setting[IMGSTORE_EXCHANGE_PROXY] = "odd://user:secret@127.0.0.1:1";
  run(&c);
  assert_int_not_equal(c.exchange.done_code, IMGSTORE_OK);
  assert_null(strstr(c.exchange.done_message, "secret"));
  end(&c);
}

static void test_connect_timeout(void **state) {
  call c;
  int64_t start = ims_now_ms();
  prepare(&c, TLS, "hello");
  snprintf(c.url, sizeof c.url, "https://127.0.0.1:%d/", port[SILENT]);
  c.exchange.connect_timeout = 300; /* the server would keep silent for a minute */
  run(&c);
  assert_int_equal(c.exchange.done_code, IMGSTORE_ETIMEOUT);
  assert_true(c.exchange.retry);
  assert_true(ims_now_ms() - start < 30000);
  end(&c);
}

static void pull(const char *path, uint64_t size, size_t appetite) {
  call c;
  prepare(&c, PLAIN, path);
  c.hash_only = true;
  c.appetite = appetite;
  begin(&c);
  while (!c.done) {
    if (!c.appetite) {
      for (int i = 0; i < 3; i++)
        assert_int_equal(transport.perform(transport.user_data, 0), IMGSTORE_OK); /* nothing moves while it is paused */
      assert_int_equal(c.appetite, 0);
      c.appetite = appetite;
      uint64_t before = c.received;
      transport.resume(transport.user_data, c.handle);
      assert_int_equal(c.received, before); /* not from inside resume */
      assert_int_equal(transport.timeout(transport.user_data), 0);
    }
    turn();
  }
  assert_int_equal(c.exchange.done_code, IMGSTORE_OK);
  assert_false(c.wrong);
  assert_int_equal(c.received, size);
  assert_true(appetite == SIZE_MAX || c.pauses > 0);
  end(&c);
}

static void test_pausing(void **state) {
  pull("big-20000000", 20000000, SIZE_MAX);
  pull("chunks-3000000", 3000000, SIZE_MAX);
  pull("big-3000000", 3000000, 100000);
  pull("big-1000000", 1000000, 16384);
  pull("big-300000", 300000, 1000);
  pull("big-2000", 2000, 7);
  pull("chunks-3000000", 3000000, 33333);
  pull("chunks-30000", 30000, 11);
}

static void test_many_at_once(void **state) {
  enum { CALLS = 24 };
  static call calls[CALLS];
  size_t left = CALLS;
  for (size_t i = 0; i < CALLS; i++) {
    prepare(&calls[i], PLAIN, i % 3 ? "big-500000" : "hello");
    calls[i].hash_only = i % 3;
    calls[i].appetite = 100000 * (i % 3) + 1;
    begin(&calls[i]);
  }
  int64_t limit = ims_now_ms() + 60000;
  while (left && ims_now_ms() < limit) {
    left = 0;
    for (size_t i = 0; i < CALLS; i++) {
      left += !calls[i].done;
      if (!calls[i].done && !calls[i].appetite) {
        calls[i].appetite = 77777;
        transport.resume(transport.user_data, calls[i].handle);
      }
    }
    turn();
  }
  for (size_t i = 0; i < CALLS; i++) {
    assert_int_equal(calls[i].exchange.done_code, IMGSTORE_OK);
    assert_int_equal(calls[i].received, i % 3 ? 500000 : 5);
    assert_false(calls[i].wrong);
    end(&calls[i]);
  }
}

static void test_not_wanted(void **state) {
  call c;
  prepare(&c, PLAIN, "big-3000000");
  c.hash_only = true;
  c.refuse = 100000;
  run(&c);
  assert_int_equal(c.exchange.done_code, IMGSTORE_ECANCELLED);
  assert_true(c.received >= 100000 && c.received < 3000000);
  end(&c);
  prepare(&c, PLAIN, "big-3000000"); /* refused while the rest of a paused piece is offered */
  c.hash_only = true;
  c.appetite = 5000;
  c.refuse = 6000;
  begin(&c);
  while (!c.done) {
    if (!c.appetite) {
      c.appetite = 5000;
      transport.resume(transport.user_data, c.handle);
    }
    turn();
  }
  assert_int_equal(c.exchange.done_code, IMGSTORE_ECANCELLED);
  end(&c);
}

static void test_perform_is_bounded(void **state) {
  call c;
  uint64_t before = 0, most = 0;
  prepare(&c, PLAIN, "big-60000000");
  c.hash_only = true;
  begin(&c);
  while (!c.done) {
    transport.perform(transport.user_data, 100);
    if (c.received - before > most)
      most = c.received - before;
    before = c.received;
  }
  assert_int_equal(c.received, 60000000);
  assert_true(most <= 4 * 1024 * 1024);
  end(&c);
}

static call reentrant, inner;

static void on_done_again(void *data) {
  on_done(data);
  transport.close(transport.user_data, reentrant.handle); /* from inside a callback */
  reentrant.handle = NULL;
  prepare(&inner, PLAIN, "hello");
  begin(&inner);
}

static size_t on_body_close(void *data, const uint8_t *bytes, size_t size) {
  call *c = data;
  transport.close(transport.user_data, c->handle);
  c->handle = NULL;
  c->done = true;
  return size;
}

static void test_reentrance(void **state) {
  prepare(&reentrant, PLAIN, "hello");
  reentrant.exchange.done = on_done_again;
  run(&reentrant);
  while (!inner.done)
    turn();
  assert_string_equal(ims_buf_text(&inner.body), "hello");
  end(&inner);
  end(&reentrant);
  prepare(&reentrant, PLAIN, "big-3000000");
  reentrant.exchange.body = on_body_close;
  run(&reentrant);
  turn();
  end(&reentrant);
  call c;
  prepare(&c, PLAIN, "hang"); /* closed while it runs, and before it began */
  begin(&c);
  for (int i = 0; i < 5; i++)
    transport.perform(transport.user_data, 10);
  end(&c);
  prepare(&c, PLAIN, "hello");
  begin(&c);
  end(&c);
  prepare(&c, PLAIN, "x");
  snprintf(c.url, sizeof c.url, "http://slow-name-look-up.invalid/");
  begin(&c);
  transport.perform(transport.user_data, 0);
  int64_t start = ims_now_ms();
  end(&c);
  assert_true(ims_now_ms() - start < 1000);
}

/* Sockets only: libcurl's own wake-up pairs are out of our reach before 8.8. */
static void test_sockets_close_on_exec(void **state) {
  call c;
  prepare(&c, PLAIN, "hello");
  run(&c);
  end(&c);
  assert_true(fcntl(transport.poll_fd(transport.user_data), F_GETFD) & FD_CLOEXEC);
  int found = 0;
  for (int fd = 3; fd < 256; fd++) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) < 0 || address.ss_family == AF_UNIX)
      continue;
    found++;
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  }
  assert_true(found > 0);
}

static void test_fork(void **state) {
  if (getenv("UNDER_VALGRIND"))
    skip(); /* what a child leaves to the system on purpose counts as lost there */
  call c;
  prepare(&c, PLAIN, "hello");
  run(&c);
  pid_t child = fork();
  if (child == 0) {
    call other;
    prepare(&other, PLAIN, "hello");
    int bad = transport.start(transport.user_data, &other.exchange, &other.handle) == IMGSTORE_OK;
    bad |= transport.perform(transport.user_data, 0) == IMGSTORE_OK;
    transport.close(transport.user_data, c.handle);
    transport.destroy(transport.user_data);
    _exit(bad);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  end(&c);
  expect(PLAIN, "hello", IMGSTORE_OK, false); /* the kept connection still works */
}

static void test_arguments(void **state) {
  imgstore_transport t;
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(ims_curl_transport_open(core, 0, &t, &err), IMGSTORE_EINVALID);
  assert_int_equal(ims_curl_transport_open(core, 65, &t, &err), IMGSTORE_EINVALID);
  call c;
  prepare(&c, PLAIN, "hello");
  c.exchange.method = "TRACE";
  assert_int_equal(transport.start(transport.user_data, &c.exchange, &c.handle), IMGSTORE_EINVALID);
}

static void copy_to(const char *from, const char *folder, const char *name) {
  char command[1024];
  snprintf(command, sizeof command, "mkdir -p %s/%s && cp %s/%s %s/%s/%s", root, folder, root, from, root, folder,
           name);
  assert_int_equal(system(command), 0);
}

static void test_certs(void **state) {
  char *ca, *cert, *key, message[256];
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(ims_certs_find(core, in_root("certs.d"), "h:5000", &ca, &cert, &key, &err), IMGSTORE_OK);
  assert_true(!ca && !cert && !key);
  copy_to("ca.crt", "certs.d/h:5000", "ca.crt");
  copy_to("client.cert", "certs.d/h:5000", "b.cert");
  copy_to("client.key", "certs.d/h:5000", "b.key");
  copy_to("client.cert", "certs.d/h:5000", "a.cert");
  assert_int_equal(ims_certs_find(core, in_root("certs.d"), "h:5000", &ca, &cert, &key, &err), IMGSTORE_EFORMAT);
  assert_non_null(strstr(err.message, "certs.d/h:5000/a.cert: its .key file is missing"));
  assert_true(!ca && !cert && !key);
  copy_to("client.key", "certs.d/h:5000", "a.key");
  assert_int_equal(ims_certs_find(core, in_root("certs.d"), "h:5000", &ca, &cert, &key, NULL), IMGSTORE_OK);
  assert_string_equal(ca, in_root("certs.d/h:5000/ca.crt"));
  assert_string_equal(cert, in_root("certs.d/h:5000/a.cert"));
  assert_string_equal(key, in_root("certs.d/h:5000/a.key"));
  ims_free(&core->alloc, ca);
  ims_free(&core->alloc, cert);
  ims_free(&core->alloc, key);
  assert_int_equal(ims_certs_find(core, in_root("certs.d"), "../h", &ca, &cert, &key, NULL), IMGSTORE_OK);
  assert_null(ca);
  copy_to("other.crt", "certs.d/two", "a.crt"); /* several authorities count together */
  copy_to("ca.crt", "certs.d/two", "b.crt");
  assert_int_equal(ims_certs_find(core, in_root("certs.d"), "two", &ca, &cert, &key, NULL), IMGSTORE_OK);
  assert_string_equal(ca, in_root("certs.d/two"));
  ims_free(&core->alloc, ca);
  assert_int_equal(tls_call(TLS, "certs.d/two", NULL, false, message), IMGSTORE_OK);
  copy_to("other.crt", "certs.d/wrong", "a.crt");
  assert_int_equal(tls_call(TLS, "certs.d/wrong", NULL, false, message), IMGSTORE_ETLS);
}

typedef struct counted {
  long left;
} counted;

static void *counted_allocate(void *data, size_t bytes) {
  counted *c = data;
  return c->left-- > 0 ? malloc(bytes) : NULL;
}

static void *counted_reallocate(void *data, void *memory, size_t bytes) {
  counted *c = data;
  return c->left-- > 0 ? realloc(memory, bytes) : NULL;
}

static void counted_release(void *data, void *memory) {
  free(memory);
}

static void test_no_memory(void **state) {
  counted c = {1000};
  const imgstore_allocator allocator = {sizeof allocator, &c, counted_allocate, counted_reallocate, counted_release};
  imgstore_context_options options = {.size = sizeof options, .allocator = &allocator};
  ims_core *small = ims_core_new(&options), *big = core;
  imgstore_transport before = transport;
  int32_t code = IMGSTORE_ENOMEM;
  for (long i = 0; code == IMGSTORE_ENOMEM; i++) {
    ims_error err = IMS_ERROR_INIT;
    call x;
    c.left = i;
    code = ims_curl_transport_open(small, 2, &transport, &err);
    if (code != IMGSTORE_OK)
      continue;
    core = small;
    prepare(&x, PLAIN, "hello");
    core = big;
    code = transport.start(transport.user_data, &x.exchange, &x.handle);
    while (code == IMGSTORE_OK && !x.done)
      turn();
    if (code == IMGSTORE_OK)
      code = x.exchange.done_code;
    end(&x);
    transport.destroy(transport.user_data);
  }
  assert_int_equal(code, IMGSTORE_OK);
  transport = before;
  ims_core_unref(small);
}

/* --- set-up ------------------------------------------------------------------------------------------------------- */

static int start_server(void) {
  int in[2], out[2];
  char script[512], line[256] = "";
  const char *support = getenv("TEST_SUPPORT_DIR");
  snprintf(script, sizeof script, "%s/wire_server.py", support ? support : "tests/support");
  if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
    return -1;
  server = fork();
  if (server == 0) {
    dup2(in[0], 0);
    dup2(out[1], 1);
    execlp("python3", "python3", script, root, (char *)NULL);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  server_input = in[1];
  FILE *answer = fdopen(out[0], "r");
  const char *got = answer ? fgets(line, sizeof line, answer) : NULL;
  if (answer)
    fclose(answer);
  return got && sscanf(line, "%d %d %d %d %d %d", &port[PLAIN], &port[TLS], &port[MUTUAL], &port[SILENT],
                       &port[CLOSING], &port[PROXY]) == PORTS
             ? 0
             : -1;
}

static int set_up(void **state) {
  imgstore_context_options options = {.size = sizeof options};
  ims_error err = IMS_ERROR_INIT;
  core = ims_core_new(&options);
  if (!core || !mkdtemp(root) || start_server() < 0)
    return -1;
  return ims_curl_transport_open(core, 4, &transport, &err);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk) {
  return remove(path);
}

static int tear_down(void **state) {
  transport.destroy(transport.user_data);
  ims_core_unref(core);
  close(server_input);
  waitpid(server, NULL, 0);
  return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_get),
      cmocka_unit_test(test_request),
      cmocka_unit_test(test_upload),
      cmocka_unit_test(test_odd_answers),
      cmocka_unit_test(test_nothing_is_followed_or_added),
      cmocka_unit_test(test_failures),
      cmocka_unit_test(test_plain_to_tls),
      cmocka_unit_test(test_tls),
      cmocka_unit_test(test_proxy),
      cmocka_unit_test(test_connect_timeout),
      cmocka_unit_test(test_pausing),
      cmocka_unit_test(test_many_at_once),
      cmocka_unit_test(test_not_wanted),
      cmocka_unit_test(test_perform_is_bounded),
      cmocka_unit_test(test_reentrance),
      cmocka_unit_test(test_sockets_close_on_exec),
      cmocka_unit_test(test_fork),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_certs),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
