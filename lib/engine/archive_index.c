/*
 * engine/archive_index.c (L4) - one pass over the headers of a tar. The content of files is skipped: the parser is
 * given as many bytes of anything.
 */
#include "engine/archive_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "compress/decoder.h"
#include "engine/archive_path.h"
#include "tar/reader.h"

enum { PIECE = 64 << 10, HEADERS = 4 << 10, MAX_MEMBERS = 65536, MAX_LINKS = 8, SNIFF_SIZE = 4 };

/* The pass. */
typedef struct indexing {
  ims_archive_index *index;
  ims_tar_reader *tar;
  uint8_t *piece;
  uint64_t next;    /* byte of the file that follows the piece */
  uint64_t skip;    /* bytes of content that follow it */
  bool in_document; /* content is kept in text */
  bool in_file;
  ims_buf text;
  ims_error *err;
} indexing;

static const ims_alloc *alloc_of(const ims_archive_index *x) {
  return &x->core->alloc;
}

/* --- members --------------------------------------------------------------------------------------------------------
 */

/* Takes over path and link. */
static int32_t add_member(ims_archive_index *x, char *path, char *link, uint64_t size, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  if (x->count >= MAX_MEMBERS) {
    rc = ims_fail(err, IMGSTORE_ELIMIT, "more than %d members", MAX_MEMBERS);
  } else if (x->count == x->capacity) {
    size_t capacity = x->capacity ? x->capacity * 2 : 32;
    ims_indexed_member *members = ims_realloc_array(alloc_of(x), x->members, capacity, sizeof *members);
    if (members) {
      x->members = members;
      x->capacity = capacity;
    } else {
      rc = ims_fail_nomem(err);
    }
  }
  if (rc) {
    ims_free(alloc_of(x), path);
    ims_free(alloc_of(x), link);
    return rc;
  }
  x->members[x->count++] = (ims_indexed_member){.path = path, .link = link, .size = size};
  return IMGSTORE_OK;
}

static int32_t add_link(indexing *i, const ims_tar_entry *e, char *path) {
  const ims_alloc *alloc = alloc_of(i->index);
  char *target = ims_malloc(alloc, strlen(path) + strlen(e->linkpath) + 2);
  int32_t rc = target ? ims_archive_link_path(path, e->linkpath, e->type == IMS_TAR_SYMLINK, target, i->err)
                      : ims_fail_nomem(i->err);
  if (!rc)
    return add_member(i->index, path, target, 0, i->err);
  ims_free(alloc, target);
  ims_free(alloc, path);
  return rc;
}

static int32_t add_file(indexing *i, const ims_tar_entry *e, char *path) {
  uint64_t limit = i->index->core->limits.max_manifest_bytes;
  bool document = ims_archive_path_is_document(path);
  int32_t rc = add_member(i->index, path, NULL, e->size, i->err);
  if (rc)
    return rc;
  i->in_file = true;
  i->in_document = document;
  ims_buf_clear(&i->text);
  if (document && e->size > limit)
    return ims_fail(i->err, IMGSTORE_ELIMIT, "member \"%s\": has %llu bytes, at most %llu are read", path,
                    (unsigned long long)e->size, (unsigned long long)limit);
  return IMGSTORE_OK;
}

static int32_t begin_member(indexing *i, const ims_tar_entry *e) {
  const ims_alloc *alloc = alloc_of(i->index);
  char *path = ims_malloc(alloc, strlen(e->path) + 1);
  int32_t rc = path ? ims_archive_clean_path(e->path, path, i->err) : ims_fail_nomem(i->err);
  if (!rc && (e->type == IMS_TAR_CHAR || e->type == IMS_TAR_BLOCK || e->type == IMS_TAR_FIFO))
    rc = ims_fail(i->err, IMGSTORE_EFORMAT, "member \"%.256s\": is %s", path,
                  e->type == IMS_TAR_FIFO ? "a pipe" : "a device");
  if (!rc && e->segments)
    rc = ims_fail(i->err, IMGSTORE_EUNSUPPORTED, "member \"%.256s\": is sparse", path);
  if (rc || e->type == IMS_TAR_DIRECTORY) {
    ims_free(alloc, path);
    return rc;
  }
  return e->type == IMS_TAR_REGULAR ? add_file(i, e, path) : add_link(i, e, path);
}

/* at: where the data is in the file. */
static int32_t take_data(indexing *i, const ims_tar_event *event, uint64_t at) {
  if (!i->in_file)
    return IMGSTORE_OK;
  ims_indexed_member *m = &i->index->members[i->index->count - 1];
  if (event->data_offset == 0)
    m->at = at;
  if (i->in_document)
    return ims_buf_append(&i->text, event->data, event->data_size) ? ims_fail_nomem(i->err) : IMGSTORE_OK;
  i->skip = m->size - event->data_offset - event->data_size;
  return IMGSTORE_OK;
}

static int32_t end_member(indexing *i) {
  bool document = i->in_document;
  i->in_document = i->in_file = false;
  i->skip = 0;
  if (!document)
    return IMGSTORE_OK;
  ims_indexed_member *m = &i->index->members[i->index->count - 1];
  m->text = ims_buf_detach(&i->text, NULL);
  return m->text ? IMGSTORE_OK : ims_fail_nomem(i->err);
}

static int by_path(const void *a, const void *b) {
  return strcmp(((const ims_indexed_member *)a)->path, ((const ims_indexed_member *)b)->path);
}

/* Which of two members of one path counts is not the same for all readers. */
static int32_t sort_members(ims_archive_index *x, ims_error *err) {
  if (x->count)
    qsort(x->members, x->count, sizeof *x->members, by_path);
  for (size_t i = 1; i < x->count; i++)
    if (strcmp(x->members[i - 1].path, x->members[i].path) == 0)
      return ims_fail(err, IMGSTORE_EFORMAT, "member \"%.256s\": is there twice", x->members[i].path);
  return IMGSTORE_OK;
}

/* --- the pass -------------------------------------------------------------------------------------------------------
 */

static int read_file(const ims_archive_index *x, uint64_t at, void *buffer, size_t size, size_t *got) {
  *got = 0;
  while (*got < size) {
    ssize_t n = x->core->sys->pread(x->fd, (uint8_t *)buffer + *got, size - *got, (off_t)(at + *got));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return errno;
    if (n == 0)
      return 0;
    *got += (size_t)n;
  }
  return 0;
}

/* The next piece; *size 0 at the end. Content that is skipped need not be read, but must be there. */
static int32_t refill(indexing *i, size_t *size) {
  ims_archive_index *x = i->index;
  if (i->skip) {
    if (i->skip > x->size - i->next)
      return ims_fail(i->err, IMGSTORE_EFORMAT, "member \"%.256s\": the archive ends inside it",
                      x->members[x->count - 1].path);
    *size = i->skip < PIECE ? (size_t)i->skip : PIECE;
    i->next += *size;
    return IMGSTORE_OK;
  }
  int failed = read_file(x, i->next, i->piece, HEADERS, size);
  if (failed)
    return ims_fail_os(i->err, failed, "cannot read");
  i->next += *size;
  return IMGSTORE_OK;
}

static int32_t take_event(indexing *i, const ims_tar_event *event, uint64_t at) {
  switch (event->type) {
  case IMS_TAR_ENTRY:
    return begin_member(i, event->entry);
  case IMS_TAR_DATA:
    return take_data(i, event, at);
  case IMS_TAR_ENTRY_END:
    return end_member(i);
  default:
    return IMGSTORE_OK;
  }
}

static int32_t read_members(indexing *i) {
  const uint8_t *data = i->piece;
  size_t left = 0;
  bool done = false;
  int32_t rc = IMGSTORE_OK;
  while (!rc && !done) {
    ims_tar_event event;
    size_t used;
    rc = ims_tar_reader_next(i->tar, data, left, &used, &event, i->err);
    if (rc)
      return rc;
    data += used;
    left -= used;
    if (event.type == IMS_TAR_DATA)
      rc = take_event(i, &event, i->next - left - event.data_size);
    else if (event.type != IMS_TAR_MORE)
      rc = take_event(i, &event, 0);
    done = event.type == IMS_TAR_END;
    if (event.type == IMS_TAR_MORE && !left) {
      rc = refill(i, &left);
      data = i->piece;
      done = !left;
    }
  }
  if (!rc)
    rc = ims_tar_reader_finish(i->tar, i->err);
  return rc ? rc : sort_members(i->index, i->err);
}

static int32_t open_file(ims_archive_index *x, ims_error *err) {
  struct stat st;
  uint8_t head[SNIFF_SIZE];
  size_t got;
  /* a pipe without a writer is not waited for */
  x->fd = x->core->sys->openat(AT_FDCWD, x->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
  if (x->fd < 0)
    return ims_fail_os(err, errno, "cannot open");
  if (x->core->sys->fstat(x->fd, &st))
    return ims_fail_os(err, errno, "cannot be read");
  if (S_ISDIR(st.st_mode))
    return ims_fail(err, IMGSTORE_EINVALID, "is a directory");
  if (!S_ISREG(st.st_mode))
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "is no regular file: load it into a store first");
  x->size = (uint64_t)st.st_size;
  int failed = read_file(x, 0, head, sizeof head, &got);
  if (failed)
    return ims_fail_os(err, failed, "cannot read");
  if (ims_format_sniff(head, got) != IMS_FORMAT_NONE)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "is compressed as a whole: load it into a store first");
  return IMGSTORE_OK;
}

static int32_t run_pass(ims_archive_index *x, ims_error *err) {
  const ims_tar_limits limits = {x->core->limits.max_layer_entries, x->core->limits.max_path_depth};
  indexing i = {.index = x, .err = err};
  ims_buf_init(&i.text, alloc_of(x), SIZE_MAX - 1);
  i.piece = ims_calloc(alloc_of(x), 1, PIECE);
  int32_t rc = i.piece ? ims_tar_reader_new(&i.tar, alloc_of(x), &limits, err) : ims_fail_nomem(err);
  if (!rc)
    rc = read_members(&i);
  ims_tar_reader_free(i.tar);
  ims_buf_free(&i.text);
  ims_free(alloc_of(x), i.piece);
  return rc;
}

int32_t ims_archive_index_open(ims_archive_index *x, ims_core *core, const char *path, ims_error *err) {
  memset(x, 0, sizeof *x);
  x->core = ims_core_ref(core);
  x->fd = -1;
  x->path = ims_strdup(&core->alloc, path);
  if (!x->path)
    return ims_fail_nomem(err);
  int32_t rc = open_file(x, err);
  if (!rc)
    rc = run_pass(x, err);
  return rc && rc != IMGSTORE_ENOMEM ? ims_error_prefix(err, "%s", path) : rc;
}

void ims_archive_index_close(ims_archive_index *x) {
  ims_core *core = x->core;
  if (!core)
    return;
  for (size_t i = 0; i < x->count; i++) {
    ims_free(&core->alloc, x->members[i].path);
    ims_free(&core->alloc, x->members[i].link);
    ims_free(&core->alloc, x->members[i].text);
  }
  ims_free(&core->alloc, x->members);
  ims_free(&core->alloc, x->path);
  if (x->fd >= 0)
    core->sys->close(x->fd);
  memset(x, 0, sizeof *x);
  ims_core_unref(core);
}

/* --- the index ------------------------------------------------------------------------------------------------------
 */

const ims_indexed_member *ims_archive_index_find(const ims_archive_index *x, const char *path) {
  for (int i = 0; i <= MAX_LINKS && x->count; i++) {
    const ims_indexed_member key = {.path = (char *)path};
    const ims_indexed_member *m = bsearch(&key, x->members, x->count, sizeof *m, by_path);
    if (!m || !m->link)
      return m;
    path = m->link;
  }
  return NULL;
}

int ims_archive_index_read(const ims_archive_index *x, const ims_indexed_member *m, uint64_t offset, void *buffer,
                           size_t size, size_t *got) {
  *got = 0;
  if (offset >= m->size)
    return 0;
  uint64_t left = m->size - offset;
  return read_file(x, m->at + offset, buffer, left < size ? (size_t)left : size, got);
}
