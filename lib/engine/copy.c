/*
 * engine/copy.c (L4) - from place to place: a copy that ends at a registry or in an archive is a publish job
 * (publish.c), one that ends in a store a bring job (bring.c). An archive that is copied from is first made a store
 * that is only read (archive_copy.c). Here are the names of places, and what tells the two apart.
 */
#include "engine/copy.h"

#include <string.h>

#include "base/text.h"
#include "engine/bring.h"
#include "engine/publish.h"
#include "engine/registry_handle.h"
#include "store/holds.h"

/* --- names of a store ------------------------------------------------------------------------------------------------
 */

typedef struct search {
  const char *tag; /* NULL: every name */
  size_t found;
  ims_target *target;
  ims_buf *name;
} search;

static bool has_tag(const char *name, const char *tag) {
  size_t size = strlen(name), length = strlen(tag);
  return size > length && name[size - length - 1] == ':' && strcmp(name + size - length, tag) == 0;
}

static int32_t match(void *data, const char *name, const ims_target *target) {
  search *s = data;
  if (ims_ref_is_hold(name) || (s->tag && !has_tag(name, s->tag)))
    return IMGSTORE_OK;
  if (s->found++)
    return IMGSTORE_OK;
  *s->target = *target;
  ims_buf_clear(s->name);
  return ims_buf_puts(s->name, name);
}

static int32_t by_search(imgstore_store *store, const char *tag, ims_target *target, ims_buf *ref_name,
                         ims_error *err) {
  search s = {tag, 0, target, ref_name};
  int32_t rc = ims_ref_list(store, match, &s, err);
  if (rc)
    return rc;
  if (s.found > 1)
    return tag ? ims_fail(err, IMGSTORE_EAMBIGUOUS, "image %s: %zu images have that tag", tag, s.found)
               : ims_fail(err, IMGSTORE_EAMBIGUOUS, "the source holds %zu images: say which one", s.found);
  if (!s.found)
    return tag ? ims_fail(err, IMGSTORE_ENOTFOUND, "image %s: not in the store", tag)
               : ims_fail(err, IMGSTORE_ENOTFOUND, "the source holds no image");
  return IMGSTORE_OK;
}

int32_t ims_place_resolve(imgstore_store *store, const char *name, ims_target *target, ims_buf *ref_name,
                          ims_error *err) {
  ims_error own = IMS_ERROR_INIT;
  if (!name || !*name)
    return by_search(store, NULL, target, ref_name, err);
  int32_t rc = ims_store_resolve(store, name, target, ref_name, &own);
  if (rc == IMGSTORE_ENOTFOUND && !strpbrk(name, "/:@"))
    return by_search(store, name, target, ref_name, err);
  if (!rc && !ref_name->size)
    rc = ims_buf_puts(ref_name, name) ? ims_fail_nomem(&own) : IMGSTORE_OK;
  if (rc && err && !err->code)
    *err = own;
  return rc;
}

/* The name that an image gets in a store or an archive. */
static int32_t destination_name(const imgstore_place *place, const ims_alloc *alloc, const char *given, ims_buf *name,
                                ims_error *err) {
  imgstore_reference *reference = NULL;
  const char *text = place->name && *place->name ? place->name : given;
  int32_t rc = IMGSTORE_OK;
  if (place->flags & IMGSTORE_PLACE_PLAIN_NAME && place->name && *place->name) {
    rc = ims_buf_puts(name, text);
    return rc ? ims_fail_nomem(err) : rc;
  }
  rc = ims_reference_parse(&reference, alloc, text, err);
  if (!rc && reference->digest.algorithm && place->name)
    rc = ims_fail(err, IMGSTORE_EINVALID, "%s: a name in a store or an archive has no digest", text);
  if (!rc && ims_buf_puts(name, reference->name))
    rc = ims_fail_nomem(err);
  imgstore_reference_unref(reference);
  return rc;
}

/* --- into a store ----------------------------------------------------------------------------------------------------
 */

/* The job gives the destination's name instead of the source's, and reports as a push does. */
static int32_t make_copy(bring *b, const char *name) {
  const ims_alloc *a = &b->op.core->alloc;
  char *copy = ims_strdup(a, name);
  if (!copy)
    return ims_fail_nomem(&b->op.err);
  ims_free(a, b->roots[0].name);
  b->roots[0].name = copy;
  b->copied = true;
  if (!b->op.report)
    b->op.report = ims_report_new(a);
  return b->op.report ? IMGSTORE_OK : ims_fail_nomem(&b->op.err);
}

static int32_t pull_into(imgstore_operation **op, const ims_copy_setup *s, const char *name, ims_error *err) {
  const imgstore_copy_options *o = s->options;
  imgstore_pull_options options;
  imgstore_unpack_options unpack;
  memset(&options, 0, sizeof options);
  memset(&unpack, 0, sizeof unpack);
  options.size = sizeof options;
  options.flags = o->flags & IMGSTORE_COPY_ALL_PLATFORMS ? IMGSTORE_PULL_ALL_PLATFORMS : 0;
  options.platform = o->platform;
  options.progress = o->progress;
  options.progress_data = o->progress_data;
  int32_t rc = ims_pull_start(op, s->destination->store, s->source->registry, s->source->name, &options, &unpack, err);
  if (rc)
    return rc;
  rc = make_copy((bring *)*op, name);
  if (!rc)
    return IMGSTORE_OK;
  rc = bring_give_up((bring *)*op, rc, err);
  *op = NULL;
  return rc;
}

static int32_t set_up_load(bring *b, const ims_copy_setup *s, const ims_target *target, const char *name) {
  imgstore_descriptor descriptor;
  memset(&descriptor, 0, sizeof descriptor);
  descriptor.digest = target->digest;
  descriptor.size = target->size;
  descriptor.media_type = target->media_type;
  b->source = ims_store_ref(s->source->store);
  b->all_platforms = s->options->flags & IMGSTORE_COPY_ALL_PLATFORMS;
  b->platform_required = s->options->platform != NULL;
  int32_t rc = ims_platform_parse(&b->platform, s->options->platform, &b->op.err);
  if (!rc)
    rc = bring_add_root(b, name, &descriptor);
  return rc ? rc : make_copy(b, name);
}

static int32_t load_into(imgstore_operation **op, const ims_copy_setup *s, const ims_target *target, const char *name,
                         ims_error *err) {
  bring *b;
  const imgstore_copy_options *o = s->options;
  int32_t rc = bring_new(&b, sizeof *b, s->destination->store, o->progress, o->progress_data, err);
  if (rc)
    return rc;
  rc = set_up_load(b, s, target, name);
  if (rc)
    return bring_give_up(b, rc, err);
  *op = &b->op;
  return IMGSTORE_OK;
}

/* --- which of the two ------------------------------------------------------------------------------------------------
 */

static ims_publish_setup publish_setup(const ims_copy_setup *s) {
  const imgstore_copy_options *o = s->options;
  return (ims_publish_setup){.source = s->source->registry,
                             .name = s->source->name,
                             .registry = s->destination->registry,
                             .destination = s->destination->name,
                             .platform = o->platform,
                             .all_platforms = o->flags & IMGSTORE_COPY_ALL_PLATFORMS,
                             .dry_run = o->flags & IMGSTORE_COPY_DRY_RUN,
                             .skip_same = s->skip_same,
                             .chunk = o->chunk_size,
                             .mounts = o->mount_from,
                             .mount_count = o->mount_count,
                             .progress = o->progress,
                             .progress_data = o->progress_data};
}

static int32_t start(imgstore_operation **op, const ims_copy_setup *s, const ims_target *target, const char *source,
                     const char *name, ims_error *err) {
  ims_publish_setup setup = publish_setup(s);
  if (s->source->store) {
    setup.store = s->source->store;
    setup.target = target;
    setup.name = source;
  }
  if (s->destination->registry)
    return ims_publish_start(op, &setup, err);
  if (s->destination->archive) {
    setup.archive = s->destination->archive;
    setup.archive_format = s->destination->archive_format;
    setup.plain_name = s->destination->flags & IMGSTORE_PLACE_PLAIN_NAME && s->destination->name;
    setup.destination = name;
    return ims_publish_start(op, &setup, err);
  }
  if (s->options->flags & IMGSTORE_COPY_DRY_RUN) {
    setup.plan = s->destination->store;
    setup.destination = name;
    return ims_publish_start(op, &setup, err);
  }
  return s->source->registry ? pull_into(op, s, name, err) : load_into(op, s, target, name, err);
}

static int32_t start_from(imgstore_operation **op, const ims_copy_setup *s, ims_error *err) {
  const imgstore_place *from = s->source, *to = s->destination;
  const ims_alloc *a = from->store ? &from->store->core->alloc : &from->registry->core->alloc;
  ims_target target;
  ims_buf source, name;
  ims_buf_init(&source, a, SIZE_MAX - 1);
  ims_buf_init(&name, a, SIZE_MAX - 1);
  int32_t rc = from->store ? ims_place_resolve(from->store, from->name, &target, &source, err) : IMGSTORE_OK;
  if (!rc && !to->registry)
    rc = destination_name(to, a, from->store ? ims_buf_text(&source) : from->name, &name, err);
  if (!rc)
    rc = start(op, s, &target, ims_buf_text(&source), ims_buf_text(&name), err);
  ims_buf_free(&source);
  ims_buf_free(&name);
  return rc;
}

int32_t ims_copy_start(imgstore_operation **op, const ims_copy_setup *s, ims_error *err) {
  *op = NULL;
  return s->source->archive ? ims_archive_copy_start(op, s, err) : start_from(op, s, err);
}
