/*
 * engine/transfer.h (L4) - one blob on its way into a store: from a registry or from another store.
 *
 * The driving thread fetches into a ring; a task (on a worker when there is one) checks what is there, hashes, writes,
 * verifies and commits. A second reader, the unpacker's, may follow the ring.
 */
#ifndef IMS_ENGINE_TRANSFER_H
#define IMS_ENGINE_TRANSFER_H

#include "base/ring.h"
#include "engine/client.h"
#include "engine/operation.h"
#include "store/store.h"

enum {
  IMS_TRANSFER_IDLE = 0, /**< not begun */
  IMS_TRANSFER_CHECKING, /**< is it there? who else has it? (task) */
  IMS_TRANSFER_BUSY,     /**< somebody else brings it in: asked again later */
  IMS_TRANSFER_READY,    /**< the ingest is open: the driver starts the source */
  IMS_TRANSFER_RUNNING,  /**< bytes move (driver and task) */
  IMS_TRANSFER_EXISTS,   /**< it was there */
  IMS_TRANSFER_DONE,     /**< committed */
  IMS_TRANSFER_FAILED
};

enum { IMS_TRANSFER_STORE = 0, IMS_TRANSFER_FOLLOW = 1 }; /**< readers of the ring */

typedef struct ims_transfer {
  ims_task task; /**< first member: the task's run finds its transfer */
  imgstore_operation *op;
  imgstore_store *store;
  ims_lease *lease;
  int32_t object; /**< IMGSTORE_OBJECT_* */
  ims_digest digest;
  uint64_t size;
  const char *media_type;
  const char *const *urls;
  size_t url_count;

  atomic_int phase;
  ims_error err; /**< of the task; valid when phase is FAILED */
  ims_ingest ingest;
  uint64_t resumed;  /**< bytes that an earlier job left */
  bool from_mirrors; /**< its bytes may have come from a mirror */
  bool damaged;      /**< what was there had to be moved aside; of the task, then of the driver once it is READY */
  _Atomic uint64_t stored;
  ims_ring ring;
  bool has_ring;
  atomic_bool paused; /**< the source waits for room in the ring */
  ims_task *follower; /**< woken when bytes arrive, or NULL */

  ims_client *client; /**< source: a registry */
  const char *repository;
  ims_fetch *fetch;
  imgstore_store *source; /**< or: another store */

  bool announced_wait, announced_end;
  int64_t retry_at;
  int64_t reported_at;
  uint64_t reported;
} ims_transfer;

/** What all transfers of a job have in common. */
typedef struct ims_transfer_setup {
  imgstore_operation *op;
  imgstore_store *store;
  ims_lease *lease;
  ims_client *client; /**< or NULL with source set */
  const char *repository;
  imgstore_store *source;
} ims_transfer_setup;

/** Fills a zeroed transfer; descriptor must live as long. Nothing runs yet. */
void ims_transfer_init(ims_transfer *t, const ims_transfer_setup *setup, const imgstore_descriptor *descriptor,
                       int32_t object);
/** Begins: leases the digest and looks whether it is there. */
int32_t ims_transfer_begin(ims_transfer *t);
/** True while it uses a connection, a ring or a worker. */
bool ims_transfer_is_active(const ims_transfer *t);
bool ims_transfer_is_finished(const ims_transfer *t);
/** The ingest is open and the source waits for ims_transfer_start: the moment to follow. */
bool ims_transfer_is_ready(const ims_transfer *t);
/** True when it is ready, bytes will flow from 0 on, and nothing will make it start over. */
bool ims_transfer_can_follow(const ims_transfer *t);
/** Starts the source of a transfer that is ready. */
int32_t ims_transfer_start(ims_transfer *t, int64_t now);
/** Attaches a second reader of the ring; follower is woken when bytes arrive. Errors: IMGSTORE_ENOMEM. */
int32_t ims_transfer_follow(ims_transfer *t, ims_task *follower);
/** The follower consumed bytes, or wants no more. */
void ims_transfer_followed(ims_transfer *t);
void ims_transfer_unfollow(ims_transfer *t);
/** Driver's turn. IMGSTORE_EAGAIN, IMGSTORE_OK when finished, or the failure in op->err. */
int32_t ims_transfer_advance(ims_transfer *t, int64_t now);
/** Milliseconds until advance must be called, -1: when signalled. */
int32_t ims_transfer_timeout(const ims_transfer *t, int64_t now);
/** Stops whatever runs; the partial blob is kept for a later resume. */
void ims_transfer_end(ims_transfer *t);

#endif
