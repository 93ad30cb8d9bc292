/*
 * imgstore/error.h - result codes and the error object.
 *
 * The codes are pinned: a value never changes its meaning. A caller that meets a code it does not
 * know treats it as IMGSTORE_EIO.
 */
#ifndef IMGSTORE_ERROR_H
#define IMGSTORE_ERROR_H

#include "imgstore/common.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  IMGSTORE_OK = 0,
  IMGSTORE_EINVALID = -1,      /**< an argument is out of its documented range */
  IMGSTORE_ENOMEM = -2,        /**< the allocator gave nothing */
  IMGSTORE_ENOTFOUND = -3,     /**< no such image, blob, tag, file */
  IMGSTORE_EEXISTS = -4,       /**< it is there already */
  IMGSTORE_EUNAUTHORIZED = -5, /**< the registry wants (other) credentials: HTTP 401 */
  IMGSTORE_EDENIED = -6,       /**< the registry refuses: HTTP 403 */
  IMGSTORE_EDIGEST = -7,       /**< content does not hash to its digest or has another size */
  IMGSTORE_ETOOMANY = -8,      /**< the registry limits requests: HTTP 429, retries used up */
  IMGSTORE_EUNSUPPORTED = -9,  /**< valid, but not something this build or release can do */
  IMGSTORE_ELIMIT = -10,       /**< a limit of the context or of the call was reached */
  IMGSTORE_EBUSY = -11,        /**< another process or operation holds it */
  IMGSTORE_ECANCELLED = -12,   /**< imgstore_operation_cancel */
  IMGSTORE_EAGAIN = -13,       /**< not finished: call again when the descriptor is readable */
  IMGSTORE_ECORRUPT = -14,     /**< stored content is damaged */
  IMGSTORE_ENOSPACE = -15,     /**< disk or quota is full */
  IMGSTORE_EIO = -16,          /**< the operating system failed; see imgstore_error_os_errno */
  IMGSTORE_ENETWORK = -17,     /**< name look-up, connect, reset, short body; retries used up */
  IMGSTORE_ETLS = -18,         /**< certificate or TLS handshake failure */
  IMGSTORE_ETIMEOUT = -19,     /**< a time limit passed */
  IMGSTORE_EPROTOCOL = -20,    /**< the other side broke the protocol */
  IMGSTORE_ECALLBACK = -21,    /**< a callback returned non-zero; see imgstore_error_callback_value */
  IMGSTORE_EAMBIGUOUS = -22,   /**< more than one object matches; the message lists them */
  IMGSTORE_ECONFLICT = -23,    /**< a compare-and-set lost, or the object is in use */
  IMGSTORE_EACCESS = -24,      /**< the operating system denies access */
  IMGSTORE_EFORMAT = -25,      /**< a document, archive or name is malformed */
  IMGSTORE_EUNTRUSTED = -26    /**< a signature policy refuses the image */
};

/** The code, one of IMGSTORE_E*. IMGSTORE_OK for NULL. */
IMGSTORE_API int32_t imgstore_error_code(const imgstore_error *error);
/** One line that names what failed; printable UTF-8 without control characters. Never NULL. */
IMGSTORE_API const char *imgstore_error_message(const imgstore_error *error);
/** The HTTP status that caused the error, or 0. */
IMGSTORE_API int32_t imgstore_error_http_status(const imgstore_error *error);
/** The registry's own error code such as "MANIFEST_UNKNOWN", or "" (distribution-spec, error codes). */
IMGSTORE_API const char *imgstore_error_registry_code(const imgstore_error *error);
/** The operating system's errno, or 0. */
IMGSTORE_API int32_t imgstore_error_os_errno(const imgstore_error *error);
/** The value that the caller's own callback returned to stop the job, or 0. */
IMGSTORE_API int32_t imgstore_error_callback_value(const imgstore_error *error);
/** A constant English name of a code, such as "digest mismatch". Never NULL, static. */
IMGSTORE_API const char *imgstore_error_name(int32_t code);
/** Frees an error object. */
IMGSTORE_API void imgstore_error_free(imgstore_error *error);

#ifdef __cplusplus
}
#endif
#endif
