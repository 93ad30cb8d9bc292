/*
 * sign/bundle.c (L1) - sigstore bundles 0.1 to 0.3 that were signed with a key: a signature of the manifest's bytes, or
 * a DSSE envelope whose in-toto statement names the image. Certificates and transparency logs are not looked at.
 */
#include <string.h>

#include "base/base64.h"
#include "base/text.h"
#include "sign/evidence.h"
#include "json/json.h"

bool ims_is_bundle_type(const char *media_type) {
  static const char *const known[] = {
      "application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.sigstore.bundle+json;version=0.3",
      "application/vnd.dev.sigstore.bundle+json;version=0.2", "application/vnd.dev.sigstore.bundle+json;version=0.1"};
  for (size_t i = 0; media_type && i < sizeof known / sizeof *known; i++)
    if (ims_equal_fold(media_type, known[i]))
      return true;
  return false;
}

typedef struct judge {
  const ims_alloc *alloc;
  const ims_digest *subjects;
  size_t subject_count;
  const ims_key *const *keys;
  size_t key_count;
  ims_proof *proof;
  ims_error *err;
} judge;

/* Decodes a base64 member into new memory; *bytes NULL when it is absent or malformed, which the verdict then says. */
static int32_t decode(judge *j, const ims_json_value *object, const char *name, size_t most, uint8_t **bytes,
                      size_t *size) {
  const char *text = ims_json_string(ims_json_get(object, name));
  size_t length = text ? strlen(text) : 0;
  *bytes = NULL;
  if (!length || length > most)
    return ims_proof_set(j->proof, IMS_PROOF_MALFORMED, "bundle: %s is %s", name, length ? "too long" : "missing");
  *bytes = ims_malloc(j->alloc, IMS_BASE64_DECODED(length) + 1);
  if (!*bytes)
    return ims_fail_nomem(j->err);
  if (ims_base64_decode(text, length, *bytes, size) == IMGSTORE_OK)
    return IMGSTORE_OK;
  ims_free(j->alloc, *bytes);
  *bytes = NULL;
  return ims_proof_set(j->proof, IMS_PROOF_MALFORMED, "bundle: %s is not base64", name);
}

/* --- a signature of the manifest ------------------------------------------------------------------------------------
 */

/* The digest that the bundle says was signed must be the image's, so that nothing else can be meant. */
static const ims_digest *signed_subject(const judge *j, const ims_json_value *signature) {
  const ims_json_value *md = ims_json_get(signature, "messageDigest");
  const char *algorithm = ims_json_string(ims_json_get(md, "algorithm"));
  const char *text = ims_json_string(ims_json_get(md, "digest"));
  uint8_t bytes[IMS_HASH_MAX_SIZE * 2];
  size_t length = text ? strlen(text) : 0, size;
  ims_digest digest;
  if (!algorithm || !length || IMS_BASE64_DECODED(length) > sizeof bytes ||
      ims_base64_decode(text, length, bytes, &size) != IMGSTORE_OK)
    return NULL;
  digest.algorithm = strcmp(algorithm, "SHA2_512") == 0   ? IMS_HASH_SHA512
                     : strcmp(algorithm, "SHA2_256") == 0 ? IMS_HASH_SHA256
                                                          : 0;
  if (!digest.algorithm || size != ims_hash_size(digest.algorithm))
    return NULL;
  for (size_t i = 0; i < j->subject_count; i++) {
    char hex[2 * IMS_HASH_MAX_SIZE + 1];
    ims_hex_encode(bytes, size, hex);
    if (j->subjects[i].algorithm == digest.algorithm && strcmp(hex, ims_digest_hex(&j->subjects[i])) == 0)
      return &j->subjects[i];
  }
  return NULL;
}

static int32_t judge_message(judge *j, const ims_json_value *message) {
  uint8_t *signature;
  size_t size;
  const ims_digest *subject = signed_subject(j, message);
  if (!subject)
    return ims_proof_set(j->proof, IMS_PROOF_OTHER_IMAGE, "the bundle's messageDigest is not the image's");
  int32_t rc = decode(j, message, "signature", IMS_SIGNATURE_MAX, &signature, &size);
  if (rc || !signature)
    return rc;
  j->proof->key = ims_find_signer(j->keys, j->key_count, NULL, 0, subject, signature, size);
  ims_free(j->alloc, signature);
  if (j->proof->key == j->key_count)
    return ims_proof_set(j->proof, IMS_PROOF_OTHER_KEY, "%s", "");
  j->proof->claim.digest = *subject;
  j->proof->verdict = IMS_PROOF_GOOD;
  return IMGSTORE_OK;
}

/* --- a DSSE envelope ------------------------------------------------------------------------------------------------
 */

/* Any of the envelope's signatures may be the one of a key. */
static int32_t find_envelope_signer(judge *j, const ims_json_value *envelope, const ims_buf *covered) {
  const ims_json_value *list = ims_json_get(envelope, "signatures");
  size_t seen = 0;
  int32_t rc = IMGSTORE_OK;
  ims_proof_set(j->proof, IMS_PROOF_OTHER_KEY, "%s", "");
  j->proof->key = j->key_count;
  for (const ims_json_value *v = ims_json_first(list); v && !rc && j->proof->key == j->key_count;
       v = ims_json_next(v)) {
    uint8_t *signature;
    size_t size;
    if (++seen > IMS_ENVELOPE_SIGNATURES_MAX)
      break;
    rc = decode(j, v, "sig", IMS_SIGNATURE_MAX, &signature, &size);
    if (rc || !signature)
      continue;
    j->proof->key = ims_find_signer(j->keys, j->key_count, covered->data, covered->size, NULL, signature, size);
    ims_free(j->alloc, signature);
  }
  if (!rc && !seen)
    ims_proof_set(j->proof, IMS_PROOF_MALFORMED, "bundle: the envelope has no signatures");
  return rc;
}

static int32_t judge_statement(judge *j, const uint8_t *payload, size_t size) {
  ims_statement statement;
  ims_error why = IMS_ERROR_INIT;
  size_t at = 0;
  do { /* once for each name of the image; there are one or two */
    int32_t rc = ims_statement_read(&statement, j->alloc, payload, size, &j->subjects[at], &why);
    if (rc)
      return ims_proof_from(j->proof, rc, &why, j->err);
  } while (!statement.is_about && ++at < j->subject_count);
  j->proof->claim.digest = statement.is_about ? j->subjects[at] : statement.subject;
  if (!statement.is_about)
    return ims_proof_set(j->proof, IMS_PROOF_OTHER_IMAGE, "it is for %.100s",
                         statement.subject.algorithm ? statement.subject.text : "no known digest");
  if (strcmp(statement.predicate_type, IMS_PREDICATE_SIGN) != 0)
    return ims_proof_set(j->proof, IMS_PROOF_NO_SIGNATURE, "it attests %.120s", statement.predicate_type);
  ims_proof_set(j->proof, IMS_PROOF_GOOD, "%s", "");
  return IMGSTORE_OK;
}

static int32_t judge_envelope(judge *j, const ims_json_value *envelope) {
  const char *type = ims_json_string(ims_json_get(envelope, "payloadType"));
  uint8_t *payload;
  size_t size;
  ims_buf covered;
  if (!type || strcmp(type, IMS_MT_IN_TOTO) != 0)
    return ims_proof_set(j->proof, IMS_PROOF_MALFORMED, "bundle: payloadType is \"%.80s\"", type ? type : "");
  int32_t rc = decode(j, envelope, "payload", IMS_BUNDLE_MAX, &payload, &size);
  if (rc || !payload)
    return rc;
  ims_buf_init(&covered, j->alloc, IMS_BUNDLE_MAX + 1024);
  ims_dsse_encode(&covered, type, payload, size);
  rc = covered.failed ? ims_fail_nomem(j->err) : find_envelope_signer(j, envelope, &covered);
  if (!rc && j->proof->key < j->key_count)
    rc = judge_statement(j, payload, size);
  ims_buf_free(&covered);
  ims_free(j->alloc, payload);
  return rc;
}

/* --- the bundle -----------------------------------------------------------------------------------------------------
 */

static int32_t judge_bundle(judge *j, const ims_json_value *root) {
  const char *type = ims_json_string(ims_json_get(root, "mediaType"));
  const ims_json_value *material = ims_json_get(root, "verificationMaterial");
  const ims_json_value *message = ims_json_get(root, "messageSignature"),
                       *envelope = ims_json_get(root, "dsseEnvelope");
  if (!ims_is_bundle_type(type))
    return ims_proof_set(j->proof, IMS_PROOF_MALFORMED, "not a bundle of version 0.1 to 0.3");
  if (!message == !envelope)
    return ims_proof_set(j->proof, IMS_PROOF_MALFORMED, "bundle: not one signature");
  int32_t rc = message ? judge_message(j, message) : judge_envelope(j, envelope);
  bool certified = ims_json_get(material, "certificate") || ims_json_get(material, "x509CertificateChain");
  if (!rc && j->proof->verdict == IMS_PROOF_OTHER_KEY && certified)
    ims_proof_set(j->proof, IMS_PROOF_KEYLESS, "%s", "");
  return rc;
}

int32_t ims_bundle_judge(const ims_evidence *e, const ims_alloc *alloc, const ims_digest *subjects,
                         size_t subject_count, const ims_key *const *keys, size_t key_count, ims_proof *proof,
                         ims_error *err) {
  judge j = {alloc, subjects, subject_count, keys, key_count, proof, err};
  ims_json *json;
  ims_error why = IMS_ERROR_INIT;
  if (e->size > IMS_BUNDLE_MAX)
    return ims_proof_set(proof, IMS_PROOF_MALFORMED, "a bundle of %zu bytes", e->size);
  int32_t rc = ims_json_parse(&json, alloc, e->data, e->size, "bundle", &why);
  if (rc)
    return ims_proof_from(proof, rc, &why, err);
  rc = judge_bundle(&j, ims_json_root(json));
  ims_json_free(json);
  return rc;
}
