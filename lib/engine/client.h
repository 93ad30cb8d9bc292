/*
 * engine/client.h (L4) - joins the protocol state machines of registry/ with a transport: fetches of documents and
 * blobs, and requests that change something, through credentials, tokens, mirrors, redirects, retries, hold-backs, time
 * limits and resume.
 *
 * A client belongs to one operation and lives on its driving thread. Fetches report through callbacks that run inside
 * ims_client_perform (never inside the function that starts or resumes one).
 */
#ifndef IMS_ENGINE_CLIENT_H
#define IMS_ENGINE_CLIENT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/core.h"
#include "base/error.h"
#include "imgstore/registry.h"
#include "oci/digest.h"
#include "registry/call.h"
#include "registry/upload.h"

typedef struct ims_client ims_client;
typedef struct ims_fetch ims_fetch;

/** What the operation wants to hear; each may be NULL. object: digest or name that is fetched. */
typedef struct ims_client_events {
  void *data;
  void (*retry)(void *data, const char *object, const char *why, uint32_t delay_ms);
  void (*warning)(void *data, const char *text);
  void (*rate)(void *data, uint64_t left, uint64_t limit);
} ims_client_events;

/** The registry's inside is a shared object: a client keeps it alive. cancelled: looked at while a credential helper
 * runs. */
int32_t ims_client_new(ims_client **client, imgstore_registry *registry, const ims_client_events *events,
                       const atomic_bool *cancelled, ims_error *err);
/** Cancels what runs, without callbacks. */
void ims_client_free(ims_client *client);
/** True while mirrors may be asked. */
bool ims_client_uses_mirrors(const ims_client *client);
/** A mirror sent content that does not hash right: later fetches ask only the registry itself. */
void ims_client_distrust_mirrors(ims_client *client);
/** Transport descriptor to poll for reading, or -1: then perform is called in short intervals. */
int ims_client_fd(const ims_client *client);
/** Milliseconds until perform must be called even when the descriptor is not readable; -1: never. */
int32_t ims_client_timeout(ims_client *client, int64_t now_ms);
/** Does what can be done: I/O, timers, retries, callbacks. Never waits. */
void ims_client_perform(ims_client *client, int64_t now_ms);

/* --- documents: whole answers in memory --------------------------------------------------------------------------- */

typedef struct ims_document {
  const char *data; /**< NULL for a HEAD */
  size_t size;
  const char *media_type; /**< Content-Type without parameters; "" when absent */
  ims_digest digest;      /**< Docker-Content-Digest; algorithm 0 when absent or malformed. Advisory. */
  uint64_t length;        /**< Content-Length of a HEAD; UINT64_MAX when absent */
  const char *mirror;     /**< the mirror that answered, or NULL: the registry itself */
  ims_reply reply;        /**< status and header fields, such as Location */
  const ims_url *url;     /**< where the answer came from: what a Location in it is relative to */
} ims_document;

/** code IMGSTORE_OK: document is set; else err is. The fetch is freed by the client after this returns. */
typedef void (*ims_document_fn)(void *data, int32_t code, const ims_document *document, const ims_error *err);

/** HEAD or GET of /v2/<repository>/manifests/<reference>; reference: tag or digest text. */
int32_t ims_fetch_manifest(ims_client *client, const char *repository, const char *reference, bool head,
                           uint64_t max_size, ims_document_fn done, void *data, ims_fetch **fetch, ims_error *err);

/* --- requests: any method, with a body or without
 * ---------------------------------------------------------------------- */

enum { IMS_REQUEST_HEADERS_MAX = 4 };

typedef struct ims_request_header {
  const char *name; /**< a constant; NULL ends the list */
  const char *value;
} ims_request_header;

/** A request to the registry itself, never to a mirror. Zeroed but for what it needs; strings are copied, but for the
 * constants. */
typedef struct ims_request {
  const char *method;     /**< a constant: "HEAD", "GET", "POST", "PUT", "PATCH", "DELETE" */
  const char *repository; /**< checked */
  const char *path;       /**< below the repository: "manifests/1", "blobs/uploads/" */
  const char *url;        /**< instead of path, absolute: where a Location led; off the registry's origin it gets no
                               credentials */
  const char *object;     /**< tag, digest or "", for messages and events */
  const char *accept;     /**< a constant, or NULL */
  const char *actions;    /**< what a token has to allow on the repository: a constant, "pull,push"; NULL: "pull" */
  const char *scopes;     /**< what else it has to allow, "repository:other:pull", or NULL */
  ims_request_header headers[IMS_REQUEST_HEADERS_MAX]; /**< Content-Type, Content-Range */
  uint64_t body_size;
  /** Copies up to size bytes of the body from offset. A request that is sent again starts over; NULL: no body. */
  size_t (*body)(void *data, uint64_t offset, void *buffer, size_t size);
  void *body_data;
  int32_t expects[IMS_CALL_EXPECTS_MAX]; /**< statuses that are an answer and no failure; none: 200 */
  ims_digest names;   /**< when the answer names a digest of this algorithm it must be this one; algorithm 0: none */
  bool once;          /**< it must not be done twice: not tried again when it is unknown whether it was done */
  uint64_t most_size; /**< of the answer's body; 0: 1 MiB */
} ims_request;

/** done gets the answer when its status is expected; reply and url of the document are valid during the call. */
int32_t ims_request_start(ims_client *client, const ims_request *request, ims_document_fn done, void *data,
                          ims_fetch **fetch, ims_error *err);
/** DELETE of /v2/<repository>/<path>: 202 or 204 is done. object: for messages. */
int32_t ims_request_delete(ims_client *client, const char *repository, const char *path, const char *object,
                           ims_document_fn done, void *data, ims_fetch **fetch, ims_error *err);

/* --- blobs: streamed
 * --------------------------------------------------------------------------------------------------- */

typedef struct ims_blob_sink {
  void *data;
  /** How many bytes of the blob the sink has, from its start: where a request (the first, or one after a failure)
   * resumes. */
  uint64_t (*position)(void *data);
  /** Bytes at position(); returns how many were taken. Fewer: the fetch pauses until ims_fetch_resume. */
  size_t (*body)(void *data, const uint8_t *bytes, size_t size);
  /** The end: IMGSTORE_OK when size bytes were delivered. The fetch is freed after this returns. */
  void (*done)(void *data, int32_t code, const ims_error *err);
} ims_blob_sink;

typedef struct ims_blob_request {
  const char *repository;
  ims_digest digest;
  uint64_t size;
  const char *const *urls; /**< of a foreign layer, used only when the registry option allows */
  size_t url_count;
} ims_blob_request;

/**
 * A 206 must start at position with the right total. A 200 to a range request restarts: the client discards the first
 * position() bytes of the body (the sink's digest decides in the end), so the sink never sees a byte twice.
 */
int32_t ims_fetch_blob(ims_client *client, const ims_blob_request *request, const ims_blob_sink *sink,
                       ims_fetch **fetch, ims_error *err);
/** The sink has room again. */
void ims_fetch_resume(ims_fetch *fetch);
/** Stops a fetch; its done is not called. */
void ims_fetch_cancel(ims_fetch *fetch);

/* --- pushes ---------------------------------------------------------------------------------------------------------
 */

enum { IMS_PUSH_MOUNTS_MAX = 8 };

typedef struct ims_push_request {
  const char *repository;
  ims_digest digest;
  uint64_t size;
  const char *const *mounts; /**< repositories of the same registry that may have it, best first; the first few count */
  size_t mount_count;
  uint64_t chunk; /**< bytes of a chunk; 0: in one piece, as long as the registry takes it */
  bool absent;    /**< known not to be there: not asked for first */
  bool look;      /**< only find out whether it is there */
} ims_push_request;

typedef struct ims_push_result {
  int outcome;      /**< IMS_UPLOAD_SENT, _EXISTS, _MOUNTED, _ABSENT (after a look) */
  const char *from; /**< MOUNTED: the repository it came from */
} ims_push_result;

/** The end. code IMGSTORE_OK: result is set; else err is. The fetch is freed by the client after this returns. */
typedef void (*ims_push_fn)(void *data, int32_t code, const ims_push_result *result, const ims_error *err);

/** Where the bytes of a blob come from. read runs while the transport does: it only takes bytes and notes things. */
typedef struct ims_push_source {
  void *data;
  /** Copies up to size bytes of the blob at offset. *got 0: there is nothing yet, ims_fetch_resume when there is. An
   * error ends the push. The offset follows the last read, or goes back (to 0 or wherever the registry goes on). */
  int32_t (*read)(void *data, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err);
  ims_push_fn done;
} ims_push_source;

/**
 * Brings one blob to the registry itself: looks whether it is there, mounts it from another repository, or uploads it.
 * Pushes take turns with fetches of blobs: max_connections of them at a time.
 */
int32_t ims_push_blob(ims_client *client, const ims_push_request *request, const ims_push_source *source,
                      ims_fetch **fetch, ims_error *err);
/** The same for a small blob in memory, which is copied. */
int32_t ims_push_bytes(ims_client *client, const ims_push_request *request, const void *bytes, ims_push_fn done,
                       void *data, ims_fetch **fetch, ims_error *err);

/** A manifest to be pushed; lives until done. */
typedef struct ims_manifest_push {
  const char *repository;
  const char *reference; /**< tag or digest */
  const char *media_type;
  const void *data;
  size_t size;
  ims_digest digest; /**< of data */
} ims_manifest_push;

/** PUT of /v2/<repository>/manifests/<reference>. What it refers to must be there before. An answer that names another
 * digest is IMGSTORE_EDIGEST. The document's reply has OCI-Subject when the registry keeps referrers. */
int32_t ims_push_manifest(ims_client *client, const ims_manifest_push *push, ims_document_fn done, void *data,
                          ims_fetch **fetch, ims_error *err);

#endif
