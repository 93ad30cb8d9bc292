/*
 * json/keys.c (L1) - finds duplicate keys. Knows how a checked JSON string is unescaped, and nothing of the grammar.
 *
 * Keys are sorted when their object closes, by hash and then by content: a document that is made of colliding hashes
 * costs n log n comparisons like any other, and no random seed is needed.
 */
#include "json/keys.h"

#include <string.h>

void ims_json_keys_init(ims_json_keys *keys, const ims_alloc *alloc, const unsigned char *text) {
  keys->alloc = alloc;
  keys->text = text;
  keys->items = keys->few;
  keys->count = 0;
  keys->capacity = IMS_JSON_KEYS_INLINE;
}

void ims_json_keys_free(ims_json_keys *keys) {
  if (keys->items != keys->few)
    ims_free(keys->alloc, keys->items);
  keys->items = keys->few;
}

static uint32_t hex_value(unsigned char c) {
  if (c <= '9')
    return (uint32_t)(c - '0');
  return (uint32_t)((c | 0x20) - 'a' + 10);
}

static uint32_t hex4(const unsigned char *s) {
  return hex_value(s[0]) << 12 | hex_value(s[1]) << 8 | hex_value(s[2]) << 4 | hex_value(s[3]);
}

/* The character of an escape sequence behind its backslash; *s moves on. */
static uint32_t unescape(const unsigned char **s) {
  const unsigned char *p = *s;
  *s = p + 1;
  switch (*p) {
  case 'b':
    return '\b';
  case 'f':
    return '\f';
  case 'n':
    return '\n';
  case 'r':
    return '\r';
  case 't':
    return '\t';
  case 'u':
    break;
  default:
    return *p;
  }
  uint32_t c = hex4(p + 1);
  *s = p + 5;
  if (c < 0xd800 || c > 0xdbff)
    return c;
  uint32_t low = hex4(p + 7);
  *s = p + 11;
  return 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00));
}

static uint32_t utf8_next(const unsigned char **s) {
  const unsigned char *p = *s;
  if (p[0] < 0x80) {
    *s = p + 1;
    return p[0];
  }
  if (p[0] < 0xe0) {
    *s = p + 2;
    return (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
  }
  if (p[0] < 0xf0) {
    *s = p + 3;
    return (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
  }
  *s = p + 4;
  return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 | (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f);
}

/*
 * Readers that ignore case fold two characters beyond ASCII onto ASCII letters, the long s and the Kelvin sign: for
 * them "layer\u017f" is "layers".
 */
static uint32_t fold(uint32_t c) {
  if (c >= 'A' && c <= 'Z')
    return c - 'A' + 'a';
  if (c == 0x017f)
    return 's';
  return c == 0x212a ? 'k' : c;
}

static uint32_t next_char(const unsigned char **s, bool exact) {
  uint32_t c;
  if (**s != '\\') {
    c = utf8_next(s);
  } else {
    ++*s;
    c = unescape(s);
  }
  return exact ? c : fold(c);
}

static uint64_t hash_key(const unsigned char *s, size_t size) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const unsigned char *end = s + size; s < end;) {
    hash ^= next_char(&s, false);
    hash *= 0x100000001b3u;
  }
  return hash;
}

/* The hash is that of the folded key in both orders: what is equal has the same. */
static int compare(const ims_json_keys *keys, bool exact, const ims_json_key_place *a, const ims_json_key_place *b) {
  if (a->hash != b->hash)
    return a->hash < b->hash ? -1 : 1;
  const unsigned char *s = keys->text + a->at, *s_end = s + a->size;
  const unsigned char *t = keys->text + b->at, *t_end = t + b->size;
  while (s < s_end && t < t_end) {
    uint32_t c = next_char(&s, exact), d = next_char(&t, exact);
    if (c != d)
      return c < d ? -1 : 1;
  }
  return (s < s_end) - (t < t_end);
}

static bool grow(ims_json_keys *keys) {
  size_t capacity = keys->capacity * 2;
  bool inside = keys->items == keys->few;
  ims_json_key_place *items = ims_realloc_array(keys->alloc, inside ? NULL : keys->items, capacity, sizeof *items);
  if (!items)
    return false;
  if (inside)
    memcpy(items, keys->few, sizeof keys->few);
  keys->items = items;
  keys->capacity = capacity;
  return true;
}

bool ims_json_keys_push(ims_json_keys *keys, size_t at, size_t size) {
  if (keys->count == keys->capacity && !grow(keys))
    return false;
  ims_json_key_place *key = &keys->items[keys->count++];
  key->hash = hash_key(keys->text + at, size);
  key->at = at;
  key->size = size;
  return true;
}

static void sift_down(const ims_json_keys *keys, bool exact, ims_json_key_place *heap, size_t at, size_t count) {
  ims_json_key_place moving = heap[at];
  for (size_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && compare(keys, exact, &heap[child], &heap[child + 1]) < 0)
      child++;
    if (compare(keys, exact, &moving, &heap[child]) >= 0)
      break;
    heap[at] = heap[child];
  }
  heap[at] = moving;
}

/* Heap sort: in place, without recursion, and no input makes it slow. */
static void sort(const ims_json_keys *keys, bool exact, ims_json_key_place *items, size_t count) {
  for (size_t i = count / 2; i-- > 0;)
    sift_down(keys, exact, items, i, count);
  for (size_t i = count; i-- > 1;) {
    ims_json_key_place top = items[0];
    items[0] = items[i];
    items[i] = top;
    sift_down(keys, exact, items, 0, i);
  }
}

const ims_json_key_place *ims_json_keys_pop(ims_json_keys *keys, size_t first, bool exact) {
  ims_json_key_place *items = keys->items + first;
  size_t count = keys->count - first;
  keys->count = first;
  sort(keys, exact, items, count);
  for (size_t i = 1; i < count; i++)
    if (compare(keys, exact, &items[i - 1], &items[i]) == 0)
      return &items[i];
  return NULL;
}
