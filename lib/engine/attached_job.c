/*
 * engine/attached_job.c (L4) - three small jobs at a registry: list what is attached to an image, ask a policy about
 * it, read one object. They share a client, its events and the resolving of the name.
 */
#include <string.h>

#include "engine/attached.h"
#include "engine/job_client.h"
#include "engine/registry_handle.h"
#include "engine/resolve_name.h"
#include "engine/trust.h"
#include "oci/attached_kind.h"

enum { JOB_LIST, JOB_TRUST, JOB_READ };

typedef struct attached_job {
  imgstore_operation op; /* first member */
  int what;
  imgstore_registry *registry;
  ims_client *client;
  ims_job_listener listener;
  imgstore_reference *reference;
  ims_resolver resolver;
  ims_finder finder;
  ims_trust trust;
  ims_blob_bytes bytes;
  bool begun;
  int32_t failed;
  int32_t kind;
  char *artifact_type;
  imgstore_attached *list;
} attached_job;

static attached_job *job_of(const imgstore_operation *op) {
  return (attached_job *)(uintptr_t)op;
}

/* --- the list -------------------------------------------------------------------------------------------------------
 */

/* The index of a platform's manifest may have attestations for it beside it. */
static int32_t look_beside(attached_job *j) {
  const ims_digest *leaf = &ims_resolver_leaf(&j->resolver)->digest;
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; i + 1 < j->resolver.count; i++) {
    const imgstore_manifest *index = j->resolver.chain[i];
    for (size_t k = 0; k < index->count && !rc; k++)
      if (ims_is_attestation_of(&index->entries[k], leaf))
        rc = ims_finder_add_manifest(&j->finder, leaf, &index->entries[k], IMGSTORE_FOUND_INDEX);
  }
  return rc;
}

static int32_t begin_list(attached_job *j) {
  ims_finder_init(&j->finder, &j->op, j->client, j->reference->repository, 0, j->artifact_type);
  int32_t rc = look_beside(j);
  for (size_t i = j->resolver.count; i-- > 0 && !rc;) /* what is the image's own comes first */
    rc = ims_finder_add_subject(&j->finder, &j->resolver.chain[i]->digest);
  return rc;
}

static int32_t make_list(attached_job *j) {
  imgstore_attached *list;
  int32_t rc = ims_attached_new(&list, j->op.core, j->registry, j->reference->repository, NULL,
                                &ims_resolver_leaf(&j->resolver)->digest, &j->op.err);
  for (size_t i = 0; i < j->finder.count && !rc; i++) {
    const ims_found *f = &j->finder.found[i];
    rc = ims_attached_add(list, f->manifest, &f->subject, f->how, j->kind, &j->op.err);
  }
  if (rc)
    imgstore_attached_unref(list);
  else
    j->list = list;
  return rc;
}

static int32_t advance_list(attached_job *j) {
  int32_t rc = ims_finder_advance(&j->finder);
  return rc ? rc : make_list(j);
}

/* --- the policy -----------------------------------------------------------------------------------------------------
 */

static int32_t begin_trust(attached_job *j) {
  ims_digest subjects[IMS_RESOLVE_DEPTH];
  for (size_t i = 0; i < j->resolver.count; i++)
    subjects[i] = j->resolver.chain[i]->digest;
  return ims_trust_start(&j->trust, j->client, j->reference, subjects, j->resolver.count);
}

/* --- the job --------------------------------------------------------------------------------------------------------
 */

static int32_t advance_image(attached_job *j) {
  int32_t rc = ims_resolver_advance(&j->resolver);
  if (rc)
    return rc;
  if (!j->begun) {
    j->begun = true;
    rc = j->what == JOB_LIST ? begin_list(j) : begin_trust(j);
    if (rc)
      return rc;
  }
  return j->what == JOB_LIST ? advance_list(j) : ims_trust_advance(&j->trust);
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  attached_job *j = job_of(op);
  ims_client_perform(j->client, now);
  if (j->failed)
    return j->failed;
  if (j->what != JOB_READ)
    return advance_image(j);
  int32_t rc = ims_blob_bytes_advance(&j->bytes);
  if (rc && rc != IMGSTORE_EAGAIN)
    op->err = j->bytes.err;
  return rc;
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  return ims_client_timeout(job_of(op)->client, now);
}

static void end(imgstore_operation *op, int32_t result) {
  attached_job *j = job_of(op);
  ims_resolver_free(&j->resolver);
  ims_finder_free(&j->finder);
  ims_trust_free(&j->trust);
  if (j->bytes.fetch)
    ims_fetch_cancel(j->bytes.fetch);
  j->bytes.fetch = NULL;
  ims_client_free(j->client);
  j->client = NULL;
}

static void destroy(imgstore_operation *op) {
  attached_job *j = job_of(op);
  ims_core *core = ims_core_ref(op->core);
  ims_buf_free(&j->bytes.bytes);
  imgstore_attached_unref(j->list);
  imgstore_reference_unref(j->reference);
  ims_registry_unref(j->registry);
  ims_free(&core->alloc, j->artifact_type);
  ims_operation_clean(op);
  ims_free(&core->alloc, j);
  ims_core_unref(core);
}

static const ims_job attached_operation = {advance, timeout, end, destroy};

imgstore_attached *ims_operation_attached(const imgstore_operation *op) {
  return op->job == &attached_operation ? job_of(op)->list : NULL;
}

/* --- starting -------------------------------------------------------------------------------------------------------
 */

static int32_t job_new(attached_job **out, int what, imgstore_registry *registry, imgstore_event_fn progress,
                       void *progress_data, ims_error *err) {
  *out = NULL;
  attached_job *j = ims_calloc(&registry->core->alloc, 1, sizeof *j);
  if (!j)
    return ims_fail_nomem(err);
  int32_t rc = ims_operation_init(&j->op, registry->core, &attached_operation, progress, progress_data, err);
  if (rc) {
    ims_free(&registry->core->alloc, j);
    return rc;
  }
  j->listener = (ims_job_listener){.op = &j->op, .failed = &j->failed};
  j->what = what;
  j->registry = ims_registry_ref(registry);
  rc = ims_job_client_open(&j->client, &j->listener, registry);
  *out = j;
  return rc;
}

/* Hands the operation out, or ends it with its error. */
static int32_t job_done(attached_job *j, int32_t rc, imgstore_operation **op, ims_error *err) {
  *op = rc || !j ? NULL : &j->op;
  if (!rc || !j)
    return rc;
  if (err && !err->code)
    *err = j->op.err;
  ims_operation_free(&j->op);
  return rc;
}

/* A client may not have come to be: then there is nothing to drive. */
static int32_t name_image(attached_job *j, const char *reference, const char *platform, bool top_only) {
  int32_t rc = ims_reference_parse(&j->reference, &j->op.core->alloc, reference, &j->op.err);
  if (!rc)
    rc = ims_check_host(j->reference, j->registry, &j->op.err);
  return rc ? rc : ims_resolver_start(&j->resolver, &j->op, j->client, j->reference, platform, top_only);
}

int32_t ims_attached_list_start(imgstore_operation **op, imgstore_registry *registry, const char *reference,
                                const imgstore_attached_options *options, ims_error *err) {
  attached_job *j;
  int32_t rc = job_new(&j, JOB_LIST, registry, options->progress, options->progress_data, err);
  if (!rc)
    j->kind = options->kind;
  if (!rc && options->artifact_type && !(j->artifact_type = ims_strdup(&registry->core->alloc, options->artifact_type)))
    rc = ims_fail_nomem(&j->op.err);
  if (!rc)
    rc = name_image(j, reference, options->platform, false);
  return job_done(j, rc, op, err);
}

int32_t ims_policy_check_start(imgstore_operation **op, imgstore_policy *policy, imgstore_registry *registry,
                               const char *reference, const imgstore_policy_options *options, ims_error *err) {
  attached_job *j;
  int32_t rc = job_new(&j, JOB_TRUST, registry, options->progress, options->progress_data, err);
  if (!rc && !(j->op.report = ims_report_new(&registry->core->alloc)))
    rc = ims_fail_nomem(&j->op.err);
  if (!rc) {
    ims_trust_init(&j->trust, &j->op, policy, j->op.report);
    rc = name_image(j, reference, options->platform, (options->flags & IMGSTORE_POLICY_CHECK_ALL_PLATFORMS) != 0);
  }
  return job_done(j, rc, op, err);
}

static int32_t run_read(const imgstore_attached *list, const imgstore_descriptor *content, uint64_t max_bytes,
                        ims_buf *out, ims_error *err) {
  attached_job *j;
  imgstore_operation *op;
  int32_t rc = job_new(&j, JOB_READ, list->registry, NULL, NULL, err);
  if (!rc) {
    ims_blob_bytes_init(&j->bytes, &j->op, j->client, list->repository);
    rc = ims_blob_bytes_start(&j->bytes, content, max_bytes, &j->op.err);
  }
  rc = job_done(j, rc, &op, err);
  if (rc)
    return rc;
  do {
    rc = ims_operation_step(op, -1);
  } while (rc == IMGSTORE_EAGAIN);
  if (!rc) {
    *out = j->bytes.bytes;
    ims_buf_init(&j->bytes.bytes, out->alloc, 0);
  } else if (err && !err->code) {
    *err = op->err;
  }
  ims_operation_free(op);
  return rc;
}

int32_t ims_attached_read(const imgstore_attached *list, size_t i, uint64_t max_bytes, ims_buf *out, ims_error *err) {
  const ims_attached_item *item = &list->items[i];
  const imgstore_descriptor *content = item->content;
  uint64_t size = content ? content->size : item->manifest->size;
  if (size > max_bytes)
    return ims_fail(err, IMGSTORE_ELIMIT, "blob %s: %llu bytes, at most %llu are read",
                    content ? content->digest.text : item->manifest->digest.text, (unsigned long long)size,
                    (unsigned long long)max_bytes);
  if (!content)
    return ims_buf_append(out, item->manifest->data, item->manifest->size) ? ims_fail_nomem(err) : IMGSTORE_OK;
  if (list->store)
    return ims_blob_load(list->store, &content->digest, max_bytes, out, err);
  return run_read(list, content, max_bytes, out, err);
}
