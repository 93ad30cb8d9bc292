/*
 * engine/registry_job.c (L4) - what the jobs of registry_job.h share: the client, its events, the end. Here too is the
 * smallest of them, the check whether a registry takes the credentials.
 */
#include "engine/registry_job.h"

#include <stdio.h>

#include "engine/registry_fetch.h"
#include "oci/mediatype.h"

enum { CHECK_BODY_MAX = 1 << 20 };

static int32_t advance(imgstore_operation *op, int64_t now) {
  ims_registry_job *j = (ims_registry_job *)op;
  ims_client_perform(j->client, now);
  if (j->failed)
    return j->failed;
  return j->fetch ? IMGSTORE_EAGAIN : j->step(j);
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  return ims_client_timeout(((ims_registry_job *)op)->client, now);
}

static void end(imgstore_operation *op, int32_t result) {
  ims_registry_job *j = (ims_registry_job *)op;
  ims_client_free(j->client);
  j->client = NULL;
}

static void destroy(imgstore_operation *op) {
  ims_registry_job *j = (ims_registry_job *)op;
  ims_core *core = ims_core_ref(op->core);
  if (j->clean)
    j->clean(j);
  ims_operation_clean(op);
  ims_free(&core->alloc, j);
  ims_core_unref(core);
}

static const ims_job registry_job_type = {advance, timeout, end, destroy};

int32_t ims_registry_job_new(ims_registry_job **job, size_t size, imgstore_registry *registry,
                             const imgstore_registry_job_options *options, int32_t (*step)(ims_registry_job *job),
                             void (*clean)(ims_registry_job *job), ims_error *err) {
  const ims_alloc *a = &registry->core->alloc;
  *job = NULL;
  ims_registry_job *j = ims_calloc(a, 1, size);
  if (!j)
    return ims_fail_nomem(err);
  int32_t rc =
      ims_operation_init(&j->op, registry->core, &registry_job_type, options->progress, options->progress_data, err);
  if (rc) {
    ims_free(a, j);
    return rc;
  }
  j->listener = (ims_job_listener){.op = &j->op, .failed = &j->failed};
  j->step = step;
  j->clean = clean;
  j->op.report = ims_report_new(a);
  rc = j->op.report ? ims_job_client_open(&j->client, &j->listener, registry) : ims_fail_nomem(&j->op.err);
  if (rc)
    return ims_registry_job_drop(j, rc, err);
  *job = j;
  return IMGSTORE_OK;
}

int32_t ims_registry_job_drop(ims_registry_job *job, int32_t rc, ims_error *err) {
  if (err && !err->code)
    *err = job->op.err;
  ims_operation_free(&job->op);
  return rc;
}

void ims_registry_job_answered(ims_registry_job *job) {
  job->fetch = NULL;
}

void ims_registry_job_fail(ims_registry_job *job, int32_t code, const ims_error *err) {
  if (job->failed)
    return;
  job->failed = code;
  if (err)
    job->op.err = *err;
}

int32_t ims_registry_job_sent(ims_registry_job *job, int32_t rc) {
  job->listener.retried = false;
  return rc ? rc : IMGSTORE_EAGAIN;
}

int32_t ims_registry_job_get_manifest(ims_registry_job *job, const char *repository, const char *reference,
                                      ims_document_fn done) {
  char path[400];
  const ims_request request = {.method = "GET",
                               .repository = repository,
                               .path = path,
                               .object = reference,
                               .accept = ims_media_manifest_accept(),
                               .expects = {200},
                               .most_size = job->op.core->limits.max_manifest_bytes};
  snprintf(path, sizeof path, "manifests/%s", reference);
  return ims_registry_job_sent(job, ims_request_start(job->client, &request, done, job, &job->fetch, &job->op.err));
}

int32_t ims_registry_job_report(ims_registry_job *job, int32_t kind, const char *name, const char *digest,
                                const char *detail, uint64_t size) {
  int32_t rc = ims_report_add(job->op.report, kind, name, digest, detail, size, 0);
  return rc ? ims_fail_nomem(&job->op.err) : IMGSTORE_OK;
}

/* --- check
 * ------------------------------------------------------------------------------------------------------------- */

typedef struct check_job {
  ims_registry_job base; /* first member */
  const char *host;
  bool asked;
} check_job;

static void on_checked(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  ims_registry_job_answered(data);
  if (code)
    ims_registry_job_fail(data, code, err);
}

static int32_t check_step(ims_registry_job *job) {
  check_job *c = (check_job *)job;
  if (c->asked)
    return IMGSTORE_OK;
  c->asked = true;
  return ims_registry_job_sent(
      job, ims_fetch_path(job->client, "", "/v2/", c->host, CHECK_BODY_MAX, on_checked, c, &job->fetch, &job->op.err));
}

int32_t ims_registry_check_start(imgstore_operation **op, imgstore_registry *registry,
                                 const imgstore_registry_job_options *options, ims_error *err) {
  ims_registry_job *job;
  int32_t rc = ims_registry_job_new(&job, sizeof(check_job), registry, options, check_step, NULL, err);
  if (rc)
    return rc;
  ((check_job *)job)->host = registry->own->host; /* the client keeps the registry */
  *op = &job->op;
  return IMGSTORE_OK;
}
