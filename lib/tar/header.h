/*
 * tar/header.h (L1) - what the fields of a tar header block mean: magic, names, octal and base-256 numbers. Knows
 * nothing of extension headers, of what follows the block, or of what an entry may be.
 */
#ifndef IMS_TAR_HEADER_H
#define IMS_TAR_HEADER_H

#include "base/error.h"
#include "tar/codec.h"

enum { IMS_TAR_MAGIC_V7, IMS_TAR_MAGIC_USTAR, IMS_TAR_MAGIC_STAR, IMS_TAR_MAGIC_GNU };
enum { IMS_TAR_NAME_CAPACITY = 155 + 1 + 100 + 1, IMS_TAR_LINK_CAPACITY = 100 + 1 };

typedef struct ims_tar_header {
  uint8_t typeflag;
  int magic; /**< IMS_TAR_MAGIC_* */
  uint32_t mode;
  int64_t uid, gid, size, mtime; /**< may be negative: an extended header may still replace them */
  int64_t major, minor;          /**< 0 unless the typeflag is of a device */
  char name[IMS_TAR_NAME_CAPACITY];
  char link[IMS_TAR_LINK_CAPACITY];
} ims_tar_header;

bool ims_tar_block_is_zero(const uint8_t *block);
/** Octal digits with spaces and NULs around them, or base-256 in two's complement. An empty field is 0. */
bool ims_tar_number(const uint8_t *field, size_t size, int64_t *value);
/** The checksum that the block carries is one of the two that it may have. */
bool ims_tar_checksum_ok(ims_tar_codec *codec, const uint8_t *block);
/** Only the type, so that the caller can tell extension headers from entries. */
uint8_t ims_tar_typeflag(const uint8_t *block);
/** Decodes a block whose checksum is right. Names are set also when it fails. Errors: IMGSTORE_EFORMAT. */
int32_t ims_tar_header_decode(ims_tar_header *header, const uint8_t *block, ims_error *err);

#endif
