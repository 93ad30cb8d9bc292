/* tests/unit/fake_registry.c - the scripted registry: content made at start, exchanges answered from memory. */
#include "fake_registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "hash/hash.h"
#include "tar_fixture.h"

struct fake_exchange {
  fake_registry *fake;
  imgstore_exchange *exchange;
  const fake_object *object;
  size_t at, start;
  bool answered, paused, closed;
  fake_exchange *next;
};

static void digest_of(const void *data, size_t size, char out[80]) {
  ims_hash hash;
  uint8_t bytes[IMS_HASH_MAX_SIZE];
  ims_hash_init(&hash, IMS_HASH_SHA256);
  ims_hash_update(&hash, data, size);
  ims_hash_final(&hash, bytes);
  memcpy(out, "sha256:", 7);
  ims_hex_encode(bytes, 32, out + 7);
}

const fake_object *fake_add(fake_registry *fake, const char *type, const void *data, size_t size) {
  fake_object *o = &fake->objects[fake->count++];
  o->data = malloc(size ? size : 1);
  memcpy(o->data, data, size);
  o->size = size;
  snprintf(o->type, sizeof o->type, "%s", type);
  digest_of(data, size, o->digest);
  return o;
}

static const fake_object *add_layer(fake_registry *fake, int i) {
  tar_fixture tar;
  static char content[300000];
  memset(content, 'a' + i, sizeof content);
  fixture_init(&tar);
  fixture_file(&tar, '5', "srv/", "", 0);
  fixture_file(&tar, '0', i == 0 ? "srv/base" : i == 1 ? "srv/middle" : "srv/top", content, sizeof content - (size_t)i);
  if (i == 2)
    fixture_file(&tar, '0', "srv/.wh.base", "", 0);
  fixture_end(&tar);
  const fake_object *o = fake_add(fake, "", tar.bytes.data, tar.bytes.size);
  fixture_free(&tar);
  return o;
}

static const fake_object *add_image(fake_registry *fake, const fake_object *const layers[], const char *architecture) {
  char config[2048], manifest[4096];
  int n = snprintf(
      config, sizeof config,
      "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"/bin/true\"]},\"rootfs\":{\"type\":\"layers\","
      "\"diff_ids\":[\"%s\",\"%s\",\"%s\"]}}",
      architecture, layers[0]->digest, layers[1]->digest, layers[2]->digest);
  const fake_object *c = fake_add(fake, "", config, (size_t)n);
  n = snprintf(
      manifest, sizeof manifest,
      "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":"
      "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[",
      c->digest, c->size);
  for (int i = 0; i < FAKE_LAYERS; i++)
    n += snprintf(manifest + n, sizeof manifest - (size_t)n,
                  "%s{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":%zu}",
                  i ? "," : "", layers[i]->digest, layers[i]->size);
  n += snprintf(manifest + n, sizeof manifest - (size_t)n, "]}");
  return fake_add(fake, "application/vnd.oci.image.manifest.v1+json", manifest, (size_t)n);
}

void fake_registry_init(fake_registry *fake) {
  const fake_object *layers[FAKE_LAYERS], *images[2];
  static const char *const architectures[] = {"amd64", "arm64"};
  char index[4096];
  memset(fake, 0, sizeof *fake);
  for (int i = 0; i < FAKE_LAYERS; i++) {
    layers[i] = add_layer(fake, i);
    memcpy(fake->layer[i], layers[i]->digest, sizeof fake->layer[i]);
  }
  for (int i = 0; i < 2; i++)
    images[i] = add_image(fake, layers, architectures[i]);
  int n = snprintf(index, sizeof index,
                   "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[");
  for (int i = 0; i < 2; i++)
    n += snprintf(index + n, sizeof index - (size_t)n,
                  "%s{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\",\"size\":%zu,"
                  "\"platform\":{\"os\":\"linux\",\"architecture\":\"%s\"}}",
                  i ? "," : "", images[i]->digest, images[i]->size, architectures[i]);
  n += snprintf(index + n, sizeof index - (size_t)n, "]}");
  fake->index = fake->count;
  fake_add(fake, "application/vnd.oci.image.index.v1+json", index, (size_t)n);
}

void fake_registry_free(fake_registry *fake) {
  for (size_t i = 0; i < fake->count; i++)
    free(fake->objects[i].data);
}

/* --- the transport
 * ------------------------------------------------------------------------------------------------------ */

static const fake_object *find(fake_registry *fake, const char *url) {
  const char *last = strrchr(url, '/') + 1;
  if (strcmp(last, "1") == 0)
    return &fake->objects[fake->index];
  for (size_t i = 0; i < fake->count; i++)
    if (strcmp(fake->objects[i].digest, last) == 0)
      return &fake->objects[i];
  return NULL;
}

static int32_t fake_start(void *user_data, imgstore_exchange *exchange, void **handle) {
  fake_registry *fake = user_data;
  const char *url = imgstore_exchange_url(exchange);
  fake_exchange *e = calloc(1, sizeof *e);
  e->fake = fake;
  e->exchange = exchange;
  e->object = find(fake, url);
  *(strstr(url, "/blobs/") ? &fake->blob_requests : &fake->manifest_requests) += 1;
  fake_exchange **tail = &fake->running;
  while (*tail)
    tail = &(*tail)->next;
  *tail = e;
  *handle = e;
  return 0;
}

static void answer(fake_exchange *e) {
  char text[128];
  const char *range = NULL, *name, *value;
  e->answered = true;
  for (size_t i = 0; imgstore_exchange_header(e->exchange, i, &name, &value) == 0; i++)
    if (ims_equal_fold(name, "range"))
      range = value;
  if (!e->object) {
    imgstore_exchange_set_status(e->exchange, 404);
    return;
  }
  if (range)
    e->at = e->start = strtoul(strchr(range, '=') + 1, NULL, 10);
  imgstore_exchange_set_status(e->exchange, range ? 206 : 200);
  if (range) {
    snprintf(text, sizeof text, "bytes %zu-%zu/%zu", e->at, e->object->size - 1, e->object->size);
    imgstore_exchange_add_header(e->exchange, "Content-Range", text);
  }
  snprintf(text, sizeof text, "%zu", e->object->size - e->at);
  imgstore_exchange_add_header(e->exchange, "Content-Length", text);
  imgstore_exchange_add_header(e->exchange, "Content-Type",
                               e->object->type[0] ? e->object->type : "application/octet-stream");
  if (e->object->type[0])
    imgstore_exchange_add_header(e->exchange, "Docker-Content-Digest", e->object->digest);
}

/* One piece of the body; false when the exchange cannot go on now. */
static bool send_piece(fake_exchange *e) {
  fake_registry *fake = e->fake;
  bool has_body = e->object && strcmp(imgstore_exchange_method(e->exchange), "HEAD") != 0;
  bool is_blob = e->object && !e->object->type[0];
  size_t left = has_body ? e->object->size - e->at : 0;
  if (is_blob && fake->stall)
    return false;
  if (is_blob && fake->cut_after && e->at - e->start >= (size_t)fake->cut_after) {
    imgstore_exchange_done(e->exchange, IMGSTORE_ENETWORK, "connection reset", 1);
    e->closed = true;
    return false;
  }
  if (!left) {
    imgstore_exchange_done(e->exchange, IMGSTORE_OK, NULL, 0);
    e->closed = true;
    return false;
  }
  size_t piece = fake->piece && fake->piece < left ? fake->piece : left;
  char *copy = malloc(piece);
  memcpy(copy, e->object->data + e->at, piece);
  if (fake->corrupt && strcmp(fake->corrupt, e->object->digest) == 0 && e->at == 0)
    copy[600] ^= 1;
  size_t taken = imgstore_exchange_body(e->exchange, copy, piece);
  free(copy);
  if (taken == SIZE_MAX) {
    imgstore_exchange_done(e->exchange, IMGSTORE_ECANCELLED, NULL, 0);
    e->closed = true;
    return false;
  }
  e->at += taken;
  e->paused = taken < piece;
  return !e->paused;
}

static int32_t fake_perform(void *user_data, int32_t timeout_ms) {
  fake_registry *fake = user_data;
  fake_exchange *running[64];
  size_t count = 0;
  for (fake_exchange *e = fake->running; e && count < 64; e = e->next)
    running[count++] = e;
  for (size_t i = 0; i < count; i++) {
    bool alive = false; /* an exchange before it may have closed this one */
    for (fake_exchange *e = fake->running; e; e = e->next)
      alive |= e == running[i];
    if (!alive || running[i]->closed || running[i]->paused)
      continue;
    if (!running[i]->answered)
      answer(running[i]);
    else
      send_piece(running[i]);
  }
  return 0;
}

/* Without a descriptor to wait for, the tests would wait between any two steps. */
static int32_t fake_timeout(void *user_data) {
  const fake_registry *fake = user_data;
  for (const fake_exchange *e = fake->running; e && !fake->stall; e = e->next)
    if (!e->closed && !e->paused)
      return 0;
  return -1;
}

static int32_t fake_resume(void *user_data, void *handle) {
  ((fake_exchange *)handle)->paused = false;
  return 0;
}

static void fake_close(void *user_data, void *handle) {
  fake_registry *fake = user_data;
  fake_exchange **link = &fake->running;
  while (*link && *link != handle)
    link = &(*link)->next;
  if (*link)
    *link = (*link)->next;
  free(handle);
}

imgstore_transport fake_transport(fake_registry *fake) {
  imgstore_transport transport;
  memset(&transport, 0, sizeof transport);
  transport.size = sizeof transport;
  transport.user_data = fake;
  transport.start = fake_start;
  transport.resume = fake_resume;
  transport.perform = fake_perform;
  transport.timeout = fake_timeout;
  transport.close = fake_close;
  return transport;
}

imgstore_registry *fake_handle(fake_registry *fake, imgstore_context *context, imgstore_error **error) {
  imgstore_registry_options options;
  imgstore_registry *registry = NULL;
  imgstore_transport transport = fake_transport(fake);
  imgstore_registry_options_init(&options, sizeof options);
  options.transport = &transport;
  options.retry_delay = 1;
  options.max_retry_delay = 2;
  imgstore_registry_new(context, "registry.test", &options, &registry, error);
  return registry;
}
