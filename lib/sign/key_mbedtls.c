/*
 * sign/key_mbedtls.c (L1) - public keys by mbedTLS 2.28 to 3.6. The only file of sign/ that sees mbedTLS; it knows
 * nothing of payloads, images or policies.
 */
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "sign/key.h"

enum { DER_MAX = 4096, RSA_MIN_BITS = 2048 };

/* The start of a SubjectPublicKeyInfo in DER tells the curve: one spelling each, and no access to mbedTLS's inside. */
typedef struct known_curve {
  const char *kind;
  size_t size;
  uint8_t start[27];
} known_curve;

static const known_curve curves[] = {
    {"ECDSA P-256", 26, {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
                         0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00}},
    {"ECDSA P-384", 23, {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
                         0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00}},
    {"ECDSA P-521", 25, {0x30, 0x81, 0x9b, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
                         0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23, 0x03, 0x81, 0x86, 0x00}},
};

/* --- reading --------------------------------------------------------------------------------------------------------
 */

static bool contains(const char *text, size_t size, const char *what) {
  return memmem(text, size, what, strlen(what)) != NULL;
}

static int32_t not_a_key(const char *pem, size_t size, const char *name, ims_error *err) {
  if (contains(pem, size, "PRIVATE KEY-----"))
    return ims_fail(err, IMGSTORE_EFORMAT, "%s: is a private key; the public one is needed", name);
  if (contains(pem, size, "-----BEGIN CERTIFICATE"))
    return ims_fail(err, IMGSTORE_EFORMAT, "%s: is a certificate, not a public key", name);
  if (contains(pem, size, "PGP PUBLIC KEY"))
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "%s: unsupported: an OpenPGP key", name);
  return ims_fail(err, IMGSTORE_EFORMAT, "%s: is not a public key in PEM", name);
}

static int32_t wrong_kind(const char *name, ims_error *err) {
  return ims_fail(err, IMGSTORE_EUNSUPPORTED, "%s: neither an RSA key nor one on P-256, P-384 or P-521", name);
}

/* Fills kind, der and id from what mbedTLS has read. */
static int32_t take_key(ims_key *key, const ims_alloc *alloc, mbedtls_pk_context *pk, ims_error *err) {
  uint8_t der[DER_MAX];
  int size = mbedtls_pk_write_pubkey_der(pk, der, sizeof der); /* at the end of der */
  if (size <= 0)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "%s: unsupported kind of key", key->name);
  const uint8_t *start = der + sizeof der - (size_t)size;
  if (mbedtls_pk_get_type(pk) == MBEDTLS_PK_RSA) {
    size_t bits = mbedtls_pk_get_bitlen(pk);
    if (bits < RSA_MIN_BITS)
      return ims_fail(err, IMGSTORE_EUNSUPPORTED, "%s: an RSA key of %zu bits, at least %d are needed", key->name, bits,
                      RSA_MIN_BITS);
    snprintf(key->kind, sizeof key->kind, "RSA %u", (unsigned)bits);
  }
  for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
    if ((size_t)size > curves[i].size && memcmp(start, curves[i].start, curves[i].size) == 0)
      memcpy(key->kind, curves[i].kind, strlen(curves[i].kind) + 1);
  if (!key->kind[0])
    return wrong_kind(key->name, err);
  key->der = ims_malloc(alloc, (size_t)size);
  if (!key->der)
    return ims_fail_nomem(err);
  memcpy(key->der, start, (size_t)size);
  key->der_size = (size_t)size;
  ims_digest_of(&key->id, IMS_HASH_SHA256, key->der, key->der_size);
  return IMGSTORE_OK;
}

static int32_t read_pem(ims_key *key, const ims_alloc *alloc, const char *pem, size_t size, ims_error *err) {
  mbedtls_pk_context pk;
  if (!contains(pem, size, "-----BEGIN PUBLIC KEY-----") && !contains(pem, size, "-----BEGIN RSA PUBLIC KEY-----"))
    return not_a_key(pem, size, key->name, err);
  char *text = ims_strndup(alloc, pem, size); /* mbedTLS wants the NUL */
  if (!text)
    return ims_fail_nomem(err);
  mbedtls_pk_init(&pk);
  int failed = mbedtls_pk_parse_public_key(&pk, (const unsigned char *)text, size + 1);
  int32_t rc = failed == MBEDTLS_ERR_PK_UNKNOWN_PK_ALG ? wrong_kind(key->name, err) /* Ed25519 is one */
               : failed                                ? not_a_key(pem, size, key->name, err)
                                                       : take_key(key, alloc, &pk, err);
  mbedtls_pk_free(&pk);
  ims_free(alloc, text);
  return rc;
}

int32_t ims_key_parse(ims_key **key, const ims_alloc *alloc, const void *pem, size_t size, const char *name,
                      ims_error *err) {
  *key = NULL;
  if (size > IMS_KEY_PEM_MAX)
    return ims_fail(err, IMGSTORE_ELIMIT, "%s: %zu bytes are too many for a key", name, size);
  ims_key *made = ims_calloc(alloc, 1, sizeof *made);
  if (made)
    made->name = ims_strdup(alloc, name);
  int32_t rc = !made || !made->name               ? ims_fail_nomem(err)
               : size && !memchr(pem, '\0', size) ? read_pem(made, alloc, pem, size, err)
                                                  : not_a_key("", 0, name, err);
  if (rc)
    ims_key_free(made, alloc);
  else
    *key = made;
  return rc;
}

void ims_key_free(ims_key *key, const ims_alloc *alloc) {
  if (!key)
    return;
  ims_free(alloc, key->name);
  ims_free(alloc, key->der);
  ims_free(alloc, key);
}

bool ims_key_equal(const ims_key *a, const ims_key *b) {
  return ims_digest_equal(&a->id, &b->id);
}

/* --- checking -------------------------------------------------------------------------------------------------------
 */

static bool is_right(mbedtls_pk_context *pk, mbedtls_md_type_t md, const uint8_t *hash, size_t hash_size,
                     const uint8_t *signature, size_t size) {
  if (mbedtls_pk_verify(pk, md, hash, hash_size, signature, size) == 0)
    return true;
  if (mbedtls_pk_get_type(pk) != MBEDTLS_PK_RSA)
    return false;
  const mbedtls_pk_rsassa_pss_options pss = {md, MBEDTLS_RSA_SALT_LEN_ANY};
  return mbedtls_pk_verify_ext(MBEDTLS_PK_RSASSA_PSS, &pss, pk, md, hash, hash_size, signature, size) == 0;
}

static bool open_key(mbedtls_pk_context *pk, const ims_key *key) {
  mbedtls_pk_init(pk);
  return mbedtls_pk_parse_public_key(pk, key->der, key->der_size) == 0;
}

bool ims_key_signed(const ims_key *key, const void *message, size_t size, const uint8_t *signature,
                    size_t signature_size) {
  static const mbedtls_md_type_t tried[] = {MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384, MBEDTLS_MD_SHA512};
  uint8_t hash[MBEDTLS_MD_MAX_SIZE];
  mbedtls_pk_context pk;
  bool right = false, usable = open_key(&pk, key);
  for (size_t i = 0; usable && !right && i < sizeof tried / sizeof *tried; i++) {
    const mbedtls_md_info_t *md = mbedtls_md_info_from_type(tried[i]);
    if (md && mbedtls_md(md, message, size, hash) == 0)
      right = is_right(&pk, tried[i], hash, mbedtls_md_get_size(md), signature, signature_size);
  }
  mbedtls_pk_free(&pk);
  return right;
}

/* Value of a lower-case hex digit. */
static unsigned nibble(char c) {
  return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

bool ims_key_signed_digest(const ims_key *key, const ims_digest *digest, const uint8_t *signature,
                           size_t signature_size) {
  uint8_t hash[IMS_HASH_MAX_SIZE];
  mbedtls_pk_context pk;
  const char *hex = ims_digest_hex(digest);
  size_t size = ims_hash_size(digest->algorithm);
  for (size_t i = 0; i < size; i++)
    hash[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
  mbedtls_md_type_t md = digest->algorithm == IMS_HASH_SHA512 ? MBEDTLS_MD_SHA512 : MBEDTLS_MD_SHA256;
  bool right = open_key(&pk, key) && is_right(&pk, md, hash, size, signature, signature_size);
  mbedtls_pk_free(&pk);
  return right;
}
