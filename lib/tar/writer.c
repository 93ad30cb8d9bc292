/*
 * tar/writer.c (L1) - makes header blocks (POSIX ustar) and PAX records (POSIX pax, "pax Interchange Format"; sparse
 * files in the GNU 1.0 form). Must not know where an entry comes from.
 *
 * Numbers that a field cannot hold in octal are written twice: as a PAX record, and in the field in base-256, so that
 * a reader which looks at the header only sees the same size as all others.
 */
#include "tar/writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/text.h"
#include "tar/entry.h"

enum { NAME_SIZE = 100, PREFIX_SIZE = 155, NUMBER_TEXT = 48, LARGEST_MINOR = (1 << 20) - 1, LARGEST_MAJOR = 4095 };

static const uint64_t LARGEST_NUMBER = INT64_MAX / 2; /* the sign is the second bit of a field of eight bytes */
static const uint8_t zeros[2 * IMS_TAR_BLOCK_SIZE];

size_t ims_tar_padding(uint64_t size) {
  return (size_t)(-size % IMS_TAR_BLOCK_SIZE);
}

int32_t ims_tar_put_end(ims_buf *out) {
  return ims_buf_append(out, zeros, sizeof zeros);
}

/* --- header blocks --------------------------------------------------------------------------------------------------
 */

/** A draft of an entry: which of its fields a header block can hold. */
typedef struct draft {
  const ims_tar_entry *entry;
  const char *slash; /**< "/" behind a directory's path */
  size_t path_size;  /**< with the slash */
  size_t split;      /**< where the prefix ends, 0: the path fits without one */
  bool long_path, long_link;
  ims_buf records;
  ims_buf map;
} draft;

static uint8_t *field_of(uint8_t *block, int which) {
  return block + ims_tar_layout[which].offset;
}

/** Largest value of an octal field, which ends with a NUL. */
static uint64_t octal_limit(int which) {
  return ((uint64_t)1 << (3 * (ims_tar_layout[which].size - 1))) - 1;
}

static bool fits(int which, int64_t value) {
  return value >= 0 && (uint64_t)value <= octal_limit(which);
}

static void put_octal(uint8_t *field, size_t size, uint64_t value) {
  field[--size] = '\0';
  while (size) {
    field[--size] = (uint8_t)('0' + (value & 7));
    value >>= 3;
  }
}

static void put_number(uint8_t *block, int which, int64_t value) {
  uint8_t *field = field_of(block, which);
  size_t size = ims_tar_layout[which].size;
  if (fits(which, value)) {
    put_octal(field, size, (uint64_t)value);
    return;
  }
  while (size) {
    field[--size] = (uint8_t)(value & 0xff);
    value = value < 0 ? -((-(value + 1)) >> 8) - 1 : value >> 8;
  }
  field[0] |= 0x80;
}

static void put_text(uint8_t *block, int which, const char *text, size_t size) {
  const size_t room = ims_tar_layout[which].size;
  memcpy(field_of(block, which), text, size < room ? size : room);
}

static void seal(uint8_t *block) {
  const ims_tar_field field = ims_tar_layout[IMS_TAR_FIELD_CHECKSUM];
  uint32_t sum = 0;
  put_text(block, IMS_TAR_FIELD_MAGIC, "ustar", 6);
  put_text(block, IMS_TAR_FIELD_VERSION, "00", 2);
  memset(block + field.offset, ' ', field.size);
  for (size_t i = 0; i < IMS_TAR_BLOCK_SIZE; i++)
    sum += block[i];
  put_octal(block + field.offset, field.size - 1, sum); /* six digits, NUL, and the last space stays */
}

static char type_of(const ims_tar_entry *e) {
  static const char flag[] = {
      [IMS_TAR_REGULAR] = '0', [IMS_TAR_HARDLINK] = '1',  [IMS_TAR_SYMLINK] = '2', [IMS_TAR_CHAR] = '3',
      [IMS_TAR_BLOCK] = '4',   [IMS_TAR_DIRECTORY] = '5', [IMS_TAR_FIFO] = '6'};
  return flag[e->type];
}

static bool is_device(const ims_tar_entry *e) {
  return e->type == IMS_TAR_CHAR || e->type == IMS_TAR_BLOCK;
}

/** The last component of a path, without the slash behind it. */
static const char *base_name(const char *path, size_t *size) {
  size_t end = strlen(path);
  while (end > 1 && path[end - 1] == '/')
    end--;
  size_t start = end;
  while (start && path[start - 1] != '/')
    start--;
  *size = end - start;
  return path + start;
}

/** A name for what stands beside the entry: "FOLDER/NAME", cut to what the field holds. */
static void put_beside(uint8_t *block, const char *folder, const char *path) {
  char text[NAME_SIZE];
  size_t size, at = strlen(folder);
  const char *name = base_name(path, &size);
  memcpy(text, folder, at);
  size = size < sizeof text - at ? size : sizeof text - at;
  memcpy(text + at, name, size);
  put_text(block, IMS_TAR_FIELD_NAME, text, at + size);
}

static void put_path(uint8_t *block, const draft *d) {
  const char *path = d->entry->path;
  const size_t length = strlen(path);
  if (d->entry->segments) {
    put_beside(block, "GNUSparseFile.0/", path);
    return;
  }
  const size_t start = d->split ? d->split + 1 : 0, room = NAME_SIZE;
  put_text(block, IMS_TAR_FIELD_PREFIX, path, d->split);
  put_text(block, IMS_TAR_FIELD_NAME, path + start, length - start);
  if (*d->slash && length - start < room)
    field_of(block, IMS_TAR_FIELD_NAME)[length - start] = '/';
}

static int32_t put_header(ims_buf *out, const draft *d) {
  const ims_tar_entry *e = d->entry;
  uint8_t block[IMS_TAR_BLOCK_SIZE] = {0};
  put_path(block, d);
  put_number(block, IMS_TAR_FIELD_MODE, e->mode);
  put_number(block, IMS_TAR_FIELD_UID, (int64_t)e->uid);
  put_number(block, IMS_TAR_FIELD_GID, (int64_t)e->gid);
  put_number(block, IMS_TAR_FIELD_SIZE, (int64_t)(e->data_size + d->map.size));
  put_number(block, IMS_TAR_FIELD_MTIME, e->mtime);
  put_number(block, IMS_TAR_FIELD_MAJOR, is_device(e) ? e->major : 0);
  put_number(block, IMS_TAR_FIELD_MINOR, is_device(e) ? e->minor : 0);
  block[ims_tar_layout[IMS_TAR_FIELD_TYPEFLAG].offset] = (uint8_t)type_of(e);
  put_text(block, IMS_TAR_FIELD_LINKNAME, e->linkpath, strlen(e->linkpath));
  seal(block);
  return ims_buf_append(out, block, sizeof block);
}

static int32_t put_extension(ims_buf *out, const draft *d) {
  uint8_t block[IMS_TAR_BLOCK_SIZE] = {0};
  put_beside(block, "PaxHeaders.0/", d->entry->path);
  put_number(block, IMS_TAR_FIELD_MODE, 0644);
  put_number(block, IMS_TAR_FIELD_UID, 0);
  put_number(block, IMS_TAR_FIELD_GID, 0);
  put_number(block, IMS_TAR_FIELD_SIZE, (int64_t)d->records.size);
  put_number(block, IMS_TAR_FIELD_MTIME, 0);
  put_number(block, IMS_TAR_FIELD_MAJOR, 0);
  put_number(block, IMS_TAR_FIELD_MINOR, 0);
  block[ims_tar_layout[IMS_TAR_FIELD_TYPEFLAG].offset] = 'x';
  seal(block);
  ims_buf_append(out, block, sizeof block);
  ims_buf_append(out, d->records.data, d->records.size);
  return ims_buf_append(out, zeros, ims_tar_padding(d->records.size));
}

/* --- records --------------------------------------------------------------------------------------------------------
 */

static size_t digits_of(size_t value) {
  size_t digits = 1;
  for (; value >= 10; value /= 10)
    digits++;
  return digits;
}

/** "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
static void put_record(ims_buf *out, const char *key, const char *rest, const void *value, size_t size) {
  const size_t bare = 1 + strlen(key) + strlen(rest) + 1 + size + 1;
  size_t length = bare + digits_of(bare);
  length = bare + digits_of(length);
  ims_buf_printf(out, "%zu %s%s=", length, key, rest);
  ims_buf_append(out, value, size);
  ims_buf_putc(out, '\n');
}

static void put_number_record(ims_buf *out, const char *key, uint64_t value) {
  char text[NUMBER_TEXT];
  int size = snprintf(text, sizeof text, "%" PRIu64, value);
  put_record(out, key, "", text, (size_t)size);
}

/** Seconds and nanoseconds count forwards; the text's fraction counts away from zero. */
static void put_time_record(ims_buf *out, int64_t seconds, uint32_t nanoseconds) {
  char text[NUMBER_TEXT];
  const bool negative = seconds < 0;
  uint64_t whole = negative ? -(uint64_t)seconds : (uint64_t)seconds;
  if (negative && nanoseconds) {
    whole--;
    nanoseconds = 1000000000u - nanoseconds;
  }
  int size = snprintf(text, sizeof text, "%s%" PRIu64 ".%09" PRIu32, negative ? "-" : "", whole, nanoseconds);
  while (text[size - 1] == '0')
    size--;
  if (text[size - 1] == '.')
    size--;
  put_record(out, "mtime", "", text, (size_t)size);
}

/** A name with '=' in it would end there: libarchive's record encodes names. */
static void put_encoded_xattr(ims_buf *out, const ims_tar_xattr *x) {
  ims_buf name, value;
  ims_buf_init(&name, out->alloc, IMS_TAR_EXTENSION_MAX);
  ims_buf_init(&value, out->alloc, IMS_TAR_EXTENSION_MAX * 2);
  for (const char *c = x->name; *c; c++) {
    if (ims_is_alnum(*c) || *c == '.' || *c == '_' || *c == '-')
      ims_buf_putc(&name, *c);
    else
      ims_buf_printf(&name, "%%%02X", (unsigned)(uint8_t)*c);
  }
  if (!ims_buf_reserve(&value, IMS_BASE64_ENCODED(x->size) + 1))
    value.size = ims_base64_encode(x->value, x->size, value.data);
  if (name.failed || value.failed)
    out->failed = out->failed ? out->failed : name.failed ? name.failed : value.failed;
  else
    put_record(out, "LIBARCHIVE.xattr.", name.data, value.data, value.size);
  ims_buf_free(&name);
  ims_buf_free(&value);
}

static void put_xattrs(draft *d) {
  for (size_t i = 0; i < d->entry->xattr_count; i++) {
    const ims_tar_xattr *x = &d->entry->xattrs[i];
    if (x->size > IMS_TAR_EXTENSION_MAX)
      d->records.failed = IMGSTORE_ELIMIT;
    else if (strchr(x->name, '='))
      put_encoded_xattr(&d->records, x);
    else
      put_record(&d->records, "SCHILY.xattr.", x->name, x->value, x->size);
  }
}

static void put_path_record(draft *d, const char *key) {
  ims_buf path;
  ims_buf_init(&path, d->records.alloc, IMS_TAR_EXTENSION_MAX);
  ims_buf_puts(&path, d->entry->path);
  if (ims_buf_puts(&path, d->slash))
    d->records.failed = path.failed;
  else
    put_record(&d->records, key, "", path.data, path.size);
  ims_buf_free(&path);
}

/** The GNU 1.0 form; a segment of no bytes at the end keeps the hole that ends a file. */
static void put_map(draft *d) {
  const ims_tar_entry *e = d->entry;
  const ims_tar_segment *last = e->segment_count ? &e->segments[e->segment_count - 1] : NULL;
  const bool hole_at_end = !last || last->offset + last->size < e->size;
  put_record(&d->records, "GNU.sparse.major", "", "1", 1);
  put_record(&d->records, "GNU.sparse.minor", "", "0", 1);
  put_path_record(d, "GNU.sparse.name");
  put_number_record(&d->records, "GNU.sparse.realsize", e->size);
  ims_buf_printf(&d->map, "%zu\n", e->segment_count + hole_at_end);
  for (size_t i = 0; i < e->segment_count; i++)
    ims_buf_printf(&d->map, "%" PRIu64 "\n%" PRIu64 "\n", e->segments[i].offset, e->segments[i].size);
  if (hole_at_end)
    ims_buf_printf(&d->map, "%" PRIu64 "\n0\n", e->size);
  ims_buf_append(&d->map, zeros, ims_tar_padding(d->map.size));
}

static void put_records(draft *d) {
  const ims_tar_entry *e = d->entry;
  if (e->segments)
    put_map(d);
  else if (d->long_path)
    put_path_record(d, "path");
  if (d->long_link)
    put_record(&d->records, "linkpath", "", e->linkpath, strlen(e->linkpath));
  if (!fits(IMS_TAR_FIELD_SIZE, (int64_t)(e->data_size + d->map.size)))
    put_number_record(&d->records, "size", e->data_size + d->map.size);
  if (!fits(IMS_TAR_FIELD_UID, (int64_t)e->uid))
    put_number_record(&d->records, "uid", e->uid);
  if (!fits(IMS_TAR_FIELD_GID, (int64_t)e->gid))
    put_number_record(&d->records, "gid", e->gid);
  if (e->mtime_ns || !fits(IMS_TAR_FIELD_MTIME, e->mtime))
    put_time_record(&d->records, e->mtime, e->mtime_ns);
  put_xattrs(d);
}

/* --- the entry ------------------------------------------------------------------------------------------------------
 */

/** Splits a path that is too long for the name field at a slash, so that the rest fits the prefix. */
static void measure_path(draft *d) {
  const char *path = d->entry->path;
  const size_t length = strlen(path);
  d->slash = d->entry->type == IMS_TAR_DIRECTORY && path[length - 1] != '/' ? "/" : "";
  d->path_size = length + strlen(d->slash);
  if (d->path_size <= NAME_SIZE || d->entry->segments)
    return;
  const size_t least = d->path_size - NAME_SIZE - 1;
  for (size_t i = least ? least : 1; i < length - 1 && i <= PREFIX_SIZE && !d->split; i++)
    if (path[i] == '/')
      d->split = i;
  d->long_path = !d->split;
}

static bool segments_fit(const ims_tar_entry *e) {
  uint64_t end = 0, sum = 0;
  for (size_t i = 0; i < e->segment_count; i++) {
    const ims_tar_segment *s = &e->segments[i];
    if (s->offset < end || s->size > e->size || s->offset > e->size - s->size)
      return false;
    end = s->offset + s->size;
    sum += s->size;
  }
  return sum == e->data_size;
}

static const char *why_not(const ims_tar_entry *e) {
  const bool links = e->type == IMS_TAR_HARDLINK || e->type == IMS_TAR_SYMLINK;
  if (e->type < IMS_TAR_REGULAR || e->type > IMS_TAR_FIFO)
    return "unknown type";
  if (!*e->path)
    return "empty path";
  if (e->type != IMS_TAR_DIRECTORY && ims_ends_with(e->path, "/"))
    return "a slash behind what is no directory";
  if (links != (*e->linkpath != '\0'))
    return links ? "link without a target" : "a target, but no link";
  if (e->mode > 07777 || e->mtime_ns > 999999999 || e->mtime < -INT64_MAX)
    return "mode or time out of range";
  if (e->uid > LARGEST_NUMBER || e->gid > LARGEST_NUMBER || e->size > LARGEST_NUMBER)
    return "number out of range";
  if (is_device(e) && (e->major > LARGEST_MAJOR || e->minor > LARGEST_MINOR))
    return "device number out of range";
  if (e->type != IMS_TAR_REGULAR && (e->size || e->segments))
    return "content of what has none";
  if (e->segments ? !segments_fit(e) : e->size != e->data_size)
    return "segments that do not fit the file";
  for (size_t i = 0; i < e->xattr_count; i++)
    if (!*e->xattrs[i].name)
      return "extended attribute without a name";
  return NULL;
}

static int32_t append_all(ims_buf *out, const draft *d) {
  if (d->records.size)
    put_extension(out, d);
  put_header(out, d);
  return ims_buf_append(out, d->map.data, d->map.size);
}

/** The writer's failures as an error with the entry's name. */
static int32_t refuse(const ims_tar_entry *e, int32_t code, ims_error *err) {
  if (code == IMGSTORE_ENOMEM)
    return ims_fail_nomem(err);
  return ims_fail(err, code, "entry \"%.256s\": its names and extended attributes are too long for an archive",
                  e->path);
}

int32_t ims_tar_put_entry(ims_buf *out, const ims_tar_entry *entry, ims_error *err) {
  if (entry->segment_count > IMS_TAR_WRITE_SEGMENTS_MAX)
    return ims_fail(err, IMGSTORE_ELIMIT, "entry \"%.256s\": more than %d sparse segments", entry->path,
                    IMS_TAR_WRITE_SEGMENTS_MAX);
  const char *why = why_not(entry);
  draft d = {.entry = entry, .slash = ""};
  if (why)
    return ims_fail(err, IMGSTORE_EINVALID, "entry \"%.256s\": %s", entry->path, why);
  const size_t before = out->size;
  ims_buf_init(&d.records, out->alloc, IMS_TAR_EXTENSION_MAX);
  ims_buf_init(&d.map, out->alloc, SIZE_MAX / 2);
  measure_path(&d);
  d.long_link = strlen(entry->linkpath) > NAME_SIZE;
  put_records(&d);
  int32_t rc = d.records.failed ? d.records.failed : d.map.failed ? d.map.failed : append_all(out, &d);
  if (rc) {
    out->size = before < out->size ? before : out->size;
    refuse(entry, rc, err);
  }
  ims_buf_free(&d.records);
  ims_buf_free(&d.map);
  return rc;
}
