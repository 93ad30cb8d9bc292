/*
 * sign/trial.c (L1) - one image before the policy: signatures come in one by one, in the end stands a verdict that
 * names the image, the rule and the reason.
 */
#include <stdio.h>
#include <string.h>

#include "sign/policy.h"

void ims_trial_init(ims_trial *trial, const imgstore_policy *policy, const imgstore_reference *reference,
                    const ims_digest *subjects, size_t count) {
  memset(trial, 0, sizeof *trial);
  trial->policy = policy;
  trial->reference = reference;
  trial->scope = ims_policy_find(policy, reference);
  trial->subject_count = count < IMS_TRIAL_SUBJECTS_MAX ? count : IMS_TRIAL_SUBJECTS_MAX;
  memcpy(trial->subjects, subjects, trial->subject_count * sizeof *subjects);
}

static uint32_t count_bits(uint32_t mask) {
  uint32_t count = 0;
  for (; mask; mask &= mask - 1)
    count++;
  return count;
}

static bool is_met(const ims_trial *t, size_t i) {
  const ims_requirement *r = t->scope->requirements[i];
  return r->require == IMGSTORE_TRUST_ACCEPT ||
         (r->require == IMGSTORE_TRUST_SIGNED && count_bits(t->made[i]) >= r->signatures);
}

static bool is_signed_rule(const ims_requirement *r) {
  return r->require == IMGSTORE_TRUST_SIGNED;
}

bool ims_trial_wants(const ims_trial *t) {
  bool wants = false;
  for (size_t i = 0; t->scope && i < t->scope->count; i++) {
    const ims_requirement *r = t->scope->requirements[i];
    if (!is_signed_rule(r) && !is_met(t, i) && !r->warn)
      return false; /* it is refused whatever else there is */
    wants = wants || (is_signed_rule(r) && !is_met(t, i));
  }
  return wants && t->seen < IMS_TRIAL_SIGNATURES_MAX;
}

/* A signature that would count but for its identity. Bundles carry none: what wants to see more of a name than the
   repository cannot take them. */
static bool vouches(ims_trial *t, const ims_requirement *r, const ims_evidence *e, ims_proof *proof) {
  if (proof->verdict != IMS_PROOF_GOOD)
    return false;
  bool named = e->form == IMS_EVIDENCE_SIMPLE;
  bool takes_nameless = r->identity == IMGSTORE_IDENTITY_ANY || r->identity == IMGSTORE_IDENTITY_REPOSITORY;
  if (named ? ims_identity_matches(r, t->reference, &proof->claim, &t->policy->alloc) : takes_nameless)
    return true;
  if (named)
    ims_proof_set(proof, IMS_PROOF_OTHER_IMAGE, "it is for \"%.120s\"", proof->claim.identity);
  else
    ims_proof_set(proof, IMS_PROOF_OTHER_IMAGE, "it is a bundle, which names no repository");
  return false;
}

/* Keeps what helps to see why there is not enough. */
static void note_failure(ims_trial *t, const ims_requirement *r, const ims_proof *proof) {
  t->by_others += proof->verdict == IMS_PROOF_OTHER_KEY;
  t->keyless += proof->verdict == IMS_PROOF_KEYLESS;
  t->attestations += proof->verdict == IMS_PROOF_NO_SIGNATURE;
  bool close = proof->verdict == IMS_PROOF_OTHER_IMAGE && proof->key < r->key_count;
  if (close)
    snprintf(t->closest, sizeof t->closest, "a signature by %.150s is for another image: %s", r->keys[proof->key]->name,
             proof->why);
  else if (proof->verdict != IMS_PROOF_OTHER_KEY && proof->verdict != IMS_PROOF_KEYLESS && proof->why[0] &&
           !t->closest[0])
    snprintf(t->closest, sizeof t->closest, "one does not count: %s", proof->why);
}

int32_t ims_trial_add(ims_trial *t, const ims_evidence *e, ims_proof *proof, const ims_key **key, ims_error *err) {
  ims_proof judged;
  bool first = true, noted = false;
  *key = NULL;
  memset(proof, 0, sizeof *proof);
  t->seen++;
  for (size_t i = 0; t->scope && i < t->scope->count; i++) {
    const ims_requirement *r = t->scope->requirements[i];
    if (!is_signed_rule(r))
      continue;
    int32_t rc = ims_evidence_judge(e, &t->policy->alloc, t->subjects, t->subject_count,
                                    (const ims_key *const *)r->keys, r->key_count, &judged, err);
    if (rc)
      return rc;
    bool good = vouches(t, r, e, &judged);
    if (good)
      t->made[i] |= 1u << judged.key;
    else if (!noted)
      note_failure(t, r, &judged);
    noted = noted || !good;
    if (first || (good && proof->verdict != IMS_PROOF_GOOD)) {
      *proof = judged;
      *key = judged.key < r->key_count ? r->keys[judged.key] : NULL;
    }
    first = false;
  }
  return IMGSTORE_OK;
}

/* --- the verdict ----------------------------------------------------------------------------------------------------
 */

static void describe_keys(const ims_requirement *r, char *out, size_t capacity) {
  if (r->key_count == 0)
    snprintf(out, capacity, "any key: the rule has none");
  else if (r->key_count == 1)
    snprintf(out, capacity, "%.200s (%s, %.19s)", r->keys[0]->name, r->keys[0]->kind, r->keys[0]->id.text);
  else
    snprintf(out, capacity, "%.200s or the %zu other keys", r->keys[0]->name, r->key_count - 1);
}

static void describe_missing(const ims_trial *t, size_t i, char *out, size_t capacity) {
  const ims_requirement *r = t->scope->requirements[i];
  char keys[320];
  uint32_t good = count_bits(t->made[i]);
  describe_keys(r, keys, sizeof keys);
  if (!t->seen) {
    snprintf(out, capacity, "no signature found; one by %s is needed", keys);
    return;
  }
  int used = good ? snprintf(out, capacity, "signed by %u of the %u keys that are needed; %zu signatures found",
                             (unsigned)good, (unsigned)r->signatures, t->seen)
                  : snprintf(out, capacity, "%zu signature%s found, none that counts by %s", t->seen,
                             t->seen == 1 ? "" : "s", keys);
  if (t->keyless && used > 0 && (size_t)used < capacity)
    used += snprintf(out + used, capacity - (size_t)used, "; %zu keyless (by certificate), which is not supported",
                     t->keyless);
  if (t->closest[0] && used > 0 && (size_t)used < capacity)
    snprintf(out + used, capacity - (size_t)used, "; %s", t->closest);
}

static void describe(const ims_trial *t, size_t i, char *out, size_t capacity) {
  const ims_requirement *r = t->scope->requirements[i];
  if (r->require == IMGSTORE_TRUST_REJECT)
    snprintf(out, capacity, "the rule rejects every image");
  else if (r->require == IMS_TRUST_UNSUPPORTED)
    snprintf(out, capacity, "unsupported: %s", r->unsupported);
  else
    describe_missing(t, i, out, capacity);
}

int32_t ims_trial_end(ims_trial *t, ims_error *err) {
  char why[900];
  const char *scope = t->scope && t->scope->name[0] ? t->scope->name : "default";
  for (size_t i = 0; t->scope && i < t->scope->count; i++) {
    if (is_met(t, i))
      continue;
    describe(t, i, why, sizeof why);
    if (!t->scope->requirements[i]->warn)
      return ims_fail(err, IMGSTORE_EUNTRUSTED, "%s: refused by the policy for \"%s\": %s", t->reference->name, scope,
                      why);
    if (!t->warning[0])
      snprintf(t->warning, sizeof t->warning, "the policy for \"%.200s\" is not met: %.700s", scope, why);
  }
  return IMGSTORE_OK;
}
