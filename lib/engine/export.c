/*
 * engine/export.c (L4) - the job that writes the merged file system of an image, or of an instance, as one tar: all
 * layers squashed into one, by a task, and the output takes it away. An instance is its image and one layer more.
 */
#include <string.h>

#include "engine/archive_jobs.h"
#include "engine/changes_layer.h"
#include "engine/squash.h"
#include "engine/tar_job.h"
#include "oci/mediatype.h"

enum { STAGED_MAX = 64 << 20 /* more than a step of the squash makes */ };

typedef struct export_job {
  ims_tar_job base; /* first member */
  imgstore_image *image;
  ims_lease lease;
  ims_build_layer *layers;
  size_t layer_count;
  ims_changes_layer *changes; /* of an instance that is not read-only */

  /* of the task */
  ims_squash *squash;
  bool complete;
  _Atomic uint64_t made;
  int64_t reported_at;
} export_job;

static int32_t stage(void *data, const void *bytes, size_t size, ims_error *err) {
  export_job *j = data;
  atomic_fetch_add(&j->made, size);
  return ims_buf_append(&j->base.staged, bytes, size) ? ims_fail_nomem(err) : IMGSTORE_OK;
}

/* One step of the squash, when what the last one made is in the ring. */
static void run_task(ims_task *task) {
  export_job *j = (export_job *)ims_tar_job_of(task);
  const ims_squash_sink sink = {stage, j};
  if (atomic_load(&j->base.failed) || atomic_load(&j->base.output.ring.closed))
    return;
  bool room = ims_output_flush(&j->base.output, &j->base.staged, &j->base.staged_at);
  int32_t rc = IMGSTORE_OK;
  if (room && !j->complete) {
    rc = ims_squash_step(j->squash, &sink, &j->base.err);
    j->complete = rc == IMGSTORE_OK;
  } else if (room) {
    ims_ring_close(&j->base.output.ring);
  }
  if (rc && rc != IMGSTORE_EAGAIN) {
    ims_tar_job_fail(&j->base);
    return;
  }
  ims_output_fed(&j->base.output);
  if (room && !atomic_load(&j->base.output.ring.closed))
    ims_task_wake(&j->base.task);
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  export_job *j = (export_job *)op;
  int32_t rc = ims_tar_job_advance(&j->base);
  if (rc && rc != IMGSTORE_EAGAIN)
    return rc;
  if (now - j->reported_at < IMS_PROGRESS_INTERVAL)
    return rc;
  j->reported_at = now;
  int32_t told = ims_operation_event(op, IMGSTORE_EVENT_UNPACKING, IMGSTORE_OBJECT_NONE, NULL, j->base.output.path,
                                     atomic_load(&j->made), 0);
  return told ? told : rc;
}

static void end(imgstore_operation *op, int32_t result) {
  export_job *j = (export_job *)op;
  (void)result;
  ims_tar_job_end(&j->base);
  ims_squash_free(j->squash);
  j->squash = NULL;
  ims_changes_layer_free(j->changes);
  j->changes = NULL;
  ims_lease_close(&j->lease);
}

static void destroy(imgstore_operation *op) {
  export_job *j = (export_job *)op;
  ims_free(&op->core->alloc, j->layers);
  imgstore_image_unref(j->image);
  ims_tar_job_clean(&j->base);
}

static const ims_tar_job_type export_job_type = {
    {advance, ims_tar_job_timeout, end, destroy}, sizeof(export_job), run_task, STAGED_MAX};

static int32_t take_layers(export_job *j, imgstore_rootfs *rootfs, ims_error *err) {
  const imgstore_image *image = j->image;
  j->layer_count = image->layer_count;
  j->layers = ims_calloc(&j->base.op.core->alloc, image->layer_count + 1, sizeof *j->layers);
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

static int32_t make_squash(export_job *j, imgstore_rootfs *rootfs, ims_error *err) {
  int32_t rc = take_layers(j, rootfs, err);
  if (!rc)
    rc = ims_squash_new(&j->squash, j->image->store, j->layers, j->layer_count, 0, false, 0, err);
  if (!rc)
    ims_squash_heads_last(j->squash);
  return rc;
}

/* rootfs: an instance of image, or NULL. */
static int32_t start(imgstore_operation **op, imgstore_image *image, imgstore_rootfs *rootfs, const char *path,
                     const imgstore_export_options *options, ims_error *err) {
  const ims_output_target target = {path, options->fd, options->write, options->write_data, IMS_ENCODE_NONE};
  ims_tar_job *base;
  *op = NULL;
  int32_t rc = ims_tar_job_new(&base, &export_job_type, image->store, options->progress, options->progress_data, err);
  if (rc)
    return rc;
  export_job *j = (export_job *)base;
  j->image = imgstore_image_ref(image);
  rc = make_squash(j, rootfs, err);
  if (!rc)
    rc = ims_tar_job_begin(base, &target, err);
  if (rc) {
    ims_operation_free(&base->op);
    return rc;
  }
  *op = &base->op;
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
