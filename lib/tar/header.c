/*
 * tar/header.c (L1) - decoding one header block. Follows what container tools agree on: the magic decides whether
 * there is a prefix, a number is octal unless its first bit is set, and the type is the typeflag's alone.
 */
#include "tar/header.h"

#include <string.h>

/* The star format: ustar magic, this trailer, and a shorter prefix because times follow it. */
enum { STAR_TRAILER_OFFSET = 508, STAR_PREFIX_SIZE = 131 };

bool ims_tar_block_is_zero(const uint8_t *block) {
  return block[0] == 0 && memcmp(block, block + 1, IMS_TAR_BLOCK_SIZE - 1) == 0;
}

static bool is_filler(uint8_t c) {
  return c == ' ' || c == '\0';
}

static bool parse_octal(const uint8_t *field, size_t size, int64_t *value) {
  uint64_t v = 0;
  while (size && is_filler(*field))
    field++, size--;
  while (size && is_filler(field[size - 1]))
    size--;
  for (size_t i = 0; i < size && field[i]; i++) {
    if (field[i] < '0' || field[i] > '7' || v >> 60)
      return false;
    v = v << 3 | (uint64_t)(field[i] - '0');
  }
  *value = (int64_t)v;
  return true;
}

/* The first bit marks the form and the second is the sign, so a field of n bytes has 8n - 1 bits. */
static bool parse_base256(const uint8_t *field, size_t size, int64_t *value) {
  const uint8_t invert = field[0] & 0x40 ? 0xff : 0;
  uint64_t v = (field[0] ^ invert) & 0x7f;
  for (size_t i = 1; i < size; i++) {
    if (v >> 55)
      return false;
    v = v << 8 | (uint8_t)(field[i] ^ invert);
  }
  *value = invert ? -1 - (int64_t)v : (int64_t)v;
  return true;
}

bool ims_tar_number(const uint8_t *field, size_t size, int64_t *value) {
  *value = 0;
  return field[0] & 0x80 ? parse_base256(field, size, value) : parse_octal(field, size, value);
}

static bool get_number(const uint8_t *block, int which, int64_t *value) {
  return ims_tar_number(block + ims_tar_layout[which].offset, ims_tar_layout[which].size, value);
}

bool ims_tar_checksum_ok(ims_tar_codec *codec, const uint8_t *block) {
  int64_t stated;
  const ims_tar_field field = ims_tar_layout[IMS_TAR_FIELD_CHECKSUM];
  if (!parse_octal(block + field.offset, field.size, &stated))
    return false;
  return stated == ims_tar_codec_sum(codec, block) || stated == ims_tar_codec_signed_sum(codec, block);
}

uint8_t ims_tar_typeflag(const uint8_t *block) {
  return block[ims_tar_layout[IMS_TAR_FIELD_TYPEFLAG].offset];
}

static int magic_of(const uint8_t *block) {
  const uint8_t *magic = block + ims_tar_layout[IMS_TAR_FIELD_MAGIC].offset;
  const uint8_t *version = block + ims_tar_layout[IMS_TAR_FIELD_VERSION].offset;
  if (memcmp(magic, "ustar", 6) == 0)
    return memcmp(block + STAR_TRAILER_OFFSET, "tar", 4) == 0 ? IMS_TAR_MAGIC_STAR : IMS_TAR_MAGIC_USTAR;
  if (memcmp(magic, "ustar ", 6) == 0 && memcmp(version, " ", 2) == 0)
    return IMS_TAR_MAGIC_GNU;
  return IMS_TAR_MAGIC_V7;
}

/* Copies a field that is NUL-terminated unless it is full. Returns the bytes before the NUL. */
static size_t copy_text(char *out, const uint8_t *field, size_t size) {
  const uint8_t *nul = memchr(field, 0, size);
  size_t length = nul ? (size_t)(nul - field) : size;
  memcpy(out, field, length);
  out[length] = '\0';
  return length;
}

static void decode_names(ims_tar_header *header, const uint8_t *block) {
  const ims_tar_field name = ims_tar_layout[IMS_TAR_FIELD_NAME], link = ims_tar_layout[IMS_TAR_FIELD_LINKNAME];
  const ims_tar_field prefix = ims_tar_layout[IMS_TAR_FIELD_PREFIX];
  size_t length = 0;
  if (header->magic == IMS_TAR_MAGIC_USTAR)
    length = copy_text(header->name, block + prefix.offset, prefix.size);
  else if (header->magic == IMS_TAR_MAGIC_STAR)
    length = copy_text(header->name, block + prefix.offset, STAR_PREFIX_SIZE);
  if (length)
    header->name[length++] = '/';
  copy_text(header->name + length, block + name.offset, name.size);
  copy_text(header->link, block + link.offset, link.size);
}

int32_t ims_tar_header_decode(ims_tar_header *header, const uint8_t *block, ims_error *err) {
  int64_t mode;
  header->typeflag = ims_tar_typeflag(block);
  header->magic = magic_of(block);
  header->major = header->minor = 0;
  decode_names(header, block);
  if (!get_number(block, IMS_TAR_FIELD_MODE, &mode))
    return ims_fail(err, IMGSTORE_EFORMAT, "malformed mode field");
  if (!get_number(block, IMS_TAR_FIELD_UID, &header->uid))
    return ims_fail(err, IMGSTORE_EFORMAT, "malformed uid field");
  if (!get_number(block, IMS_TAR_FIELD_GID, &header->gid))
    return ims_fail(err, IMGSTORE_EFORMAT, "malformed gid field");
  if (!get_number(block, IMS_TAR_FIELD_SIZE, &header->size))
    return ims_fail(err, IMGSTORE_EFORMAT, "malformed size field");
  if (!get_number(block, IMS_TAR_FIELD_MTIME, &header->mtime))
    return ims_fail(err, IMGSTORE_EFORMAT, "malformed mtime field");
  header->mode = (uint32_t)((uint64_t)mode & 07777); /* some writers put the file type here: it is not looked at */
  if (mode < 0)
    return ims_fail(err, IMGSTORE_EFORMAT, "negative mode");
  if ((header->typeflag != '3' && header->typeflag != '4') || header->magic == IMS_TAR_MAGIC_V7)
    return IMGSTORE_OK; /* the fields are unused, whatever is in them */
  if (!get_number(block, IMS_TAR_FIELD_MAJOR, &header->major) ||
      !get_number(block, IMS_TAR_FIELD_MINOR, &header->minor))
    return ims_fail(err, IMGSTORE_EFORMAT, "malformed device number");
  return IMGSTORE_OK;
}
