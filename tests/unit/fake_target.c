/* tests/unit/fake_target.c - the registry that takes pushes: sessions, blobs, manifests, all in memory. */
#include "fake_target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "hash/hash.h"

struct target_exchange {
  fake_target *target;
  imgstore_exchange *exchange;
  char *body;
  size_t have, size;
  bool paused, ended;
  target_exchange *next;
};

static const target_object *find(const target_object *list, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(list[i].name, name) == 0)
      return &list[i];
  return NULL;
}

const target_object *fake_target_blob(const fake_target *t, const char *digest) {
  return find(t->blobs, t->blob_count, digest);
}

const target_object *fake_target_manifest(const fake_target *t, const char *name) {
  return find(t->manifests, t->manifest_count, name);
}

static target_object *put(target_object *list, size_t *count, const char *name, const char *data, size_t size) {
  target_object *o = (target_object *)find(list, *count, name);
  if (!o)
    o = &list[(*count)++];
  char *grown = malloc(size + 1);
  memcpy(grown, data, size);
  grown[size] = '\0';
  free(o->data);
  o->data = grown;
  o->size = size;
  snprintf(o->name, sizeof o->name, "%s", name);
  return o;
}

static void append(target_object *o, const char *data, size_t size) {
  char *grown = malloc(o->size + size + 1);
  memcpy(grown, o->data, o->size);
  memcpy(grown + o->size, data, size);
  free(o->data);
  o->data = grown;
  o->size += size;
}

static bool hashes_to(const target_object *o, const char *digest) {
  char hex[65];
  uint8_t bytes[IMS_HASH_MAX_SIZE];
  ims_hash hash;
  ims_hash_init(&hash, IMS_HASH_SHA256);
  ims_hash_update(&hash, o->data, o->size);
  ims_hash_final(&hash, bytes);
  ims_hex_encode(bytes, 32, hex);
  return strncmp(digest, "sha256:", 7) == 0 && strcmp(digest + 7, hex) == 0;
}

/* --- answers ---------------------------------------------------------------------------------------------------------
 */

static void reply(target_exchange *e, int32_t status, const char *name, const char *value) {
  imgstore_exchange_set_status(e->exchange, status);
  if (name)
    imgstore_exchange_add_header(e->exchange, name, value);
  imgstore_exchange_done(e->exchange, IMGSTORE_OK, NULL, 0);
}

static void on_session(target_exchange *e, target_object *session, const char *method, const char *digest) {
  fake_target *t = e->target;
  char range[64];
  if (strcmp(method, "GET") != 0)
    append(session, e->body, e->have);
  snprintf(range, sizeof range, "0-%zu", session->size ? session->size - 1 : 0);
  if (strcmp(method, "PUT") != 0) {
    reply(e, strcmp(method, "GET") == 0 ? 204 : 202, "Range", range);
  } else if (!hashes_to(session, digest)) {
    reply(e, 400, NULL, NULL);
  } else {
    put(t->blobs, &t->blob_count, digest, session->data, session->size);
    reply(e, 201, "Docker-Content-Digest", digest);
  }
}

/* A manifest names digests: each must be there. */
static bool is_complete(const fake_target *t, const char *manifest) {
  for (const char *at = manifest; (at = strstr(at, "\"digest\":\"")); at++) {
    char digest[72];
    snprintf(digest, sizeof digest, "%.71s", at + strlen("\"digest\":\""));
    if (!fake_target_blob(t, digest) && !fake_target_manifest(t, digest))
      return false;
  }
  return true;
}

static void on_manifest(target_exchange *e, const char *name, const char *method) {
  fake_target *t = e->target;
  char length[32];
  if (strcmp(method, "PUT") != 0) {
    const target_object *o = fake_target_manifest(t, name);
    snprintf(length, sizeof length, "%zu", o ? o->size : 0);
    reply(e, o ? 200 : 404, "Content-Length", length);
  } else if (t->refused && strcmp(t->refused, name) == 0) {
    reply(e, 409, NULL, NULL);
  } else {
    target_object *o = put(t->manifests, &t->manifest_count, name, e->body, e->have);
    bool whole = is_complete(t, o->data);
    if (!whole)
      o->name[0] = '\0';
    reply(e, whole ? 201 : 400, NULL, NULL);
  }
}

static void on_uploads(target_exchange *e, const char *url, const char *method) {
  fake_target *t = e->target;
  char text[128];
  const char *uploads = strstr(url, "/blobs/uploads/") + strlen("/blobs/uploads/");
  if (!*uploads || *uploads == '?') {
    snprintf(text, sizeof text, "%zu", t->session_count);
    put(t->sessions, &t->session_count, text, "", 0);
    snprintf(text, sizeof text, "/v2/app/blobs/uploads/%zu", t->session_count - 1);
    reply(e, 202, "Location", text);
    return;
  }
  const char *digest = strstr(uploads, "digest=");
  on_session(e, &t->sessions[strtoul(uploads, NULL, 10)], method, digest ? digest + strlen("digest=") : "");
}

static void answer(target_exchange *e) {
  const char *url = imgstore_exchange_url(e->exchange), *method = imgstore_exchange_method(e->exchange);
  const char *last = strrchr(url, '/') + 1;
  if (strstr(url, "/manifests/"))
    on_manifest(e, last, method);
  else if (strstr(url, "/blobs/uploads/"))
    on_uploads(e, url, method);
  else
    reply(e, fake_target_blob(e->target, last) ? 200 : 404, NULL, NULL);
  e->ended = true;
}

/* --- the transport ---------------------------------------------------------------------------------------------------
 */

static int32_t start(void *user_data, imgstore_exchange *exchange, void **handle) {
  fake_target *t = user_data;
  target_exchange *e = calloc(1, sizeof *e);
  e->target = t;
  e->exchange = exchange;
  e->size = (size_t)imgstore_exchange_upload_size(exchange);
  e->body = malloc(e->size + 1);
  t->requests++;
  t->sent += e->size && !strstr(imgstore_exchange_url(exchange), "/manifests/");
  e->next = t->running;
  t->running = e;
  *handle = e;
  return 0;
}

/* What came of it is in the session, as a real registry keeps it. */
static void cut(target_exchange *e) {
  const char *uploads = strstr(imgstore_exchange_url(e->exchange), "/blobs/uploads/");
  if (uploads)
    append(&e->target->sessions[strtoul(uploads + strlen("/blobs/uploads/"), NULL, 10)], e->body, e->have);
  e->target->cut_at = -1;
  e->ended = true;
  imgstore_exchange_done(e->exchange, IMGSTORE_ENETWORK, "connection reset", 1);
}

static void advance(target_exchange *e) {
  size_t piece = e->target->piece ? e->target->piece : 65536;
  if (e->have < e->size) {
    size_t got = imgstore_exchange_upload_read(e->exchange, e->have, e->body + e->have,
                                               piece < e->size - e->have ? piece : e->size - e->have);
    e->paused = !got;
    if (got == SIZE_MAX) {
      e->ended = true;
      imgstore_exchange_done(e->exchange, IMGSTORE_ECANCELLED, NULL, 0);
      return;
    }
    e->have += got;
    if (e->target->cut_at >= 0 && e->have >= (size_t)e->target->cut_at && e->size > (size_t)e->target->cut_at)
      cut(e);
    return;
  }
  answer(e);
}

static int32_t perform(void *user_data, int32_t timeout_ms) {
  fake_target *t = user_data;
  target_exchange *running[64];
  size_t count = 0;
  for (target_exchange *e = t->running; e && count < 64; e = e->next)
    running[count++] = e;
  for (size_t i = 0; i < count; i++) {
    bool alive = false; /* an exchange before it may have closed this one */
    for (target_exchange *e = t->running; e; e = e->next)
      alive |= e == running[i];
    if (alive && !running[i]->ended && !running[i]->paused)
      advance(running[i]);
  }
  return 0;
}

/* Without a descriptor to wait for, the tests would wait between any two steps. */
static int32_t timeout(void *user_data) {
  const fake_target *t = user_data;
  for (const target_exchange *e = t->running; e; e = e->next)
    if (!e->ended && !e->paused)
      return 0;
  return -1;
}

static int32_t resume(void *user_data, void *handle) {
  ((target_exchange *)handle)->paused = false;
  return 0;
}

static void close_exchange(void *user_data, void *handle) {
  fake_target *t = user_data;
  target_exchange **link = &t->running, *e = handle;
  while (*link && *link != e)
    link = &(*link)->next;
  if (*link)
    *link = e->next;
  free(e->body);
  free(e);
}

void fake_target_init(fake_target *target) {
  memset(target, 0, sizeof *target);
  target->cut_at = -1;
}

void fake_target_free(fake_target *t) {
  for (size_t i = 0; i < TARGET_OBJECTS; i++) {
    free(t->blobs[i].data);
    free(t->manifests[i].data);
    free(t->sessions[i].data);
  }
}

imgstore_registry *fake_target_handle(fake_target *target, imgstore_context *context, imgstore_error **error) {
  imgstore_registry_options options;
  imgstore_registry *registry = NULL;
  imgstore_transport transport;
  memset(&transport, 0, sizeof transport);
  transport.size = sizeof transport;
  transport.user_data = target;
  transport.start = start;
  transport.resume = resume;
  transport.perform = perform;
  transport.timeout = timeout;
  transport.close = close_exchange;
  imgstore_registry_options_init(&options, sizeof options);
  options.transport = &transport;
  options.retry_delay = 1;
  options.max_retry_delay = 2;
  imgstore_registry_new(context, "target.test", &options, &registry, error);
  return registry;
}
