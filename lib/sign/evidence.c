/*
 * sign/evidence.c (L1) - judges cosign's signature of a simple-signing payload. Bundles are bundle.c's.
 */
#include "sign/evidence.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"

int32_t ims_proof_set(ims_proof *proof, int verdict, const char *format, ...) {
  va_list args;
  proof->verdict = verdict;
  va_start(args, format);
  vsnprintf(proof->why, sizeof proof->why, format, args);
  va_end(args);
  return IMGSTORE_OK;
}

int32_t ims_proof_from(ims_proof *proof, int32_t code, const ims_error *why, ims_error *err) {
  if (code == IMGSTORE_ENOMEM)
    return ims_fail_nomem(err);
  return ims_proof_set(proof, IMS_PROOF_MALFORMED, "%.150s", why->message);
}

size_t ims_find_signer(const ims_key *const *keys, size_t key_count, const void *message, size_t size,
                       const ims_digest *digest, const uint8_t *signature, size_t signature_size) {
  for (size_t i = 0; i < key_count; i++)
    if (message ? ims_key_signed(keys[i], message, size, signature, signature_size)
                : ims_key_signed_digest(keys[i], digest, signature, signature_size))
      return i;
  return key_count;
}

static bool is_about(const ims_digest *digest, const ims_digest *subjects, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (ims_digest_equal(digest, &subjects[i]))
      return true;
  return false;
}

/* The payload was signed by keys[key]: what does it say? */
static int32_t read_payload(const ims_evidence *e, const ims_alloc *alloc, const ims_digest *subjects,
                            size_t subject_count, size_t key, ims_proof *proof, ims_error *err) {
  ims_error why = IMS_ERROR_INIT;
  int32_t rc = ims_simple_payload_read(&proof->claim, alloc, e->data, e->size, &why);
  if (rc)
    return ims_proof_from(proof, rc, &why, err);
  proof->key = key;
  if (!is_about(&proof->claim.digest, subjects, subject_count))
    return ims_proof_set(proof, IMS_PROOF_OTHER_IMAGE, "it is for %.100s", proof->claim.digest.text);
  proof->verdict = IMS_PROOF_GOOD;
  return IMGSTORE_OK;
}

static int32_t judge_simple(const ims_evidence *e, const ims_alloc *alloc, const ims_digest *subjects,
                            size_t subject_count, const ims_key *const *keys, size_t key_count, ims_proof *proof,
                            ims_error *err) {
  size_t length = e->signature ? strlen(e->signature) : 0, size;
  if (!length)
    return ims_proof_set(proof, IMS_PROOF_MALFORMED, "there is no signature beside the payload");
  if (length > IMS_SIGNATURE_MAX)
    return ims_proof_set(proof, IMS_PROOF_MALFORMED, "a signature of %zu characters", length);
  uint8_t *signature = ims_malloc(alloc, IMS_BASE64_DECODED(length) + 1);
  if (!signature)
    return ims_fail_nomem(err);
  size_t key = key_count;
  bool readable = ims_base64_decode(e->signature, length, signature, &size) == IMGSTORE_OK;
  if (readable)
    key = ims_find_signer(keys, key_count, e->data, e->size, NULL, signature, size);
  ims_free(alloc, signature);
  if (!readable)
    return ims_proof_set(proof, IMS_PROOF_MALFORMED, "the signature is not base64");
  if (key < key_count)
    return read_payload(e, alloc, subjects, subject_count, key, proof, err);
  return ims_proof_set(proof, e->has_certificate ? IMS_PROOF_KEYLESS : IMS_PROOF_OTHER_KEY, "%s", "");
}

int32_t ims_evidence_judge(const ims_evidence *e, const ims_alloc *alloc, const ims_digest *subjects,
                           size_t subject_count, const ims_key *const *keys, size_t key_count, ims_proof *proof,
                           ims_error *err) {
  memset(proof, 0, sizeof *proof);
  proof->key = key_count;
  if (e->form == IMS_EVIDENCE_BUNDLE)
    return ims_bundle_judge(e, alloc, subjects, subject_count, keys, key_count, proof, err);
  return judge_simple(e, alloc, subjects, subject_count, keys, key_count, proof, err);
}
