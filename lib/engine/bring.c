/*
 * engine/bring.c (L4) - the job behind pull and load: its stages, its transfers, the unpacker that follows them.
 */
#include "engine/bring.h"

#include <string.h>

#include "engine/archive_store.h"
#include "engine/image.h"
#include "engine/layers.h"

enum { MAX_ACTIVE = 6, MAX_ROOTS = 4096 };

static bring *bring_of(imgstore_operation *op) {
  return (bring *)op;
}

/* --- transfers and unpacking
 * ---------------------------------------------------------------------------------------------- */

/* The descriptor of the next layer to unpack, or NULL. *chosen: the image. */
static const imgstore_descriptor *next_layer(bring *b, bring_node **chosen) {
  *chosen = b->unpacker && b->root_count ? bring_chosen(b, b->roots[0].top) : NULL;
  if (!*chosen || ims_unpacker_done(b->unpacker) >= (*chosen)->manifest->count)
    return NULL;
  return &(*chosen)->manifest->entries[ims_unpacker_done(b->unpacker)];
}

static int32_t advance_unpacker(bring *b, int64_t now) {
  bring_node *chosen;
  const imgstore_descriptor *layer = next_layer(b, &chosen);
  if (!layer)
    return IMGSTORE_OK;
  if (!ims_unpacker_is_idle(b->unpacker)) {
    size_t i = ims_unpacker_done(b->unpacker);
    int32_t rc = ims_unpacker_advance(b->unpacker, chosen->config ? &chosen->config->diff_ids[i] : NULL, now);
    if (rc)
      return rc == IMGSTORE_EAGAIN ? IMGSTORE_OK : rc;
    layer = next_layer(b, &chosen);
    if (!layer)
      return IMGSTORE_OK;
  }
  ims_transfer *t = bring_find_transfer(b, &layer->digest);
  const ims_digest *diff_id = chosen->config ? &chosen->config->diff_ids[ims_unpacker_done(b->unpacker)] : NULL;
  if (t && ims_transfer_is_finished(t))
    return ims_unpacker_begin(b->unpacker, layer, diff_id, NULL);
  if (t && ims_transfer_can_follow(t)) {
    int32_t rc = ims_unpacker_begin(b->unpacker, layer, diff_id, t);
    return rc ? rc : ims_transfer_start(t, now);
  }
  return IMGSTORE_OK;
}

/* True when the transfer is the one that the unpacker waits for: it is started by advance_unpacker. */
static bool is_awaited(bring *b, const ims_transfer *t) {
  bring_node *chosen;
  const imgstore_descriptor *layer = next_layer(b, &chosen);
  return layer && ims_unpacker_is_idle(b->unpacker) && ims_digest_equal(&layer->digest, &t->digest) &&
         ims_transfer_can_follow(t);
}

/* True when the unpacker says that it is complete: a layer of the image that is unpacked. */
static bool is_unpacked_layer(bring *b, const ims_transfer *t) {
  const bring_node *chosen = b->unpacker ? bring_chosen(b, b->roots[0].top) : NULL;
  for (size_t i = 0; chosen && i < chosen->manifest->count; i++)
    if (ims_digest_equal(&chosen->manifest->entries[i].digest, &t->digest))
      return true;
  return false;
}

static int32_t advance_transfer(bring *b, ims_transfer *t, int64_t now) {
  bool was_announced = t->announced_end;
  if (ims_transfer_is_ready(t)) {
    if (bring_layers_hold(b, t))
      return IMGSTORE_EAGAIN;
    int32_t rc = is_awaited(b, t) ? advance_unpacker(b, now) : bring_layers_start(b, t, now);
    return rc ? rc : IMGSTORE_EAGAIN;
  }
  int32_t rc = ims_transfer_advance(t, now);
  if (rc || was_announced || atomic_load(&t->phase) == IMS_TRANSFER_EXISTS || is_unpacked_layer(b, t) ||
      bring_layers_takes(b, t))
    return rc;
  return ims_operation_event(&b->op, IMGSTORE_EVENT_COMPLETE, t->object, t->digest.text, NULL, t->size, t->size);
}

/* IMGSTORE_OK when all are in the store. In order, a few at a time. */
static int32_t advance_transfers(bring *b, int64_t now) {
  size_t active = 0;
  while (b->transfers_done < b->transfer_count && b->transfers[b->transfers_done]->announced_end &&
         !b->transfers[b->transfers_done]->has_ring)
    b->transfers_done++;
  bool all = true;
  for (size_t i = b->transfers_done; i < b->transfer_count && active < MAX_ACTIVE; i++) {
    int32_t rc = advance_transfer(b, b->transfers[i], now);
    if (rc && rc != IMGSTORE_EAGAIN)
      return rc;
    all = all && !rc;
    active += ims_transfer_is_active(b->transfers[i]);
  }
  return all && active < MAX_ACTIVE ? IMGSTORE_OK : IMGSTORE_EAGAIN;
}

static bool is_unpacked(bring *b) {
  bring_node *chosen;
  return !b->unpacker || (!next_layer(b, &chosen) && chosen && ims_unpacker_is_idle(b->unpacker));
}

static int32_t check_unpackable(bring *b) {
  if ((!b->unpacker && !b->layers) || bring_chosen(b, b->roots[0].top))
    return IMGSTORE_OK;
  return ims_fail(&b->op.err, IMGSTORE_EUNSUPPORTED, "%s: is not an image that can be unpacked", b->reference->name);
}

/* IMGSTORE_OK when there is no policy or it agrees. */
static int32_t advance_trust(bring *b) {
  ims_digest subjects[IMS_TRIAL_SUBJECTS_MAX];
  if (!b->trust.policy)
    return IMGSTORE_OK;
  if (!b->trust.started) {
    size_t count = bring_subjects(b, subjects, IMS_TRIAL_SUBJECTS_MAX);
    int32_t rc = count ? ims_trust_start(&b->trust, b->client, b->reference, subjects, count) : IMGSTORE_EAGAIN;
    if (rc)
      return rc;
  }
  return ims_trust_advance(&b->trust);
}

static int32_t run(bring *b, int64_t now) {
  int32_t graph = bring_advance_graph(b);
  if (graph && graph != IMGSTORE_EAGAIN)
    return graph;
  int32_t rc = advance_trust(b);
  if (rc)
    return rc;
  b->graph_done = !graph;
  rc = advance_unpacker(b, now);
  if (rc)
    return rc;
  rc = bring_layers_advance(b, now);
  if (rc && rc != IMGSTORE_EAGAIN)
    return rc;
  int32_t transfers = advance_transfers(b, now);
  if (transfers && transfers != IMGSTORE_EAGAIN)
    return transfers;
  if (graph || transfers)
    return IMGSTORE_EAGAIN;
  rc = check_unpackable(b);
  if (rc)
    return rc;
  if (!is_unpacked(b)) {
    rc = advance_unpacker(b, now); /* the last transfer may have ended after the unpacker's turn */
    return rc ? rc : IMGSTORE_EAGAIN;
  }
  rc = bring_layers_advance(b, now);
  if (rc)
    return rc;
  b->stage = b->unpacker ? STAGE_FINISH_TREE : STAGE_FLUSH;
  ims_lane_signal(&b->op.lane);
  return IMGSTORE_EAGAIN;
}

/* --- the job
 * ------------------------------------------------------------------------------------------------------------------ */

static int32_t make_image(bring *b) {
  bring_node *top = b->roots[0].top, *chosen = bring_chosen(b, top);
  if (!chosen || !chosen->config)
    return IMGSTORE_OK;
  ims_config *config = chosen->config;
  chosen->config = NULL;
  return ims_image_new(&b->op.image, b->store, chosen->manifest,
                       top->manifest->kind == IMGSTORE_MANIFEST_INDEX ? top->manifest : NULL, config, &b->op.err);
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  bring *b = bring_of(op);
  int32_t rc;
  if (b->client)
    ims_client_perform(b->client, now);
  if (b->failed)
    return b->failed;
  switch (b->stage) {
  case STAGE_BEGIN:
    rc = ims_lease_open(&b->lease, b->store, &op->err);
    b->stage = STAGE_RUN;
    ims_lane_signal(&op->lane);
    return rc ? rc : IMGSTORE_EAGAIN;
  case STAGE_RUN:
    return run(b, now);
  case STAGE_FINISH_TREE:
    rc = ims_unpacker_finish(b->unpacker);
    if (rc)
      return rc;
    b->stage = STAGE_FLUSH;
    /* fall through */
  default:
    rc = bring_commit(b);
    return rc || !b->root_count || b->source ? rc : make_image(b);
  }
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  bring *b = bring_of(op);
  int32_t wait = b->client ? ims_client_timeout(b->client, now) : -1;
  for (size_t i = b->transfers_done; i < b->transfer_count; i++)
    wait = ims_sooner(wait, ims_transfer_timeout(b->transfers[i], now));
  if (b->unpacker && op->progress && !ims_unpacker_is_idle(b->unpacker))
    wait = ims_sooner(wait, IMS_PROGRESS_INTERVAL);
  if (b->layers)
    wait = ims_sooner(wait, ims_layers_timeout(b->layers));
  return wait;
}

static void end(imgstore_operation *op, int32_t result) {
  bring *b = bring_of(op);
  ims_archive_store_blame(b->source, result, &op->err);
  ims_layers_free(b->layers); /* first: it reads the rings of transfers, as the unpacker does */
  b->layers = NULL;
  ims_unpacker_free(b->unpacker, result == IMGSTORE_OK);
  b->unpacker = NULL;
  for (size_t i = 0; i < b->transfer_count; i++)
    ims_transfer_end(b->transfers[i]);
  ims_trust_free(&b->trust);
  ims_client_free(b->client);
  b->client = NULL;
  ims_lease_close(&b->lease);
}

static void destroy(imgstore_operation *op) {
  bring *b = bring_of(op);
  ims_core *core = ims_core_ref(op->core);
  imgstore_image_unref(op->image);
  bring_free_graph(b);
  imgstore_reference_unref(b->reference);
  ims_store_unref(b->source);
  ims_store_unref(b->store);
  ims_operation_clean(op);
  ims_free(&core->alloc, b);
  ims_core_unref(core);
}

const ims_job bring_job = {advance, timeout, end, destroy};

int32_t bring_new(bring **out, size_t size, imgstore_store *store, imgstore_event_fn progress, void *progress_data,
                  ims_error *err) {
  *out = NULL;
  bring *b = ims_calloc(&store->core->alloc, 1, size);
  if (!b)
    return ims_fail_nomem(err);
  int32_t rc = ims_operation_init(&b->op, store->core, &bring_job, progress, progress_data, err);
  if (rc) {
    ims_free(&store->core->alloc, b);
    return rc;
  }
  b->store = ims_store_ref(store);
  *out = b;
  return IMGSTORE_OK;
}

int32_t bring_give_up(bring *b, int32_t rc, ims_error *err) {
  if (err && !err->code)
    *err = b->op.err;
  ims_operation_free(&b->op);
  return rc;
}

int32_t bring_add_root(bring *b, const char *name, const imgstore_descriptor *descriptor) {
  if (b->root_count >= MAX_ROOTS)
    return ims_fail(&b->op.err, IMGSTORE_ELIMIT, "more than %d references", MAX_ROOTS);
  if (b->root_count == b->root_capacity) {
    size_t capacity = b->root_capacity ? b->root_capacity * 2 : 4;
    bring_root *roots = ims_realloc_array(&b->op.core->alloc, b->roots, capacity, sizeof *roots);
    if (!roots)
      return ims_fail_nomem(&b->op.err);
    b->roots = roots;
    b->root_capacity = capacity;
  }
  bring_root *root = &b->roots[b->root_count];
  root->name = ims_strdup(&b->op.core->alloc, name);
  if (!root->name)
    return ims_fail_nomem(&b->op.err);
  b->root_count++;
  return bring_add_node(b, NULL, descriptor, &root->top);
}

/* --- pull
 * ------------------------------------------------------------------------------------------------------------------------
 */

static int32_t setup_pull(bring *b, imgstore_registry *registry, const char *reference,
                          const imgstore_pull_options *options, const imgstore_unpack_options *unpack) {
  ims_error *err = &b->op.err;
  b->listener = (ims_job_listener){.op = &b->op, .failed = &b->failed, .moves_blobs = true};
  b->all_platforms = options->flags & IMGSTORE_PULL_ALL_PLATFORMS;
  b->platform_required = options->platform != NULL;
  if (options->policy)
    ims_trust_init(&b->trust, &b->op, options->policy, NULL);
  int32_t rc = ims_reference_parse(&b->reference, &b->op.core->alloc, reference, err);
  if (!rc)
    rc = ims_platform_parse(&b->platform, options->platform, err);
  if (!rc)
    rc = ims_check_host(b->reference, registry, err);
  if (!rc)
    rc = ims_job_client_open(&b->client, &b->listener, registry);
  if (!rc && options->unpack_to)
    rc = ims_unpacker_new(&b->unpacker, &b->op, b->store, options->unpack_to, unpack, err);
  if (!rc && options->layers_to)
    rc = bring_layers_setup(b, options->layers_to, options->layers);
  if (rc)
    return rc;
  imgstore_descriptor pinned;
  memset(&pinned, 0, sizeof pinned);
  pinned.digest = b->reference->digest;
  pinned.size = UINT64_MAX;
  pinned.media_type = "";
  return bring_add_root(b, b->reference->name, pinned.digest.algorithm ? &pinned : NULL);
}

int32_t ims_pull_start(imgstore_operation **op, imgstore_store *store, imgstore_registry *registry,
                       const char *reference, const imgstore_pull_options *options,
                       const imgstore_unpack_options *unpack, ims_error *err) {
  bring *b;
  *op = NULL;
  int32_t rc = bring_new(&b, sizeof *b, store, options->progress, options->progress_data, err);
  if (rc)
    return rc;
  rc = setup_pull(b, registry, reference, options, unpack);
  if (rc)
    return bring_give_up(b, rc, err);
  *op = &b->op;
  return IMGSTORE_OK;
}
