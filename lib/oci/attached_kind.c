/*
 * oci/attached_kind.c (L1) - the table of what signers, SBOM generators and scanners write. Nobody registers these
 * types, so parts of names decide where a whole name is not known.
 */
#include "oci/attached_kind.h"

#include <string.h>

#include "base/text.h"
#include "imgstore/attached.h"

typedef struct known_part {
  const char *part; /* lower case */
  int32_t kind;
} known_part;

/* The first part that a type contains decides. */
static const known_part parts[] = {
    {"sigstore.dev/cosign/sign/", IMGSTORE_ATTACHED_SIGNATURE},
    {"spdx", IMGSTORE_ATTACHED_SBOM_SPDX},
    {"cyclonedx", IMGSTORE_ATTACHED_SBOM_CYCLONEDX},
    {"openvex", IMGSTORE_ATTACHED_VULNERABILITY},
    {"vex+json", IMGSTORE_ATTACHED_VULNERABILITY},
    {"csaf", IMGSTORE_ATTACHED_VULNERABILITY},
    {"sarif", IMGSTORE_ATTACHED_VULNERABILITY},
    {"vuln", IMGSTORE_ATTACHED_VULNERABILITY},
    {"trivy", IMGSTORE_ATTACHED_VULNERABILITY},
    {"grype", IMGSTORE_ATTACHED_VULNERABILITY},
    {"snyk", IMGSTORE_ATTACHED_VULNERABILITY},
    {"slsa", IMGSTORE_ATTACHED_PROVENANCE},
    {"provenance", IMGSTORE_ATTACHED_PROVENANCE},
    {"in-toto.io/attestation/link", IMGSTORE_ATTACHED_PROVENANCE},
    {"simplesigning", IMGSTORE_ATTACHED_SIGNATURE},
    {"cosign.artifact.sig", IMGSTORE_ATTACHED_SIGNATURE},
    {"notary.signature", IMGSTORE_ATTACHED_SIGNATURE},
    {"pgp-signature", IMGSTORE_ATTACHED_SIGNATURE},
    {"sigstore.bundle", IMGSTORE_ATTACHED_SIGNATURE},
};

static bool contains_folded(const char *text, const char *part) {
  size_t size = strlen(part);
  for (; strlen(text) >= size; text++)
    if (ims_equal_fold_n(text, size, part, size))
      return true;
  return false;
}

static int32_t kind_of(const char *type) {
  enum { TYPE_MAX = 512 };
  if (!type || strlen(type) > TYPE_MAX)
    return 0;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (contains_folded(type, parts[i].part))
      return parts[i].kind;
  return 0;
}

int32_t ims_attached_kind(const char *predicate_type, const char *media_type, const char *artifact_type) {
  if (predicate_type) { /* it says what is attested, whatever the envelope around it */
    int32_t kind = kind_of(predicate_type);
    return kind ? kind : IMGSTORE_ATTACHED_OTHER;
  }
  int32_t kind = kind_of(media_type);
  if (!kind)
    kind = kind_of(artifact_type);
  return kind ? kind : IMGSTORE_ATTACHED_OTHER;
}

const char *ims_manifest_annotation(const imgstore_manifest *manifest, const char *key) {
  for (size_t i = 0; i < manifest->annotation_count; i++)
    if (strcmp(manifest->annotations[i].key, key) == 0)
      return manifest->annotations[i].value;
  return NULL;
}

const char *ims_predicate_type(const imgstore_manifest *manifest, const imgstore_descriptor *content) {
  static const char *const keys[] = {"in-toto.io/predicate-type", "predicateType", "dev.sigstore.bundle.predicateType"};
  const char *value = NULL;
  for (size_t i = 0; !value && i < sizeof keys / sizeof *keys; i++)
    value = ims_descriptor_annotation(content, keys[i]);
  for (size_t i = 0; !value && i < sizeof keys / sizeof *keys; i++)
    value = ims_manifest_annotation(manifest, keys[i]);
  return value && value[0] ? value : NULL;
}

bool ims_is_attestation_of(const imgstore_descriptor *entry, const ims_digest *digest) {
  const char *type = ims_descriptor_annotation(entry, "vnd.docker.reference.type");
  const char *of = ims_descriptor_annotation(entry, "vnd.docker.reference.digest");
  return type && of && strcmp(type, "attestation-manifest") == 0 && strcmp(of, digest->text) == 0;
}
