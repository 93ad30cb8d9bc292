/*
 * engine/archive_output.h (L4) - where an archive goes: a file that appears under its name when it is complete and
 * durable, a descriptor that may be a pipe, or a callback. A task fills the ring; a task or the driving thread empties
 * it, with another task between that compresses. Knows nothing of what the bytes mean.
 */
#ifndef IMS_ENGINE_ARCHIVE_OUTPUT_H
#define IMS_ENGINE_ARCHIVE_OUTPUT_H

#include "base/buf.h"
#include "base/ring.h"
#include "compress/encoder.h"
#include "engine/operation.h"
#include "engine/temp_file.h"
#include "imgstore/archive.h"

/** Exactly one of path, fd and write. */
typedef struct ims_output_target {
  const char *path; /**< or NULL */
  int fd;           /**< or -1 */
  imgstore_write_fn write;
  void *write_data;
  int32_t encode; /**< IMS_ENCODE_*: how all of it is compressed */
} ims_output_target;

typedef struct ims_output {
  ims_task task; /**< first member: writes a file; not used for the others */
  imgstore_operation *op;
  ims_task *producer; /**< woken when there is room */
  ims_output_target target;
  char *path;               /**< of a file, or a name for messages */
  int dir;                  /**< the folder of a file that is published under its name; -1: none is */
  char temp[IMS_TEMP_NAME]; /**< its name until then; "": it has none */
  int fd;
  bool owns_fd, is_file, opened;
  bool awaited;   /**< the operation waits until it can be written to */
  bool no_reader; /**< a pipe that is to be opened when somebody reads from it */
  ims_ring ring;  /**< what the producer fills */

  ims_encoder *encoder; /**< NULL: not compressed */
  ims_task encode_task;
  ims_ring encoded;
  ims_error encode_err;
  atomic_bool encode_failed;
  atomic_int state;
  ims_error err; /**< of the task */
} ims_output;

/** producer: the task that will fill output->ring; it is initialised already. */
int32_t ims_output_open(ims_output *output, imgstore_operation *op, const ims_output_target *target, ims_task *producer,
                        ims_error *err);
/** Producer's side: moves staged bytes from *at on into the ring. True: all of them, and staged is empty again. */
bool ims_output_flush(ims_output *output, ims_buf *staged, size_t *at);
/** Producer's side: there are new bytes in the ring, or it was closed. */
void ims_output_fed(ims_output *output);
/** Driver's side. IMGSTORE_OK: all was written and is visible; IMGSTORE_EAGAIN; or the failure in op->err. */
int32_t ims_output_advance(ims_output *output);
/** Milliseconds until the driver's turn although nothing happened; -1: none. */
int32_t ims_output_timeout(const ims_output *output);
/** Stops the producer and closes. What was not completed leaves no file. Does nothing when it was not opened. */
void ims_output_end(ims_output *output);

#endif
