/*
 * engine/artifact_make.c (L4) - files into the store: each hashed while it is written, then the manifest that lists
 * them.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "engine/artifact.h"
#include "engine/build_publish.h"
#include "oci/mediatype.h"

enum { PIECE = 1 << 20 };
#define TITLE "org.opencontainers.image.title"

typedef struct make_job {
  ims_step_job base; /**< first member */
  imgstore_artifact *artifact;
  char *name;
  ims_lease lease;
  ims_ingest *ingests;         /**< one for each file */
  imgstore_descriptor *layers; /**< the same */
  ims_pair *titles;            /**< the same */
  size_t next;
  int fd; /**< of file next, or -1 */
  uint8_t *piece;
  imgstore_manifest *manifest;
} make_job;

static make_job *job_of(ims_step_job *j) {
  return (make_job *)j;
}

static int32_t open_file(make_job *j, const ims_artifact_file *f, ims_error *err) {
  const ims_sys *sys = j->artifact->core->sys;
  struct stat st;
  j->fd = sys->openat(AT_FDCWD, f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
  if (j->fd < 0 || sys->fstat(j->fd, &st))
    return ims_fail_os(err, errno, "%s", f->path);
  if (!S_ISREG(st.st_mode))
    return ims_fail(err, IMGSTORE_EINVALID, "%s: is not a regular file", f->path);
  return ims_ingest_create(&j->ingests[j->next], j->artifact->store, err);
}

static int32_t step(ims_step_job *base, ims_error *err) {
  make_job *j = job_of(base);
  const ims_sys *sys = j->artifact->core->sys;
  if (j->next == j->artifact->count)
    return IMGSTORE_OK;
  const ims_artifact_file *f = &j->artifact->files[j->next];
  int32_t rc = j->fd < 0 ? open_file(j, f, err) : IMGSTORE_OK;
  if (rc)
    return rc;
  ssize_t got;
  do
    got = sys->read(j->fd, j->piece, PIECE);
  while (got < 0 && errno == EINTR);
  if (got < 0)
    return ims_fail_os(err, errno, "%s: cannot read", f->path);
  if (got)
    rc = ims_ingest_write(&j->ingests[j->next], j->piece, (size_t)got, err);
  if (rc || got)
    return rc ? rc : IMGSTORE_EAGAIN;
  sys->close(j->fd);
  j->fd = -1;
  j->next++;
  return IMGSTORE_EAGAIN;
}

static int32_t commit(make_job *j, size_t i, ims_error *err) {
  const ims_artifact_file *f = &j->artifact->files[i];
  ims_ingest *ingest = &j->ingests[i];
  int32_t rc = ims_ingest_name(ingest, err);
  if (rc)
    return rc;
  j->titles[i] = (ims_pair){TITLE, f->title};
  j->layers[i] = (imgstore_descriptor){.digest = ingest->digest,
                                       .size = ingest->size,
                                       .media_type = f->media_type,
                                       .annotations = &j->titles[i],
                                       .annotation_count = 1};
  rc = ims_lease_add(&j->lease, &ingest->digest, err);
  if (!rc)
    rc = ims_ingest_verify(ingest, err);
  return rc ? rc : ims_ingest_commit(ingest, err);
}

static int32_t save_empty(make_job *j, ims_error *err) {
  imgstore_descriptor empty;
  ims_empty_descriptor(&empty);
  int32_t rc = ims_lease_add(&j->lease, &empty.digest, err);
  return rc ? rc : ims_blob_save(j->artifact->store, &empty.digest, ims_empty_json, 2, err);
}

static int32_t publish(make_job *j, ims_error *err) {
  const imgstore_artifact *a = j->artifact;
  const ims_manifest_parts parts = {.artifact_type = a->type,
                                    .layers = j->layers,
                                    .layer_count = a->count,
                                    .annotations = a->annotations,
                                    .annotation_count = a->annotation_count};
  ims_digest digest;
  ims_buf text;
  ims_buf_init(&text, &a->core->alloc, (size_t)a->core->limits.max_manifest_bytes);
  int32_t rc = ims_compose_manifest(&text, &parts, err);
  if (!rc)
    rc = ims_manifest_parse(&j->manifest, &a->core->alloc, ims_buf_text(&text), text.size, IMS_MT_OCI_MANIFEST, NULL,
                            NULL, "manifest", err);
  if (!rc)
    rc = ims_publish_manifest(&j->lease, &text, IMS_MT_OCI_MANIFEST, j->name, NULL, &digest, err);
  ims_buf_free(&text);
  return rc;
}

/* Guidance of the image-spec for an artifact without files: the empty blob is its only layer. */
static int32_t finish(ims_step_job *base, ims_error *err) {
  make_job *j = job_of(base);
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < j->artifact->count; i++)
    rc = commit(j, i, err);
  if (!rc)
    rc = save_empty(j, err);
  return rc ? rc : publish(j, err);
}

static void end(ims_step_job *base, int32_t result) {
  make_job *j = job_of(base);
  if (j->fd >= 0)
    j->artifact->core->sys->close(j->fd);
  for (size_t i = 0; j->ingests && i < j->artifact->count; i++)
    ims_ingest_close(&j->ingests[i], false);
  ims_lease_close(&j->lease);
  j->artifact->running = false;
}

static void free_job(ims_step_job *base) {
  make_job *j = job_of(base);
  const ims_alloc *alloc = &j->artifact->core->alloc;
  imgstore_manifest_unref(j->manifest);
  ims_free(alloc, j->ingests);
  ims_free(alloc, j->layers);
  ims_free(alloc, j->titles);
  ims_free(alloc, j->piece);
  ims_free(alloc, j->name);
  ims_artifact_unref(j->artifact);
}

static const ims_step_type make_type = {step, finish, end, free_job};

static int32_t begin(make_job *j, const char *name, ims_error *err) {
  const ims_alloc *alloc = &j->artifact->core->alloc;
  size_t count = j->artifact->count;
  int32_t rc = name ? ims_new_name(alloc, name, &j->name, err) : IMGSTORE_OK;
  if (rc)
    return rc;
  j->ingests = ims_calloc(alloc, count, sizeof *j->ingests);
  j->layers = ims_calloc(alloc, count, sizeof *j->layers);
  j->titles = ims_calloc(alloc, count, sizeof *j->titles);
  j->piece = ims_malloc(alloc, PIECE);
  if (!j->ingests || !j->layers || !j->titles || !j->piece)
    return ims_fail_nomem(err);
  return ims_lease_open(&j->lease, j->artifact->store, err);
}

int32_t ims_artifact_finish_start(imgstore_operation **op, imgstore_artifact *a, const char *name, ims_error *err) {
  *op = NULL;
  if (a->running)
    return ims_fail(err, IMGSTORE_EBUSY, "the artifact is being finished");
  make_job *j = ims_calloc(&a->core->alloc, 1, sizeof *j);
  if (!j)
    return ims_fail_nomem(err);
  j->fd = -1;
  bool concurrent = a->store->storage.flags & IMGSTORE_STORAGE_CONCURRENT;
  j->artifact = a;
  int32_t rc = begin(j, name, err);
  if (!rc)
    rc = ims_step_job_init(&j->base, a->core, &make_type, concurrent, err);
  atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
  if (rc) { /* there is no operation yet */
    ims_core *core = a->core;
    end(&j->base, rc);
    free_job(&j->base);
    ims_free(&core->alloc, j);
    return rc;
  }
  a->running = true;
  *op = &j->base.op;
  return IMGSTORE_OK;
}

imgstore_manifest *ims_artifact_manifest(imgstore_operation *op) {
  return imgstore_manifest_ref(((make_job *)op)->manifest);
}
