/*
 * oci/member.h (L1) - typed members of JSON objects. A member of the wrong type is IMGSTORE_EFORMAT and named in the
 * message; null counts as absent. Strings are borrowed from the document, arrays come from an arena.
 */
#ifndef IMS_OCI_MEMBER_H
#define IMS_OCI_MEMBER_H

#include "oci/manifest.h"

typedef struct ims_memory {
  const ims_alloc *alloc;
  void **arena;
} ims_memory;

/** *text: NULL when absent. */
int32_t ims_member_text(const ims_json_value *object, const char *key, const char **text, ims_error *err);
/** An exact integer 0..2^53 that must be there. */
int32_t ims_member_uint(const ims_json_value *object, const char *key, uint64_t *value, ims_error *err);
/** A digest that must be there. */
int32_t ims_member_digest(const ims_json_value *object, const char *key, ims_digest *digest, ims_error *err);
/** type: IMS_JSON_ARRAY or IMS_JSON_OBJECT. *value: NULL when absent. */
int32_t ims_member_of_type(const ims_json_value *object, const char *key, int32_t type, const ims_json_value **value,
                           ims_error *err);
/** An array of strings: the values of pairs whose keys are "". */
int32_t ims_member_strings(const ims_json_value *object, const char *key, ims_memory memory, const ims_pair **pairs,
                           size_t *count, ims_error *err);
/** An object whose values are strings. */
int32_t ims_member_map(const ims_json_value *object, const char *key, ims_memory memory, const ims_pair **pairs,
                       size_t *count, ims_error *err);

#endif
