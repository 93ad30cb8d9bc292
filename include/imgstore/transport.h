/*
 * imgstore/transport.h - the transport vtable: how bytes reach a registry.
 *
 * A transport moves one HTTP exchange at a time per handle and nothing else: redirects, credentials,
 * retries, time limits on the whole, size limits and digests stay above it, so a naive transport
 * cannot weaken them. It must not follow redirects, must not add credentials or Accept-Encoding, must
 * not decode content and must refuse schemes other than http and https. The built-in one is libcurl's.
 *
 * All entries and all imgstore_exchange_* functions run on the thread that drives the operation.
 * The transport reports progress of an exchange in this order: status, headers, body pieces, done;
 * exactly one imgstore_exchange_done, after which the exchange must not be touched. None of them may
 * be called from inside start(): they come from perform().
 */
#ifndef IMGSTORE_TRANSPORT_H
#define IMGSTORE_TRANSPORT_H

#include "imgstore/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One request and the place its response goes to. Owned by the library. */
typedef struct imgstore_exchange imgstore_exchange;

typedef struct imgstore_transport {
  size_t size; /**< sizeof(imgstore_transport); a longer one is accepted, its tail ignored */
  void *user_data;
  /** Begins an exchange. *handle names it in resume and close. Non-zero: it could not be started. */
  int32_t (*start)(void *user_data, imgstore_exchange *exchange, void **handle);
  /** The exchange accepts body bytes again after imgstore_exchange_body took less than it was given, or has bytes of
     the request body again after imgstore_exchange_upload_read had none. */
  int32_t (*resume)(void *user_data, void *handle);
  /** Does what I/O is possible. Waits at most timeout_ms (0: not at all) when nothing is ready. */
  int32_t (*perform)(void *user_data, int32_t timeout_ms);
  /** A descriptor that is readable when perform has work. Optional: without it perform is polled. */
  int32_t (*poll_fd)(void *user_data);
  /** Milliseconds until perform wants to be called even if nothing is readable, -1: no such time. Optional. */
  int32_t (*timeout)(void *user_data);
  /** Ends an exchange, finished or not, and releases its handle. No call for it may follow. */
  void (*close)(void *user_data, void *handle);
  /** Called once when the registry is freed, in the process that made it. Optional. */
  void (*destroy)(void *user_data);
} imgstore_transport;

/** "GET", "HEAD", "POST", "PUT", "PATCH" or "DELETE". */
IMGSTORE_API const char *imgstore_exchange_method(const imgstore_exchange *exchange);
/** The absolute URL: http or https. */
IMGSTORE_API const char *imgstore_exchange_url(const imgstore_exchange *exchange);
/** How many request headers there are. */
IMGSTORE_API size_t imgstore_exchange_header_count(const imgstore_exchange *exchange);
/** Name and value of request header i. Returns 0, or IMGSTORE_EINVALID when i is out of range. */
IMGSTORE_API int32_t imgstore_exchange_header(const imgstore_exchange *exchange, size_t i, const char **name,
                                              const char **value);
/** Size of the request body in bytes; 0 when there is none. */
IMGSTORE_API uint64_t imgstore_exchange_upload_size(const imgstore_exchange *exchange);
/**
 * Copies up to size bytes of the request body from offset into buffer; returns how many. 0 before its end: there is
 * nothing yet, and the transport goes on after resume(). SIZE_MAX: the body cannot be had: the transport ends the
 * exchange with IMGSTORE_ECANCELLED.
 */
IMGSTORE_API size_t imgstore_exchange_upload_read(const imgstore_exchange *exchange, uint64_t offset, void *buffer,
                                                  size_t size);

enum {
  IMGSTORE_EXCHANGE_CA_FILE = 1, /**< PEM file of trusted authorities or a folder of *.crt files; NULL: the system's */
  IMGSTORE_EXCHANGE_CERT_FILE = 2, /**< PEM client certificate, or NULL */
  IMGSTORE_EXCHANGE_KEY_FILE = 3,  /**< PEM client key, or NULL */
  IMGSTORE_EXCHANGE_PROXY = 4,     /**< proxy URL, or NULL: none */
  IMGSTORE_EXCHANGE_USER_AGENT = 5 /**< never NULL */
};
/** A setting of the exchange as text, or NULL. */
IMGSTORE_API const char *imgstore_exchange_setting(const imgstore_exchange *exchange, int32_t setting);
/** 1 when certificate checks are off by the caller's explicit option. */
IMGSTORE_API int32_t imgstore_exchange_insecure_tls(const imgstore_exchange *exchange);
/** Time allowed for name look-up, connect and TLS, in milliseconds. */
IMGSTORE_API uint32_t imgstore_exchange_connect_timeout(const imgstore_exchange *exchange);

/** Response: the status line's code. Interim (1xx) responses are not reported. */
IMGSTORE_API void imgstore_exchange_set_status(imgstore_exchange *exchange, int32_t status);
/** Response: one header. Copied. A total beyond the library's limit makes the exchange fail. */
IMGSTORE_API void imgstore_exchange_add_header(imgstore_exchange *exchange, const char *name, const char *value);
/**
 * Response: body bytes. Returns how many were taken, 0..size. When fewer, the transport keeps the
 * rest, stops reading, and offers it again after resume(). Returns SIZE_MAX when the response is not
 * wanted any more: the transport ends the exchange with imgstore_exchange_done(ECANCELLED).
 */
IMGSTORE_API size_t imgstore_exchange_body(imgstore_exchange *exchange, const void *data, size_t size);
/**
 * Response: the end. code: IMGSTORE_OK, or IMGSTORE_ENETWORK, _ETLS, _ETIMEOUT, _EPROTOCOL,
 * _ENOMEM, _ECANCELLED; message: what happened in words, or NULL; retry 0 when trying again cannot help.
 */
IMGSTORE_API void imgstore_exchange_done(imgstore_exchange *exchange, int32_t code, const char *message, int32_t retry);

#ifdef __cplusplus
}
#endif
#endif
