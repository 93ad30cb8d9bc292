/*
 * engine/load_archive.c (L4) - bringing images in from an archive: its members go into the store as they pass, then the
 * job of bring.h goes through the images with the store as its own source, and publishes. When it fails, what came in
 * is dropped again; when it succeeds, what no image needs.
 */
#include <string.h>

#include "engine/archive_images.h"
#include "imgstore/archive.h"

enum { PHASE_BEGIN, PHASE_READ, PHASE_CHECK, PHASE_BRING };

typedef struct load_job {
  bring bring; /* first member */
  int phase;
  ims_archive_reader *reader;
  ims_digest_set made;
  ims_loading loading;
  char *path, *name, *rename; /* copies, or NULL */
  int fd;
  int32_t format;
  bool compare; /* both kinds of documents are there */
  imgstore_event_fn progress;
  void *progress_data;
} load_job;

static ims_archive_images images_of(load_job *j) {
  return (ims_archive_images){&j->loading, j->reader, j->bring.store, &j->bring.lease, &j->made};
}

/* --- progress -------------------------------------------------------------------------------------------------------
 */

/* That a layer which was just brought in is in the store is no news. */
static int32_t filter(void *user_data, const imgstore_event *event) {
  load_job *j = user_data;
  imgstore_event own = *event;
  ims_digest digest;
  if (event->type == IMGSTORE_EVENT_WAITING)
    return 0;
  if (event->type == IMGSTORE_EVENT_EXISTS && event->digest && j->reader &&
      !ims_digest_parse(&digest, event->digest, strlen(event->digest), NULL) &&
      ims_digest_set_find(ims_archive_brought(j->reader), &digest))
    own.type = IMGSTORE_EVENT_COMPLETE;
  return j->progress(j->progress_data, &own);
}

/* --- phases ---------------------------------------------------------------------------------------------------------
 */

static bool has(const load_job *j, const char *path) {
  return ims_archive_find(j->reader, path) != NULL;
}

static int32_t no_archive(load_job *j) {
  if (has(j, "repositories"))
    return ims_fail(&j->bring.op.err, IMGSTORE_EUNSUPPORTED, "has no manifest.json: written by Docker before 1.10");
  return ims_fail(&j->bring.op.err, IMGSTORE_EFORMAT,
                  "holds neither manifest.json nor index.json: no archive of images");
}

/* An archive that has both kinds of documents is read by index.json: it says more. */
static int32_t add_roots(load_job *j) {
  ims_archive_images images = images_of(j);
  bool docker = has(j, "manifest.json"), oci = has(j, "index.json");
  if (j->format == IMGSTORE_ARCHIVE_AUTO ? !docker && !oci : j->format == IMGSTORE_ARCHIVE_DOCKER ? !docker : !oci)
    return no_archive(j);
  if (j->format == IMGSTORE_ARCHIVE_DOCKER || !oci)
    return ims_archive_docker_roots(&images);
  j->compare = docker && j->format == IMGSTORE_ARCHIVE_AUTO;
  return ims_archive_oci_roots(&images);
}

static int32_t interpret(load_job *j) {
  int32_t rc = add_roots(j);
  if (rc)
    return ims_error_prefix(&j->bring.op.err, "%s", ims_archive_name(j->reader));
  rc = ims_loading_check(&j->loading);
  if (rc)
    return rc;
  ims_archive_run_checks(j->reader);
  j->phase = PHASE_CHECK;
  ims_lane_signal(&j->bring.op.lane);
  return IMGSTORE_EAGAIN;
}

/* Before anything is published. */
static int32_t compare(load_job *j) {
  ims_archive_images images = images_of(j);
  if (!j->compare || j->bring.stage <= STAGE_RUN)
    return IMGSTORE_OK;
  j->compare = false;
  int32_t rc = ims_archive_compare(&images);
  return rc ? ims_error_prefix(&j->bring.op.err, "%s", ims_archive_name(j->reader)) : IMGSTORE_OK;
}

static int32_t advance_bring(load_job *j, int64_t now) {
  imgstore_operation *op = &j->bring.op;
  int32_t rc = compare(j);
  if (rc)
    return rc;
  rc = bring_job.advance(op, now);
  if (rc && rc != IMGSTORE_EAGAIN && rc != IMGSTORE_ENOMEM && rc != IMGSTORE_ECALLBACK && j->bring.stage == STAGE_RUN)
    ims_error_prefix(&op->err, "%s", ims_archive_name(j->reader));
  return rc;
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  load_job *j = (load_job *)op;
  int32_t rc;
  switch (j->phase) {
  case PHASE_BEGIN:
    rc = bring_job.advance(op, now); /* takes the lease */
    if (rc != IMGSTORE_EAGAIN)
      return rc;
    rc = ims_archive_reader_new(&j->reader, op, j->bring.store, &j->bring.lease, j->path, j->fd, &op->err);
    j->phase = PHASE_READ;
    return rc ? rc : IMGSTORE_EAGAIN;
  case PHASE_READ:
    rc = ims_archive_reader_advance(j->reader, now);
    return rc ? rc : interpret(j);
  case PHASE_CHECK:
    rc = ims_archive_reader_advance(j->reader, now);
    if (rc)
      return rc;
    j->phase = PHASE_BRING;
    return advance_bring(j, now);
  default:
    return advance_bring(j, now);
  }
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  load_job *j = (load_job *)op;
  int32_t wait = bring_job.timeout(op, now);
  if (j->phase == PHASE_READ && op->progress && (wait < 0 || wait > IMS_PROGRESS_INTERVAL))
    return IMS_PROGRESS_INTERVAL;
  return wait;
}

/* --- the end --------------------------------------------------------------------------------------------------------
 */

static bool is_needed(const bring *b, const ims_digest *digest) {
  for (size_t i = 0; i < b->node_count; i++)
    if (ims_digest_equal(&b->nodes[i]->digest, digest))
      return true;
  return bring_find_transfer(b, digest) != NULL;
}

static int32_t add_drops(const load_job *j, const ims_digest_set *from, bool all, ims_digest_set *drop) {
  for (size_t i = 0; i < from->count; i++) {
    ims_digest digest;
    ims_digest_item_digest(&from->items[i], &digest);
    if ((all || !is_needed(&j->bring, &digest)) && !ims_digest_set_add(drop, &digest))
      return IMGSTORE_ENOMEM;
  }
  return IMGSTORE_OK;
}

/* What others reach or lease by now stays. What cannot be dropped is left to prune. */
static void drop(load_job *j, bool failed) {
  ims_digest_set set;
  ims_digest_set_init(&set, &j->bring.op.core->alloc);
  int32_t rc = add_drops(j, ims_archive_brought(j->reader), failed, &set);
  if (!rc)
    rc = add_drops(j, &j->made, failed, &set);
  if (!rc && set.count)
    ims_store_collect(j->bring.store, &set, NULL);
  ims_digest_set_free(&set);
}

static void end(imgstore_operation *op, int32_t result) {
  load_job *j = (load_job *)op;
  if (j->reader)
    ims_archive_reader_stop(j->reader);
  bring_job.end(op, result);
  if (j->reader)
    drop(j, result != IMGSTORE_OK);
}

static void destroy(imgstore_operation *op) {
  load_job *j = (load_job *)op;
  const ims_alloc *alloc = &op->core->alloc;
  ims_archive_reader_free(j->reader);
  ims_digest_set_free(&j->made);
  ims_free(alloc, j->path);
  ims_free(alloc, j->name);
  ims_free(alloc, j->rename);
  bring_job.destroy(op);
}

static const ims_job load_job_type = {advance, timeout, end, destroy};

static int32_t copy_text(const ims_alloc *alloc, const char *text, char **copy, ims_error *err) {
  *copy = text ? ims_strdup(alloc, text) : NULL;
  return text && !*copy ? ims_fail_nomem(err) : IMGSTORE_OK;
}

static int32_t setup(load_job *j, const char *path, const imgstore_load_options *options) {
  bring *b = &j->bring;
  const ims_alloc *alloc = &b->op.core->alloc;
  ims_error *err = &b->op.err;
  j->fd = options->fd;
  j->format = options->format;
  b->source = ims_store_ref(b->store);
  b->all_platforms = b->sparse = !options->platform;
  b->platform_required = options->platform != NULL;
  int32_t rc = ims_platform_parse(&b->platform, options->platform, err);
  if (!rc && !(b->op.report = ims_report_new(alloc)))
    rc = ims_fail_nomem(err);
  if (!rc)
    rc = copy_text(alloc, path, &j->path, err);
  if (!rc)
    rc = copy_text(alloc, options->name, &j->name, err);
  if (!rc)
    rc = copy_text(alloc, options->rename, &j->rename, err);
  if (rc)
    return rc;
  j->loading = (ims_loading){b, path ? j->path : "standard input", NULL, 0, j->name, j->rename};
  if (path)
    ims_loading_base(&j->loading, j->path, true);
  return IMGSTORE_OK;
}

int32_t ims_load_archive_start(imgstore_operation **op, imgstore_store *store, const char *path,
                               const imgstore_load_options *options, ims_error *err) {
  bring *b;
  *op = NULL;
  int32_t rc = bring_new(&b, sizeof(load_job), store, options->progress ? filter : NULL, NULL, err);
  if (rc)
    return rc;
  load_job *j = (load_job *)b;
  b->op.job = &load_job_type;
  b->op.progress_data = j;
  j->progress = options->progress;
  j->progress_data = options->progress_data;
  ims_digest_set_init(&j->made, &store->core->alloc);
  rc = setup(j, path, options);
  if (rc)
    return bring_give_up(b, rc, err);
  *op = &b->op;
  return IMGSTORE_OK;
}
