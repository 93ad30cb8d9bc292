/*
 * transport/exchange.c (L3) - what a transport may read of a request and how it reports the response.
 *
 * Owns: the response headers and their ceiling, and the rule that one exchange ends exactly once. Whatever a transport
 * reports is checked here, so that a careless one cannot make the client see an impossible response. It knows no
 * protocol: neither redirects nor credentials nor retries.
 */
#include "transport/exchange.h"

#include <string.h>

#include "base/text.h"

enum { FIRST_HEADERS = 16, HEADER_OVERHEAD = 4 };

const char *imgstore_exchange_method(const imgstore_exchange *exchange) {
  return exchange->method;
}

const char *imgstore_exchange_url(const imgstore_exchange *exchange) {
  return exchange->url;
}

size_t imgstore_exchange_header_count(const imgstore_exchange *exchange) {
  return exchange->header_count;
}

int32_t imgstore_exchange_header(const imgstore_exchange *exchange, size_t i, const char **name, const char **value) {
  bool there = i < exchange->header_count;
  if (name)
    *name = there ? exchange->headers[i].name : NULL;
  if (value)
    *value = there ? exchange->headers[i].value : NULL;
  return there ? IMGSTORE_OK : IMGSTORE_EINVALID;
}

uint64_t imgstore_exchange_upload_size(const imgstore_exchange *exchange) {
  return exchange->upload_size;
}

size_t imgstore_exchange_upload_read(const imgstore_exchange *exchange, uint64_t offset, void *buffer, size_t size) {
  if (!exchange->upload_read || offset >= exchange->upload_size)
    return 0;
  if (size > exchange->upload_size - offset)
    size = (size_t)(exchange->upload_size - offset);
  size_t got = exchange->upload_read(exchange->data, offset, buffer, size);
  return got <= size || got == SIZE_MAX ? got : SIZE_MAX;
}

const char *imgstore_exchange_setting(const imgstore_exchange *exchange, int32_t setting) {
  const int32_t settings = sizeof exchange->setting / sizeof *exchange->setting;
  return setting > 0 && setting < settings ? exchange->setting[setting] : NULL;
}

int32_t imgstore_exchange_insecure_tls(const imgstore_exchange *exchange) {
  return exchange->insecure_tls;
}

uint32_t imgstore_exchange_connect_timeout(const imgstore_exchange *exchange) {
  return exchange->connect_timeout;
}

void ims_exchange_clear_response(imgstore_exchange *exchange) {
  for (size_t i = 0; i < exchange->response_count; i++) {
    ims_free(exchange->alloc, exchange->response_headers[i].name);
    ims_free_secret(exchange->alloc, exchange->response_headers[i].value);
  }
  ims_free(exchange->alloc, exchange->response_headers);
  exchange->response_headers = NULL;
  exchange->response_count = exchange->response_capacity = exchange->response_bytes = 0;
  exchange->status = 0;
  exchange->overflow = false;
  exchange->failed = IMGSTORE_OK;
  exchange->done_code = IMGSTORE_OK;
  exchange->finished = exchange->retry = false;
  exchange->done_message[0] = '\0';
}

void ims_exchange_fail(imgstore_exchange *exchange, int32_t code) {
  if (!exchange->failed)
    exchange->failed = code;
  if (code == IMGSTORE_ELIMIT)
    exchange->overflow = true;
}

void imgstore_exchange_set_status(imgstore_exchange *exchange, int32_t status) {
  if (exchange->finished || (status >= 100 && status <= 199))
    return;
  if (status < 200 || status > 999 || exchange->status) {
    ims_exchange_fail(exchange, IMGSTORE_EPROTOCOL);
    return;
  }
  exchange->status = status;
}

static bool has_room(imgstore_exchange *exchange) {
  if (exchange->response_count < exchange->response_capacity)
    return true;
  size_t capacity = exchange->response_capacity ? exchange->response_capacity * 2 : FIRST_HEADERS;
  ims_header *headers = ims_realloc_array(exchange->alloc, exchange->response_headers, capacity, sizeof *headers);
  if (!headers)
    return false;
  exchange->response_headers = headers;
  exchange->response_capacity = capacity;
  return true;
}

void imgstore_exchange_add_header(imgstore_exchange *exchange, const char *name, const char *value) {
  if (exchange->finished || exchange->failed || !name || !value)
    return;
  size_t name_size = strlen(name), value_size = strlen(value), left = IMS_EXCHANGE_MAX_HEADERS;
  left -= exchange->response_bytes;
  if (left < HEADER_OVERHEAD || name_size > left - HEADER_OVERHEAD || value_size > left - HEADER_OVERHEAD - name_size) {
    ims_exchange_fail(exchange, IMGSTORE_ELIMIT);
    return;
  }
  ims_header copy = {NULL, NULL};
  if (has_room(exchange)) {
    copy.name = ims_strndup(exchange->alloc, name, name_size);
    copy.value = ims_strndup(exchange->alloc, value, value_size);
  }
  if (!copy.name || !copy.value) {
    ims_free(exchange->alloc, copy.name);
    ims_free(exchange->alloc, copy.value);
    ims_exchange_fail(exchange, IMGSTORE_ENOMEM);
    return;
  }
  exchange->response_headers[exchange->response_count++] = copy;
  exchange->response_bytes += name_size + value_size + HEADER_OVERHEAD;
}

size_t imgstore_exchange_body(imgstore_exchange *exchange, const void *data, size_t size) {
  if (exchange->finished || exchange->failed)
    return SIZE_MAX;
  if (!exchange->status) {
    ims_exchange_fail(exchange, IMGSTORE_EPROTOCOL);
    return SIZE_MAX;
  }
  if (!size || !exchange->body)
    return size;
  size_t taken = exchange->body(exchange->data, data, size);
  return taken == SIZE_MAX || taken <= size ? taken : size;
}

/* A transport may only end with the codes that the client has a meaning for. */
static int32_t known_code(int32_t code) {
  switch (code) {
  case IMGSTORE_OK:
  case IMGSTORE_ENETWORK:
  case IMGSTORE_ETLS:
  case IMGSTORE_ETIMEOUT:
  case IMGSTORE_EPROTOCOL:
  case IMGSTORE_ENOMEM:
  case IMGSTORE_ECANCELLED:
    return code;
  default:
    return IMGSTORE_ENETWORK;
  }
}

static const char *failure_text(int32_t failed) {
  switch (failed) {
  case IMGSTORE_ELIMIT:
    return "response headers too large (over 256 KiB, or a line over what the transport takes)";
  case IMGSTORE_ENOMEM:
    return "out of memory";
  default:
    return "no valid response";
  }
}

void imgstore_exchange_done(imgstore_exchange *exchange, int32_t code, const char *message, int32_t retry) {
  if (exchange->finished)
    return;
  code = known_code(code);
  if (code == IMGSTORE_OK && !exchange->status)
    ims_exchange_fail(exchange, IMGSTORE_EPROTOCOL);
  if (exchange->failed) {
    code = exchange->failed;
    message = failure_text(code);
    retry = 0;
  }
  if (!message)
    message = code == IMGSTORE_OK ? "" : "the transport failed";
  exchange->finished = true;
  exchange->done_code = code;
  exchange->retry = code != IMGSTORE_OK && retry != 0;
  ims_sanitize(exchange->done_message, sizeof exchange->done_message, message, strlen(message));
  if (exchange->done)
    exchange->done(exchange->data);
}

const char *ims_exchange_response_header(const imgstore_exchange *exchange, const char *name) {
  for (size_t i = 0; i < exchange->response_count; i++)
    if (ims_equal_fold(exchange->response_headers[i].name, name))
      return exchange->response_headers[i].value;
  return NULL;
}
