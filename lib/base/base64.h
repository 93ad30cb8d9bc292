/*
 * base/base64.h (L0) - base64 of RFC 4648, section 4, read strictly: no white space, padding as it must be, no bits
 * left over. One text has one decoding and the other way round.
 */
#ifndef IMS_BASE_BASE64_H
#define IMS_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

/** Most bytes that size characters decode to. */
#define IMS_BASE64_DECODED(size) ((size) / 4 * 3)
/** Characters that size bytes encode to, without a NUL. size: at most SIZE_MAX / 2. */
#define IMS_BASE64_ENCODED(size) (((size) / 3 + ((size) % 3 != 0)) * 4)

/** out: room for IMS_BASE64_DECODED(size) bytes; may be text itself. IMGSTORE_OK or IMGSTORE_EFORMAT. */
int32_t ims_base64_decode(const char *text, size_t size, uint8_t *out, size_t *out_size);
/** out: room for IMS_BASE64_ENCODED(size) + 1 characters; a NUL is added. Returns the characters without it. */
size_t ims_base64_encode(const uint8_t *bytes, size_t size, char *out);

#endif
