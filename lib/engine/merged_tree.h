/*
 * engine/merged_tree.h (L4) - the names of an image's merged layers in memory, without any file being made: what
 * applying the layers would give, so that one file can be found.
 */
#ifndef IMS_ENGINE_MERGED_TREE_H
#define IMS_ENGINE_MERGED_TREE_H

#include "base/alloc.h"
#include "base/error.h"
#include "tar/reader.h"

typedef struct ims_merged_tree ims_merged_tree;

/** Where the content of a regular file is. */
typedef struct ims_merged_file {
  size_t layer;
  uint64_t entry; /**< number of the entry in the layer */
  uint64_t size;
} ims_merged_file;

int32_t ims_merged_tree_new(ims_merged_tree **tree, const ims_alloc *alloc, ims_error *err);
void ims_merged_tree_free(ims_merged_tree *tree);
/** Layers are added base first; number them from 0. */
void ims_merged_tree_begin_layer(ims_merged_tree *tree, size_t layer);
/** path: cleaned by ims_layer_path; whiteout: IMS_WHITEOUT_*; number: of the entry in the layer. */
int32_t ims_merged_tree_add(ims_merged_tree *tree, const char *path, int whiteout, const ims_tar_entry *entry,
                            uint64_t number, ims_error *err);
/** Follows symbolic links inside the tree. Errors: IMGSTORE_ENOTFOUND, IMGSTORE_EINVALID (not a regular file),
 * IMGSTORE_ELIMIT. */
int32_t ims_merged_tree_find(ims_merged_tree *tree, const char *path, ims_merged_file *file, ims_error *err);

#endif
