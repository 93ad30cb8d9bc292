/*
 * sign/policy.h (L1) - what imgstore_policy is inside: which signatures an image of which name must have. Rules, their
 * file format, and a trial of one image against them. Reads no file and asks no registry.
 */
#ifndef IMS_SIGN_POLICY_H
#define IMS_SIGN_POLICY_H

#include <stdatomic.h>

#include "base/core.h"
#include "imgstore/policy.h"
#include "oci/reference.h"
#include "sign/evidence.h"

enum {
  IMS_POLICY_SCOPES_MAX = 4096,
  IMS_POLICY_REQUIREMENTS_MAX = 32, /**< of one scope */
  IMS_POLICY_KEYS_MAX = 32,         /**< of one requirement */
  IMS_POLICY_FILE_MAX = 4 << 20,
  IMS_TRIAL_SUBJECTS_MAX = 16,
  IMS_TRIAL_SIGNATURES_MAX = 64 /**< looked at; checking one costs milliseconds for each key */
};

/** Beyond IMGSTORE_TRUST_*: a requirement of a policy file that this library cannot check, so it never holds. */
enum { IMS_TRUST_UNSUPPORTED = 100 };
/** Beyond IMGSTORE_IDENTITY_*: what only policy files say. */
enum {
  IMS_IDENTITY_MATCH_EXACT = 100,
  IMS_IDENTITY_EXACT_REFERENCE,
  IMS_IDENTITY_EXACT_REPOSITORY,
  IMS_IDENTITY_REMAP
};

typedef struct ims_requirement {
  int32_t require; /**< IMGSTORE_TRUST_* or IMS_TRUST_UNSUPPORTED */
  bool warn;
  uint32_t signatures;
  int32_t identity;
  char *identity_name;          /**< of EXACT_REFERENCE, EXACT_REPOSITORY; the prefix of REMAP; or NULL */
  char *identity_signed_prefix; /**< of REMAP */
  char *unsupported;            /**< of UNSUPPORTED: what, for messages */
  ims_key *keys[IMS_POLICY_KEYS_MAX];
  size_t key_count;
} ims_requirement;

/** All requirements of a scope must hold. */
typedef struct ims_scope {
  char *name; /**< "" : every image that no other scope is for */
  ims_requirement *requirements[IMS_POLICY_REQUIREMENTS_MAX];
  size_t count;
} ims_scope;

typedef struct ims_rule {
  ims_scope *scope;
  ims_requirement *requirement;
} ims_rule;

struct imgstore_policy {
  atomic_uint refs;
  ims_core *core;
  ims_alloc alloc;
  ims_scope **scopes;
  size_t count, capacity;
  ims_rule *rules; /**< by the number that imgstore_policy_add_rule gave */
  size_t rule_count, rule_capacity;
};

int32_t ims_policy_new(imgstore_policy **policy, ims_core *core, ims_error *err);
imgstore_policy *ims_policy_ref(imgstore_policy *policy);
void ims_policy_unref(imgstore_policy *policy);
/** Adds a requirement to a scope, which it makes when there is none of that name. rule: complete. Errors:
 * IMGSTORE_EFORMAT (scope), IMGSTORE_ELIMIT, IMGSTORE_ENOMEM. */
int32_t ims_policy_add(imgstore_policy *policy, const char *scope, const imgstore_policy_rule *rule,
                       ims_requirement **requirement, ims_error *err);
/** One more key that may have signed. The same key twice counts once. */
int32_t ims_policy_add_key(imgstore_policy *policy, ims_requirement *requirement, const void *pem, size_t size,
                           const char *name, ims_error *err);
/** The scope that decides about a reference: the most specific one, or NULL: everything is accepted. */
const ims_scope *ims_policy_find(const imgstore_policy *policy, const imgstore_reference *reference);
/** Whether a signature for claim's identity may vouch for reference. */
bool ims_identity_matches(const ims_requirement *requirement, const imgstore_reference *reference,
                          const ims_claim *claim, const ims_alloc *alloc);

/** Reads a key file that a policy names; out is empty. */
typedef int32_t (*ims_key_file_read)(void *data, const char *path, ims_buf *out, ims_error *err);
/** policy_file.c: adds what a policy file says to an empty policy. what: its name in messages. */
int32_t ims_policy_read(imgstore_policy *policy, const void *text, size_t size, const char *what,
                        ims_key_file_read read_key, void *data, ims_error *err);

/* --- trial.c: one image against the policy ------------------------------------------------------------------------ */

typedef struct ims_trial {
  const imgstore_policy *policy;
  const ims_scope *scope;
  const imgstore_reference *reference;
  ims_digest subjects[IMS_TRIAL_SUBJECTS_MAX];
  size_t subject_count;
  uint32_t made[IMS_POLICY_REQUIREMENTS_MAX]; /**< for each requirement: which keys have signed */
  size_t seen;                                /**< signatures */
  size_t by_others, keyless, attestations;    /**< of those, for the first requirement that wants signatures */
  char closest[512];                          /**< what was wrong with the signature that came closest */
  char warning[IMS_ERROR_MESSAGE];            /**< after ims_trial_end: what a rule that only warns would refuse */
} ims_trial;

/** subjects: the digests that the image goes by. policy and reference must live as long. */
void ims_trial_init(ims_trial *trial, const imgstore_policy *policy, const imgstore_reference *reference,
                    const ims_digest *subjects, size_t count);
/** True while more signatures can change the verdict. */
bool ims_trial_wants(const ims_trial *trial);
/** Judges one signature. *proof: how, for the requirement that it helps, else for the first. */
int32_t ims_trial_add(ims_trial *trial, const ims_evidence *e, ims_proof *proof, const ims_key **key, ims_error *err);
/** IMGSTORE_OK, with trial->warning set or "", or IMGSTORE_EUNTRUSTED with image, rule and reason. */
int32_t ims_trial_end(ims_trial *trial, ims_error *err);

#endif
