/* json_out.c - JSON output. Input of json_layout is well-formed: it comes from the library. */
#include "json_out.h"

#include <inttypes.h>
#include <string.h>

void json_begin(text *t) {
  text_clear(t);
  text_add(t, "{");
}

static void key_of(text *t, const char *key) {
  if (t->size > 1)
    text_add(t, ",");
  text_add_json(t, key);
  text_add(t, ":");
}

void json_string(text *t, const char *key, const char *value) {
  if (!value)
    return;
  key_of(t, key);
  text_add_json(t, value);
}

void json_number(text *t, const char *key, uint64_t value) {
  key_of(t, key);
  text_addf(t, "%" PRIu64, value);
}

void json_end(text *t, FILE *file) {
  text_add(t, "}\n");
  fputs(text_get(t), file);
  text_clear(t);
}

static void new_line(text *t, size_t level) {
  text_add(t, "\n");
  for (size_t i = 0; i < level; i++)
    text_add(t, "    ");
}

/* The length of the string that starts at json[0], with both quotes. */
static size_t string_length(const char *json, size_t size) {
  size_t i = 1;
  while (i < size && json[i] != '"')
    i += json[i] == '\\' ? 2 : 1;
  return i < size ? i + 1 : size;
}

static size_t skip_blanks(const char *json, size_t size, size_t i) {
  while (i < size && strchr(" \t\r\n", json[i]) && json[i])
    i++;
  return i;
}

void json_layout(text *t, const char *json, size_t size, size_t level) {
  for (size_t i = skip_blanks(json, size, 0); i < size; i = skip_blanks(json, size, i)) {
    char c = json[i];
    if (c == '"') {
      size_t length = string_length(json + i, size - i);
      text_add_json_source(t, json + i, length);
      i += length;
      continue;
    }
    size_t next = skip_blanks(json, size, i + 1);
    if ((c == '{' || c == '[') && next < size && (json[next] == '}' || json[next] == ']')) {
      text_add_bytes(t, &c, 1);
      text_add_bytes(t, json + next, 1);
      i = next + 1;
      continue;
    }
    if (c == '}' || c == ']')
      new_line(t, level -= level > 0);
    text_add_bytes(t, &c, 1);
    if (c == '{' || c == '[')
      new_line(t, ++level);
    else if (c == ',')
      new_line(t, level);
    else if (c == ':')
      text_add(t, " ");
    i++;
  }
}
