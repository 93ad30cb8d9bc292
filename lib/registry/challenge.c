/*
 * registry/challenge.c (L2) - the challenge parser. Reads text only; knows nothing of tokens or credentials.
 */
#include "registry/challenge.h"

#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"

static bool is_token_char(char c) {
  return ims_is_alnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip_space(const char *at) {
  return at + strspn(at, " \t");
}

static size_t token_size(const char *at) {
  size_t size = 0;
  while (is_token_char(at[size]))
    size++;
  return size;
}

/* What may follow a scheme instead of parameters: token68, then the end or a comma. Returns its size or 0. */
static size_t token68_size(const char *at) {
  size_t size = 0;
  while (ims_is_alnum(at[size]) || (at[size] && strchr("-._~+/", at[size])))
    size++;
  size_t padding = strspn(at + size, "=");
  const char *after = skip_space(at + size + padding);
  return size && (*after == '\0' || *after == ',') ? size + padding : 0;
}

/* Reads a quoted string or a bare value into out; returns where it ends, or NULL when a quote is not closed. */
static const char *read_value(const char *at, ims_buf *out) {
  if (*at != '"') {
    size_t size = strcspn(at, ", \t");
    ims_buf_append(out, at, size);
    return at + size;
  }
  for (at++; *at && *at != '"'; at++) {
    if (*at == '\\' && at[1])
      at++;
    ims_buf_putc(out, *at);
  }
  return *at == '"' ? at + 1 : NULL;
}

static char **slot_for(ims_challenge *c, const char *name, size_t size) {
  if (ims_equal_fold_n(name, size, "realm", 5))
    return &c->realm;
  if (ims_equal_fold_n(name, size, "service", 7))
    return &c->service;
  if (ims_equal_fold_n(name, size, "scope", 5))
    return &c->scope;
  return NULL;
}

static bool is_clean(const ims_buf *value) {
  for (size_t i = 0; i < value->size; i++)
    if ((unsigned char)value->data[i] < 0x20 || value->data[i] == 0x7f)
      return false;
  return true;
}

/* One name=value; the first of a name counts. Returns where it ends, NULL when the rest cannot be read. */
static const char *read_parameter(ims_challenge *c, const ims_alloc *alloc, const char *at, int32_t *failed) {
  size_t size = token_size(at);
  char **slot = c ? slot_for(c, at, size) : NULL;
  at = skip_space(skip_space(at + size) + 1);
  ims_buf value;
  ims_buf_init(&value, alloc, IMS_CHALLENGE_VALUE_MAX);
  at = read_value(at, &value);
  if (value.failed == IMGSTORE_ENOMEM) {
    *failed = IMGSTORE_ENOMEM;
  } else if (at && slot && !*slot && !value.failed && is_clean(&value)) {
    *slot = ims_buf_detach(&value, NULL);
    if (!*slot)
      *failed = IMGSTORE_ENOMEM;
  }
  ims_buf_free(&value);
  return at;
}

static ims_challenge *begin(ims_challenges *challenges, const char *name, size_t size) {
  int scheme = ims_equal_fold_n(name, size, "bearer", 6)  ? IMS_AUTH_BEARER
               : ims_equal_fold_n(name, size, "basic", 5) ? IMS_AUTH_BASIC
                                                          : IMS_AUTH_NONE;
  if (scheme == IMS_AUTH_NONE || challenges->count == IMS_CHALLENGE_MAX)
    return NULL;
  ims_challenge *c = &challenges->list[challenges->count++];
  memset(c, 0, sizeof *c);
  c->scheme = scheme;
  return c;
}

int32_t ims_challenges_add(ims_challenges *challenges, const ims_alloc *alloc, const char *value, ims_error *err) {
  ims_challenge *current = NULL;
  int32_t failed = IMGSTORE_OK;
  for (const char *at = value; at && !failed;) {
    at += strspn(at, ", \t");
    size_t size = token_size(at);
    if (!size)
      break; /* the end, or nothing that can be read */
    const char *after = skip_space(at + size);
    if (*after == '=' && after[1] != '=') {
      at = read_parameter(current, alloc, at, &failed);
      continue;
    }
    current = begin(challenges, at, size);
    at = after;
    size_t word = token_size(at);
    if (word && *skip_space(at + word) == '=' && !token68_size(at))
      continue; /* parameters follow */
    at += token68_size(at);
  }
  return failed ? ims_fail_nomem(err) : IMGSTORE_OK;
}

const ims_challenge *ims_challenges_choose(const ims_challenges *challenges) {
  const ims_challenge *basic = NULL;
  for (size_t i = 0; i < challenges->count; i++) {
    const ims_challenge *c = &challenges->list[i];
    if (c->scheme == IMS_AUTH_BEARER && c->realm && c->realm[0])
      return c;
    if (c->scheme == IMS_AUTH_BASIC && !basic)
      basic = c;
  }
  return basic;
}

void ims_challenges_free(ims_challenges *challenges, const ims_alloc *alloc) {
  for (size_t i = 0; i < challenges->count; i++) {
    ims_free(alloc, challenges->list[i].realm);
    ims_free(alloc, challenges->list[i].service);
    ims_free(alloc, challenges->list[i].scope);
  }
  challenges->count = 0;
}
