/*
 * engine/archive_copy.c (L4) - copies from an archive: a job that opens it, and then runs the copy from the store that
 * it is as its part.
 */
#include <string.h>

#include "engine/archive_open.h"
#include "engine/copy.h"
#include "engine/operation_part.h"
#include "engine/publish.h"
#include "engine/registry_handle.h"
#include "oci/arena.h"

#define TEMP_DIR "/var/tmp"

typedef struct archive_copy {
  imgstore_operation op; /* first member */
  imgstore_place from, to;
  imgstore_copy_options options;
  void *arena; /* the strings of these three */
  ims_archive_opening *opening;
  imgstore_operation *part; /* when it is open */
} archive_copy;

static int32_t begin_copy(archive_copy *c) {
  const ims_copy_setup setup = {&c->from, &c->to, &c->options, false};
  ims_error *err = &c->op.err;
  int32_t rc = ims_archive_opening_take(c->opening, &c->from.store, err);
  if (rc)
    return rc;
  ims_archive_opening_free(c->opening);
  c->opening = NULL;
  rc = ims_copy_start(&c->part, &setup, err);
  return rc ? ims_archive_store_blame(c->from.store, rc, err) : ims_part_begin(&c->op, c->part);
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  archive_copy *c = (archive_copy *)op;
  int32_t rc = c->opening ? ims_archive_opening_advance(c->opening, now) : IMGSTORE_OK;
  if (!rc && !c->part)
    rc = begin_copy(c);
  if (!rc)
    rc = ims_part_step(op, c->part);
  if (rc)
    return rc;
  op->report = c->part->report;
  c->part->report = NULL;
  return IMGSTORE_OK;
}

/* A part has a timer of its own. */
static int32_t timeout(imgstore_operation *op, int64_t now) {
  archive_copy *c = (archive_copy *)op;
  (void)now;
  return c->opening && op->progress ? IMS_PROGRESS_INTERVAL : -1;
}

static void end(imgstore_operation *op, int32_t result) {
  archive_copy *c = (archive_copy *)op;
  (void)result;
  ims_archive_opening_free(c->opening);
  c->opening = NULL;
  ims_operation_free(c->part);
  c->part = NULL;
}

static void destroy(imgstore_operation *op) {
  archive_copy *c = (archive_copy *)op;
  ims_core *core = ims_core_ref(op->core);
  ims_store_unref(c->from.store);
  ims_store_unref(c->to.store);
  ims_registry_unref(c->to.registry);
  ims_arena_free(&c->arena, &core->alloc);
  ims_operation_clean(op);
  ims_free(&core->alloc, c);
  ims_core_unref(core);
}

static const ims_job archive_copy_job = {advance, timeout, end, destroy};

/* --- setting it up ---------------------------------------------------------------------------------------------------
 */

static bool keep_text(archive_copy *c, const char **text) {
  size_t size = *text ? strlen(*text) + 1 : 0;
  char *copy = size ? ims_arena_take(&c->arena, &c->op.core->alloc, size, 1) : NULL;
  if (copy)
    memcpy(copy, *text, size);
  bool kept = copy || !size;
  *text = copy;
  return kept;
}

static bool keep_texts(archive_copy *c) {
  imgstore_copy_options *o = &c->options;
  const char *const *mounts = o->mount_from;
  const char **copies = ims_arena_take(&c->arena, &c->op.core->alloc, o->mount_count + 1, sizeof *copies);
  bool kept = copies && keep_text(c, &c->from.name) && keep_text(c, &c->to.name) && keep_text(c, &c->to.archive) &&
              keep_text(c, &o->platform);
  for (size_t i = 0; kept && i < o->mount_count; i++) {
    copies[i] = mounts[i];
    kept = keep_text(c, &copies[i]);
  }
  o->mount_from = copies;
  return kept;
}

/* What is wrong with the destination is to be told before a large archive is read. */
static int32_t check(const archive_copy *c, ims_error *err) {
  imgstore_reference *reference = NULL;
  ims_platform platform;
  int32_t rc = ims_platform_parse(&platform, c->options.platform, err);
  if (rc || !c->to.registry)
    return rc;
  rc = ims_reference_parse(&reference, &c->op.core->alloc, c->to.name, err);
  if (!rc)
    rc = ims_check_host(reference, c->to.registry, err);
  imgstore_reference_unref(reference);
  return rc;
}

static int32_t set_up(archive_copy *c, const ims_copy_setup *s, ims_error *err) {
  const char *path = s->source->archive, *temp_dir = s->options->temp_dir;
  c->from = *s->source;
  c->from.archive = NULL;
  c->to = *s->destination;
  c->to.store = c->to.store ? ims_store_ref(c->to.store) : NULL;
  c->to.registry = c->to.registry ? ims_registry_ref(c->to.registry) : NULL;
  c->options = *s->options;
  c->options.temp_dir = NULL;
  if (!keep_texts(c))
    return ims_fail_nomem(err);
  if (c->op.progress) {
    c->options.progress = ims_part_event;
    c->options.progress_data = &c->op;
  }
  int32_t rc = check(c, err);
  return rc ? rc
            : ims_archive_opening_new(&c->opening, &c->op, path, s->source->archive_format,
                                      temp_dir ? temp_dir : TEMP_DIR, err);
}

int32_t ims_archive_copy_start(imgstore_operation **op, const ims_copy_setup *s, ims_error *err) {
  ims_core *core = s->source->context;
  *op = NULL;
  archive_copy *c = ims_calloc(&core->alloc, 1, sizeof *c);
  if (!c)
    return ims_fail_nomem(err);
  int32_t rc =
      ims_operation_init(&c->op, core, &archive_copy_job, s->options->progress, s->options->progress_data, err);
  if (rc) {
    ims_free(&core->alloc, c);
    return rc;
  }
  rc = set_up(c, s, err);
  if (rc) {
    ims_operation_free(&c->op);
    return rc;
  }
  *op = &c->op;
  return IMGSTORE_OK;
}
