/*
 * tar/codec_libtar.c (L1) - the header codec on libtar; the only file that includes libtar.h.
 *
 * A TAR object without I/O behind it: blocks are copied into its header buffer, and only the two checksum functions
 * are called on it. Everything else in libtar that reads, decodes or writes is unsound for untrusted archives.
 */
#include "tar/codec.h"

#include <libtar.h>
#include <string.h>

#include "tar/reader.h"

#define FIELD(member)                                                                                                  \
  { offsetof(struct tar_header, member), sizeof(((struct tar_header *)0)->member) }

const ims_tar_field ims_tar_layout[IMS_TAR_FIELD_COUNT] = {
    [IMS_TAR_FIELD_NAME] = FIELD(name),         [IMS_TAR_FIELD_MODE] = FIELD(mode),
    [IMS_TAR_FIELD_UID] = FIELD(uid),           [IMS_TAR_FIELD_GID] = FIELD(gid),
    [IMS_TAR_FIELD_SIZE] = FIELD(size),         [IMS_TAR_FIELD_MTIME] = FIELD(mtime),
    [IMS_TAR_FIELD_CHECKSUM] = FIELD(chksum),   [IMS_TAR_FIELD_TYPEFLAG] = FIELD(typeflag),
    [IMS_TAR_FIELD_LINKNAME] = FIELD(linkname), [IMS_TAR_FIELD_MAGIC] = FIELD(magic),
    [IMS_TAR_FIELD_VERSION] = FIELD(version),   [IMS_TAR_FIELD_MAJOR] = FIELD(devmajor),
    [IMS_TAR_FIELD_MINOR] = FIELD(devminor),    [IMS_TAR_FIELD_PREFIX] = FIELD(prefix),
};

struct ims_tar_codec {
  TAR tar;
};

ims_tar_codec *ims_tar_codec_new(const ims_alloc *alloc) {
  ims_tar_codec *codec = ims_calloc(alloc, 1, sizeof *codec);
  if (codec)
    codec->tar.fd = -1;
  return codec;
}

void ims_tar_codec_free(ims_tar_codec *codec, const ims_alloc *alloc) {
  ims_free(alloc, codec);
}

int32_t ims_tar_codec_sum(ims_tar_codec *codec, const uint8_t *block) {
  memcpy(&codec->tar.th_buf, block, IMS_TAR_BLOCK_SIZE);
  return th_crc_calc(&codec->tar);
}

int32_t ims_tar_codec_signed_sum(ims_tar_codec *codec, const uint8_t *block) {
  memcpy(&codec->tar.th_buf, block, IMS_TAR_BLOCK_SIZE);
  return th_signed_crc_calc(&codec->tar);
}

const char *ims_tar_codec_name(void) {
  return "libtar";
}
