/*
 * engine/resolve_name.c (L4) - follows a name through indexes to one manifest. Knows nothing of stores.
 */
#include "engine/resolve_name.h"

#include <string.h>

static int32_t request(ims_resolver *r);

static int32_t descend(ims_resolver *r, const imgstore_manifest *m) {
  char wanted[IMS_PLATFORM_TEXT], have[512];
  if (r->top_only || m->kind != IMGSTORE_MANIFEST_INDEX) {
    r->done = true;
    return IMGSTORE_OK;
  }
  const imgstore_descriptor *child = ims_manifest_choose(m, &r->platform);
  if (child) {
    r->wanted = child->digest;
    r->wanted_size = child->size;
    return request(r);
  }
  ims_platform_text(&r->platform, wanted);
  ims_manifest_platforms(m, have, sizeof have);
  return ims_fail(&r->op->err, IMGSTORE_ENOTFOUND, "%s: no image for platform %s; there are: %s", r->reference->name,
                  wanted, have);
}

static int32_t parse(const ims_resolver *r, const ims_document *d, imgstore_manifest **m, ims_error *why) {
  const imgstore_context_options *own = &r->op->core->limits;
  const ims_manifest_limits limits = {own->max_manifest_bytes, own->max_layers};
  const ims_digest *expected = r->wanted.algorithm ? &r->wanted : d->digest.algorithm ? &d->digest : NULL;
  if (r->wanted_size != UINT64_MAX && r->wanted_size != d->size)
    return ims_fail(why, IMGSTORE_EDIGEST, "%s: has %zu bytes, not the %llu that its descriptor says", r->wanted.text,
                    d->size, (unsigned long long)r->wanted_size);
  return ims_manifest_parse(m, &r->op->core->alloc, d->data, d->size, d->media_type, expected, &limits,
                            r->reference->name, why);
}

static void on_manifest(void *data, int32_t code, const ims_document *d, const ims_error *err) {
  ims_resolver *r = data;
  imgstore_manifest *m = NULL;
  ims_error why = IMS_ERROR_INIT;
  r->fetch = NULL;
  ims_lane_signal(&r->op->lane);
  int32_t rc = code ? code : parse(r, d, &m, &why);
  if (rc && !code && d->mirror && rc != IMGSTORE_ENOMEM) {
    ims_client_distrust_mirrors(r->client);
    rc = request(r);
  } else if (rc) {
    r->op->err = code ? *err : why;
  } else if (r->count == IMS_RESOLVE_DEPTH || r->count > r->op->core->limits.max_index_depth) {
    imgstore_manifest_unref(m);
    rc = ims_fail(&r->op->err, IMGSTORE_ELIMIT, "%s: indexes are nested too deeply", r->reference->name);
  } else {
    r->chain[r->count++] = m;
    rc = descend(r, m);
  }
  r->failed = rc;
}

static int32_t request(ims_resolver *r) {
  const char *name = r->wanted.algorithm ? r->wanted.text : r->reference->tag;
  return ims_fetch_manifest(r->client, r->reference->repository, name, false, r->op->core->limits.max_manifest_bytes,
                            on_manifest, r, &r->fetch, &r->op->err);
}

int32_t ims_resolver_start(ims_resolver *r, imgstore_operation *op, ims_client *client,
                           const imgstore_reference *reference, const char *platform, bool top_only) {
  r->op = op;
  r->client = client;
  r->reference = reference;
  r->top_only = top_only;
  r->wanted = reference->digest;
  r->wanted_size = UINT64_MAX;
  int32_t rc = ims_platform_parse(&r->platform, platform, &op->err);
  return rc ? rc : request(r);
}

int32_t ims_resolver_advance(ims_resolver *r) {
  return r->failed ? r->failed : r->done ? IMGSTORE_OK : IMGSTORE_EAGAIN;
}

const imgstore_manifest *ims_resolver_leaf(const ims_resolver *r) {
  return r->chain[r->count - 1];
}

void ims_resolver_free(ims_resolver *r) {
  if (r->fetch)
    ims_fetch_cancel(r->fetch);
  for (size_t i = 0; i < r->count; i++)
    imgstore_manifest_unref(r->chain[i]);
  memset(r, 0, sizeof *r);
}
