/*
 * engine/load.c (L4) - bringing images in from an OCI image-layout directory.
 */
#include <string.h>

#include "base/text.h"
#include "engine/bring.h"

typedef struct load_roots {
  bring *b;
  const char *path;
  const imgstore_load_options *options;
} load_roots;

/* "3.20" in /images/alpine is alpine:3.20; anything with a slash or colon is a name of its own. */
static int32_t load_name(const load_roots *l, const char *name, ims_buf *out) {
  if (name[0] && strpbrk(name, "/:"))
    return ims_buf_puts(out, name);
  size_t end = strlen(l->path);
  while (end > 1 && l->path[end - 1] == '/')
    end--;
  size_t start = end;
  while (start > 0 && l->path[start - 1] != '/')
    start--;
  for (size_t i = start; i < end; i++)
    ims_buf_putc(out, ims_ascii_lower(l->path[i]));
  return ims_buf_printf(out, ":%s", name[0] ? name : "latest");
}

static int32_t add_loaded(load_roots *l, const char *name, const ims_target *target) {
  bring *b = l->b;
  ims_buf text;
  imgstore_reference *reference = NULL;
  imgstore_descriptor descriptor;
  memset(&descriptor, 0, sizeof descriptor);
  descriptor.digest = target->digest;
  descriptor.size = target->size;
  descriptor.media_type = target->media_type;
  if (target->malformed)
    return ims_fail(&b->op.err, IMGSTORE_EFORMAT, "%s: the descriptor of \"%s\" has no valid size or media type",
                    l->path, name);
  ims_buf_init(&text, &b->op.core->alloc, 4096);
  int32_t rc = l->options->rename ? ims_buf_puts(&text, l->options->rename) : load_name(l, name, &text);
  if (rc)
    ims_fail(&b->op.err, rc, "\"%s\": name is too long", name);
  else
    rc = ims_reference_parse(&reference, &b->op.core->alloc, ims_buf_text(&text), &b->op.err);
  if (!rc)
    rc = bring_add_root(b, reference->name, &descriptor);
  imgstore_reference_unref(reference);
  ims_buf_free(&text);
  return rc;
}

static int32_t visit_root(void *data, const char *name, const ims_target *target) {
  load_roots *l = data;
  return l->options->name && strcmp(l->options->name, name) != 0 ? IMGSTORE_OK : add_loaded(l, name, target);
}

static int32_t open_source(bring *b, const char *path) {
  imgstore_store_options options;
  imgstore_storage storage;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.flags = IMGSTORE_STORE_READ_ONLY | IMGSTORE_STORE_NO_CREATE;
  int32_t rc = ims_layout_storage_open(b->op.core, path, &options, &storage, &b->op.err);
  return rc ? rc : ims_store_new(&b->source, b->op.core, &storage, &b->op.err);
}

static int32_t setup_load(bring *b, const char *path, const imgstore_load_options *options) {
  load_roots roots = {b, path, options};
  b->all_platforms = b->sparse = !options->platform;
  b->platform_required = options->platform != NULL;
  int32_t rc = ims_platform_parse(&b->platform, options->platform, &b->op.err);
  if (!rc && !(b->op.report = ims_report_new(&b->op.core->alloc)))
    rc = ims_fail_nomem(&b->op.err);
  if (!rc)
    rc = open_source(b, path);
  if (!rc)
    rc = ims_ref_list(b->source, visit_root, &roots, &b->op.err);
  if (!rc && !b->root_count)
    rc = options->name ? ims_fail(&b->op.err, IMGSTORE_ENOTFOUND, "%s: has no reference \"%s\"", path, options->name)
                       : ims_fail(&b->op.err, IMGSTORE_ENOTFOUND, "%s: holds no image", path);
  if (!rc && options->rename && b->root_count > 1)
    rc = ims_fail(&b->op.err, IMGSTORE_EINVALID, "%s: holds %zu references: say which one to rename", path,
                  b->root_count);
  return rc;
}

int32_t ims_load_start(imgstore_operation **op, imgstore_store *store, const char *path,
                       const imgstore_load_options *options, ims_error *err) {
  bring *b;
  *op = NULL;
  int32_t rc = bring_new(&b, sizeof *b, store, options->progress, options->progress_data, err);
  if (rc)
    return rc;
  rc = setup_load(b, path, options);
  if (rc)
    return bring_give_up(b, rc, err);
  *op = &b->op;
  return IMGSTORE_OK;
}
