/*
 * rootfs/lower_stack.h (L3) - what the lower directories of an overlay show together, name by name, without mounting
 * them. Links are not followed, nothing outside of them is looked at.
 */
#ifndef IMS_ROOTFS_LOWER_STACK_H
#define IMS_ROOTFS_LOWER_STACK_H

#include "base/buf.h"
#include "base/core.h"
#include "base/error.h"
#include "rootfs/overlay_marks.h"

typedef struct ims_lower_level ims_lower_level;

typedef struct ims_lower_stack {
  const ims_core *core;
  int32_t marks;
  int *roots; /**< uppermost first */
  size_t count;
  ims_lower_level *levels; /**< the directories on the way down: which lower directories have each */
  size_t depth, capacity;
} ims_lower_stack;

/** Opens lower directory i, the uppermost first. */
typedef int32_t (*ims_lower_open)(void *data, size_t i, int *fd, ims_error *err);

/** marks: IMS_MARKS_* of the lower directories. The stack is to be freed also when this fails. */
int32_t ims_lowers_init(ims_lower_stack *stack, const ims_core *core, size_t count, int32_t marks, ims_lower_open open,
                        void *data, ims_error *err);
void ims_lowers_free(ims_lower_stack *stack);
/** Goes into the directory at path (relative; its parent was entered last); there may be none: it is empty then. */
int32_t ims_lowers_enter(ims_lower_stack *stack, const char *path, ims_error *err);
void ims_lowers_leave(ims_lower_stack *stack);
/** Looks for path, which is in the directory that was entered last. *found: with its st. */
int32_t ims_lowers_find(ims_lower_stack *stack, const char *path, bool *found, struct stat *st, ims_error *err);
/** Opens path, a regular file or directory that was found. */
int32_t ims_lowers_open(ims_lower_stack *stack, const char *path, int *fd, ims_error *err);
/** Reads the target of path, a link that was found. *got: its bytes, size when there are more. */
int32_t ims_lowers_readlink(ims_lower_stack *stack, const char *path, char *target, size_t size, ssize_t *got,
                            ims_error *err);

/** Names, sorted. */
typedef struct ims_name_list {
  ims_buf text;
  const char **items;
  size_t count;
} ims_name_list;
/** All names of the directory at path, which was entered last. */
int32_t ims_lowers_names(ims_lower_stack *stack, const char *path, ims_name_list *names, ims_error *err);
void ims_name_list_free(ims_name_list *names);

#endif
