/*
 * tar/xattr.c (L1) - the list of an entry's extended attributes and libarchive's encoding of them.
 */
#include "tar/xattr.h"

#include <string.h>

enum { TAG_ENCODED = 1 }; /* lowest bit of a tag: came from LIBARCHIVE.xattr */

void ims_tar_xattrs_init(ims_tar_xattrs *list, const ims_alloc *alloc) {
  memset(list, 0, sizeof *list);
  list->alloc = alloc;
}

void ims_tar_xattrs_free(ims_tar_xattrs *list) {
  ims_free(list->alloc, list->items);
  ims_free(list->alloc, list->tags);
  ims_tar_xattrs_init(list, list->alloc);
}

static int32_t grow(ims_tar_xattrs *list, ims_error *err) {
  size_t capacity = list->capacity ? list->capacity * 2 : 8;
  if (list->count < list->capacity)
    return IMGSTORE_OK;
  ims_tar_xattr *items = ims_realloc_array(list->alloc, list->items, capacity, sizeof *items);
  if (items)
    list->items = items;
  uint32_t *tags = ims_realloc_array(list->alloc, list->tags, capacity, sizeof *tags);
  if (tags)
    list->tags = tags;
  if (!items || !tags)
    return ims_fail_nomem(err);
  list->capacity = capacity;
  return IMGSTORE_OK;
}

static uint32_t tag_of(const char *name, uint32_t origin) {
  uint32_t hash = 2166136261u;
  for (; *name; name++)
    hash = (hash ^ (uint8_t)*name) * 16777619u;
  return (hash & ~(uint32_t)TAG_ENCODED) | origin;
}

static int32_t put(ims_tar_xattrs *list, ims_tar_xattr item, uint32_t origin, ims_error *err) {
  const uint32_t tag = tag_of(item.name, origin);
  if (!item.name[0])
    return ims_fail(err, IMGSTORE_EFORMAT, "extended attribute without a name");
  for (size_t i = 0; i < list->count; i++) {
    if ((list->tags[i] | TAG_ENCODED) != (tag | TAG_ENCODED) || strcmp(list->items[i].name, item.name) != 0)
      continue;
    if (origin == TAG_ENCODED && !(list->tags[i] & TAG_ENCODED))
      return IMGSTORE_OK;
    list->items[i] = item;
    list->tags[i] = tag;
    return IMGSTORE_OK;
  }
  if (list->count == IMS_TAR_XATTRS_MAX)
    return ims_fail(err, IMGSTORE_ELIMIT, "more than %d extended attributes", IMS_TAR_XATTRS_MAX);
  if (grow(list, err) != IMGSTORE_OK)
    return IMGSTORE_ENOMEM;
  list->items[list->count] = item;
  list->tags[list->count++] = tag;
  return IMGSTORE_OK;
}

int32_t ims_tar_xattrs_add(ims_tar_xattrs *list, const char *name, const uint8_t *value, size_t size, ims_error *err) {
  return put(list, (ims_tar_xattr){name, value, size}, 0, err);
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool decode_percent(char *text) {
  char *out = text;
  for (const char *in = text; *in; in++) {
    char c = *in;
    if (c == '%') {
      int high = hex_digit(in[1]), low = high < 0 ? -1 : hex_digit(in[2]);
      if (low < 0 || (high == 0 && low == 0))
        return false;
      c = (char)(high << 4 | low);
      in += 2;
    }
    *out++ = c;
  }
  *out = '\0';
  return true;
}

static int base64_digit(uint8_t c) {
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  if (c >= 'a' && c <= 'z')
    return c - 'a' + 26;
  if (c >= '0' && c <= '9')
    return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Strict, with or without padding; bits that no byte uses must be zero. */
static bool decode_base64(uint8_t *text, size_t *size) {
  size_t length = *size, made = 0;
  uint32_t bits = 0;
  if (length && length % 4 == 0)
    for (int i = 0; i < 2 && text[length - 1] == '='; i++)
      length--;
  for (size_t i = 0; i < length; i++) {
    int digit = base64_digit(text[i]);
    if (digit < 0)
      return false;
    bits = bits << 6 | (uint32_t)digit;
    if (i % 4)
      text[made++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
  }
  *size = made;
  if (length % 4 == 1)
    return false;
  return length % 4 == 0 || (bits & (length % 4 == 2 ? 15u : 3u)) == 0;
}

int32_t ims_tar_xattrs_add_encoded(ims_tar_xattrs *list, char *name, uint8_t *value, size_t size, ims_error *err) {
  if (!decode_percent(name))
    return ims_fail(err, IMGSTORE_EFORMAT, "malformed name of a LIBARCHIVE.xattr record");
  if (!decode_base64(value, &size))
    return ims_fail(err, IMGSTORE_EFORMAT, "malformed base64 in LIBARCHIVE.xattr.%.100s", name);
  return put(list, (ims_tar_xattr){name, value, size}, TAG_ENCODED, err);
}
