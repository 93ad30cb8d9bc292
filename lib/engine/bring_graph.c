/*
 * engine/bring_graph.c (L4) - manifests, indexes and configs of what is brought in: from the store when they are there,
 * else from the source; every one verified before it is looked into.
 */
#include <string.h>

#include "engine/bring.h"
#include "oci/mediatype.h"

enum { MAX_BUSY_NODES = 8, MAX_NODES = 16384, MAX_TRANSFERS = 16384 };

static const ims_alloc *alloc_of(const bring *b) {
  return &b->op.core->alloc;
}

/* The name of a node in messages. */
static const char *node_name(const bring_node *n) {
  if (n->digest.algorithm && n->parent)
    return n->digest.text;
  return n->job->reference ? n->job->reference->name : n->digest.text;
}

/* Makes room for one more pointer in an array. */
static int32_t grow(bring *b, void *array_of_pointers, size_t count, size_t *capacity, size_t limit, const char *what) {
  void **array = array_of_pointers;
  void *grown;
  if (count < *capacity)
    return IMGSTORE_OK;
  if (count >= limit)
    return ims_fail(&b->op.err, IMGSTORE_ELIMIT, "%s: more than %zu %s", b->reference ? b->reference->name : "source",
                    limit, what);
  size_t more = *capacity ? *capacity * 2 : 16;
  memcpy(&grown, array, sizeof grown);
  grown = ims_realloc_array(alloc_of(b), grown, more, sizeof(void *));
  if (!grown)
    return ims_fail_nomem(&b->op.err);
  memcpy(array, &grown, sizeof grown);
  *capacity = more;
  return IMGSTORE_OK;
}

static bring_node *find_node(const bring *b, const ims_digest *digest) {
  for (size_t i = 0; i < b->node_count; i++)
    if (ims_digest_equal(&b->nodes[i]->digest, digest))
      return b->nodes[i];
  return NULL;
}

int32_t bring_add_node(bring *b, bring_node *parent, const imgstore_descriptor *descriptor, bring_node **out) {
  if (descriptor) {
    bring_node *known = find_node(b, &descriptor->digest);
    if (known) { /* two roots or two indexes share it; a digest cannot contain itself */
      if (out)
        *out = known;
      return IMGSTORE_OK;
    }
  }
  if (parent && parent->depth + 1 > b->op.core->limits.max_index_depth)
    return ims_fail(&b->op.err, IMGSTORE_ELIMIT, "%s: indexes are nested too deeply", node_name(parent));
  int32_t rc = grow(b, &b->nodes, b->node_count, &b->node_capacity, MAX_NODES, "manifests");
  if (rc)
    return rc;
  bring_node *n = ims_calloc(alloc_of(b), 1, sizeof *n);
  if (!n)
    return ims_fail_nomem(&b->op.err);
  n->job = b;
  n->parent = parent;
  n->depth = parent ? parent->depth + 1 : 0;
  n->size = UINT64_MAX;
  n->state = NODE_HEAD;
  if (descriptor) {
    n->digest = n->hinted = descriptor->digest;
    n->size = descriptor->size;
    strncpy(n->media_type, descriptor->media_type, sizeof n->media_type - 1);
    n->state = NODE_NEW;
  }
  b->nodes[b->node_count++] = n;
  if (out)
    *out = n;
  return IMGSTORE_OK;
}

ims_transfer *bring_find_transfer(const bring *b, const ims_digest *digest) {
  for (size_t i = 0; i < b->transfer_count; i++)
    if (ims_digest_equal(&b->transfers[i]->digest, digest))
      return b->transfers[i];
  return NULL;
}

static int32_t add_transfer(bring *b, const imgstore_descriptor *descriptor, int32_t object) {
  ims_transfer *known = bring_find_transfer(b, &descriptor->digest);
  if (known && known->size != descriptor->size)
    return ims_fail(&b->op.err, IMGSTORE_EFORMAT, "blob %s: is listed with two sizes", descriptor->digest.text);
  if (known)
    return IMGSTORE_OK;
  int32_t rc = grow(b, &b->transfers, b->transfer_count, &b->transfer_capacity, MAX_TRANSFERS, "blobs");
  if (rc)
    return rc;
  ims_transfer *t = ims_calloc(alloc_of(b), 1, sizeof *t);
  if (!t)
    return ims_fail_nomem(&b->op.err);
  const ims_transfer_setup setup = {
      &b->op, b->store, &b->lease, b->client, b->reference ? b->reference->repository : NULL, b->source};
  ims_transfer_init(t, &setup, descriptor, object);
  b->transfers[b->transfer_count++] = t;
  return ims_operation_event(&b->op, IMGSTORE_EVENT_WAITING, object, descriptor->digest.text, NULL, 0,
                             descriptor->size);
}

/* --- what a manifest or index leads to
 * ---------------------------------------------------------------------------------- */

static int32_t no_platform(bring_node *n) {
  char wanted[IMS_PLATFORM_TEXT], have[512];
  ims_platform_text(&n->job->platform, wanted);
  ims_manifest_platforms(n->manifest, have, sizeof have);
  return ims_fail(&n->job->op.err, IMGSTORE_ENOTFOUND, "%s: no image for platform %s; there are: %s", node_name(n),
                  wanted, have);
}

static bool is_in_source(bring *b, const ims_digest *digest) {
  ims_blob blob;
  ims_error ignored = IMS_ERROR_INIT;
  if (ims_blob_open(&blob, b->source, digest, &ignored))
    return false;
  ims_blob_close(&blob);
  return true;
}

static int32_t expand_index(bring_node *n) {
  bring *b = n->job;
  if (!b->all_platforms) {
    const imgstore_descriptor *child = ims_manifest_choose(n->manifest, &b->platform);
    return child ? bring_add_node(b, n, child, NULL) : no_platform(n);
  }
  size_t left_out = 0;
  for (size_t i = 0; i < n->manifest->count; i++) {
    const imgstore_descriptor *child = &n->manifest->entries[i];
    if (b->sparse && !is_in_source(b, &child->digest)) {
      left_out++;
      continue;
    }
    int32_t rc = bring_add_node(b, n, child, NULL);
    if (rc)
      return rc;
  }
  if (left_out && left_out == n->manifest->count)
    return ims_fail(&b->op.err, IMGSTORE_ENOTFOUND, "index %s: none of its images is in the source", n->digest.text);
  return IMGSTORE_OK;
}

/* The config is asked for first: what it says may end the job early. */
static int32_t add_config(bring_node *n) {
  bring *b = n->job;
  const imgstore_descriptor *config = n->manifest->config;
  uint64_t max_size = b->op.core->limits.max_config_bytes;
  if (!config)
    return IMGSTORE_OK;
  if (n->manifest->kind == IMGSTORE_MANIFEST_IMAGE && config->size > max_size)
    return ims_fail(&b->op.err, IMGSTORE_ELIMIT, "%s: config is larger than %llu bytes", node_name(n),
                    (unsigned long long)max_size);
  if (config->data) /* it may be in the store already, without a name: nobody may collect it from now on */
    return ims_lease_add(&b->lease, &config->digest, &b->op.err);
  return add_transfer(b, config, IMGSTORE_OBJECT_CONFIG);
}

static int32_t expand_manifest(bring_node *n) {
  int32_t rc = add_config(n);
  for (size_t i = 0; !rc && i < n->manifest->count; i++)
    rc = add_transfer(n->job, &n->manifest->entries[i], IMGSTORE_OBJECT_LAYER);
  return rc;
}

static int32_t announce(bring_node *n) {
  bring *b = n->job;
  if (n->parent || !b->reference)
    return IMGSTORE_OK;
  return ims_operation_event(&b->op, IMGSTORE_EVENT_RESOLVED,
                             n->manifest->kind == IMGSTORE_MANIFEST_INDEX ? IMGSTORE_OBJECT_INDEX
                                                                          : IMGSTORE_OBJECT_MANIFEST,
                             n->digest.text, b->reference->name, n->size, n->size);
}

/* The bytes of a manifest are there. expected: what they must hash to, or NULL. */
static int32_t take_manifest(bring_node *n, const char *data, size_t size, const char *media_type,
                             const ims_digest *expected) {
  bring *b = n->job;
  const imgstore_context_options *own = &b->op.core->limits;
  const ims_manifest_limits limits = {own->max_manifest_bytes, own->max_layers};
  if (n->size != UINT64_MAX && n->digest.algorithm && n->size != size)
    return ims_fail(&b->op.err, IMGSTORE_EDIGEST, "%s: has %zu bytes, not the %llu that its descriptor says",
                    node_name(n), size, (unsigned long long)n->size);
  int32_t rc = ims_manifest_parse(&n->manifest, alloc_of(b), data, size, media_type, expected, &limits, node_name(n),
                                  &b->op.err);
  if (!rc && n->media_type[0] && !ims_media_equal(n->media_type, n->manifest->media_type))
    rc = ims_fail(&b->op.err, IMGSTORE_EFORMAT, "%s: is a %s, but its descriptor says %s", node_name(n),
                  n->manifest->media_type, n->media_type);
  if (rc)
    return rc;
  n->digest = n->manifest->digest;
  n->size = size;
  strncpy(n->media_type, n->manifest->media_type, sizeof n->media_type - 1);
  rc = ims_lease_add(&b->lease, &n->digest, &b->op.err);
  if (!rc)
    rc = announce(n);
  if (rc)
    return rc;
  if (n->manifest->kind == IMGSTORE_MANIFEST_INDEX) {
    n->state = NODE_DONE;
    return expand_index(n);
  }
  n->state = n->manifest->kind == IMGSTORE_MANIFEST_IMAGE ? NODE_CONFIG : NODE_DONE;
  return expand_manifest(n);
}

static int32_t check_platform(bring_node *n) {
  bring *b = n->job;
  ims_platform have;
  ims_config_platform(n->config, &have);
  if (b->all_platforms || n->parent || !have.os[0] || ims_platform_score(&b->platform, &have))
    return IMGSTORE_OK;
  char wanted[IMS_PLATFORM_TEXT], text[IMS_PLATFORM_TEXT];
  ims_platform_text(&b->platform, wanted);
  ims_platform_text(&have, text);
  if (b->platform_required)
    return ims_fail(&b->op.err, IMGSTORE_ENOTFOUND, "%s: no image for platform %s; there are: %s", node_name(n), wanted,
                    text);
  char warning[256];
  ims_buf buf;
  ims_buf_init(&buf, alloc_of(b), sizeof warning);
  ims_buf_printf(&buf, "the image is for %s, this machine is %s", text, wanted);
  int32_t rc =
      ims_operation_event(&b->op, IMGSTORE_EVENT_WARNING, IMGSTORE_OBJECT_NONE, NULL, ims_buf_text(&buf), 0, 0);
  ims_buf_free(&buf);
  return rc;
}

static int32_t take_config(bring_node *n, const char *data, size_t size) {
  bring *b = n->job;
  int32_t rc = ims_config_parse(&n->config, alloc_of(b), data, size, &n->manifest->config->digest, n->manifest->count,
                                &b->op.err);
  if (rc)
    return ims_error_prefix(&b->op.err, "%s", node_name(n));
  n->state = NODE_DONE;
  return check_platform(n);
}

/* --- fetching
 * ------------------------------------------------------------------------------------------------------------ */

/* Ends the busy time of a node, whatever came of it. */
static bring_node *fetched(void *data) {
  bring_node *n = data;
  n->fetch = NULL;
  n->job->nodes_busy--;
  return n;
}

static void fail_job(bring *b, int32_t code, const ims_error *err) {
  if (b->failed)
    return;
  b->failed = code;
  if (err)
    b->op.err = *err;
}

static void take_document(bring_node *n, const ims_document *document) {
  bring *b = n->job;
  const ims_digest *expected = n->digest.algorithm ? &n->digest : document->digest.algorithm ? &document->digest : NULL;
  int32_t rc = take_manifest(n, document->data, document->size, document->media_type, expected);
  if (rc && document->mirror && !n->manifest && rc != IMGSTORE_ENOMEM) { /* a mirror's fault is not the image's */
    ims_client_distrust_mirrors(b->client);
    ims_error_clear(&b->op.err);
    n->state = NODE_NEW;
    ims_lane_signal(&b->op.lane);
  } else if (rc) {
    fail_job(b, rc, NULL);
  }
}

static void manifest_fetched(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  bring_node *n = fetched(data);
  if (code)
    fail_job(n->job, code, err);
  else
    take_document(n, document);
}

/* A HEAD only tells where to look first; whatever it failed with, the GET decides. */
static void head_fetched(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  bring_node *n = fetched(data);
  n->state = NODE_NEW;
  if (code == IMGSTORE_ENOTFOUND || code == IMGSTORE_EUNAUTHORIZED || code == IMGSTORE_ENETWORK ||
      code == IMGSTORE_ETLS || code == IMGSTORE_ETIMEOUT || code == IMGSTORE_ENOMEM || code == IMGSTORE_ETOOMANY)
    fail_job(n->job, code, err);
  else if (!code && document->data) /* the registry knows no HEAD: this is the GET */
    take_document(n, document);
  else if (!code && document->digest.algorithm)
    n->hinted = document->digest;
}

static int32_t start_fetch(bring_node *n, int state, int32_t rc) {
  if (rc)
    return rc;
  n->state = state;
  n->job->nodes_busy++;
  return IMGSTORE_OK;
}

static int32_t request_head(bring_node *n) {
  bring *b = n->job;
  return start_fetch(n, NODE_FETCHING,
                     ims_fetch_manifest(b->client, b->reference->repository, b->reference->tag, true,
                                        b->op.core->limits.max_manifest_bytes, head_fetched, n, &n->fetch, &b->op.err));
}

/* Looks for a blob in the store; *found when it is there and right. */
static int32_t load_stored(bring *b, const ims_digest *digest, uint64_t max_size, ims_buf *bytes, bool *found) {
  *found = false;
  if (!digest->algorithm)
    return IMGSTORE_OK;
  int32_t rc =
      ims_lease_add(&b->lease, digest, &b->op.err); /* before the look: the collector respects it from now on */
  if (!rc)
    rc = ims_blob_check(b->store, digest, UINT64_MAX, found, &b->op.err);
  if (!rc && *found)
    rc = ims_blob_load(b->store, digest, max_size, bytes, &b->op.err);
  return rc;
}

static int32_t load_from_source(bring *b, const ims_digest *digest, uint64_t max_size, ims_buf *bytes) {
  int32_t rc = ims_blob_load(b->source, digest, max_size, bytes, &b->op.err);
  return rc ? ims_fail(&b->op.err, rc, "blob %s: not in the source", digest->text) : IMGSTORE_OK;
}

static int32_t request_manifest(bring_node *n) {
  bring *b = n->job;
  uint64_t max_size = b->op.core->limits.max_manifest_bytes;
  ims_buf bytes;
  if (n->parent == NULL && n->size != UINT64_MAX && n->size > max_size)
    return ims_fail(&b->op.err, IMGSTORE_ELIMIT, "%s: manifest is larger than %llu bytes", node_name(n),
                    (unsigned long long)max_size);
  ims_buf_init(&bytes, alloc_of(b), (size_t)max_size);
  bool found;
  int32_t rc = load_stored(b, &n->hinted, max_size, &bytes, &found);
  n->stored = found;
  if (!rc && !found && b->source) {
    rc = load_from_source(b, &n->digest, max_size, &bytes);
    found = true;
  }
  if (!rc && found) {
    rc = take_manifest(n, ims_buf_text(&bytes), bytes.size, n->media_type, &n->hinted);
  } else if (!rc) {
    const char *name = n->digest.algorithm ? n->digest.text : b->reference->tag;
    rc = start_fetch(n, NODE_FETCHING,
                     ims_fetch_manifest(b->client, b->reference->repository, name, false, max_size, manifest_fetched, n,
                                        &n->fetch, &b->op.err));
  }
  ims_buf_free(&bytes);
  return rc;
}

/* Waits for the config's transfer, then reads it back from the store: small, verified, and fetched by one process only.
 */
static int32_t await_config(bring_node *n) {
  bring *b = n->job;
  const imgstore_descriptor *config = n->manifest->config;
  ims_buf bytes;
  if (config->data)
    return take_config(n, (const char *)config->data, (size_t)config->size);
  const ims_transfer *t = bring_find_transfer(b, &config->digest);
  if (!t || !ims_transfer_is_finished(t))
    return IMGSTORE_OK;
  ims_buf_init(&bytes, alloc_of(b), (size_t)b->op.core->limits.max_config_bytes);
  int32_t rc = ims_blob_load(b->store, &config->digest, b->op.core->limits.max_config_bytes, &bytes, &b->op.err);
  if (!rc)
    rc = take_config(n, ims_buf_text(&bytes), bytes.size);
  ims_buf_free(&bytes);
  return rc;
}

int32_t bring_advance_graph(bring *b) {
  bool all = true;
  for (size_t i = 0; i < b->node_count && b->nodes_busy < MAX_BUSY_NODES; i++) { /* nodes are added while it runs */
    bring_node *n = b->nodes[i];
    int32_t rc = IMGSTORE_OK;
    if (n->state == NODE_HEAD)
      rc = request_head(n);
    else if (n->state == NODE_NEW)
      rc = request_manifest(n);
    if (!rc && n->state == NODE_CONFIG)
      rc = await_config(n);
    if (rc)
      return rc;
    all = all && n->state == NODE_DONE;
  }
  return all && !b->nodes_busy ? IMGSTORE_OK : IMGSTORE_EAGAIN;
}

bring_node *bring_leaf(const bring *b, const bring_node *top) {
  const imgstore_descriptor *child;
  bring_node *n = (bring_node *)top;
  while (n && n->manifest && n->manifest->kind == IMGSTORE_MANIFEST_INDEX) {
    child = ims_manifest_choose(n->manifest, &b->platform);
    n = child ? find_node(b, &child->digest) : NULL;
  }
  return n;
}

bring_node *bring_chosen(const bring *b, const bring_node *top) {
  bring_node *n = bring_leaf(b, top);
  return n && n->manifest && n->manifest->kind == IMGSTORE_MANIFEST_IMAGE ? n : NULL;
}

size_t bring_subjects(const bring *b, ims_digest *subjects, size_t most) {
  size_t count = 0;
  const bring_node *n = b->roots[0].top;
  for (;;) {
    if (!n || !n->manifest)
      return 0;
    if (count < most)
      subjects[count++] = n->digest;
    if (b->all_platforms || n->manifest->kind != IMGSTORE_MANIFEST_INDEX)
      return count;
    const imgstore_descriptor *child = ims_manifest_choose(n->manifest, &b->platform);
    n = child ? find_node(b, &child->digest) : NULL;
  }
}

void bring_free_graph(bring *b) {
  for (size_t i = 0; i < b->node_count; i++) {
    imgstore_manifest_unref(b->nodes[i]->manifest);
    ims_config_free(b->nodes[i]->config);
    ims_free(alloc_of(b), b->nodes[i]);
  }
  ims_free(alloc_of(b), b->nodes);
  for (size_t i = 0; i < b->transfer_count; i++)
    ims_free(alloc_of(b), b->transfers[i]);
  ims_free(alloc_of(b), b->transfers);
  for (size_t i = 0; i < b->root_count; i++)
    ims_free(alloc_of(b), b->roots[i].name);
  ims_free(alloc_of(b), b->roots);
}
