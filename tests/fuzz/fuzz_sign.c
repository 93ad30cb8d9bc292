/*
 * tests/fuzz/fuzz_sign.c - signatures and bundles as they come from a registry: whatever they hold, the verdict is one
 * of those there are, and a good one is about the image. The first byte says in which form the rest is taken.
 */
#include <stdlib.h>
#include <string.h>

#include "../unit/sign_vectors.h"
#include "sign/evidence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth) {
  if (!truth)
    abort();
}

static void check(const ims_evidence *e) {
  ims_key *key;
  ims_proof proof;
  ims_digest subject;
  ims_error err = IMS_ERROR_INIT;
  require(ims_digest_parse(&subject, SIGNED_DIGEST, strlen(SIGNED_DIGEST), NULL) == IMGSTORE_OK);
  require(ims_key_parse(&key, &ims_alloc_default, key_p256, strlen(key_p256), "a.pub", &err) == IMGSTORE_OK);
  int32_t rc = ims_evidence_judge(e, &ims_alloc_default, &subject, 1, (const ims_key *const *)&key, 1, &proof, &err);
  require(rc == IMGSTORE_OK && proof.verdict >= IMS_PROOF_GOOD && proof.verdict <= IMS_PROOF_MALFORMED);
  require(memchr(proof.why, '\0', sizeof proof.why) != NULL);
  require(proof.verdict != IMS_PROOF_GOOD || (proof.key == 0 && ims_digest_equal(&proof.claim.digest, &subject)));
  ims_key_free(key, &ims_alloc_default);
}

/* What the payload says, as if the key had signed it. */
static void read_payload(const uint8_t *data, size_t size) {
  ims_claim claim;
  ims_statement statement;
  ims_digest subject;
  ims_error err = IMS_ERROR_INIT;
  ims_digest_parse(&subject, SIGNED_DIGEST, strlen(SIGNED_DIGEST), NULL);
  int32_t rc = ims_simple_payload_read(&claim, &ims_alloc_default, data, size, &err);
  require((rc == IMGSTORE_OK) == (err.message[0] == '\0'));
  require(rc != IMGSTORE_OK || claim.digest.algorithm);
  ims_error_clear(&err);
  rc = ims_statement_read(&statement, &ims_alloc_default, data, size, &subject, &err);
  require((rc == IMGSTORE_OK) == (err.message[0] == '\0'));
  require(rc != IMGSTORE_OK || !statement.is_about || statement.subject.algorithm);
}

static void read_key(const uint8_t *data, size_t size) {
  ims_key *key;
  ims_error err = IMS_ERROR_INIT;
  int32_t rc = ims_key_parse(&key, &ims_alloc_default, data, size, "a.pub", &err);
  require((rc == IMGSTORE_OK) == (key != NULL) && (rc == IMGSTORE_OK) == (err.message[0] == '\0'));
  require(!key || (key->kind[0] && key->der_size));
  ims_key_free(key, &ims_alloc_default);
}

/* "base64\npayload" */
static void check_simple(const uint8_t *data, size_t size) {
  const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
  size_t length = line ? (size_t)(line - data) : 0;
  char *signature = ims_strndup(&ims_alloc_default, line ? (const char *)data : "", length);
  require(signature != NULL);
  const uint8_t *rest = line ? line + 1 : data;
  const ims_evidence e = {IMS_EVIDENCE_SIMPLE, rest, size - (size_t)(rest - data), signature, false};
  check(&e);
  ims_free(&ims_alloc_default, signature);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size)
    return 0;
  const ims_evidence bundle = {IMS_EVIDENCE_BUNDLE, data + 1, size - 1, NULL, false};
  switch (data[0]) {
  case 'b':
    check(&bundle);
    break;
  case 'k':
    read_key(data + 1, size - 1);
    break;
  case 's':
    check_simple(data + 1, size - 1);
    break;
  default:
    read_payload(data + 1, size - 1);
    break;
  }
  return 0;
}
