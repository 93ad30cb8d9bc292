/*
 * engine/attached_find.c (L4) - a queue of documents to fetch, each of which may lead to more: pages to pages, lists to
 * manifests. What a list says of a manifest is only where to look; the manifest says what it is and whose.
 */
#include "engine/attached_find.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "imgstore/attached.h"
#include "oci/attached_kind.h"
#include "oci/mediatype.h"

enum { BUSY_MAX = 4 };
enum { STEP_REFERRERS, STEP_LIST_TAG, STEP_TAG, STEP_MANIFEST };

struct ims_find_step {
  ims_finder *finder;
  int kind;
  int32_t how;
  ims_digest subject;
  char *url;         /**< of REFERRERS: the page, or NULL: the first */
  char name[160];    /**< of a tag; of MANIFEST: its digest */
  ims_digest digest; /**< of MANIFEST */
  uint64_t size;
  ims_fetch *fetch;
  bool done;
};

static const ims_alloc *alloc_of(const ims_finder *f) {
  return &f->op->core->alloc;
}

void ims_finder_init(ims_finder *f, imgstore_operation *op, ims_client *client, const char *repository, uint32_t flags,
                     const char *artifact_type) {
  f->op = op;
  f->client = client;
  f->repository = repository;
  f->flags = flags;
  f->artifact_type = artifact_type;
}

static void fail(ims_finder *f, int32_t code, const ims_error *err) {
  if (f->failed)
    return;
  f->failed = code;
  if (err && !f->op->err.code)
    f->op->err = *err;
}

/* --- the queue ------------------------------------------------------------------------------------------------------
 */

static int32_t add_step(ims_finder *f, const ims_find_step *step) {
  if (f->step_count >= IMS_FOUND_MAX * 2)
    return ims_fail(&f->op->err, IMGSTORE_ELIMIT, "%s: more than %d attached objects", f->repository, IMS_FOUND_MAX);
  if (f->step_count == f->step_capacity) {
    size_t capacity = f->step_capacity ? f->step_capacity * 2 : 16;
    ims_find_step **steps = ims_realloc_array(alloc_of(f), f->steps, capacity, sizeof *steps);
    if (!steps)
      return ims_fail_nomem(&f->op->err);
    f->steps = steps;
    f->step_capacity = capacity;
  }
  ims_find_step *made = ims_malloc(alloc_of(f), sizeof *made);
  if (!made)
    return ims_fail_nomem(&f->op->err);
  *made = *step;
  made->finder = f;
  f->steps[f->step_count++] = made;
  ims_lane_signal(&f->op->lane);
  return IMGSTORE_OK;
}

static int32_t add_tag(ims_finder *f, const ims_digest *subject, int kind, int32_t how, const char *suffix) {
  ims_find_step step = {.kind = kind, .how = how, .subject = *subject, .size = UINT64_MAX};
  snprintf(step.name, sizeof step.name, "%s-%s%s", ims_digest_algorithm_name(subject->algorithm),
           ims_digest_hex(subject), suffix);
  if (strlen(step.name) > 128)
    return IMGSTORE_OK; /* a sha512 digest: too long for a tag, so nothing is kept there */
  return add_step(f, &step);
}

int32_t ims_finder_add_subject(ims_finder *f, const ims_digest *digest) {
  const ims_find_step referrers = {
      .kind = STEP_REFERRERS, .how = IMGSTORE_FOUND_REFERRERS, .subject = *digest, .size = UINT64_MAX};
  int32_t rc = add_tag(f, digest, STEP_TAG, IMGSTORE_FOUND_COSIGN, ".sig");
  if (!rc)
    rc = add_step(f, &referrers);
  if (!rc && !(f->flags & IMS_FIND_SIGNATURES))
    rc = add_tag(f, digest, STEP_TAG, IMGSTORE_FOUND_COSIGN, ".att");
  if (!rc && !(f->flags & IMS_FIND_SIGNATURES))
    rc = add_tag(f, digest, STEP_TAG, IMGSTORE_FOUND_COSIGN, ".sbom");
  return rc;
}

static bool is_known(const ims_finder *f, const ims_digest *digest) {
  for (size_t i = 0; i < f->step_count; i++)
    if (f->steps[i]->kind == STEP_MANIFEST && ims_digest_equal(&f->steps[i]->digest, digest))
      return true;
  for (size_t i = 0; i < f->count; i++)
    if (ims_digest_equal(&f->found[i].manifest->digest, digest))
      return true;
  return false;
}

int32_t ims_finder_add_manifest(ims_finder *f, const ims_digest *subject, const imgstore_descriptor *descriptor,
                                int32_t how) {
  ims_find_step step = {.kind = STEP_MANIFEST, .how = how, .subject = *subject, .size = descriptor->size};
  if (is_known(f, &descriptor->digest))
    return IMGSTORE_OK;
  step.digest = descriptor->digest;
  snprintf(step.name, sizeof step.name, "%s", descriptor->digest.text);
  return add_step(f, &step);
}

/* --- what was found -------------------------------------------------------------------------------------------------
 */

static int32_t warn(ims_finder *f, const char *format, const char *name, const char *why) {
  char text[IMS_ERROR_MESSAGE + 256];
  snprintf(text, sizeof text, format, name, why);
  return ims_operation_event(f->op, IMGSTORE_EVENT_WARNING, IMGSTORE_OBJECT_NONE, NULL, text, 0, 0);
}

static int32_t keep(ims_finder *f, const ims_find_step *step, imgstore_manifest *manifest) {
  if (f->count >= IMS_FOUND_MAX)
    return ims_fail(&f->op->err, IMGSTORE_ELIMIT, "%s: more than %d attached objects", f->repository, IMS_FOUND_MAX);
  if (f->count == f->capacity) {
    size_t capacity = f->capacity ? f->capacity * 2 : 16;
    ims_found *found = ims_realloc_array(alloc_of(f), f->found, capacity, sizeof *found);
    if (!found)
      return ims_fail_nomem(&f->op->err);
    f->found = found;
    f->capacity = capacity;
  }
  f->found[f->count++] = (ims_found){imgstore_manifest_ref(manifest), step->subject, step->how};
  return IMGSTORE_OK;
}

/* A referrer belongs to the image only when it says so itself. */
static bool belongs(const ims_find_step *step, const imgstore_manifest *m) {
  bool is_referrer = step->how == IMGSTORE_FOUND_REFERRERS || step->how == IMGSTORE_FOUND_TAG;
  return !is_referrer || (m->subject && ims_digest_equal(&m->subject->digest, &step->subject));
}

static bool is_wanted(const ims_finder *f, const char *artifact_type) {
  return !f->artifact_type || ims_media_equal(artifact_type ? artifact_type : "", f->artifact_type);
}

/* Some registries list the type of the config, which says nothing when it is that of no object or of every image. */
static bool tells_nothing(const char *type) {
  return !type || !type[0] || ims_media_equal(type, IMS_MT_OCI_EMPTY) || ims_media_equal(type, IMS_MT_OCI_CONFIG) ||
         ims_media_equal(type, IMS_MT_DOCKER_CONFIG);
}

/* The list tells a type: what cannot be a signature need not be fetched. An unknown one may be anything. */
static bool may_be_wanted(const ims_finder *f, const imgstore_descriptor *d) {
  const char *type = d->artifact_type;
  if (tells_nothing(type))
    return true;
  if (f->flags & IMS_FIND_SIGNATURES)
    return ims_attached_kind(NULL, NULL, type) == IMGSTORE_ATTACHED_SIGNATURE;
  return is_wanted(f, type);
}

static int32_t take_manifest(ims_finder *f, const ims_find_step *step, imgstore_manifest *m) {
  if (is_known(f, &m->digest) && step->kind != STEP_MANIFEST)
    return IMGSTORE_OK;
  if (!belongs(step, m))
    return warn(f, "%s: left out: it is listed as a referrer of %s but is none", m->digest.text, step->subject.text);
  return is_wanted(f, m->artifact_type) ? keep(f, step, m) : IMGSTORE_OK;
}

static int32_t take_list(ims_finder *f, const ims_find_step *step, const imgstore_manifest *m) {
  int32_t rc = IMGSTORE_OK;
  if (m->kind != IMGSTORE_MANIFEST_INDEX)
    return warn(f, "%s: left out: it is no list of referrers%s", step->name[0] ? step->name : step->subject.text, "");
  for (size_t i = 0; i < m->count && !rc; i++)
    if (may_be_wanted(f, &m->entries[i]))
      rc = ims_finder_add_manifest(f, &step->subject, &m->entries[i], step->how);
  return rc;
}

/* Where the next page is; it must be of the same registry. */
static int32_t add_next_page(ims_finder *f, const ims_find_step *step, const ims_document *d) {
  char *link;
  ims_url url;
  ims_find_step next = {.kind = STEP_REFERRERS, .how = step->how, .subject = step->subject, .size = UINT64_MAX};
  int32_t rc = ims_link_next(&link, alloc_of(f), &d->reply, &f->op->err);
  if (rc || !link)
    return rc;
  rc = ims_url_join(&url, alloc_of(f), d->url, link, f->repository, &f->op->err);
  ims_free(alloc_of(f), link);
  if (rc)
    return rc;
  if (!ims_url_same_origin(&url, d->url))
    rc =
        ims_fail(&f->op->err, IMGSTORE_EPROTOCOL, "%s: the link to the next page leads to another host", f->repository);
  else if (strcmp(url.text, d->url->text) == 0 || ++f->pages > IMS_REFERRER_PAGES_MAX)
    rc = ims_fail(&f->op->err, IMGSTORE_EPROTOCOL, "%s: page after page of referrers", f->repository);
  else
    next.url = ims_strdup(alloc_of(f), url.text);
  ims_url_free(alloc_of(f), &url);
  if (!rc && !next.url)
    rc = ims_fail_nomem(&f->op->err);
  if (!rc)
    rc = add_step(f, &next);
  if (rc)
    ims_free(alloc_of(f), next.url);
  return rc;
}

/* --- documents ------------------------------------------------------------------------------------------------------
 */

static bool is_list(const ims_find_step *step) {
  return step->kind == STEP_REFERRERS || step->kind == STEP_LIST_TAG;
}

/* Whether what is wrong with one object is no reason to give up the others. A list that is cut off is one. */
static bool is_passable(const ims_find_step *step, int32_t code) {
  bool of_object = code == IMGSTORE_EDIGEST || code == IMGSTORE_EFORMAT || code == IMGSTORE_EUNSUPPORTED ||
                   code == IMGSTORE_EPROTOCOL;
  return step->kind != STEP_REFERRERS && (of_object || (code == IMGSTORE_ELIMIT && !is_list(step)));
}

static int32_t parse(ims_finder *f, const ims_find_step *step, const ims_document *d, imgstore_manifest **m,
                     ims_error *why) {
  const imgstore_context_options *own = &f->op->core->limits;
  const ims_manifest_limits limits = {own->max_manifest_bytes, IMS_FOUND_MAX};
  *m = NULL;
  if (step->size != UINT64_MAX && step->size != d->size)
    return ims_fail(why, IMGSTORE_EDIGEST, "%zu bytes, not the %llu of its descriptor", d->size,
                    (unsigned long long)step->size);
  return ims_manifest_parse(m, alloc_of(f), d->data, d->size, d->media_type,
                            step->kind == STEP_MANIFEST ? &step->digest : NULL, &limits,
                            step->name[0] ? step->name : f->repository, why);
}

static int32_t take_document(ims_finder *f, ims_find_step *step, const ims_document *d) {
  imgstore_manifest *m;
  ims_error why = IMS_ERROR_INIT;
  int32_t rc = parse(f, step, d, &m, &why);
  if (rc && d->mirror && rc != IMGSTORE_ENOMEM) { /* a mirror's fault is not the registry's */
    ims_client_distrust_mirrors(f->client);
    step->done = false;
    f->next = 0;
    ims_lane_signal(&f->op->lane);
    return IMGSTORE_OK;
  }
  if (rc && !is_passable(step, rc)) {
    f->op->err = why;
    return rc;
  }
  if (rc)
    return warn(f, "%s: left out: %s", step->name, why.message);
  rc = is_list(step) ? take_list(f, step, m) : take_manifest(f, step, m);
  imgstore_manifest_unref(m);
  return rc;
}

static ims_find_step *arrived(void *data) {
  ims_find_step *step = data;
  step->fetch = NULL;
  step->done = true;
  step->finder->busy--;
  ims_lane_signal(&step->finder->op->lane);
  return step;
}

/* A tag that is not there, or a listed manifest that is gone, is nothing that is attached. */
static void on_manifest(void *data, int32_t code, const ims_document *d, const ims_error *err) {
  ims_find_step *step = arrived(data);
  ims_finder *f = step->finder;
  int32_t rc = IMGSTORE_OK;
  if (code == IMGSTORE_ENOTFOUND && step->kind == STEP_MANIFEST)
    rc = warn(f, "%s: left out: %s", step->name, "it is listed but not there");
  else if (code && code != IMGSTORE_ENOTFOUND && is_passable(step, code))
    rc = warn(f, "%s: left out: %s", step->name, err->message);
  else if (code && code != IMGSTORE_ENOTFOUND)
    fail(f, code, err);
  else if (!code)
    rc = take_document(f, step, d);
  if (rc)
    fail(f, rc, NULL);
}

/* What registries without the API answer. */
static bool is_unknown_api(int32_t status) {
  return status == 404 || status == 400 || status == 405 || status == 501;
}

static void on_referrers(void *data, int32_t code, const ims_document *d, const ims_error *err) {
  ims_find_step *step = arrived(data);
  ims_finder *f = step->finder;
  int32_t rc = IMGSTORE_OK;
  if (code && !step->url && is_unknown_api(err->http_status))
    rc = add_tag(f, &step->subject, STEP_LIST_TAG, IMGSTORE_FOUND_TAG, "");
  else if (code)
    fail(f, code, err);
  else if (!(rc = take_document(f, step, d)))
    rc = add_next_page(f, step, d);
  if (rc)
    fail(f, rc, NULL);
}

static void put_escaped(ims_buf *out, const char *text) {
  for (; *text; text++)
    if (ims_is_alnum(*text) || strchr("-._~", *text))
      ims_buf_putc(out, *text);
    else
      ims_buf_printf(out, "%%%02X", (unsigned char)*text);
}

static int32_t request_referrers(ims_finder *f, ims_find_step *step) {
  ims_buf path;
  ims_buf_init(&path, alloc_of(f), 8192);
  ims_buf_printf(&path, "referrers/%s", step->subject.text);
  if (f->artifact_type) {
    ims_buf_puts(&path, "?artifactType=");
    put_escaped(&path, f->artifact_type);
  }
  const ims_request request = {.method = "GET",
                               .repository = f->repository,
                               .path = ims_buf_text(&path),
                               .url = step->url,
                               .object = step->subject.text,
                               .accept = IMS_MT_OCI_INDEX,
                               .most_size = f->op->core->limits.max_manifest_bytes};
  int32_t rc = path.failed ? ims_fail(&f->op->err, path.failed, "the artifact type is too long")
                           : ims_request_start(f->client, &request, on_referrers, step, &step->fetch, &f->op->err);
  ims_buf_free(&path);
  return rc;
}

static int32_t start_step(ims_finder *f, ims_find_step *step) {
  int32_t rc = step->kind == STEP_REFERRERS ? request_referrers(f, step)
                                            : ims_fetch_manifest(f->client, f->repository, step->name, false,
                                                                 f->op->core->limits.max_manifest_bytes, on_manifest,
                                                                 step, &step->fetch, &f->op->err);
  if (!rc)
    f->busy++;
  return rc;
}

int32_t ims_finder_advance(ims_finder *f) {
  if (f->failed)
    return f->failed;
  for (; f->next < f->step_count && f->busy < BUSY_MAX; f->next++) {
    ims_find_step *step = f->steps[f->next];
    if (step->done || step->fetch)
      continue;
    int32_t rc = start_step(f, step);
    if (rc)
      return rc;
  }
  return f->busy || f->next < f->step_count ? IMGSTORE_EAGAIN : IMGSTORE_OK;
}

void ims_finder_free(ims_finder *f) {
  for (size_t i = 0; i < f->step_count; i++) {
    if (f->steps[i]->fetch)
      ims_fetch_cancel(f->steps[i]->fetch);
    ims_free(alloc_of(f), f->steps[i]->url);
    ims_free(alloc_of(f), f->steps[i]);
  }
  for (size_t i = 0; i < f->count; i++)
    imgstore_manifest_unref(f->found[i].manifest);
  if (f->op) {
    ims_free(alloc_of(f), f->steps);
    ims_free(alloc_of(f), f->found);
  }
  memset(f, 0, sizeof *f);
}
