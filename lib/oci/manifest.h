/*
 * oci/manifest.h (L1) - what descriptors, manifests and indexes are inside, and their parser.
 */
#ifndef IMS_OCI_MANIFEST_H
#define IMS_OCI_MANIFEST_H

#include <stdatomic.h>

#include "base/alloc.h"
#include "imgstore/manifest.h"
#include "oci/digest.h"
#include "oci/platform.h"
#include "json/json.h"

typedef struct ims_pair {
  const char *key, *value;
} ims_pair;

struct imgstore_descriptor {
  ims_digest digest;
  uint64_t size;
  const char *media_type;    /**< "" when absent */
  const char *artifact_type; /**< or NULL */
  const char *platform_text; /**< or NULL */
  ims_platform platform;     /**< normalised; os "" when absent */
  const ims_pair *annotations;
  size_t annotation_count;
  const char *const *urls; /**< of a foreign layer */
  size_t url_count;
  const uint8_t *data; /**< embedded content, verified against digest, or NULL */
};

struct imgstore_manifest {
  atomic_uint refs;
  ims_alloc alloc;
  int32_t kind; /**< IMGSTORE_MANIFEST_* */
  ims_digest digest;
  char *data; /**< as hashed, NUL-terminated */
  size_t size;
  ims_json *json;         /**< strings are borrowed from it */
  const char *media_type; /**< of the document, or what its shape implies */
  const char *artifact_type;
  imgstore_descriptor *config;  /**< NULL for an index */
  imgstore_descriptor *subject; /**< or NULL */
  imgstore_descriptor *entries; /**< layers or manifests */
  size_t count;
  const ims_pair *annotations;
  size_t annotation_count;
  /* plus what the parser allocates; freed by unref */
  void *arena;
};

typedef struct ims_manifest_limits {
  uint64_t max_bytes;
  uint64_t max_entries;
} ims_manifest_limits;

/**
 * Parses and hashes. media_type: as announced, or NULL. expected: the digest it must have, or NULL; it also decides the
 * algorithm of manifest->digest (sha256 without it). what: name for messages, such as "docker.io/library/a:b".
 * Errors: IMGSTORE_EDIGEST, IMGSTORE_EFORMAT, IMGSTORE_EUNSUPPORTED ("schema 1"), IMGSTORE_ELIMIT, IMGSTORE_ENOMEM.
 */
int32_t ims_manifest_parse(imgstore_manifest **manifest, const ims_alloc *alloc, const void *data, size_t size,
                           const char *media_type, const ims_digest *expected, const ims_manifest_limits *limits,
                           const char *what, ims_error *err);
/** The entry of an index that suits platform best; NULL when none does. Attestations ("unknown/unknown") never do. */
const imgstore_descriptor *ims_manifest_choose(const imgstore_manifest *index, const ims_platform *platform);
/** Writes a comma-separated list of an index's platforms for messages. */
void ims_manifest_platforms(const imgstore_manifest *index, char *out, size_t capacity);
/** Parses one descriptor object on its own (an entry of index.json): *descriptor borrows from json. Freed with
 * ims_descriptor_free. */
int32_t ims_descriptor_parse(imgstore_descriptor **descriptor, const ims_alloc *alloc, const ims_json_value *object,
                             const char *what, ims_error *err);
void ims_descriptor_free(const ims_alloc *alloc, imgstore_descriptor *descriptor);
/** The value of an annotation, or NULL. */
const char *ims_descriptor_annotation(const imgstore_descriptor *descriptor, const char *key);

#endif
