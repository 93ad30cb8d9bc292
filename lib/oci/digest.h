/*
 * oci/digest.h (L1) - digest text "algorithm:hex", checked before it becomes part of a path or URL.
 */
#ifndef IMS_OCI_DIGEST_H
#define IMS_OCI_DIGEST_H

#include "base/error.h"
#include "hash/hash.h"

#include <stdbool.h>

enum { IMS_DIGEST_TEXT = 7 + 128 + 1 };

typedef struct ims_digest {
  int32_t algorithm; /**< IMS_HASH_*; 0: none */
  char text[IMS_DIGEST_TEXT];
} ims_digest;

/** Checks and copies. Errors: IMGSTORE_EFORMAT, IMGSTORE_EUNSUPPORTED (algorithm). */
int32_t ims_digest_parse(ims_digest *digest, const char *text, size_t size, ims_error *err);
/** Makes the text of a finished hash. */
void ims_digest_from_hash(ims_digest *digest, ims_hash *hash);
/** The digest of bytes. */
void ims_digest_of(ims_digest *digest, int32_t algorithm, const void *data, size_t size);
bool ims_digest_equal(const ims_digest *a, const ims_digest *b);
/** The hex digits after the colon. */
const char *ims_digest_hex(const ims_digest *digest);
/** "sha256" or "sha512". */
const char *ims_digest_algorithm_name(int32_t algorithm);

#endif
