/*
 * engine/build_instruct.c (L4) - instructions of a Dockerfile that change a config, in the forms that
 * `docker commit --change` takes. No variables are substituted: there is no build to take them from.
 */
#include <string.h>

#include "base/text.h"
#include "engine/instance_changes.h"
#include "json/json.h"

enum { WORD_MAX = 1 << 20, WORDS_MAX = 4096 };

/** Words of an instruction, each with its NUL. */
typedef struct words {
  const ims_alloc *alloc;
  ims_buf text;
  const char **items;
  size_t count;
} words;

static void words_free(words *w) {
  ims_free(w->alloc, w->items);
  ims_buf_free(&w->text);
}

static int32_t refuse(const char *instruction, const char *why, ims_error *err) {
  return ims_fail(err, IMGSTORE_EINVALID, "instruction \"%.200s\": %s", instruction, why);
}

static bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_space(const char *s) {
  while (is_space(*s))
    s++;
  return s;
}

/** Sets items when all words are in text. */
static int32_t index_words(words *w, ims_error *err) {
  w->items = ims_calloc(w->alloc, w->count ? w->count : 1, sizeof *w->items);
  if (!w->items || w->text.failed)
    return ims_fail_nomem(err);
  const char *at = ims_buf_text(&w->text);
  for (size_t i = 0; i < w->count; i++, at += strlen(at) + 1)
    w->items[i] = at;
  return IMGSTORE_OK;
}

/* --- forms -----------------------------------------------------------------------------------------------------------
 */

/** One word: quotes keep spaces, a backslash keeps the next character (not inside of single quotes). */
static const char *take_word(words *w, const char *s) {
  char quote = '\0';
  for (; *s && (quote || !is_space(*s)); s++) {
    if (quote ? *s == quote : *s == '"' || *s == '\'') {
      quote = quote ? '\0' : *s;
      continue;
    }
    if (*s == '\\' && quote != '\'' && s[1])
      s++;
    ims_buf_putc(&w->text, *s);
  }
  ims_buf_append(&w->text, "", 1);
  w->count++;
  return quote ? NULL : s;
}

static int32_t split_words(words *w, const char *instruction, const char *rest, ims_error *err) {
  for (const char *s = skip_space(rest); *s; s = skip_space(s)) {
    s = take_word(w, s);
    if (!s)
      return refuse(instruction, "a quote is not closed", err);
    if (w->count > WORDS_MAX)
      return refuse(instruction, "too many words", err);
  }
  return index_words(w, err);
}

/** A JSON array of strings. *is_json: false when it is none, which is no failure. */
static int32_t take_array(words *w, const char *rest, bool *is_json, ims_error *err) {
  ims_json *json = NULL;
  rest = skip_space(rest);
  *is_json = *rest == '[' && ims_json_parse(&json, w->alloc, rest, strlen(rest), "instruction", NULL) == IMGSTORE_OK &&
             ims_json_type(ims_json_root(json)) == IMS_JSON_ARRAY;
  if (*is_json)
    for (const ims_json_value *v = ims_json_first(ims_json_root(json)); v && *is_json; v = ims_json_next(v)) {
      const char *item = ims_json_string(v);
      *is_json = item != NULL;
      if (item)
        ims_buf_append(&w->text, item, strlen(item) + 1);
      w->count += item != NULL;
    }
  ims_json_free(json);
  if (*is_json)
    return index_words(w, err);
  ims_buf_clear(&w->text);
  w->count = 0;
  return IMGSTORE_OK;
}

/** ["a","b"], or text for a shell. */
static int32_t take_command(words *w, const char *rest, ims_error *err) {
  bool is_json;
  int32_t rc = take_array(w, rest, &is_json, err);
  if (rc || is_json)
    return rc;
  rest = skip_space(rest);
  size_t size = strlen(rest);
  while (size && is_space(rest[size - 1]))
    size--;
  if (!size)
    return index_words(w, err);
  ims_buf_append(&w->text, "/bin/sh", sizeof "/bin/sh");
  ims_buf_append(&w->text, "-c", sizeof "-c");
  ims_buf_append(&w->text, rest, size);
  ims_buf_append(&w->text, "", 1);
  w->count = 3;
  return index_words(w, err);
}

/* --- instructions ----------------------------------------------------------------------------------------------------
 */

static int32_t set_command(imgstore_builder *b, int32_t list, words *w, const char *rest, ims_error *err) {
  int32_t rc = take_command(w, rest, err);
  return rc ? rc : ims_builder_set_list(b, list, w->items, w->count, err);
}

/** NAME=VALUE..., or NAME and a value with spaces. */
static int32_t set_pairs(imgstore_builder *b, int32_t list, words *w, const char *instruction, const char *rest,
                         ims_error *err) {
  int32_t rc = split_words(w, instruction, rest, err);
  if (rc)
    return rc;
  if (!w->count)
    return refuse(instruction, "a name and a value are missing", err);
  if (!strchr(w->items[0], '=')) {
    const char *value = skip_space(skip_space(rest) + strlen(w->items[0]));
    return w->count < 2 ? refuse(instruction, "a value is missing", err)
                        : ims_builder_set_item(b, list, w->items[0], w->count == 2 ? w->items[1] : value, err);
  }
  for (size_t i = 0; i < w->count && !rc; i++) {
    char *name = (char *)(uintptr_t)w->items[i], *equals = strchr(name, '='); /* into the words' own text */
    if (!equals || equals == name)
      return refuse(instruction, "not of the form NAME=VALUE", err);
    *equals = '\0';
    rc = ims_builder_set_item(b, list, name, equals + 1, err);
  }
  return rc;
}

static int32_t set_keys(imgstore_builder *b, int32_t list, words *w, const char *instruction, const char *rest,
                        ims_error *err) {
  bool is_json = false;
  int32_t rc = take_array(w, rest, &is_json, err);
  if (!rc && !is_json)
    rc = split_words(w, instruction, rest, err);
  if (!rc && !w->count)
    return refuse(instruction, "a value is missing", err);
  for (size_t i = 0; i < w->count && !rc; i++) {
    char port[32];
    const char *key = w->items[i];
    if (list == IMGSTORE_IMAGE_PORTS && strspn(key, "0123456789") == strlen(key) && strlen(key) < 6) {
      strcat(strcpy(port, key), "/tcp");
      key = port;
    }
    rc = ims_builder_set_item(b, list, key, "", err);
  }
  return rc;
}

static int32_t set_text(imgstore_builder *b, int32_t field, words *w, const char *instruction, const char *rest,
                        ims_error *err) {
  int32_t rc = split_words(w, instruction, rest, err);
  if (rc)
    return rc;
  if (w->count != 1)
    return refuse(instruction, w->count ? "one value, not several" : "a value is missing", err);
  if (field != IMGSTORE_IMAGE_WORKING_DIR || *w->items[0] == '/')
    return ims_builder_set_text(b, field, w->items[0], err);
  const char *now = b->text[field] ? b->text[field] : b->base ? b->base->config->text[field] : "";
  ims_buf path;
  ims_buf_init(&path, w->alloc, WORD_MAX);
  ims_buf_printf(&path, "%s%s%s", *now ? now : "/", ims_ends_with(*now ? now : "/", "/") ? "" : "/", w->items[0]);
  rc = path.failed ? ims_fail_nomem(err) : ims_builder_set_text(b, field, path.data, err);
  ims_buf_free(&path);
  return rc;
}

static int32_t instruct(imgstore_builder *b, words *w, const char *instruction, ims_error *err) {
  enum { COMMAND, PAIRS, KEYS, TEXT };
  static const struct {
    const char *name;
    int form;
    int32_t member;
  } known[] = {{"CMD", COMMAND, IMGSTORE_IMAGE_CMD},
               {"ENTRYPOINT", COMMAND, IMGSTORE_IMAGE_ENTRYPOINT},
               {"ENV", PAIRS, IMGSTORE_IMAGE_ENV},
               {"LABEL", PAIRS, IMGSTORE_IMAGE_LABELS},
               {"EXPOSE", KEYS, IMGSTORE_IMAGE_PORTS},
               {"VOLUME", KEYS, IMGSTORE_IMAGE_VOLUMES},
               {"USER", TEXT, IMGSTORE_IMAGE_USER},
               {"WORKDIR", TEXT, IMGSTORE_IMAGE_WORKING_DIR},
               {"STOPSIGNAL", TEXT, IMGSTORE_IMAGE_STOP_SIGNAL}};
  const char *word = skip_space(instruction), *rest = word;
  while (*rest && !is_space(*rest))
    rest++;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (!ims_equal_fold_n(word, (size_t)(rest - word), known[i].name, strlen(known[i].name)))
      continue;
    switch (known[i].form) {
    case COMMAND:
      return set_command(b, known[i].member, w, rest, err);
    case PAIRS:
      return set_pairs(b, known[i].member, w, instruction, rest, err);
    case KEYS:
      return set_keys(b, known[i].member, w, instruction, rest, err);
    default:
      return set_text(b, known[i].member, w, instruction, rest, err);
    }
  }
  return refuse(instruction, "not one of CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR, STOPSIGNAL", err);
}

int32_t ims_builder_instruct(imgstore_builder *b, const char *instruction, ims_error *err) {
  words w = {.alloc = &b->core->alloc};
  ims_buf_init(&w.text, w.alloc, WORD_MAX);
  int32_t rc = strlen(instruction) < WORD_MAX / 2 ? instruct(b, &w, instruction, err)
                                                  : ims_fail(err, IMGSTORE_ELIMIT, "an instruction is too long");
  words_free(&w);
  return rc;
}
