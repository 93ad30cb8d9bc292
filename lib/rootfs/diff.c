/*
 * rootfs/diff.c (L3) - walks a directory and writes tar entries. What an object is comes from disk_entry.h; here is
 * what becomes of it in a layer: entries, hard links, whiteouts (image-spec 1.1 layer, "Representing Changes").
 */
#include "rootfs/diff.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rootfs/changes.h"
#include "rootfs/entry_error.h"
#include "rootfs/link_table.h"
#include "rootfs/tree_cursor.h"
#include "tar/whiteout.h"
#include "tar/writer.h"

enum { PIECE = 256 * 1024, TURN = 512, HEADER_CEILING = 8 << 20, PATH_CEILING = 2 << 20 };

struct ims_diff {
  const ims_core *core;
  ims_disk_rules rules;
  int32_t marks;
  bool root, always_root;
  imgstore_report *report;
  ims_tree_cursor own;           /**< the walk, unless it is that of changes */
  const ims_tree_cursor *cursor; /**< where the walk is */
  ims_changes *changes;          /**< or NULL: everything goes into the layer */
  ims_disk_entry object;
  ims_link_table links;
  ims_buf header;
  ims_buf path;  /**< in the layer, of the current entry */
  size_t prefix; /**< bytes of path that are the prefix, with its slash */
  dev_t device;  /**< of the directory's file system */
  uint8_t *piece;
  uint64_t entries;
  uint64_t content_left, content_at; /**< of the segment that is being read */
  size_t segment;
  bool in_file;
  bool ended;
  uint32_t *dir_marks; /**< of the directories on the way down, by depth */
  size_t dir_marks_capacity;
  struct stat root_st;
  int root_fd;
};

typedef struct output {
  ims_diff_sink sink;
  void *data;
  uint64_t made;
} output;

static int32_t emit(output *o, const void *bytes, size_t size, ims_error *err) {
  o->made += size;
  return size ? o->sink(o->data, bytes, size, err) : IMGSTORE_OK;
}

/* --- paths -----------------------------------------------------------------------------------------------------------
 */

static int32_t path_failed(const ims_diff *d, ims_error *err) {
  return d->path.failed == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : ims_fail(err, IMGSTORE_ELIMIT, "path too long");
}

/** The path of the cursor's directory or entry in the layer; "./" for the root without a prefix. */
static int32_t set_path(ims_diff *d, const char *relative, ims_error *err) {
  d->path.failed = IMGSTORE_OK;
  d->path.size = d->prefix; /* which stays */
  if (d->path.data)
    d->path.data[d->prefix] = '\0';
  ims_buf_puts(&d->path, *relative || d->prefix ? relative : "./");
  return d->path.failed ? path_failed(d, err) : IMGSTORE_OK;
}

/* --- entries ---------------------------------------------------------------------------------------------------------
 */

static int32_t put_entry(ims_diff *d, const ims_tar_entry *entry, output *o, ims_error *err) {
  ims_buf_clear(&d->header);
  if (d->entries++ >= d->core->limits.max_layer_entries)
    return ims_fail(err, IMGSTORE_ELIMIT, "more than %llu entries in a layer",
                    (unsigned long long)d->core->limits.max_layer_entries);
  int32_t rc = ims_tar_put_entry(&d->header, entry, err);
  return rc ? rc : emit(o, d->header.data, d->header.size, err);
}

/** The directory itself, before the first of its entries. */
static int32_t put_root(ims_diff *d, output *o, ims_error *err) {
  if (!d->root)
    return IMGSTORE_OK;
  d->root = false;
  ims_disk_entry root;
  ims_buf path;
  ims_disk_entry_init(&root, d->core, &d->rules);
  ims_buf_init(&path, &d->core->alloc, PATH_CEILING);
  ims_buf_append(&path, d->path.data, d->prefix);
  if (ims_buf_puts(&path, d->prefix ? "" : "./")) {
    ims_buf_free(&path);
    ims_disk_entry_free(&root);
    return ims_fail_nomem(err);
  }
  int32_t rc = ims_disk_entry_look(&root, d->root_fd, ".", "./", err);
  if (!rc)
    rc = ims_disk_entry_read(&root, d->root_fd, ".", path.data, d->marks, d->report, err);
  if (!rc)
    rc = put_entry(d, &root.entry, o, err);
  ims_buf_free(&path);
  ims_disk_entry_free(&root);
  return rc;
}

/** A file of no bytes whose name says what is hidden. name: NULL for the opaque marker of the directory path. */
static int32_t put_whiteout(ims_diff *d, const char *name, output *o, ims_error *err) {
  const bool opaque = !name;
  const char *slash = opaque ? NULL : strrchr(d->path.data, '/');
  const size_t parent = opaque ? d->path.size : slash ? (size_t)(slash + 1 - d->path.data) : 0;
  ims_buf path;
  ims_buf_init(&path, &d->core->alloc, PATH_CEILING);
  if (!(opaque && strcmp(d->path.data, "./") == 0))
    ims_buf_append(&path, d->path.data, parent);
  if (opaque && path.size && path.data[path.size - 1] != '/')
    ims_buf_putc(&path, '/');
  ims_buf_puts(&path, opaque ? ".wh..wh..opq" : ".wh.");
  ims_buf_puts(&path, opaque ? "" : name);
  int32_t rc = path.failed ? ims_fail_nomem(err) : put_root(d, o, err);
  ims_tar_entry entry = {.type = IMS_TAR_REGULAR, .path = path.data, .linkpath = "", .mode = 0644};
  if (!rc && d->rules.clamp && d->rules.latest < 0)
    entry.mtime = d->rules.latest;
  if (!rc)
    rc = put_entry(d, &entry, o, err);
  ims_buf_free(&path);
  return rc;
}

static int32_t skip(ims_diff *d, const char *why, ims_error *err) {
  return ims_disk_skipped(d->report, d->path.data, why, err);
}

/** Another name of what is in the layer already. *done: it was one. */
static int32_t put_link(ims_diff *d, bool *done, output *o, ims_error *err) {
  const char *first;
  *done = false;
  if (d->object.st.st_nlink < 2)
    return IMGSTORE_OK;
  int32_t rc = ims_links_meet(&d->links, &d->object.st, d->path.data, &first, err);
  if (rc || !first)
    return rc;
  *done = true;
  ims_tar_entry entry = d->object.entry;
  entry.type = IMS_TAR_HARDLINK;
  entry.path = d->path.data;
  entry.linkpath = first;
  entry.size = entry.data_size = 0;
  entry.segments = NULL;
  entry.xattr_count = 0;
  entry.major = entry.minor = 0;
  return put_entry(d, &entry, o, err);
}

static void begin_file(ims_diff *d) {
  const ims_tar_entry *e = &d->object.entry;
  d->in_file = true;
  d->segment = 0;
  d->content_at = e->segments && e->segment_count ? e->segments[0].offset : 0;
  d->content_left = !e->segments ? e->data_size : e->segment_count ? e->segments[0].size : 0;
}

static const char *unsupported_mark(uint32_t marks) {
  if (marks & IMS_MARK_REDIRECT)
    return "a directory that was renamed with redirect_dir: its lower content is under another name";
  return marks & IMS_MARK_METACOPY ? "a file without its data (metacopy)" : NULL;
}

/** The marks of the directory that was read are those of the level at this depth, the root's being 0. */
static int32_t note_marks(ims_diff *d, size_t depth, ims_error *err) {
  if (depth >= d->dir_marks_capacity) {
    size_t capacity = depth * 2 + 16;
    uint32_t *marks = ims_realloc_array(&d->core->alloc, d->dir_marks, capacity, sizeof *marks);
    if (!marks)
      return ims_fail_nomem(err);
    d->dir_marks = marks;
    d->dir_marks_capacity = capacity;
  }
  d->dir_marks[depth] = d->object.marks;
  return IMGSTORE_OK;
}

static int32_t put_directory(ims_diff *d, output *o, ims_error *err) {
  const struct stat st = d->object.st;
  bool opaque = d->object.marks & IMS_MARK_OPAQUE;
  int32_t rc = put_entry(d, &d->object.entry, o, err);
  if (!rc)
    rc = note_marks(d, d->cursor->depth, err);
  ims_disk_entry_close(&d->object);
  if (rc)
    return rc;
  if (st.st_dev != d->device)
    return skip(d, "content not read: another file system is mounted there", err);
  if (d->changes)
    return IMGSTORE_OK; /* whose walk goes there by itself */
  rc = ims_cursor_enter(&d->own, &st, err);
  if (!rc && (d->marks & IMS_MARKS_FUSE) && ims_cursor_has(&d->own, ".wh..wh..opq"))
    opaque = true;
  return rc || !opaque ? rc : put_whiteout(d, NULL, o, err);
}

static int32_t put_object(ims_diff *d, output *o, ims_error *err) {
  ims_disk_entry *object = &d->object;
  bool linked = false;
  int32_t rc = ims_disk_entry_read(object, d->cursor->fd, d->cursor->name, d->path.data, d->marks, d->report, err);
  if (rc)
    return rc;
  const char *why = unsupported_mark(object->marks);
  if (why)
    return ims_entry_fail(err, IMGSTORE_EUNSUPPORTED, d->path.data, "%s", why);
  if ((object->marks & IMS_MARK_WHITEOUT) && (d->dir_marks[d->cursor->depth - 1] & IMS_MARK_XWHITEOUTS) &&
      object->entry.size == 0)
    return put_whiteout(d, d->cursor->name, o, err);
  rc = put_root(d, o, err);
  if (!rc && object->entry.type == IMS_TAR_DIRECTORY)
    return put_directory(d, o, err);
  if (!rc)
    rc = put_link(d, &linked, o, err);
  if (rc || linked)
    return rc;
  rc = put_entry(d, &object->entry, o, err);
  if (!rc && object->entry.type == IMS_TAR_REGULAR)
    begin_file(d);
  return rc;
}

/** Names and devices with a meaning. *done: nothing is left to do with the entry. */
static int32_t put_by_name(ims_diff *d, bool *done, output *o, ims_error *err) {
  const char *hidden;
  int kind = ims_overlay_name(d->cursor->name, &hidden);
  *done = true;
  if (kind != IMS_WHITEOUT_NONE && !(d->marks & IMS_MARKS_FUSE))
    return skip(d, "its name would be a whiteout in a layer", err);
  if (kind == IMS_WHITEOUT_FILE)
    return put_whiteout(d, hidden, o, err);
  if (kind != IMS_WHITEOUT_NONE)
    return IMGSTORE_OK; /* the marker of an opaque directory was seen when that was entered */
  if (ims_is_whiteout_device(&d->object.st))
    return d->marks ? put_whiteout(d, d->cursor->name, o, err)
                    : skip(d, "device 0:0 would be a whiteout on an overlay file system", err);
  if (S_ISSOCK(d->object.st.st_mode))
    return skip(d, "a socket", err);
  *done = false;
  return IMGSTORE_OK;
}

static int32_t put_end(ims_diff *d, output *o, ims_error *err) {
  d->ended = true;
  int32_t rc = d->always_root ? put_root(d, o, err) : IMGSTORE_OK;
  ims_buf_clear(&d->header);
  if (!rc && ims_tar_put_end(&d->header))
    rc = ims_fail_nomem(err);
  return rc ? rc : emit(o, d->header.data, d->header.size, err);
}

static int32_t put_here(ims_diff *d, output *o, ims_error *err) {
  bool done;
  int32_t rc = set_path(d, d->cursor->path.data, err);
  if (!rc)
    rc = ims_disk_entry_look(&d->object, d->cursor->fd, d->cursor->name, d->path.data, err);
  if (!rc)
    rc = put_by_name(d, &done, o, err);
  return rc || done ? rc : put_object(d, o, err);
}

typedef struct change_target {
  ims_diff *diff;
  output *o;
} change_target;

static int32_t put_change(void *data, int change, const char *path, ims_error *err) {
  const change_target *t = data;
  if (change != IMS_CHANGE_DELETED)
    return put_here(t->diff, t->o, err);
  const char *slash = strrchr(path, '/');
  int32_t rc = set_path(t->diff, path, err);
  return rc ? rc : put_whiteout(t->diff, slash ? slash + 1 : path, t->o, err);
}

static int32_t put_next(ims_diff *d, output *o, ims_error *err) {
  int event = IMS_CURSOR_ENTRY;
  int32_t rc;
  if (d->changes) {
    rc = ims_changes_run(d->changes, 1, put_change, &(change_target){d, o}, err);
    return rc == IMGSTORE_EAGAIN ? IMGSTORE_OK : rc ? rc : put_end(d, o, err);
  }
  rc = ims_cursor_next(&d->own, &event, err);
  if (rc || event == IMS_CURSOR_LEAVE)
    return rc;
  return event == IMS_CURSOR_END ? put_end(d, o, err) : put_here(d, o, err);
}

/* --- content ---------------------------------------------------------------------------------------------------------
 */

static int32_t end_file(ims_diff *d, output *o, ims_error *err) {
  static const uint8_t zeros[512];
  d->in_file = false;
  int32_t rc = ims_disk_entry_unchanged(&d->object, d->path.data, err);
  if (!rc)
    rc = emit(o, zeros, ims_tar_padding(d->object.entry.data_size), err);
  ims_disk_entry_close(&d->object);
  return rc;
}

static int32_t put_content(ims_diff *d, output *o, ims_error *err) {
  const ims_tar_entry *e = &d->object.entry;
  while (!d->content_left && d->segment + 1 < e->segment_count) {
    d->segment++;
    d->content_at = e->segments[d->segment].offset;
    d->content_left = e->segments[d->segment].size;
  }
  if (!d->content_left)
    return end_file(d, o, err);
  size_t want = d->content_left < PIECE ? (size_t)d->content_left : PIECE;
  ssize_t n = d->core->sys->pread(d->object.fd, d->piece, want, (off_t)d->content_at);
  if (n < 0 && errno == EINTR)
    return IMGSTORE_OK;
  if (n < 0)
    return ims_entry_fail_os(err, errno, d->path.data, "read it");
  if (n == 0)
    return ims_entry_fail(err, IMGSTORE_ECONFLICT, d->path.data, "became shorter while it was read");
  d->content_at += (uint64_t)n;
  d->content_left -= (uint64_t)n;
  return emit(o, d->piece, (size_t)n, err);
}

/* --- the handle ------------------------------------------------------------------------------------------------------
 */

static int32_t set_prefix(ims_diff *d, const char *prefix, ims_error *err) {
  while (prefix && *prefix == '/')
    prefix++;
  if (prefix && *prefix) {
    ims_buf_puts(&d->path, prefix);
    while (d->path.size && d->path.data[d->path.size - 1] == '/')
      d->path.size--;
    ims_buf_putc(&d->path, '/');
  }
  d->prefix = d->path.size;
  return d->path.failed ? path_failed(d, err) : IMGSTORE_OK;
}

static int32_t begin_walk(ims_diff *d, int directory, ims_lower_stack *lowers, ims_error *err) {
  int32_t rc;
  if (lowers && !d->marks) {
    rc = ims_changes_new(&d->changes, d->core, directory, IMS_MARKS_NONE, lowers, err);
    d->cursor = rc ? NULL : ims_changes_cursor(d->changes);
    return rc;
  }
  d->cursor = &d->own;
  return ims_cursor_init(&d->own, d->core, directory, err);
}

static int32_t prepare(ims_diff *d, int directory, const ims_diff_options *options, ims_error *err) {
  int32_t rc = set_prefix(d, options->prefix, err);
  if (!rc)
    rc = ims_links_init(&d->links, &d->core->alloc, err);
  if (!rc)
    rc = begin_walk(d, directory, options->lowers, err);
  if (rc)
    return rc;
  if (d->core->sys->fstat(d->cursor->fd, &d->root_st))
    return ims_fail_os(err, errno, "cannot look at the directory");
  d->device = d->root_st.st_dev;
  d->piece = ims_malloc(&d->core->alloc, PIECE);
  if (!d->piece)
    return ims_fail_nomem(err);
  rc = ims_disk_entry_look(&d->object, directory, ".", "./", err);
  if (!rc)
    rc = ims_disk_entry_marks(&d->object, directory, ".", "./", d->marks, err);
  if (!rc)
    rc = note_marks(d, 0, err);
  ims_disk_entry_close(&d->object);
  return rc;
}

int32_t ims_diff_new(ims_diff **diff, const ims_core *core, int directory, const ims_diff_options *options,
                     imgstore_report *report, ims_error *err) {
  *diff = NULL;
  ims_diff *d = ims_calloc(&core->alloc, 1, sizeof *d);
  if (!d)
    return ims_fail_nomem(err);
  d->core = core;
  d->rules = options->rules;
  d->marks = options->marks;
  d->root = options->root || options->always_root;
  d->always_root = options->always_root;
  d->report = report;
  d->root_fd = directory;
  ims_buf_init(&d->header, &core->alloc, HEADER_CEILING);
  ims_buf_init(&d->path, &core->alloc, PATH_CEILING);
  ims_disk_entry_init(&d->object, core, &d->rules);
  int32_t rc = prepare(d, directory, options, err);
  if (rc) {
    ims_diff_free(d);
    return rc;
  }
  *diff = d;
  return IMGSTORE_OK;
}

void ims_diff_free(ims_diff *d) {
  if (!d)
    return;
  ims_cursor_free(&d->own);
  ims_changes_free(d->changes);
  ims_disk_entry_free(&d->object);
  ims_links_free(&d->links);
  ims_buf_free(&d->header);
  ims_buf_free(&d->path);
  ims_free(&d->core->alloc, d->piece);
  ims_free(&d->core->alloc, d->dir_marks);
  ims_free(&d->core->alloc, d);
}

int32_t ims_diff_run(ims_diff *d, uint64_t budget, ims_diff_sink sink, void *data, ims_error *err) {
  output o = {sink, data, 0};
  int32_t rc = IMGSTORE_OK;
  /* What is skipped makes nothing, and takes time too. */
  for (uint64_t spent = 0; !rc && !d->ended && o.made + spent < budget; spent += TURN)
    rc = d->in_file ? put_content(d, &o, err) : put_next(d, &o, err);
  return rc ? rc : d->ended ? IMGSTORE_OK : IMGSTORE_EAGAIN;
}

uint64_t ims_diff_entries(const ims_diff *d) {
  return d->entries;
}
