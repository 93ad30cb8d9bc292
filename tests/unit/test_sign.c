/*
 * tests/unit/test_sign.c - keys, signatures and bundles against openssl's vectors, what they must not prove, and every
 * allocation failing in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failing_alloc.h"
#include "sign/evidence.h"
#include "sign_vectors.h"

static const ims_alloc *const plain = &ims_alloc_default;

static ims_key *key_of(const char *pem) {
  ims_key *key;
  ims_error err = IMS_ERROR_INIT;
  if (ims_key_parse(&key, plain, pem, strlen(pem), "a.pub", &err))
    fail_msg("%s", err.message);
  return key;
}

static ims_digest digest_of(const char *text) {
  ims_digest digest;
  assert_int_equal(ims_digest_parse(&digest, text, strlen(text), NULL), IMGSTORE_OK);
  return digest;
}

/* --- keys -----------------------------------------------------------------------------------------------------------
 */

static void test_kinds_of_keys(void **state) {
  static const struct {
    const char *pem, *kind;
  } cases[] = {{key_p256, "ECDSA P-256"},
               {key_p384, "ECDSA P-384"},
               {key_p521, "ECDSA P-521"},
               {key_rsa2048, "RSA 2048"},
               {key_rsa2048_pkcs1, "RSA 2048"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ims_key *key = key_of(cases[i].pem);
    assert_string_equal(key->kind, cases[i].kind);
    assert_int_equal(strlen(key->id.text), 71);
    ims_key_free(key, plain);
  }
  ims_key *a = key_of(key_rsa2048), *b = key_of(key_rsa2048_pkcs1), *c = key_of(key_p256);
  assert_true(ims_key_equal(a, b));
  assert_false(ims_key_equal(a, c));
  ims_key_free(a, plain);
  ims_key_free(b, plain);
  ims_key_free(c, plain);
}

static void check_refused(const char *pem, size_t size, int32_t code, const char *words) {
  ims_key *key;
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(ims_key_parse(&key, plain, pem, size, "a.pub", &err), code);
  assert_null(key);
  if (!strstr(err.message, words) || strncmp(err.message, "a.pub: ", 7) != 0)
    fail_msg("%s", err.message);
}

static void test_keys_that_are_not_keys(void **state) {
  check_refused(key_private, strlen(key_private), IMGSTORE_EFORMAT, "private key");
  check_refused(key_certificate, strlen(key_certificate), IMGSTORE_EFORMAT, "certificate");
  check_refused("hello", 5, IMGSTORE_EFORMAT, "not a public key");
  check_refused("", 0, IMGSTORE_EFORMAT, "not a public key");
  check_refused(key_ed25519, strlen(key_ed25519), IMGSTORE_EUNSUPPORTED, "neither an RSA key nor one on P-256");
  check_refused(key_secp256k1, strlen(key_secp256k1), IMGSTORE_EUNSUPPORTED, "P-256");
  check_refused(key_rsa1024, strlen(key_rsa1024), IMGSTORE_EUNSUPPORTED, "1024 bits");
  check_refused("-----BEGIN PGP PUBLIC KEY BLOCK-----\n", 37, IMGSTORE_EUNSUPPORTED, "OpenPGP");
  char with_nul[sizeof key_p256 + 1];
  memcpy(with_nul, key_p256, sizeof key_p256);
  check_refused(with_nul, sizeof key_p256, IMGSTORE_EFORMAT, "not a public key"); /* a NUL inside */
  for (size_t n = 0; n + 30 < strlen(key_p256); n++)
    check_refused(key_p256, n, IMGSTORE_EFORMAT, "not a public key");
  char *huge = calloc(1, IMS_KEY_PEM_MAX + 1);
  check_refused(huge, IMS_KEY_PEM_MAX + 1, IMGSTORE_ELIMIT, "too many");
  free(huge);
}

/* A point that is not on its curve. */
static void test_altered_key(void **state) {
  char pem[sizeof key_p256];
  int taken = 0;
  memcpy(pem, key_p256, sizeof pem);
  char *base64 = strchr(pem, '\n') + 1;
  for (int i = 60; i < 110; i++) { /* within the point's coordinates */
    char old = base64[i];
    ims_key *key;
    if (old == '\n')
      continue;
    base64[i] = old == 'A' ? 'B' : 'A';
    if (ims_key_parse(&key, plain, pem, strlen(pem), "a.pub", NULL) == IMGSTORE_OK)
      taken++;
    ims_key_free(key, plain);
    base64[i] = old;
  }
  assert_int_equal(taken, 0);
}

/* --- signatures of payloads -----------------------------------------------------------------------------------------
 */

static ims_proof judge(const ims_evidence *e, const char *subject, const char *const *pems, size_t count) {
  ims_key *keys[4];
  ims_proof proof;
  ims_error err = IMS_ERROR_INIT;
  ims_digest digest = digest_of(subject);
  for (size_t i = 0; i < count; i++)
    keys[i] = key_of(pems[i]);
  assert_int_equal(ims_evidence_judge(e, plain, &digest, 1, (const ims_key *const *)keys, count, &proof, &err),
                   IMGSTORE_OK);
  for (size_t i = 0; i < count; i++)
    ims_key_free(keys[i], plain);
  return proof;
}

static ims_proof judge_simple(const char *text, const char *signature, const char *pem) {
  const ims_evidence e = {IMS_EVIDENCE_SIMPLE, text, strlen(text), signature, false};
  return judge(&e, SIGNED_DIGEST, &pem, 1);
}

static void test_good_signatures(void **state) {
  static const struct {
    const char *pem, *signature;
  } cases[] = {{key_p256, signature_p256_sha256},           {key_p256, signature_p256_sha384},
               {key_p256, signature_p256_sha512},           {key_p384, signature_p384_sha256},
               {key_p384, signature_p384_sha384},           {key_p384, signature_p384_sha512},
               {key_p521, signature_p521_sha256},           {key_p521, signature_p521_sha384},
               {key_p521, signature_p521_sha512},           {key_rsa2048, signature_rsa2048_sha256},
               {key_rsa2048, signature_rsa2048_sha384},     {key_rsa2048, signature_rsa2048_sha512},
               {key_rsa2048, signature_rsa2048_pss_sha256}, {key_rsa2048, signature_rsa2048_pss_sha512}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ims_proof proof = judge_simple(payload, cases[i].signature, cases[i].pem);
    assert_int_equal(proof.verdict, IMS_PROOF_GOOD);
    assert_int_equal(proof.key, 0);
    assert_string_equal(proof.claim.identity, "registry.test/app");
    assert_string_equal(proof.claim.digest.text, SIGNED_DIGEST);
  }
}

static void test_signature_of_another_key(void **state) {
  static const char *const pems[] = {key_p384, key_rsa2048, key_p256};
  assert_int_equal(judge_simple(payload, signature_other_sha256, key_p256).verdict, IMS_PROOF_OTHER_KEY);
  assert_int_equal(judge_simple(payload, signature_p256_sha256, key_rsa2048).verdict, IMS_PROOF_OTHER_KEY);
  assert_int_equal(judge_simple(payload, signature_rsa2048_sha256, key_p256).verdict, IMS_PROOF_OTHER_KEY);
  assert_int_equal(judge_simple(payload, signature_p256_sha1, key_p256).verdict, IMS_PROOF_OTHER_KEY);
  const ims_evidence e = {IMS_EVIDENCE_SIMPLE, payload, strlen(payload), signature_p256_sha256, false};
  ims_proof proof = judge(&e, SIGNED_DIGEST, pems, 3);
  assert_int_equal(proof.verdict, IMS_PROOF_GOOD);
  assert_int_equal(proof.key, 2);
  const ims_evidence keyless = {IMS_EVIDENCE_SIMPLE, payload, strlen(payload), signature_other_sha256, true};
  assert_int_equal(judge(&keyless, SIGNED_DIGEST, pems, 3).verdict, IMS_PROOF_KEYLESS);
  assert_int_equal(judge(&e, SIGNED_DIGEST, pems, 0).verdict, IMS_PROOF_OTHER_KEY);
}

static void test_signature_for_another_image(void **state) {
  const char *pem = key_p256;
  const ims_evidence e = {IMS_EVIDENCE_SIMPLE, payload, strlen(payload), signature_p256_sha256, false};
  ims_proof proof = judge(&e, INDEX_DIGEST, &pem, 1);
  assert_int_equal(proof.verdict, IMS_PROOF_OTHER_IMAGE);
  assert_non_null(strstr(proof.why, SIGNED_DIGEST));
}

static void test_altered_payload_and_signature(void **state) {
  char text[sizeof payload], signature[sizeof signature_p256_sha256];
  for (size_t i = 0; i < strlen(payload); i += 3) {
    memcpy(text, payload, sizeof text);
    text[i] ^= 1;
    assert_int_equal(judge_simple(text, signature_p256_sha256, key_p256).verdict, IMS_PROOF_OTHER_KEY);
  }
  for (size_t i = 0; i < strlen(signature_p256_sha256); i++) {
    memcpy(signature, signature_p256_sha256, sizeof signature);
    signature[i] = signature[i] == 'A' ? 'B' : 'A';
    assert_int_not_equal(judge_simple(payload, signature, key_p256).verdict, IMS_PROOF_GOOD);
    memcpy(signature, signature_p256_sha256, sizeof signature);
    signature[i] = '\0';
    assert_int_not_equal(judge_simple(payload, signature, key_p256).verdict, IMS_PROOF_GOOD);
  }
}

static void test_junk_signatures(void **state) {
  static const char *const junk[] = {NULL, "", "!", "====", "A", "AAAA", "MEUCIQ==", "MAYCAQACAQA=", " "};
  char longer[sizeof signature_p256_sha256 + 8], *huge = malloc(IMS_SIGNATURE_MAX + 5);
  for (size_t i = 0; i < sizeof junk / sizeof *junk; i++)
    assert_int_not_equal(judge_simple(payload, junk[i], key_p256).verdict, IMS_PROOF_GOOD);
  snprintf(longer, sizeof longer, "%s\n", signature_p256_sha256); /* white space is no base64 */
  assert_int_equal(judge_simple(payload, longer, key_p256).verdict, IMS_PROOF_MALFORMED);
  memset(huge, 'A', IMS_SIGNATURE_MAX + 4);
  huge[IMS_SIGNATURE_MAX + 4] = '\0';
  assert_int_equal(judge_simple(payload, huge, key_p256).verdict, IMS_PROOF_MALFORMED);
  free(huge);
}

/* --- payloads -------------------------------------------------------------------------------------------------------
 */

#define DIGEST_PART "\"image\":{\"docker-manifest-digest\":\"" SIGNED_DIGEST "\"}"
#define NAME_PART "\"identity\":{\"docker-reference\":\"a/b\"}"
#define TYPE_PART "\"type\":\"cosign container image signature\""

static void test_payloads(void **state) {
  static const struct {
    const char *text;
    int32_t code;
  } cases[] = {
      {"{\"critical\":{" NAME_PART "," DIGEST_PART "," TYPE_PART "}}", IMGSTORE_OK},
      {"{\"critical\":{" NAME_PART "," DIGEST_PART ",\"type\":\"atomic container signature\"},\"optional\":{\"a\":1}}",
       IMGSTORE_OK},
      {"{\"critical\":{" NAME_PART "," DIGEST_PART ",\"type\":\"else\"}}", IMGSTORE_EFORMAT},
      {"{\"critical\":{" NAME_PART "," DIGEST_PART "}}", IMGSTORE_EFORMAT},
      {"{\"critical\":{" NAME_PART "," TYPE_PART "}}", IMGSTORE_EFORMAT},
      {"{\"critical\":{" DIGEST_PART "," TYPE_PART "}}", IMGSTORE_EFORMAT},
      {"{\"critical\":{" NAME_PART "," DIGEST_PART "," TYPE_PART ",\"more\":1}}", IMGSTORE_EFORMAT},
      {"{\"critical\":{\"identity\":{\"docker-reference\":\"a\",\"x\":1}," DIGEST_PART "," TYPE_PART "}}",
       IMGSTORE_EFORMAT},
      {"{\"critical\":{" NAME_PART ",\"image\":{\"docker-manifest-digest\":\"sha256:1\"}," TYPE_PART "}}",
       IMGSTORE_EFORMAT},
      {"{\"critical\":{" NAME_PART "," DIGEST_PART "," TYPE_PART "},\"critical\":{}}", IMGSTORE_EFORMAT},
      {"{\"critical\":[]}", IMGSTORE_EFORMAT},
      {"{}", IMGSTORE_EFORMAT},
      {"[]", IMGSTORE_EFORMAT},
      {"", IMGSTORE_EFORMAT},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ims_claim claim;
    ims_error err = IMS_ERROR_INIT;
    int32_t rc = ims_simple_payload_read(&claim, plain, cases[i].text, strlen(cases[i].text), &err);
    if (rc != cases[i].code)
      fail_msg("case %zu: %d %s", i, (int)rc, err.message);
  }
}

static void test_written_payload_is_read(void **state) {
  ims_claim claim;
  ims_buf out;
  ims_digest digest = digest_of(SIGNED_DIGEST);
  ims_buf_init(&out, plain, 4096);
  ims_simple_payload_write(&out, "registry.test/app", &digest);
  assert_string_equal(ims_buf_text(&out), payload);
  assert_int_equal(ims_simple_payload_read(&claim, plain, out.data, out.size, NULL), IMGSTORE_OK);
  ims_buf_free(&out);
}

static void test_dsse_encoding(void **state) {
  ims_buf out;
  ims_buf_init(&out, plain, 4096);
  ims_dsse_encode(&out, "http://example.com/HelloWorld", "hello world", 11);
  assert_string_equal(ims_buf_text(&out), "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
  ims_buf_free(&out);
}

/* --- bundles --------------------------------------------------------------------------------------------------------
 */

static ims_proof judge_bundle(const char *text, const char *subject, const char *pem) {
  const ims_evidence e = {IMS_EVIDENCE_BUNDLE, text, strlen(text), NULL, false};
  return judge(&e, subject, &pem, 1);
}

static void test_bundles(void **state) {
  assert_int_equal(judge_bundle(bundle_message, SIGNED_DIGEST, key_p256).verdict, IMS_PROOF_GOOD);
  assert_int_equal(judge_bundle(bundle_dsse, SIGNED_DIGEST, key_p256).verdict, IMS_PROOF_GOOD);
  assert_int_equal(judge_bundle(bundle_dsse_rsa, SIGNED_DIGEST, key_rsa2048).verdict, IMS_PROOF_GOOD);
  assert_int_equal(judge_bundle(bundle_dsse_index, INDEX_DIGEST, key_p256).verdict, IMS_PROOF_GOOD);
  assert_int_equal(judge_bundle(bundle_message, SIGNED_DIGEST, key_p384).verdict, IMS_PROOF_OTHER_KEY);
  assert_int_equal(judge_bundle(bundle_dsse, SIGNED_DIGEST, key_p384).verdict, IMS_PROOF_OTHER_KEY);
  assert_int_equal(judge_bundle(bundle_message, INDEX_DIGEST, key_p256).verdict, IMS_PROOF_OTHER_IMAGE);
  assert_int_equal(judge_bundle(bundle_dsse, INDEX_DIGEST, key_p256).verdict, IMS_PROOF_OTHER_IMAGE);
  assert_int_equal(judge_bundle(bundle_attestation, SIGNED_DIGEST, key_p256).verdict, IMS_PROOF_NO_SIGNATURE);
  assert_int_equal(judge_bundle(bundle_keyless, SIGNED_DIGEST, key_p256).verdict, IMS_PROOF_KEYLESS);
}

static void test_two_subjects(void **state) {
  ims_digest subjects[] = {digest_of(SIGNED_DIGEST), digest_of(INDEX_DIGEST)};
  ims_key *key = key_of(key_p256);
  ims_proof proof;
  const ims_evidence e = {IMS_EVIDENCE_BUNDLE, bundle_dsse_index, strlen(bundle_dsse_index), NULL, false};
  assert_int_equal(ims_evidence_judge(&e, plain, subjects, 2, (const ims_key *const *)&key, 1, &proof, NULL),
                   IMGSTORE_OK);
  assert_int_equal(proof.verdict, IMS_PROOF_GOOD);
  assert_string_equal(proof.claim.digest.text, INDEX_DIGEST);
  ims_key_free(key, plain);
}

/* No change of one byte makes a bundle prove what the original does not. */
static void test_altered_bundles(void **state) {
  static const char *const bundles[] = {bundle_message, bundle_dsse};
  for (size_t b = 0; b < 2; b++) {
    size_t size = strlen(bundles[b]);
    char *text = malloc(size + 1);
    for (size_t i = 0; i < size; i += 5) {
      memcpy(text, bundles[b], size + 1);
      text[i] = text[i] == 'x' ? 'y' : 'x';
      ims_proof proof = judge_bundle(text, INDEX_DIGEST, key_p256);
      assert_int_not_equal(proof.verdict, IMS_PROOF_GOOD);
      proof = judge_bundle(text, SIGNED_DIGEST, key_p384);
      assert_int_not_equal(proof.verdict, IMS_PROOF_GOOD);
      text[i] = '\0';
      assert_int_equal(judge_bundle(text, SIGNED_DIGEST, key_p256).verdict, IMS_PROOF_MALFORMED);
    }
    free(text);
  }
}

static void test_malformed_bundles(void **state) {
  static const char *const texts[] = {
      "",
      "{}",
      "[]",
      "null",
      "{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.9+json\",\"messageSignature\":{}}",
      "{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\"}",
      "{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\",\"messageSignature\":{},\"dsseEnvelope\":{}}",
      ("{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\",\"dsseEnvelope\":{\"payloadType\":"
       "\"application/vnd.in-toto+json\",\"payload\":\"e30=\",\"signatures\":[]}}"),
      "{\"mediaType\":\"application/vnd.dev.sigstore.bundle.v0.3+json\",\"dsseEnvelope\":{\"payloadType\":\"x\"}}"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    assert_int_equal(judge_bundle(texts[i], SIGNED_DIGEST, key_p256).verdict, IMS_PROOF_MALFORMED);
}

/* --- no memory ------------------------------------------------------------------------------------------------------
 */

static int32_t judge_all(const ims_alloc *a) {
  ims_key *key = NULL;
  ims_proof proof;
  ims_error err = IMS_ERROR_INIT;
  ims_digest digest = digest_of(SIGNED_DIGEST);
  const ims_evidence all[] = {{IMS_EVIDENCE_SIMPLE, payload, strlen(payload), signature_p256_sha256, false},
                              {IMS_EVIDENCE_BUNDLE, bundle_message, strlen(bundle_message), NULL, false},
                              {IMS_EVIDENCE_BUNDLE, bundle_dsse, strlen(bundle_dsse), NULL, false}};
  int32_t rc = ims_key_parse(&key, a, key_p256, strlen(key_p256), "a.pub", &err);
  for (size_t i = 0; i < 3 && !rc; i++) {
    rc = ims_evidence_judge(&all[i], a, &digest, 1, (const ims_key *const *)&key, 1, &proof, &err);
    if (!rc)
      assert_int_equal(proof.verdict, IMS_PROOF_GOOD);
  }
  ims_key_free(key, a);
  return rc;
}

static void test_no_memory(void **state) {
  failing f;
  for (size_t n = 0;; n++) {
    ims_alloc a = failing_alloc(&f, n);
    int32_t rc = judge_all(&a);
    assert_int_equal(f.live, 0);
    assert_int_equal(rc, f.failed ? IMGSTORE_ENOMEM : IMGSTORE_OK);
    if (!f.failed)
      return;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_kinds_of_keys),
      cmocka_unit_test(test_keys_that_are_not_keys),
      cmocka_unit_test(test_altered_key),
      cmocka_unit_test(test_good_signatures),
      cmocka_unit_test(test_signature_of_another_key),
      cmocka_unit_test(test_signature_for_another_image),
      cmocka_unit_test(test_altered_payload_and_signature),
      cmocka_unit_test(test_junk_signatures),
      cmocka_unit_test(test_payloads),
      cmocka_unit_test(test_written_payload_is_read),
      cmocka_unit_test(test_dsse_encoding),
      cmocka_unit_test(test_bundles),
      cmocka_unit_test(test_two_subjects),
      cmocka_unit_test(test_altered_bundles),
      cmocka_unit_test(test_malformed_bundles),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
