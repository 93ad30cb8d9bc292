/*
 * oci/pairs.h (L1) - lists of keys and values that own their texts: annotations, labels, environments in the making.
 */
#ifndef IMS_OCI_PAIRS_H
#define IMS_OCI_PAIRS_H

#include "oci/manifest.h"

/** Sets the value of key, in its place or at the end; value NULL removes it. Errors: IMGSTORE_ENOMEM. */
int32_t ims_pairs_set(const ims_alloc *alloc, ims_pair **pairs, size_t *count, const char *key, const char *value,
                      ims_error *err);
/** Adds a pair at the end, whatever is there. */
int32_t ims_pairs_add(const ims_alloc *alloc, ims_pair **pairs, size_t *count, const char *key, const char *value,
                      ims_error *err);
/** The value of key, or NULL. */
const char *ims_pairs_get(const ims_pair *pairs, size_t count, const char *key);
void ims_pairs_free(const ims_alloc *alloc, ims_pair **pairs, size_t *count);

#endif
