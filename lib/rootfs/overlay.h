/*
 * rootfs/overlay.h (L3) - one layer applied to a directory of its own, in the form that overlayfs takes as a lower
 * directory, so that mounting the layers on each other gives what applying them in turn to one directory gives.
 *
 * The layers below need not be there yet. What is placed without them is: objects, and the directories that lead to
 * them (placeholders, described later from the layers below); whiteouts and opaque marks, which hurt nobody where there
 * is nothing to hide. Where only the layers below can tell what an entry means (a link in its path, a hard link to
 * another layer's file) the overlay becomes unsure: then the layer is applied again with the layers below in view.
 */
#ifndef IMS_ROOTFS_OVERLAY_H
#define IMS_ROOTFS_OVERLAY_H

#include "base/core.h"
#include "rootfs/create.h"
#include "rootfs/lower_view.h"

typedef struct ims_overlay {
  const ims_core *core;
  const char *opaque_name;    /**< the attribute; borrowed */
  const ims_lower_view *view; /**< the layers below, or NULL: not known yet; borrowed */
  bool unsure;
  bool has_opaque;      /**< there are opaque directories in this layer */
  bool root_described;  /**< by an entry */
  ims_buf placeholders; /**< a letter of IMS_PLACEHOLDER_*, the path and its NUL, in the order they were made */
  ims_created_set placeholder_paths; /**< hashes of the same paths, and of what leads to them; slots NULL: none yet */
} ims_overlay;

void ims_overlay_init(ims_overlay *overlay, const ims_core *core, const char *opaque_name);
void ims_overlay_free(ims_overlay *overlay);

/** What to do about a directory that this layer does not have. */
enum {
  IMS_OVERLAY_FIND, /**< nothing */
  IMS_OVERLAY_HIDE, /**< make it if something below can be hidden in it */
  IMS_OVERLAY_MAKE  /**< make it */
};

/**
 * Opens the directory at path in this layer, following no link. *dir NULL: it is not there (FIND with a view: in this
 * layer), or nothing can be hidden in it. IMGSTORE_EAGAIN, without a message: unsure.
 */
int32_t ims_overlay_dir(ims_tree *tree, const char *path, int how, ims_dir **dir, ims_error *err);
/** With a view: where path leads to in the merged tree, links followed as if the root were "/", into tree->canon.
 * make, *found: as ims_resolve_dir. */
int32_t ims_overlay_resolve(ims_tree *tree, const char *path, bool make, bool *found, ims_error *err);
/** A whiteout of name in dir. */
int32_t ims_overlay_hide(ims_tree *tree, ims_dir *dir, const char *name, const char *path, ims_error *err);
/** Everything that lower layers have in dir. */
int32_t ims_overlay_hide_content(ims_tree *tree, ims_dir *dir, const char *path, ims_error *err);
/** Marks it: nothing below is seen in it. */
int32_t ims_overlay_set_opaque(ims_tree *tree, ims_dir *dir, const char *path, ims_error *err);
/** Learns whether something below can be seen in dir, which was just opened in parent. */
int32_t ims_overlay_opened(const ims_tree *tree, const ims_dir *parent, ims_dir *dir, const char *path, ims_error *err);
/** An object is about to be replaced by one of another kind. IMGSTORE_EAGAIN when only the layers below can tell what
 * that means. */
int32_t ims_overlay_replaces(ims_tree *tree, const ims_dir *dir, const char *name, const char *path, ims_error *err);
/** A directory was made for an entry: takes over the attributes that the one below has. */
int32_t ims_overlay_made_directory(ims_tree *tree, ims_dir *dir, const char *path, ims_error *err);
/** Notes, when tree->counts, that the directory at path has extended attributes. */
int32_t ims_overlay_note_attributes(ims_tree *tree, const char *path, ims_error *err);
/** Puts a copy of the object that the layers below have at path into this layer. *exists: there is one, and it is no
 * directory. */
int32_t ims_overlay_copy_up(ims_metadata *metadata, const char *path, bool *exists, ims_error *err);

/** With a view: takes over the root of the layers below, before the first entry. */
int32_t ims_overlay_begin(ims_tree *tree, ims_error *err);
/** The layer's entries are over: what was learnt from them is put together, so that memory can go. */
int32_t ims_overlay_seal(ims_tree *tree, ims_error *err);
/** Once the layers below are known: describes the placeholders. IMGSTORE_EAGAIN: unsure. */
int32_t ims_overlay_settle(ims_tree *tree, ims_error *err);

/** Gives dir the owner, attributes, mode and time of the object (copy_up.c). */
int32_t ims_copy_directory(ims_tree *tree, ims_dir *dir, const ims_lower_object *object, const char *path,
                           ims_error *err);
/** Only its attributes; dir->mode is what it is after that. *any: there were some. */
int32_t ims_copy_xattrs(ims_tree *tree, const ims_object *to, const ims_lower_object *from, bool *any, ims_error *err);
/** Makes dir/name a copy of the object, which is no directory. */
int32_t ims_copy_object(ims_metadata *metadata, const ims_place *place, const ims_lower_object *object, ims_error *err);

#endif
