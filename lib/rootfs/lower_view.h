/*
 * rootfs/lower_view.h (L3) - looks objects up in layer directories that lie on each other, by the rules of overlayfs:
 * whiteouts, opaque directories, what is no directory hides what is below. Never follows a link. Knows nothing of tar.
 */
#ifndef IMS_ROOTFS_LOWER_VIEW_H
#define IMS_ROOTFS_LOWER_VIEW_H

#include "base/buf.h"
#include "base/error.h"
#include "base/sys.h"

/** One layer's directory. */
typedef struct ims_lower {
  int dir;            /**< an open directory, borrowed */
  const char *prefix; /**< the layer's root relative to it; borrowed */
  bool opaque;        /**< it may have opaque directories */
  bool default_acls;  /**< it has default ACLs */
  bool any_attributes;
  const ims_buf *attributes; /**< as in ims_layer_record; NULL: none */
} ims_lower;

typedef struct ims_lower_view {
  const ims_alloc *alloc;
  const ims_sys *sys;
  const char *opaque_name; /**< the attribute that marks an opaque directory */
  ims_lower *layers;       /**< the uppermost first */
  size_t count;
} ims_lower_view;

enum { IMS_LOWER_NONE = 0, IMS_LOWER_DIRECTORY, IMS_LOWER_LINK, IMS_LOWER_OTHER };

typedef struct ims_lower_object {
  int kind;
  int fd; /**< O_PATH; -1 with IMS_LOWER_NONE; closed by the caller */
  struct stat st;
} ims_lower_object;

/** path: cleaned, "" is the root. Nothing there is IMS_LOWER_NONE, not an error. */
int32_t ims_lower_find(const ims_lower_view *view, const char *path, ims_lower_object *object, ims_error *err);
/** The same in one layer. *stop: it decides, whatever is below it. */
int32_t ims_lower_look(const ims_lower_view *view, const ims_lower *layer, const char *path, ims_lower_object *object,
                       bool *stop, ims_error *err);
bool ims_is_whiteout(const struct stat *st);
/** Whether an open object has an attribute. Returns 0 or an errno. */
int ims_has_xattr(const ims_sys *sys, int fd, const char *name, bool *has);

#endif
