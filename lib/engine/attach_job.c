/*
 * engine/attach_job.c (L4) - attaches an object: content, manifest, and where the registry keeps no referrers itself
 * the fallback tag, which is referrer_tag.c's.
 */
#include <stdio.h>
#include <string.h>

#include "engine/attachment.h"
#include "engine/job_client.h"
#include "engine/referrer_tag.h"
#include "engine/registry_handle.h"
#include "engine/resolve_name.h"
#include "oci/compose.h"
#include "oci/mediatype.h"

enum { MANIFEST_MAX = 4 << 20 };
enum { STAGE_RESOLVE, STAGE_CONTENT, STAGE_MANIFEST, STAGE_LIST, STAGE_DONE };

typedef struct attach_job {
  imgstore_operation op; /* first member */
  imgstore_attachment *attachment;
  imgstore_registry *registry;
  ims_client *client;
  ims_job_listener listener;
  imgstore_reference *reference;
  ims_resolver resolver;
  ims_referrer_tag tag;
  imgstore_descriptor subject;
  imgstore_descriptor made; /* the manifest */
  ims_buf manifest;
  ims_manifest_push put; /* lives while it is pushed */
  ims_fetch *fetch;
  size_t next; /* file; count is the empty config */
  bool busy, listed;
  int stage;
  int32_t failed;
} attach_job;

static attach_job *job_of(const imgstore_operation *op) {
  return (attach_job *)(uintptr_t)op;
}

static void fail(attach_job *j, int32_t code, const ims_error *err) {
  if (j->failed || !code)
    return;
  j->failed = code;
  if (err && !j->op.err.code)
    j->op.err = *err;
}

/* --- content --------------------------------------------------------------------------------------------------------
 */

static const ims_attachment_file *current_file(const attach_job *j) {
  return j->next < j->attachment->count ? j->attachment->files[j->next] : NULL;
}

static int32_t read_content(void *data, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err) {
  attach_job *j = data;
  return ims_attachment_read(j->attachment, current_file(j), offset, buffer, size, got, err);
}

static void on_content(void *data, int32_t code, const ims_push_result *result, const ims_error *err) {
  attach_job *j = data;
  const ims_attachment_file *file = current_file(j);
  j->fetch = NULL;
  j->busy = false;
  ims_lane_signal(&j->op.lane);
  if (code) {
    fail(j, code, err);
    return;
  }
  if (file)
    fail(j,
         ims_operation_event(&j->op, IMGSTORE_EVENT_UPLOADED, IMGSTORE_OBJECT_LAYER, file->descriptor.digest.text, NULL,
                             file->descriptor.size, file->descriptor.size),
         NULL);
  j->next++;
}

static int32_t push_file(attach_job *j, const ims_attachment_file *file) {
  const ims_push_request request = {
      .repository = j->reference->repository, .digest = file->descriptor.digest, .size = file->descriptor.size};
  const ims_push_source source = {j, read_content, on_content};
  int32_t rc = ims_operation_event(&j->op, IMGSTORE_EVENT_UPLOADING, IMGSTORE_OBJECT_LAYER,
                                   file->descriptor.digest.text, NULL, 0, file->descriptor.size);
  return rc ? rc : ims_push_blob(j->client, &request, &source, &j->fetch, &j->op.err);
}

static int32_t push_empty(attach_job *j) {
  imgstore_descriptor empty;
  ims_empty_descriptor(&empty);
  const ims_push_request request = {.repository = j->reference->repository, .digest = empty.digest, .size = empty.size};
  return ims_push_bytes(j->client, &request, ims_empty_json, on_content, j, &j->fetch, &j->op.err);
}

/* One after the other; the empty object comes last: it is the config, and the layer of an object without content. */
static int32_t advance_content(attach_job *j) {
  if (j->busy)
    return IMGSTORE_EAGAIN;
  if (j->next > j->attachment->count) {
    j->stage = STAGE_MANIFEST;
    return IMGSTORE_OK;
  }
  const ims_attachment_file *file = current_file(j);
  int32_t rc = file ? push_file(j, file) : push_empty(j);
  j->busy = !rc;
  return rc ? rc : IMGSTORE_EAGAIN;
}

/* --- the manifest ---------------------------------------------------------------------------------------------------
 */

static int32_t compose(attach_job *j) {
  const imgstore_attachment *a = j->attachment;
  size_t count = a->count ? a->count : 1;
  imgstore_descriptor *layers = ims_calloc(&j->op.core->alloc, count, sizeof *layers);
  if (!layers)
    return ims_fail_nomem(&j->op.err);
  ims_empty_descriptor(&layers[0]);
  for (size_t i = 0; i < a->count; i++)
    layers[i] = a->files[i]->descriptor;
  const ims_manifest_parts parts = {.artifact_type = a->artifact_type,
                                    .layers = layers,
                                    .layer_count = count,
                                    .subject = &j->subject,
                                    .annotations = a->annotations,
                                    .annotation_count = a->annotation_count};
  ims_buf_init(&j->manifest, &j->op.core->alloc, MANIFEST_MAX);
  int32_t rc = ims_compose_manifest(&j->manifest, &parts, &j->op.err);
  ims_free(&j->op.core->alloc, layers);
  if (rc)
    return rc;
  ims_digest_of(&j->made.digest, IMS_HASH_SHA256, j->manifest.data, j->manifest.size);
  j->made.size = j->manifest.size;
  j->made.media_type = IMS_MT_OCI_MANIFEST;
  j->made.artifact_type = a->artifact_type;
  j->made.annotations = a->annotations;
  j->made.annotation_count = a->annotation_count;
  return IMGSTORE_OK;
}

/* A registry that keeps referrers says so by naming the subject; any other leaves the list to its clients. */
static void on_put(void *data, int32_t code, const ims_document *d, const ims_error *err) {
  attach_job *j = data;
  j->fetch = NULL;
  j->busy = false;
  ims_lane_signal(&j->op.lane);
  if (code) {
    fail(j, code, err);
    return;
  }
  const char *subject = ims_reply_field(&d->reply, "OCI-Subject");
  j->listed = subject && strcmp(subject, j->subject.digest.text) == 0;
  j->stage = STAGE_LIST;
}

static int32_t advance_manifest(attach_job *j) {
  if (j->busy)
    return IMGSTORE_EAGAIN;
  int32_t rc = compose(j);
  if (rc)
    return rc;
  j->put = (ims_manifest_push){j->reference->repository, j->made.digest.text, IMS_MT_OCI_MANIFEST,
                               j->manifest.data,         j->manifest.size,    j->made.digest};
  rc = ims_push_manifest(j->client, &j->put, on_put, j, &j->fetch, &j->op.err);
  j->busy = !rc;
  return rc ? rc : IMGSTORE_EAGAIN;
}

/* --- the list -------------------------------------------------------------------------------------------------------
 */

static int32_t report_made(attach_job *j) {
  char name[600];
  const imgstore_reference *r = j->reference;
  int32_t rc = ims_operation_event(&j->op, IMGSTORE_EVENT_COMMITTED, IMGSTORE_OBJECT_MANIFEST, j->made.digest.text,
                                   r->name, 0, j->made.size);
  if (rc)
    return rc;
  snprintf(name, sizeof name, "%s/%s@%s", j->registry->own->host, r->repository, j->made.digest.text);
  j->stage = STAGE_DONE;
  return ims_report_add(j->op.report, IMGSTORE_REPORT_PUBLISHED, name, j->made.digest.text, IMS_MT_OCI_MANIFEST,
                        j->made.size, 0)
             ? ims_fail_nomem(&j->op.err)
             : IMGSTORE_OK;
}

static int32_t advance_list(attach_job *j, int64_t now) {
  if (j->listed)
    return report_made(j);
  if (!j->tag.op)
    ims_referrer_tag_init(&j->tag, &j->op, j->client, j->reference->repository, &j->subject.digest, &j->made);
  int32_t rc = ims_referrer_tag_advance(&j->tag, now);
  return rc ? rc : report_made(j);
}

/* --- the job --------------------------------------------------------------------------------------------------------
 */

static int32_t advance_resolve(attach_job *j) {
  int32_t rc = ims_resolver_advance(&j->resolver);
  if (rc)
    return rc;
  const imgstore_manifest *m = ims_resolver_leaf(&j->resolver);
  j->subject.digest = m->digest;
  j->subject.size = m->size;
  j->subject.media_type = m->media_type;
  j->stage = STAGE_CONTENT;
  return ims_operation_event(&j->op, IMGSTORE_EVENT_RESOLVED, IMGSTORE_OBJECT_MANIFEST, m->digest.text,
                             j->reference->name, m->size, m->size);
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  attach_job *j = job_of(op);
  int32_t rc = IMGSTORE_OK;
  ims_client_perform(j->client, now);
  while (!rc && !j->failed && j->stage != STAGE_DONE)
    rc = j->stage == STAGE_RESOLVE    ? advance_resolve(j)
         : j->stage == STAGE_CONTENT  ? advance_content(j)
         : j->stage == STAGE_MANIFEST ? advance_manifest(j)
                                      : advance_list(j, now);
  return j->failed ? j->failed : rc;
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  attach_job *j = job_of(op);
  return ims_sooner(ims_client_timeout(j->client, now), ims_referrer_tag_timeout(&j->tag, now));
}

static void end(imgstore_operation *op, int32_t result) {
  attach_job *j = job_of(op);
  if (j->fetch)
    ims_fetch_cancel(j->fetch);
  j->fetch = NULL;
  ims_referrer_tag_free(&j->tag);
  ims_client_free(j->client);
  j->client = NULL;
  ims_attachment_unref(j->attachment); /* from now on it may be changed again */
  j->attachment = NULL;
}

static void destroy(imgstore_operation *op) {
  attach_job *j = job_of(op);
  ims_core *core = ims_core_ref(op->core);
  ims_resolver_free(&j->resolver);
  ims_buf_free(&j->manifest);
  imgstore_reference_unref(j->reference);
  ims_registry_unref(j->registry);
  ims_operation_clean(op);
  ims_free(&core->alloc, j);
  ims_core_unref(core);
}

static const ims_job attach_operation = {advance, timeout, end, destroy};

static int32_t setup(attach_job *j, const char *reference, const imgstore_attach_options *options) {
  ims_error *err = &j->op.err;
  j->listener = (ims_job_listener){.op = &j->op, .failed = &j->failed};
  int32_t rc = ims_job_client_open(&j->client, &j->listener, j->registry);
  if (!rc)
    ims_client_distrust_mirrors(j->client); /* what a tag stands for is the registry's to say when it is changed */
  if (!rc && !(j->op.report = ims_report_new(&j->op.core->alloc)))
    rc = ims_fail_nomem(err);
  if (!rc)
    rc = ims_reference_parse(&j->reference, &j->op.core->alloc, reference, err);
  if (!rc)
    rc = ims_check_host(j->reference, j->registry, err);
  if (!rc)
    rc = ims_resolver_start(&j->resolver, &j->op, j->client, j->reference, options->platform, !options->platform);
  return rc;
}

int32_t ims_attach_start(imgstore_operation **op, imgstore_registry *registry, const char *reference,
                         imgstore_attachment *attachment, const imgstore_attach_options *options, ims_error *err) {
  *op = NULL;
  if (!attachment->count && !attachment->annotation_count)
    return ims_fail(err, IMGSTORE_EINVALID, "there is nothing to attach: neither content nor an annotation");
  attach_job *j = ims_calloc(&registry->core->alloc, 1, sizeof *j);
  if (!j)
    return ims_fail_nomem(err);
  int32_t rc =
      ims_operation_init(&j->op, registry->core, &attach_operation, options->progress, options->progress_data, err);
  if (rc) {
    ims_free(&registry->core->alloc, j);
    return rc;
  }
  j->attachment = ims_attachment_ref(attachment);
  j->registry = ims_registry_ref(registry);
  rc = setup(j, reference, options);
  if (!rc) {
    *op = &j->op;
    return IMGSTORE_OK;
  }
  if (err && !err->code)
    *err = j->op.err;
  ims_operation_free(&j->op);
  return rc;
}
