/*
 * engine/save_dir.c (L4) - images into an OCI image-layout directory: the job of bring.h with the directory as its
 * destination. A new directory is made under another name and renamed when it is complete.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "engine/archive_jobs.h"
#include "engine/bring.h"
#include "engine/save_plan.h"
#include "rootfs/apply.h"

typedef struct save_dir_job {
  bring bring; /* first member */
  ims_lease source_lease;
  ims_save_plan plan;
  char *path;
  char *temp; /* the name of a new directory until it is complete, or NULL */
} save_dir_job;

static int open_dir(const ims_core *core, int at, const char *path) {
  return core->sys->openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
}

/* Removes a tree that this job made. Failures leave it. */
static void remove_tree(ims_core *core, int at, const char *path) {
  int fd = open_dir(core, at, path);
  if (fd < 0)
    return;
  ims_tree_remove(core, fd, NULL);
  core->sys->close(fd);
  core->sys->unlinkat(at, path, AT_REMOVEDIR);
}

static int32_t flush_parent(save_dir_job *j) {
  const ims_core *core = j->bring.op.core;
  const char *slash = strrchr(j->path, '/');
  size_t size = slash ? (size_t)(slash - j->path) + 1 : 0;
  char *parent = size ? ims_strndup(&core->alloc, j->path, size) : ims_strdup(&core->alloc, ".");
  if (!parent)
    return ims_fail_nomem(&j->bring.op.err);
  int fd = core->sys->openat(AT_FDCWD, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  int failed = fd < 0 || core->sys->fsync(fd) ? errno : 0;
  if (fd >= 0)
    core->sys->close(fd);
  ims_free(&core->alloc, parent);
  return failed ? ims_fail_os(&j->bring.op.err, failed, "%s: cannot flush its parent directory", j->path) : IMGSTORE_OK;
}

/* The private folder of the store that it was while it was written goes first: nobody else has used it. */
static int32_t publish(save_dir_job *j) {
  ims_core *core = j->bring.op.core;
  int fd = open_dir(core, AT_FDCWD, j->temp);
  if (fd < 0)
    return ims_fail_os(&j->bring.op.err, errno, "%s: cannot open", j->temp);
  remove_tree(core, fd, ".imgstore");
  core->sys->close(fd);
  if (core->sys->renameat2(AT_FDCWD, j->temp, AT_FDCWD, j->path, 0))
    return ims_fail_os(&j->bring.op.err, errno, "%s: cannot give it its name", j->path);
  ims_free(&core->alloc, j->temp);
  j->temp = NULL;
  return flush_parent(j);
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  save_dir_job *j = (save_dir_job *)op;
  int32_t rc = bring_job.advance(op, now);
  return !rc && j->temp ? publish(j) : rc;
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  return bring_job.timeout(op, now);
}

static void end(imgstore_operation *op, int32_t result) {
  save_dir_job *j = (save_dir_job *)op;
  bring_job.end(op, result);
  ims_lease_close(&j->source_lease);
  if (j->temp)
    remove_tree(op->core, AT_FDCWD, j->temp);
}

static void destroy(imgstore_operation *op) {
  save_dir_job *j = (save_dir_job *)op;
  ims_save_plan_free(&j->plan);
  ims_free(&op->core->alloc, j->path);
  ims_free(&op->core->alloc, j->temp);
  bring_job.destroy(op);
}

static const ims_job save_dir_job_type = {advance, timeout, end, destroy};

static int32_t add_roots(save_dir_job *j) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < j->plan.entry_count; i++) {
    const ims_save_entry *e = &j->plan.entries[i];
    imgstore_descriptor d;
    memset(&d, 0, sizeof d);
    d.digest = e->target.digest;
    d.size = e->target.size;
    d.media_type = e->target.media_type;
    if (!e->name_count)
      return ims_fail(&j->bring.op.err, IMGSTORE_EINVALID, "image %s: a directory needs its name, not its ID",
                      d.digest.text);
    for (size_t k = 0; !rc && k < e->name_count; k++)
      rc = bring_add_root(&j->bring, e->names[k], &d);
  }
  return rc;
}

/* What is going to be there: path when there is a directory, another name when there is nothing. */
static int32_t choose_directory(save_dir_job *j, const char *path) {
  ims_error *err = &j->bring.op.err;
  const ims_core *core = j->bring.op.core;
  const ims_alloc *alloc = &core->alloc;
  struct stat st;
  uint64_t random;
  ims_buf text;
  size_t size = strlen(path);
  while (size > 1 && path[size - 1] == '/')
    size--;
  j->path = ims_strndup(alloc, path, size);
  if (!j->path)
    return ims_fail_nomem(err);
  if (!core->sys->fstatat(AT_FDCWD, j->path, &st, 0))
    return S_ISDIR(st.st_mode) ? IMGSTORE_OK
                               : ims_fail(err, IMGSTORE_EEXISTS, "%s: is there and is no directory", j->path);
  if (errno != ENOENT)
    return ims_fail_os(err, errno, "%s: cannot look at it", j->path);
  if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
    return ims_fail_os(err, errno, "%s: cannot make a name", j->path);
  ims_buf_init(&text, alloc, size + 64);
  ims_buf_printf(&text, "%s.imgstore-%016llx.tmp", j->path, (unsigned long long)random);
  j->temp = ims_buf_detach(&text, NULL);
  ims_buf_free(&text);
  return j->temp ? IMGSTORE_OK : ims_fail_nomem(err);
}

static int32_t open_destination(save_dir_job *j) {
  ims_core *core = j->bring.op.core;
  imgstore_storage storage;
  imgstore_store_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  int32_t rc = ims_layout_storage_open(core, j->temp ? j->temp : j->path, &options, &storage, &j->bring.op.err);
  imgstore_store *store;
  if (!rc)
    rc = ims_store_new(&store, core, &storage, &j->bring.op.err);
  if (rc)
    return rc;
  ims_store_unref(j->bring.store);
  j->bring.store = store;
  return IMGSTORE_OK;
}

static int32_t setup(save_dir_job *j, imgstore_store *source, const char *const *names, size_t count, const char *path,
                     const imgstore_save_options *options) {
  bring *b = &j->bring;
  b->source = ims_store_ref(source);
  b->all_platforms = b->sparse = true;
  j->plan.store = source;
  j->plan.lease = &j->source_lease;
  j->plan.all_platforms = options->flags & IMGSTORE_SAVE_ALL_PLATFORMS;
  j->plan.platform_text = options->platform;
  if (!(b->op.report = ims_report_new(&b->op.core->alloc)))
    return ims_fail_nomem(&b->op.err);
  int32_t rc = ims_lease_open(&j->source_lease, source, &b->op.err);
  if (!rc)
    rc = ims_save_plan_make(&j->plan, names, count, &b->op.err);
  j->plan.platform_text = NULL;
  if (!rc)
    rc = choose_directory(j, path);
  if (!rc)
    rc = open_destination(j);
  return rc ? rc : add_roots(j);
}

int32_t ims_save_dir_start(imgstore_operation **op, imgstore_store *store, const char *const *names, size_t count,
                           const char *path, const imgstore_save_options *options, ims_error *err) {
  bring *b;
  *op = NULL;
  int32_t rc = bring_new(&b, sizeof(save_dir_job), store, options->progress, options->progress_data, err);
  if (rc)
    return rc;
  b->op.job = &save_dir_job_type;
  rc = setup((save_dir_job *)b, store, names, count, path, options);
  if (rc)
    return bring_give_up(b, rc, err);
  *op = &b->op;
  return IMGSTORE_OK;
}
