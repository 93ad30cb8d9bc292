/*
 * engine/compression.h (L4) - the compression that options ask for, as the encoder knows it.
 */
#ifndef IMS_ENGINE_COMPRESSION_H
#define IMS_ENGINE_COMPRESSION_H

#include "base/error.h"

/** option: IMGSTORE_COMPRESS_*. *encode: IMS_ENCODE_*. Errors: IMGSTORE_EINVALID. */
int32_t ims_compression_encode(int32_t option, int32_t *encode, ims_error *err);

#endif
