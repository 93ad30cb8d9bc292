/*
 * tests/unit/test_registry_jobs.c - catalog, deletions, copies of tags, rights: what is asked, and what each answer
 * comes to.
 */
#include "client_world.h"

#include "failing_alloc.h"
#include "imgstore/operation.h"
#include "imgstore/report.h"

#define TOKEN "GET https://auth.example/token"
#define BASIC "WWW-Authenticate: Basic realm=\"x\"\n"
#define LIST HUB_GET("a/b/tags/list?n=1")
#define NONE "sha256:0000000000000000000000000000000000000000000000000000000000000000"
#define MANIFEST                                                                                                       \
  "{\"schemaVersion\":2,\"layers\":[],\"config\":{\"mediaType\":\"application/"                                        \
  "vnd.oci.image.config.v1+json\",\"digest\":\"" D1 "\",\"size\":2}}"
/* {"access":[{"type":"repository","name":"a/b","actions":["pull","push"]}]} */
#define JWT_PULL_PUSH                                                                                                  \
  "e30.eyJhY2Nlc3MiOlt7InR5cGUiOiJyZXBvc2l0b3J5IiwibmFtZSI6ImEvYiIsImFjdGlvbnMiOlsicHVsbCIsInB1c2giXX1dfQ.c2ln"

/* The registry behind a world, made by the public functions alone. */
static void open_jobs(world *w, const answer *script, size_t count) {
  prepare(w, script, count);
  w->options.retry_delay = 1;
  w->options.max_retry_delay = 2;
  w->options.username = "user";
  w->options.password = "pass";
  open_world(w, "r.example");
}

static int32_t catalog(world *w, imgstore_report **report, imgstore_error **error) {
  return imgstore_registry_catalog(w->registry, report, error);
}

static void check_message(imgstore_error *error, const char *part) {
  if (!strstr(imgstore_error_message(error), part))
    fail_msg("\"%s\" is not in \"%s\"", part, imgstore_error_message(error));
  imgstore_error_free(error);
}

/* --- catalog
 * ----------------------------------------------------------------------------------------------------------- */

static void test_catalog_pages(void **state) {
  const answer script[] = {
      {HUB_GET("_catalog?n=1000"), 200, "Link: </v2/_catalog?last=c%2Fd&n=2>; rel=\"next\"\n",
       "{\"repositories\":[\"a\",\"c/d\"]}"},
      {HUB_GET("_catalog?last=c%2Fd&n=2"), 200, "Link: <" HUB "_catalog?page=3>; rel=next\n",
       "{\"repositories\":[\"c/d\",\"e\"]}"},
      {HUB_GET("_catalog?page=3"), 200, NULL, "{\"repositories\":null}"},
  };
  world w;
  imgstore_report *report;
  open_jobs(&w, script, COUNT(script));
  assert_int_equal(catalog(&w, &report, NULL), 0);
  assert_int_equal(imgstore_report_count(report), 3);
  assert_int_equal(imgstore_report_kind(report, 0), IMGSTORE_REPORT_REPOSITORY);
  assert_string_equal(imgstore_report_name(report, 1), "c/d");
  assert_string_equal(imgstore_report_name(report, 2), "e");
  imgstore_report_free(report);
  close_world(&w);
}

/* A registry that takes smaller pages only, or none. */
static void test_catalog_page_size(void **state) {
  const answer script[] = {
      {HUB_GET("_catalog?n=1000"), 400, NULL, "{\"errors\":[{\"code\":\"PAGINATION_NUMBER_INVALID\"}]}"},
      {HUB_GET("_catalog?n=100"), 400, NULL, NULL},
      {HUB_GET("_catalog"), 200, NULL, "{\"repositories\":[\"a\"]}"},
      {HUB_GET("_catalog?n=1000"), 400, NULL, NULL},
      {HUB_GET("_catalog?n=100"), 400, NULL, NULL},
      {HUB_GET("_catalog"), 400, NULL, NULL},
  };
  world w;
  imgstore_report *report;
  open_jobs(&w, script, COUNT(script));
  assert_int_equal(catalog(&w, &report, NULL), 0);
  assert_int_equal(imgstore_report_count(report), 1);
  assert_string_equal(line(&w, 2), HUB_GET("_catalog"));
  imgstore_report_free(report);
  assert_int_equal(catalog(&w, &report, NULL), IMGSTORE_EPROTOCOL);
  assert_null(report);
  close_world(&w);
}

static void test_catalog_refusals(void **state) {
  static const struct {
    answer answer;
    int32_t code;
    const char *words;
  } cases[] = {
      {{HUB_GET("_catalog"), 404, NULL, NULL}, IMGSTORE_EUNSUPPORTED, "does not list its repositories"},
      {{HUB_GET("_catalog"), 405, NULL, NULL}, IMGSTORE_EUNSUPPORTED, "does not list its repositories"},
      {{HUB_GET("_catalog"), 403, NULL, NULL}, IMGSTORE_EDENIED, "catalog of r.example"},
      {{HUB_GET("_catalog"), 200, NULL, "[]"}, IMGSTORE_EFORMAT, "not a list of repositories"},
      {{HUB_GET("_catalog"), 200, NULL, "{\"repositories\":[\"../x\"]}"}, IMGSTORE_EFORMAT, "not a repository"},
      {{HUB_GET("_catalog"), 200, NULL, "{\"repositories\":[7]}"}, IMGSTORE_EFORMAT, "not a repository"},
      {{HUB_GET("_catalog"), 200, NULL, "{\"repositories\":["}, IMGSTORE_EFORMAT, "catalog of r.example"},
      {{HUB_GET("_catalog"), 200, "Content-Type: text/html\n", "<p>"}, IMGSTORE_EPROTOCOL, "web page"},
      {{HUB_GET("_catalog"), 200, "Link: <https://evil.example/v2/_catalog>; rel=next\n", "{\"repositories\":[\"a\"]}"},
       IMGSTORE_EPROTOCOL,
       "another host"},
      {{HUB_GET("_catalog"), 200, "Link: <http://r.example/v2/_catalog>; rel=next\n", "{\"repositories\":[\"a\"]}"},
       IMGSTORE_EPROTOCOL,
       "another host"},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    world w;
    imgstore_report *report;
    imgstore_error *error = NULL;
    open_jobs(&w, &cases[i].answer, 1);
    assert_int_equal(catalog(&w, &report, &error), cases[i].code);
    check_message(error, cases[i].words);
    close_world(&w);
  }
}

static void test_catalog_that_never_ends(void **state) {
  enum { PAGES = 40 };
  answer script[PAGES];
  for (size_t i = 0; i < PAGES; i++)
    script[i] = (answer){HUB_GET("_catalog"), 200, "Link: </v2/_catalog?x>; rel=next\n", "{\"repositories\":[\"a\"]}"};
  world w;
  imgstore_report *report;
  imgstore_error *error = NULL;
  open_jobs(&w, script, PAGES);
  assert_int_equal(catalog(&w, &report, &error), IMGSTORE_EPROTOCOL);
  check_message(error, "page after page");
  assert_true(w.script.log_count < 20);
  close_world(&w);
}

static void test_catalog_scope(void **state) {
  const answer script[] = {
      {HUB_GET("_catalog"), 401, "WWW-Authenticate: Bearer realm=\"https://auth.example/token\",service=\"r\"\n", NULL},
      {TOKEN "?service=r&scope=registry%3Acatalog%3A%2A&account=user", 200, NULL, "{\"token\":\"T\"}"},
      {HUB_GET("_catalog"), 200, NULL, "{\"repositories\":[]}"},
  };
  world w;
  imgstore_report *report;
  open_jobs(&w, script, COUNT(script));
  assert_int_equal(catalog(&w, &report, NULL), 0);
  assert_int_equal(imgstore_report_count(report), 0);
  imgstore_report_free(report);
  close_world(&w);
}

/* --- delete
 * ------------------------------------------------------------------------------------------------------------ */

static int32_t remove_from(world *w, const char *reference, uint32_t flags, imgstore_report **report,
                           imgstore_error **error) {
  imgstore_registry_job_options options;
  imgstore_registry_job_options_init(&options, sizeof options);
  options.flags = flags;
  return imgstore_registry_delete(w->registry, "a/b", reference, &options, report, error);
}

static void test_delete(void **state) {
  const answer script[] = {
      {"DELETE " HUB "a/b/manifests/1", 202, NULL, NULL},
      {"DELETE " HUB "a/b/manifests/" D1, 202, NULL, NULL},
      {"DELETE " HUB "a/b/manifests/1", 404, NULL, NULL},
      {"DELETE " HUB "a/b/manifests/" D1, 405, NULL, NULL},
      {"DELETE " HUB "a/b/manifests/1", 0, NULL, NULL, 0, IMGSTORE_ENETWORK, "reset", 1},
      {"DELETE " HUB "a/b/manifests/1", 404, NULL, NULL},
      {"DELETE " HUB "a/b/manifests/1", 200, NULL, "hello from a web server"},
      {"DELETE " HUB "a/b/manifests/1", 403, NULL, "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"immutable\"}]}"},
  };
  world w;
  imgstore_report *report;
  imgstore_error *error = NULL;
  open_jobs(&w, script, COUNT(script));
  assert_int_equal(remove_from(&w, "1", 0, &report, NULL), 0);
  assert_int_equal(imgstore_report_count(report), 1);
  assert_int_equal(imgstore_report_kind(report, 0), IMGSTORE_REPORT_UNTAGGED);
  assert_string_equal(imgstore_report_name(report, 0), "1");
  imgstore_report_free(report);
  assert_int_equal(remove_from(&w, D1, 0, &report, NULL), 0);
  assert_int_equal(imgstore_report_kind(report, 0), IMGSTORE_REPORT_DELETED);
  assert_string_equal(imgstore_report_digest(report, 0), D1);
  imgstore_report_free(report);
  assert_int_equal(remove_from(&w, "1", IMGSTORE_DELETE_MANIFEST, NULL, NULL), IMGSTORE_ENOTFOUND);
  assert_int_equal(remove_from(&w, D1, 0, NULL, &error), IMGSTORE_EUNSUPPORTED);
  check_message(error, "this registry does not allow deleting");
  assert_int_equal(remove_from(&w, "1", 0, NULL, NULL), 0); /* the lost answer was a yes */
  assert_int_equal(remove_from(&w, "1", 0, NULL, NULL), IMGSTORE_EPROTOCOL);
  assert_int_equal(remove_from(&w, "1", IMGSTORE_DELETE_MANIFEST, NULL, &error), IMGSTORE_EDENIED);
  check_message(error, "immutable");
  assert_int_equal(w.script.log_count, COUNT(script));
  close_world(&w);
}

/* Where tags do not go alone, nothing is deleted unless that was asked for, and then by the digest of the bytes. */
static void test_delete_by_digest_only(void **state) {
  const answer script[] = {
      {"DELETE " HUB "a/b/manifests/1", 400, NULL, "{\"errors\":[{\"code\":\"DIGEST_INVALID\"}]}"},
      {HUB_GET("a/b/manifests/1"), 200, MT, "{}"},
      {"DELETE " HUB "a/b/manifests/1", 405, NULL, NULL},
      {HUB_GET("a/b/manifests/1"), 200, MT, "{}"},
      {"DELETE " HUB "a/b/manifests/sha256:44136fa3", 202, NULL, NULL},
      {"DELETE " HUB "a/b/manifests/1", 405, NULL, NULL},
      {HUB_GET("a/b/manifests/1"), 200, MT "Docker-Content-Digest: " D1 "\n", "{}"},
      {"DELETE " HUB "a/b/manifests/1", 405, NULL, NULL},
      {HUB_GET("a/b/manifests/1"), 404, NULL, NULL},
      {"DELETE " HUB "a/b/manifests/1", 405, NULL, NULL},
      {HUB_GET("a/b/manifests/1"), 200, MT, "{}"},
      {"DELETE " HUB "a/b/manifests/sha256:44136fa3", 405, NULL, NULL},
  };
  world w;
  imgstore_report *report;
  imgstore_error *error = NULL;
  open_jobs(&w, script, COUNT(script));
  assert_int_equal(remove_from(&w, "1", 0, &report, &error), IMGSTORE_EUNSUPPORTED);
  check_message(error,
                "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a can only go with every");
  assert_null(report);
  assert_int_equal(remove_from(&w, "1", IMGSTORE_DELETE_MANIFEST, &report, NULL), 0);
  assert_int_equal(imgstore_report_count(report), 2);
  assert_string_equal(imgstore_report_digest(report, 0), imgstore_report_digest(report, 1));
  imgstore_report_free(report);
  error = NULL;
  assert_int_equal(remove_from(&w, "1", IMGSTORE_DELETE_MANIFEST, NULL, &error), IMGSTORE_EDIGEST);
  check_message(error, D1);
  assert_int_equal(remove_from(&w, "1", IMGSTORE_DELETE_MANIFEST, NULL, NULL), IMGSTORE_ENOTFOUND);
  assert_int_equal(remove_from(&w, "1", IMGSTORE_DELETE_MANIFEST, NULL, &error), IMGSTORE_EUNSUPPORTED);
  check_message(error, "does not allow deleting");
  assert_int_equal(w.script.log_count, COUNT(script));
  close_world(&w);
}

/* --- copy_tag
 * ---------------------------------------------------------------------------------------------------------- */

static int32_t copy(world *w, const char *from, const char *tag, imgstore_report **report, imgstore_error **error) {
  return imgstore_registry_copy_tag(w->registry, "a/b", from, tag, NULL, report, error);
}

static void test_copy_tag(void **state) {
  const answer script[] = {
      {HUB_GET("a/b/manifests/1"), 200, MT, MANIFEST},
      {"PUT " HUB "a/b/manifests/2", 201, NULL, NULL},
      {HUB_GET("a/b/manifests/1"), 200, MT, MANIFEST},
      {"PUT " HUB "a/b/manifests/2", 201, "Docker-Content-Digest: " D1 "\n", NULL},
      {HUB_GET("a/b/manifests/1"), 200, MT, MANIFEST},
      {"PUT " HUB "a/b/manifests/2", 409, NULL, "{\"errors\":[{\"code\":\"TAG_INVALID\",\"message\":\"immutable\"}]}"},
      {HUB_GET("a/b/manifests/1"), 200, MT "Docker-Content-Digest: " D1 "\n", MANIFEST},
      {HUB_GET("a/b/manifests/" D1), 200, MT, MANIFEST},
      {HUB_GET("a/b/manifests/1"), 200, MT, "{\"schemaVersion\":1,\"fsLayers\":[]}"},
  };
  world w;
  imgstore_report *report;
  imgstore_error *error = NULL;
  open_jobs(&w, script, COUNT(script));
  assert_int_equal(copy(&w, "1", "2", &report, NULL), 0);
  assert_string_equal(imgstore_report_name(report, 0), "2");
  assert_int_equal(imgstore_report_size(report, 0), strlen(MANIFEST));
  assert_string_equal(w.script.log[1].form, MANIFEST);
  assert_string_equal(w.script.log[1].content, MT);
  imgstore_report_free(report);
  assert_int_equal(copy(&w, "1", "2", NULL, &error), IMGSTORE_EDIGEST);
  check_message(error, "stored " D1);
  assert_int_equal(copy(&w, "1", "2", NULL, &error), IMGSTORE_ECONFLICT);
  check_message(error, "immutable");
  assert_int_equal(copy(&w, "1", "2", NULL, NULL), IMGSTORE_EDIGEST);
  assert_int_equal(copy(&w, D1, "2", NULL, NULL), IMGSTORE_EDIGEST);
  assert_int_equal(copy(&w, "1", "2", NULL, NULL), IMGSTORE_EUNSUPPORTED);
  assert_int_equal(w.script.log_count, COUNT(script)); /* nothing was put that was not right */
  close_world(&w);
}

/* --- access
 * ------------------------------------------------------------------------------------------------------------ */

enum { ALL = IMGSTORE_ACCESS_PULL | IMGSTORE_ACCESS_PUSH | IMGSTORE_ACCESS_DELETE };

static void test_access_from_the_token(void **state) {
  const answer script[] = {
      {LIST, 401, CHALLENGE, NULL},
      {TOKEN, 200, NULL, "{\"token\":\"" JWT_PULL_PUSH "\"}"},
      {LIST, 200, NULL, "{}"},
  };
  world w;
  uint32_t granted;
  imgstore_report *report;
  open_jobs(&w, script, COUNT(script));
  assert_int_equal(imgstore_registry_access(w.registry, "a/b", ALL, NULL, &granted, &report, NULL), 0);
  assert_int_equal(granted, IMGSTORE_ACCESS_PULL | IMGSTORE_ACCESS_PUSH);
  assert_int_equal(imgstore_report_count(report), 3);
  assert_string_equal(imgstore_report_name(report, 2), "delete");
  assert_non_null(strstr(imgstore_report_detail(report, 2), "token"));
  assert_non_null(strstr(line(&w, 1), "scope=repository%3Aa%2Fb%3Apull%2Cpush%2Cdelete"));
  assert_int_equal(w.script.log_count, 3);
  imgstore_report_free(report);
  close_world(&w);
}

/* A token that tells nothing, or none at all: each right is tried, the upload given up. */
static void test_access_by_trying(void **state) {
  const answer script[] = {
      {LIST, 401, BASIC, NULL},
      {LIST, 404, NULL, NULL},
      {"POST " HUB "a/b/blobs/uploads/", 202, "Location: /v2/a/b/blobs/uploads/7?state=x\n", NULL},
      {"DELETE " HUB "a/b/blobs/uploads/7?state=x", 404, NULL, NULL},
      {"DELETE " HUB "a/b/manifests/" NONE, 405, NULL, NULL},
  };
  world w;
  uint32_t granted;
  imgstore_report *report;
  open_jobs(&w, script, COUNT(script));
  assert_int_equal(imgstore_registry_access(w.registry, "a/b", ALL, NULL, &granted, &report, NULL), 0);
  assert_int_equal(granted, IMGSTORE_ACCESS_PULL | IMGSTORE_ACCESS_PUSH);
  assert_string_equal(imgstore_report_detail(report, 2), "this registry does not allow deleting");
  assert_int_equal(w.script.log_count, COUNT(script));
  imgstore_report_free(report);
  close_world(&w);
}

/* What is not wanted is not tried; a session elsewhere that may not be asked is left. */
static void test_access_push_alone(void **state) {
  const answer script[] = {
      {LIST, 200, NULL, "{}"},
      {"POST " HUB "a/b/blobs/uploads/", 202, "Location: http://10.0.0.1/x\n", NULL},
  };
  world w;
  uint32_t granted;
  open_jobs(&w, script, COUNT(script));
  assert_int_equal(imgstore_registry_access(w.registry, "a/b", IMGSTORE_ACCESS_PUSH, NULL, &granted, NULL, NULL), 0);
  assert_int_equal(granted, IMGSTORE_ACCESS_PUSH);
  assert_int_equal(w.script.log_count, COUNT(script));
  close_world(&w);
}

static void test_access_refused(void **state) {
  const answer denied[] = {
      {LIST, 403, NULL, "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"not yours\"}]}"},
      {LIST, 403, NULL, "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"not yours\"}]}"},
      {"POST " HUB "a/b/blobs/uploads/", 403, NULL, NULL},
      {"DELETE " HUB "a/b/manifests/" NONE, 403, NULL, NULL},
  };
  const answer wrong[] = {{LIST, 401, BASIC, NULL}, {LIST, 401, BASIC, NULL}};
  const answer broken[] = {{LIST, 0, NULL, NULL, 0, IMGSTORE_ETLS, "bad certificate", 0}};
  world w;
  uint32_t granted;
  imgstore_report *report;
  open_jobs(&w, denied, COUNT(denied));
  assert_int_equal(imgstore_registry_access(w.registry, "a/b", ALL, NULL, &granted, &report, NULL), 0);
  assert_int_equal(granted, 0);
  assert_string_equal(imgstore_report_detail(report, 0), "access denied (not yours)");
  imgstore_report_free(report);
  close_world(&w);
  open_jobs(&w, wrong, COUNT(wrong));
  assert_int_equal(imgstore_registry_access(w.registry, "a/b", IMGSTORE_ACCESS_PULL, NULL, &granted, &report, NULL),
                   IMGSTORE_EUNAUTHORIZED);
  close_world(&w);
  open_jobs(&w, broken, COUNT(broken));
  assert_int_equal(imgstore_registry_access(w.registry, "a/b", ALL, NULL, &granted, NULL, NULL), IMGSTORE_ETLS);
  close_world(&w);
}

/* --- all of them
 * ------------------------------------------------------------------------------------------------------- */

static void test_arguments(void **state) {
  world w;
  imgstore_operation *op;
  imgstore_registry_job_options o;
  imgstore_report *report;
  uint32_t granted;
  open_jobs(&w, NULL, 0);
  assert_int_equal(imgstore_registry_job_options_init(&o, sizeof o), 0);
  o.flags = 2;
  assert_int_equal(imgstore_registry_delete_start(w.registry, "a/b", "1", &o, &op, NULL), IMGSTORE_EUNSUPPORTED);
  o.flags = IMGSTORE_DELETE_MANIFEST;
  assert_int_equal(imgstore_registry_tags_start(w.registry, "a/b", &o, &op, NULL), IMGSTORE_EUNSUPPORTED);
  assert_null(op);
  assert_int_equal(imgstore_registry_delete(w.registry, "A", "1", NULL, NULL, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(imgstore_registry_delete(w.registry, "a", "x/y", NULL, NULL, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(imgstore_registry_delete(w.registry, "a", "sha256:12", NULL, NULL, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(imgstore_registry_copy_tag(w.registry, "a", "1", D1, NULL, NULL, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(imgstore_registry_access(w.registry, "a", 8, NULL, &granted, NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_registry_access(w.registry, "a", 0, NULL, &granted, NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_registry_catalog(NULL, &report, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_registry_catalog(w.registry, NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(w.script.log_count, 0);
  close_world(&w);
}

static int32_t stop(void *data, const imgstore_event *event) {
  return event->type == IMGSTORE_EVENT_RETRY ? 7 : 0;
}

static void test_cancel_and_callback(void **state) {
  const answer script[] = {{HUB_GET("_catalog"), 200, NULL, NULL, 0, 0, NULL, 0, SCRIPT_HANG},
                           {HUB_GET("_catalog"), 503, NULL, NULL}};
  world w;
  imgstore_operation *op;
  imgstore_registry_job_options o;
  imgstore_error *error = NULL;
  open_jobs(&w, script, COUNT(script));
  assert_int_equal(imgstore_registry_catalog_start(w.registry, NULL, &op, NULL), 0);
  for (int i = 0; i < 3; i++)
    assert_int_equal(imgstore_operation_step(op, 0, NULL), IMGSTORE_EAGAIN);
  imgstore_operation_cancel(op);
  assert_int_equal(imgstore_operation_wait(op, NULL), IMGSTORE_ECANCELLED);
  imgstore_operation_free(op);
  imgstore_registry_job_options_init(&o, sizeof o);
  o.progress = stop;
  assert_int_equal(imgstore_registry_catalog_start(w.registry, &o, &op, NULL), 0);
  assert_int_equal(imgstore_operation_wait(op, &error), IMGSTORE_ECALLBACK);
  assert_int_equal(imgstore_error_callback_value(error), 7);
  imgstore_error_free(error);
  imgstore_operation_free(op);
  close_world(&w);
}

static const answer memory_script[] = {
    {HUB_GET("_catalog"), 200, NULL, "{\"repositories\":[\"a\"]}"},
    {"DELETE " HUB "a/b/manifests/1", 400, NULL, NULL},
    {HUB_GET("a/b/manifests/1"), 200, MT, MANIFEST},
    {"DELETE " HUB "a/b/manifests/sha256", 202, NULL, NULL},
    {HUB_GET("a/b/manifests/1"), 200, MT, MANIFEST},
    {"PUT " HUB "a/b/manifests/2", 201, NULL, NULL},
    {LIST, 401, CHALLENGE, NULL},
    {TOKEN, 200, NULL, "{\"token\":\"" JWT_PULL_PUSH "\"}"},
    {LIST, 200, NULL, "{}"},
    {"POST " HUB "a/b/blobs/uploads/", 202, "Location: /v2/a/b/blobs/uploads/7?state=x\n", NULL},
    {"DELETE " HUB "a/b/blobs/uploads/7", 204, NULL, NULL},
    {"DELETE " HUB "a/b/manifests/" NONE, 404, NULL, NULL},
};

static int32_t everything(world *w, const imgstore_allocator *allocator) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_report *report = NULL;
  uint32_t granted;
  prepare(w, memory_script, COUNT(memory_script));
  int32_t rc = open_on(w, "r.example", allocator, &err);
  if (!rc)
    rc = imgstore_registry_catalog(w->registry, &report, NULL);
  imgstore_report_free(report);
  if (!rc)
    rc = remove_from(w, "1", IMGSTORE_DELETE_MANIFEST, NULL, NULL);
  if (!rc)
    rc = copy(w, "1", "2", NULL, NULL);
  return rc ? rc : imgstore_registry_access(w->registry, "a/b", ALL, NULL, &granted, NULL, NULL);
}

static void test_every_allocation_fails_once(void **state) {
  for (size_t i = 0;; i++) {
    failing f;
    ims_alloc alloc = failing_alloc(&f, i);
    const imgstore_allocator allocator = {sizeof allocator, &f, alloc.allocate, alloc.reallocate, alloc.release};
    world w;
    int32_t rc = everything(&w, &allocator);
    ims_client_free(w.client);
    imgstore_registry_free(w.registry);
    ims_core_unref(w.core);
    assert_int_equal(w.script.open_count, 0);
    assert_int_equal(f.live, 0);
    if (!f.failed) {
      assert_int_equal(rc, 0);
      assert_true(i > 100);
      break;
    }
    assert_true(rc == IMGSTORE_ENOMEM || rc == IMGSTORE_OK); /* a token that cannot be read only means trying */
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_catalog_pages),
      cmocka_unit_test(test_catalog_page_size),
      cmocka_unit_test(test_catalog_refusals),
      cmocka_unit_test(test_catalog_that_never_ends),
      cmocka_unit_test(test_catalog_scope),
      cmocka_unit_test(test_delete),
      cmocka_unit_test(test_delete_by_digest_only),
      cmocka_unit_test(test_copy_tag),
      cmocka_unit_test(test_access_from_the_token),
      cmocka_unit_test(test_access_by_trying),
      cmocka_unit_test(test_access_push_alone),
      cmocka_unit_test(test_access_refused),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_cancel_and_callback),
      cmocka_unit_test(test_every_allocation_fails_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
