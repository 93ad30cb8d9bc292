/*
 * engine/sync.c (L4) - the tags of a repository, one copy after the other: a job whose parts are jobs. What a copy does
 * is copy.c's.
 */
#include <fnmatch.h>
#include <string.h>

#include "engine/copy.h"
#include "engine/operation_part.h"
#include "engine/registry_handle.h"
#include "engine/registry_job.h"
#include "oci/reference.h"

typedef struct sync_job {
  imgstore_operation op; /**< first member */
  imgstore_registry *source, *registry;
  imgstore_store *store;
  imgstore_reference *from; /**< its repository is what is synced */
  char *to;                 /**< name at the destination, without a tag; NULL: the tag is the name */
  char *pattern;            /**< or NULL */
  char *platform;           /**< or NULL */
  imgstore_copy_options options;
  imgstore_operation *part; /**< the listing, then a copy */
  imgstore_report *tags;
  size_t next; /**< of tags */
  bool keep_going;
  size_t tried, failed;
  ims_error first; /**< what was wrong with the first tag that failed */
} sync_job;

static sync_job *sync_of(imgstore_operation *op) {
  return (sync_job *)op;
}

static int32_t begin_listing(sync_job *s) {
  imgstore_registry_job_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.progress = ims_part_event;
  options.progress_data = &s->op;
  int32_t rc = ims_registry_tags_start(&s->part, s->source, s->from->repository, &options, &s->op.err);
  return rc ? rc : ims_part_begin(&s->op, s->part);
}

static int32_t start_copy(sync_job *s, const char *from, const char *to) {
  imgstore_place source, destination;
  memset(&source, 0, sizeof source);
  source.size = sizeof source;
  destination = source;
  source.registry = s->source;
  source.name = from;
  destination.registry = s->registry;
  destination.store = s->store;
  destination.name = to;
  destination.flags = s->to ? 0 : IMGSTORE_PLACE_PLAIN_NAME;
  const ims_copy_setup setup = {&source, &destination, &s->options, true};
  int32_t rc = ims_copy_start(&s->part, &setup, &s->op.err);
  return rc ? rc : ims_part_begin(&s->op, s->part);
}

static int32_t begin_copy(sync_job *s, const char *tag) {
  ims_buf from, to;
  ims_buf_init(&from, &s->op.core->alloc, SIZE_MAX - 1);
  ims_buf_init(&to, &s->op.core->alloc, SIZE_MAX - 1);
  ims_buf_printf(&from, "%s/%s:%s", s->from->host, s->from->repository, tag);
  ims_buf_printf(&to, "%s%s%s", s->to ? s->to : "", s->to ? ":" : "", tag);
  int32_t rc =
      from.failed || to.failed ? ims_fail_nomem(&s->op.err) : start_copy(s, ims_buf_text(&from), ims_buf_text(&to));
  ims_buf_free(&from);
  ims_buf_free(&to);
  return rc;
}

static bool is_wanted(const sync_job *s, const char *tag) {
  return !s->pattern || fnmatch(s->pattern, tag, 0) == 0;
}

/* A part has failed, or could not be begun. Returns what that means for the job. */
static int32_t note_failure(sync_job *s, int32_t code) {
  const bool lasting =
      code == IMGSTORE_ECANCELLED || code == IMGSTORE_ECALLBACK || code == IMGSTORE_ENOMEM || code == IMGSTORE_ENOSPACE;
  if (!s->keep_going || !s->tags || lasting)
    return code;
  if (!s->failed++)
    s->first = s->op.err;
  const char *tag = imgstore_report_name(s->tags, s->next - 1);
  if (ims_report_add(s->op.report, IMGSTORE_REPORT_FAILED, tag, "", s->op.err.message, 0, 0))
    return ims_fail_nomem(&s->op.err);
  s->op.err = (ims_error)IMS_ERROR_INIT;
  ims_operation_free(s->part);
  s->part = NULL;
  return IMGSTORE_OK;
}

static int32_t conclude(sync_job *s) {
  if (!s->failed)
    return IMGSTORE_OK;
  s->op.err = s->first;
  return ims_error_prefix(&s->op.err, "%zu of %zu tags were not copied, the first", s->failed, s->tried);
}

static int32_t begin_next(sync_job *s) {
  size_t count = imgstore_report_count(s->tags);
  int32_t rc = IMGSTORE_OK;
  while (!rc && !s->part && s->next < count) {
    const char *tag = imgstore_report_name(s->tags, s->next++);
    if (!is_wanted(s, tag))
      continue;
    s->tried++;
    rc = begin_copy(s, tag);
    if (rc)
      rc = note_failure(s, rc);
  }
  return rc || s->part ? rc : conclude(s);
}

static int32_t take_lines(sync_job *s, const imgstore_report *r) {
  for (size_t i = 0; i < imgstore_report_count(r); i++)
    if (ims_report_add(s->op.report, imgstore_report_kind(r, i), imgstore_report_name(r, i),
                       imgstore_report_digest(r, i), imgstore_report_detail(r, i), imgstore_report_size(r, i), 0))
      return ims_fail_nomem(&s->op.err);
  return IMGSTORE_OK;
}

/* A part has ended well. */
static int32_t end_part(sync_job *s) {
  int32_t rc = IMGSTORE_OK;
  if (s->tags) {
    rc = take_lines(s, s->part->report);
  } else {
    s->tags = s->part->report;
    s->part->report = NULL;
  }
  ims_operation_free(s->part);
  s->part = NULL;
  return rc ? rc : begin_next(s);
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  sync_job *s = sync_of(op);
  int32_t rc = s->part || s->tags ? IMGSTORE_OK : begin_listing(s);
  if (rc)
    return rc;
  rc = ims_part_step(op, s->part);
  if (rc == IMGSTORE_EAGAIN)
    return rc;
  if (rc) {
    rc = note_failure(s, rc);
    rc = rc ? rc : begin_next(s);
  } else {
    rc = end_part(s);
  }
  if (rc || !s->part)
    return rc;
  ims_lane_signal(&op->lane); /* the next part has its first step */
  return IMGSTORE_EAGAIN;
}

/* A part has a timer of its own. */
static int32_t timeout(imgstore_operation *op, int64_t now) {
  return -1;
}

static void end(imgstore_operation *op, int32_t result) {
  sync_job *s = sync_of(op);
  ims_operation_free(s->part);
  s->part = NULL;
}

static void destroy(imgstore_operation *op) {
  sync_job *s = sync_of(op);
  ims_core *core = ims_core_ref(op->core);
  const ims_alloc *a = &core->alloc;
  imgstore_report_free(s->tags);
  imgstore_reference_unref(s->from);
  ims_registry_unref(s->source);
  ims_registry_unref(s->registry);
  ims_store_unref(s->store);
  ims_free(a, s->to);
  ims_free(a, s->pattern);
  ims_free(a, s->platform);
  ims_operation_clean(op);
  ims_free(a, s);
  ims_core_unref(core);
}

static const ims_job sync_type = {advance, timeout, end, destroy};

/* A name without tag and digest. */
static int32_t parse_repository(imgstore_reference **reference, const ims_alloc *a, const char *text, ims_error *err) {
  const char *slash = strrchr(text, '/');
  if (strpbrk(slash ? slash + 1 : text, ":@"))
    return ims_fail(err, IMGSTORE_EINVALID, "%s: is a name with a tag or digest, not a repository", text);
  return ims_reference_parse(reference, a, text, err);
}

static int32_t copy_text(const ims_alloc *a, char **to, const char *from, ims_error *err) {
  *to = from ? ims_strdup(a, from) : NULL;
  return from && !*to ? ims_fail_nomem(err) : IMGSTORE_OK;
}

/* HOST/REPOSITORY at the destination. */
static int32_t set_destination(sync_job *s, const imgstore_place *place) {
  const ims_alloc *a = &s->op.core->alloc;
  imgstore_reference *to = NULL;
  ims_buf text;
  if (place->flags & IMGSTORE_PLACE_PLAIN_NAME)
    return IMGSTORE_OK;
  int32_t rc = place->name ? parse_repository(&to, a, place->name, &s->op.err) : IMGSTORE_OK;
  if (rc)
    return rc;
  const imgstore_reference *named = to ? to : s->from;
  ims_buf_init(&text, a, SIZE_MAX - 1);
  ims_buf_printf(&text, "%s/%s", named->host, named->repository);
  s->to = ims_buf_detach(&text, NULL);
  ims_buf_free(&text);
  imgstore_reference_unref(to);
  return s->to ? IMGSTORE_OK : ims_fail_nomem(&s->op.err);
}

static int32_t set_up(sync_job *s, const imgstore_place *source, const imgstore_place *destination,
                      const imgstore_sync_options *o) {
  const ims_alloc *a = &s->op.core->alloc;
  ims_error *err = &s->op.err;
  s->source = ims_registry_ref(source->registry);
  s->registry = destination->registry ? ims_registry_ref(destination->registry) : NULL;
  s->store = destination->store ? ims_store_ref(destination->store) : NULL;
  s->op.report = ims_report_new(a);
  int32_t rc = s->op.report ? parse_repository(&s->from, a, source->name, err) : ims_fail_nomem(err);
  if (!rc)
    rc = set_destination(s, destination);
  if (!rc)
    rc = copy_text(a, &s->pattern, o->tags, err);
  if (!rc)
    rc = copy_text(a, &s->platform, o->platform, err);
  s->options.size = sizeof s->options;
  s->keep_going = (o->flags & IMGSTORE_COPY_KEEP_GOING) != 0;
  s->op.report_stays = s->keep_going;
  s->options.flags = o->flags & ~(uint32_t)IMGSTORE_COPY_KEEP_GOING;
  s->options.platform = s->platform;
  s->options.chunk_size = o->chunk_size;
  s->options.progress = ims_part_event;
  s->options.progress_data = &s->op;
  return rc;
}

int32_t ims_sync_start(imgstore_operation **op, const imgstore_place *source, const imgstore_place *destination,
                       const imgstore_sync_options *o, ims_error *err) {
  ims_core *core = source->registry->core;
  *op = NULL;
  sync_job *s = ims_calloc(&core->alloc, 1, sizeof *s);
  if (!s)
    return ims_fail_nomem(err);
  int32_t rc = ims_operation_init(&s->op, core, &sync_type, o->progress, o->progress_data, err);
  if (rc) {
    ims_free(&core->alloc, s);
    return rc;
  }
  rc = set_up(s, source, destination, o);
  if (rc) {
    if (err && !err->code)
      *err = s->op.err;
    ims_operation_free(&s->op);
    return rc;
  }
  *op = &s->op;
  return IMGSTORE_OK;
}
