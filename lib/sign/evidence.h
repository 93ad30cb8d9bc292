/*
 * sign/evidence.h (L1) - one signature as it was found beside an image, and what it proves with which key: cosign's
 * signature of a simple-signing payload, or a sigstore bundle with a signature of the manifest or a DSSE envelope.
 *
 * A signature is looked into only after one of the keys was found to have made it.
 */
#ifndef IMS_SIGN_EVIDENCE_H
#define IMS_SIGN_EVIDENCE_H

#include "sign/key.h"
#include "sign/payload.h"

enum { IMS_BUNDLE_MAX = 2 << 20, IMS_SIGNATURE_MAX = 16 * 1024, IMS_ENVELOPE_SIGNATURES_MAX = 16 };

enum { IMS_EVIDENCE_SIMPLE = 1, IMS_EVIDENCE_BUNDLE = 2 };

typedef struct ims_evidence {
  int form;
  const void *data; /**< the payload, or the bundle */
  size_t size;
  const char *signature; /**< base64, of a payload; NULL: there is none */
  bool has_certificate;  /**< of a payload: it was signed without a key (Fulcio) */
} ims_evidence;

/** How a signature was judged. */
enum {
  IMS_PROOF_GOOD = 1,     /**< made by key, about this image */
  IMS_PROOF_OTHER_KEY,    /**< by none of the keys, or the bytes were altered */
  IMS_PROOF_OTHER_IMAGE,  /**< made by key, but about another digest */
  IMS_PROOF_KEYLESS,      /**< made with a certificate: not supported */
  IMS_PROOF_NO_SIGNATURE, /**< an attestation: it says something about the image, not that it is approved */
  IMS_PROOF_MALFORMED
};

typedef struct ims_proof {
  int verdict;
  size_t key;      /**< of GOOD and OTHER_IMAGE: which one */
  ims_claim claim; /**< what it says */
  char why[160];   /**< of everything but GOOD, in words; "" : the verdict says it all */
} ims_proof;

/**
 * Judges e against keys. subjects: the digests that the image goes by (its manifest, the index above it).
 * Errors: IMGSTORE_ENOMEM alone; everything else is a verdict.
 */
int32_t ims_evidence_judge(const ims_evidence *e, const ims_alloc *alloc, const ims_digest *subjects,
                           size_t subject_count, const ims_key *const *keys, size_t key_count, ims_proof *proof,
                           ims_error *err);

/** bundle.c: the bundle of ims_evidence_judge. */
int32_t ims_bundle_judge(const ims_evidence *e, const ims_alloc *alloc, const ims_digest *subjects,
                         size_t subject_count, const ims_key *const *keys, size_t key_count, ims_proof *proof,
                         ims_error *err);
/** Sets verdict and why. Returns IMGSTORE_OK. */
int32_t ims_proof_set(ims_proof *proof, int verdict, const char *format, ...) __attribute__((format(printf, 3, 4)));
/** As ims_proof_set with what err says, unless memory ran out: that is returned. */
int32_t ims_proof_from(ims_proof *proof, int32_t code, const ims_error *why, ims_error *err);
/** The key that made a signature (of a message, or of digest when message is NULL), or key_count. */
size_t ims_find_signer(const ims_key *const *keys, size_t key_count, const void *message, size_t size,
                       const ims_digest *digest, const uint8_t *signature, size_t signature_size);
/** The media type of a sigstore bundle of a version that is known. */
bool ims_is_bundle_type(const char *media_type);

#endif
