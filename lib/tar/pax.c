/*
 * tar/pax.c (L1) - PAX records: "LENGTH KEY=VALUE\n", LENGTH counting all of it.
 */
#include "tar/pax.h"

#include <string.h>

#include "base/text.h"

enum { NANOSECOND_DIGITS = 9 };

typedef struct target {
  ims_pax *pax;
  ims_tar_xattrs *xattrs; /* NULL: the header is global */
  ims_tar_map *map;
} target;

typedef struct record {
  char *key;
  char *value; /* NUL-terminated in place of the newline */
  size_t key_size, value_size;
} record;

/* What a key is: one of IMS_PAX_*, or text that must have no NUL and is not used. */
enum { KEY_UNUSED = 0, KEY_UNUSED_TEXT = 1 << 20, KEY_SPARSE_OFFSET = 1 << 21, KEY_SPARSE_NUMBYTES = 1 << 22 };

static const struct {
  const char *name;
  unsigned key;
} known_keys[] = {
    {"path", IMS_PAX_PATH},
    {"linkpath", IMS_PAX_LINKPATH},
    {"size", IMS_PAX_SIZE},
    {"uid", IMS_PAX_UID},
    {"gid", IMS_PAX_GID},
    {"mtime", IMS_PAX_MTIME},
    {"uname", KEY_UNUSED_TEXT},
    {"gname", KEY_UNUSED_TEXT},
    {"GNU.sparse.major", IMS_PAX_SPARSE_MAJOR},
    {"GNU.sparse.minor", IMS_PAX_SPARSE_MINOR},
    {"GNU.sparse.name", IMS_PAX_SPARSE_NAME},
    {"GNU.sparse.size", IMS_PAX_SPARSE_SIZE},
    {"GNU.sparse.realsize", IMS_PAX_SPARSE_SIZE},
    {"GNU.sparse.numblocks", IMS_PAX_SPARSE_BLOCKS},
    {"GNU.sparse.map", IMS_PAX_SPARSE_MAP},
    {"GNU.sparse.offset", KEY_SPARSE_OFFSET},
    {"GNU.sparse.numbytes", KEY_SPARSE_NUMBYTES},
};

static unsigned find_key(const record *r) {
  for (size_t i = 0; i < sizeof known_keys / sizeof known_keys[0]; i++)
    if (strlen(known_keys[i].name) == r->key_size && memcmp(known_keys[i].name, r->key, r->key_size) == 0)
      return known_keys[i].key;
  return KEY_UNUSED;
}

/* Takes one record off the front of text; the number of its bytes, or 0 when it is malformed. */
static size_t split_record(record *r, char *text, size_t size) {
  uint64_t length;
  char *space = memchr(text, ' ', size);
  if (!space || !ims_parse_u64(text, (size_t)(space - text), size, &length) || length < 5)
    return 0;
  char *end = text + length - 1; /* the newline */
  if (space + 1 >= end || *end != '\n')
    return 0;
  char *equals = memchr(space + 1, '=', (size_t)(end - space - 1));
  if (!equals || equals == space + 1)
    return 0;
  r->key = space + 1;
  r->key_size = (size_t)(equals - r->key);
  r->value = equals + 1;
  r->value_size = (size_t)(end - r->value);
  *equals = '\0';
  *end = '\0';
  return memchr(r->key, 0, r->key_size) ? 0 : (size_t)length;
}

static int32_t malformed(const record *r, ims_error *err) {
  return ims_fail(err, IMGSTORE_EFORMAT, "malformed PAX record %.100s", r->key);
}

/* "[-]SECONDS[.FRACTION]": the fraction is cut to nanoseconds and counts away from zero, as the sign says. */
static bool parse_time(const record *r, int64_t *seconds, uint32_t *nanoseconds) {
  const char *text = r->value, *end = text + r->value_size;
  const bool negative = text < end && *text == '-';
  if (negative)
    text++;
  const char *dot = memchr(text, '.', (size_t)(end - text));
  uint64_t whole;
  uint32_t fraction = 0;
  if (!ims_parse_u64(text, (size_t)((dot ? dot : end) - text), INT64_MAX, &whole))
    return false;
  int digits = 0;
  for (text = dot ? dot + 1 : end; text < end; text++) {
    if (!ims_is_digit(*text))
      return false;
    if (digits < NANOSECOND_DIGITS) {
      fraction = fraction * 10 + (uint32_t)(*text - '0');
      digits++;
    }
  }
  for (; digits < NANOSECOND_DIGITS; digits++)
    fraction *= 10;
  *seconds = negative ? -(int64_t)whole - (fraction ? 1 : 0) : (int64_t)whole;
  *nanoseconds = negative && fraction ? 1000000000u - fraction : fraction;
  return true;
}

static int32_t take_text(const char **out, const record *r, ims_error *err) {
  if (memchr(r->value, 0, r->value_size))
    return ims_fail(err, IMGSTORE_EFORMAT, "NUL inside the PAX record %.100s", r->key);
  if (out)
    *out = r->value;
  return IMGSTORE_OK;
}

static int32_t take_number(uint64_t *out, const record *r, ims_error *err) {
  if (r->value_size > 1 && r->value[0] == '-' && ims_is_digit(r->value[1]))
    return ims_fail(err, IMGSTORE_EFORMAT, "negative %.100s in a PAX record", r->key);
  return ims_parse_u64(r->value, r->value_size, INT64_MAX, out) ? IMGSTORE_OK : malformed(r, err);
}

static int32_t take_pair(target *to, unsigned key, const record *r, ims_error *err) {
  uint64_t value;
  int32_t rc = take_number(&value, r, err);
  if (rc == IMGSTORE_OK)
    rc = ims_tar_map_add_half(to->map, key == KEY_SPARSE_NUMBYTES, value, err);
  return rc;
}

static int32_t take_sparse_size(ims_pax *pax, const record *r, ims_error *err) {
  uint64_t value = 0;
  int32_t rc = take_number(&value, r, err);
  if (rc == IMGSTORE_OK && (pax->have & IMS_PAX_SPARSE_SIZE) && pax->sparse_size != value)
    rc = ims_fail(err, IMGSTORE_EFORMAT, "two sizes for one sparse file");
  pax->sparse_size = value;
  return rc;
}

static int32_t take_value(target *to, unsigned key, const record *r, ims_error *err) {
  ims_pax *pax = to->pax;
  switch (key) {
  case IMS_PAX_PATH:
    return take_text(&pax->path, r, err);
  case IMS_PAX_LINKPATH:
    return take_text(&pax->linkpath, r, err);
  case KEY_UNUSED_TEXT:
    return take_text(NULL, r, err);
  case IMS_PAX_SIZE:
    return take_number(&pax->size, r, err);
  case IMS_PAX_UID:
    return take_number(&pax->uid, r, err);
  case IMS_PAX_GID:
    return take_number(&pax->gid, r, err);
  case IMS_PAX_MTIME:
    return parse_time(r, &pax->mtime, &pax->mtime_ns) ? IMGSTORE_OK : malformed(r, err);
  case IMS_PAX_SPARSE_MAJOR:
    return take_number(&pax->sparse_major, r, err);
  case IMS_PAX_SPARSE_MINOR:
    return take_number(&pax->sparse_minor, r, err);
  case IMS_PAX_SPARSE_NAME:
    return take_text(&pax->sparse_name, r, err);
  case IMS_PAX_SPARSE_SIZE:
    return take_sparse_size(pax, r, err);
  case IMS_PAX_SPARSE_BLOCKS:
    return take_number(&pax->sparse_blocks, r, err);
  case IMS_PAX_SPARSE_MAP:
    if (pax->seen & (IMS_PAX_SPARSE_MAP | IMS_PAX_SPARSE_PAIRS))
      return ims_fail(err, IMGSTORE_EFORMAT, "two sparse maps for one file");
    return ims_tar_map_add_text(to->map, r->value, r->value_size, err);
  default:
    if (pax->seen & IMS_PAX_SPARSE_MAP)
      return ims_fail(err, IMGSTORE_EFORMAT, "two sparse maps for one file");
    return take_pair(to, key, r, err);
  }
}

static int32_t take_xattr(target *to, record *r, ims_error *err) {
  static const char plain[] = "SCHILY.xattr.", encoded[] = "LIBARCHIVE.xattr.";
  const bool is_plain = ims_starts_with(r->key, plain);
  if (!is_plain && !ims_starts_with(r->key, encoded))
    return IMGSTORE_OK;
  if (!to->xattrs)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "%.100s in a global PAX header", r->key);
  char *name = r->key + (is_plain ? sizeof plain : sizeof encoded) - 1;
  if (is_plain)
    return ims_tar_xattrs_add(to->xattrs, name, (uint8_t *)r->value, r->value_size, err);
  return ims_tar_xattrs_add_encoded(to->xattrs, name, (uint8_t *)r->value, r->value_size, err);
}

static int32_t take_record(target *to, record *r, ims_error *err) {
  const unsigned key = find_key(r);
  const unsigned pair = key & (KEY_SPARSE_OFFSET | KEY_SPARSE_NUMBYTES) ? IMS_PAX_SPARSE_PAIRS : 0;
  const unsigned bit = pair ? pair : key & IMS_PAX_ALL;
  if (key == KEY_UNUSED)
    return take_xattr(to, r, err);
  if (!to->xattrs && (bit & ~(unsigned)IMS_PAX_MAY_BE_GLOBAL))
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "%.100s in a global PAX header", r->key);
  if (!r->value_size && !(bit & IMS_PAX_SPARSE)) { /* POSIX: no value takes an earlier one away */
    to->pax->seen |= bit;
    to->pax->have &= ~bit;
    return IMGSTORE_OK;
  }
  int32_t rc = take_value(to, key, r, err);
  to->pax->seen |= bit;
  to->pax->have |= bit;
  return rc;
}

static int32_t parse(target *to, char *text, size_t size, ims_error *err) {
  for (size_t at = 0; at < size;) {
    record r;
    size_t length = split_record(&r, text + at, size - at);
    if (!length)
      return ims_fail(err, IMGSTORE_EFORMAT, "malformed PAX record at byte %zu", at);
    int32_t rc = take_record(to, &r, err);
    if (rc != IMGSTORE_OK)
      return rc;
    at += length;
  }
  return IMGSTORE_OK;
}

int32_t ims_pax_parse(ims_pax *pax, ims_tar_xattrs *xattrs, ims_tar_map *map, char *text, size_t size, ims_error *err) {
  target to = {pax, xattrs, map};
  memset(pax, 0, sizeof *pax);
  return parse(&to, text, size, err);
}

int32_t ims_pax_parse_global(ims_pax *global, char *text, size_t size, ims_error *err) {
  target to = {global, NULL, NULL};
  return parse(&to, text, size, err);
}
