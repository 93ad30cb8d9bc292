/*
 * rootfs/diff.h (L3) - a directory as a layer: the upper directory of an overlay, or a whole tree. The same directory
 * gives the same bytes: sorted, numeric owners, nothing of where and when it is made.
 *
 * Whatever is in the directory, nothing outside is read, and nothing but regular files is opened to read. It may change
 * meanwhile: a file or directory that does is an error (IMGSTORE_ECONFLICT) that names it, never half of one and half
 * of another.
 */
#ifndef IMS_ROOTFS_DIFF_H
#define IMS_ROOTFS_DIFF_H

#include "rootfs/disk_entry.h"
#include "rootfs/lower_stack.h"
#include "rootfs/overlay_marks.h"

typedef struct ims_diff_options {
  int32_t marks;           /**< IMS_MARKS_* of the directory: how it says what it hides */
  ims_disk_rules rules;    /**< maps must outlive the diff */
  const char *prefix;      /**< what the paths in the layer begin with, as "opt/app"; NULL or "": nothing */
  ims_lower_stack *lowers; /**< with marks NONE: only what is different from them; must outlive the diff. Else NULL */
  bool root;               /**< the directory itself is an entry too ("./", or the prefix), when anything else is */
  bool always_root;        /**< also when nothing else is */
} ims_diff_options;

/** Takes bytes of the layer. */
typedef int32_t (*ims_diff_sink)(void *data, const void *bytes, size_t size, ims_error *err);

typedef struct ims_diff ims_diff;

/**
 * directory: stays the caller's, must stay open. report: SKIPPED lines for what a layer cannot have (sockets, names
 * that mean whiteouts, devices 0:0, file systems mounted inside); or NULL. Texts of options are copied.
 */
int32_t ims_diff_new(ims_diff **diff, const ims_core *core, int directory, const ims_diff_options *options,
                     imgstore_report *report, ims_error *err);
void ims_diff_free(ims_diff *diff);
/**
 * Gives about budget more bytes of the tar to sink. IMGSTORE_EAGAIN: there is more; IMGSTORE_OK: that was all, end
 * marker included. Errors name the path: IMGSTORE_ECONFLICT (it changed), IMGSTORE_EUNSUPPORTED (a redirect, a file
 * without its data), IMGSTORE_EINVALID (an owner that the maps do not cover), IMGSTORE_ELIMIT (depth, entries), ...
 */
int32_t ims_diff_run(ims_diff *diff, uint64_t budget, ims_diff_sink sink, void *data, ims_error *err);
/** Entries so far. */
uint64_t ims_diff_entries(const ims_diff *diff);

#endif
