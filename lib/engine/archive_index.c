/*
 * engine/archive_index.c (L4) - one pass over the headers of a tar. The content of files is skipped: the parser is
 * given as many bytes of anything.
 */
#include "engine/archive_index.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"

enum {
  PIECE = 64 << 10,
  HEADERS = 4 << 10,
  STEP_BUDGET = 1024 /* pieces that one step reads or skips */
};

/* The pass. */
typedef struct ims_index_pass {
  ims_archive_index *index;
  ims_tar_reader *tar;
  uint8_t *piece;
  const uint8_t *data; /* what is left of it */
  size_t left;
  uint64_t next;              /* byte of the file that follows the piece */
  uint64_t skip;              /* bytes of content that follow it */
  ims_archive_member *member; /* that is gone through, or NULL */
  ims_buf text;               /* of a document */
  ims_error *err;
} ims_index_pass;

static const ims_alloc *alloc_of(const ims_archive_index *x) {
  return &x->core->alloc;
}

/* --- members --------------------------------------------------------------------------------------------------------
 */

static int32_t begin_member(ims_index_pass *i, const ims_tar_entry *e) {
  int32_t rc = ims_archive_members_add(&i->index->members, e, &i->member, i->err);
  if (i->member && i->member->kind == IMS_ARCHIVE_LINK)
    i->member = NULL;
  ims_buf_clear(&i->text);
  return rc;
}

/* at: where the data is in the file. */
static int32_t take_data(ims_index_pass *i, const ims_tar_event *event, uint64_t at) {
  ims_archive_member *m = i->member;
  if (!m)
    return IMGSTORE_OK;
  if (event->data_offset == 0)
    m->at = at;
  if (m->kind == IMS_ARCHIVE_DOCUMENT)
    return ims_buf_append(&i->text, event->data, event->data_size) ? ims_fail_nomem(i->err) : IMGSTORE_OK;
  i->skip = m->size - event->data_offset - event->data_size;
  return IMGSTORE_OK;
}

static int32_t end_member(ims_index_pass *i) {
  ims_archive_member *m = i->member;
  i->member = NULL;
  i->skip = 0;
  if (!m || m->kind != IMS_ARCHIVE_DOCUMENT)
    return IMGSTORE_OK;
  m->text = ims_buf_detach(&i->text, NULL);
  return m->text ? IMGSTORE_OK : ims_fail_nomem(i->err);
}

/* --- the pass -------------------------------------------------------------------------------------------------------
 */

int ims_archive_read_at(const ims_core *core, int fd, uint64_t at, void *buffer, size_t size, size_t *got) {
  *got = 0;
  while (*got < size) {
    ssize_t n = core->sys->pread(fd, (uint8_t *)buffer + *got, size - *got, (off_t)(at + *got));
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

/* The next piece; nothing is left at the end. Content that is skipped need not be read, but must be there. */
static int32_t refill(ims_index_pass *i) {
  const ims_archive_index *x = i->index;
  i->data = i->piece;
  if (i->skip) {
    if (i->skip > x->size - i->next)
      return ims_fail(i->err, IMGSTORE_EFORMAT, "member \"%.256s\": the archive ends inside it", i->member->path);
    i->left = i->skip < PIECE ? (size_t)i->skip : PIECE;
    i->next += i->left;
    return IMGSTORE_OK;
  }
  int failed = ims_archive_read_at(x->core, x->fd, i->next, i->piece, HEADERS, &i->left);
  if (failed)
    return ims_fail_os(i->err, failed, "cannot read");
  i->next += i->left;
  return IMGSTORE_OK;
}

static int32_t take_event(ims_index_pass *i, const ims_tar_event *event) {
  switch (event->type) {
  case IMS_TAR_ENTRY:
    return begin_member(i, event->entry);
  case IMS_TAR_DATA:
    return take_data(i, event, i->next - i->left - event->data_size);
  case IMS_TAR_ENTRY_END:
    return end_member(i);
  default:
    return IMGSTORE_OK;
  }
}

/* IMGSTORE_OK: the tar has ended. */
static int32_t read_members(ims_index_pass *i) {
  for (int work = 0; work < STEP_BUDGET;) {
    ims_tar_event event;
    size_t used;
    int32_t rc = ims_tar_reader_next(i->tar, i->data, i->left, &used, &event, i->err);
    if (rc)
      return rc;
    i->data += used;
    i->left -= used;
    rc = take_event(i, &event);
    if (rc || event.type == IMS_TAR_END)
      return rc;
    if (event.type != IMS_TAR_MORE || i->left)
      continue;
    rc = refill(i);
    if (rc || !i->left)
      return rc;
    work++;
  }
  return IMGSTORE_EAGAIN;
}

static void free_pass(ims_archive_index *x) {
  ims_index_pass *i = x->pass;
  if (!i)
    return;
  ims_tar_reader_free(i->tar);
  ims_buf_free(&i->text);
  ims_free(alloc_of(x), i->piece);
  ims_free(alloc_of(x), i);
  x->pass = NULL;
}

int32_t ims_archive_index_step(ims_archive_index *x, ims_error *err) {
  ims_index_pass *i = x->pass;
  i->err = err;
  int32_t rc = read_members(i);
  if (!rc)
    rc = ims_tar_reader_finish(i->tar, err);
  if (!rc)
    rc = ims_archive_members_sort(&x->members, err);
  if (!rc)
    free_pass(x);
  return rc;
}

/* --- the index ------------------------------------------------------------------------------------------------------
 */

static int32_t make_pass(ims_archive_index *x, ims_error *err) {
  const ims_tar_limits limits = {x->core->limits.max_layer_entries, x->core->limits.max_path_depth};
  ims_index_pass *i = x->pass = ims_calloc(alloc_of(x), 1, sizeof *i);
  if (!i)
    return ims_fail_nomem(err);
  i->index = x;
  ims_buf_init(&i->text, alloc_of(x), SIZE_MAX - 1);
  i->data = i->piece = ims_calloc(alloc_of(x), 1, PIECE);
  return i->piece ? ims_tar_reader_new(&i->tar, alloc_of(x), &limits, err) : ims_fail_nomem(err);
}

int32_t ims_archive_index_begin(ims_archive_index *x, ims_core *core, const char *path, int fd, ims_error *err) {
  struct stat st;
  memset(x, 0, sizeof *x);
  x->core = ims_core_ref(core);
  x->fd = fd;
  ims_archive_members_init(&x->members, core);
  x->path = ims_strdup(&core->alloc, path);
  if (!x->path)
    return ims_fail_nomem(err);
  if (core->sys->fstat(fd, &st))
    return ims_fail_os(err, errno, "cannot be read");
  x->size = (uint64_t)st.st_size;
  return make_pass(x, err);
}

void ims_archive_index_close(ims_archive_index *x) {
  ims_core *core = x->core;
  if (!core)
    return;
  free_pass(x);
  ims_archive_members_free(&x->members);
  ims_free(&core->alloc, x->path);
  if (x->fd >= 0)
    core->sys->close(x->fd);
  memset(x, 0, sizeof *x);
  ims_core_unref(core);
}

ims_archive_member *ims_archive_index_find(const ims_archive_index *x, const char *path) {
  return ims_archive_members_find(&x->members, path);
}

int ims_archive_index_read(const ims_archive_index *x, const ims_archive_member *m, uint64_t offset, void *buffer,
                           size_t size, size_t *got) {
  *got = 0;
  if (offset >= m->size)
    return 0;
  uint64_t left = m->size - offset;
  return ims_archive_read_at(x->core, x->fd, m->at + offset, buffer, left < size ? (size_t)left : size, got);
}
