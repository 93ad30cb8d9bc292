/*
 * tar/codec_builtin.c (L1) - the header codec without a library, for systems that have no libtar. Stateless.
 */
#include "tar/codec.h"

#include "tar/reader.h"

const ims_tar_field ims_tar_layout[IMS_TAR_FIELD_COUNT] = {
    [IMS_TAR_FIELD_NAME] = {0, 100},     [IMS_TAR_FIELD_MODE] = {100, 8},     [IMS_TAR_FIELD_UID] = {108, 8},
    [IMS_TAR_FIELD_GID] = {116, 8},      [IMS_TAR_FIELD_SIZE] = {124, 12},    [IMS_TAR_FIELD_MTIME] = {136, 12},
    [IMS_TAR_FIELD_CHECKSUM] = {148, 8}, [IMS_TAR_FIELD_TYPEFLAG] = {156, 1}, [IMS_TAR_FIELD_LINKNAME] = {157, 100},
    [IMS_TAR_FIELD_MAGIC] = {257, 6},    [IMS_TAR_FIELD_VERSION] = {263, 2},  [IMS_TAR_FIELD_MAJOR] = {329, 8},
    [IMS_TAR_FIELD_MINOR] = {337, 8},    [IMS_TAR_FIELD_PREFIX] = {345, 155},
};

struct ims_tar_codec {
  uint8_t unused;
};

ims_tar_codec *ims_tar_codec_new(const ims_alloc *alloc) {
  return ims_calloc(alloc, 1, sizeof(ims_tar_codec));
}

void ims_tar_codec_free(ims_tar_codec *codec, const ims_alloc *alloc) {
  ims_free(alloc, codec);
}

int32_t ims_tar_codec_sum(ims_tar_codec *codec, const uint8_t *block) {
  const ims_tar_field field = ims_tar_layout[IMS_TAR_FIELD_CHECKSUM];
  int32_t sum = 0;
  (void)codec;
  for (size_t i = 0; i < IMS_TAR_BLOCK_SIZE; i++)
    sum += block[i];
  for (size_t i = 0; i < field.size; i++)
    sum += ' ' - block[field.offset + i];
  return sum;
}

int32_t ims_tar_codec_signed_sum(ims_tar_codec *codec, const uint8_t *block) {
  const ims_tar_field field = ims_tar_layout[IMS_TAR_FIELD_CHECKSUM];
  int32_t sum = 0;
  (void)codec;
  for (size_t i = 0; i < IMS_TAR_BLOCK_SIZE; i++)
    sum += (int8_t)block[i];
  for (size_t i = 0; i < field.size; i++)
    sum += ' ' - (int8_t)block[field.offset + i];
  return sum;
}

const char *ims_tar_codec_name(void) {
  return "builtin";
}
