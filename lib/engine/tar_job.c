/*
 * engine/tar_job.c (L4) - what save and export have in common.
 */
#include "engine/tar_job.h"

#include <string.h>

int32_t ims_tar_job_new(ims_tar_job **job, const ims_tar_job_type *type, const imgstore_store *store,
                        imgstore_event_fn progress, void *progress_data, ims_error *err) {
  ims_core *core = store->core;
  bool concurrent = store->storage.flags & IMGSTORE_STORAGE_CONCURRENT;
  *job = NULL;
  ims_tar_job *j = ims_calloc(&core->alloc, 1, type->size);
  if (!j)
    return ims_fail_nomem(err);
  int32_t rc = ims_operation_init(&j->op, core, &type->job, progress, progress_data, err);
  if (rc) {
    ims_free(&core->alloc, j);
    return rc;
  }
  ims_task_init(&j->task, &j->op.lane, concurrent ? core->pool : NULL, type->run);
  ims_buf_init(&j->staged, &core->alloc, type->staged_max);
  atomic_init(&j->failed, false);
  *job = j;
  return IMGSTORE_OK;
}

void ims_tar_job_clean(ims_tar_job *j) {
  ims_core *core = ims_core_ref(j->op.core);
  ims_buf_free(&j->staged);
  ims_operation_clean(&j->op);
  ims_free(&core->alloc, j);
  ims_core_unref(core);
}

ims_tar_job *ims_tar_job_of(ims_task *task) {
  return (ims_tar_job *)((char *)task - offsetof(ims_tar_job, task));
}

int32_t ims_tar_job_begin(ims_tar_job *j, const ims_output_target *target, ims_error *err) {
  ims_output_target own = *target;
  if (own.path)
    own.fd = -1;
  if (own.path || own.fd >= 0)
    own.write = NULL;
  int32_t rc = ims_output_open(&j->output, &j->op, &own, &j->task, err);
  if (!rc)
    ims_task_wake(&j->task);
  return rc;
}

void ims_tar_job_fail(ims_tar_job *j) {
  atomic_store(&j->failed, true);
  ims_lane_signal(&j->op.lane);
}

int32_t ims_tar_job_advance(ims_tar_job *j) {
  int32_t rc = ims_output_advance(&j->output);
  if (rc && rc != IMGSTORE_EAGAIN)
    return rc;
  if (!atomic_load(&j->failed))
    return rc;
  j->op.err = j->err;
  return j->err.code ? j->err.code : IMGSTORE_EIO;
}

int32_t ims_tar_job_timeout(imgstore_operation *op, int64_t now) {
  const ims_tar_job *j = (const ims_tar_job *)op;
  int32_t wait = ims_output_timeout(&j->output);
  (void)now;
  return wait >= 0 || !op->progress ? wait : IMS_PROGRESS_INTERVAL;
}

void ims_tar_job_end(ims_tar_job *j) {
  ims_output_end(&j->output);
  ims_task_stop(&j->task);
}
