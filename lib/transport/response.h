/*
 * transport/response.h (L3) - from the lines of an HTTP/1 response head to an exchange's status and headers.
 */
#ifndef IMS_TRANSPORT_RESPONSE_H
#define IMS_TRANSPORT_RESPONSE_H

#include "base/buf.h"
#include "transport/exchange.h"

enum { IMS_RESPONSE_START = 0, IMS_RESPONSE_INTERIM, IMS_RESPONSE_HEADERS, IMS_RESPONSE_COMPLETE };

typedef struct ims_response {
  imgstore_exchange *exchange;
  int state;
  ims_buf line; /**< the header that a folded line may still continue */
} ims_response;

void ims_response_init(ims_response *response, imgstore_exchange *exchange);
void ims_response_free(ims_response *response);
/**
 * One line as received, with or without its line end. Interim responses and trailers are skipped. False: the response
 * cannot be used any more, the exchange has failed.
 */
bool ims_response_line(ims_response *response, const char *line, size_t size);

#endif
