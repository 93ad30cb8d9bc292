/*
 * engine/publish.c (L4) - the job that brings images to a registry: its stages, its clients, its report.
 */
#include "engine/publish.h"

#include <string.h>

#include "engine/archive_store.h"
#include "engine/registry_handle.h"

enum { STAGE_BEGIN, STAGE_LOOK, STAGE_GRAPH, STAGE_BLOBS, STAGE_MANIFESTS };

static publish *publish_of(imgstore_operation *op) {
  return (publish *)op;
}

void publish_fail(publish *p, int32_t code, const ims_error *err) {
  if (p->failed)
    return;
  p->failed = code;
  if (err && !p->op.err.code)
    p->op.err = *err;
}

int32_t publish_grow(publish *p, void *array_of_pointers, size_t count, size_t *capacity, size_t limit,
                     const char *what) {
  void *grown;
  if (count < *capacity)
    return IMGSTORE_OK;
  if (count >= limit)
    return ims_fail(&p->op.err, IMGSTORE_ELIMIT, "%s: more than %zu %s", p->name, limit, what);
  size_t more = *capacity ? *capacity * 2 : 16;
  memcpy(&grown, array_of_pointers, sizeof grown);
  grown = ims_realloc_array(&p->op.core->alloc, grown, more, sizeof(void *));
  if (!grown)
    return ims_fail_nomem(&p->op.err);
  memcpy(array_of_pointers, &grown, sizeof grown);
  *capacity = more;
  return IMGSTORE_OK;
}

int32_t publish_report(publish *p, int32_t kind, const char *name, const char *digest, const char *detail,
                       uint64_t size) {
  return ims_report_add(p->op.report, kind, name, digest, detail, size, 0) ? ims_fail_nomem(&p->op.err) : IMGSTORE_OK;
}

/* --- stages ----------------------------------------------------------------------------------------------------------
 */

static void looked(void *data, int32_t code, const ims_document *d, const ims_error *err) {
  publish *p = data;
  p->look = NULL;
  if (code && code != IMGSTORE_ENOTFOUND)
    publish_fail(p, code, err);
  else if (!code && d->data)
    ims_digest_of(&p->there, IMS_HASH_SHA256, d->data, d->size);
  else if (!code)
    p->there = d->digest;
  p->stage = STAGE_GRAPH;
  ims_lane_signal(&p->op.lane);
}

static const char *target_name(const publish *p) {
  return p->to->tag ? p->to->tag : p->to->digest.text;
}

static int32_t begin(publish *p) {
  ims_lane_signal(&p->op.lane);
  p->stage = STAGE_GRAPH;
  int32_t rc = p->store ? ims_lease_open(&p->lease, p->store, &p->op.err) : IMGSTORE_OK;
  if (rc || !p->client || !(p->dry_run || p->skip_same))
    return rc;
  p->stage = STAGE_LOOK;
  return ims_fetch_manifest(p->client, p->to->repository, target_name(p), true, p->op.core->limits.max_manifest_bytes,
                            looked, p, &p->look, &p->op.err);
}

static int32_t check_pinned(publish *p) {
  if (!p->to || !p->to->digest.algorithm || ims_digest_equal(&p->to->digest, &p->root->digest))
    return IMGSTORE_OK;
  return ims_fail(&p->op.err, IMGSTORE_EINVALID, "%s: %s is another manifest, %s", p->to->name, p->name,
                  p->root->digest.text);
}

static int32_t finish(publish *p) {
  publish_node *root = p->root;
  int32_t rc = publish_report(p, IMGSTORE_REPORT_PUBLISHED, p->destination, root->digest.text,
                              root->manifest->media_type, root->size);
  if (rc || p->dry_run)
    return rc;
  int32_t object = root->manifest->kind == IMGSTORE_MANIFEST_INDEX ? IMGSTORE_OBJECT_INDEX : IMGSTORE_OBJECT_MANIFEST;
  return ims_operation_event(&p->op, IMGSTORE_EVENT_COMMITTED, object, root->digest.text, p->destination, root->size,
                             root->size);
}

/* The destination has it under that name: its registry took all of it once. */
static int32_t nothing_to_do(publish *p) {
  publish_node *root = p->root;
  int32_t rc = publish_report(p, IMGSTORE_REPORT_PRESENT, p->destination, root->digest.text, root->manifest->media_type,
                              root->size);
  return rc ? rc
            : ims_operation_event(&p->op, IMGSTORE_EVENT_EXISTS, IMGSTORE_OBJECT_MANIFEST, root->digest.text,
                                  p->destination, root->size, root->size);
}

static int32_t run_graph(publish *p) {
  int32_t rc = publish_advance_graph(p);
  if (!rc)
    rc = check_pinned(p);
  if (rc)
    return rc;
  if (p->skip_same && ims_digest_equal(&p->there, &p->root->digest))
    return nothing_to_do(p);
  rc = publish_find_mounts(p);
  p->stage = STAGE_BLOBS;
  ims_lane_signal(&p->op.lane);
  return rc ? rc : IMGSTORE_EAGAIN;
}

static int32_t run(publish *p, int64_t now) {
  int32_t rc;
  switch (p->stage) {
  case STAGE_BEGIN:
    rc = begin(p);
    return rc ? rc : IMGSTORE_EAGAIN;
  case STAGE_LOOK:
    return IMGSTORE_EAGAIN;
  case STAGE_GRAPH:
    return run_graph(p);
  case STAGE_BLOBS:
    if (p->archive && !p->dry_run) {
      rc = publish_advance_archive(p->archive, now);
      return rc ? rc : finish(p);
    }
    rc = publish_advance_blobs(p, now);
    if (rc)
      return rc;
    p->stage = STAGE_MANIFESTS;
    /* fall through */
  default:
    rc = publish_advance_manifests(p);
    return rc ? rc : finish(p);
  }
}

/* --- the job ---------------------------------------------------------------------------------------------------------
 */

static int32_t advance(imgstore_operation *op, int64_t now) {
  publish *p = publish_of(op);
  if (p->source)
    ims_client_perform(p->source, now);
  if (p->client)
    ims_client_perform(p->client, now);
  if (p->failed)
    return p->failed;
  int32_t rc = run(p, now);
  return rc == IMGSTORE_EAGAIN && p->failed ? p->failed : rc;
}

static int32_t client_timeout(ims_client *client, int64_t now) {
  return client ? ims_client_timeout(client, now) : -1;
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  publish *p = publish_of(op);
  int32_t wait = ims_sooner(client_timeout(p->source, now), client_timeout(p->client, now));
  if (p->archive)
    wait = ims_sooner(wait, publish_archive_timeout(p->archive));
  return p->blobs_busy && op->progress ? ims_sooner(wait, IMS_PROGRESS_INTERVAL) : wait;
}

static void end(imgstore_operation *op, int32_t result) {
  publish *p = publish_of(op);
  ims_archive_store_blame(p->store, result, &op->err);
  for (size_t i = 0; i < p->blob_count; i++)
    publish_end_blob(p->blobs[i]);
  publish_end_archive(p->archive);
  ims_client_free(p->client);
  ims_client_free(p->source);
  p->client = p->source = NULL;
  ims_lease_close(&p->lease);
}

static void destroy(imgstore_operation *op) {
  publish *p = publish_of(op);
  ims_core *core = ims_core_ref(op->core);
  const ims_alloc *a = &core->alloc;
  publish_free_archive(p->archive);
  for (size_t i = 0; i < p->blob_count; i++) {
    ims_free(a, p->blobs[i]->mounts);
    ims_free(a, p->blobs[i]);
  }
  ims_free(a, p->blobs);
  publish_free_graph(p); /* after the blobs: their strings are the manifests' */
  for (size_t i = 0; i < p->place_count; i++)
    ims_free(a, p->places[i]);
  ims_free(a, p->places);
  ims_free(a, p->name);
  ims_free(a, p->destination);
  ims_store_unref(p->plan);
  imgstore_reference_unref(p->from);
  imgstore_reference_unref(p->to);
  ims_store_unref(p->store);
  ims_operation_clean(op);
  ims_free(a, p);
  ims_core_unref(core);
}

static const ims_job publish_job = {advance, timeout, end, destroy};

/* --- setting it up ---------------------------------------------------------------------------------------------------
 */

static int32_t parse_place(imgstore_reference **reference, publish *p, const char *text,
                           const imgstore_registry *registry) {
  int32_t rc = ims_reference_parse(reference, &p->op.core->alloc, text, &p->op.err);
  return rc ? rc : ims_check_host(*reference, registry, &p->op.err);
}

/* The manifest that the graph begins with. */
static int32_t add_root(publish *p, const ims_publish_setup *s) {
  imgstore_descriptor top;
  memset(&top, 0, sizeof top);
  top.digest = s->target ? s->target->digest : p->from->digest;
  top.size = s->target ? s->target->size : UINT64_MAX;
  top.media_type = s->target && !s->target->malformed ? s->target->media_type : "";
  return publish_add_node(p, NULL, top.digest.algorithm ? &top : NULL, &p->root);
}

static int32_t set_source(publish *p, const ims_publish_setup *s) {
  p->name = ims_strdup(&p->op.core->alloc, s->name);
  if (!p->name)
    return ims_fail_nomem(&p->op.err);
  if (s->store) {
    p->store = ims_store_ref(s->store);
    return IMGSTORE_OK;
  }
  int32_t rc = parse_place(&p->from, p, s->name, s->source);
  return rc ? rc : ims_job_client_open(&p->source, &p->listener, s->source);
}

static int32_t add_places(publish *p, const ims_publish_setup *s) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < s->mount_count; i++)
    rc = publish_add_place(p, s->mounts[i]);
  if (!rc && p->from && strcmp(p->from->host, p->to->host) == 0 && strcmp(p->from->repository, p->to->repository) != 0)
    rc = publish_add_place(p, p->from->repository);
  return rc;
}

static int32_t keep_name(publish *p, const char *name) {
  p->destination = ims_strdup(&p->op.core->alloc, name);
  return p->destination ? IMGSTORE_OK : ims_fail_nomem(&p->op.err);
}

static int32_t set_destination(publish *p, const ims_publish_setup *s) {
  int32_t rc = parse_place(&p->to, p, s->destination, s->registry);
  if (!rc)
    rc = keep_name(p, p->to->name);
  if (!rc)
    rc = ims_job_client_open(&p->client, &p->listener, s->registry);
  if (rc)
    return rc;
  ims_client_distrust_mirrors(p->client); /* nothing is pushed to them: what they have says nothing */
  return add_places(p, s);
}

static int32_t set_up(publish *p, const ims_publish_setup *s) {
  p->listener = (ims_job_listener){.op = &p->op, .failed = &p->failed, .moves_blobs = true};
  p->all_platforms = s->all_platforms;
  p->dry_run = s->dry_run;
  p->skip_same = s->skip_same;
  p->chunk = s->chunk;
  p->client_limit = s->registry ? s->registry->options.max_connections : 0;
  p->plan = s->plan ? ims_store_ref(s->plan) : NULL;
  int32_t rc = ims_platform_parse(&p->platform, s->platform, &p->op.err);
  if (!rc && !(p->op.report = ims_report_new(&p->op.core->alloc)))
    rc = ims_fail_nomem(&p->op.err);
  if (!rc)
    rc = set_source(p, s);
  if (!rc)
    rc = s->registry ? set_destination(p, s) : keep_name(p, s->destination);
  if (!rc && s->archive)
    rc = publish_set_archive(p, s->archive, s->archive_format, s->plain_name);
  return rc ? rc : add_root(p, s);
}

int32_t ims_publish_start(imgstore_operation **op, const ims_publish_setup *setup, ims_error *err) {
  ims_core *core = setup->store ? setup->store->core : setup->source->core;
  *op = NULL;
  publish *p = ims_calloc(&core->alloc, 1, sizeof *p);
  if (!p)
    return ims_fail_nomem(err);
  int32_t rc = ims_operation_init(&p->op, core, &publish_job, setup->progress, setup->progress_data, err);
  if (rc) {
    ims_free(&core->alloc, p);
    return rc;
  }
  rc = set_up(p, setup);
  if (rc) {
    if (err && !err->code)
      *err = p->op.err;
    ims_operation_free(&p->op);
    return rc;
  }
  *op = &p->op;
  return IMGSTORE_OK;
}

/* --- push ------------------------------------------------------------------------------------------------------------
 */

/* Without a destination the image goes where its name says. */
static int32_t own_name(imgstore_store *store, const char *name, const char *ref_name, const ims_digest *digest,
                        imgstore_reference **own, ims_error *err) {
  const char *text = ref_name[0] ? ref_name : name;
  if (ims_reference_parse(own, &store->core->alloc, text, NULL) == IMGSTORE_OK)
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_EINVALID, "image %s (%s): has no name to be pushed under: say a destination", name,
                  digest->text);
}

int32_t ims_push_start(imgstore_operation **op, imgstore_store *store, imgstore_registry *registry, const char *name,
                       const imgstore_push_options *o, ims_error *err) {
  ims_target target;
  ims_buf ref_name;
  imgstore_reference *own = NULL;
  *op = NULL;
  ims_buf_init(&ref_name, &store->core->alloc, SIZE_MAX - 1);
  int32_t rc = ims_store_resolve(store, name, &target, &ref_name, err);
  if (!rc && !o->destination)
    rc = own_name(store, name, ims_buf_text(&ref_name), &target.digest, &own, err);
  if (!rc) {
    const ims_publish_setup setup = {.store = store,
                                     .target = &target,
                                     .name = name,
                                     .registry = registry,
                                     .destination = own ? own->name : o->destination,
                                     .platform = o->platform,
                                     .all_platforms = !o->platform,
                                     .dry_run = o->flags & IMGSTORE_PUSH_DRY_RUN,
                                     .chunk = o->chunk_size,
                                     .mounts = o->mount_from,
                                     .mount_count = o->mount_count,
                                     .progress = o->progress,
                                     .progress_data = o->progress_data};
    rc = ims_publish_start(op, &setup, err);
  }
  imgstore_reference_unref(own);
  ims_buf_free(&ref_name);
  return rc;
}
