/*
 * registry/fields.h (L2) - response header fields: the view of a response that state machines take, and the grammar of
 * the fields they look at.
 */
#ifndef IMS_REGISTRY_FIELDS_H
#define IMS_REGISTRY_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/error.h"
#include "oci/digest.h"

/** A response before its body. field: value number nth (from 0) of a header by case-insensitive name, or NULL. */
typedef struct ims_reply {
  int32_t status;
  const void *source;
  const char *(*field)(const void *source, const char *name, size_t nth);
} ims_reply;

/** First value, or NULL. */
const char *ims_reply_field(const ims_reply *reply, const char *name);
/** Content-Length; false when absent or malformed. */
bool ims_reply_length(const ims_reply *reply, uint64_t *length);
/** "bytes first-last/total"; total UINT64_MAX for '*'. False when it is not of that form. */
bool ims_content_range(const char *value, uint64_t *first, uint64_t *last, uint64_t *total);
/** Docker-Content-Digest; algorithm 0 when absent or malformed. */
void ims_reply_digest(const ims_reply *reply, ims_digest *digest);
/** Content-Encoding is absent, empty or "identity". */
bool ims_reply_is_plain(const ims_reply *reply);
/** Content-Type without parameters into a new string; "" when absent. Errors: IMGSTORE_ENOMEM. */
int32_t ims_reply_media_type(char **type, const ims_alloc *alloc, const ims_reply *reply, ims_error *err);
/** The target of rel="next" of a Link header (RFC 8288) as written, in a new string; *next NULL when there is none. */
int32_t ims_link_next(char **next, const ims_alloc *alloc, const ims_reply *reply, ims_error *err);
/** The text of a `299` Warning header, unquoted, into out; false when the header says something else. */
bool ims_warning_text(const char *value, char *out, size_t capacity);
/** The number of a ratelimit header such as "100;w=21600"; false when there is none. */
bool ims_rate_value(const char *value, uint64_t *number);

#endif
