/*
 * json/json.h (L1) - strict JSON: a gate, then typed, case-sensitive accessors; and a writer.
 *
 * The gate (BEHAVIOUR "JSON", OCI's I-JSON): all input consumed, valid UTF-8, no BOM, no raw control characters, no
 * \u0000 and no lone surrogate escapes, strict numbers, depth at most 64, at most 256k tokens, no duplicate key (exact
 * or case-folded, after unescaping) in an object. In the maps whose keys are data ("annotations", "Labels",
 * "ExposedPorts", "Volumes") keys that differ in case are different. The gate allocates only for documents with more
 * than 64 keys in open objects, and never more than 24 bytes a key.
 */
#ifndef IMS_JSON_JSON_H
#define IMS_JSON_JSON_H

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"

typedef struct ims_json ims_json;             /**< a document, owner of its values */
typedef struct ims_json_value ims_json_value; /**< a value, borrowed */

enum { IMS_JSON_MAX_DEPTH = 64, IMS_JSON_MAX_TOKENS = 256 * 1024 };

enum { IMS_JSON_NULL = 1, IMS_JSON_BOOL, IMS_JSON_NUMBER, IMS_JSON_STRING, IMS_JSON_ARRAY, IMS_JSON_OBJECT };

/** The gate alone. what names the document in messages. Errors: IMGSTORE_EFORMAT, IMGSTORE_ELIMIT. */
int32_t ims_json_check(const ims_alloc *alloc, const char *text, size_t size, const char *what, ims_error *err);
/** Gate and parse. Errors: as the gate, IMGSTORE_ENOMEM. */
int32_t ims_json_parse(ims_json **json, const ims_alloc *alloc, const char *text, size_t size, const char *what,
                       ims_error *err);
void ims_json_free(ims_json *json);
const ims_json_value *ims_json_root(const ims_json *json);

/** Everything below accepts NULL as "absent": type 0, NULL, false. */
int32_t ims_json_type(const ims_json_value *v);
/** Member of an object by exact key, or NULL. */
const ims_json_value *ims_json_get(const ims_json_value *object, const char *key);
/** First element or member, and the one after v; NULL at the end. */
const ims_json_value *ims_json_first(const ims_json_value *container);
const ims_json_value *ims_json_next(const ims_json_value *v);
/** Number of elements or members; linear. */
size_t ims_json_count(const ims_json_value *container);
/** The key of a member. */
const char *ims_json_key(const ims_json_value *member);
/** The text of a string, else NULL. */
const char *ims_json_string(const ims_json_value *v);
/** An exact integer 0..2^53, else false. */
bool ims_json_uint(const ims_json_value *v, uint64_t *value);
bool ims_json_bool(const ims_json_value *v, bool *value);
/** A number as the document spells it, else NULL. */
const char *ims_json_number(const ims_json_value *v);

/** Writes a quoted, escaped string. Invalid UTF-8 becomes U+FFFD. */
void ims_json_put_string(ims_buf *out, const char *text, size_t size);
/** Writes any value as compact JSON, numbers as they were spelt; "null" for NULL. */
void ims_json_put_value(ims_buf *out, const ims_json_value *v);
/**
 * Re-indents valid compact JSON by 4 spaces a level. indent_level: the level of its first line, which is not itself
 * indented.
 */
void ims_json_pretty(ims_buf *out, const char *compact, size_t size, unsigned indent_level);

/**
 * Calls visit with the bytes of each element of the array that is member key of the root object, in order, exactly as
 * the text has them. text: the one that root was parsed from. Does nothing when the member is no array. Stops at what
 * visit returns when that is not IMGSTORE_OK, and returns it.
 */
typedef int32_t (*ims_json_visit)(void *data, const char *text, size_t size);
int32_t ims_json_each_text(const ims_json_value *root, const char *key, const char *text, size_t size,
                           ims_json_visit visit, void *data);

#endif
