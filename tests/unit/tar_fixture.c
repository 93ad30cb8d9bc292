/* tests/unit/tar_fixture.c - see tar_fixture.h. */
#include "tar_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHECKSUM_OFFSET = 148 };

static void need(int condition) {
  if (!condition)
    abort();
}

void fixture_init(tar_fixture *f) {
  ims_buf_init(&f->bytes, &ims_alloc_default, (size_t)1 << 28);
  f->header = 0;
}

void fixture_free(tar_fixture *f) {
  ims_buf_free(&f->bytes);
}

static void set_checksum(uint8_t *block) {
  unsigned sum = 0;
  memset(block + CHECKSUM_OFFSET, ' ', 8);
  for (int i = 0; i < 512; i++)
    sum += block[i];
  snprintf((char *)block + CHECKSUM_OFFSET, 8, "%06o", sum);
}

static void copy(uint8_t *field, size_t capacity, const char *text) {
  size_t length = strlen(text);
  need(length <= capacity);
  memcpy(field, text, length);
}

void fixture_header(tar_fixture *f, const char *magic, char typeflag, const char *name, const char *link,
                    uint64_t size) {
  uint8_t block[512] = {0};
  char number[24];
  copy(block, 100, name);
  copy(block + 100, 8, "0000644");
  copy(block + 108, 8, "0000001");
  copy(block + 116, 8, "0000002");
  snprintf(number, sizeof number, "%011llo", (unsigned long long)size);
  copy(block + 124, 12, number);
  copy(block + 136, 12, "00000000003");
  block[156] = (uint8_t)typeflag;
  copy(block + 157, 100, link);
  memcpy(block + 257, magic, 8);
  set_checksum(block);
  f->header = f->bytes.size;
  need(ims_buf_append(&f->bytes, block, sizeof block) == IMGSTORE_OK);
}

void fixture_patch(tar_fixture *f, size_t offset, const void *bytes, size_t size) {
  uint8_t *block = (uint8_t *)f->bytes.data + f->header;
  memcpy(block + offset, bytes, size);
  set_checksum(block);
}

void fixture_content(tar_fixture *f, const void *bytes, size_t size) {
  static const char zeros[512];
  need(ims_buf_append(&f->bytes, bytes, size) == IMGSTORE_OK);
  need(ims_buf_append(&f->bytes, zeros, (512 - size % 512) % 512) == IMGSTORE_OK);
}

void fixture_file(tar_fixture *f, char typeflag, const char *name, const void *bytes, size_t size) {
  fixture_header(f, MAGIC_USTAR, typeflag, name, "", size);
  fixture_content(f, bytes, size);
}

void fixture_record(ims_buf *records, const char *key, const void *value, size_t size) {
  size_t body = strlen(key) + size + 3, length = body;
  char digits[24];
  while (length != body + (size_t)snprintf(digits, sizeof digits, "%zu", length))
    length = body + strlen(digits);
  ims_buf_printf(records, "%zu %s=", length, key);
  ims_buf_append(records, value, size);
  need(ims_buf_putc(records, '\n') == IMGSTORE_OK);
}

void fixture_pax(tar_fixture *f, int typeflag, ...) {
  ims_buf records;
  va_list args;
  ims_buf_init(&records, &ims_alloc_default, (size_t)1 << 24);
  va_start(args, typeflag);
  for (const char *key = va_arg(args, const char *); key; key = va_arg(args, const char *)) {
    const char *value = va_arg(args, const char *);
    fixture_record(&records, key, value, strlen(value));
  }
  va_end(args);
  fixture_file(f, (char)typeflag, "PaxHeaders/x", ims_buf_text(&records), records.size);
  ims_buf_free(&records);
}

void fixture_end(tar_fixture *f) {
  static const char zeros[1024];
  need(ims_buf_append(&f->bytes, zeros, sizeof zeros) == IMGSTORE_OK);
}

static void write_entry(ims_buf *out, const ims_tar_entry *e) {
  static const char types[] = "?fhlcbdp";
  ims_buf_printf(out, "%c %s", types[e->type], e->path);
  if (*e->linkpath)
    ims_buf_printf(out, " -> %s", e->linkpath);
  ims_buf_printf(out, " %o %llu:%llu size=%llu data=%llu time=%lld.%09u", e->mode, (unsigned long long)e->uid,
                 (unsigned long long)e->gid, (unsigned long long)e->size, (unsigned long long)e->data_size,
                 (long long)e->mtime, e->mtime_ns);
  if (e->major || e->minor)
    ims_buf_printf(out, " dev=%u,%u", e->major, e->minor);
  for (size_t i = 0; i < e->xattr_count; i++) {
    ims_buf_printf(out, " %s=", e->xattrs[i].name);
    for (size_t k = 0; k < e->xattrs[i].size; k++)
      ims_buf_printf(out, "%02x", e->xattrs[i].value[k]);
  }
  if (e->segments)
    ims_buf_puts(out, " sparse");
  for (size_t i = 0; i < e->segment_count; i++)
    ims_buf_printf(out, " %llu+%llu", (unsigned long long)e->segments[i].offset,
                   (unsigned long long)e->segments[i].size);
  ims_buf_putc(out, '\n');
}

typedef struct run {
  uint64_t next; /* offset that would continue the open line of data */
  bool open;
} run;

static void write_event(ims_buf *out, run *data, const ims_tar_event *event) {
  if (event->type == IMS_TAR_DATA) {
    need(event->data_size > 0);
    if (!data->open || data->next != event->data_offset)
      ims_buf_printf(out, "%s  @%llu ", data->open ? "\n" : "", (unsigned long long)event->data_offset);
    ims_buf_append(out, event->data, event->data_size);
    data->open = true;
    data->next = event->data_offset + event->data_size;
    return;
  }
  if (data->open)
    ims_buf_putc(out, '\n');
  data->open = false;
  if (event->type == IMS_TAR_ENTRY)
    write_entry(out, event->entry);
  else if (event->type == IMS_TAR_ENTRY_END)
    ims_buf_printf(out, ". %s\n", event->entry->path);
  else
    ims_buf_puts(out, "END\n");
}

/* The piece is copied to memory of its exact size, so that a checker sees a read past it or after it. */
static int32_t feed(ims_tar_reader *reader, const uint8_t *bytes, size_t size, run *data, ims_buf *out,
                    ims_error *err) {
  uint8_t *piece = malloc(size ? size : 1);
  ims_tar_event event;
  int32_t rc;
  size_t at = 0, used;
  need(piece != NULL);
  if (size)
    memcpy(piece, bytes, size);
  do {
    rc = ims_tar_reader_next(reader, piece + at, size - at, &used, &event, err);
    need(used <= size - at);
    at += used;
    if (rc == IMGSTORE_OK && event.type != IMS_TAR_MORE)
      write_event(out, data, &event);
  } while (rc == IMGSTORE_OK && event.type != IMS_TAR_MORE);
  need(rc != IMGSTORE_OK || at == size);
  free(piece);
  return rc;
}

int32_t transcript(const void *bytes, size_t size, size_t first, size_t chunk, const ims_tar_limits *limits,
                   ims_buf *out, ims_error *err) {
  const ims_tar_limits generous = {1000000, 512};
  ims_tar_reader *reader;
  run data = {0, false};
  int32_t rc = ims_tar_reader_new(&reader, &ims_alloc_default, limits ? limits : &generous, err);
  for (size_t at = 0; rc == IMGSTORE_OK && at < size;) {
    size_t part = at == 0 && first ? first : chunk;
    if (part > size - at)
      part = size - at;
    rc = feed(reader, (const uint8_t *)bytes + at, part, &data, out, err);
    at += part;
  }
  if (rc == IMGSTORE_OK)
    rc = ims_tar_reader_finish(reader, err);
  ims_tar_reader_free(reader);
  return rc;
}
