/*
 * oci/time.h (L1) - times as documents spell them: RFC 3339.
 */
#ifndef IMS_OCI_TIME_H
#define IMS_OCI_TIME_H

#include "base/error.h"

#include <stdbool.h>

enum { IMS_TIME_TEXT = 40 };

/** Seconds since 1970 and nanoseconds in UTC, without trailing zeros in the fraction. False outside the years 0..9999.
 */
bool ims_time_text(int64_t seconds, uint32_t nanoseconds, char out[IMS_TIME_TEXT]);
/** Reads "2024-01-02T03:04:05[.fraction](Z|+01:00)"; nanoseconds may be NULL. False when it is none. */
bool ims_time_parse(const char *text, int64_t *seconds, uint32_t *nanoseconds);

#endif
