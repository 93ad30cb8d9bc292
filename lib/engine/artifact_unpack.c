/*
 * engine/artifact_unpack.c (L4) - the files of an artifact into a directory. Titles come from strangers: they are names
 * in that directory, or nothing is written. A file gets its name when it was verified.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/artifact.h"
#include "engine/build_publish.h"
#include "engine/content.h"

enum { PIECE = 1 << 20, TEMPORARY = 64 };
#define TITLE "org.opencontainers.image.title"

typedef struct unpack_job {
  ims_step_job base; /**< first member */
  ims_core *core;
  imgstore_store *store;
  imgstore_manifest *manifest;
  ims_lease lease;
  int dir, fd;
  size_t next, named; /**< files that have their name */
  imgstore_stream *stream;
  char temporary[TEMPORARY];
  uint8_t *piece;
  bool complete;
} unpack_job;

static unpack_job *job_of(ims_step_job *j) {
  return (unpack_job *)j;
}

static const char *name_of(const imgstore_descriptor *d) {
  const char *title = ims_descriptor_annotation(d, TITLE);
  return title ? title : ims_digest_hex(&d->digest);
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static int32_t check_names(unpack_job *j, ims_error *err) {
  const imgstore_manifest *m = j->manifest;
  struct stat st;
  for (size_t i = 0; i < m->count; i++) {
    const char *name = name_of(&m->entries[i]);
    int32_t rc = ims_artifact_title_check(name, err);
    for (size_t k = 0; !rc && k < i; k++)
      if (strcmp(name, name_of(&m->entries[k])) == 0)
        rc = ims_fail(err, IMGSTORE_EFORMAT, "title \"%.200s\": comes twice", name);
    if (rc)
      return rc;
    if (!j->core->sys->fstatat(j->dir, name, &st, AT_SYMLINK_NOFOLLOW))
      return ims_fail(err, IMGSTORE_EEXISTS, "%s: is there already", name);
  }
  return IMGSTORE_OK;
}

/* --- one file ----------------------------------------------------------------------------------------------------- */

static int32_t open_file(unpack_job *j, const imgstore_descriptor *d, ims_error *err) {
  int n = snprintf(j->temporary, sizeof j->temporary, ".imgstore-%d-%zu.tmp", (int)getpid(), j->next);
  if (n < 0)
    return ims_fail(err, IMGSTORE_EIO, "%s: cannot be named", name_of(d));
  j->fd = j->core->sys->openat(j->dir, j->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (j->fd < 0) {
    j->temporary[0] = '\0';
    return ims_fail_os(err, errno, "%s: cannot be made", name_of(d));
  }
  return ims_stream_open(&j->stream, j->store, &d->digest, 0, &d->digest, err);
}

static int32_t write_all(unpack_job *j, const uint8_t *data, size_t size, const char *name, ims_error *err) {
  while (size) {
    ssize_t n = j->core->sys->write(j->fd, data, size);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return ims_fail_os(err, errno, "%s: cannot write", name);
    data += n;
    size -= (size_t)n;
  }
  return IMGSTORE_OK;
}

/* The name must still be free: nothing of somebody else's is written over. */
static int32_t give_name(unpack_job *j, const char *name, ims_error *err) {
  enum { NOREPLACE = 1 };
  const ims_sys *sys = j->core->sys;
  if (sys->close(j->fd)) {
    j->fd = -1;
    return ims_fail_os(err, errno, "%s: cannot write", name);
  }
  j->fd = -1;
  if (sys->renameat2(j->dir, j->temporary, j->dir, name, NOREPLACE)) {
    bool unknown = errno == EINVAL || errno == ENOSYS; /* a file system that cannot */
    if (!unknown || sys->linkat(j->dir, j->temporary, j->dir, name, 0))
      return ims_fail_os(err, errno, "%s: cannot be named", name);
    sys->unlinkat(j->dir, j->temporary, 0);
  }
  j->temporary[0] = '\0';
  j->named = ++j->next;
  return IMGSTORE_OK;
}

static int32_t step(ims_step_job *base, ims_error *err) {
  unpack_job *j = job_of(base);
  size_t got;
  if (j->next == j->manifest->count)
    return IMGSTORE_OK;
  const imgstore_descriptor *d = &j->manifest->entries[j->next];
  int32_t rc = j->stream ? IMGSTORE_OK : open_file(j, d, err);
  if (!rc)
    rc = ims_stream_read(j->stream, j->piece, PIECE, &got, err);
  if (!rc && got)
    rc = write_all(j, j->piece, got, name_of(d), err);
  if (rc || got)
    return rc ? rc : IMGSTORE_EAGAIN;
  ims_stream_close(j->stream);
  j->stream = NULL;
  rc = give_name(j, name_of(d), err);
  return rc ? rc : IMGSTORE_EAGAIN;
}

static int32_t finish(ims_step_job *base, ims_error *err) {
  job_of(base)->complete = true;
  return IMGSTORE_OK;
}

/* --- the job ------------------------------------------------------------------------------------------------------ */

/* A failed job leaves nothing of its own. */
static void end(ims_step_job *base, int32_t result) {
  unpack_job *j = job_of(base);
  const ims_sys *sys = j->core->sys;
  ims_stream_close(j->stream);
  j->stream = NULL;
  if (j->fd >= 0)
    sys->close(j->fd);
  if (j->temporary[0])
    sys->unlinkat(j->dir, j->temporary, 0);
  for (size_t i = 0; !j->complete && i < j->named; i++)
    sys->unlinkat(j->dir, name_of(&j->manifest->entries[i]), 0);
  if (j->dir >= 0)
    sys->close(j->dir);
  ims_lease_close(&j->lease);
}

static void free_job(ims_step_job *base) {
  unpack_job *j = job_of(base);
  imgstore_manifest_unref(j->manifest);
  ims_free(&j->core->alloc, j->piece);
  ims_store_unref(j->store);
}

static const ims_step_type unpack_type = {step, finish, end, free_job};

static int32_t find(unpack_job *j, const char *name, ims_error *err) {
  ims_target target;
  ims_buf found;
  ims_buf_init(&found, &j->core->alloc, SIZE_MAX - 1);
  int32_t rc = ims_store_resolve(j->store, name, &target, &found, err);
  ims_buf_free(&found);
  if (!rc)
    rc = ims_lease_open(&j->lease, j->store, err);
  if (!rc)
    rc = ims_hold_target(&j->lease, &target.digest, target.size, target.media_type, err);
  if (!rc)
    rc = ims_store_manifest_load(j->store, &target.digest, target.media_type, &j->manifest, err);
  if (!rc && j->manifest->kind == IMGSTORE_MANIFEST_INDEX)
    rc = ims_fail(err, IMGSTORE_EINVALID, "%s: is an index, not an artifact", name);
  return rc;
}

static int32_t begin(unpack_job *j, const char *name, const char *directory, ims_error *err) {
  int32_t rc = find(j, name, err);
  if (rc)
    return rc;
  j->piece = ims_malloc(&j->core->alloc, PIECE);
  if (!j->piece)
    return ims_fail_nomem(err);
  j->dir = j->core->sys->openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (j->dir < 0)
    return ims_fail_os(err, errno, "%s", directory);
  return check_names(j, err);
}

int32_t ims_artifact_unpack_start(imgstore_operation **op, imgstore_store *store, const char *name,
                                  const char *directory, ims_error *err) {
  ims_core *core = store->core;
  *op = NULL;
  unpack_job *j = ims_calloc(&core->alloc, 1, sizeof *j);
  if (!j)
    return ims_fail_nomem(err);
  j->dir = j->fd = -1;
  j->core = core;
  j->store = ims_store_ref(store);
  int32_t rc = begin(j, name, directory, err);
  if (!rc)
    rc = ims_step_job_init(&j->base, core, &unpack_type, store->storage.flags & IMGSTORE_STORAGE_CONCURRENT, err);
  if (rc) { /* there is no operation yet */
    end(&j->base, rc);
    free_job(&j->base);
    ims_free(&core->alloc, j);
    return rc;
  }
  *op = &j->base.op;
  return IMGSTORE_OK;
}
