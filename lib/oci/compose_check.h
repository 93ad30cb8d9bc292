/*
 * oci/compose_check.h (L1) - what the fields of composed documents take. A bad value is IMGSTORE_EINVALID.
 */
#ifndef IMS_OCI_COMPOSE_CHECK_H
#define IMS_OCI_COMPOSE_CHECK_H

#include "oci/compose.h"

/** UTF-8 without control characters other than tab and line ends. what: for messages. */
int32_t ims_check_text(const char *text, const char *what, ims_error *err);
/** A text field of a config. field: IMGSTORE_IMAGE_CREATED...; "" is always taken. */
int32_t ims_check_field(int32_t field, const char *text, ims_error *err);
/** An item of a config's list. list: IMGSTORE_IMAGE_ENV... */
int32_t ims_check_item(int32_t list, const ims_pair *item, ims_error *err);
/** A health check whose test is not empty. */
int32_t ims_check_healthcheck(const ims_healthcheck *healthcheck, ims_error *err);
/** type/subtype of RFC 6838, without parameters. */
int32_t ims_check_media_type(const char *text, const char *what, ims_error *err);
/** Keys that are not empty, values that are text. */
int32_t ims_check_annotations(const ims_pair *pairs, size_t count, ims_error *err);
/** A digest, a size up to 2^53, a media type, annotations, urls. */
int32_t ims_check_descriptor(const imgstore_descriptor *descriptor, ims_error *err);
/** The pairs in the order of their keys, or of their values: *sorted is freed with ims_free; NULL when there are none.
 */
int32_t ims_sort_pairs(const ims_alloc *alloc, const ims_pair *pairs, size_t count, bool by_value,
                       const ims_pair ***sorted, ims_error *err);

#endif
