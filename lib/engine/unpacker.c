/*
 * engine/unpacker.c (L4) - layers into one directory. Knows nothing of registries or manifests.
 */
#include "engine/unpacker.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "engine/layer_pipe.h"
#include "rootfs/apply.h"

struct ims_unpacker {
  imgstore_operation *op;
  char *directory;
  int root_fd;
  bool made_directory;
  ims_apply *apply;
  ims_layer_pipe *pipe;
  size_t done;
};

static int32_t feed(void *data, const uint8_t *bytes, size_t size, ims_error *err) {
  return ims_apply_feed(((ims_unpacker *)data)->apply, bytes, size, err);
}

static int32_t end(void *data, ims_error *err) {
  return ims_apply_end_layer(((ims_unpacker *)data)->apply, err);
}

static int32_t finish(void *data, ims_error *err) {
  return ims_apply_finish(((ims_unpacker *)data)->apply, err);
}

static int32_t require_empty(ims_unpacker *u, ims_error *err) {
  char entries[1024];
  long size = u->op->core->sys->getdents64(u->root_fd, entries, sizeof entries);
  if (size < 0)
    return ims_fail_os(err, errno, "cannot read directory \"%s\"", u->directory);
  /* "." and ".." are 24 bytes each in linux_dirent64 */
  if (size > 48)
    return ims_fail(err, IMGSTORE_EEXISTS, "directory \"%s\" is not empty", u->directory);
  return IMGSTORE_OK;
}

static int32_t open_directory(ims_unpacker *u, ims_error *err) {
  const ims_sys *sys = u->op->core->sys;
  u->made_directory = sys->mkdirat(AT_FDCWD, u->directory, 0755) == 0;
  if (!u->made_directory && errno != EEXIST)
    return ims_fail_os(err, errno, "cannot make directory \"%s\"", u->directory);
  u->root_fd = sys->openat(AT_FDCWD, u->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (u->root_fd < 0)
    return ims_fail_os(err, errno, "cannot open directory \"%s\"", u->directory);
  if (!u->made_directory)
    return require_empty(u, err);
  if (sys->fchmod(u->root_fd, 0755)) /* exact, whatever the umask */
    return ims_fail_os(err, errno, "cannot set the mode of directory \"%s\"", u->directory);
  return IMGSTORE_OK;
}

static int32_t setup(ims_unpacker *u, imgstore_store *store, const char *directory,
                     const imgstore_unpack_options *options, ims_error *err) {
  ims_core *core = u->op->core;
  u->directory = ims_strdup(&core->alloc, directory);
  if (!u->directory)
    return ims_fail_nomem(err);
  if (!u->op->report && !(u->op->report = ims_report_new(&core->alloc)))
    return ims_fail_nomem(err);
  int32_t rc = ims_layer_pipe_new(&u->pipe, u->op, store, err);
  if (!rc)
    rc = open_directory(u, err);
  return rc ? rc : ims_apply_new(&u->apply, core, u->root_fd, options, u->op->report, err);
}

int32_t ims_unpacker_new(ims_unpacker **unpacker, imgstore_operation *op, imgstore_store *store, const char *directory,
                         const imgstore_unpack_options *options, ims_error *err) {
  *unpacker = NULL;
  ims_unpacker *u = ims_calloc(&op->core->alloc, 1, sizeof *u);
  if (!u)
    return ims_fail_nomem(err);
  u->op = op;
  u->root_fd = -1;
  int32_t rc = setup(u, store, directory, options, err);
  if (rc) {
    if (u->made_directory)
      op->core->sys->unlinkat(AT_FDCWD, directory, AT_REMOVEDIR);
    ims_unpacker_free(u, true);
    return rc;
  }
  *unpacker = u;
  return IMGSTORE_OK;
}

bool ims_unpacker_is_idle(const ims_unpacker *u) {
  return ims_layer_pipe_is_idle(u->pipe);
}

size_t ims_unpacker_done(const ims_unpacker *u) {
  return u->done;
}

int32_t ims_unpacker_begin(ims_unpacker *u, const imgstore_descriptor *layer, const ims_digest *diff_id,
                           ims_transfer *stream) {
  const ims_layer_sink sink = {feed, end, u};
  int32_t rc = ims_apply_begin_layer(u->apply, &u->op->err);
  return rc ? rc : ims_layer_pipe_begin(u->pipe, layer, diff_id, stream, &sink);
}

int32_t ims_unpacker_advance(ims_unpacker *u, const ims_digest *diff_id, int64_t now) {
  int32_t rc = ims_layer_pipe_advance(u->pipe, diff_id, now);
  u->done += ims_layer_pipe_is_idle(u->pipe);
  return rc;
}

int32_t ims_unpacker_finish(ims_unpacker *u) {
  int32_t rc = ims_layer_pipe_work(u->pipe, finish, u);
  return rc && rc != IMGSTORE_EAGAIN ? ims_error_prefix(&u->op->err, "directory \"%s\"", u->directory) : rc;
}

static void remove_all(ims_unpacker *u) {
  ims_error ignored = IMS_ERROR_INIT; /* the failure that brought us here is what the caller must hear of */
  ims_tree_remove(u->op->core, u->root_fd, &ignored);
  if (u->made_directory)
    u->op->core->sys->unlinkat(AT_FDCWD, u->directory, AT_REMOVEDIR);
}

void ims_unpacker_free(ims_unpacker *u, bool keep) {
  if (!u)
    return;
  ims_core *core = u->op->core;
  ims_layer_pipe_free(u->pipe);
  ims_apply_free(u->apply);
  if (!keep && u->root_fd >= 0)
    remove_all(u);
  if (u->root_fd >= 0)
    core->sys->close(u->root_fd);
  ims_free(&core->alloc, u->directory);
  ims_free(&core->alloc, u);
}
