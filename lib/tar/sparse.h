/*
 * tar/sparse.h (L1) - the map of a sparse file, from each of the forms it is stored in: old GNU header blocks, PAX
 * records (GNU 0.0 and 0.1) and decimal text before the content (GNU 1.0). Segments come in order, do not overlap,
 * and lie inside the file.
 */
#ifndef IMS_TAR_SPARSE_H
#define IMS_TAR_SPARSE_H

#include "tar/reader.h"

enum { IMS_TAR_SEGMENTS_MAX = 65536 };

typedef struct ims_tar_map {
  const ims_alloc *alloc;
  ims_tar_segment *items; /**< without empty segments */
  size_t count, capacity;
  size_t stated;      /**< segments that were stated, empty ones too */
  uint64_t end;       /**< of the last segment */
  uint64_t data_size; /**< of all segments */
  uint64_t offset;    /**< a PAX 0.0 offset or 1.0 offset whose size has not come yet */
  bool half;          /**< there is such an offset */
  /* 1.0 only: the number that is being read, and how many segments are due */
  uint64_t number;
  unsigned digits;
  bool counted;
  uint64_t due;
} ims_tar_map;

void ims_tar_map_init(ims_tar_map *map, const ims_alloc *alloc);
void ims_tar_map_free(ims_tar_map *map);
/** Forgets the segments, keeps the memory. */
void ims_tar_map_clear(ims_tar_map *map);
/** Errors of all that add: IMGSTORE_EFORMAT, IMGSTORE_ELIMIT (segments), IMGSTORE_ENOMEM. */
int32_t ims_tar_map_add(ims_tar_map *map, uint64_t offset, uint64_t size, ims_error *err);
/** PAX 0.0: one offset or one size; they must alternate. */
int32_t ims_tar_map_add_half(ims_tar_map *map, bool is_size, uint64_t value, ims_error *err);
/** PAX 0.1: "offset,size,offset,size". */
int32_t ims_tar_map_add_text(ims_tar_map *map, const char *text, size_t size, ims_error *err);
/** Old GNU: the header block, with the file's size, then extension blocks as long as *more. */
int32_t ims_tar_map_add_header(ims_tar_map *map, const uint8_t *block, int64_t *file_size, bool *more, ims_error *err);
int32_t ims_tar_map_add_extension(ims_tar_map *map, const uint8_t *block, bool *more, ims_error *err);
/** PAX 1.0: takes text until the map is complete. */
int32_t ims_tar_map_add_lines(ims_tar_map *map, const uint8_t *text, size_t size, size_t *used, bool *complete,
                              ims_error *err);
/** The map is complete: checks it against the file's size and the bytes that the archive has for it. */
int32_t ims_tar_map_finish(ims_tar_map *map, uint64_t file_size, uint64_t data_size, ims_error *err);

#endif
