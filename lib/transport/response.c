/*
 * transport/response.c (L3) - reads the head of an HTTP/1 response line by line into an exchange. Owns the order of
 * things: interim responses are skipped, the final one is reported once, what follows its blank line (trailers) is
 * ignored. It knows no socket and no meaning of any header.
 */
#include "transport/response.h"

#include <string.h>

#include "base/text.h"

void ims_response_init(ims_response *response, imgstore_exchange *exchange) {
  response->exchange = exchange;
  response->state = IMS_RESPONSE_START;
  ims_buf_init(&response->line, exchange->alloc, IMS_EXCHANGE_MAX_HEADERS);
}

void ims_response_free(ims_response *response) {
  ims_buf_free_secret(&response->line);
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

static size_t trimmed(const char *text, size_t size) {
  while (size && (is_blank(text[size - 1]) || text[size - 1] == '\r' || text[size - 1] == '\n'))
    size--;
  return size;
}

/* The code of "HTTP/1.1 200 OK", or 0. */
static int32_t parse_status(const char *line, size_t size) {
  const char *space = memchr(line, ' ', size);
  uint64_t status;
  if (size < 5 || memcmp(line, "HTTP/", 5) != 0 || !space)
    return 0;
  size_t left = size - (size_t)(space - line) - 1;
  if (left < 3 || (left > 3 && space[4] != ' ') || !ims_parse_u64(space + 1, 3, 999, &status))
    return 0;
  return (int32_t)status;
}

static bool take_status(ims_response *response, const char *line, size_t size) {
  int32_t status = parse_status(line, size);
  if (status < 100) {
    ims_exchange_fail(response->exchange, IMGSTORE_EPROTOCOL);
    return false;
  }
  response->state = status < 200 ? IMS_RESPONSE_INTERIM : IMS_RESPONSE_HEADERS;
  imgstore_exchange_set_status(response->exchange, status);
  return !response->exchange->failed;
}

/* Hands the collected header on. A line without a name is no header and is dropped. */
static bool flush_header(ims_response *response) {
  ims_buf *line = &response->line;
  if (!line->size)
    return true;
  char *colon = memchr(line->data, ':', line->size);
  if (colon && colon != line->data) {
    char *value = colon + 1;
    while (is_blank(*value))
      value++;
    line->data[trimmed(line->data, (size_t)(colon - line->data))] = '\0';
    imgstore_exchange_add_header(response->exchange, line->data, value);
  }
  ims_buf_clear(line);
  return !response->exchange->failed;
}

static bool take_header(ims_response *response, const char *text, size_t size) {
  bool folded = size && is_blank(text[0]) && response->line.size;
  if (folded) {
    while (size && is_blank(text[0])) {
      text++;
      size--;
    }
    ims_buf_putc(&response->line, ' ');
  } else if (!flush_header(response)) {
    return false;
  }
  if (memchr(text, '\0', size))
    ims_exchange_fail(response->exchange, IMGSTORE_EPROTOCOL);
  else if (ims_buf_append(&response->line, text, size) != IMGSTORE_OK)
    ims_exchange_fail(response->exchange, response->line.failed);
  return !response->exchange->failed;
}

bool ims_response_line(ims_response *response, const char *line, size_t size) {
  size_t length = trimmed(line, size);
  switch (response->state) {
  case IMS_RESPONSE_START:
    return take_status(response, line, length);
  case IMS_RESPONSE_INTERIM:
    if (!length)
      response->state = IMS_RESPONSE_START;
    return true;
  case IMS_RESPONSE_HEADERS:
    if (length)
      return take_header(response, line, length);
    response->state = IMS_RESPONSE_COMPLETE;
    return flush_header(response);
  default:
    return true;
  }
}
