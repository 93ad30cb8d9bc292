/*
 * transport/exchange.h (L3) - what imgstore_exchange is inside: one request, its settings, and the place its response
 * goes to.
 */
#ifndef IMS_TRANSPORT_EXCHANGE_H
#define IMS_TRANSPORT_EXCHANGE_H

#include <stdbool.h>

#include "base/alloc.h"
#include "base/error.h"
#include "imgstore/transport.h"

enum { IMS_EXCHANGE_MAX_HEADERS = 256 * 1024 };

typedef struct ims_header {
  char *name, *value;
} ims_header;

struct imgstore_exchange {
  const ims_alloc *alloc;
  /* request: set by the client before start(), owned by it */
  const char *method;
  const char *url;
  const ims_header *headers;
  size_t header_count;
  const char *setting[6]; /**< by IMGSTORE_EXCHANGE_* */
  bool insecure_tls;
  uint32_t connect_timeout;
  uint64_t upload_size;
  size_t (*upload_read)(void *data, uint64_t offset, void *buffer, size_t size);
  /* response: filled by the accessors of transport.h, consumed by the client */
  int32_t status;
  ims_header *response_headers; /**< owned; ims_exchange_clear_response frees */
  size_t response_count, response_capacity, response_bytes;
  bool overflow;
  int32_t done_code;
  bool finished, retry;
  char done_message[256];
  void *data;                                                    /**< for the two calls below */
  size_t (*body)(void *data, const uint8_t *bytes, size_t size); /**< SIZE_MAX: not wanted */
  void (*done)(void *data);
  int32_t
      failed; /**< what made the response unusable (too many headers, no memory, nonsense): it ends with this code */
};

/** First value of a response header, case-insensitive; NULL when absent. */
const char *ims_exchange_response_header(const imgstore_exchange *exchange, const char *name);
/** Frees the response and forgets how it ended: ready for another start(). */
void ims_exchange_clear_response(imgstore_exchange *exchange);
/** The response cannot be used: the exchange will end with code, whatever the transport says. The first one counts. */
void ims_exchange_fail(imgstore_exchange *exchange, int32_t code);

#endif
