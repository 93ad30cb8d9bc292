/*
 * engine/registry_delete.c (L4) - the job that deletes a tag or a manifest from a registry.
 *
 * A tag is deleted as a tag where the registry can. Many can delete a manifest only, by its digest, and with it every
 * tag that names it: that is done for a tag only when the caller asked for it.
 */
#include <stdio.h>
#include <string.h>

#include "engine/registry_fetch.h"
#include "engine/registry_job.h"
#include "oci/reference.h"

enum { STEP_NAMED = 1, STEP_RESOLVE, STEP_MANIFEST, STEP_DONE };

typedef struct delete_job {
  ims_registry_job base; /* first member */
  int next;
  bool whole;
  char *repository, *reference, *what;
  bool by_digest;
  int32_t refusal;   /* HTTP status of the refusal to delete the tag */
  ims_digest digest; /* what is deleted, when that is known */
} delete_job;

static int32_t report(delete_job *d) {
  int32_t rc = IMGSTORE_OK;
  if (!d->by_digest)
    rc = ims_registry_job_report(&d->base, IMGSTORE_REPORT_UNTAGGED, d->reference, d->digest.text, NULL, 0);
  if (!rc && d->digest.algorithm)
    rc = ims_registry_job_report(&d->base, IMGSTORE_REPORT_DELETED, NULL, d->digest.text, NULL, 0);
  d->next = STEP_DONE;
  return rc;
}

static void on_deleted(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  delete_job *d = data;
  bool named = d->next == STEP_NAMED;
  ims_registry_job_answered(&d->base);
  if (code && err->http_status == 404 && d->base.listener.retried)
    code = IMGSTORE_OK; /* done by a try whose answer was lost */
  if (!code) {
    code = report(d);
    if (code)
      ims_registry_job_fail(&d->base, code, NULL);
  } else if (named && !d->by_digest && (err->http_status == 405 || err->http_status == 400)) {
    d->refusal = err->http_status;
    d->next = STEP_RESOLVE;
  } else if (err->http_status == 405) {
    ims_fail(&d->base.op.err, IMGSTORE_EUNSUPPORTED, "%s: this registry does not allow deleting (HTTP 405)", d->what);
    d->base.op.err.http_status = 405;
    memcpy(d->base.op.err.registry_code, err->registry_code, sizeof err->registry_code);
    ims_registry_job_fail(&d->base, IMGSTORE_EUNSUPPORTED, NULL);
  } else {
    ims_registry_job_fail(&d->base, code, err);
  }
}

/* The digest is of the bytes: what a header says would be deleted unseen. */
static void on_resolved(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  delete_job *d = data;
  ims_registry_job_answered(&d->base);
  if (code) {
    ims_registry_job_fail(&d->base, code, err);
    return;
  }
  int32_t algorithm = document->digest.algorithm ? document->digest.algorithm : IMS_HASH_SHA256;
  ims_digest_of(&d->digest, algorithm, document->data, document->size);
  d->next = STEP_MANIFEST;
  if (document->digest.algorithm && !ims_digest_equal(&document->digest, &d->digest)) {
    code = ims_fail(&d->base.op.err, IMGSTORE_EDIGEST, "%s: the manifest hashes to %s, but the registry calls it %s",
                    d->what, d->digest.text, document->digest.text);
  } else if (!d->whole) {
    code =
        ims_fail(&d->base.op.err, IMGSTORE_EUNSUPPORTED,
                 "%s: the registry does not delete a tag alone (HTTP %d); its manifest %s can only go with every tag "
                 "that names it",
                 d->what, (int)d->refusal, d->digest.text);
    d->base.op.err.http_status = d->refusal;
  }
  if (code)
    ims_registry_job_fail(&d->base, code, NULL);
}

static int32_t send_delete(delete_job *d, const char *reference) {
  char path[400];
  ims_registry_job *j = &d->base;
  snprintf(path, sizeof path, "manifests/%s", reference);
  return ims_registry_job_sent(
      j, ims_request_delete(j->client, d->repository, path, reference, on_deleted, d, &j->fetch, &j->op.err));
}

static int32_t step(ims_registry_job *job) {
  delete_job *d = (delete_job *)job;
  switch (d->next) {
  case STEP_NAMED:
    return send_delete(d, d->reference);
  case STEP_RESOLVE:
    return ims_registry_job_get_manifest(job, d->repository, d->reference, on_resolved);
  case STEP_MANIFEST:
    return send_delete(d, d->digest.text);
  default:
    return IMGSTORE_OK;
  }
}

static void clean(ims_registry_job *job) {
  delete_job *d = (delete_job *)job;
  const ims_alloc *a = &job->op.core->alloc;
  ims_free(a, d->repository);
  ims_free(a, d->reference);
  ims_free(a, d->what);
}

static int32_t set_up(delete_job *d, const char *repository, const char *reference) {
  const ims_alloc *a = &d->base.op.core->alloc;
  char what[600];
  ims_fetch_name(d->base.client, repository, reference, what, sizeof what);
  d->next = STEP_NAMED;
  d->repository = ims_strdup(a, repository);
  d->reference = ims_strdup(a, reference);
  d->what = ims_strdup(a, what);
  return d->repository && d->reference && d->what ? IMGSTORE_OK : ims_fail_nomem(&d->base.op.err);
}

int32_t ims_registry_delete_start(imgstore_operation **op, imgstore_registry *registry, const char *repository,
                                  const char *reference, const imgstore_registry_job_options *options, ims_error *err) {
  ims_registry_job *job;
  ims_digest digest = {0, ""};
  size_t size = strlen(reference);
  int32_t rc = ims_repository_check(repository, strlen(repository), err);
  if (!rc)
    rc = strchr(reference, ':') ? ims_digest_parse(&digest, reference, size, err) : ims_tag_check(reference, size, err);
  if (!rc)
    rc = ims_registry_job_new(&job, sizeof(delete_job), registry, options, step, clean, err);
  if (rc)
    return rc;
  delete_job *d = (delete_job *)job;
  d->digest = digest;
  d->by_digest = digest.algorithm != 0;
  d->whole = options->flags & IMGSTORE_DELETE_MANIFEST;
  rc = set_up(d, repository, reference);
  if (rc)
    return ims_registry_job_drop(job, rc, err);
  *op = &job->op;
  return IMGSTORE_OK;
}
