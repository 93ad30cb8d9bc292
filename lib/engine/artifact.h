/*
 * engine/artifact.h (L4) - artifacts: files into the store under one manifest, and out of it.
 */
#ifndef IMS_ENGINE_ARTIFACT_H
#define IMS_ENGINE_ARTIFACT_H

#include "engine/operation.h"
#include "imgstore/artifact.h"
#include "oci/compose.h"
#include "store/store.h"

/** A file to be added. */
typedef struct ims_artifact_file {
  char *path, *media_type, *title;
} ims_artifact_file;

struct imgstore_artifact {
  atomic_uint refs; /**< the caller's, and the operation's */
  ims_core *core;
  imgstore_store *store;
  bool running;
  char *type;
  ims_artifact_file *files;
  size_t count;
  ims_pair *annotations;
  size_t annotation_count;
};

int32_t ims_artifact_new(imgstore_artifact **artifact, imgstore_store *store, const char *type, ims_error *err);
void ims_artifact_unref(imgstore_artifact *artifact);
int32_t ims_artifact_add(imgstore_artifact *a, const char *path, const char *media_type, const char *title,
                         ims_error *err);
int32_t ims_artifact_annotate(imgstore_artifact *a, const char *key, const char *value, ims_error *err);
/** A plain file name: one component, not a special one, without control characters, UTF-8. */
int32_t ims_artifact_title_check(const char *title, ims_error *err);

/** One step of an artifact's job; may run on a worker. IMGSTORE_OK: all is done; IMGSTORE_EAGAIN. */
typedef struct ims_step_job ims_step_job;
typedef struct ims_step_type {
  int32_t (*step)(ims_step_job *job, ims_error *err);
  /** After the last step, on the driving thread. */
  int32_t (*finish)(ims_step_job *job, ims_error *err);
  /** Ends what is open; called once, when no step runs. */
  void (*end)(ims_step_job *job, int32_t result);
  void (*free)(ims_step_job *job);
} ims_step_type;

/** A job of one task; the first member of those that are made of it. */
struct ims_step_job {
  imgstore_operation op; /**< first member */
  const ims_step_type *type;
  ims_task task;
  atomic_int phase;
  ims_error err; /**< of the task */
};

/** Fills a zeroed job's base. concurrent: step may run on a worker. On failure only the memory is to be freed. */
int32_t ims_step_job_init(ims_step_job *job, ims_core *core, const ims_step_type *type, bool concurrent,
                          ims_error *err);

int32_t ims_artifact_finish_start(imgstore_operation **op, imgstore_artifact *a, const char *name, ims_error *err);
/** The manifest that a finished job made: with a reference of the caller's own. */
imgstore_manifest *ims_artifact_manifest(imgstore_operation *op);
int32_t ims_artifact_unpack_start(imgstore_operation **op, imgstore_store *store, const char *name,
                                  const char *directory, ims_error *err);

#endif
