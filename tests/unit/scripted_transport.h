/*
 * tests/unit/scripted_transport.h - a transport without a network: answers from a script, notes every request. Only the
 * public vtable is used. Its user runs the client on a clock of its own.
 */
#ifndef TEST_SCRIPTED_TRANSPORT_H
#define TEST_SCRIPTED_TRANSPORT_H

#include <stdbool.h>

#include "imgstore/error.h"
#include "imgstore/transport.h"

enum { SCRIPT_MAX = 64, SCRIPT_OPEN_MAX = 64, SCRIPT_HANG = 1 };

/** One answer, given once to the first request that starts with its URL. */
typedef struct answer {
  const char *url;     /**< method and URL, "GET https://..."; the request's may be longer */
  int32_t status;      /**< 0: none, only the end */
  const char *headers; /**< "Name: value\n..." or NULL */
  const char *body;    /**< or NULL */
  size_t size;         /**< of body; 0: its strlen */
  int32_t code;        /**< of the end */
  const char *message;
  int32_t retry;
  int32_t flags; /**< SCRIPT_HANG: never ends */
} answer;

typedef struct request {
  char line[1024]; /**< method and URL */
  char authorization[512];
  char range[64];
  char accept[512];
  char form[1024]; /* the start of the body */
  uint64_t upload_size;
  char content[256]; /**< Content-* headers as lines */
  char proxy[128], cert[64], ca[64];
} request;

typedef struct scripted_open {
  imgstore_exchange *exchange;
  const answer *answer;
  size_t sent;
  uint64_t uploaded;
  bool begun, paused, over, ended;
} scripted_open;

typedef struct scripted {
  const answer *script;
  size_t script_count;
  bool used[SCRIPT_MAX];
  request log[256];
  size_t log_count;
  scripted_open open[SCRIPT_OPEN_MAX];
  size_t open_count, most_open;
  size_t chunk;      /**< bytes per piece; 0: all at once */
  bool reads_bodies; /**< of requests, to their end, before it answers */
  bool destroyed;
} scripted;

void scripted_init(scripted *s, const answer *script, size_t count);
/** The vtable, with the optional entries left out. */
imgstore_transport scripted_vtable(scripted *s);

#endif
