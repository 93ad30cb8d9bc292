/*
 * sign/payload.h (L1) - what is signed: the simple-signing payload of cosign and containers, and the in-toto statement
 * inside a DSSE envelope. Both are read strictly: what is critical must be known.
 */
#ifndef IMS_SIGN_PAYLOAD_H
#define IMS_SIGN_PAYLOAD_H

#include "base/buf.h"
#include "oci/digest.h"

#define IMS_MT_SIMPLE_SIGNING "application/vnd.dev.cosign.simplesigning.v1+json"
#define IMS_MT_IN_TOTO "application/vnd.in-toto+json"
#define IMS_PREDICATE_SIGN "https://sigstore.dev/cosign/sign/v1"

enum { IMS_PAYLOAD_MAX = 1 << 20, IMS_IDENTITY_MAX = 512, IMS_PREDICATE_MAX = 256 };

/** What a signature says about an image. */
typedef struct ims_claim {
  ims_digest digest;               /**< of the manifest or index that it is about */
  char identity[IMS_IDENTITY_MAX]; /**< docker-reference; "" when there is none */
} ims_claim;

/**
 * Reads {"critical": {"identity": {"docker-reference"}, "image": {"docker-manifest-digest"}, "type"}, "optional"}.
 * type: "cosign container image signature" or "atomic container signature". Errors: IMGSTORE_EFORMAT, ...
 */
int32_t ims_simple_payload_read(ims_claim *claim, const ims_alloc *alloc, const void *data, size_t size,
                                ims_error *err);
/** Writes one, as cosign does. identity: a reference without digest. */
void ims_simple_payload_write(ims_buf *out, const char *identity, const ims_digest *digest);

typedef struct ims_statement {
  char predicate_type[IMS_PREDICATE_MAX];
  bool is_about;      /**< one of its subjects is the digest that was asked about */
  ims_digest subject; /**< the first subject with a digest that is known; algorithm 0: none */
} ims_statement;

/** Reads an in-toto statement v0.1 or v1. about: the digest to look for among its subjects. */
int32_t ims_statement_read(ims_statement *statement, const ims_alloc *alloc, const void *data, size_t size,
                           const ims_digest *about, ims_error *err);

/** What a DSSE signature covers: "DSSEv1", type and payload with their lengths (PAE). */
void ims_dsse_encode(ims_buf *out, const char *type, const void *payload, size_t size);

#endif
