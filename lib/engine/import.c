/*
 * engine/import.c (L4) - the job that makes an image of a root file system's tar: a task decompresses it, checks its
 * entries and hands it to the layer writer; the driving thread writes config and manifest and sets the name.
 */
#include <string.h>

#include "engine/archive_input.h"
#include "engine/archive_jobs.h"
#include "engine/build_publish.h"
#include "engine/compression.h"
#include "engine/layer_writer.h"
#include "engine/merged_tree.h"
#include "oci/change.h"
#include "oci/compose.h"
#include "oci/mediatype.h"
#include "oci/time.h"
#include "tar/whiteout.h"

enum { TASK_BUDGET = 4 << 20, MAX_DOCUMENT = 8 << 20 };

enum { AT_READ, AT_COMPLETE, AT_FAILED };

typedef struct import_job {
  imgstore_operation op; /* first member */
  ims_task task;
  imgstore_store *store;
  ims_lease lease;
  ims_input input;
  char *path, *name, *message; /* name: full */
  int fd;
  int32_t encode;
  ims_change_set changes;
  ims_platform platform;
  char created[IMS_TIME_TEXT];
  bool opened;

  /* of the task */
  atomic_int state;
  ims_tar_reader *tar;
  ims_merged_tree *tree;
  ims_layer_writer *writer;
  bool any; /* there was a byte */
  uint64_t entries;
  ims_error err;
} import_job;

static import_job *job_of(ims_task *task) {
  return (import_job *)((char *)task - offsetof(import_job, task));
}

/* --- the task -------------------------------------------------------------------------------------------------------
 */

/* What unpacking would stumble over is found out now. */
static int32_t check_entry(import_job *j, const ims_tar_entry *e) {
  int kind;
  char *path = ims_malloc(&j->op.core->alloc, strlen(e->path) + 1);
  if (!path)
    return ims_fail_nomem(&j->err);
  int32_t rc = ims_layer_path(e->path, path, &kind, &j->err);
  if (!rc && kind != IMS_WHITEOUT_NONE)
    rc = ims_fail(&j->err, IMGSTORE_EFORMAT, "is a whiteout: this is a layer, not a root file system");
  if (!rc)
    rc = ims_merged_tree_add(j->tree, path, IMS_WHITEOUT_NONE, e, j->entries++, &j->err);
  ims_free(&j->op.core->alloc, path);
  return rc && rc != IMGSTORE_ENOMEM ? ims_error_prefix(&j->err, "entry \"%.256s\"", e->path) : rc;
}

static int32_t check_entries(import_job *j, const uint8_t *data, size_t size) {
  ims_tar_event event;
  size_t used;
  do {
    int32_t rc = ims_tar_reader_next(j->tar, data, size, &used, &event, &j->err);
    if (!rc && event.type == IMS_TAR_ENTRY)
      rc = check_entry(j, event.entry);
    if (rc)
      return rc;
    data += used;
    size -= used;
  } while (event.type != IMS_TAR_MORE);
  return IMGSTORE_OK;
}

static int32_t complete(import_job *j) {
  int32_t rc = j->any ? ims_tar_reader_finish(j->tar, &j->err) : ims_fail(&j->err, IMGSTORE_EFORMAT, "is empty");
  if (!rc)
    rc = ims_layer_writer_end(j->writer, &j->err);
  if (rc)
    return rc;
  atomic_store(&j->state, AT_COMPLETE);
  ims_lane_signal(&j->op.lane);
  return IMGSTORE_OK;
}

static int32_t read_some(import_job *j) {
  const uint8_t *data;
  size_t size = 1, work = 0;
  int32_t rc = IMGSTORE_OK;
  while (!rc && size && work < TASK_BUDGET) {
    rc = ims_input_next(&j->input, &data, &size, &j->err);
    if (rc == IMGSTORE_EAGAIN)
      return IMGSTORE_OK;
    if (!rc && size)
      rc = check_entries(j, data, size);
    if (!rc && size)
      rc = ims_layer_writer_put(j->writer, data, size, &j->err);
    j->any |= size > 0;
    work += size;
  }
  if (!rc && size)
    ims_task_wake(&j->task);
  return rc || size ? rc : complete(j);
}

static void run_task(ims_task *task) {
  import_job *j = job_of(task);
  if (atomic_load(&j->state) != AT_READ || !read_some(j))
    return;
  atomic_store(&j->state, AT_FAILED);
  ims_lane_signal(&j->op.lane);
}

/* --- the driver -----------------------------------------------------------------------------------------------------
 */

static int32_t open_all(import_job *j) {
  const ims_core *core = j->op.core;
  const ims_tar_limits limits = {core->limits.max_layer_entries, core->limits.max_path_depth};
  ims_error *err = &j->op.err;
  int32_t rc = ims_lease_open(&j->lease, j->store, err);
  if (!rc)
    rc = ims_tar_reader_new(&j->tar, &core->alloc, &limits, err);
  if (!rc)
    rc = ims_merged_tree_new(&j->tree, &core->alloc, err);
  if (!rc)
    rc = ims_layer_writer_open(&j->writer, j->store, &j->lease, j->encode, 0, err);
  if (!rc)
    rc = ims_input_open(&j->input, &j->op, j->path, j->fd, &j->task, err);
  j->opened = true;
  return rc;
}

static int32_t compose_config(import_job *j, const ims_new_layer *layer, ims_buf *out) {
  ims_config_changes changes;
  ims_history_part history;
  ims_buf comment;
  memset(&changes, 0, sizeof changes);
  memset(&history, 0, sizeof history);
  memcpy(changes.text, j->changes.text, sizeof changes.text);
  for (size_t i = 0; i < IMS_CONFIG_LISTS; i++)
    changes.list[i] = j->changes.list[i].items ? &j->changes.list[i] : NULL;
  changes.text[IMGSTORE_IMAGE_CREATED] = history.created = j->created;
  changes.text[IMGSTORE_IMAGE_OS] = j->platform.os;
  changes.text[IMGSTORE_IMAGE_ARCHITECTURE] = j->platform.architecture;
  changes.text[IMGSTORE_IMAGE_VARIANT] = j->platform.variant;
  ims_buf_init(&comment, out->alloc, MAX_DOCUMENT);
  if (j->message)
    ims_buf_puts(&comment, j->message);
  else
    ims_buf_printf(&comment, "Imported from %s", j->path ? j->path : "-");
  history.comment = changes.text[IMGSTORE_IMAGE_COMMENT] = ims_buf_text(&comment);
  changes.history = &history;
  changes.history_count = changes.diff_id_count = 1;
  changes.diff_ids = &layer->diff_id;
  int32_t rc = comment.failed ? ims_fail_nomem(&j->op.err) : ims_compose_config(out, NULL, &changes, &j->op.err);
  ims_buf_free(&comment);
  return rc;
}

static int32_t compose_manifest(import_job *j, const ims_new_layer *layer, const ims_digest *config, size_t config_size,
                                ims_buf *out) {
  ims_manifest_parts parts;
  imgstore_descriptor descriptors[2];
  memset(&parts, 0, sizeof parts);
  memset(descriptors, 0, sizeof descriptors);
  descriptors[0].digest = *config;
  descriptors[0].size = config_size;
  descriptors[0].media_type = IMS_MT_OCI_CONFIG;
  descriptors[1].digest = layer->digest;
  descriptors[1].size = layer->size;
  descriptors[1].media_type = layer->media_type;
  parts.family = IMS_FAMILY_OCI;
  parts.config = &descriptors[0];
  parts.layers = &descriptors[1];
  parts.layer_count = 1;
  return ims_compose_manifest(out, &parts, &j->op.err);
}

static int32_t publish(import_job *j, const ims_new_layer *layer, ims_buf *config, ims_buf *manifest) {
  ims_digest config_digest, digest;
  ims_error *err = &j->op.err;
  int32_t rc = compose_config(j, layer, config);
  if (!rc)
    rc = ims_save_document(&j->lease, config, &config_digest, err);
  if (!rc)
    rc = compose_manifest(j, layer, &config_digest, config->size, manifest);
  if (!rc)
    rc = ims_operation_event(&j->op, IMGSTORE_EVENT_FLUSHING, IMGSTORE_OBJECT_NONE, NULL, NULL, 0, 0);
  if (!rc)
    rc = ims_publish_manifest(&j->lease, manifest, IMS_MT_OCI_MANIFEST, j->name, NULL, &digest, err);
  if (!rc)
    rc = ims_operation_event(&j->op, IMGSTORE_EVENT_COMMITTED, IMGSTORE_OBJECT_MANIFEST, digest.text, j->name, 0, 0);
  return rc ? rc : ims_image_open(&j->op.image, j->store, digest.text, NULL, err);
}

static int32_t finish(import_job *j) {
  ims_new_layer layer;
  ims_buf config, manifest;
  int32_t rc = ims_layer_writer_commit(j->writer, &layer, &j->op.err);
  if (!rc)
    rc = ims_operation_event(&j->op, IMGSTORE_EVENT_COMPLETE, IMGSTORE_OBJECT_LAYER, layer.digest.text, NULL,
                             layer.size, layer.size);
  if (rc)
    return rc;
  ims_buf_init(&config, &j->op.core->alloc, MAX_DOCUMENT);
  ims_buf_init(&manifest, &j->op.core->alloc, MAX_DOCUMENT);
  rc = publish(j, &layer, &config, &manifest);
  ims_buf_free(&config);
  ims_buf_free(&manifest);
  return rc;
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  import_job *j = (import_job *)op;
  int32_t rc = j->opened ? ims_input_advance(&j->input) : open_all(j);
  if (!rc)
    rc = ims_input_report(&j->input, now);
  if (rc)
    return rc;
  switch (atomic_load(&j->state)) {
  case AT_COMPLETE:
    return finish(j);
  case AT_FAILED:
    op->err = j->err;
    return ims_error_prefix(&op->err, "%s", j->input.name);
  default:
    return IMGSTORE_EAGAIN;
  }
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  (void)now;
  return op->progress ? IMS_PROGRESS_INTERVAL : -1;
}

static void end(imgstore_operation *op, int32_t result) {
  import_job *j = (import_job *)op;
  (void)result;
  ims_input_end(&j->input);
  ims_task_stop(&j->task);
  ims_layer_writer_free(j->writer);
  j->writer = NULL;
  ims_lease_close(&j->lease);
}

static void destroy(imgstore_operation *op) {
  import_job *j = (import_job *)op;
  ims_core *core = ims_core_ref(op->core);
  ims_tar_reader_free(j->tar);
  ims_merged_tree_free(j->tree);
  ims_change_set_free(&j->changes);
  ims_free(&core->alloc, j->path);
  ims_free(&core->alloc, j->name);
  ims_free(&core->alloc, j->message);
  imgstore_image_unref(op->image);
  ims_store_unref(j->store);
  ims_operation_clean(op);
  ims_free(&core->alloc, j);
  ims_core_unref(core);
}

static const ims_job import_job_type = {advance, timeout, end, destroy};

static int32_t set_created(import_job *j, const char *created, ims_error *err) {
  int64_t now = ims_wall_ns();
  uint32_t nanoseconds = (uint32_t)(now % 1000000000);
  int64_t seconds = now / 1000000000;
  if (created && !ims_time_parse(created, &seconds, &nanoseconds))
    return ims_fail(err, IMGSTORE_EINVALID, "created: \"%.64s\" is no time of RFC 3339", created);
  if (!ims_time_text(seconds, nanoseconds, j->created))
    return ims_fail(err, IMGSTORE_EINVALID, "created: the year is out of range");
  return IMGSTORE_OK;
}

static int32_t copy_text(const ims_alloc *alloc, const char *text, char **copy, ims_error *err) {
  *copy = text ? ims_strdup(alloc, text) : NULL;
  return text && !*copy ? ims_fail_nomem(err) : IMGSTORE_OK;
}

static int32_t setup(import_job *j, const char *path, const char *name, const imgstore_import_options *options,
                     ims_error *err) {
  const ims_alloc *alloc = &j->op.core->alloc;
  j->fd = options->fd;
  ims_change_set_init(&j->changes, alloc);
  int32_t rc = ims_compression_encode(options->compression, &j->encode, err);
  if (!rc)
    rc = ims_new_name(alloc, name, &j->name, err);
  if (!rc)
    rc = ims_platform_parse(&j->platform, options->platform, err);
  if (!rc)
    rc = set_created(j, options->created, err);
  for (size_t i = 0; !rc && i < options->change_count; i++)
    rc = ims_change_add(&j->changes, options->changes[i], err);
  if (!rc)
    rc = copy_text(alloc, path, &j->path, err);
  return rc ? rc : copy_text(alloc, options->message, &j->message, err);
}

int32_t ims_import_start(imgstore_operation **op, imgstore_store *store, const char *path, const char *name,
                         const imgstore_import_options *options, ims_error *err) {
  ims_core *core = store->core;
  *op = NULL;
  import_job *j = ims_calloc(&core->alloc, 1, sizeof *j);
  if (!j)
    return ims_fail_nomem(err);
  int32_t rc = ims_operation_init(&j->op, core, &import_job_type, options->progress, options->progress_data, err);
  if (rc) {
    ims_free(&core->alloc, j);
    return rc;
  }
  bool concurrent = store->storage.flags & IMGSTORE_STORAGE_CONCURRENT;
  ims_task_init(&j->task, &j->op.lane, concurrent ? core->pool : NULL, run_task);
  atomic_init(&j->state, AT_READ);
  j->store = ims_store_ref(store);
  rc = setup(j, path, name, options, err);
  if (rc) {
    ims_operation_free(&j->op);
    return rc;
  }
  *op = &j->op;
  return IMGSTORE_OK;
}
