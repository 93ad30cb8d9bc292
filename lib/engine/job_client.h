/*
 * engine/job_client.h (L4) - a client that works for a job: what it tells are events of the job, and the job's
 * descriptor wakes for it.
 */
#ifndef IMS_ENGINE_JOB_CLIENT_H
#define IMS_ENGINE_JOB_CLIENT_H

#include "engine/client.h"
#include "engine/operation.h"
#include "oci/reference.h"

/** Part of a job, for all of its clients; lives as long as they. */
typedef struct ims_job_listener {
  imgstore_operation *op;
  int32_t *failed;  /**< the job's: set to IMGSTORE_ECALLBACK when an event told it to end */
  bool moves_blobs; /**< a digest names a blob, another name a manifest; else IMGSTORE_OBJECT_NONE */
  bool retried;     /**< a request was sent again */
} ims_job_listener;

/** Opens a client for listener->op, whose descriptor wakes for it. On failure *client may be set: its owner frees it.
    Errors: in op->err. */
int32_t ims_job_client_open(ims_client **client, ims_job_listener *listener, imgstore_registry *registry);
/** IMGSTORE_EINVALID when reference is on another registry. */
int32_t ims_check_host(const imgstore_reference *reference, const imgstore_registry *registry, ims_error *err);

#endif
