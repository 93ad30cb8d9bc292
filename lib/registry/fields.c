/*
 * registry/fields.c (L2) - grammars of single response header fields.
 */
#include "registry/fields.h"

#include <string.h>

#include "base/text.h"

enum { NTH_MAX = 64 };

const char *ims_reply_field(const ims_reply *reply, const char *name) {
  return reply->field(reply->source, name, 0);
}

static const char *trim(const char *text, size_t *size) {
  text += strspn(text, " \t");
  *size = strlen(text);
  while (*size && (text[*size - 1] == ' ' || text[*size - 1] == '\t'))
    (*size)--;
  return text;
}

bool ims_reply_length(const ims_reply *reply, uint64_t *length) {
  const char *value = ims_reply_field(reply, "Content-Length");
  size_t size;
  if (!value)
    return false;
  value = trim(value, &size);
  return ims_parse_u64(value, size, INT64_MAX, length);
}

static bool take_u64(const char **at, uint64_t *value) {
  size_t size = 0;
  while (ims_is_digit((*at)[size]))
    size++;
  if (!ims_parse_u64(*at, size, INT64_MAX, value))
    return false;
  *at += size;
  return true;
}

bool ims_content_range(const char *value, uint64_t *first, uint64_t *last, uint64_t *total) {
  const char *at = value + strspn(value, " \t");
  if (!ims_equal_fold_n(at, strnlen(at, 5), "bytes", 5) || (at[5] != ' ' && at[5] != '\t'))
    return false;
  at += 5;
  at += strspn(at, " \t");
  if (!take_u64(&at, first) || *at++ != '-' || !take_u64(&at, last) || *at++ != '/' || *last < *first)
    return false;
  *total = UINT64_MAX;
  if (*at == '*')
    at++;
  else if (!take_u64(&at, total) || *last >= *total)
    return false;
  return at[strspn(at, " \t")] == '\0';
}

void ims_reply_digest(const ims_reply *reply, ims_digest *digest) {
  memset(digest, 0, sizeof *digest);
  const char *value = ims_reply_field(reply, "Docker-Content-Digest");
  size_t size;
  if (!value)
    return;
  value = trim(value, &size);
  if (ims_digest_parse(digest, value, size, NULL) != IMGSTORE_OK)
    memset(digest, 0, sizeof *digest);
}

bool ims_reply_is_plain(const ims_reply *reply) {
  const char *value;
  for (size_t i = 0; i < NTH_MAX && (value = reply->field(reply->source, "Content-Encoding", i)); i++) {
    size_t size;
    value = trim(value, &size);
    if (size && !ims_equal_fold_n(value, size, "identity", 8))
      return false;
  }
  return true;
}

int32_t ims_reply_media_type(char **type, const ims_alloc *alloc, const ims_reply *reply, ims_error *err) {
  const char *value = ims_reply_field(reply, "Content-Type");
  value = value ? value + strspn(value, " \t") : "";
  size_t size = strcspn(value, ";");
  while (size && (value[size - 1] == ' ' || value[size - 1] == '\t'))
    size--;
  *type = ims_strndup(alloc, value, size);
  return *type ? IMGSTORE_OK : ims_fail_nomem(err);
}

/* The end of a link's parameters: the comma that starts the next link, outside quotes. */
static const char *end_of_link(const char *at) {
  bool quoted = false;
  for (; *at && (quoted || *at != ','); at++) {
    if (*at == '"')
      quoted = !quoted;
    else if (quoted && *at == '\\' && at[1])
      at++;
  }
  return at;
}

static bool words_have_next(const char *words, size_t size) {
  for (size_t i = 0; i < size;) {
    size_t start = i;
    while (i < size && words[i] != ' ' && words[i] != '\t')
      i++;
    if (ims_equal_fold_n(words + start, i - start, "next", 4))
      return true;
    i++;
  }
  return false;
}

/* Looks for rel=next among ";name=value" parameters. */
static bool rel_is_next(const char *at, const char *end) {
  while (at < end) {
    at += strspn(at, "; \t");
    size_t name = strcspn(at, "=;, \t");
    const char *value = at + name + strspn(at + name, " \t");
    if (value >= end || *value != '=') {
      at = value > at ? value : at + 1;
      continue;
    }
    value++;
    value += strspn(value, " \t");
    bool quoted = *value == '"';
    size_t size = quoted ? strcspn(++value, "\"") : strcspn(value, ";, \t");
    if (ims_equal_fold_n(at, name, "rel", 3))
      return value + size <= end && words_have_next(value, size);
    at = value + size + (quoted && value[size] ? 1 : 0);
  }
  return false;
}

int32_t ims_link_next(char **next, const ims_alloc *alloc, const ims_reply *reply, ims_error *err) {
  const char *at;
  *next = NULL;
  for (size_t i = 0; i < NTH_MAX && (at = reply->field(reply->source, "Link", i)); i++) {
    while (*(at += strspn(at, ", \t")) == '<') {
      const char *close = strchr(at, '>');
      if (!close)
        break;
      const char *end = end_of_link(close + 1);
      if (rel_is_next(close + 1, end)) {
        *next = ims_strndup(alloc, at + 1, (size_t)(close - at - 1));
        return *next ? IMGSTORE_OK : ims_fail_nomem(err);
      }
      at = end;
    }
  }
  return IMGSTORE_OK;
}

bool ims_warning_text(const char *value, char *out, size_t capacity) {
  value += strspn(value, " \t");
  if (!ims_starts_with(value, "299 "))
    return false;
  const char *quote = strchr(value, '"');
  if (!quote || capacity < 2)
    return false;
  size_t used = 0;
  char raw[512];
  for (const char *at = quote + 1; *at && *at != '"' && used < sizeof raw; at++) {
    if (*at == '\\' && at[1])
      at++;
    raw[used++] = *at;
  }
  ims_sanitize(out, capacity, raw, used);
  return used > 0;
}

bool ims_rate_value(const char *value, uint64_t *number) {
  value += strspn(value, " \t");
  size_t size = strspn(value, "0123456789");
  return ims_parse_u64(value, size, INT64_MAX, number) && (value[size] == '\0' || strchr("; ,\t", value[size]));
}
