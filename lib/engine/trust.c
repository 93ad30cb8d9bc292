/*
 * engine/trust.c (L4) - brings signatures and policy together. One signature is judged in each turn, so that a step
 * stays short however many there are.
 */
#include "engine/trust.h"

#include <stdio.h>
#include <string.h>

#include "oci/mediatype.h"

#define COSIGN_SIGNATURE "dev.cosignproject.cosign/signature"
#define COSIGN_CERTIFICATE "dev.sigstore.cosign/certificate"

void ims_trust_init(ims_trust *t, imgstore_operation *op, imgstore_policy *policy, imgstore_report *report) {
  t->op = op;
  t->policy = ims_policy_ref(policy);
  t->report = report;
}

int32_t ims_trust_start(ims_trust *t, ims_client *client, const imgstore_reference *reference,
                        const ims_digest *subjects, size_t subject_count) {
  int32_t rc = IMGSTORE_OK;
  t->started = true;
  ims_trial_init(&t->trial, t->policy, reference, subjects, subject_count);
  ims_finder_init(&t->finder, t->op, client, reference->repository, IMS_FIND_SIGNATURES, NULL);
  ims_blob_bytes_init(&t->bytes, t->op, client, reference->repository);
  for (size_t i = 0; i < subject_count && !rc && ims_trial_wants(&t->trial); i++)
    rc = ims_finder_add_subject(&t->finder, &subjects[i]);
  return rc;
}

/* --- signatures one by one ------------------------------------------------------------------------------------------
 */

static int form_of(const imgstore_descriptor *d) {
  if (ims_media_equal(d->media_type, IMS_MT_SIMPLE_SIGNING))
    return IMS_EVIDENCE_SIMPLE;
  return ims_is_bundle_type(d->media_type) ? IMS_EVIDENCE_BUNDLE : 0;
}

/* The next layer that holds a signature, or NULL. */
static const imgstore_descriptor *next_signature(ims_trust *t) {
  for (; t->manifest < t->finder.count; t->manifest++, t->layer = 0) {
    const imgstore_manifest *m = t->finder.found[t->manifest].manifest;
    for (; m->kind != IMGSTORE_MANIFEST_INDEX && t->layer < m->count; t->layer++)
      if (form_of(&m->entries[t->layer]))
        return &m->entries[t->layer++];
  }
  return NULL;
}

static int32_t report_proof(ims_trust *t, const ims_proof *proof, const ims_key *key) {
  static const char *const words[] = {"",
                                      "signed",
                                      "signed by another key, or altered",
                                      "signed for another image",
                                      "keyless: not supported",
                                      "an attestation, no signature",
                                      "malformed"};
  char detail[400];
  if (!t->report)
    return IMGSTORE_OK;
  bool good = proof->verdict == IMS_PROOF_GOOD;
  snprintf(detail, sizeof detail, "%s%s%s", words[proof->verdict], proof->why[0] ? ": " : "", proof->why);
  if (ims_report_add(t->report, good ? IMGSTORE_REPORT_SIGNED : IMGSTORE_REPORT_UNSIGNED, good && key ? key->name : "",
                     t->current->digest.text, good && key ? key->kind : detail, 0, 0) != IMGSTORE_OK)
    return ims_fail_nomem(&t->op->err);
  return IMGSTORE_OK;
}

static int32_t judge(ims_trust *t) {
  const imgstore_descriptor *d = t->current;
  const ims_evidence e = {form_of(d), ims_buf_text(&t->bytes.bytes), t->bytes.bytes.size,
                          ims_descriptor_annotation(d, COSIGN_SIGNATURE),
                          ims_descriptor_annotation(d, COSIGN_CERTIFICATE) != NULL};
  ims_proof proof;
  const ims_key *key;
  int32_t rc = ims_trial_add(&t->trial, &e, &proof, &key, &t->op->err);
  if (!rc && proof.verdict)
    rc = report_proof(t, &proof, key);
  t->current = NULL;
  ims_blob_bytes_reset(&t->bytes);
  ims_lane_signal(&t->op->lane);
  return rc ? rc : IMGSTORE_EAGAIN;
}

/* A signature that cannot be fetched or is not what its digest says counts for nothing; a network that fails fails
   the job, since a signature that counts may be behind it. */
static bool is_passable(int32_t code) {
  return code == IMGSTORE_ENOTFOUND || code == IMGSTORE_EDIGEST || code == IMGSTORE_ELIMIT;
}

static int32_t skip(ims_trust *t, int32_t code, const ims_error *why) {
  char text[IMS_ERROR_MESSAGE];
  if (!is_passable(code)) {
    if (!t->op->err.code)
      t->op->err = *why;
    return code;
  }
  snprintf(text, sizeof text, "%.100s: a signature that cannot be read: %.800s", t->current->digest.text, why->message);
  t->current = NULL;
  ims_blob_bytes_reset(&t->bytes);
  ims_lane_signal(&t->op->lane);
  int32_t rc = ims_operation_event(t->op, IMGSTORE_EVENT_WARNING, IMGSTORE_OBJECT_NONE, NULL, text, 0, 0);
  return rc ? rc : IMGSTORE_EAGAIN;
}

static int32_t advance_signature(ims_trust *t) {
  ims_error why = IMS_ERROR_INIT;
  if (!t->bytes.started) {
    uint64_t most = form_of(t->current) == IMS_EVIDENCE_SIMPLE ? IMS_PAYLOAD_MAX : IMS_BUNDLE_MAX;
    int32_t rc = ims_blob_bytes_start(&t->bytes, t->current, most, &why);
    if (rc)
      return skip(t, rc, &why);
  }
  int32_t rc = ims_blob_bytes_advance(&t->bytes);
  if (rc == IMGSTORE_EAGAIN)
    return rc;
  return rc ? skip(t, rc, &t->bytes.err) : judge(t);
}

static int32_t decide(ims_trust *t) {
  t->decided = true;
  int32_t rc = ims_trial_end(&t->trial, &t->op->err);
  if (!rc && t->trial.warning[0])
    rc = ims_operation_event(t->op, IMGSTORE_EVENT_WARNING, IMGSTORE_OBJECT_NONE, NULL, t->trial.warning, 0, 0);
  return rc;
}

int32_t ims_trust_advance(ims_trust *t) {
  if (t->decided)
    return IMGSTORE_OK;
  if (t->current)
    return advance_signature(t);
  if (!ims_trial_wants(&t->trial))
    return decide(t);
  int32_t finding = ims_finder_advance(&t->finder);
  if (finding && finding != IMGSTORE_EAGAIN)
    return finding;
  t->current = next_signature(t);
  if (t->current)
    return advance_signature(t);
  return finding ? finding : decide(t);
}

void ims_trust_free(ims_trust *t) {
  if (t->started) {
    ims_blob_bytes_reset(&t->bytes);
    ims_finder_free(&t->finder);
  }
  ims_policy_unref(t->policy);
  memset(t, 0, sizeof *t);
}
