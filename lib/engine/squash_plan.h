/*
 * engine/squash_plan.h (L4) - what a squashed layer consists of: the difference between the merged tree of the layers
 * below and the merged tree of all. Reads nothing.
 */
#ifndef IMS_ENGINE_SQUASH_PLAN_H
#define IMS_ENGINE_SQUASH_PLAN_H

#include "engine/merged_tree.h"

enum { IMS_SQUASH_DIRECTORY, IMS_SQUASH_WHITEOUT, IMS_SQUASH_OPAQUE };

/** Something without content: a directory, or a whiteout (path is then its own, .wh. included). */
typedef struct ims_squash_head {
  const char *path;
  int kind;
  ims_merged_file file; /**< of a directory: what describes it; entry may be IMS_MERGED_NO_ENTRY */
} ims_squash_head;

/** Anything else. Names of one file have the same file and follow each other. */
typedef struct ims_squash_file {
  const char *path;
  ims_merged_file file;
  const char *target; /**< of a new name for a file of the layers below: the name that it keeps there; else NULL */
} ims_squash_file;

typedef struct ims_squash_plan {
  const ims_alloc *alloc;
  void *arena; /**< of the paths */
  ims_squash_head *heads;
  size_t head_count, head_capacity;
  ims_squash_file *files; /**< in the order of layers and their entries, then by path */
  size_t file_count, file_capacity;
} ims_squash_plan;

/** full: all layers; below: the layers before number from, or NULL when from is 0. */
int32_t ims_squash_plan_make(ims_squash_plan *plan, const ims_alloc *alloc, const ims_merged_tree *full,
                             const ims_merged_tree *below, size_t from, ims_error *err);
void ims_squash_plan_free(ims_squash_plan *plan);

#endif
