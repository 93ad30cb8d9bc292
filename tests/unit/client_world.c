/*
 * tests/unit/client_world.c - see client_world.h.
 */
#include "client_world.h"

static void on_retry(void *data, const char *object, const char *why, uint32_t delay_ms) {
  world *w = data;
  assert_true(*object && *why);
  w->retries++;
  w->last_delay = delay_ms;
}

static void on_warning(void *data, const char *text) {
  snprintf(((world *)data)->warning, sizeof((world *)data)->warning, "%s", text);
}

static void on_rate(void *data, uint64_t left, uint64_t limit) {
  ((world *)data)->rate_left = left;
  ((world *)data)->rate_limit = limit;
}

void prepare(world *w, const answer *script, size_t count) {
  memset(w, 0, sizeof *w);
  scripted_init(&w->script, script, count);
  ims_registry_defaults(&w->options);
  w->options.retry_delay = 100;
  w->now = 1000;
}

static ims_core *make_core(const imgstore_allocator *allocator) {
  imgstore_context_options options;
  imgstore_context_options_init(&options, sizeof options);
  options.allocator = allocator;
  return ims_core_new(&options);
}

int32_t open_on(world *w, const char *host, const imgstore_allocator *allocator, ims_error *err) {
  const ims_client_events events = {w, on_retry, on_warning, on_rate};
  imgstore_transport transport = scripted_vtable(&w->script);
  w->options.transport = &transport;
  w->core = make_core(allocator);
  if (!w->core)
    return IMGSTORE_ENOMEM;
  int32_t rc = ims_registry_new(&w->registry, w->core, host, &w->options, err);
  return rc ? rc : ims_client_new(&w->client, w->registry, &events, NULL, err);
}

void open_world(world *w, const char *host) {
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(open_on(w, host, NULL, &err), IMGSTORE_OK);
}

void close_world(world *w) {
  ims_client_free(w->client);
  imgstore_registry_free(w->registry);
  if (w->registry)
    assert_true(w->script.destroyed);
  assert_int_equal(w->script.open_count, 0);
  ims_core_unref(w->core);
}

bool run(world *w) {
  for (int i = 0; i < 100000 && w->pending; i++) {
    ims_client_perform(w->client, w->now);
    int32_t wait = ims_client_timeout(w->client, w->now);
    if (w->pending && wait < 0)
      return false;
    w->now += wait > 0 ? wait : 0;
  }
  return w->pending == 0;
}

static void on_document(void *data, int32_t code, const ims_document *d, const ims_error *err) {
  outcome *o = data;
  assert_false(o->done);
  o->done = true;
  o->w->pending--;
  o->code = code;
  o->err = *err;
  if (o->cancel)
    ims_fetch_cancel(o->cancel);
  ims_fetch_cancel(o->fetch);
  if (code)
    return;
  o->is_head = d->data == NULL;
  snprintf(o->text, sizeof o->text, "%.*s", (int)d->size, d->data ? d->data : "");
  snprintf(o->type, sizeof o->type, "%s", d->media_type);
  snprintf(o->mirror, sizeof o->mirror, "%s", d->mirror ? d->mirror : "");
  o->digest = d->digest;
  o->length = d->length;
  o->status = d->reply.status;
  const char *location = ims_reply_field(&d->reply, "Location");
  snprintf(o->location, sizeof o->location, "%s", location ? location : "");
  snprintf(o->url, sizeof o->url, "%s", d->url->text);
}

int32_t try_request(world *w, outcome *o, const ims_request *r, ims_error *err) {
  memset(o, 0, sizeof *o);
  o->w = w;
  int32_t rc = ims_request_start(w->client, r, on_document, o, &o->fetch, err);
  w->pending += rc == IMGSTORE_OK;
  return rc;
}

void request_of(world *w, outcome *o, const ims_request *r) {
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(try_request(w, o, r, &err), IMGSTORE_OK);
}

static int32_t begin_manifest(world *w, outcome *o, const char *reference, bool head, ims_error *err) {
  memset(o, 0, sizeof *o);
  o->w = w;
  int32_t rc = ims_fetch_manifest(w->client, "a/b", reference, head, 100, on_document, o, &o->fetch, err);
  w->pending += rc == IMGSTORE_OK;
  return rc;
}

int32_t try_manifest(world *w, outcome *o, const char *reference, ims_error *err) {
  return begin_manifest(w, o, reference, false, err);
}

void manifest(world *w, outcome *o, const char *reference, bool head) {
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(begin_manifest(w, o, reference, head, &err), IMGSTORE_OK);
}

static uint64_t sink_position(void *data) {
  return ((outcome *)data)->position;
}

static size_t sink_body(void *data, const uint8_t *bytes, size_t size) {
  outcome *o = data;
  if (o->take)
    size = o->position >= o->take ? 0 : size < o->take - o->position ? size : (size_t)(o->take - o->position);
  assert_true(o->position + size <= o->size);
  memcpy(o->text + o->position, bytes, size);
  o->position += size;
  if (o->cancel) {
    ims_fetch_cancel(o->cancel);
    o->cancel = NULL;
    o->w->pending--;
  }
  return size;
}

static void sink_over(void *data, int32_t code, const ims_error *err) {
  outcome *o = data;
  assert_false(o->done);
  o->done = true;
  o->w->pending--;
  o->code = code;
  o->err = *err;
  ims_fetch_cancel(o->fetch);
}

int32_t try_blob(world *w, outcome *o, uint64_t size, const char *const *urls, size_t count, ims_error *err) {
  memset(o, 0, sizeof *o);
  o->w = w;
  o->size = size;
  ims_blob_request r = {"a/b", {0, ""}, size, urls, count};
  assert_int_equal(ims_digest_parse(&r.digest, D1, strlen(D1), NULL), 0);
  const ims_blob_sink sink = {o, sink_position, sink_body, sink_over};
  int32_t rc = ims_fetch_blob(w->client, &r, &sink, &o->fetch, err);
  w->pending += rc == IMGSTORE_OK;
  return rc;
}

void blob_urls(world *w, outcome *o, uint64_t size, const char *const *urls, size_t count) {
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(try_blob(w, o, size, urls, count, &err), IMGSTORE_OK);
}

void blob(world *w, outcome *o, uint64_t size) {
  blob_urls(w, o, size, NULL, 0);
}

const char *line(const world *w, size_t i) {
  return i < w->script.log_count ? w->script.log[i].line : "";
}
