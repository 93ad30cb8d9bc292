/*
 * rootfs/changes.h (L3) - what is different in a directory from what the lower directories show: added, modified and
 * deleted paths, in order. Costs as much as there are changes when the directory is the upper one of an overlay.
 */
#ifndef IMS_ROOTFS_CHANGES_H
#define IMS_ROOTFS_CHANGES_H

#include "rootfs/lower_stack.h"
#include "rootfs/tree_cursor.h"

enum { IMS_CHANGE_ADDED = 1, IMS_CHANGE_MODIFIED, IMS_CHANGE_DELETED };

/** path: relative, without a slash in front. Non-zero stops and is returned. */
typedef int32_t (*ims_change_visit)(void *data, int change, const char *path, ims_error *err);

typedef struct ims_changes ims_changes;

/**
 * directory: stays the caller's, must stay open. marks: IMS_MARKS_* of the directory; NONE: it is a whole tree, which
 * is compared with the lower ones by type, mode, owner, size, time, device and target. lowers: must outlive it.
 */
int32_t ims_changes_new(ims_changes **changes, const ims_core *core, int directory, int32_t marks,
                        ims_lower_stack *lowers, ims_error *err);
void ims_changes_free(ims_changes *changes);
/** Where the walk is: in visit, for what was added or modified, at that entry. */
const ims_tree_cursor *ims_changes_cursor(const ims_changes *changes);
/**
 * Tells more changes, looking at about budget entries. IMGSTORE_EAGAIN: there are more. Errors name the path.
 */
int32_t ims_changes_run(ims_changes *changes, uint64_t budget, ims_change_visit visit, void *data, ims_error *err);

#endif
