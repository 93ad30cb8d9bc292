/*
 * engine/build_job.c (L4) - makes the image that a builder describes: layer by layer, then config, manifest, reference.
 *
 * A layer is made by one task: its source reads, the layer writer hashes and compresses (on the pool too). The driving
 * thread opens sources, commits layers and writes documents.
 */
#include <string.h>

#include "compress/decoder.h"
#include "engine/build.h"
#include "engine/build_publish.h"
#include "oci/mediatype.h"
#include "oci/time.h"

enum { LAYER_IDLE, LAYER_RUNNING, LAYER_DONE, LAYER_FAILED };
enum { STAGE_LAYERS, STAGE_SQUASH, STAGE_DOCUMENTS, STAGE_PUBLISH };

typedef struct build_job {
  imgstore_operation op; /**< first member */
  imgstore_builder *builder;
  imgstore_build_options options;
  char *name; /**< full, or NULL */
  ims_lease lease;
  char now[IMS_TIME_TEXT];
  const char *created; /**< as the caller set it, or now */
  int stage;
  ims_build_layer *layers; /**< room for all */
  size_t layer_count, next_addition;
  ims_history_part *history; /**< room for all */
  size_t history_count;
  bool squashing;
  /* the layer that is made */
  ims_task task;
  ims_layer_source *source;
  ims_layer_writer *writer;
  char what[256];
  atomic_int phase;
  _Atomic uint64_t done;
  ims_error err; /**< of the task; valid when phase is LAYER_FAILED */
  int64_t reported_at;
  /* documents */
  ims_buf config, manifest;
  ims_digest config_digest;
} build_job;

/* --- one layer ---------------------------------------------------------------------------------------------------- */

static void run_task(ims_task *task) {
  build_job *j = (build_job *)(void *)((char *)task - offsetof(build_job, task));
  int32_t rc = j->source->type->step(j->source, j->writer, &j->err);
  atomic_store(&j->done, j->writer ? ims_layer_writer_tar_size(j->writer) : j->source->done);
  if (rc == IMGSTORE_EAGAIN) {
    ims_task_wake(task);
    return;
  }
  if (!rc && j->writer)
    rc = ims_layer_writer_end(j->writer, &j->err);
  if (rc && !j->err.code)
    ims_fail(&j->err, rc, "%s: cannot be made a layer", j->what);
  atomic_store(&j->phase, rc ? LAYER_FAILED : LAYER_DONE);
  ims_lane_signal(&j->op.lane);
}

/* What is squashed in the end need not be compressed before. */
static bool is_intermediate(const build_job *j) {
  return !j->squashing && j->layer_count >= j->builder->squash_from;
}

static int32_t encoding(const build_job *j, int32_t *level) {
  static const int32_t encodings[] = {IMS_ENCODE_GZIP, IMS_ENCODE_GZIP_FAST, IMS_ENCODE_ZSTD, IMS_ENCODE_NONE};
  int32_t encode = is_intermediate(j) ? IMS_ENCODE_NONE : encodings[j->options.compression];
  *level = encode == IMS_ENCODE_NONE ? 0 : j->options.level;
  return encode;
}

/* Starts the task on a source, which is taken over. */
static int32_t start_layer(build_job *j, ims_layer_source *source, const char *what) {
  imgstore_operation *op = &j->op;
  bool concurrent = j->builder->store->storage.flags & IMGSTORE_STORAGE_CONCURRENT;
  int32_t level, encode = encoding(j, &level);
  size_t size = strnlen(what, sizeof j->what - 1);
  j->source = source;
  ims_task_init(&j->task, &op->lane, source->on_driver || !concurrent ? NULL : op->core->pool, run_task);
  memcpy(j->what, what, size);
  j->what[size] = '\0';
  int32_t rc = source->has_blob
                   ? IMGSTORE_OK
                   : ims_layer_writer_open(&j->writer, j->builder->store, &j->lease, encode, level, &op->err);
  if (!rc)
    rc = ims_operation_event(op, IMGSTORE_EVENT_PACKING, IMGSTORE_OBJECT_LAYER, NULL, j->what, 0, 0);
  if (rc)
    return rc;
  ims_error_clear(&j->err);
  atomic_store(&j->done, 0);
  atomic_store(&j->phase, LAYER_RUNNING);
  ims_task_wake(&j->task);
  return IMGSTORE_EAGAIN;
}

static void free_layer(build_job *j) {
  if (j->source)
    ims_task_stop(&j->task);
  ims_layer_writer_free(j->writer);
  ims_layer_source_free(j->source);
  j->writer = NULL;
  j->source = NULL;
  atomic_store(&j->phase, LAYER_IDLE);
}

static int32_t commit_layer(build_job *j, ims_build_layer *layer) {
  static const int32_t formats[] = {IMS_FORMAT_NONE, IMS_FORMAT_GZIP, IMS_FORMAT_GZIP, IMS_FORMAT_ZSTD};
  ims_new_layer made;
  if (j->source->has_blob)
    return j->source->type->commit(j->source, &j->lease, layer, &j->op.err);
  int32_t rc = ims_layer_writer_commit(j->writer, &made, &j->op.err);
  if (rc)
    return rc;
  *layer = (ims_build_layer){
      .digest = made.digest, .diff_id = made.diff_id, .size = made.size, .format = formats[made.encode]};
  memcpy(layer->media_type, made.media_type, strlen(made.media_type) + 1);
  return IMGSTORE_OK;
}

/* The layer under way: IMGSTORE_EAGAIN until *layer is in the store. */
static int32_t advance_layer(build_job *j, int64_t now, ims_build_layer *layer) {
  int phase = atomic_load(&j->phase);
  if (phase == LAYER_FAILED) {
    j->op.err = j->err;
    return j->err.code;
  }
  if (phase == LAYER_RUNNING) {
    if (now - j->reported_at < IMS_PROGRESS_INTERVAL)
      return IMGSTORE_EAGAIN;
    j->reported_at = now;
    int32_t rc = ims_operation_event(&j->op, IMGSTORE_EVENT_PACKING, IMGSTORE_OBJECT_LAYER, NULL, j->what,
                                     atomic_load(&j->done), 0);
    return rc ? rc : IMGSTORE_EAGAIN;
  }
  int32_t rc = commit_layer(j, layer);
  if (!rc)
    rc = ims_operation_event(&j->op, IMGSTORE_EVENT_PACKED, IMGSTORE_OBJECT_LAYER, layer->digest.text, j->what,
                             layer->size, layer->size);
  free_layer(j);
  ims_lane_signal(&j->op.lane); /* the next layer or stage follows at once */
  return rc;
}

/* --- all layers --------------------------------------------------------------------------------------------------- */

static ims_layer_setup setup_of(const build_job *j) {
  bool clamp = j->options.flags & IMGSTORE_BUILD_EPOCH;
  return (ims_layer_setup){j->builder->store, clamp, j->options.source_date_epoch, j->op.report};
}

static void add_history(build_job *j, const char *created_by, const char *comment, bool empty) {
  j->history[j->history_count++] = (ims_history_part){.created = j->created,
                                                      .created_by = created_by,
                                                      .author = j->builder->text[IMGSTORE_IMAGE_AUTHOR],
                                                      .comment = comment,
                                                      .empty = empty};
}

static int32_t open_addition(build_job *j, ims_addition *a) {
  const ims_layer_setup setup = setup_of(j);
  ims_layer_source *source = NULL;
  if (a->kind == IMS_ADD_READER && a->used)
    return ims_fail(&j->op.err, IMGSTORE_EINVALID, "the function that reads a tar has been read to its end already");
  a->used = true;
  int32_t rc = a->kind == IMS_ADD_OPENED ? a->open(a->user_data, &setup, &source, &j->op.err)
               : a->kind == IMS_ADD_DIRECTORY
                   ? ims_directory_source_new(&source, &setup, a->path, a->prefix, a->flags, &j->op.err)
                   : ims_tar_source_new(&source, &setup, a->path, a->read, a->user_data, a->flags, &j->op.err);
  return rc ? rc : start_layer(j, source, a->path ? a->path : "tar");
}

/* Not what the file or directory is called here: that is nobody's business elsewhere. */
static const char *default_words(const ims_addition *a) {
  return a->kind == IMS_ADD_OPENED ? "changes" : a->kind == IMS_ADD_DIRECTORY ? "directory" : "tar";
}

static int32_t advance_layers(build_job *j, int64_t now) {
  imgstore_builder *b = j->builder;
  if (j->source) {
    ims_addition *a = &b->additions[j->next_addition];
    int32_t rc = advance_layer(j, now, &j->layers[j->layer_count]);
    if (rc)
      return rc;
    add_history(j, a->created_by ? a->created_by : default_words(a), a->comment, false);
    j->layer_count++;
    j->next_addition++;
  }
  if (j->next_addition < b->addition_count)
    return open_addition(j, &b->additions[j->next_addition]);
  if (b->created_by || b->comment)
    add_history(j, b->created_by, b->comment, true);
  j->stage = STAGE_SQUASH;
  ims_lane_signal(&j->op.lane);
  return IMGSTORE_EAGAIN;
}

/* What belonged to layers that are one now belongs to none; the new one has an entry of its own. */
static void squash_history(build_job *j, size_t from) {
  size_t layer = 0;
  for (size_t i = 0; i < j->history_count; i++) {
    if (!ims_history_has_layer(&j->history[i]))
      continue;
    if (layer++ >= from)
      j->history[i].empty = true;
  }
  add_history(j, "squash", NULL, false);
}

static int32_t advance_squash(build_job *j, int64_t now) {
  size_t from = j->builder->squash_from;
  if (j->source) {
    ims_build_layer made;
    int32_t rc = advance_layer(j, now, &made);
    if (rc)
      return rc;
    squash_history(j, from);
    j->layers[from] = made;
    j->layer_count = from + 1;
  } else if (from < j->layer_count && (j->layer_count - from > 1 || j->next_addition)) {
    const ims_layer_setup setup = setup_of(j);
    ims_layer_source *source;
    j->squashing = true;
    int32_t rc = ims_squash_source_new(&source, &setup, j->layers, j->layer_count, from, &j->op.err);
    return rc ? rc : start_layer(j, source, "squash");
  }
  j->stage = STAGE_DOCUMENTS;
  ims_lane_signal(&j->op.lane);
  return IMGSTORE_EAGAIN;
}

/* --- documents ---------------------------------------------------------------------------------------------------- */

static int32_t compose_config(build_job *j) {
  imgstore_builder *b = j->builder;
  ims_config_changes changes = {.new_history = true,
                                .history = j->history,
                                .history_count = j->history_count,
                                .new_diff_ids = true,
                                .diff_id_count = j->layer_count};
  ims_list lists[IMS_CONFIG_LISTS];
  ims_digest *diff_ids = ims_calloc(&b->core->alloc, j->layer_count, sizeof *diff_ids);
  if (!diff_ids)
    return ims_fail_nomem(&j->op.err);
  for (size_t i = 0; i < j->layer_count; i++)
    diff_ids[i] = j->layers[i].diff_id;
  changes.diff_ids = diff_ids;
  for (size_t i = 0; i < IMS_CONFIG_TEXTS; i++)
    changes.text[i] = b->text[i];
  changes.text[IMGSTORE_IMAGE_CREATED] = j->created;
  for (size_t i = 0; i < IMS_CONFIG_LISTS; i++) {
    lists[i] = (ims_list){b->list[i].items, b->list[i].count};
    changes.list[i] = b->list[i].set ? &lists[i] : NULL;
  }
  changes.healthcheck = b->has_healthcheck ? &b->healthcheck : NULL;
  int32_t rc = ims_compose_config(&j->config, b->base ? b->base->config : NULL, &changes, &j->op.err);
  ims_free(&b->core->alloc, diff_ids);
  return rc;
}

static void fill_descriptor(const build_job *j, const ims_build_layer *layer, imgstore_descriptor *d) {
  bool docker = j->options.format == IMGSTORE_FORMAT_DOCKER;
  const char *type = ims_media_in_family(layer->media_type, docker);
  *d = (imgstore_descriptor){
      .digest = layer->digest, .size = layer->size, .media_type = type ? type : layer->media_type};
}

static int32_t compose_manifest(build_job *j) {
  imgstore_builder *b = j->builder;
  bool docker = j->options.format == IMGSTORE_FORMAT_DOCKER;
  imgstore_descriptor config = {.digest = j->config_digest,
                                .size = j->config.size,
                                .media_type = docker ? IMS_MT_DOCKER_CONFIG : IMS_MT_OCI_CONFIG};
  imgstore_descriptor *layers = ims_calloc(&b->core->alloc, j->layer_count, sizeof *layers);
  if (!layers)
    return ims_fail_nomem(&j->op.err);
  for (size_t i = 0; i < j->layer_count; i++)
    fill_descriptor(j, &j->layers[i], &layers[i]);
  const ims_manifest_parts parts = {.family = j->options.format,
                                    .config = &config,
                                    .layers = layers,
                                    .layer_count = j->layer_count,
                                    .annotations = b->annotations,
                                    .annotation_count = b->annotation_count};
  int32_t rc = ims_compose_manifest(&j->manifest, &parts, &j->op.err);
  ims_free(&b->core->alloc, layers);
  return rc;
}

static int32_t write_documents(build_job *j) {
  int32_t rc = compose_config(j);
  if (!rc)
    rc = ims_save_document(&j->lease, &j->config, &j->config_digest, &j->op.err);
  if (!rc)
    rc = compose_manifest(j);
  if (!rc)
    rc = ims_operation_event(&j->op, IMGSTORE_EVENT_FLUSHING, IMGSTORE_OBJECT_NONE, NULL, NULL, 0, 0);
  j->stage = STAGE_PUBLISH;
  ims_lane_signal(&j->op.lane);
  return rc ? rc : IMGSTORE_EAGAIN;
}

/* The image is read from what was written: what cannot be read again is not published. */
static int32_t make_image(build_job *j, const char *media_type, imgstore_image **image) {
  const ims_alloc *alloc = &j->op.core->alloc;
  imgstore_manifest *manifest = NULL;
  ims_config *config = NULL;
  int32_t rc = ims_manifest_parse(&manifest, alloc, ims_buf_text(&j->manifest), j->manifest.size, media_type, NULL,
                                  NULL, "manifest", &j->op.err);
  if (!rc)
    rc = ims_config_parse(&config, alloc, ims_buf_text(&j->config), j->config.size, &j->config_digest, j->layer_count,
                          &j->op.err);
  if (!rc)
    rc = ims_image_new(image, j->builder->store, manifest, NULL, config, &j->op.err);
  imgstore_manifest_unref(manifest);
  return rc;
}

static int32_t publish(build_job *j) {
  bool docker = j->options.format == IMGSTORE_FORMAT_DOCKER;
  const char *media_type = docker ? IMS_MT_DOCKER_MANIFEST : IMS_MT_OCI_MANIFEST;
  ims_digest digest;
  int32_t rc = make_image(j, media_type, &j->op.image);
  if (!rc)
    rc = ims_publish_manifest(&j->lease, &j->manifest, media_type, j->name, NULL, &digest, &j->op.err);
  if (!rc && j->name)
    rc = ims_operation_event(&j->op, IMGSTORE_EVENT_COMMITTED, IMGSTORE_OBJECT_MANIFEST, digest.text, j->name, 0, 0);
  return rc;
}

/* --- the job ------------------------------------------------------------------------------------------------------ */

static int32_t advance(imgstore_operation *op, int64_t now) {
  build_job *j = (build_job *)op;
  switch (j->stage) {
  case STAGE_LAYERS:
    return advance_layers(j, now);
  case STAGE_SQUASH:
    return advance_squash(j, now);
  case STAGE_DOCUMENTS:
    return write_documents(j);
  default:
    return publish(j);
  }
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  return op->progress ? IMS_PROGRESS_INTERVAL : -1;
}

static void end(imgstore_operation *op, int32_t result) {
  build_job *j = (build_job *)op;
  free_layer(j);
  ims_lease_close(&j->lease);
  j->builder->running = false;
}

static void destroy(imgstore_operation *op) {
  build_job *j = (build_job *)op;
  ims_core *core = ims_core_ref(op->core);
  imgstore_image_unref(op->image);
  ims_builder_unref(j->builder);
  ims_buf_free(&j->config);
  ims_buf_free(&j->manifest);
  ims_free(&core->alloc, j->layers);
  ims_free(&core->alloc, j->history);
  ims_free(&core->alloc, j->name);
  ims_operation_clean(op);
  ims_free(&core->alloc, j);
  ims_core_unref(core);
}

static const ims_job build_job_type = {advance, timeout, end, destroy};

static int32_t find_created(build_job *j) {
  int64_t seconds = j->options.flags & IMGSTORE_BUILD_EPOCH ? j->options.source_date_epoch : ims_wall_ns() / 1000000000;
  if (!ims_time_text(seconds, 0, j->now))
    return ims_fail(&j->op.err, IMGSTORE_EINVALID, "source_date_epoch: %lld is not in the years 0 to 9999",
                    (long long)seconds);
  j->created = j->builder->text[IMGSTORE_IMAGE_CREATED] ? j->builder->text[IMGSTORE_IMAGE_CREATED] : j->now;
  return IMGSTORE_OK;
}

/* One more entry of the history for the config, one for the squashed layer; one more layer is never needed. */
static int32_t begin(build_job *j, const char *name) {
  imgstore_builder *b = j->builder;
  const ims_alloc *alloc = &b->core->alloc;
  int32_t rc = find_created(j);
  if (!rc && name)
    rc = ims_new_name(alloc, name, &j->name, &j->op.err);
  if (rc)
    return rc;
  j->op.report = ims_report_new(alloc);
  j->layers = ims_calloc(alloc, b->layer_count + b->addition_count, sizeof *j->layers);
  j->history = ims_calloc(alloc, b->history_count + b->addition_count + 2, sizeof *j->history);
  if (!j->op.report || !j->layers || !j->history)
    return ims_fail_nomem(&j->op.err);
  if (b->layer_count)
    memcpy(j->layers, b->layers, b->layer_count * sizeof *j->layers);
  if (b->history_count)
    memcpy(j->history, b->history, b->history_count * sizeof *j->history);
  j->layer_count = b->layer_count;
  j->history_count = b->history_count;
  return ims_lease_open(&j->lease, b->store, &j->op.err);
}

int32_t ims_builder_finish_start(imgstore_operation **op, imgstore_builder *b, const char *name,
                                 const imgstore_build_options *options, ims_error *err) {
  ims_core *core = b->core;
  *op = NULL;
  if (b->running)
    return ims_fail(err, IMGSTORE_EBUSY, "the builder is being finished");
  build_job *j = ims_calloc(&core->alloc, 1, sizeof *j);
  if (!j)
    return ims_fail_nomem(err);
  int32_t rc = ims_operation_init(&j->op, core, &build_job_type, options->progress, options->progress_data, err);
  if (rc) {
    ims_free(&core->alloc, j);
    return rc;
  }
  atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
  j->builder = b;
  j->options = *options;
  ims_buf_init(&j->config, &core->alloc, (size_t)core->limits.max_config_bytes);
  ims_buf_init(&j->manifest, &core->alloc, (size_t)core->limits.max_manifest_bytes);
  b->running = true;
  rc = begin(j, name);
  if (rc) {
    *err = j->op.err;
    ims_operation_free(&j->op);
    return rc;
  }
  *op = &j->op;
  return IMGSTORE_OK;
}
