/*
 * rootfs/tree_cursor.h (L3) - walks a directory tree in sorted order, parents before what they hold, whatever is in it:
 * never through a link, never out of the tree, with one open descriptor and no recursion.
 *
 * The tree may change while it is walked. A directory that is no longer where it was is an error; one that was swapped
 * for something else is never entered.
 */
#ifndef IMS_ROOTFS_TREE_CURSOR_H
#define IMS_ROOTFS_TREE_CURSOR_H

#include "base/buf.h"
#include "base/core.h"
#include "base/error.h"

enum { IMS_CURSOR_END = 0, IMS_CURSOR_ENTRY = 1, IMS_CURSOR_LEAVE = 2 };

typedef struct ims_cursor_level ims_cursor_level;

typedef struct ims_tree_cursor {
  const ims_core *core;
  bool overrides; /**< modes do not bind this process */
  bool entering;  /**< the last event was an entry, which may be entered */
  int fd;         /**< the directory that entries are in */
  ims_cursor_level *levels;
  size_t depth, capacity;
  size_t names_total;
  ims_buf path;     /**< of the last event, relative to the root; "" is the root */
  const char *name; /**< last component of an entry */
  char *buffer;
} ims_tree_cursor;

/** root: stays the caller's. The cursor is to be freed also when this fails. */
int32_t ims_cursor_init(ims_tree_cursor *cursor, const ims_core *core, int root, ims_error *err);
void ims_cursor_free(ims_tree_cursor *cursor);
/**
 * The next event: an entry (name in the directory fd; path), the end of the directory that was entered (fd is still
 * that directory, path its path), or the end of the tree. Errors name the path.
 */
int32_t ims_cursor_next(ims_tree_cursor *cursor, int *event, ims_error *err);
/**
 * Goes into the entry that came last, a directory that st was read from: its entries come next. IMGSTORE_ECONFLICT when
 * something else stands there now, IMGSTORE_ELIMIT when it is too deep or too full.
 */
int32_t ims_cursor_enter(ims_tree_cursor *cursor, const struct stat *st, ims_error *err);
/** Whether the directory that the last entry is in has an entry of this name. */
bool ims_cursor_has(const ims_tree_cursor *cursor, const char *name);

#endif
