/* build_config.c - the flags of build that say what the config of the image has. */
#include "build_config.h"

#include <stdlib.h>
#include <string.h>

static const option config_options[] = {
    {OPTION_ENTRYPOINT, 0, "entrypoint", "WORDS",
     "the entrypoint: a JSON array, or words; \"\" removes it and the cmd"},
    {OPTION_CMD, 0, "cmd", "WORDS", "the command: a JSON array, or words; \"\" removes it"},
    {OPTION_ENV, 'e', "env", "NAME=VALUE|NAME", "set a variable, or remove it"},
    {OPTION_LABEL, 'l', "label", "KEY=VALUE|KEY", "set a label, or remove it"},
    {OPTION_ANNOTATION, 0, "annotation", "KEY=VALUE|KEY", "set an annotation of the manifest, or remove it"},
    {OPTION_USER, 'u', "user", "USER[:GROUP]", "the user; \"\" removes it"},
    {OPTION_PORT, 'p', "port", "PORT[/PROTOCOL]", "a port that is listened on; -PORT removes it"},
    {OPTION_VOLUME, 0, "volume", "PATH", "a directory for data; -PATH removes it"},
    {OPTION_WORKDIR, 'w', "workdir", "PATH", "the working directory"},
    {OPTION_STOP_SIGNAL, 0, "stop-signal", "SIGNAL", "what stops the process"},
    {OPTION_PLATFORM, 0, "platform", "OS/ARCH[/VARIANT]",
     "of the image; with --from which image of a multi-platform one"},
    {OPTION_CREATED, 0, "created", "TIME", "RFC 3339 (default: --timestamp, else now)"},
    {OPTION_AUTHOR, 0, "author", "TEXT", "who made it"},
    {OPTION_COMMENT, 0, "comment", "TEXT", "a comment in the config"},
    {OPTION_HISTORY, 0, "history", "TEXT",
     "what the history says of the layer before it, or of a change of\nthe config alone"},
    ROW_END};
const option_group group_build_config = {"Config", config_options};

/* --- words ---------------------------------------------------------------------------------------------------------
 */

typedef struct word_list {
  const char **items;
  size_t count;
  text texts; /* the words, each with its NUL */
} word_list;

static bool take_json_character(const char **s, text *out) {
  static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  if (**s != '\\') {
    text_add_bytes(out, (*s)++, 1);
    return true;
  }
  const char *escape = (*s)[1] ? strchr(escapes, (*s)[1]) : NULL;
  if (!escape)
    return false;
  text_add_bytes(out, &meanings[escape - escapes], 1);
  *s += 2;
  return true;
}

/* ["a", "b c"]: what the exec form of a Dockerfile takes; other characters stand for themselves, not as \u. */
static bool read_json_words(const char *s, word_list *list) {
  for (s++, s += strspn(s, " "); *s == '"';) {
    for (s++; *s && *s != '"';)
      if (!take_json_character(&s, &list->texts))
        return false;
    if (*s++ != '"')
      return false;
    text_add_bytes(&list->texts, "", 1);
    list->count++;
    s += strspn(s, " ");
    if (*s == ',')
      s += 1 + strspn(s + 1, " ");
    else
      break;
  }
  return *s == ']' && !s[1 + strspn(s + 1, " ")];
}

static void read_plain_words(const char *s, word_list *list) {
  for (s += strspn(s, " "); *s; s += strspn(s, " ")) {
    size_t size = strcspn(s, " ");
    text_add_bytes(&list->texts, s, size);
    text_add_bytes(&list->texts, "", 1);
    list->count++;
    s += size;
  }
}

static int32_t set_words(imgstore_builder *builder, int32_t which, const char *value, cli *c, imgstore_error **error) {
  word_list list = {0};
  int32_t code = IMGSTORE_EINVALID;
  bool good = true;
  if (*value == '[')
    good = read_json_words(value, &list);
  else
    read_plain_words(value, &list);
  list.items = good ? calloc(list.count + 1, sizeof *list.items) : NULL;
  const char *at = text_get(&list.texts);
  for (size_t i = 0; list.items && i < list.count; i++, at += strlen(at) + 1)
    list.items[i] = at;
  if (!good)
    cli_message(c, "%s is not a JSON array of strings", value);
  else if (!list.items || list.texts.failed)
    code = IMGSTORE_ENOMEM;
  else
    code = imgstore_builder_set_list(builder, which, list.items, list.count, error);
  free(list.items);
  text_free(&list.texts);
  return code;
}

/* --- items ---------------------------------------------------------------------------------------------------------
 */

/* KEY=VALUE, or KEY alone to remove. list 0: an annotation. */
static int32_t set_pair(imgstore_builder *builder, int32_t list, const char *given, imgstore_error **error) {
  text key = {0};
  const char *value = text_split(&key, given, '=');
  int32_t code = key.failed ? IMGSTORE_ENOMEM
                 : list     ? imgstore_builder_set_item(builder, list, text_get(&key), value, error)
                            : imgstore_builder_set_annotation(builder, text_get(&key), value, error);
  text_free(&key);
  return code;
}

static int32_t set_member(imgstore_builder *builder, int32_t list, const char *given, imgstore_error **error) {
  bool remove = *given == '-';
  return imgstore_builder_set_item(builder, list, given + remove, remove ? NULL : "", error);
}

static int32_t set_option(cli *c, imgstore_builder *b, int id, const char *value, imgstore_error **error) {
  switch (id) {
  case OPTION_ENTRYPOINT:
    return set_words(b, IMGSTORE_IMAGE_ENTRYPOINT, value, c, error);
  case OPTION_CMD:
    return set_words(b, IMGSTORE_IMAGE_CMD, value, c, error);
  case OPTION_ENV:
    return set_pair(b, IMGSTORE_IMAGE_ENV, value, error);
  case OPTION_LABEL:
    return set_pair(b, IMGSTORE_IMAGE_LABELS, value, error);
  case OPTION_ANNOTATION:
    return set_pair(b, 0, value, error);
  case OPTION_USER:
    return imgstore_builder_set_text(b, IMGSTORE_IMAGE_USER, value, error);
  case OPTION_PORT:
    return set_member(b, IMGSTORE_IMAGE_PORTS, value, error);
  case OPTION_VOLUME:
    return set_member(b, IMGSTORE_IMAGE_VOLUMES, value, error);
  case OPTION_WORKDIR:
    return imgstore_builder_set_text(b, IMGSTORE_IMAGE_WORKING_DIR, value, error);
  case OPTION_STOP_SIGNAL:
    return imgstore_builder_set_text(b, IMGSTORE_IMAGE_STOP_SIGNAL, value, error);
  case OPTION_CREATED:
    return imgstore_builder_set_text(b, IMGSTORE_IMAGE_CREATED, value, error);
  case OPTION_AUTHOR:
    return imgstore_builder_set_text(b, IMGSTORE_IMAGE_AUTHOR, value, error);
  case OPTION_COMMENT:
    return imgstore_builder_set_text(b, IMGSTORE_IMAGE_COMMENT, value, error);
  default:
    return IMGSTORE_OK;
  }
}

int32_t build_configure(cli *c, imgstore_builder *builder, imgstore_error **error) {
  const arguments *a = &c->args;
  int32_t code = IMGSTORE_OK;
  for (int pass = 0; pass < 2; pass++) /* the entrypoint first: it drops a cmd of the base, not one that is given */
    for (size_t i = 0; code == IMGSTORE_OK && i < a->option_count; i++)
      if ((a->options[i].id == OPTION_ENTRYPOINT) == (pass == 0))
        code = set_option(c, builder, a->options[i].id, a->options[i].value, error);
  return code;
}
