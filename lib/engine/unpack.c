/*
 * engine/unpack.c (L4) - the job that unpacks an image of the store into a directory.
 */
#include "engine/bring.h"
#include "engine/image.h"

typedef struct unpack_job {
  imgstore_operation op; /**< first member */
  imgstore_image *image;
  ims_lease lease; /**< the layers stay while they are read, whatever is removed meanwhile */
  ims_unpacker *unpacker;
} unpack_job;

static int32_t advance(imgstore_operation *op, int64_t now) {
  unpack_job *j = (unpack_job *)op;
  const ims_config *config = j->image->config;
  size_t done = ims_unpacker_done(j->unpacker);
  if (!ims_unpacker_is_idle(j->unpacker)) {
    int32_t rc = ims_unpacker_advance(j->unpacker, &config->diff_ids[done], now);
    if (rc)
      return rc;
    done++;
  }
  if (done == config->layer_count)
    return ims_unpacker_finish(j->unpacker);
  int32_t rc = ims_unpacker_begin(j->unpacker, &j->image->manifest->entries[done], &config->diff_ids[done], NULL);
  return rc ? rc : IMGSTORE_EAGAIN;
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  return op->progress ? IMS_PROGRESS_INTERVAL : -1;
}

static void end(imgstore_operation *op, int32_t result) {
  unpack_job *j = (unpack_job *)op;
  ims_unpacker_free(j->unpacker, result == IMGSTORE_OK);
  j->unpacker = NULL;
  ims_lease_close(&j->lease);
}

static void destroy(imgstore_operation *op) {
  unpack_job *j = (unpack_job *)op;
  ims_core *core = ims_core_ref(op->core);
  imgstore_image_unref(j->image);
  ims_operation_clean(op);
  ims_free(&core->alloc, j);
  ims_core_unref(core);
}

static const ims_job unpack_job_type = {advance, timeout, end, destroy};

static int32_t lease_layers(unpack_job *j, ims_error *err) {
  int32_t rc = ims_lease_open(&j->lease, j->image->store, err);
  for (size_t i = 0; !rc && i < j->image->layer_count; i++)
    rc = ims_lease_add(&j->lease, &j->image->layers[i]->digest, err);
  return rc;
}

int32_t ims_unpack_start(imgstore_operation **op, imgstore_image *image, const char *directory,
                         const imgstore_unpack_options *options, ims_error *err) {
  ims_core *core = image->core;
  *op = NULL;
  unpack_job *j = ims_calloc(&core->alloc, 1, sizeof *j);
  if (!j)
    return ims_fail_nomem(err);
  int32_t rc = ims_operation_init(&j->op, core, &unpack_job_type, options->progress, options->progress_data, err);
  if (rc) {
    ims_free(&core->alloc, j);
    return rc;
  }
  j->image = imgstore_image_ref(image);
  rc = lease_layers(j, err);
  if (!rc)
    rc = ims_unpacker_new(&j->unpacker, &j->op, image->store, directory, options, err);
  if (rc) {
    ims_operation_free(&j->op);
    return rc;
  }
  *op = &j->op;
  return IMGSTORE_OK;
}
