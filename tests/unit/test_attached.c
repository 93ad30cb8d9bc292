/*
 * tests/unit/test_attached.c - listing, reading, attaching and policies through the public interface on a registry in
 * memory that keeps what is pushed: both faces, callbacks that stop, cancelling, and every allocation failing in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "failing_alloc.h"
#include "hash/hash.h"
#include "imgstore/imgstore.h"
#include "sign_vectors.h"

/* --- a registry -----------------------------------------------------------------------------------------------------
 */

enum { KEPT_MAX = 64, OPEN_MAX = 16 };

typedef struct kept {
  char path[256]; /* "manifests/1", "blobs/sha256:..." */
  char type[96];
  char *data;
  size_t size;
} kept;

typedef struct open_exchange {
  imgstore_exchange *exchange;
  bool over;
} open_exchange;

typedef struct site {
  kept kept[KEPT_MAX];
  size_t count;
  bool api; /* it has the referrers API: kept "referrers/DIGEST", and PUTs are answered with OCI-Subject */
  char subject[80];
  open_exchange open[OPEN_MAX];
  int requests;
} site;

static void digest_of(const void *data, size_t size, char out[80]) {
  ims_hash hash;
  uint8_t bytes[IMS_HASH_MAX_SIZE];
  ims_hash_init(&hash, IMS_HASH_SHA256);
  ims_hash_update(&hash, data, size);
  ims_hash_final(&hash, bytes);
  memcpy(out, "sha256:", 7);
  ims_hex_encode(bytes, 32, out + 7);
}

static kept *find(site *s, const char *path) {
  for (size_t i = 0; i < s->count; i++)
    if (strcmp(s->kept[i].path, path) == 0)
      return &s->kept[i];
  return NULL;
}

static void keep(site *s, const char *path, const char *type, const void *data, size_t size) {
  kept *k = find(s, path);
  if (!k)
    k = &s->kept[s->count++];
  else
    free(k->data);
  snprintf(k->path, sizeof k->path, "%s", path);
  snprintf(k->type, sizeof k->type, "%s", type);
  k->data = malloc(size + 1);
  memcpy(k->data, data, size);
  k->size = size;
}

static void clear(site *s) {
  for (size_t i = 0; i < s->count; i++)
    free(s->kept[i].data);
  s->count = 0;
}

static void keep_manifest(site *s, const char *tag, const char *type, const char *text, char digest[80]) {
  char path[256];
  digest_of(text, strlen(text), digest);
  snprintf(path, sizeof path, "manifests/%s", digest);
  keep(s, path, type, text, strlen(text));
  snprintf(path, sizeof path, "manifests/%s", tag);
  if (tag)
    keep(s, path, type, text, strlen(text));
}

static void keep_blob(site *s, const char *text, char digest[80]) {
  char path[256];
  digest_of(text, strlen(text), digest);
  snprintf(path, sizeof path, "blobs/%s", digest);
  keep(s, path, "application/octet-stream", text, strlen(text));
}

static int32_t site_start(void *user_data, imgstore_exchange *exchange, void **handle) {
  site *s = user_data;
  for (size_t i = 0; i < OPEN_MAX; i++)
    if (!s->open[i].exchange) {
      s->open[i] = (open_exchange){exchange, false};
      *handle = &s->open[i];
      s->requests++;
      return 0;
    }
  return IMGSTORE_ELIMIT;
}

static void take_upload(site *s, imgstore_exchange *x, const char *path) {
  char body[8192], target[256];
  const char *type = "", *name, *value, *digest = strstr(path, "digest=");
  size_t size = imgstore_exchange_upload_read(x, 0, body, sizeof body);
  for (size_t i = 0; imgstore_exchange_header(x, i, &name, &value) == 0; i++)
    if (ims_equal_fold(name, "content-type"))
      type = value;
  if (digest && strncmp(path, "blobs/", 6) == 0) {
    snprintf(target, sizeof target, "blobs/sha256:%s", digest + strlen("digest=sha256%3A"));
    if (digest[strlen("digest=sha256")] == ':')
      snprintf(target, sizeof target, "blobs/%s", digest + strlen("digest="));
    keep(s, target, type, body, size);
  } else if (strncmp(path, "manifests/", 10) == 0) {
    char own[80];
    keep(s, path, type, body, size);
    digest_of(body, size, own);
    snprintf(target, sizeof target, "manifests/%s", own);
    keep(s, target, type, body, size);
  }
}

static void respond(site *s, imgstore_exchange *x, const char *path) {
  const char *method = imgstore_exchange_method(x);
  char length[32];
  if (strcmp(method, "POST") == 0) {
    imgstore_exchange_set_status(x, 202);
    imgstore_exchange_add_header(x, "Location", "/v2/app/blobs/uploads/1");
    return;
  }
  if (strcmp(method, "PUT") == 0) {
    take_upload(s, x, path);
    imgstore_exchange_set_status(x, 201);
    if (s->api && strncmp(path, "manifests/", 10) == 0)
      imgstore_exchange_add_header(x, "OCI-Subject", s->subject);
    return;
  }
  const kept *k = find(s, path);
  imgstore_exchange_set_status(x, k ? 200 : 404);
  if (!k)
    return;
  snprintf(length, sizeof length, "%zu", k->size);
  imgstore_exchange_add_header(x, "Content-Length", length);
  imgstore_exchange_add_header(x, "Content-Type", k->type);
  if (strcmp(method, "HEAD") != 0)
    imgstore_exchange_body(x, k->data, k->size);
}

static int32_t site_perform(void *user_data, int32_t timeout_ms) {
  site *s = user_data;
  for (size_t i = 0; i < OPEN_MAX; i++) {
    open_exchange *o = &s->open[i];
    if (!o->exchange || o->over)
      continue;
    o->over = true;
    const char *path = strstr(imgstore_exchange_url(o->exchange), "/v2/app/");
    respond(s, o->exchange, path ? path + 8 : "");
    imgstore_exchange_done(o->exchange, IMGSTORE_OK, NULL, 0);
  }
  return 0;
}

static int32_t site_resume(void *user_data, void *handle) {
  return 0;
}

static void site_close(void *user_data, void *handle) {
  ((open_exchange *)handle)->exchange = NULL;
}

/* --- its content ----------------------------------------------------------------------------------------------------
 */

#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define EMPTY_CONFIG                                                                                                   \
  "\"config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":"                                        \
  "\"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2,\"data\":\"e30=\"}"

/* The image is the manifest whose digest the vectors sign: the text "manifest" cannot be one, so the payload is signed
   for another digest and the trust tests use a policy that says so. */
static void fill(site *s, bool api) {
  char image[80], sbom[80], artifact[80], text[2048], path[256];
  memset(s, 0, sizeof *s);
  s->api = api;
  keep_manifest(s, "1", OCI_MANIFEST,
                "{\"schemaVersion\":2,\"mediaType\":\"" OCI_MANIFEST "\"," EMPTY_CONFIG ",\"layers\":[]}", image);
  memcpy(s->subject, image, sizeof image);
  keep_blob(s, "an SBOM", sbom);
  snprintf(text, sizeof text,
           "{\"schemaVersion\":2,\"mediaType\":\"" OCI_MANIFEST
           "\",\"artifactType\":\"application/spdx+json\"," EMPTY_CONFIG
           ",\"layers\":[{\"mediaType\":\"application/spdx+json\",\"digest\":\"%s\",\"size\":7,\"annotations\":{\"a\":"
           "\"layer\"}}],\"subject\":{\"mediaType\":\"" OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":1},"
           "\"annotations\":{\"b\":\"manifest\"}}",
           sbom, image);
  keep_manifest(s, NULL, OCI_MANIFEST, text, artifact);
  size_t size = strlen(text);
  snprintf(text, sizeof text,
           "{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX "\",\"manifests\":[{\"mediaType\":\"" OCI_MANIFEST
           "\",\"digest\":\"%s\",\"size\":%zu}]}",
           artifact, size);
  if (api)
    snprintf(path, sizeof path, "referrers/%s", image);
  else
    snprintf(path, sizeof path, "manifests/sha256-%s", image + 7);
  keep(s, path, OCI_INDEX, text, strlen(text));
}

/* A cosign signature of the vectors' payload under the image's tag. */
static void add_signature(site *s) {
  char blob[80], manifest[80], text[2048], tag[128];
  keep_blob(s, payload, blob);
  snprintf(
      text, sizeof text,
      "{\"schemaVersion\":2,\"mediaType\":\"" OCI_MANIFEST "\"," EMPTY_CONFIG
      ",\"layers\":[{\"mediaType\":\"application/vnd.dev.cosign.simplesigning.v1+json\",\"digest\":\"%s\",\"size\":"
      "%zu,\"annotations\":{\"dev.cosignproject.cosign/signature\":\"%s\"}}]}",
      blob, strlen(payload), signature_p256_sha256);
  snprintf(tag, sizeof tag, "sha256-%s.sig", s->subject + 7);
  keep_manifest(s, tag, OCI_MANIFEST, text, manifest);
}

static imgstore_context *context_on(const imgstore_allocator *allocator) {
  imgstore_context_options options;
  imgstore_context *context = NULL;
  imgstore_context_options_init(&options, sizeof options);
  options.allocator = allocator;
  imgstore_context_new(&options, &context, NULL);
  return context;
}

static imgstore_registry *registry_on(site *s, imgstore_context *context) {
  imgstore_registry_options options;
  imgstore_registry *registry = NULL;
  imgstore_transport transport = {.size = sizeof transport,
                                  .user_data = s,
                                  .start = site_start,
                                  .resume = site_resume,
                                  .perform = site_perform,
                                  .close = site_close};
  imgstore_registry_options_init(&options, sizeof options);
  options.transport = &transport;
  options.retry_delay = options.max_retry_delay = 1;
  imgstore_registry_new(context, "registry.test", &options, &registry, NULL);
  return registry;
}

typedef struct world {
  site site;
  imgstore_context *context;
  imgstore_registry *registry;
} world;

static void open_world(world *w, bool api) {
  fill(&w->site, api);
  w->context = context_on(NULL);
  w->registry = registry_on(&w->site, w->context);
}

static void close_world(world *w) {
  imgstore_registry_free(w->registry);
  imgstore_context_free(w->context);
  clear(&w->site);
}

/* --- listing and reading --------------------------------------------------------------------------------------------
 */

static void check_list(const world *w, imgstore_attached *list, int32_t found) {
  const char *key, *value;
  imgstore_bytes *bytes;
  assert_int_equal(imgstore_attached_count(list), 1);
  assert_string_equal(imgstore_attached_target(list), w->site.subject);
  assert_int_equal(imgstore_attached_kind(list, 0), IMGSTORE_ATTACHED_SBOM_SPDX);
  assert_int_equal(imgstore_attached_found(list, 0), found);
  assert_int_equal(imgstore_attached_size(list, 0), 7);
  assert_string_equal(imgstore_attached_text(list, 0, IMGSTORE_ATTACHED_SUBJECT), w->site.subject);
  assert_string_equal(imgstore_attached_text(list, 0, IMGSTORE_ATTACHED_TITLE), "");
  assert_string_equal(imgstore_attached_text(list, 0, 99), "");
  assert_string_equal(imgstore_attached_text(list, 1, IMGSTORE_ATTACHED_DIGEST), "");
  assert_int_equal(imgstore_attached_annotation_count(list, 0), 2);
  assert_int_equal(imgstore_attached_annotation(list, 0, 0, &key, &value), IMGSTORE_OK);
  assert_string_equal(value, "layer");
  assert_int_equal(imgstore_attached_annotation(list, 0, 1, &key, &value), IMGSTORE_OK);
  assert_string_equal(value, "manifest");
  assert_int_equal(imgstore_attached_annotation(list, 0, 2, &key, &value), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_attached_annotation(list, 1, 0, &key, &value), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_attached_read(list, 0, 6, &bytes, NULL), IMGSTORE_ELIMIT);
  assert_int_equal(imgstore_attached_read(list, 1, 7, &bytes, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_attached_read(list, 0, 7, &bytes, NULL), IMGSTORE_OK);
  assert_string_equal(imgstore_bytes_data(bytes), "an SBOM");
  imgstore_bytes_free(bytes);
}

static void test_list(void **state) {
  for (int api = 0; api < 2; api++) {
    world w;
    imgstore_attached *list;
    open_world(&w, api);
    assert_int_equal(imgstore_attached_list(w.registry, "registry.test/app:1", NULL, &list, NULL), IMGSTORE_OK);
    check_list(&w, list, api ? IMGSTORE_FOUND_REFERRERS : IMGSTORE_FOUND_TAG);
    assert_ptr_equal(imgstore_attached_ref(list), list);
    imgstore_attached_unref(list);
    /* the list keeps what it needs of its parents */
    imgstore_registry_free(w.registry);
    imgstore_context_free(w.context);
    w.registry = NULL;
    w.context = NULL;
    check_list(&w, list, api ? IMGSTORE_FOUND_REFERRERS : IMGSTORE_FOUND_TAG);
    imgstore_attached_unref(list);
    close_world(&w);
  }
}

static void test_list_as_an_operation(void **state) {
  world w;
  imgstore_operation *op;
  int32_t rc;
  open_world(&w, true);
  assert_int_equal(imgstore_attached_list_start(w.registry, "registry.test/app:1", NULL, &op, NULL), IMGSTORE_OK);
  assert_null(imgstore_operation_attached(op));
  while ((rc = imgstore_operation_step(op, 0, NULL)) == IMGSTORE_EAGAIN) {
    struct pollfd p = {imgstore_operation_fd(op), POLLIN, 0};
    assert_int_equal(poll(&p, 1, 10000), 1);
  }
  assert_int_equal(rc, IMGSTORE_OK);
  imgstore_attached *list = imgstore_operation_attached(op);
  imgstore_operation_free(op);
  check_list(&w, list, IMGSTORE_FOUND_REFERRERS);
  imgstore_attached_unref(list);
  /* cancelled */
  assert_int_equal(imgstore_attached_list_start(w.registry, "registry.test/app:1", NULL, &op, NULL), IMGSTORE_OK);
  imgstore_operation_cancel(op);
  assert_int_equal(imgstore_operation_wait(op, NULL), IMGSTORE_ECANCELLED);
  assert_null(imgstore_operation_attached(op));
  imgstore_operation_free(op);
  /* freed while it runs */
  assert_int_equal(imgstore_attached_list_start(w.registry, "registry.test/app:1", NULL, &op, NULL), IMGSTORE_OK);
  imgstore_operation_step(op, 0, NULL);
  imgstore_operation_free(op);
  close_world(&w);
}

static void test_wrong_arguments(void **state) {
  world w;
  imgstore_attached *list;
  imgstore_attached_options options;
  open_world(&w, true);
  assert_int_equal(imgstore_attached_list(NULL, "a", NULL, &list, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_attached_list(w.registry, NULL, NULL, &list, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_attached_list(w.registry, "a", NULL, NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_attached_list(w.registry, "other.test/app:1", NULL, &list, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_attached_list(w.registry, "registry.test/UPPER", NULL, &list, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(imgstore_attached_list(w.registry, "registry.test/app:9", NULL, &list, NULL), IMGSTORE_ENOTFOUND);
  imgstore_attached_options_init(&options, sizeof options);
  options.kind = 99;
  assert_int_equal(imgstore_attached_list(w.registry, "registry.test/app:1", &options, &list, NULL), IMGSTORE_EINVALID);
  options.kind = 0;
  options.platform = "nonsense/nonsense/nonsense/nonsense";
  assert_int_equal(imgstore_attached_list(w.registry, "registry.test/app:1", &options, &list, NULL), IMGSTORE_EFORMAT);
  options.platform = NULL;
  options.kind = IMGSTORE_ATTACHED_SIGNATURE;
  assert_int_equal(imgstore_attached_list(w.registry, "registry.test/app:1", &options, &list, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_attached_count(list), 0);
  imgstore_attached_unref(list);
  options.kind = 0;
  options.artifact_type = "application/other";
  assert_int_equal(imgstore_attached_list(w.registry, "registry.test/app:1", &options, &list, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_attached_count(list), 0);
  imgstore_attached_unref(list);
  assert_int_equal(imgstore_attached_count(NULL), 0);
  assert_string_equal(imgstore_attached_target(NULL), "");
  imgstore_attached_unref(NULL);
  close_world(&w);
}

/* --- attaching ------------------------------------------------------------------------------------------------------
 */

static int32_t stop_at_once(void *user_data, const imgstore_event *event) {
  ++*(int *)user_data;
  return 42;
}

static void test_attach(void **state) {
  for (int api = 0; api < 2; api++) {
    world w;
    imgstore_attachment *attachment;
    imgstore_report *report;
    imgstore_attached *list;
    open_world(&w, api);
    assert_int_equal(imgstore_attachment_new(w.context, "application/sarif+json", &attachment, NULL), IMGSTORE_OK);
    assert_int_equal(imgstore_attachment_add_bytes(attachment, "{}", 2, NULL, "r.sarif", NULL), IMGSTORE_OK);
    assert_int_equal(imgstore_attachment_add_bytes(attachment, NULL, 0, "text/plain", NULL, NULL), IMGSTORE_OK);
    assert_int_equal(imgstore_attachment_annotate(attachment, "tool", "a", NULL), IMGSTORE_OK);
    assert_int_equal(imgstore_attachment_annotate(attachment, "TOOL", "b", NULL), IMGSTORE_EINVALID);
    assert_int_equal(imgstore_attachment_annotate(attachment, "", "b", NULL), IMGSTORE_EINVALID);
    assert_int_equal(imgstore_attachment_annotate(attachment, "x", "\xff", NULL), IMGSTORE_EINVALID);
    assert_int_equal(imgstore_attachment_add_file(attachment, "/nonexistent/file", NULL, NULL, NULL),
                     IMGSTORE_ENOTFOUND);
    assert_int_equal(imgstore_attachment_add_file(attachment, "/dev/null", NULL, NULL, NULL), IMGSTORE_EFORMAT);
    assert_int_equal(imgstore_attach(w.registry, "registry.test/app:1", attachment, NULL, &report, NULL), IMGSTORE_OK);
    assert_int_equal(imgstore_report_kind(report, 0), IMGSTORE_REPORT_PUBLISHED);
    imgstore_report_free(report);
    /* the same once more: one entry, and the attachment is free again */
    assert_int_equal(imgstore_attach(w.registry, "registry.test/app:1", attachment, NULL, NULL, NULL), IMGSTORE_OK);
    if (!api) {
      assert_int_equal(imgstore_attached_list(w.registry, "registry.test/app:1", NULL, &list, NULL), IMGSTORE_OK);
      assert_int_equal(imgstore_attached_count(list), 3);
      assert_int_equal(imgstore_attached_kind(list, 1), IMGSTORE_ATTACHED_VULNERABILITY);
      assert_string_equal(imgstore_attached_text(list, 1, IMGSTORE_ATTACHED_TITLE), "r.sarif");
      imgstore_attached_unref(list);
    }
    imgstore_attachment_free(attachment);
    close_world(&w);
  }
}

static void test_attach_stopped(void **state) {
  world w;
  imgstore_attachment *attachment;
  imgstore_attach_options options;
  imgstore_error *error = NULL;
  imgstore_operation *op;
  int calls = 0;
  open_world(&w, false);
  assert_int_equal(imgstore_attachment_new(w.context, "no type", &attachment, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_attachment_new(w.context, "a/b", &attachment, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_attach(w.registry, "registry.test/app:1", attachment, NULL, NULL, NULL), IMGSTORE_EINVALID);
  imgstore_attachment_add_bytes(attachment, "x", 1, NULL, NULL, NULL);
  imgstore_attach_options_init(&options, sizeof options);
  options.progress = stop_at_once;
  options.progress_data = &calls;
  assert_int_equal(imgstore_attach(w.registry, "registry.test/app:1", attachment, &options, NULL, &error),
                   IMGSTORE_ECALLBACK);
  assert_int_equal(imgstore_error_callback_value(error), 42);
  assert_int_equal(calls, 1);
  imgstore_error_free(error);
  options.flags = 1;
  assert_int_equal(imgstore_attach_start(w.registry, "registry.test/app:1", attachment, &options, &op, NULL),
                   IMGSTORE_EUNSUPPORTED);
  assert_int_equal(imgstore_attach_start(w.registry, "registry.test/app:1", attachment, NULL, &op, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_attachment_annotate(attachment, "a", "b", NULL), IMGSTORE_EBUSY);
  imgstore_attachment_free(attachment); /* the operation keeps it */
  assert_int_equal(imgstore_operation_wait(op, NULL), IMGSTORE_OK);
  imgstore_operation_free(op);
  close_world(&w);
}

/* --- policies -------------------------------------------------------------------------------------------------------
 */

static imgstore_policy *policy_of(imgstore_context *context, const char *pem) {
  imgstore_policy *policy = NULL;
  size_t number = 0;
  int32_t rc = imgstore_policy_new(context, &policy, NULL);
  if (!rc)
    rc = imgstore_policy_add_rule(policy, "registry.test", NULL, &number, NULL);
  if (!rc)
    rc = imgstore_policy_add_key(policy, number, pem, strlen(pem), "a.pub", NULL);
  if (!rc)
    return policy;
  imgstore_policy_free(policy);
  return NULL;
}

static void check_refused(world *w, imgstore_policy *policy, const char *words) {
  imgstore_pull_options options;
  imgstore_store *store;
  imgstore_error *error = NULL;
  imgstore_report *list;
  assert_int_equal(imgstore_policy_check(policy, w->registry, "registry.test/app:1", NULL, NULL, &error),
                   IMGSTORE_EUNTRUSTED);
  assert_non_null(strstr(imgstore_error_message(error), words));
  imgstore_error_free(error);
  imgstore_pull_options_init(&options, sizeof options);
  options.policy = policy;
  assert_int_equal(imgstore_store_open_memory(w->context, 0, &store, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_pull(store, w->registry, "registry.test/app:1", &options, NULL, NULL), IMGSTORE_EUNTRUSTED);
  assert_int_equal(imgstore_store_list(store, &list, NULL), IMGSTORE_OK);
  assert_int_equal(imgstore_report_count(list), 0);
  imgstore_report_free(list);
  imgstore_store_close(store);
}

static void test_policy(void **state) {
  world w;
  imgstore_operation *op;
  open_world(&w, true);
  imgstore_policy *policy = policy_of(w.context, key_p256);
  check_refused(&w, policy, "no signature found");
  add_signature(&w.site);
  check_refused(&w, policy, "a signature by a.pub is for another image: it is for " SIGNED_DIGEST);
  imgstore_policy *other = policy_of(w.context, key_p384);
  check_refused(&w, other, "1 signature found, none that counts by a.pub");
  imgstore_policy_free(other);
  assert_int_equal(imgstore_policy_check_start(policy, w.registry, "registry.test/app:1", NULL, &op, NULL),
                   IMGSTORE_OK);
  assert_int_equal(imgstore_policy_add_rule(policy, "", NULL, NULL, NULL), IMGSTORE_EBUSY);
  imgstore_policy_free(policy); /* the operation keeps it */
  assert_int_equal(imgstore_operation_wait(op, NULL), IMGSTORE_EUNTRUSTED);
  const imgstore_report *report = imgstore_operation_report(op);
  assert_int_equal(imgstore_report_count(report), 1);
  assert_int_equal(imgstore_report_kind(report, 0), IMGSTORE_REPORT_UNSIGNED);
  imgstore_operation_free(op);
  close_world(&w);
}

/* --- no memory ------------------------------------------------------------------------------------------------------
 */

static int32_t do_all(imgstore_context *context, imgstore_registry *registry) {
  imgstore_attached *list = NULL;
  imgstore_bytes *bytes = NULL;
  imgstore_attachment *attachment = NULL;
  imgstore_policy *policy = NULL;
  int32_t rc = imgstore_attached_list(registry, "registry.test/app:1", NULL, &list, NULL);
  if (!rc)
    rc = imgstore_attached_read(list, 0, 4096, &bytes, NULL);
  if (!rc)
    rc = imgstore_attachment_new(context, "a/b", &attachment, NULL);
  if (!rc)
    rc = imgstore_attachment_add_bytes(attachment, "x", 1, NULL, "title", NULL);
  if (!rc)
    rc = imgstore_attachment_annotate(attachment, "k", "v", NULL);
  if (!rc)
    rc = imgstore_attach(registry, "registry.test/app:1", attachment, NULL, NULL, NULL);
  if (!rc && !(policy = policy_of(context, key_p256)))
    rc = IMGSTORE_ENOMEM;
  if (!rc && imgstore_policy_check(policy, registry, "registry.test/app:1", NULL, NULL, NULL) != IMGSTORE_EUNTRUSTED)
    rc = IMGSTORE_ENOMEM;
  imgstore_policy_free(policy);
  imgstore_attachment_free(attachment);
  imgstore_bytes_free(bytes);
  imgstore_attached_unref(list);
  return rc;
}

static void test_no_memory(void **state) {
  size_t step = getenv("UNDER_VALGRIND") ? 23 : 1;
  for (size_t n = 0;; n += step) {
    failing f;
    site s;
    ims_alloc a = failing_alloc(&f, SIZE_MAX);
    const imgstore_allocator allocator = {sizeof allocator, a.user_data, a.allocate, a.reallocate, a.release};
    fill(&s, true);
    add_signature(&s);
    imgstore_context *context = context_on(&allocator);
    imgstore_registry *registry = registry_on(&s, context);
    assert_non_null(registry);
    f.left = n;
    int32_t rc = do_all(context, registry);
    bool failed = f.failed;
    f.left = SIZE_MAX;
    imgstore_registry_free(registry);
    imgstore_context_free(context);
    assert_int_equal(f.live, 0);
    clear(&s);
    if (!failed && rc)
      fail_msg("allocation %zu: %d", n, (int)rc);
    if (!failed)
      return;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_list),
      cmocka_unit_test(test_list_as_an_operation),
      cmocka_unit_test(test_wrong_arguments),
      cmocka_unit_test(test_attach),
      cmocka_unit_test(test_attach_stopped),
      cmocka_unit_test(test_policy),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
