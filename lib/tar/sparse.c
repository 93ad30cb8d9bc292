/*
 * tar/sparse.c (L1) - sparse maps. Every form ends in ims_tar_map_add, which is where order, overlap and count are
 * checked.
 */
#include "tar/sparse.h"

#include <string.h>

#include "base/text.h"
#include "tar/header.h"

/* The old GNU layout; fields that POSIX has other uses for. */
enum {
  OLD_NUMBER_SIZE = 12,
  OLD_HEADER_MAP = 386,
  OLD_HEADER_SEGMENTS = 4,
  OLD_HEADER_MORE = 482,
  OLD_HEADER_FILE_SIZE = 483,
  OLD_EXTENSION_SEGMENTS = 21,
  OLD_EXTENSION_MORE = 504
};

enum { DECIMAL_DIGITS_MAX = 20 };

void ims_tar_map_init(ims_tar_map *map, const ims_alloc *alloc) {
  memset(map, 0, sizeof *map);
  map->alloc = alloc;
}

void ims_tar_map_free(ims_tar_map *map) {
  ims_free(map->alloc, map->items);
  ims_tar_map_init(map, map->alloc);
}

void ims_tar_map_clear(ims_tar_map *map) {
  ims_tar_segment *items = map->items;
  size_t capacity = map->capacity;
  ims_tar_map_init(map, map->alloc);
  map->items = items;
  map->capacity = capacity;
}

static int32_t reserve(ims_tar_map *map, ims_error *err) {
  if (map->count < map->capacity)
    return IMGSTORE_OK;
  size_t capacity = map->capacity ? map->capacity * 2 : 16;
  ims_tar_segment *items = ims_realloc_array(map->alloc, map->items, capacity, sizeof *items);
  if (!items)
    return ims_fail_nomem(err);
  map->items = items;
  map->capacity = capacity;
  return IMGSTORE_OK;
}

int32_t ims_tar_map_add(ims_tar_map *map, uint64_t offset, uint64_t size, ims_error *err) {
  if (map->stated == IMS_TAR_SEGMENTS_MAX)
    return ims_fail(err, IMGSTORE_ELIMIT, "more than %d sparse segments", IMS_TAR_SEGMENTS_MAX);
  if (offset > INT64_MAX || size > INT64_MAX - offset)
    return ims_fail(err, IMGSTORE_EFORMAT, "sparse segment outside of any file");
  if (offset < map->end)
    return ims_fail(err, IMGSTORE_EFORMAT, "sparse segments overlap or are out of order");
  if (reserve(map, err) != IMGSTORE_OK)
    return IMGSTORE_ENOMEM;
  map->stated++;
  map->end = offset + size;
  if (!size)
    return IMGSTORE_OK; /* writers end a map with one at the file's size, to say where a last hole ends */
  map->data_size += size;
  map->items[map->count++] = (ims_tar_segment){offset, size};
  return IMGSTORE_OK;
}

int32_t ims_tar_map_add_half(ims_tar_map *map, bool is_size, uint64_t value, ims_error *err) {
  if (is_size != map->half)
    return ims_fail(err, IMGSTORE_EFORMAT, "sparse offsets and sizes do not alternate");
  map->half = !map->half;
  if (is_size)
    return ims_tar_map_add(map, map->offset, value, err);
  map->offset = value;
  return IMGSTORE_OK;
}

int32_t ims_tar_map_add_text(ims_tar_map *map, const char *text, size_t size, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  for (size_t at = 0; at < size && rc == IMGSTORE_OK;) {
    const char *comma = memchr(text + at, ',', size - at);
    size_t length = comma ? (size_t)(comma - text) - at : size - at;
    uint64_t value;
    if (!ims_parse_u64(text + at, length, INT64_MAX, &value) || at + length + 1 == size)
      return ims_fail(err, IMGSTORE_EFORMAT, "malformed sparse map");
    rc = ims_tar_map_add_half(map, map->half, value, err);
    at += length + 1;
  }
  return rc;
}

static int32_t add_old(ims_tar_map *map, const uint8_t *numbers, int segments, ims_error *err) {
  for (int i = 0; i < segments; i++, numbers += 2 * OLD_NUMBER_SIZE) {
    int64_t offset, size;
    if (!numbers[0])
      break;
    if (!ims_tar_number(numbers, OLD_NUMBER_SIZE, &offset) ||
        !ims_tar_number(numbers + OLD_NUMBER_SIZE, OLD_NUMBER_SIZE, &size) || offset < 0 || size < 0)
      return ims_fail(err, IMGSTORE_EFORMAT, "malformed sparse map");
    int32_t rc = ims_tar_map_add(map, (uint64_t)offset, (uint64_t)size, err);
    if (rc != IMGSTORE_OK)
      return rc;
  }
  return IMGSTORE_OK;
}

int32_t ims_tar_map_add_header(ims_tar_map *map, const uint8_t *block, int64_t *file_size, bool *more, ims_error *err) {
  *more = block[OLD_HEADER_MORE] != 0;
  if (!ims_tar_number(block + OLD_HEADER_FILE_SIZE, OLD_NUMBER_SIZE, file_size) || *file_size < 0)
    return ims_fail(err, IMGSTORE_EFORMAT, "malformed size of a sparse file");
  return add_old(map, block + OLD_HEADER_MAP, OLD_HEADER_SEGMENTS, err);
}

int32_t ims_tar_map_add_extension(ims_tar_map *map, const uint8_t *block, bool *more, ims_error *err) {
  const size_t before = map->stated;
  *more = block[OLD_EXTENSION_MORE] != 0;
  int32_t rc = add_old(map, block, OLD_EXTENSION_SEGMENTS, err);
  if (rc == IMGSTORE_OK && *more && map->stated == before) /* the cap on segments must also end chains of nothing */
    rc = ims_fail(err, IMGSTORE_EFORMAT, "empty sparse extension block");
  return rc;
}

static int32_t add_line(ims_tar_map *map, ims_error *err) {
  const uint64_t value = map->number;
  if (!map->digits)
    return ims_fail(err, IMGSTORE_EFORMAT, "malformed sparse map");
  map->number = 0;
  map->digits = 0;
  if (map->counted)
    return ims_tar_map_add_half(map, map->half, value, err);
  if (value > IMS_TAR_SEGMENTS_MAX)
    return ims_fail(err, IMGSTORE_ELIMIT, "more than %d sparse segments", IMS_TAR_SEGMENTS_MAX);
  map->counted = true;
  map->due = value;
  return IMGSTORE_OK;
}

static int32_t add_digit(ims_tar_map *map, uint8_t c, ims_error *err) {
  if (!ims_is_digit((char)c) || ++map->digits > DECIMAL_DIGITS_MAX || map->number > (INT64_MAX - 9) / 10)
    return ims_fail(err, IMGSTORE_EFORMAT, "malformed sparse map");
  map->number = map->number * 10 + (uint64_t)(c - '0');
  return IMGSTORE_OK;
}

int32_t ims_tar_map_add_lines(ims_tar_map *map, const uint8_t *text, size_t size, size_t *used, bool *complete,
                              ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  size_t i = 0;
  *complete = false;
  for (; i < size && !*complete && rc == IMGSTORE_OK; i++) {
    rc = text[i] == '\n' ? add_line(map, err) : add_digit(map, text[i], err);
    *complete = map->counted && map->stated == map->due && !map->half;
  }
  *used = i;
  return rc;
}

int32_t ims_tar_map_finish(ims_tar_map *map, uint64_t file_size, uint64_t data_size, ims_error *err) {
  if (map->half)
    return ims_fail(err, IMGSTORE_EFORMAT, "sparse offset without a size");
  if (map->end > file_size)
    return ims_fail(err, IMGSTORE_EFORMAT, "sparse segment beyond the end of the file");
  if (map->data_size != data_size)
    return ims_fail(err, IMGSTORE_EFORMAT, "sparse segments do not add up to the size of the content");
  return map->items ? IMGSTORE_OK : reserve(map, err); /* a file that is one hole has a map too */
}
