/*
 * engine/relay.h (L4) - one blob that is read from a registry while it is sent to another: a fetch fills a ring, the
 * upload drains it, a task hashes it. The last byte is held back until the hash is right, so that a blob that is not
 * what its digest says is never completed at the other end. Nothing of it is kept.
 */
#ifndef IMS_ENGINE_RELAY_H
#define IMS_ENGINE_RELAY_H

#include "base/ring.h"
#include "engine/client.h"
#include "engine/operation.h"
#include "hash/hash.h"

typedef struct ims_relay {
  ims_task task; /**< first member: hashes */
  imgstore_operation *op;
  ims_client *source;
  const char *repository;
  ims_digest digest;
  uint64_t size;
  const char *const *urls;
  size_t url_count;

  ims_ring ring;
  bool has_ring;
  uint64_t start;  /**< the blob's byte that is the ring's first */
  uint64_t wanted; /**< where the upload reads next */
  bool asked;      /**< it wants bytes, from wanted on */
  bool starved;    /**< it was told that there are none yet */
  ims_fetch *fetch;
  atomic_bool paused; /**< the fetch waits for room in the ring */
  bool from_mirrors;  /**< its bytes may have come from a mirror */
  ims_error err;      /**< of the fetch */

  /* of the task */
  ims_hash hash;
  uint64_t hashed;    /**< bytes of the blob, from its start, that hash has seen */
  atomic_int verdict; /**< 0: not known; IMS_RELAY_* */
} ims_relay;

enum { IMS_RELAY_RIGHT = 1, IMS_RELAY_WRONG };
/** What a relay asks of its owner. */
enum { IMS_RELAY_REST = 0, IMS_RELAY_RESUME };

/** Fills a zeroed relay; nothing runs yet. digest, size, urls: of the blob; urls live as long. */
void ims_relay_init(ims_relay *relay, imgstore_operation *op, ims_client *source, const char *repository,
                    const ims_digest *digest, uint64_t size);
/** The read of an ims_push_source, with the relay as its data. */
int32_t ims_relay_read(void *relay, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err);
/** Driver's turn. *next IMS_RELAY_RESUME: the upload is to be resumed. Errors: of the source, IMGSTORE_EDIGEST. */
int32_t ims_relay_advance(ims_relay *relay, int *next, ims_error *err);
/** Stops whatever runs; the relay can be initialised again. */
void ims_relay_end(ims_relay *relay);

#endif
