/*
 * json/span.c (L1) - where values stand in a text that passed the gate, so that they can be copied byte for byte.
 */
#include "json/json.h"

static bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t skip_space(const char *text, size_t size, size_t at) {
  while (at < size && is_space(text[at]))
    at++;
  return at;
}

/* Behind the string whose opening quote is at at. */
static size_t skip_string(const char *text, size_t size, size_t at) {
  for (at++; at < size && text[at] != '"'; at++)
    at += text[at] == '\\';
  return at < size ? at + 1 : size;
}

/* Behind the value that begins at at. */
static size_t skip_value(const char *text, size_t size, size_t at) {
  size_t depth = 0;
  for (; at < size; at++) {
    char c = text[at];
    if (c == '"') {
      at = skip_string(text, size, at) - 1;
    } else if (c == '{' || c == '[') {
      depth++;
      continue;
    } else if (c == '}' || c == ']') {
      if (!depth)
        return at;
      depth--;
    } else if ((c == ',' || is_space(c)) && !depth) {
      return at;
    } else {
      continue;
    }
    if (!depth)
      return at + 1;
  }
  return size;
}

/* Where the value of member number index of the root object begins. Counted, because a key may be spelt with escapes.
 */
static size_t find_member(const char *text, size_t size, size_t index) {
  size_t at = skip_space(text, size, 0) + 1;
  for (;; index--) {
    at = skip_space(text, size, skip_string(text, size, skip_space(text, size, at)));
    at = skip_space(text, size, at + 1); /* the colon */
    if (!index || at >= size)
      return at;
    at = skip_space(text, size, skip_value(text, size, at)) + 1; /* the comma */
  }
}

int32_t ims_json_each_text(const ims_json_value *root, const char *key, const char *text, size_t size,
                           ims_json_visit visit, void *data) {
  const ims_json_value *wanted = ims_json_get(root, key);
  size_t index = 0, count = ims_json_count(wanted);
  if (ims_json_type(wanted) != IMS_JSON_ARRAY)
    return IMGSTORE_OK;
  for (const ims_json_value *v = ims_json_first(root); v != wanted; v = ims_json_next(v))
    index++;
  size_t at = find_member(text, size, index);
  for (size_t i = 0; i < count; i++) {
    at = skip_space(text, size, at + 1); /* behind the bracket or comma */
    size_t end = skip_value(text, size, at);
    int32_t rc = visit(data, text + at, end - at);
    if (rc)
      return rc;
    at = skip_space(text, size, end);
  }
  return IMGSTORE_OK;
}
