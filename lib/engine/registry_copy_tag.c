/*
 * engine/registry_copy_tag.c (L4) - the job that gives a manifest of a registry one more tag: its bytes are fetched,
 * checked, and put back as they were under the other tag. No blob is touched.
 */
#include <stdio.h>
#include <string.h>

#include "engine/registry_fetch.h"
#include "engine/registry_job.h"
#include "oci/manifest.h"
#include "oci/reference.h"

enum { STEP_GET = 1, STEP_PUT, STEP_DONE };

typedef struct copy_job {
  ims_registry_job base; /* first member */
  int next;
  char *repository, *from, *tag;
  char what[600]; /* the source */
  imgstore_manifest *manifest;
  char *media_type; /* as the registry announced it */
  ims_manifest_push push;
} copy_job;

static int32_t take_manifest(copy_job *c, const ims_document *document) {
  const ims_core *core = c->base.op.core;
  const ims_manifest_limits limits = {core->limits.max_manifest_bytes, core->limits.max_layers};
  ims_digest expected = document->digest;
  bool pinned = strchr(c->from, ':') != NULL;
  int32_t rc = pinned ? ims_digest_parse(&expected, c->from, strlen(c->from), &c->base.op.err) : IMGSTORE_OK;
  if (!rc)
    rc = ims_manifest_parse(&c->manifest, &core->alloc, document->data, document->size, document->media_type,
                            expected.algorithm ? &expected : NULL, &limits, c->what, &c->base.op.err);
  if (rc)
    return rc;
  c->media_type = ims_strdup(&core->alloc, *document->media_type ? document->media_type : c->manifest->media_type);
  c->next = STEP_PUT;
  return c->media_type ? IMGSTORE_OK : ims_fail_nomem(&c->base.op.err);
}

static void on_manifest(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  copy_job *c = data;
  if (!code)
    code = take_manifest(c, document);
  if (code)
    ims_registry_job_fail(&c->base, code, err->code ? err : NULL);
  ims_registry_job_answered(&c->base);
}

static void on_put(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  copy_job *c = data;
  const ims_digest *digest = &c->manifest->digest;
  ims_registry_job_answered(&c->base);
  c->next = STEP_DONE;
  if (code) {
    ims_registry_job_fail(&c->base, code, err);
    return;
  }
  code = ims_registry_job_report(&c->base, IMGSTORE_REPORT_TAG, c->tag, digest->text, NULL, c->manifest->size);
  if (code)
    ims_registry_job_fail(&c->base, code, NULL);
}

static int32_t put_manifest(copy_job *c) {
  ims_registry_job *j = &c->base;
  c->push = (ims_manifest_push){.repository = c->repository,
                                .reference = c->tag,
                                .media_type = c->media_type,
                                .data = c->manifest->data,
                                .size = c->manifest->size,
                                .digest = c->manifest->digest};
  return ims_registry_job_sent(j, ims_push_manifest(j->client, &c->push, on_put, c, &j->fetch, &j->op.err));
}

static int32_t step(ims_registry_job *job) {
  copy_job *c = (copy_job *)job;
  switch (c->next) {
  case STEP_GET:
    return ims_registry_job_get_manifest(job, c->repository, c->from, on_manifest);
  case STEP_PUT:
    return put_manifest(c);
  default:
    return IMGSTORE_OK;
  }
}

static void clean(ims_registry_job *job) {
  copy_job *c = (copy_job *)job;
  const ims_alloc *a = &job->op.core->alloc;
  imgstore_manifest_unref(c->manifest);
  ims_free(a, c->repository);
  ims_free(a, c->from);
  ims_free(a, c->tag);
  ims_free(a, c->media_type);
}

static int32_t set_up(copy_job *c, const char *repository, const char *from, const char *tag) {
  const ims_alloc *a = &c->base.op.core->alloc;
  ims_fetch_name(c->base.client, repository, from, c->what, sizeof c->what);
  c->next = STEP_GET;
  c->repository = ims_strdup(a, repository);
  c->from = ims_strdup(a, from);
  c->tag = ims_strdup(a, tag);
  return c->repository && c->from && c->tag ? IMGSTORE_OK : ims_fail_nomem(&c->base.op.err);
}

int32_t ims_registry_copy_tag_start(imgstore_operation **op, imgstore_registry *registry, const char *repository,
                                    const char *from, const char *tag, const imgstore_registry_job_options *options,
                                    ims_error *err) {
  ims_registry_job *job;
  ims_digest digest;
  size_t size = strlen(from);
  int32_t rc = ims_repository_check(repository, strlen(repository), err);
  if (!rc)
    rc = strchr(from, ':') ? ims_digest_parse(&digest, from, size, err) : ims_tag_check(from, size, err);
  if (!rc)
    rc = ims_tag_check(tag, strlen(tag), err);
  if (!rc)
    rc = ims_registry_job_new(&job, sizeof(copy_job), registry, options, step, clean, err);
  if (rc)
    return rc;
  rc = set_up((copy_job *)job, repository, from, tag);
  if (rc)
    return ims_registry_job_drop(job, rc, err);
  *op = &job->op;
  return IMGSTORE_OK;
}
