/*
 * compress/gzip_header.h (L1, inside compress/) - reads the header of a gzip member (RFC 1952, 2.3), a byte at a
 * time, however it is cut. Accepts what zlib accepts.
 */
#ifndef IMS_COMPRESS_GZIP_HEADER_H
#define IMS_COMPRESS_GZIP_HEADER_H

#include "base/alloc.h"

typedef struct ims_gzip_header {
  int32_t field;
  uint8_t flags;
  uint16_t left;  /**< bytes left of a field of known size */
  uint16_t value; /**< number being read: extra length, header check */
  uint32_t (*crc32)(uint32_t crc, const uint8_t *data, size_t size);
  uint32_t crc;
  const char *why; /**< after a failure: static text */
} ims_gzip_header;

enum { IMS_GZIP_HEADER_MORE = 0, IMS_GZIP_HEADER_DONE = 1, IMS_GZIP_HEADER_BAD = -1 };

/** crc32: the engine's checksum, for the header check. */
void ims_gzip_header_init(ims_gzip_header *header, uint32_t (*crc32)(uint32_t, const uint8_t *, size_t));
/** Takes bytes up to the end of the header; *used of size. One of IMS_GZIP_HEADER_*. */
int ims_gzip_header_read(ims_gzip_header *header, const uint8_t *data, size_t size, size_t *used);
/** True when some but not all of the header was read. */
bool ims_gzip_header_begun(const ims_gzip_header *header);

#endif
