/*
 * registry/answer.c (L2) - error documents ({"errors":[{"code","message","detail"}]}, distribution-spec) and statuses.
 */
#include "registry/answer.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "registry/retry.h"
#include "json/json.h"

enum { SECRET_LEAST = 4 };

static int32_t code_of(int32_t status) {
  switch (status) {
  case 401:
    return IMGSTORE_EUNAUTHORIZED;
  case 403:
    return IMGSTORE_EDENIED;
  case 404:
  case 410:
    return IMGSTORE_ENOTFOUND;
  case 405:
    return IMGSTORE_EUNSUPPORTED;
  case 409:
    return IMGSTORE_ECONFLICT;
  case 413:
    return IMGSTORE_ELIMIT;
  case 429:
    return IMGSTORE_ETOOMANY;
  default:
    return ims_status_is_passing(status) ? IMGSTORE_ENETWORK : IMGSTORE_EPROTOCOL;
  }
}

/* Some registries say with another status what they mean with a code. */
static int32_t code_for(int32_t status, const char *registry_code) {
  int32_t code = code_of(status);
  if (code == IMGSTORE_EPROTOCOL && strcmp(registry_code, "DENIED") == 0)
    return IMGSTORE_EDENIED;
  if (code == IMGSTORE_EPROTOCOL && strcmp(registry_code, "TAG_IMMUTABLE") == 0)
    return IMGSTORE_ECONFLICT;
  return code;
}

static bool holds_secret(const char *body, size_t size, const ims_secrets *secrets) {
  for (size_t i = 0; secrets && i < sizeof secrets->text / sizeof secrets->text[0]; i++) {
    const char *secret = secrets->text[i];
    if (secret && strlen(secret) >= SECRET_LEAST && memmem(body, size, secret, strlen(secret)))
      return true;
  }
  return false;
}

/* The first error of the document; false when there is none to be read. */
static bool read_document(const ims_alloc *alloc, const char *body, size_t size, char *code, size_t code_size,
                          char *text, size_t text_size) {
  ims_json *json;
  if (ims_json_parse(&json, alloc, body, size, "error", NULL) != IMGSTORE_OK)
    return false;
  const ims_json_value *first = ims_json_first(ims_json_get(ims_json_root(json), "errors"));
  const char *name = ims_json_string(ims_json_get(first, "code"));
  const char *message = ims_json_string(ims_json_get(first, "message"));
  const char *detail = ims_json_string(ims_json_get(first, "detail"));
  if (name)
    ims_sanitize(code, code_size, name, strnlen(name, code_size - 1));
  if (!message || !*message)
    message = detail && *detail ? detail : name;
  if (!message) /* what token servers say */
    message = ims_json_string(ims_json_get(ims_json_root(json), "details"));
  if (message)
    ims_sanitize(text, text_size, message, strnlen(message, IMS_ANSWER_QUOTE_MAX));
  ims_json_free(json);
  return message != NULL;
}

static const char *words_of(int32_t status) {
  switch (status) {
  case 401:
    return "unauthorized";
  case 403:
    return "access denied";
  case 404:
  case 410:
    return "not found";
  case 429:
    return "too many requests";
  default:
    return NULL;
  }
}

int32_t ims_answer_error(const ims_alloc *alloc, int32_t status, const char *body, size_t size, const char *what,
                         const char *host, const ims_secrets *secrets, ims_error *err) {
  char code[IMS_ERROR_REGISTRY_CODE] = "", text[IMS_ANSWER_QUOTE_MAX + 1] = "";
  const char *words = words_of(status);
  if (!err || err->code)
    return code_of(status);
  if (size && size <= IMS_ANSWER_BODY_MAX && !holds_secret(body, size, secrets) &&
      !read_document(alloc, body, size, code, sizeof code, text, sizeof text) && !words)
    ims_sanitize(text, sizeof text, body, size < IMS_ANSWER_QUOTE_MAX ? size : IMS_ANSWER_QUOTE_MAX);
  if (holds_secret(text, strlen(text), secrets))
    text[0] = '\0'; /* it was escaped in the document */
  if (holds_secret(code, strlen(code), secrets))
    code[0] = '\0';
  const char *open = text[0] ? " (" : "", *close = text[0] ? ")" : "";
  if (words)
    ims_fail(err, code_for(status, code), "%s: %s%s%s%s", what, words, open, text, close);
  else
    ims_fail(err, code_for(status, code), "%s: %s answered HTTP %d%s%s%s", what, host, (int)status, open, text, close);
  err->http_status = status;
  memcpy(err->registry_code, code, sizeof code);
  return err->code;
}
