/*
 * engine/compression.c (L4) - the compression that options ask for.
 */
#include "engine/compression.h"

#include "compress/encoder.h"
#include "imgstore/builder.h"

int32_t ims_compression_encode(int32_t option, int32_t *encode, ims_error *err) {
  static const int32_t encodings[] = {[IMGSTORE_COMPRESS_GZIP] = IMS_ENCODE_GZIP,
                                      [IMGSTORE_COMPRESS_GZIP_FAST] = IMS_ENCODE_GZIP_FAST,
                                      [IMGSTORE_COMPRESS_ZSTD] = IMS_ENCODE_ZSTD,
                                      [IMGSTORE_COMPRESS_NONE] = IMS_ENCODE_NONE};
  if (option < 0 || (size_t)option >= sizeof encodings / sizeof *encodings)
    return ims_fail(err, IMGSTORE_EINVALID, "compression: %d is not one of IMGSTORE_COMPRESS_*", option);
  *encode = encodings[option];
  return IMGSTORE_OK;
}
