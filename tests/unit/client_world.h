/*
 * tests/unit/client_world.h - a client on a scripted transport and a clock of the test's, and what its fetches come to.
 */
#ifndef TEST_CLIENT_WORLD_H
#define TEST_CLIENT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "engine/client.h"
#include "engine/registry_handle.h"
#include "imgstore/imgstore.h"
#include "scripted_transport.h"

/* Scripts are tables: what an answer does not say is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define MT "Content-Type: application/vnd.oci.image.manifest.v1+json\n"
#define D1 "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HUB "https://r.example/v2/"
#define HUB_GET(path) "GET " HUB path
#define HUB_HEAD(path) "HEAD " HUB path
#define CHALLENGE                                                                                                      \
  "WWW-Authenticate: Bearer realm=\"https://auth.example/token\",service=\"r\",scope=\"repository:a/b:pull\"\n"
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

typedef struct world {
  scripted script;
  ims_core *core;
  imgstore_registry *registry;
  ims_client *client;
  imgstore_registry_options options;
  int64_t now;
  int pending;
  int retries;
  uint32_t last_delay;
  char warning[128];
  uint64_t rate_left, rate_limit;
} world;

/* What a fetch came to. */
typedef struct outcome {
  world *w;
  bool done;
  int32_t code;
  ims_error err;
  char text[4096];
  char type[128], mirror[128];
  ims_digest digest;
  uint64_t length, position, size;
  uint64_t take; /* most bytes the sink takes before it is full; 0: all */
  ims_fetch *fetch, *cancel;
  bool is_head;
  int32_t status; /**< of a document that came */
  char location[256], url[256];
} outcome;

void prepare(world *w, const answer *script, size_t count);
/** Errors instead of assertions, for tests of memory. */
int32_t open_on(world *w, const char *host, const imgstore_allocator *allocator, ims_error *err);
void open_world(world *w, const char *host);
void close_world(world *w);
/** Lets time pass as the client asks for it. False: it would never come to an end. */
bool run(world *w);
void manifest(world *w, outcome *o, const char *reference, bool head);
int32_t try_manifest(world *w, outcome *o, const char *reference, ims_error *err);
void request_of(world *w, outcome *o, const ims_request *r);
int32_t try_request(world *w, outcome *o, const ims_request *r, ims_error *err);
void blob(world *w, outcome *o, uint64_t size);
void blob_urls(world *w, outcome *o, uint64_t size, const char *const *urls, size_t count);
int32_t try_blob(world *w, outcome *o, uint64_t size, const char *const *urls, size_t count, ims_error *err);
/** Method and URL of request i, "" when there was none. */
const char *line(const world *w, size_t i);

#endif
