/*
 * engine/registry_fetch.h (L4) - what ims_client and ims_fetch are inside, shared by client.c and registry_*.c only.
 *
 * A fetch is driven by ims_fetch_drive from the client's perform loop. Callbacks of the transport only take bytes and
 * note what happened; every decision and every callback of the operation is made by the loop.
 */
#ifndef IMS_ENGINE_REGISTRY_FETCH_H
#define IMS_ENGINE_REGISTRY_FETCH_H

#include "base/buf.h"
#include "engine/client.h"
#include "engine/registry_handle.h"
#include "registry/call.h"
#include "registry/token.h"
#include "transport/exchange.h"

enum { IMS_FETCH_DOCUMENT = 1, IMS_FETCH_BLOB, IMS_FETCH_UPLOAD, IMS_FETCH_TOKEN };
/** Bodies from here on ask first whether they are wanted (Expect: 100-continue). */
enum { IMS_EXPECT_LEAST = 1 << 20 };

enum {
  IMS_FETCH_READY = 1, /**< its next request can go out */
  IMS_FETCH_WAITING,   /**< until wake_ms */
  IMS_FETCH_AUTH,      /**< for the token that another fetch brings */
  IMS_FETCH_RUNNING    /**< an exchange is open */
};

/** A fetch that brings a token; others wait for it. */
typedef struct ims_token_job {
  ims_challenge challenge;
  char *scopes;
  ims_credential credential;
  ims_buf form; /**< body of the POST, secret */
  bool posting;
} ims_token_job;

/** What a fetch that pushes a blob has in addition. */
typedef struct ims_sending {
  ims_upload upload;
  ims_push_source source;
  char **mounts;
  size_t mount_count;
  uint64_t from;            /**< where the part that is sent begins in the blob */
  bool failed;              /**< the source did; the fetch's err says how */
  const char *scope_source; /**< the repository that the scopes are for as well, or NULL */
  char *copy;               /**< a blob in memory, or NULL */
  ims_push_fn copy_done;
  void *copy_data;
} ims_sending;

struct ims_fetch {
  ims_client *client;
  ims_fetch *next;
  int kind, state;
  bool dead; /**< over: freed when nothing of the client is on the stack */

  /* what */
  char *what;       /**< "docker.io/library/alpine:3.20" */
  char *object;     /**< digest or name, for events */
  char *repository; /**< "" : none */
  char *path;       /**< after the repository, "manifests/latest", or an absolute path when own_only */
  char *target;     /**< of a request: the whole URL instead, or NULL */
  const char *accept;
  const char *method;  /**< of a request; NULL: a fetch, GET or HEAD */
  const char *actions; /**< what a token has to allow on the repository */
  char *more_scopes;   /**< and what else, or NULL */
  ims_header extra[IMS_REQUEST_HEADERS_MAX];
  size_t extra_count;
  uint64_t upload_size;
  size_t (*upload_read)(void *data, uint64_t offset, void *buffer, size_t size); /**< NULL: no body */
  void *upload_data;
  ims_digest names;     /**< what the answer must name if anything; algorithm 0: whatever it likes */
  ims_sending *sending; /**< of kind UPLOAD */
  bool head, by_digest, own_only, no_mirrors, exact;
  uint64_t size; /**< of a blob; of a document the most it may have */
  char **urls;
  size_t url_count;
  ims_document_fn document_done;
  void *document_data;
  ims_blob_sink sink;
  ims_token_job *token;
  ims_fetch *waits_for; /**< in state AUTH */

  /* where */
  size_t step;            /**< number of the endpoint in their order, then of the url */
  ims_endpoint *endpoint; /**< NULL: a foreign url */
  ims_call call;
  char *scopes;        /**< what tokens are asked for; NULL: as the repository implies */
  bool demanded;       /**< the endpoint answered 401 at least once */
  bool refreshed;      /**< and refused what it was given */
  char *authorization; /**< sent last, secret; NULL: none */

  /* the exchange */
  imgstore_exchange exchange;
  void *handle;
  bool open, answered; /**< answered: the status was seen by the loop */
  ims_header headers[4 + IMS_REQUEST_HEADERS_MAX];
  char range[64];
  int64_t wake_ms, started_ms, window_ms;
  uint64_t window_bytes;
  uint64_t sent; /**< bytes of the request's body that the transport has */
  bool headed, content, stop, overlong, paused, resume;
  uint64_t position, skip; /**< of a blob: bytes the sink has; bytes to throw away */
  ims_buf body;            /**< a document, or a refusal */
  ims_error err;
};

struct ims_client {
  imgstore_registry *registry;
  ims_line *line;
  ims_client_events events;
  const atomic_bool *cancelled;
  ims_fetch *live, *live_tail;   /**< driven */
  ims_fetch *queue, *queue_tail; /**< blobs whose turn has not come */
  uint32_t blobs;                /**< live ones */
  int64_t now_ms, deadline_ms;   /**< deadline 0: none, -1: starts with the first perform */
  uint64_t seed;
  int depth;        /**< of perform and of callbacks on the stack */
  bool mirrors_off; /**< one of them sent wrong content */
  bool started;     /**< exchanges that the transport did not yet see in perform */
  char last_warning[256];
};

/* --- client.c --- */

/** Makes a fetch that is not yet in a list; strings are copied. */
ims_fetch *ims_fetch_new(ims_client *client, int kind, const char *what, const char *object, ims_error *err);
/** Puts it in a list: it will be driven. */
void ims_fetch_enlist(ims_fetch *fetch);
void ims_fetch_destroy(ims_fetch *fetch);
/** Ends the making of a fetch that failed with rc or is complete: on failure it is gone, else it will be driven. */
int32_t ims_fetch_launch(ims_fetch *fetch, int32_t rc, ims_fetch **out, ims_error *err);
/** "docker.io/library/alpine:3.20"; without a reference, "docker.io/library/alpine". */
void ims_fetch_name(const ims_client *client, const char *repository, const char *reference, char *out,
                    size_t capacity);
/** A document of the registry itself; path is absolute ("/v2/"). scopes may be "" (none) or NULL (of repository). */
int32_t ims_fetch_path(ims_client *client, const char *repository, const char *path, const char *what,
                       uint64_t max_size, ims_document_fn done, void *data, ims_fetch **fetch, ims_error *err);

/* --- registry_aim.c --- */

/** Points the fetch at place number step of those that may have what it wants. Errors: IMGSTORE_ENOTFOUND, without a
 * message, when there are no more. */
int32_t ims_fetch_aim(ims_fetch *fetch, ims_error *err);

/* --- registry_fetch.c --- */

/** Takes every step that is possible now. */
void ims_fetch_drive(ims_fetch *fetch);
/** When drive must run again: a time, 0 for now, INT64_MAX for never. */
int64_t ims_fetch_due(const ims_fetch *fetch);
/** Ends the exchange without a word. */
void ims_fetch_close(ims_fetch *fetch);
/** The endpoint failed with fetch->err: the next one, or the end. */
void ims_fetch_failed(ims_fetch *fetch);
/** The response as a state machine sees it. */
ims_reply ims_fetch_reply(const ims_fetch *fetch);

/** What is next after a verdict; asked: the URL that was answered. */
void ims_fetch_act(ims_fetch *fetch, const ims_verdict *verdict, const ims_url *asked);
/** The end of a fetch without a document: fetch->err says how. */
void ims_fetch_finish(ims_fetch *fetch);
/** What must not be quoted. */
ims_secrets ims_fetch_secrets(const ims_fetch *fetch);

/* --- registry_upload.c: kind UPLOAD --- */

/** Sets up the next request. */
int32_t ims_sending_prepare(ims_fetch *fetch, ims_error *err);
/** Decides about a response. False: there is none, the transport failed. */
bool ims_sending_judge(ims_fetch *fetch);
/** Not to be authorised was about a mount that was tried: there is another way, and the fetch is READY. */
bool ims_sending_dodges(ims_fetch *fetch);
/** Tells the source that it is over. */
void ims_sending_done(ims_fetch *fetch);
void ims_sending_free(ims_fetch *fetch);

/* --- registry_start.c --- */

/** Opens the exchange of the next request. */
int32_t ims_fetch_send(ims_fetch *fetch, ims_error *err);

/* --- registry_auth.c --- */

/** Makes fetch->authorization for the next request. IMGSTORE_EAGAIN: a token is being fetched. */
int32_t ims_fetch_authorize(ims_fetch *fetch, ims_error *err);
/** A 401 of the endpoint: true when there is something new to try; else err stays as it is. */
bool ims_fetch_challenged(ims_fetch *fetch);
/** A token fetch has its answer: the token goes to the cache and those who wait go on. */
void ims_token_arrived(ims_fetch *fetch);
/** A token fetch failed with fetch->err. True when another way is tried. */
bool ims_token_refused(ims_fetch *fetch);
/** It is over with fetch->err: those who wait fail with it. */
void ims_token_failed(ims_fetch *fetch);
void ims_token_job_free(ims_fetch *fetch);

#endif
