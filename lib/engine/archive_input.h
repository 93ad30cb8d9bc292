/*
 * engine/archive_input.h (L4) - where an archive comes from: a file or a descriptor that may be a pipe, plain or
 * compressed as a whole. A task or the driving thread fills the ring; another task empties it. Knows nothing of what
 * the bytes mean.
 */
#ifndef IMS_ENGINE_ARCHIVE_INPUT_H
#define IMS_ENGINE_ARCHIVE_INPUT_H

#include "base/ring.h"
#include "compress/decoder.h"
#include "engine/operation.h"

typedef struct ims_input {
  ims_task task; /**< first member: reads a file; not used for a pipe */
  imgstore_operation *op;
  ims_task *consumer; /**< woken when there are bytes */
  char *name;         /**< for messages */
  int fd;
  bool owns_fd, is_file, opened;
  bool awaited;   /**< the operation waits until it can be read from */
  uint64_t total; /**< bytes of a file; 0: not known */
  ims_ring ring;
  atomic_bool full, failed;
  ims_error err; /**< of the task */
  int64_t reported_at;
  uint64_t reported;

  /* of the consumer */
  bool started;
  ims_decoder *decoder; /**< NULL: not compressed */
  uint8_t *out;
  size_t lent; /**< bytes of the ring that the consumer looks at */
} ims_input;

/** Opens a file, a pipe or a device, without waiting for anything; -1 with *err. */
int ims_input_open_path(const ims_core *core, const char *path, ims_error *err);
/**
 * fd: read from, and left open; -1: path is opened. path: the name for messages; with fd it may be NULL. consumer: the
 * task that calls ims_input_next; it is initialised already.
 */
int32_t ims_input_open(ims_input *input, imgstore_operation *op, const char *path, int fd, ims_task *consumer,
                       ims_error *err);
/**
 * Consumer's side: the next bytes, without compression, valid until the next call. *size 0 with IMGSTORE_OK: the end.
 * IMGSTORE_EAGAIN: none now.
 */
int32_t ims_input_next(ims_input *input, const uint8_t **data, size_t *size, ims_error *err);
/** Driver's side: reads what can be read now. IMGSTORE_OK, or the failure in op->err. */
int32_t ims_input_advance(ims_input *input);
/** Driver's side: tells progress, now and then. */
int32_t ims_input_report(ims_input *input, int64_t now);
/** Stops the consumer and closes. Does nothing when it was not opened. */
void ims_input_end(ims_input *input);

#endif
