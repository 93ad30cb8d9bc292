/*
 * rootfs/apply.c (L3) - applies layers: takes the events of the tar reader and decides what each entry means for the
 * tree: an object to make, a whiteout, the root.
 */
#include "rootfs/apply.h"

#include <errno.h>
#include <string.h>

#include "rootfs/create.h"
#include "rootfs/entry_error.h"
#include "rootfs/overlay.h"
#include "rootfs/remove.h"
#include "rootfs/resolve.h"
#include "tar/whiteout.h"

typedef struct text {
  char *data;
  size_t capacity;
} text;

struct ims_apply {
  ims_core *core;
  ims_alloc alloc;
  ims_tree tree;
  ims_metadata metadata;
  ims_tar_reader *reader;
  uint64_t layers; /* begun so far */
  bool open;       /* inside a layer */
  bool failed;
  bool flush;          /* to stable storage in the end */
  text path, link;     /* cleaned names of the current entry */
  ims_file file;       /* the current entry, when it is a regular file */
  ims_overlay overlay; /* used when the tree points at it */
  ims_buf merged;      /* with the layers below in view: where the path leads to */
};

static int32_t set_up(ims_apply *a, int root_fd, const imgstore_unpack_options *options, imgstore_report *report,
                      ims_error *err) {
  const ims_tar_limits limits = {a->core->limits.max_layer_entries, a->core->limits.max_path_depth};
  int32_t rc = ims_tree_init(&a->tree, &a->alloc, a->core->sys, root_fd, err);
  if (!rc)
    rc = ims_metadata_init(&a->metadata, &a->tree, options, report, err);
  return rc ? rc : ims_tar_reader_new(&a->reader, &a->alloc, &limits, err);
}

int32_t ims_apply_new(ims_apply **apply, ims_core *core, int root_fd, const imgstore_unpack_options *options,
                      imgstore_report *report, ims_error *err) {
  *apply = NULL;
  ims_apply *a = ims_calloc(&core->alloc, 1, sizeof *a);
  if (!a)
    return ims_fail_nomem(err);
  a->core = ims_core_ref(core);
  a->alloc = core->alloc;
  a->file.fd = -1;
  a->flush = options->flags & IMGSTORE_UNPACK_FLUSH;
  ims_buf_init(&a->merged, &a->alloc, SIZE_MAX);
  int32_t rc = set_up(a, root_fd, options, report, err);
  if (rc)
    ims_apply_free(a);
  else
    *apply = a;
  return rc;
}

/* What layers below say about ACLs holds for this one, as if they were applied to one directory. */
static void look_below(ims_apply *a, const ims_lower_view *view) {
  a->overlay.view = view;
  for (size_t i = 0; i < view->count; i++)
    a->tree.inherits_acl = a->tree.inherits_acl || view->layers[i].default_acls;
}

int32_t ims_apply_new_layer(ims_apply **apply, ims_core *core, int root_fd, const imgstore_unpack_options *options,
                            imgstore_report *report, const ims_layer_setup *setup, ims_error *err) {
  int32_t rc = ims_apply_new(apply, core, root_fd, options, report, err);
  if (rc)
    return rc;
  ims_apply *a = *apply;
  a->tree.quota = setup->quota;
  a->tree.counts = true;
  if (!setup->opaque_name)
    return IMGSTORE_OK;
  ims_overlay_init(&a->overlay, core, setup->opaque_name);
  a->tree.overlay = &a->overlay;
  if (!setup->view)
    return IMGSTORE_OK;
  look_below(a, setup->view);
  rc = ims_overlay_begin(&a->tree, err);
  if (rc) {
    ims_apply_free(a);
    *apply = NULL;
  }
  return rc;
}

void ims_apply_free(ims_apply *a) {
  if (!a)
    return;
  ims_core *core = a->core;
  if (a->file.fd >= 0)
    core->sys->close(a->file.fd);
  if (a->tree.overlay)
    ims_overlay_free(&a->overlay);
  ims_tar_reader_free(a->reader);
  ims_metadata_free(&a->metadata);
  ims_tree_free(&a->tree);
  ims_buf_free(&a->merged);
  ims_free(&a->alloc, a->path.data);
  ims_free(&a->alloc, a->link.data);
  ims_free(&core->alloc, a);
  ims_core_unref(core);
}

/* Cleans a path of the archive into out. */
static int32_t clean(ims_apply *a, const char *path, text *out, int *kind, const char *entry, ims_error *err) {
  size_t size = strlen(path) + 1;
  if (size > out->capacity) {
    char *data = ims_realloc_array(&a->alloc, out->data, size + 128, 1);
    if (!data)
      return ims_fail_nomem(err);
    out->data = data;
    out->capacity = size + 128;
  }
  ims_error why = IMS_ERROR_INIT;
  int32_t rc = ims_layer_path(path, out->data, kind, &why);
  return rc ? ims_entry_fail(err, rc, entry, "%s", why.message) : IMGSTORE_OK;
}

/* Splits a cleaned path in two: "a/b/c" becomes "a/b", and the name "c" is returned. */
static char *split(char *path) {
  char *slash = strrchr(path, '/');
  if (!slash)
    return NULL;
  *slash = '\0';
  return slash + 1;
}

/* With the layers below in view: *path becomes where it leads to in the merged tree, its last component as it is. *path
   NULL: nowhere. */
static int32_t follow_links(ims_apply *a, const char **path, const char *name, bool make, ims_error *err) {
  bool found;
  int32_t rc = ims_overlay_resolve(&a->tree, *path, make, &found, err);
  *path = NULL;
  if (rc || !found)
    return rc;
  ims_buf_clear(&a->merged);
  ims_buf_append(&a->merged, ims_buf_text(&a->tree.canon), a->tree.canon.size);
  size_t size = a->merged.size;
  if (name && size)
    ims_buf_putc(&a->merged, '/');
  if (name)
    ims_buf_puts(&a->merged, name);
  if (ims_buf_putc(&a->merged, '\0')) /* an empty one has memory, too */
    return ims_fail_nomem(err);
  *path = ims_buf_text(&a->merged);
  return IMGSTORE_OK;
}

/* Opens the directory whose path in the layer is parent: in an overlay, that of the layer's own. */
static int32_t open_overlay_dir(ims_apply *a, const char *parent, const char *name, int how, ims_place *place,
                                ims_error *err) {
  const char *path = parent;
  place->dir = NULL;
  if (!a->overlay.view)
    return ims_overlay_dir(&a->tree, parent, how, &place->dir, err);
  int32_t rc = follow_links(a, &path, name, how == IMS_OVERLAY_MAKE, err);
  if (rc || !path)
    return rc;
  place->path = path;
  return ims_overlay_dir(&a->tree, ims_buf_text(&a->tree.canon), how, &place->dir, err);
}

/* Opens the directory that path lies in; path is whole again afterwards. */
static int32_t open_parent(ims_apply *a, char *path, bool make, ims_place *place, ims_error *err) {
  char *name = split(path);
  const char *parent = name ? path : "";
  place->name = name ? name : path;
  place->path = path;
  int32_t rc = a->tree.overlay
                   ? open_overlay_dir(a, parent, place->name, make ? IMS_OVERLAY_MAKE : IMS_OVERLAY_HIDE, place, err)
                   : ims_resolve_dir(&a->tree, parent, make, &place->dir, err);
  if (name)
    name[-1] = '/';
  return rc;
}

static int32_t unpin(ims_apply *a, ims_dir *dir, int32_t rc, ims_error *err) {
  int32_t failed = ims_dirs_unpin(&a->tree.dirs, dir, err);
  return rc ? rc : failed;
}

static int32_t hide(ims_apply *a, ims_error *err) {
  ims_place place;
  int32_t rc = open_parent(a, a->path.data, false, &place, err);
  if (rc || !place.dir)
    return rc;
  rc = a->tree.overlay ? ims_overlay_hide(&a->tree, place.dir, place.name, place.path, err)
                       : ims_hide_entry(&a->tree, place.dir, place.name, place.path, err);
  return unpin(a, place.dir, rc, err);
}

static int32_t make_opaque(ims_apply *a, ims_error *err) {
  ims_place place = {.path = a->path.data};
  int32_t rc = a->tree.overlay ? open_overlay_dir(a, a->path.data, NULL, IMS_OVERLAY_HIDE, &place, err)
                               : ims_resolve_dir(&a->tree, a->path.data, false, &place.dir, err);
  if (rc || !place.dir)
    return rc;
  rc = a->tree.overlay ? ims_overlay_hide_content(&a->tree, place.dir, place.path, err)
                       : ims_hide_content(&a->tree, place.dir, place.path, err);
  return unpin(a, place.dir, rc, err);
}

/* The place's path is in a->merged as well: it is kept while the target's is found. */
static int32_t link_through_view(ims_apply *a, const ims_place *place, ims_error *err) {
  ims_place kept = *place;
  ims_buf own = a->merged;
  char *name = split(a->link.data);
  const char *target = name ? a->link.data : "";
  ims_buf_init(&a->merged, &a->alloc, SIZE_MAX);
  int32_t rc = follow_links(a, &target, name ? name : a->link.data, false, err);
  if (name)
    name[-1] = '/';
  if (!rc && !target)
    rc =
        ims_entry_fail(err, IMGSTORE_EFORMAT, place->path, "hard link to \"%.200s\", which is not there", a->link.data);
  if (!rc)
    rc = ims_create_hardlink(&a->metadata, &kept, target, err);
  ims_buf_free(&a->merged);
  a->merged = own;
  return rc;
}

static int32_t create_hardlink(ims_apply *a, const ims_place *place, const ims_tar_entry *entry, ims_error *err) {
  int kind;
  int32_t rc = clean(a, entry->linkpath, &a->link, &kind, place->path, err);
  if (rc)
    return rc;
  if (kind != IMS_WHITEOUT_NONE)
    return ims_entry_fail(err, IMGSTORE_EFORMAT, place->path, "hard link to \"%.200s\", which is a whiteout",
                          entry->linkpath);
  if (!a->overlay.view || !*a->link.data)
    return ims_create_hardlink(&a->metadata, place, a->link.data, err);
  return link_through_view(a, place, err);
}

static int32_t create(ims_apply *a, const ims_place *place, const ims_tar_entry *entry, bool *made, ims_error *err) {
  *made = true;
  switch (entry->type) {
  case IMS_TAR_REGULAR:
    return ims_create_file(&a->metadata, place, entry, &a->file, err);
  case IMS_TAR_DIRECTORY:
    return ims_create_directory(&a->metadata, place, entry, err);
  case IMS_TAR_SYMLINK:
    return ims_create_symlink(&a->metadata, place, entry, err);
  case IMS_TAR_HARDLINK:
    return create_hardlink(a, place, entry, err);
  default:
    return ims_create_special(&a->metadata, place, entry, made, err);
  }
}

/* Refuses what can never be made before anything is touched for it. */
static int32_t check(ims_apply *a, const ims_tar_entry *entry, ims_error *err) {
  uid_t uid;
  gid_t gid;
  if (entry->type == IMS_TAR_HARDLINK) /* it has the metadata of its target */
    return IMGSTORE_OK;
  return ims_map_owner(&a->metadata, entry, &uid, &gid, err);
}

static int32_t begin_object(ims_apply *a, const ims_tar_entry *entry, ims_error *err) {
  ims_place place;
  bool made;
  if (entry->type == IMS_TAR_CHAR && !entry->major && !entry->minor)
    return ims_metadata_skipped(&a->metadata, a->path.data, "device 0:0 not created: it is overlay metadata", err);
  int32_t rc = check(a, entry, err);
  if (!rc)
    rc = open_parent(a, a->path.data, true, &place, err);
  if (rc)
    return rc;
  rc = strlen(place.name) > IMS_NAME_MAX ? ims_entry_fail_os(err, ENAMETOOLONG, place.path, "")
                                         : create(a, &place, entry, &made, err);
  if (!rc && made)
    rc = ims_tree_note(&a->tree, place.dir, place.name, err);
  return unpin(a, place.dir, rc, err);
}

static int32_t begin_root(ims_apply *a, const ims_tar_entry *entry, ims_error *err) {
  if (entry->type != IMS_TAR_DIRECTORY)
    return ims_entry_fail(err, IMGSTORE_EFORMAT, entry->path, "the root must be a directory");
  a->overlay.root_described = true;
  return ims_update_root(&a->metadata, entry, err);
}

static int32_t begin_entry(ims_apply *a, const ims_tar_entry *entry, ims_error *err) {
  int kind;
  int32_t rc = clean(a, entry->path, &a->path, &kind, entry->path, err);
  if (rc || kind == IMS_WHITEOUT_IGNORE)
    return rc;
  if (kind == IMS_WHITEOUT_NONE)
    return *a->path.data ? begin_object(a, entry, err) : begin_root(a, entry, err);
  if (!a->tree.tracks)
    return IMGSTORE_OK; /* nothing lies below the first layer */
  return kind == IMS_WHITEOUT_FILE ? hide(a, err) : make_opaque(a, err);
}

static int32_t handle(ims_apply *a, const ims_tar_event *event, ims_error *err) {
  switch (event->type) {
  case IMS_TAR_ENTRY:
    return begin_entry(a, event->entry, err);
  case IMS_TAR_DATA:
    if (a->file.fd < 0)
      return IMGSTORE_OK;
    return ims_write_file(&a->tree, &a->file, event->entry->path, event->data, event->data_size, event->data_offset,
                          err);
  case IMS_TAR_ENTRY_END:
    return a->file.fd < 0 ? IMGSTORE_OK : ims_finish_file(&a->metadata, &a->file, event->entry, err);
  default:
    return IMGSTORE_OK;
  }
}

static int32_t usable(const ims_apply *a, bool in_layer, ims_error *err) {
  if (!a->failed && a->open == in_layer)
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_EINVALID, a->failed ? "the job has failed before" : "call out of order");
}

int32_t ims_apply_begin_layer(ims_apply *a, ims_error *err) {
  int32_t rc = usable(a, false, err);
  if (rc)
    return rc;
  if (a->layers)
    ims_tar_reader_reset(a->reader);
  ims_created_clear(&a->tree.created);
  a->tree.tracks = a->layers > 0 || a->tree.overlay;
  a->layers++;
  a->open = true;
  return IMGSTORE_OK;
}

int32_t ims_apply_feed(ims_apply *a, const uint8_t *data, size_t size, ims_error *err) {
  int32_t rc = usable(a, true, err);
  ims_tar_event event = {.type = IMS_TAR_MORE};
  for (size_t at = 0, used = 0; !rc; at += used) {
    rc = ims_tar_reader_next(a->reader, data + at, size - at, &used, &event, err);
    if (!rc)
      rc = handle(a, &event, err);
    if (!rc && event.type == IMS_TAR_MORE)
      return IMGSTORE_OK;
  }
  a->failed = true;
  return rc;
}

int32_t ims_apply_end_layer(ims_apply *a, ims_error *err) {
  int32_t rc = usable(a, true, err);
  if (!rc)
    rc = ims_tar_reader_finish(a->reader, err);
  if (!rc && a->tree.overlay)
    rc = ims_overlay_seal(&a->tree, err);
  a->open = false;
  a->failed = a->failed || rc;
  return rc;
}

bool ims_apply_is_unsure(const ims_apply *a) {
  return a->overlay.unsure;
}

int32_t ims_apply_settle(ims_apply *a, const ims_lower_view *view, ims_error *err) {
  int32_t rc = usable(a, false, err);
  if (rc || !a->tree.overlay || a->overlay.view)
    return rc;
  look_below(a, view);
  rc = ims_overlay_settle(&a->tree, err);
  a->failed = rc != IMGSTORE_OK;
  return rc;
}

int32_t ims_apply_describe(const ims_apply *a, ims_layer_record *record, ims_error *err) {
  record->bytes = a->tree.bytes;
  record->inodes = a->tree.inodes;
  record->default_acls = a->tree.inherits_acl;
  record->opaque = a->tree.overlay && a->overlay.has_opaque;
  record->any_attributes = a->tree.any_attributes;
  const ims_buf *paths = &a->tree.attributes;
  return ims_buf_append(&record->attributes, ims_buf_text(paths), paths->size) ? ims_fail_nomem(err) : IMGSTORE_OK;
}

int32_t ims_apply_finish(ims_apply *a, ims_error *err) {
  int32_t rc = usable(a, false, err);
  if (!rc)
    rc = ims_dirs_clear(&a->tree.dirs, err);
  ims_dir *root = ims_tree_root(&a->tree);
  if (!rc)
    rc = ims_dirs_settle(&a->tree.dirs, root, err);
  if (!rc && a->flush && a->tree.sys->syncfs(root->fd) != 0)
    rc = ims_fail_os(err, errno, "cannot flush the target directory");
  a->failed = true; /* nothing more is to come */
  return rc;
}
