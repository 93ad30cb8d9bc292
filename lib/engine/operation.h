/*
 * engine/operation.h (L4) - what imgstore_operation is inside: the part that every kind of job shares.
 *
 * A job is a state machine that advances on the driving thread; its CPU work is in tasks (base/pool.h). The base
 * owns the pollable descriptor, the wake-ups, cancelling, progress and the result.
 */
#ifndef IMS_ENGINE_OPERATION_H
#define IMS_ENGINE_OPERATION_H

#include "base/core.h"
#include "base/error.h"
#include "base/pool.h"
#include "base/report.h"
#include "imgstore/operation.h"

enum { IMS_PROGRESS_INTERVAL = 100 }; /* milliseconds between two progress events of one object */

typedef struct ims_job {
  /** Does what can be done now without waiting. IMGSTORE_OK: done; IMGSTORE_EAGAIN: not yet; else the job has failed.
   */
  int32_t (*advance)(imgstore_operation *op, int64_t now);
  /** Milliseconds until advance must be called although nothing signalled; -1: never. */
  int32_t (*timeout)(imgstore_operation *op, int64_t now);
  /** Stops everything that runs and undoes what must not stay. Called once, when the job ends in whatever way. */
  void (*end)(imgstore_operation *op, int32_t result);
  /** Frees the job with its operation base. */
  void (*destroy)(imgstore_operation *op);
} ims_job;

/** The first member of every job. */
struct imgstore_operation {
  const ims_job *job;
  ims_core *core;
  ims_lane lane;
  int epoll_fd;
  int timer_fd;
  int transport_fd; /**< watched descriptor of a client, or -1 */
  atomic_bool cancelled;
  imgstore_event_fn progress;
  void *progress_data;
  bool stopped; /**< progress returned non-zero: it is not called again */
  bool running; /**< a step is under way */
  bool finished;
  int32_t result;
  ims_error err; /**< of the job; set by whoever fails */
  struct imgstore_image *image;
  imgstore_report *report;
  bool report_stays; /**< it is worth something after a failure too */
};

/** Fills a zeroed job's base. On failure nothing needs to be undone but the memory. Takes a reference on core. */
int32_t ims_operation_init(imgstore_operation *op, ims_core *core, const ims_job *job, imgstore_event_fn progress,
                           void *progress_data, ims_error *err);
/** Frees what init made; called from destroy. */
void ims_operation_clean(imgstore_operation *op);
/** Watches a descriptor for reading in addition to the operation's own. */
int32_t ims_operation_watch(imgstore_operation *op, int fd, ims_error *err);
/**
 * Makes the operation's descriptor readable as long as fd can be read from, or written to; until ims_operation_forget.
 * What cannot be waited for, such as a file, is ready at once.
 */
int32_t ims_operation_await(imgstore_operation *op, int fd, bool write, ims_error *err);
void ims_operation_forget(imgstore_operation *op, int fd);
/** The sooner of two timeouts in milliseconds, of which -1 is never. */
int32_t ims_sooner(int32_t a, int32_t b);
/** The public calls. */
int32_t ims_operation_step(imgstore_operation *op, int32_t timeout);
void ims_operation_free(imgstore_operation *op);

/** Sends an event. Non-zero (IMGSTORE_ECALLBACK, set in op->err): the caller wants to stop. */
int32_t ims_operation_event(imgstore_operation *op, int32_t type, int32_t object, const char *digest, const char *text,
                            uint64_t done, uint64_t total);

#endif
