/*
 * engine/layers.c (L4) - the layers of one image into layer directories: several at the same time, each as far as it
 * gets without those below it; then settled base first, flushed once, and made visible.
 *
 *   missing -> [pipe: stream] -> applied -> [pipe: settle, record] -> complete -> (all:) [flush] -> renamed
 *                                   \-> unsure: [pipe: stream again, with the layers below in view] -> ...
 *
 * The first missing layer of the chain is locked: another job that misses it waits, and looks again when the lock goes.
 * What is made lies in one staging directory until the end.
 */
#include "engine/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "engine/layer_apply.h"

enum { MAX_PIPES = 3, WINDOW = 8, LOCK_INTERVAL = 100 };

/* Of one layer. */
enum {
  LAYER_PRESENT,   /* its directory was there */
  LAYER_MISSING,   /* to be applied; its blob may be on its way */
  LAYER_STREAMING, /* a pipe feeds it */
  LAYER_APPLIED,   /* waits for the layers below */
  LAYER_SETTLING,  /* a pipe's task works on it */
  LAYER_COMPLETE   /* in the staging directory */
};

/* Of the job. */
enum { STAGE_IDLE, STAGE_LOOK, STAGE_APPLY, STAGE_FLUSH, STAGE_DONE };

typedef struct applied_layer {
  ims_layers *job;
  int state;
  ims_layer_apply one;
  ims_layer_pipe *pipe;
} applied_layer;

struct ims_layers {
  imgstore_operation *op;
  ims_rootfs_dir *dir;
  ims_layer_form form;
  ims_quota quota;
  ims_rootfs_lease lease;
  const ims_config *config;
  applied_layer *layers; /* base first */
  ims_lower *lower;      /* the uppermost first */
  char *paths;           /* of directories in layers/, for lower */
  size_t count;
  int stage;
  int lock; /* of the first missing layer */
  ims_stage staging;
  ims_layer_place place;
  ims_layer_pipe *pipe[MAX_PIPES];
  size_t pipe_count;
  ims_layers_source source;
  void *source_data;
};

/* --- what there is ---------------------------------------------------------------------------------------------------
 */

static int32_t lease_names(ims_layers *l) {
  ims_buf lines;
  ims_buf_init(&lines, &l->op->core->alloc, SIZE_MAX);
  for (size_t i = 0; i < l->count; i++)
    ims_buf_printf(&lines, "%s\n", l->layers[i].one.name);
  int32_t rc = lines.failed ? ims_fail_nomem(&l->op->err) : ims_rootfs_lease_add(&l->lease, &lines, &l->op->err);
  ims_buf_free(&lines);
  return rc;
}

static ims_lower *lower_of(ims_layers *l, size_t i) {
  return &l->lower[l->count - 1 - i];
}

/* The layers below i: read only when one has to be applied. */
static int32_t read_record(ims_layers *l, size_t i) {
  applied_layer *layer = &l->layers[i];
  ims_lower *lower = lower_of(l, i);
  if (layer->one.record.attributes.alloc)
    return IMGSTORE_OK;
  int32_t rc = ims_layer_record_read(&layer->one.record, l->dir, layer->one.name, &l->op->err);
  lower->opaque = layer->one.record.opaque;
  lower->default_acls = layer->one.record.default_acls;
  lower->any_attributes = layer->one.record.any_attributes;
  lower->attributes = &layer->one.record.attributes;
  return rc;
}

static void look_lower(ims_layers *l, size_t i) {
  enum { PATH_SIZE = IMS_LAYER_NAME + sizeof "/" IMS_LAYER_ROOT };
  const applied_layer *layer = &l->layers[i];
  char *path = l->paths + i * PATH_SIZE;
  snprintf(path, PATH_SIZE, "%s/" IMS_LAYER_ROOT, layer->one.name);
  ims_lower *lower = lower_of(l, i);
  *lower = (ims_lower){.dir = l->dir->folder[IMS_ROOTFS_LAYERS], .prefix = path};
  if (layer->state == LAYER_PRESENT)
    return;
  lower->dir = l->staging.fd;
  lower->prefix = layer->one.prefix;
}

/* *missing: the first that is not there; count when all are. */
static int32_t look(ims_layers *l, size_t *missing) {
  *missing = l->count;
  for (size_t i = l->count; i-- > 0;) {
    bool present;
    int32_t rc = ims_layer_dir_find(l->dir, l->layers[i].one.name, &present, &l->op->err);
    if (rc)
      return rc;
    l->layers[i].state = present ? LAYER_PRESENT : LAYER_MISSING;
    if (!present)
      *missing = i;
  }
  return IMGSTORE_OK;
}

static int32_t prepare(ims_layers *l) {
  int32_t rc = ims_stage_open(l->dir, &l->staging, &l->op->err);
  l->place.staging = l->staging.fd;
  for (size_t i = 0; !rc && i < l->count; i++) {
    snprintf(l->layers[i].one.prefix, IMS_LAYER_PREFIX, "%zu/" IMS_LAYER_ROOT, i);
    look_lower(l, i);
    if (l->layers[i].state == LAYER_PRESENT)
      rc = read_record(l, i);
  }
  while (!rc && l->pipe_count < MAX_PIPES && l->pipe_count <= l->op->core->limits.workers) {
    rc = ims_layer_pipe_new(&l->pipe[l->pipe_count], l->op, l->dir->store, &l->op->err);
    l->pipe_count += !rc;
  }
  l->stage = STAGE_APPLY;
  return rc;
}

/* Looks, locks the first that is missing, and looks again: whoever had the lock may have made it. */
static int32_t look_and_lock(ims_layers *l) {
  size_t missing, first;
  int32_t rc = look(l, &first);
  if (rc)
    return rc;
  if (first == l->count) {
    l->stage = STAGE_DONE;
    return IMGSTORE_OK;
  }
  rc = ims_rootfs_dir_writable(l->dir, &l->op->err);
  if (!rc)
    rc = ims_rootfs_dir_lock(l->dir, l->layers[first].one.name, LOCK_EX | LOCK_NB, &l->lock, &l->op->err);
  if (rc)
    return rc == IMGSTORE_EBUSY ? IMGSTORE_EAGAIN : rc;
  rc = look(l, &missing);
  if (rc || missing == first)
    return rc ? rc : prepare(l);
  ims_dir_file_close(l->op->core, &l->lock);
  ims_lane_signal(&l->op->lane);
  return IMGSTORE_EAGAIN;
}

static int32_t flush(void *data, ims_error *err) {
  ims_layers *l = data;
  if (l->dir->flushes && l->op->core->sys->syncfs(l->staging.fd) != 0)
    return ims_fail_os(err, errno, "rootfs directory %s: cannot flush", l->dir->path);
  return IMGSTORE_OK;
}

/* --- applying: the driver's side
 * ---------------------------------------------------------------------------------------- */

static ims_layer_pipe *idle_pipe(const ims_layers *l) {
  for (size_t i = 0; i < l->pipe_count; i++) {
    bool used = false;
    for (size_t k = 0; k < l->count; k++)
      used = used || l->layers[k].pipe == l->pipe[i];
    if (!used)
      return l->pipe[i];
  }
  return NULL;
}

static int32_t begin(applied_layer *layer, ims_layer_pipe *pipe, ims_transfer *stream) {
  ims_layers *l = layer->job;
  size_t i = (size_t)(layer - l->layers);
  int32_t rc = ims_layer_apply_begin(&layer->one, l->config, i, &l->lower[l->count - i], pipe, stream);
  if (!rc) {
    layer->pipe = pipe;
    layer->state = LAYER_STREAMING;
  }
  return rc;
}

/* Whether the layer may begin now: a bounded number are under way. */
static bool is_near(const ims_layers *l, size_t i) {
  size_t first = 0;
  while (first < l->count && (l->layers[first].state == LAYER_PRESENT || l->layers[first].state == LAYER_COMPLETE))
    first++;
  return i < first + WINDOW;
}

static bool are_complete_below(const ims_layers *l, size_t i) {
  while (i-- > 0)
    if (l->layers[i].state != LAYER_PRESENT && l->layers[i].state != LAYER_COMPLETE)
      return false;
  return true;
}

/* What the layers below say is needed before this one is settled. */
static void take_lower(ims_layers *l, size_t i) {
  ims_lower *lower = lower_of(l, i);
  lower->opaque = l->layers[i].one.record.opaque;
  lower->default_acls = l->layers[i].one.record.default_acls;
  lower->any_attributes = l->layers[i].one.record.any_attributes;
  lower->attributes = &l->layers[i].one.record.attributes;
}

static int32_t advance_settling(ims_layers *l, size_t i) {
  applied_layer *layer = &l->layers[i];
  int32_t rc = ims_layer_pipe_work(layer->pipe, ims_layer_apply_settle, &layer->one);
  if (rc == IMGSTORE_EAGAIN)
    return IMGSTORE_OK;
  layer->pipe = NULL;
  ims_lane_signal(&l->op->lane);
  if (rc == IMGSTORE_EBUSY) {
    ims_error_clear(&l->op->err);
    layer->one.again = true;
    layer->state = LAYER_MISSING;
    return IMGSTORE_OK;
  }
  if (rc)
    return ims_error_prefix(&l->op->err, "layer %s", layer->one.descriptor->digest.text);
  layer->state = LAYER_COMPLETE;
  take_lower(l, i);
  return IMGSTORE_OK;
}

static int32_t advance_missing(ims_layers *l, size_t i) {
  applied_layer *layer = &l->layers[i];
  if (!is_near(l, i) || (layer->one.again && !are_complete_below(l, i)))
    return IMGSTORE_OK;
  ims_transfer *transfer = l->source ? l->source(l->source_data, layer->one.descriptor) : NULL;
  if (transfer && !ims_transfer_is_finished(transfer))
    return IMGSTORE_OK; /* its turn comes with ims_layers_follow, or when it is in the store */
  ims_layer_pipe *pipe = idle_pipe(l);
  return pipe ? begin(layer, pipe, NULL) : IMGSTORE_OK;
}

static int32_t advance_layer(ims_layers *l, size_t i, int64_t now) {
  applied_layer *layer = &l->layers[i];
  int32_t rc;
  switch (layer->state) {
  case LAYER_MISSING:
    return advance_missing(l, i);
  case LAYER_STREAMING:
    rc = ims_layer_pipe_advance(layer->pipe, &l->config->diff_ids[i], now);
    if (rc)
      return rc == IMGSTORE_EAGAIN ? IMGSTORE_OK : rc;
    layer->pipe = NULL;
    layer->state = LAYER_APPLIED;
    ims_lane_signal(&l->op->lane);
    return IMGSTORE_OK;
  case LAYER_APPLIED:
    layer->pipe = are_complete_below(l, i) ? idle_pipe(l) : NULL;
    if (layer->pipe) {
      layer->state = LAYER_SETTLING;
      ims_lane_signal(&l->op->lane);
    }
    return IMGSTORE_OK;
  case LAYER_SETTLING:
    return advance_settling(l, i);
  default:
    return IMGSTORE_OK;
  }
}

static int32_t apply_all(ims_layers *l, int64_t now) {
  bool all = true;
  for (size_t i = 0; i < l->count; i++) {
    int32_t rc = advance_layer(l, i, now);
    if (rc)
      return rc;
    all = all && (l->layers[i].state == LAYER_PRESENT || l->layers[i].state == LAYER_COMPLETE);
  }
  if (all)
    l->stage = STAGE_FLUSH;
  return all ? IMGSTORE_OK : IMGSTORE_EAGAIN;
}

/* --- the end
 * ------------------------------------------------------------------------------------------------------------- */

/* Base first, so that what is there is always a whole chain. */
static int32_t publish(ims_layers *l) {
  for (size_t i = 0; i < l->count; i++) {
    char name[IMS_LAYER_PREFIX];
    if (l->layers[i].state != LAYER_COMPLETE)
      continue;
    snprintf(name, sizeof name, "%zu", i);
    int32_t rc =
        ims_stage_publish_part(l->dir, &l->staging, name, IMS_ROOTFS_LAYERS, l->layers[i].one.name, &l->op->err);
    if (rc)
      return rc;
  }
  int32_t rc = ims_rootfs_dir_flush(l->dir, IMS_ROOTFS_LAYERS, &l->op->err);
  ims_stage_discard(l->dir, &l->staging);
  ims_dir_file_close(l->op->core, &l->lock);
  l->stage = STAGE_DONE;
  return rc;
}

/* Lines that this job made, or that the job before it wrote down. */
static int32_t collect_lines(ims_layers *l) {
  imgstore_report *report = l->op->report;
  for (size_t i = 0; i < l->count; i++) {
    const imgstore_report *own = l->layers[i].one.report;
    int32_t rc = own ? IMGSTORE_OK : ims_layer_changes_read(l->dir, l->layers[i].one.name, report, &l->op->err);
    if (rc)
      return rc;
    for (size_t k = 0; k < imgstore_report_count(own); k++) {
      rc = ims_report_add(report, imgstore_report_kind(own, k), imgstore_report_name(own, k), NULL,
                          imgstore_report_detail(own, k), 0, 0);
      if (rc == IMGSTORE_ENOMEM)
        return ims_fail_nomem(&l->op->err);
    }
  }
  return IMGSTORE_OK;
}

int32_t ims_layers_advance(ims_layers *l, int64_t now) {
  int32_t rc = IMGSTORE_OK;
  bool was_done = l->stage == STAGE_DONE;
  if (l->stage == STAGE_IDLE)
    return IMGSTORE_EAGAIN;
  if (l->stage == STAGE_LOOK)
    rc = look_and_lock(l);
  if (!rc && l->stage == STAGE_APPLY)
    rc = apply_all(l, now);
  if (!rc && l->stage == STAGE_FLUSH) {
    rc = ims_layer_pipe_work(l->pipe[0], flush, l);
    if (!rc)
      rc = publish(l);
  }
  return rc || was_done ? rc : collect_lines(l);
}

bool ims_layers_follow(ims_layers *l, ims_transfer *transfer, int32_t *failed) {
  *failed = IMGSTORE_OK;
  for (size_t i = 0; l->stage == STAGE_APPLY && i < l->count; i++) {
    applied_layer *layer = &l->layers[i];
    if (layer->state != LAYER_MISSING || layer->one.again || !is_near(l, i) ||
        !ims_digest_equal(&layer->one.descriptor->digest, &transfer->digest))
      continue;
    ims_layer_pipe *pipe = ims_transfer_can_follow(transfer) ? idle_pipe(l) : NULL;
    if (!pipe)
      return false;
    *failed = begin(layer, pipe, transfer);
    return !*failed;
  }
  return false;
}

int32_t ims_layers_timeout(const ims_layers *l) {
  return l->stage == STAGE_LOOK                       ? LOCK_INTERVAL
         : l->op->progress && l->stage == STAGE_APPLY ? IMS_PROGRESS_INTERVAL
                                                      : -1;
}

/* --- the object
 * ---------------------------------------------------------------------------------------------------------- */

int32_t ims_layers_new(ims_layers **layers, imgstore_operation *op, ims_rootfs_dir *dir,
                       const imgstore_layers_options *options, ims_error *err) {
  *layers = NULL;
  ims_layers *l = ims_calloc(&op->core->alloc, 1, sizeof *l);
  if (!l)
    return ims_fail_nomem(err);
  l->op = op;
  l->dir = ims_rootfs_dir_ref(dir);
  l->lock = l->staging.fd = l->lease.fd = -1;
  l->place = (ims_layer_place){op, l->dir, &l->form, &l->quota, -1};
  l->quota.max_bytes = options->max_bytes;
  l->quota.max_inodes = options->max_inodes;
  int32_t rc = op->report || (op->report = ims_report_new(&op->core->alloc)) ? IMGSTORE_OK : ims_fail_nomem(err);
  if (!rc)
    rc = ims_layer_form_init(&l->form, dir, options, err);
  if (!rc)
    rc = ims_rootfs_lease_open(&l->lease, dir, err);
  if (rc)
    ims_layers_free(l);
  else
    *layers = l;
  return rc;
}

int32_t ims_layers_begin(ims_layers *l, const imgstore_manifest *manifest, const ims_config *config) {
  enum { PATH_SIZE = IMS_LAYER_NAME + sizeof "/" IMS_LAYER_ROOT };
  const ims_alloc *alloc = &l->op->core->alloc;
  size_t count = config->layer_count;
  l->config = config;
  l->layers = ims_calloc(alloc, count + 1, sizeof *l->layers);
  l->lower = ims_calloc(alloc, count + 1, sizeof *l->lower);
  l->paths = ims_calloc(alloc, count + 1, PATH_SIZE);
  if (!l->layers || !l->lower || !l->paths)
    return ims_fail_nomem(&l->op->err);
  l->count = count;
  for (size_t i = 0; i < count; i++) {
    l->layers[i].job = l;
    l->layers[i].one.place = &l->place;
    l->layers[i].one.descriptor = &manifest->entries[i];
    l->layers[i].one.root_fd = -1;
    ims_layer_dir_name(&l->form, &config->chain_ids[i], l->layers[i].one.name);
  }
  l->stage = STAGE_LOOK;
  ims_lane_signal(&l->op->lane);
  return lease_names(l);
}

bool ims_layers_is_begun(const ims_layers *l) {
  return l->stage != STAGE_IDLE;
}

void ims_layers_set_source(ims_layers *l, ims_layers_source source, void *data) {
  l->source = source;
  l->source_data = data;
}

bool ims_layers_applies(const ims_layers *l, const ims_digest *digest) {
  for (size_t i = 0; i < l->count; i++)
    if (ims_digest_equal(&l->layers[i].one.descriptor->digest, digest))
      return l->layers[i].state != LAYER_PRESENT;
  return false;
}

size_t ims_layers_count(const ims_layers *l) {
  return l->count;
}

const char *ims_layers_name(const ims_layers *l, size_t i) {
  return i < l->count ? l->layers[i].one.name : "";
}

static void stop(ims_layers *l) {
  for (size_t i = 0; i < l->pipe_count; i++)
    ims_layer_pipe_free(l->pipe[i]);
  l->pipe_count = 0;
  for (size_t i = 0; i < l->count; i++)
    ims_layer_apply_stop(&l->layers[i].one);
  ims_stage_discard(l->dir, &l->staging);
  ims_dir_file_close(l->op->core, &l->lock);
}

void ims_layers_free(ims_layers *l) {
  if (!l)
    return;
  const ims_alloc *alloc = &l->op->core->alloc;
  stop(l);
  for (size_t i = 0; i < l->count; i++)
    ims_layer_apply_free(&l->layers[i].one);
  ims_rootfs_lease_close(&l->lease);
  ims_layer_form_free(&l->form);
  ims_rootfs_dir_unref(l->dir);
  ims_free(alloc, l->layers);
  ims_free(alloc, l->lower);
  ims_free(alloc, l->paths);
  ims_free(alloc, l);
}
