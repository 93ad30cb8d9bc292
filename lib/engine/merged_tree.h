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

/** What a node is: names and links are borrowed from the tree until something is added. */
typedef struct ims_merged_node {
  const char *name;     /**< "" for the root */
  int32_t type;         /**< IMS_TAR_*; a hard link has the type of what it links to */
  ims_merged_file file; /**< the entry that says what it is; of hard links to each other the same one */
  size_t born;          /**< the layer that made it; one that lower layers had and a higher one describes anew stays */
} ims_merged_node;

enum { IMS_MERGED_ROOT = 0, IMS_MERGED_NONE = -1 };
/** The entry of a directory that no layer describes: only something in it. */
#define IMS_MERGED_NO_ENTRY UINT64_MAX

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

/** Nodes are numbers, valid until something is added. */
void ims_merged_tree_get(const ims_merged_tree *tree, int32_t node, ims_merged_node *out);
int32_t ims_merged_tree_parent(const ims_merged_tree *tree, int32_t node);
int32_t ims_merged_tree_first(const ims_merged_tree *tree, int32_t directory);
int32_t ims_merged_tree_next(const ims_merged_tree *tree, int32_t node);
/** IMS_MERGED_NONE when there is none. */
int32_t ims_merged_tree_child(const ims_merged_tree *tree, int32_t directory, const char *name);
/** One more than the highest number of a node. */
size_t ims_merged_tree_size(const ims_merged_tree *tree);

#endif
