/*
 * engine/load.c (L4) - bringing images in from an OCI image-layout directory; the names that loaded images get.
 */
#include "engine/load.h"

#include <fcntl.h>
#include <string.h>

#include "base/text.h"
#include "engine/archive_path.h"
#include "imgstore/archive.h"
#include "store/holds.h"

/* --- names ----------------------------------------------------------------------------------------------------------
 */

void ims_loading_base(ims_loading *l, const char *path, bool archive) {
  l->base_size = ims_archive_base_name(path, archive, &l->base);
}

/* "3.20" in /images/alpine is alpine:3.20; anything with a slash or colon is a name of its own. */
static int32_t make_name(const ims_loading *l, const char *name, ims_buf *out) {
  ims_error *err = &l->b->op.err;
  if (l->rename)
    return ims_buf_puts(out, l->rename) ? ims_fail(err, out->failed, "\"%s\": name is too long", l->rename)
                                        : IMGSTORE_OK;
  if (name[0] && strpbrk(name, "/:"))
    return ims_buf_puts(out, name) ? ims_fail(err, out->failed, "\"%s\": name is too long", name) : IMGSTORE_OK;
  if (!l->base)
    return ims_fail(err, IMGSTORE_EINVALID, "%s: an image has no full name: say which to give it", l->source);
  for (size_t i = 0; i < l->base_size; i++)
    ims_buf_putc(out, ims_ascii_lower(l->base[i]));
  if (ims_buf_printf(out, ":%s", name[0] ? name : "latest"))
    return ims_fail(err, out->failed, "\"%s\": name is too long", name);
  return IMGSTORE_OK;
}

/* As the source spells it, or any way of spelling the same reference. */
static bool is_wanted(const ims_loading *l, const char *name) {
  const ims_alloc *alloc = &l->b->op.core->alloc;
  imgstore_reference *wanted = NULL, *have = NULL;
  if (!l->name || strcmp(l->name, name) == 0)
    return true;
  bool same = !ims_reference_parse(&wanted, alloc, l->name, NULL) && !ims_reference_parse(&have, alloc, name, NULL) &&
              strcmp(wanted->name, have->name) == 0;
  imgstore_reference_unref(wanted);
  imgstore_reference_unref(have);
  return same;
}

static int32_t add_root(ims_loading *l, const char *name, const ims_target *target) {
  ims_error *err = &l->b->op.err;
  imgstore_reference *reference = NULL;
  imgstore_descriptor descriptor;
  memset(&descriptor, 0, sizeof descriptor);
  descriptor.digest = target->digest;
  descriptor.size = target->size;
  descriptor.media_type = target->media_type;
  int32_t rc = ims_reference_parse(&reference, &l->b->op.core->alloc, name, err);
  if (!rc)
    rc = bring_add_root(l->b, reference->name, &descriptor);
  imgstore_reference_unref(reference);
  return rc;
}

int32_t ims_loading_add(ims_loading *l, const char *name, const ims_target *target) {
  ims_buf text;
  if (!is_wanted(l, name))
    return IMGSTORE_OK;
  if (target->malformed)
    return ims_fail(&l->b->op.err, IMGSTORE_EFORMAT, "%s: the descriptor of \"%s\" has no valid size or media type",
                    l->source, name);
  ims_buf_init(&text, &l->b->op.core->alloc, 4096);
  int32_t rc = make_name(l, name, &text);
  if (!rc)
    rc = add_root(l, ims_buf_text(&text), target);
  ims_buf_free(&text);
  return rc;
}

int32_t ims_loading_check(const ims_loading *l) {
  bring *b = l->b;
  if (!b->root_count)
    return l->name ? ims_fail(&b->op.err, IMGSTORE_ENOTFOUND, "%s: has no reference \"%s\"", l->source, l->name)
                   : ims_fail(&b->op.err, IMGSTORE_ENOTFOUND, "%s: holds no image", l->source);
  if (l->rename && b->root_count > 1)
    return ims_fail(&b->op.err, IMGSTORE_EINVALID, "%s: holds %zu references: say which one to rename", l->source,
                    b->root_count);
  return IMGSTORE_OK;
}

/* --- a directory ----------------------------------------------------------------------------------------------------
 */

static int32_t visit_root(void *data, const char *name, const ims_target *target) {
  return ims_ref_is_hold(name) ? IMGSTORE_OK : ims_loading_add(data, name, target);
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
  ims_loading loading = {b, path, NULL, 0, options->name, options->rename};
  ims_loading_base(&loading, path, false);
  b->all_platforms = b->sparse = !options->platform;
  b->platform_required = options->platform != NULL;
  int32_t rc = ims_platform_parse(&b->platform, options->platform, &b->op.err);
  if (!rc && !(b->op.report = ims_report_new(&b->op.core->alloc)))
    rc = ims_fail_nomem(&b->op.err);
  if (!rc)
    rc = open_source(b, path);
  if (!rc)
    rc = ims_ref_list(b->source, visit_root, &loading, &b->op.err);
  return rc ? rc : ims_loading_check(&loading);
}

/* Whether path is to be read as an archive: any file that is no directory. */
static bool is_archive(const ims_core *core, const char *path, const imgstore_load_options *options) {
  struct stat st;
  if (options->format != IMGSTORE_ARCHIVE_AUTO || !path)
    return options->format != IMGSTORE_ARCHIVE_OCI_DIR;
  return !core->sys->fstatat(AT_FDCWD, path, &st, 0) && !S_ISDIR(st.st_mode);
}

int32_t ims_load_start(imgstore_operation **op, imgstore_store *store, const char *path,
                       const imgstore_load_options *options, ims_error *err) {
  bring *b;
  *op = NULL;
  if (is_archive(store->core, path, options))
    return ims_load_archive_start(op, store, path, options, err);
  int32_t rc = bring_new(&b, sizeof *b, store, options->progress, options->progress_data, err);
  if (rc)
    return rc;
  rc = setup_load(b, path, options);
  if (rc)
    return bring_give_up(b, rc, err);
  *op = &b->op;
  return IMGSTORE_OK;
}
