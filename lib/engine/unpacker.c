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

static int32_t prepare_decoder(ims_unpacker *u) {
  const imgstore_context_options *limits = &u->op->core->limits;
  const ims_decoder_limits decoder_limits = {limits->max_layer_output, limits->max_layer_ratio,
                                             limits->max_zstd_window};
  ims_decoder **decoder = &u->decoder[u->format];
  if (*decoder)
    return ims_decoder_reset(*decoder, &u->op->err);
  return ims_decoder_new(decoder, &u->op->core->alloc, u->format, IMS_ENGINE_BEST, &decoder_limits, &u->op->err);
}

static int32_t open_source(ims_unpacker *u, ims_transfer *stream) {
  if (stream) {
    int32_t rc = ims_transfer_follow(stream, &u->inflate.task);
    if (!rc)
      u->stream = stream;
    return rc;
  }
  int32_t rc = ims_blob_open(&u->blob, u->store, &u->layer->digest, &u->op->err);
  if (rc)
    return ims_fail(&u->op->err, rc, "layer %s: not in the store", u->layer->digest.text);
  u->has_blob = true;
  return IMGSTORE_OK;
}

int32_t ims_unpacker_begin(ims_unpacker *u, const imgstore_descriptor *layer, const ims_digest *diff_id,
                           ims_transfer *stream) {
  u->layer = layer;
  u->format = ims_media_layer_format(layer->media_type);
  if (u->format < 0)
    return ims_fail(&u->op->err, IMGSTORE_EUNSUPPORTED, "layer %s: cannot unpack media type \"%s\"", layer->digest.text,
                    layer->media_type);
  int32_t rc = prepare_decoder(u);
  if (!rc)
    rc = ims_apply_begin_layer(u->apply, &u->op->err);
  if (!rc)
    rc = open_source(u, stream);
  if (rc)
    return rc;
  ims_ring_reset(&u->out);
  ims_ring_attach(&u->out, READER_APPLY);
  ims_ring_attach(&u->out, READER_HASH);
  stage *stages[] = {&u->inflate, &u->applier, &u->hasher};
  for (size_t i = 0; i < 3; i++)
    atomic_store(&stages[i]->done, false);
  atomic_store(&u->stalled, false);
  atomic_store(&u->input_offset, 0);
  u->input_at = u->input_size = 0;
  u->reported_at = u->reported = 0;
  u->busy = true;
  ims_hash_init(&u->hash, diff_id ? diff_id->algorithm : layer->digest.algorithm);
  ims_task_wake(&u->inflate.task);
  return IMGSTORE_OK;
}

/* The stages wake each other, so one that was stopped may be queued again by a run of another that had begun before.
   Once all were seen at rest, whatever is queued does nothing and wakes nobody: the second round ends it. */
static void stop_stages(ims_unpacker *u) {
  atomic_store(&u->ending, true);
  for (int round = 0; round < 2; round++) {
    ims_task_stop(&u->inflate.task);
    ims_task_stop(&u->applier.task);
    ims_task_stop(&u->hasher.task);
  }
}

static void close_source(ims_unpacker *u) {
  if (u->stream)
    ims_transfer_unfollow(u->stream);
  u->stream = NULL;
  if (u->has_blob)
    ims_blob_close(&u->blob);
  u->has_blob = false;
}

/* What broke while it streamed in may not be what the digest names: that is for the transfer to say, which goes on. */
static bool await_judge(ims_unpacker *u, int32_t code) {
  if (u->stream && code == IMGSTORE_EFORMAT) {
    u->judge = u->stream;
    stop_stages(u);
    close_source(u);
  }
  return u->judge && !ims_transfer_is_finished(u->judge);
}

static int32_t check_stages(ims_unpacker *u) {
  stage *stages[] = {&u->inflate, &u->applier, &u->hasher};
  for (size_t i = 0; i < 3; i++) {
    if (!atomic_load(&stages[i]->failed))
      continue;
    if (await_judge(u, stages[i]->err.code))
      return IMGSTORE_EAGAIN;
    u->op->err = stages[i]->err;
    return ims_error_prefix(&u->op->err, "layer %s", u->layer->digest.text);
  }
  return IMGSTORE_OK;
}

static int32_t report(ims_unpacker *u, int64_t now) {
  uint64_t offset = atomic_load(&u->input_offset);
  if (now - u->reported_at < IMS_PROGRESS_INTERVAL || offset == u->reported)
    return IMGSTORE_OK;
  u->reported_at = now;
  u->reported = offset;
  return ims_operation_event(u->op, IMGSTORE_EVENT_UNPACKING, IMGSTORE_OBJECT_LAYER, u->layer->digest.text, NULL,
                             offset, u->layer->size);
}

static int32_t check_diff_id(ims_unpacker *u, const ims_digest *expected) {
  ims_digest got;
  if (expected->algorithm != u->hash.algorithm)
    return ims_fail(&u->op->err, IMGSTORE_EUNSUPPORTED, "layer %s: diffID %s has another algorithm",
                    u->layer->digest.text, expected->text);
  ims_digest_from_hash(&got, &u->hash);
  if (ims_digest_equal(&got, expected))
    return IMGSTORE_OK;
  return ims_fail(&u->op->err, IMGSTORE_EDIGEST, "layer %s: unpacks to %s, but the config says diffID %s",
                  u->layer->digest.text, got.text, expected->text);
int32_t ims_unpacker_begin(ims_unpacker *u, const imgstore_descriptor *layer, ims_transfer *stream) {
  const ims_layer_sink sink = {feed, end, u};
  int32_t rc = ims_apply_begin_layer(u->apply, &u->op->err);
  return rc ? rc : ims_layer_pipe_begin(u->pipe, layer, stream, &sink);
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
