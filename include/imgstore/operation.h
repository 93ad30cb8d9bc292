/*
 * imgstore/operation.h - running jobs: drive them, watch them, stop them.
 *
 * Every long job has two faces: a blocking function, and a _start function that returns an operation. The
 * blocking face is a loop over the other. To drive one: wait until imgstore_operation_fd is readable, call
 * imgstore_operation_step, until it returns something other than IMGSTORE_EAGAIN.
 */
#ifndef IMGSTORE_OPERATION_H
#define IMGSTORE_OPERATION_H

#include "imgstore/common.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  IMGSTORE_EVENT_RESOLVED = 1,    /**< text: full name; digest: what it resolved to */
  IMGSTORE_EVENT_WAITING = 2,     /**< object: another process is fetching it, or its turn is later */
  IMGSTORE_EVENT_EXISTS = 3,      /**< object: it was there already and is skipped */
  IMGSTORE_EVENT_DOWNLOADING = 4, /**< object, done, total */
  IMGSTORE_EVENT_DOWNLOADED = 5,  /**< object: complete and verified */
  IMGSTORE_EVENT_UNPACKING = 6,   /**< object (a layer), done, total in bytes of the blob */
  IMGSTORE_EVENT_COMPLETE = 7,    /**< object: all that was asked for is done */
  IMGSTORE_EVENT_RETRY = 8,       /**< object; text: why; total: milliseconds until the next try */
  IMGSTORE_EVENT_WARNING = 9,     /**< text: a warning from the registry (RFC 9111 Warning: 299) or the job */
  IMGSTORE_EVENT_RATE_LIMIT = 10, /**< done: requests left; total: requests per window (ratelimit-* headers) */
  IMGSTORE_EVENT_FLUSHING = 11,   /**< content goes to stable storage */
  IMGSTORE_EVENT_COMMITTED =
      12, /**< text: full name; digest: what the reference names from now on; total: of a push, its size */
  IMGSTORE_EVENT_PREPARING = 13, /**< object: it is known and will be sent, unless it is at the destination */
  IMGSTORE_EVENT_UPLOADING = 14, /**< object, done, total */
  IMGSTORE_EVENT_UPLOADED = 15,  /**< object: complete at the destination */
  IMGSTORE_EVENT_MOUNTED = 16,   /**< object: the destination took it from its repository in text */
  IMGSTORE_EVENT_PACKING = 17,   /**< object (a layer that is made), text: what it is made of; done: bytes of its tar */
  IMGSTORE_EVENT_PACKED = 18     /**< object, digest, text: what it was made of; total: bytes of the blob */
};

enum {
  IMGSTORE_OBJECT_NONE = 0,
  IMGSTORE_OBJECT_INDEX = 1,
  IMGSTORE_OBJECT_MANIFEST = 2,
  IMGSTORE_OBJECT_CONFIG = 3,
  IMGSTORE_OBJECT_LAYER = 4
};

/** Progress, valid during the callback. The library fills size with its own; fields are only ever appended. */
typedef struct imgstore_event {
  size_t size;
  int32_t type;       /**< IMGSTORE_EVENT_* */
  int32_t object;     /**< IMGSTORE_OBJECT_*: what digest names */
  const char *digest; /**< or NULL */
  const char *text;   /**< or NULL */
  uint64_t done;      /**< bytes */
  uint64_t total;     /**< bytes */
} imgstore_event;

/** Return 0 to go on; anything else stops the job with IMGSTORE_ECALLBACK. Runs on the driving thread. */
typedef int32_t (*imgstore_event_fn)(void *user_data, const imgstore_event *event);

/** A descriptor that is readable when step() has work. Owned by the operation; only to be polled. */
IMGSTORE_API int32_t imgstore_operation_fd(const imgstore_operation *operation);
/**
 * Does a bounded amount of work and runs callbacks; a credential helper (30 seconds at most) and flushes to the disk
 * run inside it, and without workers the hashing of a blob that an earlier job or another tool left. timeout:
 * milliseconds to wait when there is nothing to do; 0 never waits, -1 waits as long as it takes. Returns IMGSTORE_OK
 * when the job is done, IMGSTORE_EAGAIN when not, or the job's error; after that, the same again.
 */
IMGSTORE_API int32_t imgstore_operation_step(imgstore_operation *operation, int32_t timeout, imgstore_error **error);
/** Steps until the job ends; blocks. Returns its result: the errors are those of the job, as from the last step. */
IMGSTORE_API int32_t imgstore_operation_wait(imgstore_operation *operation, imgstore_error **error);
/**
 * Asks the job to stop; from any thread, not from a signal handler. It ends with IMGSTORE_ECANCELLED within a second,
 * unless the disk or the hashing of one stored blob holds it up. The caller goes on stepping until then.
 */
IMGSTORE_API void imgstore_operation_cancel(imgstore_operation *operation);
/**
 * The image that a finished pull made, with a reference of the caller's own. NULL before the end, after a failure, for
 * a load or unpack, and when what was pulled is no image for the platform (an artifact, an index of other platforms).
 */
IMGSTORE_API imgstore_image *imgstore_operation_image(const imgstore_operation *operation);
/** The lines a finished job reported (entries changed by policy, loaded names), or NULL. Borrowed from the operation.
 */
IMGSTORE_API const imgstore_report *imgstore_operation_report(const imgstore_operation *operation);
/** Cancels when still running, waits for its workers, frees. Must not be called from a callback of the operation. */
IMGSTORE_API void imgstore_operation_free(imgstore_operation *operation);

#ifdef __cplusplus
}
#endif
#endif
