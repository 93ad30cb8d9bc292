/*
 * tar/codec.h (L1) - what the header codec does: where the fields of a header block are, and its checksums. Two
 * implementations, one of which is built in: codec_libtar.c and codec_builtin.c. What the bytes of a field mean is
 * tar/header.h's matter, whichever codec is there.
 */
#ifndef IMS_TAR_CODEC_H
#define IMS_TAR_CODEC_H

#include "base/alloc.h"

enum { IMS_TAR_BLOCK_SIZE = 512 };

enum {
  IMS_TAR_FIELD_NAME,
  IMS_TAR_FIELD_MODE,
  IMS_TAR_FIELD_UID,
  IMS_TAR_FIELD_GID,
  IMS_TAR_FIELD_SIZE,
  IMS_TAR_FIELD_MTIME,
  IMS_TAR_FIELD_CHECKSUM,
  IMS_TAR_FIELD_TYPEFLAG,
  IMS_TAR_FIELD_LINKNAME,
  IMS_TAR_FIELD_MAGIC,
  IMS_TAR_FIELD_VERSION,
  IMS_TAR_FIELD_MAJOR,
  IMS_TAR_FIELD_MINOR,
  IMS_TAR_FIELD_PREFIX,
  IMS_TAR_FIELD_COUNT
};

typedef struct ims_tar_field {
  uint16_t offset;
  uint16_t size;
} ims_tar_field;

extern const ims_tar_field ims_tar_layout[IMS_TAR_FIELD_COUNT];

typedef struct ims_tar_codec ims_tar_codec;

/** NULL when out of memory. */
ims_tar_codec *ims_tar_codec_new(const ims_alloc *alloc);
void ims_tar_codec_free(ims_tar_codec *codec, const ims_alloc *alloc);
/** Sum of the block's bytes with the checksum field read as spaces: POSIX (unsigned) and historical (signed). */
int32_t ims_tar_codec_sum(ims_tar_codec *codec, const uint8_t *block);
int32_t ims_tar_codec_signed_sum(ims_tar_codec *codec, const uint8_t *block);

#endif
