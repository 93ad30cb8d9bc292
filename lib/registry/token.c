/*
 * registry/token.c (L2) - scope sets and token messages.
 */
#include "registry/token.h"

#include <string.h>

#include "base/base64.h"
#include "base/text.h"
#include "imgstore/registry.h"
#include "json/json.h"

enum { SCOPES_MAX = 8 * 1024, REQUEST_MAX = 64 * 1024, PAYLOAD_MAX = 64 * 1024 };

static bool has_scope(const char *set, const char *scope, size_t size) {
  for (const char *at = set; *at;) {
    size_t length = strcspn(at, " ");
    if (length == size && memcmp(at, scope, size) == 0)
      return true;
    at += length;
    at += strspn(at, " ");
  }
  return false;
}

static void add_scopes(ims_buf *out, const char *set) {
  for (const char *at = set ? set : ""; *at;) {
    at += strspn(at, " ");
    size_t length = strcspn(at, " ");
    if (length && !has_scope(ims_buf_text(out), at, length)) {
      if (out->size)
        ims_buf_putc(out, ' ');
      ims_buf_append(out, at, length);
    }
    at += length;
  }
}

/* Turns a buffer into the caller's string. */
static int32_t take(char **out, ims_buf *b, const char *what, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  if (b->failed == IMGSTORE_ELIMIT)
    rc = ims_fail(err, IMGSTORE_ELIMIT, "%s is too long", what);
  else if (b->failed || !(*out = ims_buf_detach(b, NULL)))
    rc = ims_fail_nomem(err);
  ims_buf_free_secret(b);
  return rc;
}

int32_t ims_scope_merge(char **merged, const ims_alloc *alloc, const char *demanded, const char *have, ims_error *err) {
  ims_buf out;
  *merged = NULL;
  ims_buf_init(&out, alloc, SCOPES_MAX);
  add_scopes(&out, demanded);
  add_scopes(&out, have);
  return take(merged, &out, "a set of token scopes", err);
}

static bool contains_all(const char *set, const char *other) {
  for (const char *at = other; *at;) {
    size_t length = strcspn(at, " ");
    if (length && !has_scope(set, at, length))
      return false;
    at += length;
    at += strspn(at, " ");
  }
  return true;
}

bool ims_scope_equal(const char *a, const char *b) {
  return contains_all(a, b) && contains_all(b, a);
}

/* Grows by whole buffers: a secret must not stay behind in memory that realloc gave up. */
static void reserve_for(ims_buf *out, const ims_secret *secret) {
  size_t size = 4096;
  if (secret->identity_token)
    size += 3 * strlen(secret->identity_token);
  ims_buf_reserve(out, size);
}

static void put_encoded(ims_buf *out, const char *text) {
  for (; *text; text++) {
    if (ims_is_alnum(*text) || strchr("-._~", *text))
      ims_buf_putc(out, *text);
    else
      ims_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*text);
  }
}

static void put_field(ims_buf *out, const char *name, const char *value, char before) {
  if (out->size)
    ims_buf_putc(out, before);
  ims_buf_puts(out, name);
  ims_buf_putc(out, '=');
  put_encoded(out, value);
}

int32_t ims_token_url(char **url, const ims_alloc *alloc, const ims_challenge *challenge, const char *scopes,
                      const ims_secret *secret, ims_error *err) {
  ims_buf out;
  *url = NULL;
  ims_buf_init(&out, alloc, REQUEST_MAX);
  ims_buf_append(&out, challenge->realm, strcspn(challenge->realm, "#"));
  char before = strchr(challenge->realm, '?') ? '&' : '?';
  if (challenge->service) {
    put_field(&out, "service", challenge->service, before);
    before = '&';
  }
  for (const char *at = scopes ? scopes : ""; *at;) {
    size_t length = strcspn(at, " ");
    char *scope = ims_strndup(alloc, at, length);
    if (!scope) {
      out.failed = IMGSTORE_ENOMEM;
      break;
    }
    put_field(&out, "scope", scope, before);
    before = '&';
    ims_free(alloc, scope);
    at += length;
    at += strspn(at, " ");
  }
  if (secret->username && !secret->identity_token)
    put_field(&out, "account", secret->username, before);
  return take(url, &out, "a token URL", err);
}

int32_t ims_token_form(ims_buf *body, const ims_challenge *challenge, const char *scopes, const ims_secret *secret,
                       ims_error *err) {
  reserve_for(body, secret);
  put_field(body, "grant_type", "refresh_token", '&');
  put_field(body, "client_id", "imgstore", '&');
  if (challenge->service)
    put_field(body, "service", challenge->service, '&');
  if (scopes && *scopes)
    put_field(body, "scope", scopes, '&');
  put_field(body, "refresh_token", secret->identity_token, '&');
  if (body->failed == IMGSTORE_ELIMIT)
    return ims_fail(err, IMGSTORE_ELIMIT, "a token request is too long");
  return body->failed ? ims_fail_nomem(err) : IMGSTORE_OK;
}

bool ims_token_post_unknown(int32_t status) {
  return status == 400 || status == 401 || status == 404 || status == 405 || status == 501;
}

/* A token becomes a header value: nothing in it may end one. */
static bool token_is_clean(const char *text) {
  for (const char *at = text; *at; at++)
    if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f)
      return false;
  return *text != '\0';
}

int32_t ims_token_parse(ims_token *token, const ims_alloc *alloc, const char *body, size_t size, const char *what,
                        ims_error *err) {
  ims_json *json;
  uint64_t seconds = 0;
  memset(token, 0, sizeof *token);
  ims_error why = IMS_ERROR_INIT;
  int32_t rc = ims_json_parse(&json, alloc, body, size, "the answer", &why);
  if (rc == IMGSTORE_ENOMEM)
    return ims_fail_nomem(err);
  if (rc)
    return ims_fail(err, IMGSTORE_EPROTOCOL, "%s: no token: %s", what, why.message);
  const ims_json_value *root = ims_json_root(json);
  const char *text = ims_json_string(ims_json_get(root, "token"));
  if (!text || !*text)
    text = ims_json_string(ims_json_get(root, "access_token"));
  if (!text || !token_is_clean(text)) {
    rc = ims_fail(err, IMGSTORE_EPROTOCOL, "%s: the answer has no usable token", what);
  } else {
    ims_json_uint(ims_json_get(root, "expires_in"), &seconds);
    if (seconds > 365 * 24 * 3600)
      seconds = 365 * 24 * 3600;
    token->lifetime_ms = (int64_t)seconds * 1000 > IMS_TOKEN_FLOOR_MS ? (int64_t)seconds * 1000 : IMS_TOKEN_FLOOR_MS;
    token->text = ims_strdup(alloc, text);
    if (!token->text)
      rc = ims_fail_nomem(err);
  }
  ims_json_free(json);
  return rc;
}

static uint32_t right_of(const char *action) {
  static const struct {
    const char *name;
    uint32_t rights;
  } known[] = {{"pull", IMGSTORE_ACCESS_PULL},
               {"push", IMGSTORE_ACCESS_PUSH},
               {"delete", IMGSTORE_ACCESS_DELETE},
               {"*", IMGSTORE_ACCESS_PULL | IMGSTORE_ACCESS_PUSH | IMGSTORE_ACCESS_DELETE}};
  for (size_t i = 0; action && i < sizeof known / sizeof *known; i++)
    if (strcmp(known[i].name, action) == 0)
      return known[i].rights;
  return 0;
}

static uint32_t rights_of(const ims_json_value *access, const char *repository) {
  uint32_t rights = 0;
  for (const ims_json_value *v = ims_json_first(access); v; v = ims_json_next(v)) {
    const char *type = ims_json_string(ims_json_get(v, "type")), *name = ims_json_string(ims_json_get(v, "name"));
    if (!type || !name || strcmp(type, "repository") != 0 || strcmp(name, repository) != 0)
      continue;
    for (const ims_json_value *a = ims_json_first(ims_json_get(v, "actions")); a; a = ims_json_next(a))
      rights |= right_of(ims_json_string(a));
  }
  return rights;
}

/* The payload of a JWT: base64url without padding between two dots. NULL when it is not that, or without memory. */
static char *payload_of(const char *token, const ims_alloc *alloc, size_t *size) {
  const char *from = strchr(token, '.'), *to = from ? strchr(from + 1, '.') : NULL;
  size_t length = to ? (size_t)(to - from) - 1 : 0, padded = (length + 3) / 4 * 4;
  char *text = length && length <= PAYLOAD_MAX ? ims_malloc(alloc, padded) : NULL;
  if (!text)
    return NULL;
  for (size_t i = 0; i < padded; i++) {
    char c = i < length ? from[1 + i] : '=';
    text[i] = c == '-' ? '+' : c == '_' ? '/' : c;
  }
  if (ims_base64_decode(text, padded, (uint8_t *)text, size) == IMGSTORE_OK)
    return text;
  ims_free(alloc, text);
  return NULL;
}

bool ims_token_rights(const char *token, const ims_alloc *alloc, const char *repository, uint32_t *rights) {
  size_t size;
  ims_json *json;
  *rights = 0;
  char *payload = payload_of(token, alloc, &size);
  if (!payload)
    return false;
  bool told = ims_json_parse(&json, alloc, payload, size, "token", NULL) == IMGSTORE_OK;
  ims_free(alloc, payload);
  if (!told)
    return false;
  const ims_json_value *access = ims_json_get(ims_json_root(json), "access");
  told = ims_json_type(access) == IMS_JSON_ARRAY;
  *rights = rights_of(access, repository);
  ims_json_free(json);
  return told;
}

int32_t ims_basic_value(char **value, const ims_alloc *alloc, const ims_secret *secret, ims_error *err) {
  *value = NULL;
  const char *user = secret->identity_token ? "<token>" : secret->username;
  const char *password = secret->identity_token ? secret->identity_token : secret->password;
  if (!user || !password)
    return IMGSTORE_OK;
  ims_buf pair;
  ims_buf_init(&pair, alloc, REQUEST_MAX);
  ims_buf_reserve(&pair, strlen(user) + strlen(password) + 1);
  ims_buf_puts(&pair, user);
  ims_buf_putc(&pair, ':');
  ims_buf_puts(&pair, password);
  int32_t rc = pair.failed == IMGSTORE_ELIMIT ? ims_fail(err, IMGSTORE_ELIMIT, "credentials are too long")
               : pair.failed                  ? ims_fail_nomem(err)
                                              : IMGSTORE_OK;
  if (!rc) {
    *value = ims_malloc(alloc, 6 + IMS_BASE64_ENCODED(pair.size) + 1);
    if (*value) {
      memcpy(*value, "Basic ", 6);
      ims_base64_encode((const uint8_t *)pair.data, pair.size, *value + 6);
    } else {
      rc = ims_fail_nomem(err);
    }
  }
  ims_buf_free_secret(&pair);
  return rc;
}

int32_t ims_bearer_value(char **value, const ims_alloc *alloc, const char *token, ims_error *err) {
  size_t size = strlen(token);
  *value = ims_malloc(alloc, 7 + size + 1);
  if (!*value)
    return ims_fail_nomem(err);
  memcpy(*value, "Bearer ", 7);
  memcpy(*value + 7, token, size + 1);
  return IMGSTORE_OK;
}
