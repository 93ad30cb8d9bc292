/*
 * engine/publish_graph.c (L4) - the manifests of what is published: read from the source, verified, expanded into
 * blobs, and sent when everything they refer to is there.
 */
#include <string.h>

#include "engine/publish.h"
#include "oci/mediatype.h"

enum { MAX_BUSY = 8, MAX_NODES = 16384 };

static const ims_alloc *alloc_of(const publish *p) {
  return &p->op.core->alloc;
}

static const char *node_name(const publish_node *n) {
  return n->parent ? n->digest.text : n->job->name;
}

static publish_node *find_node(const publish *p, const ims_digest *digest) {
  for (size_t i = 0; i < p->node_count; i++)
    if (ims_digest_equal(&p->nodes[i]->digest, digest))
      return p->nodes[i];
  return NULL;
}

int32_t publish_add_node(publish *p, const publish_node *parent, const imgstore_descriptor *descriptor,
                         publish_node **node) {
  publish_node *known = descriptor ? find_node(p, &descriptor->digest) : NULL;
  if (known) {
    *node = known;
    return IMGSTORE_OK;
  }
  if (parent && parent->depth + 1 > p->op.core->limits.max_index_depth)
    return ims_fail(&p->op.err, IMGSTORE_ELIMIT, "%s: indexes are nested too deeply", p->name);
  int32_t rc = publish_grow(p, &p->nodes, p->node_count, &p->node_capacity, MAX_NODES, "manifests");
  if (rc)
    return rc;
  publish_node *n = ims_calloc(alloc_of(p), 1, sizeof *n);
  if (!n)
    return ims_fail_nomem(&p->op.err);
  n->job = p;
  n->parent = parent;
  n->depth = parent ? parent->depth + 1 : 0;
  n->size = UINT64_MAX;
  if (descriptor) {
    n->digest = descriptor->digest;
    n->size = descriptor->size;
    strncpy(n->media_type, descriptor->media_type, sizeof n->media_type - 1);
  }
  p->nodes[p->node_count++] = n;
  *node = n;
  return IMGSTORE_OK;
}

/* --- getting to know them --------------------------------------------------------------------------------------------
 */

/* One image of an index: it takes the place of the index. */
static int32_t choose(publish_node *n) {
  publish *p = n->job;
  char wanted[IMS_PLATFORM_TEXT], have[512];
  const imgstore_descriptor *child = ims_manifest_choose(n->manifest, &p->platform);
  if (!child) {
    ims_platform_text(&p->platform, wanted);
    ims_manifest_platforms(n->manifest, have, sizeof have);
    return ims_fail(&p->op.err, IMGSTORE_ENOTFOUND, "%s: no image for platform %s; there are: %s", node_name(n), wanted,
                    have);
  }
  publish_node *chosen;
  unsigned depth = n->depth + 1;
  if (depth > p->op.core->limits.max_index_depth)
    return ims_fail(&p->op.err, IMGSTORE_ELIMIT, "%s: indexes are nested too deeply", p->name);
  int32_t rc = publish_add_node(p, NULL, child, &chosen);
  if (rc)
    return rc;
  chosen->depth = depth;
  n->state = PUBLISH_DONE;
  p->root = chosen;
  return IMGSTORE_OK;
}

static int32_t expand_index(publish_node *n) {
  publish *p = n->job;
  if (!p->all_platforms)
    return choose(n);
  n->children = ims_calloc(alloc_of(p), n->manifest->count ? n->manifest->count : 1, sizeof(publish_node *));
  if (!n->children)
    return ims_fail_nomem(&p->op.err);
  for (size_t i = 0; i < n->manifest->count; i++) {
    int32_t rc = publish_add_node(p, n, &n->manifest->entries[i], &n->children[i]);
    if (rc)
      return rc;
    n->child_count++;
  }
  n->state = PUBLISH_KNOWN;
  return IMGSTORE_OK;
}

static int32_t expand_manifest(publish_node *n) {
  const imgstore_manifest *m = n->manifest;
  int32_t rc = m->config ? publish_add_blob(n->job, m->config, IMGSTORE_OBJECT_CONFIG) : IMGSTORE_OK;
  for (size_t i = 0; !rc && i < m->count; i++)
    rc = publish_add_blob(n->job, &m->entries[i], IMGSTORE_OBJECT_LAYER);
  n->state = PUBLISH_KNOWN;
  return rc;
}

static int32_t announce(const publish_node *n) {
  int32_t object = n->manifest->kind == IMGSTORE_MANIFEST_INDEX ? IMGSTORE_OBJECT_INDEX : IMGSTORE_OBJECT_MANIFEST;
  if (n->job->nodes[0] != n)
    return IMGSTORE_OK;
  return ims_operation_event(&n->job->op, IMGSTORE_EVENT_RESOLVED, object, n->digest.text, n->job->name, n->size,
                             n->size);
}

static int32_t take_manifest(publish_node *n, const char *data, size_t size, const char *media_type,
                             const ims_digest *expected) {
  publish *p = n->job;
  const imgstore_context_options *own = &p->op.core->limits;
  const ims_manifest_limits limits = {own->max_manifest_bytes, own->max_layers};
  if (n->size != UINT64_MAX && n->size != size)
    return ims_fail(&p->op.err, IMGSTORE_EDIGEST, "%s: has %zu bytes, not the %llu that its descriptor says",
                    node_name(n), size, (unsigned long long)n->size);
  int32_t rc = ims_manifest_parse(&n->manifest, alloc_of(p), data, size, media_type, expected, &limits, node_name(n),
                                  &p->op.err);
  if (!rc && n->media_type[0] && !ims_media_equal(n->media_type, n->manifest->media_type))
    rc = ims_fail(&p->op.err, IMGSTORE_EFORMAT, "%s: is a %s, but its descriptor says %s", node_name(n),
                  n->manifest->media_type, n->media_type);
  if (rc)
    return rc;
  n->digest = n->manifest->digest;
  n->size = size;
  rc = announce(n);
  if (rc)
    return rc;
  return n->manifest->kind == IMGSTORE_MANIFEST_INDEX ? expand_index(n) : expand_manifest(n);
}

/* Ends the busy time of a node, whatever came of it. */
static publish_node *answered(void *data) {
  publish_node *n = data;
  n->fetch = NULL;
  n->job->nodes_busy--;
  return n;
}

static void manifest_fetched(void *data, int32_t code, const ims_document *d, const ims_error *err) {
  publish_node *n = answered(data);
  publish *p = n->job;
  if (code) {
    publish_fail(p, code, err);
    return;
  }
  const ims_digest *expected = n->digest.algorithm ? &n->digest : d->digest.algorithm ? &d->digest : NULL;
  int32_t rc = take_manifest(n, d->data, d->size, d->media_type, expected);
  if (rc && d->mirror && !n->manifest && rc != IMGSTORE_ENOMEM) { /* a mirror's fault is not the image's */
    ims_client_distrust_mirrors(p->source);
    ims_error_clear(&p->op.err);
    n->state = PUBLISH_NEW;
  } else if (rc) {
    publish_fail(p, rc, NULL);
  }
  ims_lane_signal(&p->op.lane);
}

static int32_t load_stored(publish_node *n) {
  publish *p = n->job;
  ims_buf bytes;
  ims_buf_init(&bytes, alloc_of(p), SIZE_MAX - 1);
  int32_t rc = ims_lease_add(&p->lease, &n->digest, &p->op.err);
  if (!rc)
    rc = ims_blob_load(p->store, &n->digest, p->op.core->limits.max_manifest_bytes, &bytes, &p->op.err);
  if (rc == IMGSTORE_ENOTFOUND && n->parent) {
    ims_error_clear(&p->op.err);
    rc = ims_fail(&p->op.err, rc, "%s: manifest %s of its index is not in the store", p->name, n->digest.text);
  }
  if (!rc)
    rc = take_manifest(n, ims_buf_text(&bytes), bytes.size, n->media_type, &n->digest);
  ims_buf_free(&bytes);
  return rc;
}

static int32_t request(publish_node *n) {
  publish *p = n->job;
  uint64_t max_size = p->op.core->limits.max_manifest_bytes;
  if (p->store)
    return load_stored(n);
  const char *reference = n->digest.algorithm ? n->digest.text : p->from->tag;
  int32_t rc = ims_fetch_manifest(p->source, p->from->repository, reference, false, max_size, manifest_fetched, n,
                                  &n->fetch, &p->op.err);
  if (rc)
    return rc;
  n->state = PUBLISH_ASKED;
  p->nodes_busy++;
  return IMGSTORE_OK;
}

int32_t publish_advance_graph(publish *p) {
  bool all = true;
  for (size_t i = 0; i < p->node_count && p->nodes_busy < MAX_BUSY; i++) { /* nodes are added while it runs */
    int32_t rc = p->nodes[i]->state == PUBLISH_NEW ? request(p->nodes[i]) : IMGSTORE_OK;
    if (rc)
      return rc;
    all = all && p->nodes[i]->state >= PUBLISH_KNOWN;
  }
  return all && !p->nodes_busy ? IMGSTORE_OK : IMGSTORE_EAGAIN;
}

/* --- sending them ----------------------------------------------------------------------------------------------------
 */

static int32_t finished(publish_node *n, bool present) {
  publish *p = n->job;
  n->state = PUBLISH_DONE;
  ims_lane_signal(&p->op.lane);
  return publish_report(p, present ? IMGSTORE_REPORT_PRESENT : IMGSTORE_REPORT_SENT, "", n->digest.text,
                        n->manifest->media_type, n->size);
}

static void manifest_sent(void *data, int32_t code, const ims_document *d, const ims_error *err) {
  publish_node *n = answered(data);
  (void)d;
  if (code)
    publish_fail(n->job, code, err);
  else if ((code = finished(n, false)))
    publish_fail(n->job, code, NULL);
}

/* Of a dry run: is it there? */
static void manifest_looked(void *data, int32_t code, const ims_document *d, const ims_error *err) {
  publish_node *n = answered(data);
  (void)d;
  if (code && code != IMGSTORE_ENOTFOUND)
    publish_fail(n->job, code, err);
  else if ((code = finished(n, !code)))
    publish_fail(n->job, code, NULL);
}

static bool is_ready(const publish_node *n) {
  if (n->state != PUBLISH_KNOWN)
    return false;
  for (size_t i = 0; i < n->child_count; i++)
    if (n->children[i]->state != PUBLISH_DONE)
      return false;
  return true;
}

static int32_t send_manifest(publish_node *n) {
  publish *p = n->job;
  if (p->plan || p->archive)
    return finished(n, p->plan && publish_has(p->plan, &n->digest));
  if (p->dry_run && n == p->root)
    return finished(n, ims_digest_equal(&p->there, &n->digest));
  const char *name = n == p->root && p->to->tag ? p->to->tag : n->digest.text;
  n->state = PUBLISH_SENT;
  n->push = (ims_manifest_push){p->to->repository, name,     n->manifest->media_type, n->manifest->data,
                                n->manifest->size, n->digest};
  int32_t rc =
      p->dry_run ? ims_fetch_manifest(p->client, p->to->repository, n->digest.text, true,
                                      p->op.core->limits.max_manifest_bytes, manifest_looked, n, &n->fetch, &p->op.err)
                 : ims_push_manifest(p->client, &n->push, manifest_sent, n, &n->fetch, &p->op.err);
  if (!rc)
    p->nodes_busy++;
  return rc;
}

int32_t publish_advance_manifests(publish *p) {
  bool all = true;
  for (size_t i = p->node_count; i-- > 0 && p->nodes_busy < MAX_BUSY;) {
    publish_node *n = p->nodes[i];
    int32_t rc = is_ready(n) ? send_manifest(n) : IMGSTORE_OK;
    if (rc)
      return rc;
    all = all && n->state == PUBLISH_DONE;
  }
  return all && !p->nodes_busy ? IMGSTORE_OK : IMGSTORE_EAGAIN;
}

void publish_free_graph(publish *p) {
  for (size_t i = 0; i < p->node_count; i++) {
    imgstore_manifest_unref(p->nodes[i]->manifest);
    ims_free(alloc_of(p), p->nodes[i]->children);
    ims_free(alloc_of(p), p->nodes[i]);
  }
  ims_free(alloc_of(p), p->nodes);
}
