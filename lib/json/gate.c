/*
 * json/gate.c (L1) - the strict check that every document passes before a parser sees it. Iterative, one pass, knows
 * neither cJSON nor what the document is about.
 */
#include "json/json.h"

#include <string.h>

#include "base/text.h"
#include "json/keys.h"

typedef struct frame {
  bool object;
  bool free_keys;   /* a map whose keys are data: those that differ in case are different */
  bool started;     /* has a first element */
  size_t first_key; /* of this object in the stack of keys */
} frame;

typedef struct gate {
  const unsigned char *text;
  size_t size;
  size_t at;
  const char *what;
  ims_error *err;
  size_t tokens;
  size_t depth;
  size_t key_at, key_size; /* the key of the value that is next; size 0: it has none */
  frame open[IMS_JSON_MAX_DEPTH];
  ims_json_keys keys;
} gate;

static int32_t fail_at(gate *g, int32_t code, const char *reason) {
  return ims_fail(g->err, code, "%s: JSON byte %zu: %s", g->what, g->at, reason);
}

static int32_t malformed(gate *g, const char *reason) {
  return fail_at(g, IMGSTORE_EFORMAT, g->at < g->size ? reason : "unexpected end");
}

static int32_t count_token(gate *g) {
  return ++g->tokens > IMS_JSON_MAX_TOKENS ? fail_at(g, IMGSTORE_ELIMIT, "too many values") : IMGSTORE_OK;
}

/* The byte at the read position; 0, which no token starts with, at the end. */
static unsigned char peek(const gate *g) {
  return g->at < g->size ? g->text[g->at] : 0;
}

static void skip_space(gate *g) {
  for (; g->at < g->size; g->at++) {
    unsigned char c = g->text[g->at];
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
      return;
  }
}

static bool take(gate *g, unsigned char c) {
  if (peek(g) != c)
    return false;
  g->at++;
  return true;
}

/* Four hex digits as a number; false when they are none. */
static bool take_hex4(gate *g, uint32_t *value) {
  *value = 0;
  for (int i = 0; i < 4; i++) {
    unsigned char c = peek(g), l = c | 0x20;
    if (c >= '0' && c <= '9')
      *value = *value << 4 | (uint32_t)(c - '0');
    else if (l >= 'a' && l <= 'f')
      *value = *value << 4 | (uint32_t)(l - 'a' + 10);
    else
      return false;
    g->at++;
  }
  return true;
}

static int32_t check_unicode_escape(gate *g) {
  uint32_t c, low;
  if (!take_hex4(g, &c))
    return malformed(g, "\\u takes four hex digits");
  if (!c)
    return fail_at(g, IMGSTORE_EFORMAT, "\\u0000 in a string");
  if (c < 0xd800 || c > 0xdfff)
    return IMGSTORE_OK;
  if (c > 0xdbff || !take(g, '\\') || !take(g, 'u') || !take_hex4(g, &low) || low < 0xdc00 || low > 0xdfff)
    return fail_at(g, IMGSTORE_EFORMAT, "lone surrogate in a string");
  return IMGSTORE_OK;
}

static int32_t check_escape(gate *g) {
  unsigned char c = peek(g);
  if (c == 'u') {
    g->at++;
    return check_unicode_escape(g);
  }
  if (!c || !strchr("\"\\/bfnrt", c))
    return malformed(g, "unknown escape in a string");
  g->at++;
  return IMGSTORE_OK;
}

/* From behind the opening quote to behind the closing one. */
static int32_t check_string(gate *g) {
  while (g->at < g->size) {
    unsigned char c = g->text[g->at];
    if (c < 0x20)
      return malformed(g, "control character in a string");
    size_t length = c < 0x80 ? 1 : ims_utf8_length(g->text + g->at, g->size - g->at);
    if (!length)
      return malformed(g, "invalid UTF-8");
    g->at += length;
    if (c == '"')
      return IMGSTORE_OK;
    int32_t rc = c == '\\' ? check_escape(g) : IMGSTORE_OK;
    if (rc != IMGSTORE_OK)
      return rc;
  }
  return malformed(g, "");
}

static bool take_digits(gate *g) {
  size_t start = g->at;
  while (ims_is_digit((char)peek(g)))
    g->at++;
  return g->at > start;
}

static int32_t check_number(gate *g) {
  take(g, '-');
  if (!take(g, '0') && !take_digits(g))
    return malformed(g, "malformed number");
  if (ims_is_digit((char)peek(g)))
    return malformed(g, "number with a leading zero");
  if (take(g, '.') && !take_digits(g))
    return malformed(g, "malformed number");
  if (take(g, 'e') || take(g, 'E')) {
    if (!take(g, '+'))
      take(g, '-');
    if (!take_digits(g))
      return malformed(g, "malformed number");
  }
  return IMGSTORE_OK;
}

static int32_t check_word(gate *g, const char *word) {
  size_t length = strlen(word);
  if (g->size - g->at < length || memcmp(g->text + g->at, word, length) != 0)
    return malformed(g, "unexpected character");
  g->at += length;
  return IMGSTORE_OK;
}

/*
 * Maps of OCI and Docker documents whose keys their makers choose: "/Data" and "/data" are two volumes. Nothing in them
 * is structure, so that a reader which ignores case cannot be led to other content.
 */
static bool is_free_map(const gate *g) {
  static const char *const names[] = {"annotations", "Labels", "ExposedPorts", "Volumes"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strlen(names[i]) == g->key_size && memcmp(g->text + g->key_at, names[i], g->key_size) == 0)
      return true;
  return false;
}

static int32_t open_container(gate *g, bool object) {
  if (g->depth == IMS_JSON_MAX_DEPTH)
    return fail_at(g, IMGSTORE_ELIMIT, "nested too deeply");
  g->at++;
  g->open[g->depth++] = (frame){object, object && is_free_map(g), false, g->keys.count};
  return IMGSTORE_OK;
}

/* A whole scalar, or the opening of a container. */
static int32_t check_value(gate *g) {
  int32_t rc = count_token(g);
  if (rc != IMGSTORE_OK)
    return rc;
  switch (peek(g)) {
  case '{':
  case '[':
    return open_container(g, peek(g) == '{');
  case '"':
    g->at++;
    return check_string(g);
  case 't':
    return check_word(g, "true");
  case 'f':
    return check_word(g, "false");
  case 'n':
    return check_word(g, "null");
  default:
    if (peek(g) == '-' || ims_is_digit((char)peek(g)))
      return check_number(g);
    return malformed(g, "unexpected character");
  }
}

static int32_t check_key(gate *g) {
  int32_t rc = count_token(g);
  if (rc != IMGSTORE_OK)
    return rc;
  if (!take(g, '"'))
    return malformed(g, "expected a key");
  size_t start = g->at;
  rc = check_string(g);
  if (rc != IMGSTORE_OK)
    return rc;
  g->key_at = start;
  g->key_size = g->at - 1 - start;
  if (!ims_json_keys_push(&g->keys, start, g->key_size))
    return ims_fail_nomem(g->err);
  skip_space(g);
  if (!take(g, ':'))
    return malformed(g, "expected ':'");
  skip_space(g);
  return IMGSTORE_OK;
}

static int32_t close_container(gate *g) {
  const frame *top = &g->open[--g->depth];
  g->at++;
  if (!top->object)
    return IMGSTORE_OK;
  const ims_json_key_place *twice = ims_json_keys_pop(&g->keys, top->first_key, top->free_keys);
  if (!twice)
    return IMGSTORE_OK;
  size_t shown = twice->size < 100 ? twice->size : 100;
  return ims_fail(g->err, IMGSTORE_EFORMAT, "%s: JSON byte %zu: key \"%.*s\" comes twice in an object", g->what,
                  twice->at, (int)shown, (const char *)g->text + twice->at);
}

/* The next element of the innermost container, or its end. */
static int32_t check_next(gate *g) {
  frame *top = &g->open[g->depth - 1];
  skip_space(g);
  if (peek(g) == (top->object ? '}' : ']'))
    return close_container(g);
  if (top->started && !take(g, ','))
    return malformed(g, top->object ? "expected ',' or '}'" : "expected ',' or ']'");
  top->started = true;
  skip_space(g);
  g->key_size = 0;
  int32_t rc = top->object ? check_key(g) : IMGSTORE_OK;
  return rc != IMGSTORE_OK ? rc : check_value(g);
}

static int32_t check_document(gate *g) {
  if (g->size >= 3 && memcmp(g->text, "\xef\xbb\xbf", 3) == 0)
    return malformed(g, "byte order mark");
  skip_space(g);
  int32_t rc = check_value(g);
  while (rc == IMGSTORE_OK && g->depth)
    rc = check_next(g);
  if (rc != IMGSTORE_OK)
    return rc;
  skip_space(g);
  return g->at < g->size ? malformed(g, "text behind the document") : IMGSTORE_OK;
}

int32_t ims_json_check(const ims_alloc *alloc, const char *text, size_t size, const char *what, ims_error *err) {
  gate g;
  g.text = (const unsigned char *)text;
  g.size = size;
  g.at = 0;
  g.what = what ? what : "document";
  g.err = err;
  g.tokens = 0;
  g.depth = 0;
  g.key_at = g.key_size = 0;
  ims_json_keys_init(&g.keys, alloc, g.text);
  int32_t rc = check_document(&g);
  ims_json_keys_free(&g.keys);
  return rc;
}
