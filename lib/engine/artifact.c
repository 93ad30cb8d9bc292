/*
 * engine/artifact.c (L4) - the artifact in the making, and jobs that are one task in steps.
 */
#include "engine/artifact.h"

#include <string.h>

#include "base/text.h"
#include "oci/compose_check.h"
#include "oci/pairs.h"

/* --- the handle --------------------------------------------------------------------------------------------------- */

static void free_file(const ims_alloc *alloc, ims_artifact_file *f) {
  ims_free(alloc, f->path);
  ims_free(alloc, f->media_type);
  ims_free(alloc, f->title);
}

void ims_artifact_unref(imgstore_artifact *a) {
  if (!a || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1)
    return;
  ims_core *core = a->core;
  for (size_t i = 0; i < a->count; i++)
    free_file(&core->alloc, &a->files[i]);
  ims_free(&core->alloc, a->files);
  ims_pairs_free(&core->alloc, &a->annotations, &a->annotation_count);
  ims_free(&core->alloc, a->type);
  ims_store_unref(a->store);
  ims_free(&core->alloc, a);
  ims_core_unref(core);
}

int32_t ims_artifact_new(imgstore_artifact **artifact, imgstore_store *store, const char *type, ims_error *err) {
  ims_core *core = store->core;
  *artifact = NULL;
  int32_t rc = ims_check_media_type(type, "artifact type", err);
  if (rc)
    return rc;
  imgstore_artifact *a = ims_calloc(&core->alloc, 1, sizeof *a);
  if (!a)
    return ims_fail_nomem(err);
  atomic_init(&a->refs, 1);
  a->core = ims_core_ref(core);
  a->store = ims_store_ref(store);
  a->type = ims_strdup(&core->alloc, type);
  if (!a->type) {
    ims_artifact_unref(a);
    return ims_fail_nomem(err);
  }
  *artifact = a;
  return IMGSTORE_OK;
}

static int32_t check_idle(const imgstore_artifact *a, ims_error *err) {
  return a->running ? ims_fail(err, IMGSTORE_EBUSY, "the artifact is being finished") : IMGSTORE_OK;
}

int32_t ims_artifact_title_check(const char *title, ims_error *err) {
  bool good = *title && strcmp(title, ".") != 0 && strcmp(title, "..") != 0 && strlen(title) <= 255 &&
              ims_utf8_valid(title, strlen(title));
  for (const char *s = title; good && *s; s++)
    good = *s != '/' && (unsigned char)*s >= 0x20 && *s != 0x7f;
  return good ? IMGSTORE_OK : ims_fail(err, IMGSTORE_EFORMAT, "title \"%.200s\": is not a plain file name", title);
}

static int32_t check_file(const imgstore_artifact *a, const char *media_type, const char *title, ims_error *err) {
  int32_t rc = check_idle(a, err);
  if (!rc)
    rc = ims_check_media_type(media_type, "media type", err);
  if (!rc && ims_artifact_title_check(title, NULL))
    rc = ims_fail(err, IMGSTORE_EINVALID, "title \"%.200s\": is not a plain file name", title);
  if (!rc && a->count >= a->core->limits.max_layers)
    rc = ims_fail(err, IMGSTORE_ELIMIT, "more than %llu files", (unsigned long long)a->core->limits.max_layers);
  for (size_t i = 0; !rc && i < a->count; i++)
    if (strcmp(a->files[i].title, title) == 0)
      rc = ims_fail(err, IMGSTORE_EINVALID, "title \"%.200s\": comes twice", title);
  return rc;
}

int32_t ims_artifact_add(imgstore_artifact *a, const char *path, const char *media_type, const char *title,
                         ims_error *err) {
  const ims_alloc *alloc = &a->core->alloc;
  const char *slash = strrchr(path, '/');
  if (!title)
    title = slash ? slash + 1 : path;
  if (!media_type)
    media_type = "application/octet-stream";
  int32_t rc = check_file(a, media_type, title, err);
  if (rc)
    return rc;
  ims_artifact_file *grown = ims_realloc_array(alloc, a->files, a->count + 1, sizeof *grown);
  if (!grown)
    return ims_fail_nomem(err);
  a->files = grown;
  ims_artifact_file f = {ims_strdup(alloc, path), ims_strdup(alloc, media_type), ims_strdup(alloc, title)};
  if (!f.path || !f.media_type || !f.title) {
    free_file(alloc, &f);
    return ims_fail_nomem(err);
  }
  grown[a->count++] = f;
  return IMGSTORE_OK;
}

int32_t ims_artifact_annotate(imgstore_artifact *a, const char *key, const char *value, ims_error *err) {
  const ims_pair pair = {key, value ? value : ""};
  int32_t rc = check_idle(a, err);
  if (!rc)
    rc = ims_check_annotations(&pair, 1, err);
  return rc ? rc : ims_pairs_set(&a->core->alloc, &a->annotations, &a->annotation_count, key, value, err);
}

/* --- jobs of one task --------------------------------------------------------------------------------------------- */

enum { STEPS_RUN, STEPS_DONE, STEPS_FAILED };

static void run_task(ims_task *task) {
  ims_step_job *j = (ims_step_job *)(void *)((char *)task - offsetof(ims_step_job, task));
  int32_t rc = j->type->step(j, &j->err);
  if (rc == IMGSTORE_EAGAIN) {
    ims_task_wake(task);
    return;
  }
  if (rc && !j->err.code)
    ims_fail(&j->err, rc, "the job failed");
  atomic_store(&j->phase, rc ? STEPS_FAILED : STEPS_DONE);
  ims_lane_signal(&j->op.lane);
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  ims_step_job *j = (ims_step_job *)op;
  switch (atomic_load(&j->phase)) {
  case STEPS_RUN:
    return IMGSTORE_EAGAIN;
  case STEPS_DONE:
    return j->type->finish(j, &op->err);
  default:
    op->err = j->err;
    return j->err.code;
  }
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  return -1;
}

static void end(imgstore_operation *op, int32_t result) {
  ims_step_job *j = (ims_step_job *)op;
  ims_task_stop(&j->task);
  j->type->end(j, result);
}

static void destroy(imgstore_operation *op) {
  ims_step_job *j = (ims_step_job *)op;
  ims_core *core = ims_core_ref(op->core);
  j->type->free(j);
  ims_operation_clean(op);
  ims_free(&core->alloc, j);
  ims_core_unref(core);
}

static const ims_job step_job_type = {advance, timeout, end, destroy};

int32_t ims_step_job_init(ims_step_job *j, ims_core *core, const ims_step_type *type, bool concurrent, ims_error *err) {
  int32_t rc = ims_operation_init(&j->op, core, &step_job_type, NULL, NULL, err);
  if (rc)
    return rc;
  j->type = type;
  ims_task_init(&j->task, &j->op.lane, concurrent ? core->pool : NULL, run_task);
  ims_task_wake(&j->task);
  return IMGSTORE_OK;
}
