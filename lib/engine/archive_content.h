/*
 * engine/archive_content.h (L4) - the content of one file of an archive as it streams by: how it is compressed, and its
 * digest without that. Does no I/O.
 */
#ifndef IMS_ENGINE_ARCHIVE_CONTENT_H
#define IMS_ENGINE_ARCHIVE_CONTENT_H

#include "base/core.h"
#include "compress/decoder.h"
#include "oci/digest.h"

enum { IMS_CONTENT_HEAD = 4 };

/** For one file after the other. */
typedef struct ims_archive_content {
  const ims_core *core; /**< borrowed */
  int32_t algorithm;    /**< IMS_HASH_* of the digest without compression; 0: only the format is wanted */
  int32_t format;       /**< IMS_FORMAT_*, when the file has ended */
  uint8_t head[IMS_CONTENT_HEAD];
  size_t head_size;
  ims_decoder *decoder; /**< in use */
  ims_decoder *decoders[IMS_FORMAT_ZSTD + 1];
  ims_hash hash;
  uint8_t *out;
} ims_archive_content;

int32_t ims_archive_content_init(ims_archive_content *content, const ims_core *core, ims_error *err);
void ims_archive_content_free(ims_archive_content *content);
/** A new file begins. */
void ims_archive_content_begin(ims_archive_content *content, int32_t algorithm);
int32_t ims_archive_content_update(ims_archive_content *content, const uint8_t *data, size_t size, ims_error *err);
/** It has ended. *digest: without compression; algorithm 0: it is not compressed, or that was not wanted. */
int32_t ims_archive_content_finish(ims_archive_content *content, ims_digest *digest, ims_error *err);

#endif
