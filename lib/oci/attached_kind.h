/*
 * oci/attached_kind.h (L1) - what an attached object is, from the types that its maker wrote on it.
 */
#ifndef IMS_OCI_ATTACHED_KIND_H
#define IMS_OCI_ATTACHED_KIND_H

#include "oci/manifest.h"

/** IMGSTORE_ATTACHED_* by predicate type, then media type, then artifact type; each may be NULL. */
int32_t ims_attached_kind(const char *predicate_type, const char *media_type, const char *artifact_type);
/** The in-toto predicate type that the annotations of a layer or its manifest give, or NULL. content may be NULL. */
const char *ims_predicate_type(const imgstore_manifest *manifest, const imgstore_descriptor *content);
/** Whether an entry of an index is BuildKit's attestation manifest for the image with this digest. */
bool ims_is_attestation_of(const imgstore_descriptor *entry, const ims_digest *digest);
/** The value of an annotation of a manifest, or NULL. */
const char *ims_manifest_annotation(const imgstore_manifest *manifest, const char *key);

#endif
