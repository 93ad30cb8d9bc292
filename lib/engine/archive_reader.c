/*
 * engine/archive_reader.c (L4) - reading the members of an archive of images into a store.
 *
 * The task goes through the tar. A file is written to an ingest without a name and hashed; when it ends its digest is
 * known, the driving thread leases that, and the task commits the blob. The content of compressed files is hashed as
 * well, but for those under blobs/, whose manifests say all there is to know about them.
 */
#include "engine/archive_reader.h"

#include <string.h>

#include "engine/archive_content.h"
#include "engine/archive_path.h"
#include "engine/content.h"

enum {
  TASK_BUDGET = 4 << 20, /* bytes that one run of the task takes */
  CHECK_PIECE = 64 << 10
};

/* What the task does, or waits for. */
enum {
  AT_MEMBERS, /* reads the tar */
  AT_LEASE,   /* the driving thread leases the digest of the ingest */
  AT_LEASED,  /* it did: commit and read on */
  AT_READ,    /* all was read */
  AT_CHECKS,  /* hashes what is still to be hashed */
  AT_CHECKED,
  AT_FAILED
};

typedef struct check {
  const ims_archive_member *member;
  ims_digest expected;
} check;

struct ims_archive_reader {
  ims_task task; /* first member */
  imgstore_operation *op;
  imgstore_store *store;
  ims_lease *lease;
  ims_input input;
  atomic_int state;
  ims_error err; /* of the task */

  ims_tar_reader *tar;
  const uint8_t *data;
  size_t left;
  bool input_ended;
  ims_archive_members members;
  ims_digest_set brought;

  /* the member that is being read */
  bool in_member;
  ims_digest claimed; /* its path says that it has this digest; algorithm 0: it does not */
  bool present;       /* the claimed blob is in the store: only hashed */
  ims_hash hash;      /* of a present one, or for another algorithm than the ingest's */
  ims_ingest ingest;
  ims_buf text;
  ims_archive_content content;

  check *checks;
  size_t check_count, check_capacity, checked;
  imgstore_stream *stream;
  uint8_t *piece; /* of it */
};

static ims_archive_member *current(ims_archive_reader *r) {
  return &r->members.items[r->members.count - 1];
}

static void set_state(ims_archive_reader *r, int state) {
  atomic_store(&r->state, state);
  ims_lane_signal(&r->op->lane);
}

/* --- members --------------------------------------------------------------------------------------------------------
 */

/* What is there already is hashed, not written. */
static int32_t begin_file(ims_archive_reader *r) {
  bool damaged;
  int32_t rc = IMGSTORE_OK;
  bool named = ims_archive_path_digest(current(r)->path, &r->claimed);
  ims_archive_content_begin(&r->content, named ? 0 : IMS_HASH_SHA256); /* manifests say all about those below blobs/ */
  r->present = false;
  if (named) {
    ims_hash_init(&r->hash, r->claimed.algorithm);
    rc = ims_blob_find(r->store, &r->claimed, UINT64_MAX, &r->present, &damaged, &r->err);
  }
  if (rc || r->present)
    return rc;
  if (r->claimed.algorithm != IMS_HASH_SHA512)
    return ims_ingest_create(&r->ingest, r->store, &r->err);
  rc = ims_ingest_begin(&r->ingest, r->store, &r->claimed, current(r)->size, &r->err);
  if (rc == IMGSTORE_EBUSY)
    return ims_fail(&r->err, rc, "member \"%s\": another process is bringing it in", current(r)->path);
  return rc ? rc : ims_ingest_restart(&r->ingest, &r->err);
}

static int32_t begin_member(ims_archive_reader *r, const ims_tar_entry *e) {
  ims_archive_member *m;
  int32_t rc = ims_archive_members_add(&r->members, e, &m, &r->err);
  if (rc || !m || m->kind == IMS_ARCHIVE_LINK)
    return rc;
  r->in_member = true;
  memset(&r->claimed, 0, sizeof r->claimed);
  ims_buf_clear(&r->text);
  return m->kind == IMS_ARCHIVE_FILE ? begin_file(r) : IMGSTORE_OK;
}

/* --- content --------------------------------------------------------------------------------------------------------
 */

static int32_t take_data(ims_archive_reader *r, const uint8_t *data, size_t size) {
  int32_t rc = IMGSTORE_OK;
  if (current(r)->kind == IMS_ARCHIVE_DOCUMENT)
    return ims_buf_append(&r->text, data, size) ? ims_fail_nomem(&r->err) : IMGSTORE_OK;
  if (current(r)->kind != IMS_ARCHIVE_FILE)
    return IMGSTORE_OK;
  if (r->claimed.algorithm && r->present)
    ims_hash_update(&r->hash, data, size);
  else
    rc = ims_ingest_write(&r->ingest, data, size, &r->err);
  if (!rc)
    rc = ims_archive_content_update(&r->content, data, size, &r->err);
  if (rc && rc != IMGSTORE_ENOMEM)
    ims_error_prefix(&r->err, "member \"%.256s\"", current(r)->path);
  return rc;
}

static int32_t end_document(ims_archive_reader *r) {
  current(r)->text = ims_buf_detach(&r->text, NULL);
  return current(r)->text ? IMGSTORE_OK : ims_fail_nomem(&r->err);
}

static int32_t check_claim(ims_archive_reader *r) {
  if (!r->claimed.algorithm || ims_digest_equal(&r->claimed, &current(r)->digest))
    return IMGSTORE_OK;
  return ims_fail(&r->err, IMGSTORE_EDIGEST, "member \"%s\": its content hashes to %s", current(r)->path,
                  current(r)->digest.text);
}

static int32_t end_file(ims_archive_reader *r) {
  ims_archive_member *m = current(r);
  int32_t rc = ims_archive_content_finish(&r->content, &m->diff_id, &r->err);
  if (rc)
    return rc == IMGSTORE_ENOMEM ? rc : ims_error_prefix(&r->err, "member \"%.256s\"", m->path);
  m->format = r->content.format;
  if (!r->present && r->ingest.unnamed)
    rc = ims_ingest_name(&r->ingest, &r->err);
  if (rc)
    return rc;
  if (r->present)
    ims_digest_from_hash(&m->digest, &r->hash);
  else
    m->digest = r->ingest.digest;
  if (m->format == IMS_FORMAT_NONE)
    m->diff_id = m->digest;
  rc = check_claim(r);
  if (!rc)
    set_state(r, AT_LEASE); /* also when it was there: it must stay */
  return rc;
}

static int32_t end_member(ims_archive_reader *r) {
  if (!r->in_member)
    return IMGSTORE_OK;
  r->in_member = false;
  switch (current(r)->kind) {
  case IMS_ARCHIVE_DOCUMENT:
    return end_document(r);
  case IMS_ARCHIVE_FILE:
    return end_file(r);
  default:
    return IMGSTORE_OK;
  }
}

static int32_t commit(ims_archive_reader *r) {
  if (r->present)
    return IMGSTORE_OK;
  const ims_digest digest = r->ingest.digest;
  bool there = false, damaged;
  int32_t rc = ims_blob_find(r->store, &digest, UINT64_MAX, &there, &damaged, &r->err);
  if (!rc && there) {
    ims_ingest_close(&r->ingest, false);
    return IMGSTORE_OK;
  }
  if (!rc)
    rc = ims_ingest_verify(&r->ingest, &r->err);
  if (!rc)
    rc = ims_ingest_commit(&r->ingest, &r->err);
  if (!rc && !ims_digest_set_add(&r->brought, &digest))
    rc = ims_fail_nomem(&r->err);
  return rc;
}

/* --- the tar --------------------------------------------------------------------------------------------------------
 */

static int32_t take_event(ims_archive_reader *r, const ims_tar_event *event) {
  switch (event->type) {
  case IMS_TAR_ENTRY:
    return begin_member(r, event->entry);
  case IMS_TAR_DATA:
    return r->in_member ? take_data(r, event->data, event->data_size) : IMGSTORE_OK;
  case IMS_TAR_ENTRY_END:
    return end_member(r);
  default:
    return IMGSTORE_OK;
  }
}

static int32_t finish_members(ims_archive_reader *r) {
  int32_t rc = ims_tar_reader_finish(r->tar, &r->err);
  if (rc)
    return rc;
  rc = ims_archive_members_sort(&r->members, &r->err);
  if (rc)
    return rc;
  set_state(r, AT_READ);
  return IMGSTORE_OK;
}

static int32_t refill(ims_archive_reader *r) {
  int32_t rc = ims_input_next(&r->input, &r->data, &r->left, &r->err);
  if (!rc && !r->left)
    r->input_ended = true;
  return rc;
}

static int32_t read_members(ims_archive_reader *r) {
  size_t work = 0;
  int32_t rc = IMGSTORE_OK;
  while (!rc && atomic_load(&r->state) == AT_MEMBERS && work < TASK_BUDGET) {
    ims_tar_event event;
    size_t used;
    rc = ims_tar_reader_next(r->tar, r->data, r->left, &used, &event, &r->err);
    if (rc)
      return rc;
    r->data += used;
    r->left -= used;
    work += used;
    if (event.type != IMS_TAR_MORE)
      rc = take_event(r, &event);
    else if (r->input_ended)
      return finish_members(r);
    else if (!r->left)
      rc = refill(r);
  }
  if (!rc && atomic_load(&r->state) == AT_MEMBERS)
    ims_task_wake(&r->task);
  return rc == IMGSTORE_EAGAIN ? IMGSTORE_OK : rc;
}

/* --- late checks ----------------------------------------------------------------------------------------------------
 */

static int32_t read_check(ims_archive_reader *r, const check *c) {
  size_t got = 1, work = 0;
  int32_t rc = IMGSTORE_OK;
  if (!r->stream)
    rc = ims_stream_open(&r->stream, r->store, &c->member->digest, c->member->format, &c->expected, &r->err);
  while (!rc && got && work < TASK_BUDGET) {
    rc = ims_stream_read(r->stream, r->piece, CHECK_PIECE, &got, &r->err);
    work += got;
  }
  if (rc)
    return ims_error_prefix(&r->err, "member \"%.256s\": not the layer that the config says", c->member->path);
  if (!got) {
    ims_stream_close(r->stream);
    r->stream = NULL;
    r->checked++;
  }
  return rc;
}

static int32_t run_checks(ims_archive_reader *r) {
  if (r->checked == r->check_count) {
    set_state(r, AT_CHECKED);
    return IMGSTORE_OK;
  }
  int32_t rc = read_check(r, &r->checks[r->checked]);
  if (!rc)
    ims_task_wake(&r->task);
  return rc;
}

static void run_task(ims_task *task) {
  ims_archive_reader *r = (ims_archive_reader *)task;
  int32_t rc = IMGSTORE_OK;
  int state = atomic_load(&r->state);
  if (state == AT_LEASED) {
    rc = commit(r);
    if (!rc)
      atomic_store(&r->state, state = AT_MEMBERS);
  }
  if (!rc && state == AT_MEMBERS)
    rc = read_members(r);
  else if (!rc && state == AT_CHECKS)
    rc = run_checks(r);
  if (rc)
    set_state(r, AT_FAILED);
}

/* --- the driver's side ----------------------------------------------------------------------------------------------
 */

static int32_t start(ims_archive_reader *r, const char *path, int fd, ims_error *err) {
  const ims_core *core = r->op->core;
  const ims_tar_limits limits = {core->limits.max_layer_entries, core->limits.max_path_depth};
  r->piece = ims_malloc(&core->alloc, CHECK_PIECE);
  if (!r->piece)
    return ims_fail_nomem(err);
  r->data = r->piece; /* nothing yet */
  int32_t rc = ims_archive_content_init(&r->content, core, err);
  if (!rc)
    rc = ims_tar_reader_new(&r->tar, &core->alloc, &limits, err);
  return rc ? rc : ims_input_open(&r->input, r->op, path, fd, &r->task, err);
}

int32_t ims_archive_reader_new(ims_archive_reader **reader, imgstore_operation *op, imgstore_store *store,
                               ims_lease *lease, const char *path, int fd, ims_error *err) {
  *reader = NULL;
  ims_archive_reader *r = ims_calloc(&op->core->alloc, 1, sizeof *r);
  if (!r)
    return ims_fail_nomem(err);
  r->op = op;
  r->store = store;
  r->lease = lease;
  atomic_init(&r->state, AT_MEMBERS);
  ims_archive_members_init(&r->members, op->core);
  ims_digest_set_init(&r->brought, &op->core->alloc);
  ims_buf_init(&r->text, &op->core->alloc, SIZE_MAX - 1);
  bool concurrent = store->storage.flags & IMGSTORE_STORAGE_CONCURRENT;
  ims_task_init(&r->task, &op->lane, concurrent ? op->core->pool : NULL, run_task);
  int32_t rc = start(r, path, fd, err);
  if (rc) {
    ims_archive_reader_free(r);
    return rc;
  }
  *reader = r;
  return IMGSTORE_OK;
}

static int32_t failed(ims_archive_reader *r) {
  r->op->err = r->err;
  return ims_error_prefix(&r->op->err, "%s", r->input.name);
}

int32_t ims_archive_reader_advance(ims_archive_reader *r, int64_t now) {
  int32_t rc = ims_input_advance(&r->input);
  if (!rc)
    rc = ims_input_report(&r->input, now);
  if (rc)
    return rc;
  switch (atomic_load(&r->state)) {
  case AT_LEASE:
    rc = ims_lease_add(r->lease, &current(r)->digest, &r->op->err);
    if (rc)
      return rc;
    atomic_store(&r->state, AT_LEASED);
    ims_task_wake(&r->task);
    return IMGSTORE_EAGAIN;
  case AT_READ:
  case AT_CHECKED:
    return IMGSTORE_OK;
  case AT_FAILED:
    return failed(r);
  default:
    return IMGSTORE_EAGAIN;
  }
}

const char *ims_archive_name(const ims_archive_reader *r) {
  return r->input.name;
}

const ims_archive_member *ims_archive_find(const ims_archive_reader *r, const char *path) {
  return ims_archive_members_find(&r->members, path);
}

const ims_digest_set *ims_archive_brought(const ims_archive_reader *r) {
  return &r->brought;
}

int32_t ims_archive_check_later(ims_archive_reader *r, const ims_archive_member *member, const ims_digest *expected) {
  uint32_t *slot = &r->members.items[member - r->members.items].check[expected->algorithm];
  if (*slot && ims_digest_equal(&r->checks[*slot - 1].expected, expected))
    return IMGSTORE_OK;
  if (*slot)
    return ims_fail(&r->op->err, IMGSTORE_EDIGEST, "member \"%.256s\": is said to be %s and to be %s", member->path,
                    r->checks[*slot - 1].expected.text, expected->text);
  if (r->check_count == r->check_capacity) {
    size_t capacity = r->check_capacity ? r->check_capacity * 2 : 16;
    check *checks = ims_realloc_array(&r->op->core->alloc, r->checks, capacity, sizeof *checks);
    if (!checks)
      return ims_fail_nomem(&r->op->err);
    r->checks = checks;
    r->check_capacity = capacity;
  }
  r->checks[r->check_count++] = (check){member, *expected};
  *slot = (uint32_t)r->check_count;
  return IMGSTORE_OK;
}

void ims_archive_run_checks(ims_archive_reader *r) {
  if (!r->check_count)
    return;
  atomic_store(&r->state, AT_CHECKS);
  ims_task_wake(&r->task);
}

void ims_archive_reader_stop(ims_archive_reader *r) {
  ims_input_end(&r->input);
  ims_task_stop(&r->task);
  ims_ingest_close(&r->ingest, false);
  ims_stream_close(r->stream);
  r->stream = NULL;
}

void ims_archive_reader_free(ims_archive_reader *r) {
  if (!r)
    return;
  const ims_alloc *alloc = &r->op->core->alloc;
  ims_archive_reader_stop(r);
  ims_archive_members_free(&r->members);
  ims_archive_content_free(&r->content);
  ims_tar_reader_free(r->tar);
  ims_digest_set_free(&r->brought);
  ims_buf_free(&r->text);
  ims_free(alloc, r->checks);
  ims_free(alloc, r->piece);
  ims_free(alloc, r);
}
