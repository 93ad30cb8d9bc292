/*
 * engine/layers_job.c (L4) - the job that applies the layers of an image of the store to layer directories.
 */
#include "engine/layers_job.h"

#include "engine/layers.h"

typedef struct layers_job {
  imgstore_operation op; /**< first member */
  imgstore_image *image;
  ims_lease lease; /**< the blobs stay while they are read, whatever is removed meanwhile */
  ims_layers *layers;
} layers_job;

static int32_t advance(imgstore_operation *op, int64_t now) {
  return ims_layers_advance(((layers_job *)op)->layers, now);
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  return ims_layers_timeout(((layers_job *)op)->layers);
}

static void end(imgstore_operation *op, int32_t result) {
  layers_job *j = (layers_job *)op;
  ims_layers_free(j->layers);
  j->layers = NULL;
  ims_lease_close(&j->lease);
}

static void destroy(imgstore_operation *op) {
  layers_job *j = (layers_job *)op;
  ims_core *core = ims_core_ref(op->core);
  imgstore_image_unref(j->image);
  ims_operation_clean(op);
  ims_free(&core->alloc, j);
  ims_core_unref(core);
}

static const ims_job layers_job_type = {advance, timeout, end, destroy};

static int32_t lease_blobs(layers_job *j, ims_error *err) {
  int32_t rc = ims_lease_open(&j->lease, j->image->store, err);
  for (size_t i = 0; !rc && i < j->image->layer_count; i++)
    rc = ims_lease_add(&j->lease, &j->image->layers[i]->digest, err);
  return rc;
}

int32_t ims_layers_apply_start(imgstore_operation **op, ims_rootfs_dir *dir, imgstore_image *image,
                               const imgstore_layers_options *options, ims_error *err) {
  ims_core *core = image->core;
  *op = NULL;
  if (image->store != dir->store)
    return ims_fail(err, IMGSTORE_EINVALID, "rootfs directory %s: is of another store than the image", dir->path);
  layers_job *j = ims_calloc(&core->alloc, 1, sizeof *j);
  if (!j)
    return ims_fail_nomem(err);
  int32_t rc = ims_operation_init(&j->op, core, &layers_job_type, options->progress, options->progress_data, err);
  if (rc) {
    ims_free(&core->alloc, j);
    return rc;
  }
  j->image = imgstore_image_ref(image);
  rc = lease_blobs(j, err);
  if (!rc)
    rc = ims_layers_new(&j->layers, &j->op, dir, options, err);
  if (!rc) {
    rc = ims_layers_begin(j->layers, image->manifest, image->config);
    if (rc)
      *err = j->op.err;
  }
  if (rc) {
    ims_operation_free(&j->op);
    return rc;
  }
  *op = &j->op;
  return IMGSTORE_OK;
}
