/*
 * engine/tar_job.h (L4) - what save and export have in common: a task makes a tar, an output takes it away.
 */
#ifndef IMS_ENGINE_TAR_JOB_H
#define IMS_ENGINE_TAR_JOB_H

#include "engine/archive_output.h"
#include "store/store.h"

/** The first member of such a job. */
typedef struct ims_tar_job {
  imgstore_operation op; /**< first member */
  ims_task task;
  ims_output output;
  atomic_bool failed;

  /* of the task */
  ims_error err;
  ims_buf staged; /**< what is not in the ring of the output yet, from staged_at on */
  size_t staged_at;
} ims_tar_job;

typedef struct ims_tar_job_type {
  ims_job job;
  size_t size;                 /**< of the job */
  void (*run)(ims_task *task); /**< makes the tar */
  size_t staged_max;
} ims_tar_job_type;

/** Makes a job, otherwise zeroed, over a store; ims_operation_free frees it. */
int32_t ims_tar_job_new(ims_tar_job **job, const ims_tar_job_type *type, const imgstore_store *store,
                        imgstore_event_fn progress, void *progress_data, ims_error *err);
void ims_tar_job_clean(ims_tar_job *job);
ims_tar_job *ims_tar_job_of(ims_task *task);
/** Opens the output; the task begins. Of path, fd and write the first that is given counts. */
int32_t ims_tar_job_begin(ims_tar_job *job, const ims_output_target *target, ims_error *err);
/** The task has failed, with job->err. */
void ims_tar_job_fail(ims_tar_job *job);
/** Driver's turn, as ims_output_advance. */
int32_t ims_tar_job_advance(ims_tar_job *job);
int32_t ims_tar_job_timeout(imgstore_operation *op, int64_t now);
void ims_tar_job_end(ims_tar_job *job);

#endif
