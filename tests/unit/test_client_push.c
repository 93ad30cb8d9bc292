/*
 * tests/unit/test_client_push.c - blobs and manifests on their way to a registry: looks, mounts, one piece and chunks,
 * interrupted uploads, sessions that expire, other origins, refusals, memory that runs out.
 */
#include "client_world.h"

#include "failing_alloc.h"

#define HEAD_BLOB "HEAD " HUB "a/b/blobs/" D1
#define UPLOADS HUB "a/b/blobs/uploads/"
#define POST "POST " UPLOADS
#define MOUNT POST "?mount=" D1
#define SESSION "Location: /v2/a/b/blobs/uploads/1?_state=x\n"
#define SESSION_URL UPLOADS "1?_state=x"
#define PUT_ALL "PUT " SESSION_URL "&digest=" D1
#define PATCH "PATCH " SESSION_URL
#define STATUS "GET " SESSION_URL
#define CUT .code = IMGSTORE_ENETWORK, .message = "connection reset", .retry = 1
#define TOKEN "GET https://auth.example/token"
#define PUSH_CHALLENGE                                                                                                 \
  "WWW-Authenticate: Bearer realm=\"https://auth.example/token\",service=\"r\",scope=\"repository:a/b:pull,push\"\n"

/* A push of the text "0123456789" under the name of D1 (the client does not hash what it sends). */
typedef struct pushed {
  world *w;
  bool done;
  int32_t code;
  ims_error err;
  int outcome;
  char from[64];
  uint64_t held; /* bytes after which there is nothing until it is set */
  ims_fetch *fetch;
} pushed;

static int32_t read_text(void *data, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err) {
  const pushed *p = data;
  (void)err;
  uint64_t end = p->held < 10 ? p->held : 10;
  *got = offset >= end ? 0 : size < end - offset ? size : (size_t)(end - offset);
  if (*got)
    memcpy(buffer, &"0123456789"[offset], *got);
  return IMGSTORE_OK;
}

static void on_pushed(void *data, int32_t code, const ims_push_result *result, const ims_error *err) {
  pushed *p = data;
  assert_false(p->done);
  p->done = true;
  p->w->pending--;
  p->code = code;
  p->err = *err;
  p->outcome = result ? result->outcome : 0;
  snprintf(p->from, sizeof p->from, "%s", result && result->from ? result->from : "");
}

static int32_t try_push(world *w, pushed *p, const ims_push_request *like, ims_error *err) {
  ims_push_request r = *like;
  memset(p, 0, sizeof *p);
  p->w = w;
  p->held = 10;
  r.repository = "a/b";
  assert_int_equal(ims_digest_parse(&r.digest, D1, strlen(D1), NULL), 0);
  const ims_push_source source = {p, read_text, on_pushed};
  int32_t rc = ims_push_blob(w->client, &r, &source, &p->fetch, err);
  w->pending += rc == IMGSTORE_OK;
  return rc;
}

static const ims_push_request plain = {.size = 10};

/* Plays a script against one push. */
static void play(world *w, pushed *p, const answer *script, size_t count, const ims_push_request *like) {
  ims_error err = IMS_ERROR_INIT;
  prepare(w, script, count);
  open_world(w, "r.example");
  assert_int_equal(try_push(w, p, like, &err), IMGSTORE_OK);
  assert_true(run(w));
  assert_true(p->done);
}

static void test_in_one_piece(void **state) {
  const answer script[] = {{HEAD_BLOB, 404}, {POST, 202, SESSION}, {PUT_ALL, 201, "Docker-Content-Digest: " D1 "\n"}};
  world w;
  pushed p;
  play(&w, &p, script, COUNT(script), &plain);
  assert_int_equal(p.code, 0);
  assert_int_equal(p.outcome, IMS_UPLOAD_SENT);
  assert_int_equal(w.script.log_count, 3);
  assert_string_equal(line(&w, 2), PUT_ALL);
  assert_string_equal(w.script.log[2].form, "0123456789");
  assert_string_equal(w.script.log[2].content, "Content-Type: application/octet-stream\n");
  close_world(&w);
}

static void test_there_already(void **state) {
  const answer script[] = {{HEAD_BLOB, 200, "Content-Length: 10\n"}};
  world w;
  pushed p;
  play(&w, &p, script, COUNT(script), &plain);
  assert_int_equal(p.code, 0);
  assert_int_equal(p.outcome, IMS_UPLOAD_EXISTS);
  assert_int_equal(w.script.log_count, 1);
  close_world(&w);
}

static void test_only_a_look(void **state) {
  static const answer heads[] = {{HEAD_BLOB, 200, "Content-Length: 10\n"}, {HEAD_BLOB, 404}, {HEAD_BLOB, 403}};
  static const int outcomes[] = {IMS_UPLOAD_EXISTS, IMS_UPLOAD_ABSENT, 0};
  for (size_t i = 0; i < COUNT(heads); i++) {
    const ims_push_request look = {.size = 10, .look = true};
    world w;
    pushed p;
    play(&w, &p, &heads[i], 1, &look);
    assert_int_equal(p.outcome, outcomes[i]);
    assert_int_equal(p.code, i == 2 ? IMGSTORE_EDENIED : 0);
    assert_int_equal(w.script.log_count, 1);
    close_world(&w);
  }
}

static void test_empty_and_chunked_empty(void **state) {
  const answer script[] = {{HEAD_BLOB, 404}, {POST, 202, SESSION}, {PUT_ALL, 201}};
  static const uint64_t chunks[] = {0, 4};
  for (size_t i = 0; i < COUNT(chunks); i++) {
    const ims_push_request empty = {.chunk = chunks[i]};
    world w;
    pushed p;
    play(&w, &p, script, COUNT(script), &empty);
    assert_int_equal(p.code, 0);
    assert_int_equal(w.script.log[2].upload_size, 0);
    close_world(&w);
  }
}

static void test_mounts(void **state) {
  static const char *const from[] = {"no/where", "some/where", "a/b"};
  const ims_push_request r = {.size = 10, .mounts = from, .mount_count = 3};
  const answer mounted[] = {{HEAD_BLOB, 404}, {MOUNT "&from=no/where", 404}, {MOUNT "&from=some/where", 201}};
  const answer accepted[] = {{HEAD_BLOB, 404}, {MOUNT "&from=no/where", 202, SESSION}, {PUT_ALL, 201}};
  const answer refused[] = {{HEAD_BLOB, 404},
                            {MOUNT "&from=no/where", 403},
                            {MOUNT "&from=some/where", 405},
                            {POST, 202, SESSION},
                            {PUT_ALL, 201}};
  world w;
  pushed p;
  play(&w, &p, mounted, COUNT(mounted), &r);
  assert_int_equal(p.outcome, IMS_UPLOAD_MOUNTED);
  assert_string_equal(p.from, "some/where");
  close_world(&w);
  play(&w, &p, accepted, COUNT(accepted), &r);
  assert_int_equal(p.outcome, IMS_UPLOAD_SENT);
  assert_int_equal(w.script.log_count, 3);
  close_world(&w);
  play(&w, &p, refused, COUNT(refused), &r);
  assert_int_equal(p.outcome, IMS_UPLOAD_SENT);
  assert_string_equal(line(&w, 3), POST);
  close_world(&w);
}

/* A mount asks for a token that reads the other repository; a token server that refuses it only costs the mount. */
static void test_mount_scopes(void **state) {
  static const char *const from[] = {"c/d"};
  const ims_push_request r = {.size = 10, .mounts = from, .mount_count = 1};
  const answer script[] = {{HEAD_BLOB, 401, PUSH_CHALLENGE},
                           {TOKEN, 200, NULL, "{\"token\":\"first\"}"},
                           {HEAD_BLOB, 404},
                           {TOKEN, 403, NULL, "{}"},
                           {POST, 202, SESSION},
                           {PUT_ALL, 201}};
  world w;
  pushed p;
  play(&w, &p, script, COUNT(script), &r);
  assert_int_equal(p.code, 0);
  assert_int_equal(p.outcome, IMS_UPLOAD_SENT);
  assert_non_null(strstr(line(&w, 3), "repository%3Ac%2Fd%3Apull"));
  assert_string_equal(line(&w, 4), POST);
  assert_string_equal(w.script.log[5].authorization, "Bearer first");
  close_world(&w);
}

static void test_token_expires_in_the_middle(void **state) {
  const answer script[] = {{HEAD_BLOB, 401, PUSH_CHALLENGE},
                           {TOKEN, 200, NULL, "{\"token\":\"first\"}"},
                           {HEAD_BLOB, 404},
                           {POST, 202, SESSION},
                           {PUT_ALL, 401, PUSH_CHALLENGE},
                           {TOKEN, 200, NULL, "{\"token\":\"second\"}"},
                           {PUT_ALL, 201}};
  world w;
  pushed p;
  play(&w, &p, script, COUNT(script), &plain);
  assert_int_equal(p.code, 0);
  assert_string_equal(w.script.log[6].authorization, "Bearer second");
  assert_string_equal(w.script.log[6].form, "0123456789");
  close_world(&w);
}

static void test_chunks(void **state) {
  const ims_push_request r = {.size = 10, .chunk = 2};
  const answer script[] = {{HEAD_BLOB, 404},
                           {POST, 202, SESSION "OCI-Chunk-Min-Length: 4\n"},
                           {PATCH, 202, "Range: 0-3\nLocation: 2\n"},
                           {"PATCH " UPLOADS "2", 202, "Range: bytes=0-7\n"},
                           {"PATCH " UPLOADS "2", 202, "Range: 0-9\n"},
                           {"PUT " UPLOADS "2?digest=" D1, 201}};
  world w;
  pushed p;
  play(&w, &p, script, COUNT(script), &r);
  assert_int_equal(p.code, 0);
  assert_non_null(strstr(w.script.log[2].content, "Content-Range: 0-3\n"));
  assert_string_equal(w.script.log[2].form, "0123");
  assert_non_null(strstr(w.script.log[4].content, "Content-Range: 8-9\n"));
  assert_string_equal(w.script.log[4].form, "89");
  assert_int_equal(w.script.log[5].upload_size, 0);
  close_world(&w);
}

/* After a cut the registry is asked what it has, and gets the rest. */
static void test_resumes(void **state) {
  const answer script[] = {{HEAD_BLOB, 404},
                           {POST, 202, SESSION},
                           {.url = PUT_ALL, CUT},
                           {STATUS, 204, "Range: 0-5\nLocation: https://r.example/v2/a/b/blobs/uploads/9\n"},
                           {"PATCH " UPLOADS "9", 202, "Range: 0-9\n"},
                           {"PUT " UPLOADS "9?digest=" D1, 201}};
  world w;
  pushed p;
  play(&w, &p, script, COUNT(script), &plain);
  assert_int_equal(p.code, 0);
  assert_string_equal(w.script.log[4].form, "6789");
  assert_int_equal(w.retries, 1);
  close_world(&w);
}

/* What cannot be resumed starts anew; the blob may have been completed by the request that was cut. */
static void test_starts_over(void **state) {
  const answer gone[] = {{HEAD_BLOB, 404}, {POST, 202, SESSION}, {.url = PUT_ALL, CUT}, {STATUS, 404},
                         {HEAD_BLOB, 404}, {POST, 202, SESSION}, {PUT_ALL, 201}};
  const answer complete[] = {
      {HEAD_BLOB, 404}, {POST, 202, SESSION}, {PUT_ALL, 503}, {STATUS, 404}, {HEAD_BLOB, 200, "Content-Length: 10\n"}};
  const answer empty[] = {{HEAD_BLOB, 404},     {POST, 202, SESSION}, {PUT_ALL, 416}, {STATUS, 204, "Range: 0-0\n"},
                          {POST, 202, SESSION}, {PUT_ALL, 201}};
  const answer expired[] = {{HEAD_BLOB, 404}, {POST, 202, SESSION}, {PUT_ALL, 404},
                            {HEAD_BLOB, 404}, {POST, 202, SESSION}, {PUT_ALL, 201}};
  const struct {
    const answer *script;
    size_t count;
  } cases[] = {{gone, COUNT(gone)}, {complete, COUNT(complete)}, {empty, COUNT(empty)}, {expired, COUNT(expired)}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    world w;
    pushed p;
    play(&w, &p, cases[i].script, cases[i].count, &plain);
    assert_int_equal(p.code, 0);
    assert_int_equal(p.outcome, IMS_UPLOAD_SENT);
    assert_int_equal(w.script.log_count, cases[i].count);
    close_world(&w);
  }
}

/* Tries without progress come to an end, also when every one of them is another session. */
static void test_gives_up(void **state) {
  enum { ROUNDS = 12 };
  answer script[1 + 3 * ROUNDS] = {{HEAD_BLOB, 404}};
  for (size_t i = 0; i < ROUNDS; i++) {
    script[1 + 3 * i] = (answer){POST, 202, SESSION};
    script[2 + 3 * i] = (answer){PUT_ALL, 416};
    script[3 + 3 * i] = (answer){STATUS, 204, "Range: 0-0\n"};
  }
  world w;
  pushed p;
  play(&w, &p, script, COUNT(script), &plain);
  assert_int_equal(p.code, IMGSTORE_EPROTOCOL);
  assert_true(w.script.log_count < COUNT(script));
  close_world(&w);
}

static void test_other_origin(void **state) {
  const answer script[] = {{HEAD_BLOB, 401, PUSH_CHALLENGE},
                           {TOKEN, 200, NULL, "{\"token\":\"first\"}"},
                           {HEAD_BLOB, 404},
                           {POST, 202, "Location: https://storage.example/up?sig=1&x=2\n"},
                           {"PUT https://storage.example/up?sig=1&x=2&digest=" D1, 403},
                           {POST, 202, "Location: https://storage.example/up?sig=2\n"},
                           {"PUT https://storage.example/up?sig=2&digest=" D1, 201}};
  world w;
  pushed p;
  play(&w, &p, script, COUNT(script), &plain);
  assert_int_equal(p.code, 0);
  assert_string_equal(w.script.log[3].authorization, "Bearer first");
  assert_string_equal(w.script.log[4].authorization, "");
  assert_string_equal(w.script.log[5].authorization, "Bearer first");
  assert_string_equal(w.script.log[6].authorization, "");
  close_world(&w);
}

static void test_bad_locations(void **state) {
  static const char *const locations[] = {NULL,
                                          "Location: http://r.example/v2/a/b/blobs/uploads/1\n",
                                          "Location: https://169.254.169.254/up\n",
                                          "Location: https://10.1.2.3/up\n",
                                          "Location: ftp://r.example/x\n",
                                          "Location: https://u:p@r.example/x\n"};
  for (size_t i = 0; i < COUNT(locations); i++) {
    const answer script[] = {{HEAD_BLOB, 404}, {POST, 202, locations[i]}};
    world w;
    pushed p;
    play(&w, &p, script, COUNT(script), &plain);
    assert_int_equal(p.code, IMGSTORE_EPROTOCOL);
    assert_int_equal(w.script.log_count, 2);
    close_world(&w);
  }
}

static void test_refusals(void **state) {
#define SAYS(code, text) "{\"errors\":[{\"code\":\"" code "\",\"message\":\"" text "\"}]}"
  static const struct {
    answer post, put;
    int32_t code;
    const char *registry_code, *words;
  } cases[] = {
      {{POST, 403, NULL, SAYS("DENIED", "quota exceeded")}, {POST, 0}, IMGSTORE_EDENIED, "DENIED", "quota exceeded"},
      {{POST, 404, NULL, SAYS("NAME_UNKNOWN", "no such repository")},
       {POST, 0},
       IMGSTORE_ENOTFOUND,
       "NAME_UNKNOWN",
       "no such repository"},
      {{POST, 202, SESSION},
       {PUT_ALL, 413, NULL, SAYS("SIZE_INVALID", "too big")},
       IMGSTORE_ELIMIT,
       "SIZE_INVALID",
       "too big"},
      {{POST, 202, SESSION},
       {PUT_ALL, 400, NULL, SAYS("DIGEST_INVALID", "no match")},
       IMGSTORE_EPROTOCOL,
       "DIGEST_INVALID",
       "no match"},
      {{POST, 202, SESSION},
       {PUT_ALL, 201,
        "Docker-Content-Digest: sha256:"
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n"},
       IMGSTORE_EDIGEST,
       "",
       "stored"},
      {{POST, 200, NULL, "<html>"}, {POST, 0}, IMGSTORE_EPROTOCOL, "", "unexpected"},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    const answer script[] = {{HEAD_BLOB, 404}, cases[i].post, cases[i].put};
    world w;
    pushed p;
    play(&w, &p, script, COUNT(script), &plain);
    assert_int_equal(p.code, cases[i].code);
    assert_string_equal(p.err.registry_code, cases[i].registry_code);
    assert_non_null(strstr(p.err.message, cases[i].words));
    close_world(&w);
  }
}

static void test_too_large_in_one_piece(void **state) {
  const ims_push_request big = {.size = 300000};
  const answer script[] = {{HEAD_BLOB, 404},
                           {POST, 202, SESSION},
                           {PUT_ALL, 413},
                           {POST, 202, SESSION},
                           {PATCH, 413},
                           {POST, 202, SESSION},
                           {PATCH, 202, "Range: 0-74999\n"},
                           {PATCH, 202, "Range: 0-149999\n"},
                           {PATCH, 202, "Range: 0-224999\n"},
                           {PATCH, 202, "Range: 0-299999\n"},
                           {PUT_ALL, 201}};
  world w;
  pushed p;
  play(&w, &p, script, COUNT(script), &big);
  assert_int_equal(p.code, 0);
  assert_int_equal(w.script.log[2].upload_size, 300000);
  assert_int_equal(w.script.log[4].upload_size, 150000);
  assert_int_equal(w.script.log[6].upload_size, 75000);
  close_world(&w);
}

static void test_holds_the_host(void **state) {
  const answer script[] = {{HEAD_BLOB, 404},     {POST, 429, "Retry-After: 7\n"},
                           {POST, 202, SESSION}, {PUT_ALL, 503, "Retry-After: 9\n"},
                           {STATUS, 404},        {HEAD_BLOB, 404},
                           {POST, 202, SESSION}, {PUT_ALL, 201}};
  world w;
  pushed p;
  play(&w, &p, script, COUNT(script), &plain);
  assert_int_equal(p.code, 0);
  assert_true(w.now >= 1000 + 16000);
  close_world(&w);
}

/* A source that has nothing pauses the upload and its clock. */
static void test_source_that_waits(void **state) {
  const answer script[] = {{HEAD_BLOB, 404}, {POST, 202, SESSION}, {PUT_ALL, 201}};
  ims_error err = IMS_ERROR_INIT;
  world w;
  pushed p;
  prepare(&w, script, COUNT(script));
  w.script.reads_bodies = true;
  open_world(&w, "r.example");
  assert_int_equal(try_push(&w, &p, &plain, &err), IMGSTORE_OK);
  p.held = 4;
  for (int i = 0; i < 100; i++, w.now += 10000)
    ims_client_perform(w.client, w.now);
  assert_false(p.done);
  assert_int_equal(w.script.log_count, 3);
  p.held = 10;
  ims_fetch_resume(p.fetch);
  assert_true(run(&w));
  assert_int_equal(p.code, 0);
  assert_int_equal(w.script.log_count, 3);
  close_world(&w);
}

static void bytes_pushed(void *data, int32_t code, const ims_push_result *result, const ims_error *err) {
  on_pushed(data, code, result, err);
}

static void test_bytes(void **state) {
  const answer script[] = {{HEAD_BLOB, 404}, {POST, 202, SESSION}, {PUT_ALL, 201}};
  ims_error err = IMS_ERROR_INIT;
  world w;
  pushed p;
  ims_push_request r = {.repository = "a/b", .size = 5};
  memset(&p, 0, sizeof p);
  p.w = &w;
  prepare(&w, script, COUNT(script));
  open_world(&w, "r.example");
  assert_int_equal(ims_digest_parse(&r.digest, D1, strlen(D1), NULL), 0);
  assert_int_equal(ims_push_bytes(w.client, &r, "hello", bytes_pushed, &p, NULL, &err), IMGSTORE_OK);
  w.pending = 1;
  assert_true(run(&w));
  assert_int_equal(p.code, 0);
  assert_string_equal(w.script.log[2].form, "hello");
  close_world(&w);
}

static void manifest_pushed(void *data, int32_t code, const ims_document *d, const ims_error *err) {
  pushed *p = data;
  (void)d;
  p->done = true;
  p->w->pending--;
  p->code = code;
  p->err = *err;
}

static void test_manifests(void **state) {
  static const struct {
    answer answer;
    int32_t code;
  } cases[] = {
      {{"PUT " HUB "a/b/manifests/1", 201, "Docker-Content-Digest: " D1 "\n"}, IMGSTORE_OK},
      {{"PUT " HUB "a/b/manifests/1", 201}, IMGSTORE_OK},
      {{"PUT " HUB "a/b/manifests/1", 201,
        "Docker-Content-Digest: sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n"},
       IMGSTORE_EDIGEST},
      {{"PUT " HUB "a/b/manifests/1", 409, NULL, SAYS("TAG_IMMUTABLE", "the tag stays")}, IMGSTORE_ECONFLICT},
      {{"PUT " HUB "a/b/manifests/1", 400, NULL, SAYS("TAG_IMMUTABLE", "the tag stays")}, IMGSTORE_ECONFLICT},
      {{"PUT " HUB "a/b/manifests/1", 400, NULL, SAYS("MANIFEST_INVALID", "no")}, IMGSTORE_EPROTOCOL},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    ims_manifest_push m = {"a/b", "1", "application/x", "{}", 2, {0, ""}};
    ims_error err = IMS_ERROR_INIT;
    world w;
    pushed p;
    memset(&p, 0, sizeof p);
    p.w = &w;
    ims_digest_parse(&m.digest, D1, strlen(D1), NULL);
    prepare(&w, &cases[i].answer, 1);
    open_world(&w, "r.example");
    assert_int_equal(ims_push_manifest(w.client, &m, manifest_pushed, &p, NULL, &err), IMGSTORE_OK);
    w.pending = 1;
    assert_true(run(&w));
    assert_int_equal(p.code, cases[i].code);
    close_world(&w);
  }
}

static bool push_with_failure(size_t n) {
  static const char *const from[] = {"c/d"};
  const ims_push_request r = {.size = 10, .chunk = 6, .mounts = from, .mount_count = 1};
  const answer script[] = {{HEAD_BLOB, 401, PUSH_CHALLENGE},
                           {TOKEN, 200, NULL, "{\"token\":\"first\"}"},
                           {HEAD_BLOB, 404},
                           {TOKEN, 200, NULL, "{\"token\":\"second\"}"},
                           {MOUNT, 202, SESSION},
                           {PATCH, 202, "Range: 0-5\n"},
                           {.url = PATCH, CUT},
                           {STATUS, 204, "Range: 0-7\n"},
                           {PATCH, 202, "Range: 0-9\n"},
                           {PUT_ALL, 201}};
  failing f = {0};
  ims_alloc a = failing_alloc(&f, n);
  const imgstore_allocator allocator = {sizeof allocator, a.user_data, a.allocate, a.reallocate, a.release};
  ims_error err = IMS_ERROR_INIT;
  world w;
  pushed p;
  prepare(&w, script, COUNT(script));
  int32_t rc = open_on(&w, "r.example", &allocator, &err);
  if (!rc)
    rc = try_push(&w, &p, &r, &err);
  if (!rc) {
    assert_true(run(&w));
    rc = p.code;
  }
  assert_true(f.failed ? rc == IMGSTORE_ENOMEM || rc == IMGSTORE_OK : rc == IMGSTORE_OK);
  ims_client_free(w.client);
  imgstore_registry_free(w.registry);
  ims_core_unref(w.core);
  assert_int_equal(f.live, 0);
  return !f.failed;
}

static void test_memory(void **state) {
  size_t n = 0;
  while (!push_with_failure(n))
    n++;
  assert_true(n > 50);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_in_one_piece),
      cmocka_unit_test(test_there_already),
      cmocka_unit_test(test_only_a_look),
      cmocka_unit_test(test_empty_and_chunked_empty),
      cmocka_unit_test(test_mounts),
      cmocka_unit_test(test_mount_scopes),
      cmocka_unit_test(test_token_expires_in_the_middle),
      cmocka_unit_test(test_chunks),
      cmocka_unit_test(test_resumes),
      cmocka_unit_test(test_starts_over),
      cmocka_unit_test(test_gives_up),
      cmocka_unit_test(test_other_origin),
      cmocka_unit_test(test_bad_locations),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_too_large_in_one_piece),
      cmocka_unit_test(test_holds_the_host),
      cmocka_unit_test(test_source_that_waits),
      cmocka_unit_test(test_bytes),
      cmocka_unit_test(test_manifests),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
