/*
 * engine/diff_job.c (L4) - the job that lists what an instance changed. A task reads the disk; its lines become the
 * job's report.
 */
#include <stdatomic.h>

#include "engine/instance_changes.h"
#include "rootfs/changes.h"

enum { BUDGET = 1000 }; /* entries */
enum { PHASE_RUNNING, PHASE_DONE };

typedef struct diff_job {
  imgstore_operation op; /**< first member */
  imgstore_rootfs *rootfs;
  ims_own_layer own;
  ims_lower_stack lowers;
  ims_changes *changes;
  ims_task task;
  atomic_int phase;
  int32_t rc;
  ims_error err; /**< of the task, when it is done */
  ims_buf path;
} diff_job;

static int32_t add_line(void *data, int change, const char *path, ims_error *err) {
  static const int32_t kinds[] = {[IMS_CHANGE_ADDED] = IMGSTORE_REPORT_ADDED,
                                  [IMS_CHANGE_MODIFIED] = IMGSTORE_REPORT_MODIFIED,
                                  [IMS_CHANGE_DELETED] = IMGSTORE_REPORT_DELETED};
  diff_job *j = data;
  ims_buf_clear(&j->path);
  ims_buf_putc(&j->path, '/');
  if (ims_buf_puts(&j->path, path))
    return ims_fail_nomem(err);
  int32_t rc = ims_report_add(j->op.report, kinds[change], j->path.data, NULL, NULL, 0, 0);
  return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(err)
         : rc                  ? ims_fail(err, rc, "rootfs %s: too many changes to list", j->rootfs->instance.name)
                               : rc;
}

static void run(ims_task *task) {
  diff_job *j = (diff_job *)(void *)((char *)task - offsetof(diff_job, task));
  int32_t rc = j->changes ? ims_changes_run(j->changes, BUDGET, add_line, j, &j->err) : IMGSTORE_OK;
  if (rc == IMGSTORE_EAGAIN) {
    ims_task_wake(task);
    return;
  }
  j->rc = rc;
  atomic_store(&j->phase, PHASE_DONE);
  ims_lane_signal(&j->op.lane);
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  diff_job *j = (diff_job *)op;
  (void)now;
  if (atomic_load(&j->phase) != PHASE_DONE)
    return IMGSTORE_EAGAIN;
  if (j->rc)
    op->err = j->err;
  return j->rc;
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  (void)op;
  (void)now;
  return -1;
}

static void end(imgstore_operation *op, int32_t result) {
  diff_job *j = (diff_job *)op;
  (void)result;
  ims_task_stop(&j->task);
  ims_changes_free(j->changes);
  ims_lowers_free(&j->lowers);
  j->changes = NULL;
  if (j->own.fd >= 0)
    op->core->sys->close(j->own.fd);
  j->own.fd = -1;
}

static void destroy(imgstore_operation *op) {
  diff_job *j = (diff_job *)op;
  ims_core *core = ims_core_ref(op->core);
  ims_rootfs_unref(j->rootfs);
  ims_buf_free(&j->path);
  ims_operation_clean(op);
  ims_free(&core->alloc, j);
  ims_core_unref(core);
}

static const ims_job diff_job_type = {advance, timeout, end, destroy};

static int32_t begin(diff_job *j, ims_error *err) {
  j->op.report = ims_report_new(&j->op.core->alloc);
  if (!j->op.report)
    return ims_fail_nomem(err);
  int32_t rc = ims_own_layer_open(&j->own, j->rootfs, err);
  if (!rc && j->own.fd >= 0)
    rc = ims_instance_lowers(&j->lowers, j->rootfs, err);
  if (!rc && j->own.fd >= 0)
    rc = ims_changes_new(&j->changes, j->op.core, j->own.fd, j->own.marks, &j->lowers, err);
  return rc;
}

int32_t ims_rootfs_diff_start(imgstore_operation **op, imgstore_rootfs *rootfs, ims_error *err) {
  ims_core *core = rootfs->core;
  *op = NULL;
  diff_job *j = ims_calloc(&core->alloc, 1, sizeof *j);
  if (!j)
    return ims_fail_nomem(err);
  j->own.fd = -1;
  int32_t rc = ims_operation_init(&j->op, core, &diff_job_type, NULL, NULL, err);
  if (rc) {
    ims_free(&core->alloc, j);
    return rc;
  }
  j->rootfs = ims_rootfs_ref(rootfs);
  ims_buf_init(&j->path, &core->alloc, (size_t)2 << 20);
  ims_task_init(&j->task, &j->op.lane, core->pool, run);
  rc = begin(j, err);
  if (rc) {
    ims_operation_free(&j->op);
    return rc;
  }
  ims_task_wake(&j->task);
  *op = &j->op;
  return IMGSTORE_OK;
}
