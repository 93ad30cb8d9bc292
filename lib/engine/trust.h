/*
 * engine/trust.h (L4) - an image of a registry before a policy: finds its signatures, fetches them, has them judged. A
 * part of a job: pull, and the check of a policy by itself.
 */
#ifndef IMS_ENGINE_TRUST_H
#define IMS_ENGINE_TRUST_H

#include "engine/attached_find.h"
#include "engine/blob_bytes.h"
#include "oci/reference.h"
#include "sign/policy.h"

typedef struct ims_trust {
  imgstore_operation *op;
  imgstore_policy *policy;
  ims_trial trial;
  ims_finder finder;
  ims_blob_bytes bytes;
  const imgstore_descriptor *current; /**< the signature that is fetched, or NULL */
  size_t manifest, layer;             /**< the next one to look at */
  bool started, decided;
  imgstore_report *report; /**< one line per signature that was judged, or NULL: not wanted */
} ims_trust;

/** Takes a reference on policy. report: borrowed, or NULL. */
void ims_trust_init(ims_trust *t, imgstore_operation *op, imgstore_policy *policy, imgstore_report *report);
/**
 * Begins. reference: what was asked for, subjects: the digests it goes by; all but subjects must live as long as t.
 * Errors: in op->err.
 */
int32_t ims_trust_start(ims_trust *t, ims_client *client, const imgstore_reference *reference,
                        const ims_digest *subjects, size_t subject_count);
/** IMGSTORE_OK: the image may be used. IMGSTORE_EAGAIN, IMGSTORE_EUNTRUSTED or another failure, in op->err. */
int32_t ims_trust_advance(ims_trust *t);
/** Stops what runs. Before the client is freed; may be called twice. */
void ims_trust_free(ims_trust *t);

#endif
