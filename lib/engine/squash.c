/*
 * engine/squash.c (L4) - writes the tar of a squashed layer: reads the layers once for their names, then once for their
 * contents. What comes out is decided in engine/squash_plan.c.
 */
#include "engine/squash.h"

#include <string.h>

#include "engine/content.h"
#include "engine/merged_tree.h"
#include "engine/squash_plan.h"
#include "oci/arena.h"
#include "tar/whiteout.h"
#include "tar/writer.h"

enum { PHASE_NAMES, PHASE_HEADS, PHASE_CONTENTS, PHASE_DONE };
enum { STEP_ENTRIES = 256, STEP_BYTES = 1 << 20, HEADER_MAX = 4 << 20 };
enum { MAX_ATTRIBUTES = 256 << 20 /* bytes of the attributes of all directories */ };

/* A directory as one layer describes it; in the order of layers and their entries. */
typedef struct described {
  size_t layer;
  uint64_t number;
  ims_tar_entry entry; /* its attributes are the arena's */
} described;

struct ims_squash {
  imgstore_store *store;
  const ims_alloc *alloc;
  const ims_build_layer *layers;
  size_t count, from;
  bool clamp, heads_last;
  int64_t clamp_time;
  int phase;
  ims_merged_tree *full, *below; /* of the first phase */
  described *dirs;
  size_t dir_count, dir_capacity;
  void *arena;
  size_t attributes_size;
  ims_squash_plan plan;
  size_t next_head, next_file;
  /* the layer that is read */
  size_t layer;
  imgstore_files *files;
  uint64_t number; /* of its next entry */
  bool copying;    /* the content of the entry before */
  bool filled_out; /* its holes are written as zeros */
  uint64_t copied, content_size;
  const ims_squash_file *names; /* of the file that is copied */
  ims_tar_entry entry;
  ims_buf header;
};

void ims_squash_heads_last(ims_squash *s) {
  s->heads_last = true;
}

void ims_squash_free(ims_squash *s) {
  if (!s)
    return;
  ims_files_close(s->files);
  ims_merged_tree_free(s->full);
  ims_merged_tree_free(s->below);
  ims_squash_plan_free(&s->plan);
  ims_free(s->alloc, s->dirs);
  ims_arena_free(&s->arena, s->alloc);
  ims_buf_free(&s->header);
  ims_free(s->alloc, s);
}

int32_t ims_squash_new(ims_squash **squash, imgstore_store *store, const ims_build_layer *layers, size_t count,
                       size_t from, bool clamp, int64_t clamp_time, ims_error *err) {
  const ims_alloc *alloc = &store->core->alloc;
  *squash = NULL;
  ims_squash *s = ims_calloc(alloc, 1, sizeof *s);
  if (!s)
    return ims_fail_nomem(err);
  *s = (ims_squash){.store = store,
                    .alloc = alloc,
                    .layers = layers,
                    .count = count,
                    .from = from,
                    .clamp = clamp,
                    .clamp_time = clamp_time};
  ims_buf_init(&s->header, alloc, HEADER_MAX);
  int32_t rc = ims_merged_tree_new(&s->full, alloc, err);
  if (!rc && from)
    rc = ims_merged_tree_new(&s->below, alloc, err);
  for (size_t i = 0; !rc && i < count; i++)
    if (layers[i].format < 0)
      rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "layer %s: cannot read media type \"%s\"", layers[i].digest.text,
                    layers[i].media_type);
  if (rc) {
    ims_squash_free(s);
    return rc;
  }
  *squash = s;
  return IMGSTORE_OK;
}

/* A layer that is no blob has said itself what it is. */
static int32_t in_layer(const ims_squash *s, ims_error *err) {
  const ims_build_layer *l = &s->layers[s->layer];
  return l->open ? err->code : ims_error_prefix(err, "layer %s", l->digest.text);
}

/* --- reading layers ----------------------------------------------------------------------------------------------- */

static int32_t open_layer(ims_squash *s, ims_error *err) {
  const ims_build_layer *l = &s->layers[s->layer];
  s->number = 0;
  if (l->open)
    return l->open(l->open_data, &s->files, err);
  return ims_files_open_blob(&s->files, s->store, &l->digest, l->format, &l->diff_id, err);
}

/* *more false: the layer has ended, verified, and is closed. */
static int32_t next_entry(ims_squash *s, bool *more, ims_error *err) {
  int32_t rc = ims_files_next(s->files, err);
  *more = !rc;
  if (rc == IMGSTORE_ENOTFOUND && (!err || !err->code)) {
    ims_files_close(s->files);
    s->files = NULL;
    return IMGSTORE_OK;
  }
  return rc ? in_layer(s, err) : IMGSTORE_OK;
}

/* --- the first reading: names ------------------------------------------------------------------------------------- */

static int32_t copy_xattrs(ims_squash *s, ims_tar_entry *to, const ims_tar_entry *from, ims_error *err) {
  if (!from->xattr_count)
    return IMGSTORE_OK;
  ims_tar_xattr *list = ims_arena_take(&s->arena, s->alloc, from->xattr_count, sizeof *list);
  if (!list)
    return ims_fail_nomem(err);
  for (size_t i = 0; i < from->xattr_count; i++) {
    size_t name = strlen(from->xattrs[i].name) + 1, value = from->xattrs[i].size;
    if (name + value > MAX_ATTRIBUTES - s->attributes_size)
      return ims_fail(err, IMGSTORE_ELIMIT, "attributes of directories of more than %d bytes", MAX_ATTRIBUTES);
    s->attributes_size += name + value;
    char *bytes = ims_arena_take(&s->arena, s->alloc, name + value, 1);
    if (!bytes)
      return ims_fail_nomem(err);
    memcpy(bytes, from->xattrs[i].name, name);
    if (value)
      memcpy(bytes + name, from->xattrs[i].value, value);
    list[i] = (ims_tar_xattr){bytes, (const uint8_t *)bytes + name, value};
  }
  to->xattrs = list;
  to->xattr_count = from->xattr_count;
  return IMGSTORE_OK;
}

static int32_t keep_directory(ims_squash *s, const ims_tar_entry *entry, ims_error *err) {
  if (s->dir_count == s->dir_capacity) {
    size_t capacity = s->dir_capacity ? s->dir_capacity * 2 : 64;
    described *dirs = ims_realloc_array(s->alloc, s->dirs, capacity, sizeof *dirs);
    if (!dirs)
      return ims_fail_nomem(err);
    s->dirs = dirs;
    s->dir_capacity = capacity;
  }
  described *d = &s->dirs[s->dir_count];
  *d = (described){s->layer,
                   s->number,
                   {.type = IMS_TAR_DIRECTORY,
                    .linkpath = "",
                    .mode = entry->mode,
                    .uid = entry->uid,
                    .gid = entry->gid,
                    .mtime = entry->mtime,
                    .mtime_ns = entry->mtime_ns}};
  int32_t rc = copy_xattrs(s, &d->entry, entry, err);
  s->dir_count += !rc;
  return rc;
}

static int32_t take_name(ims_squash *s, ims_error *err) {
  int32_t type = imgstore_files_type(s->files), rc = IMGSTORE_OK;
  const ims_tar_entry *entry = ims_files_entry(s->files);
  const char *path = imgstore_files_path(s->files);
  int whiteout = type == IMGSTORE_FILE_WHITEOUT ? IMS_WHITEOUT_FILE
                 : type == IMGSTORE_FILE_OPAQUE ? IMS_WHITEOUT_OPAQUE
                                                : IMS_WHITEOUT_NONE;
  if (s->layer < s->from)
    rc = ims_merged_tree_add(s->below, path, whiteout, entry, s->number, err);
  if (!rc)
    rc = ims_merged_tree_add(s->full, path, whiteout, entry, s->number, err);
  if (!rc && s->layer >= s->from && type == IMGSTORE_FILE_DIRECTORY)
    rc = keep_directory(s, entry, err);
  return rc ? in_layer(s, err) : IMGSTORE_OK;
}

static int32_t plan(ims_squash *s, ims_error *err) {
  int32_t rc = ims_squash_plan_make(&s->plan, s->alloc, s->full, s->below, s->from, err);
  ims_merged_tree_free(s->full);
  ims_merged_tree_free(s->below);
  s->full = s->below = NULL;
  s->phase = s->heads_last ? PHASE_CONTENTS : PHASE_HEADS;
  return rc;
}

static int32_t read_names(ims_squash *s, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  if (s->layer == s->count)
    return plan(s, err);
  if (!s->files) {
    if (s->below && s->layer < s->from)
      ims_merged_tree_begin_layer(s->below, s->layer);
    ims_merged_tree_begin_layer(s->full, s->layer);
    rc = open_layer(s, err);
  }
  bool more = true;
  for (int i = 0; !rc && more && i < STEP_ENTRIES; i++, s->number++) {
    rc = next_entry(s, &more, err);
    if (!rc && more)
      rc = take_name(s, err);
  }
  s->layer += !rc && !more;
  return rc;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static int32_t put_header(ims_squash *s, const ims_squash_sink *sink, ims_tar_entry *entry, ims_error *err) {
  if (s->clamp && entry->mtime >= s->clamp_time) {
    entry->mtime = s->clamp_time;
    entry->mtime_ns = 0;
  }
  ims_buf_clear(&s->header);
  int32_t rc = ims_tar_put_entry(&s->header, entry, err);
  return rc ? rc : sink->put(sink->data, ims_buf_text(&s->header), s->header.size, err);
}

static const ims_tar_entry *find_directory(const ims_squash *s, const ims_merged_file *file) {
  size_t low = 0, high = s->dir_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const described *d = &s->dirs[middle];
    if (d->layer < file->layer || (d->layer == file->layer && d->number < file->entry))
      low = middle + 1;
    else
      high = middle;
  }
  bool found = low < s->dir_count && s->dirs[low].layer == file->layer && s->dirs[low].number == file->entry;
  return found ? &s->dirs[low].entry : NULL;
}

static int32_t put_head(ims_squash *s, const ims_squash_sink *sink, const ims_squash_head *head, ims_error *err) {
  ims_tar_entry entry = {.type = IMS_TAR_REGULAR, .linkpath = "", .mode = 0644};
  if (head->kind == IMS_SQUASH_DIRECTORY) {
    const ims_tar_entry *known = find_directory(s, &head->file);
    entry = known ? *known : (ims_tar_entry){.type = IMS_TAR_DIRECTORY, .linkpath = "", .mode = 0755};
  }
  entry.path = *head->path ? head->path : "./";
  return put_header(s, sink, &entry, err);
}

static int32_t put_end(ims_squash *s, const ims_squash_sink *sink, ims_error *err) {
  ims_buf_clear(&s->header);
  s->phase = PHASE_DONE;
  if (ims_tar_put_end(&s->header))
    return ims_fail_nomem(err);
  return sink->put(sink->data, ims_buf_text(&s->header), s->header.size, err);
}

/* In their order; last of all in the opposite one, so that a directory comes after what is in it. */
static int32_t put_heads(ims_squash *s, const ims_squash_sink *sink, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  const size_t count = s->plan.head_count;
  for (int i = 0; !rc && i < STEP_ENTRIES && s->next_head < count; i++) {
    size_t at = s->next_head++;
    rc = put_head(s, sink, &s->plan.heads[s->heads_last ? count - 1 - at : at], err);
  }
  if (rc || s->next_head < count)
    return rc;
  s->phase = PHASE_CONTENTS;
  return s->heads_last ? put_end(s, sink, err) : IMGSTORE_OK;
}

static bool same_file(const ims_squash_file *a, const ims_squash_file *b) {
  return a->file.layer == b->file.layer && a->file.entry == b->file.entry;
}

static int32_t put_link(ims_squash *s, const ims_squash_sink *sink, const char *path, const char *target,
                        ims_error *err) {
  ims_tar_entry entry = {.type = IMS_TAR_HARDLINK, .path = path, .linkpath = target, .mode = 0644};
  if (s->names) { /* what it is linked to was just written */
    entry.mode = s->entry.mode;
    entry.uid = s->entry.uid;
    entry.gid = s->entry.gid;
    entry.mtime = s->entry.mtime;
    entry.mtime_ns = s->entry.mtime_ns;
  }
  return put_header(s, sink, &entry, err);
}

/* The other names of the file that was copied. */
static int32_t end_file(ims_squash *s, const ims_squash_sink *sink, ims_error *err) {
  static const uint8_t zeros[512];
  int32_t rc = IMGSTORE_OK;
  if (s->copied != s->content_size)
    return ims_fail(err, IMGSTORE_EFORMAT, "\"%.200s\": its content is not as long as its entry says", s->names->path);
  size_t padding = ims_tar_padding(s->content_size);
  if (padding)
    rc = sink->put(sink->data, zeros, padding, err);
  while (!rc && s->next_file < s->plan.file_count && same_file(&s->plan.files[s->next_file], s->names))
    rc = put_link(s, sink, s->plan.files[s->next_file++].path, s->names->path, err);
  s->copying = false;
  s->names = NULL;
  return rc;
}

static int32_t begin_file(ims_squash *s, const ims_squash_sink *sink, ims_error *err) {
  s->names = &s->plan.files[s->next_file++];
  s->entry = *ims_files_entry(s->files);
  s->entry.path = s->names->path;
  s->filled_out = s->entry.segment_count > IMS_TAR_WRITE_SEGMENTS_MAX; /* more than other readers take */
  if (s->filled_out) {
    s->entry.segments = NULL;
    s->entry.segment_count = 0;
    s->entry.data_size = s->entry.size;
  }
  s->content_size = s->entry.type == IMS_TAR_REGULAR ? s->entry.data_size : 0;
  s->copied = 0;
  s->copying = true;
  return put_header(s, sink, &s->entry, err);
}

/* One piece of content, or the end of the file. */
static int32_t copy_piece(ims_squash *s, const ims_squash_sink *sink, size_t *got, ims_error *err) {
  uint8_t filled[16 << 10];
  const uint8_t *data = filled;
  int32_t rc = s->entry.type != IMS_TAR_REGULAR ? IMGSTORE_OK
               : s->filled_out                  ? ims_files_read(s->files, filled, sizeof filled, got, err)
                                                : ims_files_piece(s->files, &data, got, err);
  if (rc)
    return in_layer(s, err);
  if (!*got)
    return end_file(s, sink, err);
  s->copied += *got;
  return sink->put(sink->data, data, *got, err);
}

/* Names for files of the layers below that keep a name there are links; then the next layer that is needed is opened.
 */
static int32_t open_next(ims_squash *s, const ims_squash_sink *sink, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  for (int i = 0; !rc && s->next_file < s->plan.file_count && s->plan.files[s->next_file].target; i++) {
    if (i == STEP_ENTRIES)
      return IMGSTORE_OK;
    const ims_squash_file *f = &s->plan.files[s->next_file++];
    rc = put_link(s, sink, f->path, f->target, err);
  }
  if (rc || s->next_file < s->plan.file_count) {
    s->layer = rc ? s->layer : s->plan.files[s->next_file].file.layer;
    return rc ? rc : open_layer(s, err);
  }
  if (!s->heads_last)
    return put_end(s, sink, err);
  s->phase = PHASE_HEADS;
  return IMGSTORE_OK;
}

/* The next entry that is wanted; entries between are passed over. A name linked below may stand among the others. */
static int32_t seek_file(ims_squash *s, const ims_squash_sink *sink, ims_error *err) {
  bool more = true;
  int32_t rc = next_entry(s, &more, err);
  uint64_t number = s->number++;
  while (!rc && s->next_file < s->plan.file_count && s->plan.files[s->next_file].target) {
    const ims_squash_file *f = &s->plan.files[s->next_file++];
    rc = put_link(s, sink, f->path, f->target, err);
  }
  if (rc || !more || s->next_file == s->plan.file_count)
    return rc;
  const ims_merged_file *wanted = &s->plan.files[s->next_file].file;
  return wanted->layer == s->layer && wanted->entry == number ? begin_file(s, sink, err) : IMGSTORE_OK;
}

static int32_t put_contents(ims_squash *s, const ims_squash_sink *sink, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  if (!s->files)
    return open_next(s, sink, err);
  size_t bytes = 0;
  for (int i = 0; !rc && s->files && i < STEP_ENTRIES && bytes < STEP_BYTES; i++) {
    size_t got = 0;
    rc = s->copying ? copy_piece(s, sink, &got, err) : seek_file(s, sink, err);
    bytes += got;
  }
  return rc;
}

int32_t ims_squash_step(ims_squash *s, const ims_squash_sink *sink, ims_error *err) {
  int32_t rc = s->phase == PHASE_NAMES   ? read_names(s, err)
               : s->phase == PHASE_HEADS ? put_heads(s, sink, err)
                                         : put_contents(s, sink, err);
  return rc ? rc : s->phase == PHASE_DONE ? IMGSTORE_OK : IMGSTORE_EAGAIN;
}
