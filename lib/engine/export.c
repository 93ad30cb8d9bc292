/*
 * engine/export.c (L4) - the job that writes the merged file system of an image, or of an instance, as one tar: all
 * layers squashed into one, by a task, and the output takes it away. An instance is its image and one layer more.
 */
#include <string.h>

#include "engine/archive_jobs.h"
#include "engine/archive_output.h"
#include "engine/changes_layer.h"
#include "engine/squash.h"
#include "oci/mediatype.h"

enum { STAGED_MAX = 64 << 20 /* more than a step of the squash makes */ };

typedef struct export_job {
  imgstore_operation op; /* first member */
  ims_task task;
  imgstore_image *image;
  ims_lease lease;
  ims_build_layer *layers;
  size_t layer_count;
  ims_changes_layer *changes; /* of an instance that is not read-only */
  ims_output output;

  /* of the task */
  ims_squash *squash;
  bool complete;
  ims_buf staged;
  size_t staged_at;
  atomic_bool failed;
  ims_error err;
  _Atomic uint64_t made;
  int64_t reported_at;
} export_job;

static int32_t stage(void *data, const void *bytes, size_t size, ims_error *err) {
  export_job *j = data;
  atomic_fetch_add(&j->made, size);
  return ims_buf_append(&j->staged, bytes, size) ? ims_fail_nomem(err) : IMGSTORE_OK;
}

/* One step of the squash, when what the last one made is in the ring. */
static void run_task(ims_task *task) {
  export_job *j = (export_job *)((char *)task - offsetof(export_job, task));
  const ims_squash_sink sink = {stage, j};
  if (atomic_load(&j->failed) || atomic_load(&j->output.ring.closed))
    return;
  bool room = ims_output_flush(&j->output, &j->staged, &j->staged_at);
  int32_t rc = IMGSTORE_OK;
  if (room && !j->complete) {
    rc = ims_squash_step(j->squash, &sink, &j->err);
    j->complete = rc == IMGSTORE_OK;
  } else if (room) {
    ims_ring_close(&j->output.ring);
  }
  if (rc && rc != IMGSTORE_EAGAIN) {
    atomic_store(&j->failed, true);
    ims_lane_signal(&j->op.lane);
    return;
  }
  ims_output_fed(&j->output);
  if (room && !atomic_load(&j->output.ring.closed))
    ims_task_wake(&j->task);
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  export_job *j = (export_job *)op;
  int32_t rc = ims_output_advance(&j->output);
  if (rc && rc != IMGSTORE_EAGAIN)
    return rc;
  if (atomic_load(&j->failed)) {
    op->err = j->err;
    return j->err.code ? j->err.code : IMGSTORE_EIO;
  }
  if (now - j->reported_at < IMS_PROGRESS_INTERVAL)
    return rc;
  j->reported_at = now;
  int32_t told = ims_operation_event(op, IMGSTORE_EVENT_UNPACKING, IMGSTORE_OBJECT_NONE, NULL, j->output.path,
                                     atomic_load(&j->made), 0);
  return told ? told : rc;
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  (void)now;
  return op->progress ? IMS_PROGRESS_INTERVAL : -1;
}

static void end(imgstore_operation *op, int32_t result) {
  export_job *j = (export_job *)op;
  (void)result;
  ims_output_end(&j->output);
  ims_task_stop(&j->task);
  ims_squash_free(j->squash);
  j->squash = NULL;
  ims_changes_layer_free(j->changes);
  j->changes = NULL;
  ims_lease_close(&j->lease);
}

static void destroy(imgstore_operation *op) {
  export_job *j = (export_job *)op;
  ims_core *core = ims_core_ref(op->core);
  ims_buf_free(&j->staged);
  ims_free(&core->alloc, j->layers);
  imgstore_image_unref(j->image);
  ims_operation_clean(op);
  ims_free(&core->alloc, j);
  ims_core_unref(core);
}

static const ims_job export_job_type = {advance, timeout, end, destroy};

static int32_t take_layers(export_job *j, imgstore_rootfs *rootfs, ims_error *err) {
  const imgstore_image *image = j->image;
  j->layer_count = image->layer_count;
  j->layers = ims_calloc(&j->op.core->alloc, image->layer_count + 1, sizeof *j->layers);
  int32_t rc = j->layers ? ims_lease_open(&j->lease, image->store, err) : ims_fail_nomem(err);
  for (size_t i = 0; !rc && i < image->layer_count; i++) {
    const imgstore_layer *layer = image->layers[i];
    ims_build_layer *l = &j->layers[i];
    l->digest = layer->digest;
    l->diff_id = layer->diff_id;
    l->size = layer->size;
    l->format = ims_media_layer_format(layer->media_type);
    strncpy(l->media_type, layer->media_type, sizeof l->media_type - 1);
    rc = ims_lease_add(&j->lease, &layer->digest, err);
  }
  if (rc || !rootfs || rootfs->instance.record.read_only)
    return rc;
  return ims_changes_layer_new(&j->changes, rootfs, &j->layers[j->layer_count++], err);
}

static int32_t setup(export_job *j, imgstore_rootfs *rootfs, const char *path, const imgstore_export_options *options,
                     ims_error *err) {
  const ims_output_target target = {path, path ? -1 : options->fd, path || options->fd >= 0 ? NULL : options->write,
                                    options->write_data};
  int32_t rc = take_layers(j, rootfs, err);
  if (!rc)
    rc = ims_squash_new(&j->squash, j->image->store, j->layers, j->layer_count, 0, false, 0, err);
  if (rc)
    return rc;
  ims_squash_heads_last(j->squash);
  return ims_output_open(&j->output, &j->op, &target, &j->task, err);
}

/* rootfs: an instance of image, or NULL. */
static int32_t start(imgstore_operation **op, imgstore_image *image, imgstore_rootfs *rootfs, const char *path,
                     const imgstore_export_options *options, ims_error *err) {
  ims_core *core = image->core;
  *op = NULL;
  export_job *j = ims_calloc(&core->alloc, 1, sizeof *j);
  if (!j)
    return ims_fail_nomem(err);
  int32_t rc = ims_operation_init(&j->op, core, &export_job_type, options->progress, options->progress_data, err);
  if (rc) {
    ims_free(&core->alloc, j);
    return rc;
  }
  bool concurrent = image->store->storage.flags & IMGSTORE_STORAGE_CONCURRENT;
  ims_task_init(&j->task, &j->op.lane, concurrent ? core->pool : NULL, run_task);
  ims_buf_init(&j->staged, &core->alloc, STAGED_MAX);
  atomic_init(&j->failed, false);
  j->image = imgstore_image_ref(image);
  rc = setup(j, rootfs, path, options, err);
  if (rc) {
    ims_operation_free(&j->op);
    return rc;
  }
  ims_task_wake(&j->task);
  *op = &j->op;
  return IMGSTORE_OK;
}

int32_t ims_export_start(imgstore_operation **op, imgstore_image *image, const char *path,
                         const imgstore_export_options *options, ims_error *err) {
  return start(op, image, NULL, path, options, err);
}

int32_t ims_rootfs_export_start(imgstore_operation **op, imgstore_rootfs *rootfs, const char *path,
                                const imgstore_export_options *options, ims_error *err) {
  const ims_instance *instance = &rootfs->instance;
  imgstore_image *image;
  *op = NULL;
  int32_t rc = ims_image_open(&image, instance->dir->store, instance->record.manifest.text, NULL, err);
  if (rc)
    return ims_error_prefix(err, "rootfs %s", instance->name);
  rc = start(op, image, rootfs, path, options, err);
  imgstore_image_unref(image);
  return rc;
}
