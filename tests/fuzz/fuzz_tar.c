/*
 * tests/fuzz/fuzz_tar.c - the tar reader must tell the same story however its input is cut, keep its promises about
 * what it hands out, and survive anything; what the writer makes of a story must tell it again. Headers get right
 * checksums first, or nothing behind them would be reached.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tar/reader.h"
#include "tar/whiteout.h"
#include "tar/writer.h"

enum { BLOCK = 512, MAGIC_OFFSET = 257, CHECKSUM_OFFSET = 148, CHECKSUM_SIZE = 8 };

typedef struct story {
  uint64_t hash;
  uint64_t in_entry; /* bytes of DATA since ENTRY */
  uint64_t end;      /* of the last DATA */
  int32_t result;
  ims_buf *copy; /* the story as a tar, or NULL */
} story;

static void require(int condition) {
  if (!condition)
    abort();
}

static void tell(story *s, const void *bytes, size_t size) {
  const uint8_t *p = bytes;
  for (size_t i = 0; i < size; i++)
    s->hash = (s->hash ^ p[i]) * 1099511628211u;
}

static void tell_number(story *s, uint64_t number) {
  tell(s, &number, sizeof number);
}

static void check_path(const char *path) {
  int kind;
  char *out = malloc(strlen(path) + 1);
  require(out != NULL);
  if (ims_layer_path(path, out, &kind, NULL) == IMGSTORE_OK) {
    require(out[0] != '/' && strstr(out, "//") == NULL);
    require(strcmp(out, "..") != 0 && strncmp(out, "../", 3) != 0 && strstr(out, "/../") == NULL);
  }
  free(out);
}

/* A directory is written with a slash behind it. */
static size_t path_size(const ims_tar_entry *e) {
  size_t size = strlen(e->path);
  while (e->type == IMS_TAR_DIRECTORY && size > 1 && e->path[size - 1] == '/')
    size--;
  return size;
}

static void tell_entry(story *s, const ims_tar_entry *e) {
  uint64_t total = 0, end = 0;
  require(e->type >= IMS_TAR_REGULAR && e->type <= IMS_TAR_FIFO);
  require(e->path[0] != '\0' && e->mode <= 07777 && e->mtime_ns < 1000000000);
  require(e->type == IMS_TAR_REGULAR || (e->size == 0 && e->data_size == 0));
  require((e->type == IMS_TAR_HARDLINK || e->type == IMS_TAR_SYMLINK) == (e->linkpath[0] != '\0'));
  tell(s, e->path, path_size(e));
  tell(s, e->linkpath, strlen(e->linkpath));
  for (size_t i = 0; i < e->xattr_count; i++) {
    require(e->xattrs[i].name[0] != '\0');
    tell(s, e->xattrs[i].name, strlen(e->xattrs[i].name));
    tell(s, e->xattrs[i].value, e->xattrs[i].size);
  }
  for (size_t i = 0; i < e->segment_count; i++) {
    require(e->segments[i].offset >= end && e->segments[i].size > 0);
    end = e->segments[i].offset + e->segments[i].size;
    total += e->segments[i].size;
  }
  require(e->segments ? total == e->data_size && end <= e->size : e->size == e->data_size);
  tell_number(s, (uint64_t)e->type << 32 | e->mode);
  tell_number(s, e->uid ^ e->gid << 32);
  tell_number(s, e->size);
  tell_number(s, (uint64_t)e->mtime + e->mtime_ns);
  check_path(e->path);
  s->in_entry = s->end = 0;
}

/* What other readers would not understand the writer refuses: such a story is not told again. */
static void write_event(story *s, const ims_tar_event *event) {
  static const char zeros[BLOCK];
  ims_buf *copy = s->copy;
  int32_t rc;
  switch (event->type) {
  case IMS_TAR_ENTRY:
    rc = ims_tar_put_entry(copy, event->entry, NULL);
    require(rc == IMGSTORE_OK || rc == IMGSTORE_ELIMIT || rc == IMGSTORE_EINVALID);
    if (rc)
      s->copy = NULL;
    break;
  case IMS_TAR_DATA:
    require(ims_buf_append(copy, event->data, event->data_size) == IMGSTORE_OK);
    break;
  case IMS_TAR_ENTRY_END:
    require(ims_buf_append(copy, zeros, ims_tar_padding(event->entry->data_size)) == IMGSTORE_OK);
    break;
  default:
    require(ims_tar_put_end(copy) == IMGSTORE_OK);
  }
}

static void tell_event(story *s, const ims_tar_event *event) {
  if (s->copy)
    write_event(s, event);
  if (event->type == IMS_TAR_ENTRY) {
    tell_entry(s, event->entry);
  } else if (event->type == IMS_TAR_DATA) {
    require(event->data_size > 0 && event->data_offset >= s->end);
    s->in_entry += event->data_size;
    s->end = event->data_offset + event->data_size;
    require(s->end <= event->entry->size);
    tell(s, event->data, event->data_size);
  } else {
    require(event->type == IMS_TAR_END || s->in_entry == event->entry->data_size);
    tell_number(s, (uint64_t)event->type);
  }
}

static story read_all(const uint8_t *data, size_t size, size_t chunk, ims_buf *copy) {
  const ims_tar_limits limits = {10000, 64};
  story s = {14695981039346656037u, 0, 0, IMGSTORE_OK, copy};
  ims_tar_reader *reader;
  ims_tar_event event;
  require(ims_tar_reader_new(&reader, &ims_alloc_default, &limits, NULL) == IMGSTORE_OK);
  for (size_t at = 0; s.result == IMGSTORE_OK && at < size;) {
    size_t part = chunk < size - at ? chunk : size - at, used;
    s.result = ims_tar_reader_next(reader, data + at, part, &used, &event, NULL);
    require(used <= part);
    if (s.result == IMGSTORE_OK && event.type != IMS_TAR_MORE)
      tell_event(&s, &event);
    else
      require(s.result != IMGSTORE_OK || used == part);
    at += used;
  }
  do {
    size_t used;
    if (s.result == IMGSTORE_OK)
      s.result = ims_tar_reader_next(reader, data, 0, &used, &event, NULL);
    if (s.result == IMGSTORE_OK && event.type != IMS_TAR_MORE)
      tell_event(&s, &event);
  } while (s.result == IMGSTORE_OK && event.type != IMS_TAR_MORE);
  if (s.result == IMGSTORE_OK)
    s.result = ims_tar_reader_finish(reader, NULL);
  ims_tar_reader_free(reader);
  return s;
}

static void compare(const uint8_t *data, size_t size) {
  ims_buf copy;
  ims_buf_init(&copy, &ims_alloc_default, SIZE_MAX - 1);
  const story whole = read_all(data, size, size + 1, &copy);
  const story bytes = read_all(data, size, 1, NULL), odd = read_all(data, size, 509, NULL);
  require(whole.result == bytes.result && whole.hash == bytes.hash);
  require(whole.result == odd.result && whole.hash == odd.hash);
  if (whole.result == IMGSTORE_OK && whole.copy) {
    const story again = read_all((const uint8_t *)ims_buf_text(&copy), copy.size, copy.size + 1, NULL);
    require(again.result == IMGSTORE_OK && again.hash == whole.hash);
  }
  ims_buf_free(&copy);
}

static void set_checksum(uint8_t *block) {
  unsigned sum = 0;
  memset(block + CHECKSUM_OFFSET, ' ', CHECKSUM_SIZE);
  for (size_t i = 0; i < BLOCK; i++)
    sum += block[i];
  for (int i = 5; i >= 0; i--, sum >>= 3)
    block[CHECKSUM_OFFSET + i] = (uint8_t)('0' + (sum & 7));
  block[CHECKSUM_OFFSET + 6] = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size + 1);
  require(copy != NULL);
  memcpy(copy, data, size);
  for (size_t at = 0; at + BLOCK <= size; at += BLOCK)
    if (memcmp(copy + at + MAGIC_OFFSET, "ustar", 5) == 0)
      set_checksum(copy + at);
  compare(data, size);
  compare(copy, size);
  free(copy);
  return 0;
}
