/*
 * json/writer.c (L1) - JSON out: escaped strings, values as they were read, indentation. Never used for bytes that a
 * digest covers.
 */
#include "json/json.h"

#include <string.h>

#include "base/text.h"

/* What stands for a byte that may not stand for itself; NULL for the others. */
static const char *short_escape(unsigned char c) {
  switch (c) {
  case '"':
    return "\\\"";
  case '\\':
    return "\\\\";
  case '\b':
    return "\\b";
  case '\f':
    return "\\f";
  case '\n':
    return "\\n";
  case '\r':
    return "\\r";
  case '\t':
    return "\\t";
  default:
    return NULL;
  }
}

static size_t plain_run(const unsigned char *s, size_t size) {
  size_t n = 0;
  while (n < size && s[n] >= 0x20 && s[n] != '"' && s[n] != '\\') {
    size_t length = ims_utf8_length(s + n, size - n);
    if (!length)
      break;
    n += length;
  }
  return n;
}

void ims_json_put_string(ims_buf *out, const char *text, size_t size) {
  const unsigned char *s = (const unsigned char *)text;
  ims_buf_putc(out, '"');
  for (size_t i = 0; i < size;) {
    size_t run = plain_run(s + i, size - i);
    ims_buf_append(out, text + i, run);
    i += run;
    if (i == size)
      break;
    const char *escape = short_escape(s[i]);
    if (escape)
      ims_buf_puts(out, escape);
    else if (s[i] < 0x20)
      ims_buf_printf(out, "\\u%04x", s[i]);
    else
      ims_buf_puts(out, "\xef\xbf\xbd");
    i++;
  }
  ims_buf_putc(out, '"');
}

/* A scalar, or a container that has nothing in it. */
static void put_leaf(ims_buf *out, const ims_json_value *v) {
  bool flag = false;
  switch (ims_json_type(v)) {
  case IMS_JSON_BOOL:
    ims_json_bool(v, &flag);
    ims_buf_puts(out, flag ? "true" : "false");
    break;
  case IMS_JSON_NUMBER:
    ims_buf_puts(out, ims_json_number(v));
    break;
  case IMS_JSON_STRING:
    ims_json_put_string(out, ims_json_string(v), strlen(ims_json_string(v)));
    break;
  case IMS_JSON_ARRAY:
    ims_buf_puts(out, "[]");
    break;
  case IMS_JSON_OBJECT:
    ims_buf_puts(out, "{}");
    break;
  default:
    ims_buf_puts(out, "null");
  }
}

static bool is_object(const ims_json_value *v) {
  return ims_json_type(v) == IMS_JSON_OBJECT;
}

void ims_json_put_value(ims_buf *out, const ims_json_value *v) {
  const ims_json_value *open[IMS_JSON_MAX_DEPTH];
  size_t depth = 0;
  for (;;) {
    if (depth && is_object(open[depth - 1])) {
      ims_json_put_string(out, ims_json_key(v), strlen(ims_json_key(v)));
      ims_buf_putc(out, ':');
    }
    const ims_json_value *child = ims_json_first(v);
    if (child) {
      ims_buf_putc(out, is_object(v) ? '{' : '[');
      open[depth++] = v;
      v = child;
      continue;
    }
    put_leaf(out, v);
    while (depth && !ims_json_next(v)) {
      v = open[--depth];
      ims_buf_putc(out, is_object(v) ? '}' : ']');
    }
    if (!depth)
      return;
    ims_buf_putc(out, ',');
    v = ims_json_next(v);
  }
}

static void put_line(ims_buf *out, unsigned level) {
  ims_buf_putc(out, '\n');
  for (unsigned i = 0; i < level; i++)
    ims_buf_puts(out, "    ");
}

/* Bytes of the string that starts with a quote at s, quotes included. */
static size_t string_size(const char *s, size_t size) {
  size_t n = 1;
  while (n < size && s[n] != '"')
    n += s[n] == '\\' ? 2 : 1;
  return n < size ? n + 1 : size;
}

void ims_json_pretty(ims_buf *out, const char *compact, size_t size, unsigned indent_level) {
  for (size_t i = 0; i < size; i++) {
    char c = compact[i];
    if (c == '"') {
      size_t length = string_size(compact + i, size - i);
      ims_buf_append(out, compact + i, length);
      i += length - 1;
      continue;
    }
    if (c == '}' || c == ']')
      put_line(out, --indent_level);
    ims_buf_putc(out, c);
    if (c == ':') {
      ims_buf_putc(out, ' ');
    } else if (c == ',') {
      put_line(out, indent_level);
    } else if (c == '{' || c == '[') {
      if (i + 1 < size && (compact[i + 1] == '}' || compact[i + 1] == ']'))
        ims_buf_putc(out, compact[++i]);
      else
        put_line(out, ++indent_level);
    }
  }
}
