/*
 * transport/failure.h (L3) - words about a failed transfer that may be shown, and what a TLS library's words mean.
 */
#ifndef IMS_TRANSPORT_FAILURE_H
#define IMS_TRANSPORT_FAILURE_H

#include <stdbool.h>
#include <stddef.h>

/** The other side answered a TLS greeting with something that is not TLS (words of OpenSSL, GnuTLS, mbedTLS, ...). */
bool ims_failure_is_not_tls(const char *text);
/** The handshake was cut off rather than refused: trying again can help. */
bool ims_failure_is_cut(const char *text);
/** The other side refused with a TLS alert, which with TLS 1.3 arrives after the handshake. */
bool ims_failure_is_alert(const char *text);
/**
 * "HOST:PORT: prefix detail". host and port come from url without its user part, path and query. detail is replaced
 * by plain when it may quote more of a URL than that.
 */
void ims_failure_message(char *out, size_t capacity, const char *url, const char *prefix, const char *detail,
                         const char *plain);
/** A header that cannot break out of its line: a token for a name, no control characters in the value. */
bool ims_header_is_valid(const char *name, const char *value);

#endif
