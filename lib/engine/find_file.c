/*
 * engine/find_file.c (L4) - one file out of an image's merged layers, without unpacking: the names of all layers first,
 * then the content from the one layer that has it.
 */
#include <string.h>

#include "engine/content.h"
#include "engine/merged_tree.h"
#include "tar/whiteout.h"

static int32_t add_layer(ims_merged_tree *tree, const imgstore_image *image, size_t i, ims_error *err) {
  imgstore_files *files;
  int32_t rc = ims_files_open(&files, image->layers[i], err);
  if (rc)
    return rc;
  ims_merged_tree_begin_layer(tree, i);
  for (uint64_t number = 0; !(rc = ims_files_next(files, err)); number++) {
    int32_t type = imgstore_files_type(files);
    int whiteout = type == IMGSTORE_FILE_WHITEOUT ? IMS_WHITEOUT_FILE
                   : type == IMGSTORE_FILE_OPAQUE ? IMS_WHITEOUT_OPAQUE
                                                  : IMS_WHITEOUT_NONE;
    rc = ims_merged_tree_add(tree, imgstore_files_path(files), whiteout, ims_files_entry(files), number, err);
    if (rc)
      break;
  }
  ims_files_close(files);
  if (rc == IMGSTORE_ENOTFOUND && (!err || !err->code))
    return IMGSTORE_OK;
  ims_error_prefix(err, "layer %s", image->layers[i]->digest.text);
  return rc;
}

static int32_t read_content(imgstore_files *files, ims_buf *out, ims_error *err) {
  char piece[16 << 10];
  size_t got;
  int32_t rc;
  while (!(rc = ims_files_read(files, piece, sizeof piece, &got, err)) && got)
    if (ims_buf_append(out, piece, got))
      return ims_fail_nomem(err);
  return rc;
}

/* Reads the content and then the rest of the layer: only its end says that all of it was right. */
static int32_t read_entry(const imgstore_image *image, const ims_merged_file *file, ims_buf *out, ims_error *err) {
  imgstore_files *files;
  int32_t rc = ims_files_open(&files, image->layers[file->layer], err);
  if (rc)
    return rc;
  for (uint64_t number = 0; !(rc = ims_files_next(files, err)); number++) {
    if (number == file->entry && (rc = read_content(files, out, err)))
      break;
  }
  ims_files_close(files);
  return rc == IMGSTORE_ENOTFOUND && (!err || !err->code) ? IMGSTORE_OK : rc;
}

int32_t ims_image_read_file(const imgstore_image *image, const char *path, uint64_t max_size, ims_buf *out,
                            ims_error *err) {
  ims_merged_tree *tree;
  ims_merged_file file;
  int32_t rc = ims_merged_tree_new(&tree, &image->core->alloc, err);
  for (size_t i = 0; !rc && i < image->layer_count; i++)
    rc = add_layer(tree, image, i, err);
  if (!rc)
    rc = ims_merged_tree_find(tree, path, &file, err);
  if (!rc && file.size > max_size)
    rc = ims_fail(err, IMGSTORE_ELIMIT, "\"%s\": has %llu bytes, more than %llu", path, (unsigned long long)file.size,
                  (unsigned long long)max_size);
  if (!rc)
    rc = read_entry(image, &file, out, err);
  ims_merged_tree_free(tree);
  return rc;
}
