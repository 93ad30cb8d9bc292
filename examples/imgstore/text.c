/* text.c - growing text and escaping. Knows UTF-8; knows nothing of images or of the terminal. */
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void text_free(text *t) {
  free(t->data);
  *t = (text){0};
}

void text_clear(text *t) {
  t->size = 0;
  if (t->data)
    t->data[0] = '\0';
}

const char *text_get(const text *t) {
  return t->data ? t->data : "";
}

static bool make_room(text *t, size_t more) {
  if (t->failed || more > SIZE_MAX / 4 - t->size) {
    t->failed = true;
    return false;
  }
  if (t->size + more < t->room)
    return true;
  size_t room = (t->size + more + 1) * 2;
  char *data = realloc(t->data, room);
  if (!data) {
    t->failed = true;
    return false;
  }
  t->data = data;
  t->room = room;
  return true;
}

void text_add_bytes(text *t, const void *bytes, size_t size) {
  if (!make_room(t, size))
    return;
  if (size)
    memcpy(t->data + t->size, bytes, size);
  t->size += size;
  t->data[t->size] = '\0';
}

void text_add(text *t, const char *s) {
  text_add_bytes(t, s, strlen(s));
}

void text_addv(text *t, const char *format, va_list list) {
  va_list again;
  va_copy(again, list);
  int size = vsnprintf(NULL, 0, format, list);
  if (size < 0 || !make_room(t, (size_t)size + 1)) {
    t->failed = true;
  } else {
    vsnprintf(t->data + t->size, (size_t)size + 1, format, again);
    t->size += (size_t)size;
  }
  va_end(again);
}

void text_addf(text *t, const char *format, ...) {
  va_list list;
  va_start(list, format);
  text_addv(t, format, list);
  va_end(list);
}

const char *text_split(text *key, const char *given, char end) {
  const char *at = strchr(given, end);
  text_clear(key);
  text_add_bytes(key, given, at ? (size_t)(at - given) : strlen(given));
  return at ? at + 1 : NULL;
}

/* --- UTF-8 ---------------------------------------------------------------------------------------------------------
 */

/* Decodes one character of at most size bytes. Returns its length, or 0 when the bytes are not UTF-8. */
static size_t decode(const unsigned char *s, size_t size, uint32_t *character) {
  static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (s[0] < 0x80) {
    *character = s[0];
    return 1;
  }
  size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
  if (s[0] < 0xc2 || s[0] > 0xf4 || length > size)
    return 0;
  uint32_t c = s[0] & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; i++) {
    if ((s[i] & 0xc0) != 0x80)
      return 0;
    c = c << 6 | (s[i] & 0x3fu);
  }
  if (c < smallest[length] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
    return 0;
  *character = c;
  return length;
}

typedef struct range {
  uint32_t first, last;
} range;

static bool in_ranges(uint32_t c, const range *ranges, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (c >= ranges[i].first && c <= ranges[i].last)
      return true;
  return false;
}

/* Controls, line separators, characters that reorder or hide text. */
static bool is_unsafe(uint32_t c) {
  static const range unsafe[] = {{0x00, 0x1f},     {0x7f, 0x9f},       {0xad, 0xad},       {0x61c, 0x61c},
                                 {0x180e, 0x180e}, {0x200b, 0x200b},   {0x200e, 0x200f},   {0x2028, 0x202e},
                                 {0x2060, 0x206f}, {0xfeff, 0xfeff},   {0xfff0, 0xfffb},   {0xfffe, 0xffff},
                                 {0xe000, 0xf8ff}, {0x1d173, 0x1d17a}, {0xe0000, 0x10ffff}};
  if (c >= 0x20 && c < 0x7f)
    return false;
  return in_ranges(c, unsafe, sizeof unsafe / sizeof *unsafe);
}

static size_t columns_of(uint32_t c) {
  static const range zero[] = {{0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},  {0x64b, 0x65f},
                               {0x200c, 0x200d}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};
  static const range two[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},  {0xac00, 0xd7a3},
                              {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},  {0xffe0, 0xffe6},
                              {0x1f300, 0x1f64f}, {0x1f680, 0x1f9ff}, {0x20000, 0x3fffd}};
  if (c < 0x300)
    return 1;
  if (in_ranges(c, zero, sizeof zero / sizeof *zero))
    return 0;
  return in_ranges(c, two, sizeof two / sizeof *two) ? 2 : 1;
}

size_t text_width(const char *s) {
  size_t width = 0, left = strlen(s);
  while (left) {
    uint32_t c = 0;
    size_t n = decode((const unsigned char *)s, left, &c);
    width += n ? columns_of(c) : 1;
    s += n ? n : 1;
    left -= n ? n : 1;
  }
  return width;
}

void text_ellipsis(text *t, size_t columns) {
  if (text_width(text_get(t)) <= columns || columns == 0)
    return;
  size_t at = 0, width = 0;
  while (at < t->size) {
    uint32_t c = 0;
    size_t n = decode((const unsigned char *)t->data + at, t->size - at, &c);
    size_t w = n ? columns_of(c) : 1;
    if (width + w > columns - 1)
      break;
    width += w;
    at += n ? n : 1;
  }
  t->size = at;
  text_add(t, "\xe2\x80\xa6");
}

/* --- escaping ------------------------------------------------------------------------------------------------------
 */

static void add_escaped(text *t, uint32_t c) {
  if (c == '\t')
    text_add(t, " ");
  else if (c == '\n')
    text_add(t, "\\n");
  else if (c == '\r')
    text_add(t, "\\r");
  else if (c < 0x80)
    text_addf(t, "\\x%02x", (unsigned)c);
  else
    text_addf(t, c > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)c);
}

void text_add_safe(text *t, const char *s) {
  size_t left = strlen(s);
  while (left) {
    uint32_t c = 0;
    size_t n = decode((const unsigned char *)s, left, &c);
    if (n == 0)
      text_addf(t, "\\x%02x", (unsigned char)*s);
    else if (is_unsafe(c))
      add_escaped(t, c);
    else
      text_add_bytes(t, s, n);
    s += n ? n : 1;
    left -= n ? n : 1;
  }
}

static void add_json_escape(text *t, uint32_t c) {
  if (c > 0xffff)
    text_addf(t, "\\u%04x\\u%04x", (unsigned)(0xd800 + ((c - 0x10000) >> 10)),
              (unsigned)(0xdc00 + ((c - 0x10000) & 0x3ff)));
  else
    text_addf(t, "\\u%04x", (unsigned)c);
}

static void add_json_character(text *t, uint32_t c, const char *s, size_t n) {
  if (c == '"' || c == '\\')
    text_addf(t, "\\%c", (char)c);
  else if (c == '\n')
    text_add(t, "\\n");
  else if (c == '\t')
    text_add(t, "\\t");
  else if (is_unsafe(c))
    add_json_escape(t, c);
  else
    text_add_bytes(t, s, n);
}

void text_add_json(text *t, const char *s) {
  size_t left = strlen(s);
  text_add(t, "\"");
  while (left) {
    uint32_t c = 0;
    size_t n = decode((const unsigned char *)s, left, &c);
    if (n == 0)
      text_add(t, "\\ufffd");
    else
      add_json_character(t, c, s, n);
    s += n ? n : 1;
    left -= n ? n : 1;
  }
  text_add(t, "\"");
}

void text_add_json_source(text *t, const char *source, size_t size) {
  while (size) {
    uint32_t c = 0;
    size_t n = decode((const unsigned char *)source, size, &c);
    if (n == 0)
      text_add(t, "\\ufffd");
    else if (is_unsafe(c) && c != '\n' && c != '\t')
      add_json_escape(t, c);
    else
      text_add_bytes(t, source, n);
    source += n ? n : 1;
    size -= n ? n : 1;
  }
}

/* --- printing ------------------------------------------------------------------------------------------------------
 */

void put_line(FILE *file, const char *format, ...) {
  text line = {0}, safe = {0};
  va_list list;
  va_start(list, format);
  text_addv(&line, format, list);
  va_end(list);
  text_add_safe(&safe, text_get(&line));
  text_add(&safe, "\n");
  fputs(line.failed || safe.failed ? "(out of memory)\n" : text_get(&safe), file);
  text_free(&line);
  text_free(&safe);
}

bool put_document(const void *bytes, size_t size) {
  if (!isatty(STDOUT_FILENO)) {
    fwrite(bytes, 1, size, stdout);
    return true;
  }
  text t = {0};
  text_add_json_source(&t, bytes, size);
  text_add(&t, "\n");
  bool ok = !t.failed;
  if (ok)
    fputs(text_get(&t), stdout);
  text_free(&t);
  return ok;
}
