/*
 * sign/key.h (L1) - public keys and what they signed: ECDSA on P-256, P-384 and P-521, RSA from 2048 bits on.
 *
 * A key is immutable and may be used by any number of threads: what the arithmetic needs is made for each check.
 */
#ifndef IMS_SIGN_KEY_H
#define IMS_SIGN_KEY_H

#include "base/alloc.h"
#include "base/error.h"
#include "oci/digest.h"

enum { IMS_KEY_PEM_MAX = 64 * 1024, IMS_KEY_KIND = 24 };

typedef struct ims_key {
  char *name;              /**< for messages: what the caller called it */
  char kind[IMS_KEY_KIND]; /**< "ECDSA P-256", "RSA 3072" */
  ims_digest id;           /**< sha256 of the SubjectPublicKeyInfo in DER */
  uint8_t *der;            /**< the SubjectPublicKeyInfo */
  size_t der_size;
} ims_key;

/**
 * Reads one PEM block "PUBLIC KEY" or "RSA PUBLIC KEY". name: for messages, kept.
 * Errors: IMGSTORE_EFORMAT (no key: a private key, a certificate, anything else), IMGSTORE_EUNSUPPORTED (a curve or
 * size that is not taken), IMGSTORE_ENOMEM.
 */
int32_t ims_key_parse(ims_key **key, const ims_alloc *alloc, const void *pem, size_t size, const char *name,
                      ims_error *err);
void ims_key_free(ims_key *key, const ims_alloc *alloc);
bool ims_key_equal(const ims_key *a, const ims_key *b);

/** Whether signature (ECDSA in DER; RSA PKCS #1 v1.5 or PSS) is the key's over message by SHA-256, -384 or -512. */
bool ims_key_signed(const ims_key *key, const void *message, size_t size, const uint8_t *signature,
                    size_t signature_size);
/** The same for a message of which only the digest (sha256 or sha512) is there. */
bool ims_key_signed_digest(const ims_key *key, const ims_digest *digest, const uint8_t *signature,
                           size_t signature_size);

#endif
