/*
 * imgstore/policy.h - which images are trusted: rules for names, keys, and the check of signatures.
 *
 * A policy accepts everything until a rule says otherwise. A rule is for a scope:
 *
 *     HOST/REPOSITORY:TAG  HOST/REPOSITORY@DIGEST  HOST/REPOSITORY  HOST/PATH  HOST  *.DOMAIN  "" (everything else)
 *
 * with names in full ("docker.io/library/alpine"). The most specific scope that fits a name decides alone; all of its
 * rules must hold. What a rule counts are signatures made with its keys, in any of these forms:
 *
 * - cosign's: a manifest tagged sha256-HEX.sig, or a referrer, with simple-signing payloads whose
 *   docker-manifest-digest is the image's;
 * - sigstore bundles 0.1 to 0.3 among the referrers: a signature of the manifest, or a DSSE envelope with an in-toto
 *   statement of cosign's kind (predicate type https://sigstore.dev/cosign/sign/v1) about the image.
 *
 * Signatures without a key (certificates, transparency logs) and OpenPGP are not supported: they never count. The
 * image is its manifest, or for a multi-platform name the manifest of the platform or the index that names it; with
 * IMGSTORE_PULL_ALL_PLATFORMS it is the index.
 *
 * Keys: PEM public keys, ECDSA on P-256, P-384 and P-521, and RSA (PKCS #1 v1.5 or PSS) from 2048 bits; SHA-256, -384
 * and -512. Sources: cosign SIGNATURE_SPEC, sigstore bundle format, DSSE 1.0, containers-policy.json(5).
 */
#ifndef IMGSTORE_POLICY_H
#define IMGSTORE_POLICY_H

#include "imgstore/common.h"
#include "imgstore/operation.h"
#include "imgstore/report.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Rules about signatures. Built by one thread; while an operation uses it, it may not be changed. */
typedef struct imgstore_policy imgstore_policy;

enum {
  IMGSTORE_TRUST_ACCEPT = 1, /**< no signature is asked for */
  IMGSTORE_TRUST_REJECT = 2, /**< no image of this scope is taken */
  IMGSTORE_TRUST_SIGNED = 3  /**< signatures by the rule's keys are needed */
};
enum {
  IMGSTORE_TRUST_WARN = 1u << 0 /**< an IMGSTORE_EVENT_WARNING instead of a refusal when the rule does not hold */
};
enum {
  /** The payload's docker-reference must be of the repository that was asked for; its tag does not matter. Bundles,
      which carry no name, count: a key that makes them should sign images of one repository only. */
  IMGSTORE_IDENTITY_REPOSITORY = 0,
  /** By tag: the docker-reference must have that tag as well. By digest: the same repository. Bundles do not count. */
  IMGSTORE_IDENTITY_EXACT = 1,
  /** The docker-reference does not matter: an image that the key signed under one name is taken under any other. */
  IMGSTORE_IDENTITY_ANY = 2
};

typedef struct imgstore_policy_rule {
  size_t size;
  int32_t require;     /**< IMGSTORE_TRUST_*; default IMGSTORE_TRUST_SIGNED */
  uint32_t flags;      /**< IMGSTORE_TRUST_WARN */
  uint32_t signatures; /**< of SIGNED: how many different keys must have signed, 1..32; default 1 */
  int32_t identity;    /**< of SIGNED: IMGSTORE_IDENTITY_*; default IMGSTORE_IDENTITY_REPOSITORY */
} imgstore_policy_rule;

/** Fills *rule with the defaults. size: sizeof(imgstore_policy_rule) of the caller. */
IMGSTORE_API int32_t imgstore_policy_rule_init(imgstore_policy_rule *rule, size_t size);

/** Makes a policy without rules. Errors: IMGSTORE_ENOMEM. */
IMGSTORE_API int32_t imgstore_policy_new(imgstore_context *context, imgstore_policy **policy, imgstore_error **error);
/**
 * Reads a policy file: containers-policy.json(5), of which "default" and the transport "docker" are used, with the
 * requirements insecureAcceptAnything, reject and sigstoreSigned (keyPath, keyPaths, keyData, keyDatas,
 * signedIdentity). A sigstoreSigned may have two members of this library's own: "signatures" (a number) and "onFailure"
 * ("reject" or "warn"). signedBy, and sigstoreSigned with fulcio, pki or a Rekor key, are read as requirements that
 * never hold. Without signedIdentity it is IMGSTORE_IDENTITY_EXACT. A keyPath that is not absolute is taken from the
 * folder of the policy file.
 * Errors: IMGSTORE_ENOTFOUND, IMGSTORE_EFORMAT (with what is wrong), IMGSTORE_EUNSUPPORTED (a key), IMGSTORE_EACCESS,
 * IMGSTORE_ELIMIT, IMGSTORE_EIO, IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_policy_load(imgstore_context *context, const char *path, imgstore_policy **policy,
                                          imgstore_error **error);
/**
 * Adds a rule for scope. rule: NULL for the defaults. number, when wanted: what imgstore_policy_add_key takes.
 * Errors: IMGSTORE_EINVALID, IMGSTORE_EFORMAT (scope), IMGSTORE_EUNSUPPORTED, IMGSTORE_ELIMIT (4096 scopes, 32 rules
 * each), IMGSTORE_EBUSY (an operation uses the policy), IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_policy_add_rule(imgstore_policy *policy, const char *scope,
                                              const imgstore_policy_rule *rule, size_t *number, imgstore_error **error);
/**
 * Adds a key that counts for a rule, at most 32. pem: one PEM block "PUBLIC KEY" or "RSA PUBLIC KEY". name: what
 * messages and reports call it, or NULL. Errors: IMGSTORE_EFORMAT (not a public key: what it is instead),
 * IMGSTORE_EUNSUPPORTED (kind, curve or size), IMGSTORE_EINVALID (number), IMGSTORE_ELIMIT, IMGSTORE_EBUSY,
 * IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_policy_add_key(imgstore_policy *policy, size_t number, const void *pem, size_t size,
                                             const char *name, imgstore_error **error);
/** As imgstore_policy_add_key, with a file of at most 64 KiB; its path is the name. Errors: also IMGSTORE_ENOTFOUND,
    IMGSTORE_EACCESS, IMGSTORE_EIO. */
IMGSTORE_API int32_t imgstore_policy_add_key_file(imgstore_policy *policy, size_t number, const char *path,
                                                  imgstore_error **error);

typedef struct imgstore_policy_options {
  size_t size;
  uint32_t flags;       /**< IMGSTORE_POLICY_CHECK_* */
  uint32_t reserved;    /**< 0 */
  const char *platform; /**< "os/arch[/variant]"; NULL: this machine's */
  imgstore_event_fn progress;
  void *progress_data;
} imgstore_policy_options;

enum {
  IMGSTORE_POLICY_CHECK_ALL_PLATFORMS = 1u << 0 /**< the index itself, as a pull of all platforms */
};

/** Fills *options with the defaults. size: sizeof(imgstore_policy_options) of the caller. */
IMGSTORE_API int32_t imgstore_policy_options_init(imgstore_policy_options *options, size_t size);
/**
 * Asks whether an image of a registry may be used, as a pull would, without pulling it. report, when wanted: one
 * IMGSTORE_REPORT_SIGNED or IMGSTORE_REPORT_UNSIGNED line per signature that was looked at; it stops when there are
 * enough. Rules that only warn make events. options: NULL for defaults.
 * Errors: IMGSTORE_EUNTRUSTED (image, rule and reason), and as for imgstore_pull.
 */
IMGSTORE_API int32_t imgstore_policy_check(imgstore_policy *policy, imgstore_registry *registry, const char *reference,
                                           const imgstore_policy_options *options, imgstore_report **report,
                                           imgstore_error **error);
/** The same as an operation; imgstore_operation_report has the lines, also when it was refused. */
IMGSTORE_API int32_t imgstore_policy_check_start(imgstore_policy *policy, imgstore_registry *registry,
                                                 const char *reference, const imgstore_policy_options *options,
                                                 imgstore_operation **operation, imgstore_error **error);
/** Drops the caller's handle; operations keep what they need. */
IMGSTORE_API void imgstore_policy_free(imgstore_policy *policy);

#ifdef __cplusplus
}
#endif
#endif
