/*
 * registry/retry.h (L2) - when and how soon a request is tried again. Time and randomness come in as parameters.
 */
#ifndef IMS_REGISTRY_RETRY_H
#define IMS_REGISTRY_RETRY_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ims_backoff {
  uint32_t first_ms, max_ms;
  uint32_t allowed;  /**< failures in a row without progress that are forgiven */
  uint32_t failures; /**< so far in a row */
  uint64_t seed;     /**< of the jitter; changes with each delay */
} ims_backoff;

/** A status of an idempotent request that may pass: 408, 425, 429, 5xx but 501 and 505. */
bool ims_status_is_passing(int32_t status);
/** A status that is about the whole host: 429 and 503. */
bool ims_status_holds_host(int32_t status);
/** Counts one failure; false when no more are forgiven. *delay_ms: doubled with each, plus or minus a quarter. */
bool ims_backoff_next(ims_backoff *backoff, uint32_t *delay_ms);
/** Bytes came: the count starts anew. */
void ims_backoff_progress(ims_backoff *backoff);
/** Retry-After: seconds or an HTTP date (any of the three forms of RFC 9110). False when it is neither. */
bool ims_retry_after(const char *value, int64_t wall_s, uint32_t max_ms, uint32_t *delay_ms);
/** Seconds since 1970 of an HTTP date; false when it is none. */
bool ims_http_date(const char *text, int64_t *seconds);

#endif
