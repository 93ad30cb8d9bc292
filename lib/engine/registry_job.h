/*
 * engine/registry_job.h (L4) - jobs that manage what a registry has: listings, deletions, copies of tags, the question
 * what a login may do. One request after the other; no store is involved.
 *
 * Internal to registry_*.c, but for the functions at the end.
 */
#ifndef IMS_ENGINE_REGISTRY_JOB_H
#define IMS_ENGINE_REGISTRY_JOB_H

#include "engine/job_client.h"

typedef struct ims_registry_job ims_registry_job;

/** The first member of every such job. */
struct ims_registry_job {
  imgstore_operation op; /**< first member; its report is there from the start */
  ims_client *client;
  ims_fetch *fetch;          /**< the request under way, or NULL */
  int32_t failed;            /**< the job is over with this code; op.err is set */
  ims_job_listener listener; /**< retried: the request was sent more than once */
  /** Starts the next request and returns IMGSTORE_EAGAIN, or says what the job came to. */
  int32_t (*step)(ims_registry_job *job);
  /** Frees what the kind of job owns. */
  void (*clean)(ims_registry_job *job);
};

/**
 * Makes a job of size bytes (zeroed but for the base). On failure nothing is left.
 * Errors: IMGSTORE_ENOMEM, IMGSTORE_EIO, IMGSTORE_EINVALID (after a fork).
 */
int32_t ims_registry_job_new(ims_registry_job **job, size_t size, imgstore_registry *registry,
                             const imgstore_registry_job_options *options, int32_t (*step)(ims_registry_job *job),
                             void (*clean)(ims_registry_job *job), ims_error *err);
/** A job that could not be completed: frees it, hands its error out. */
int32_t ims_registry_job_drop(ims_registry_job *job, int32_t rc, ims_error *err);
/** The request is over: first call of every ims_document_fn. */
void ims_registry_job_answered(ims_registry_job *job);
/** It failed and so does the job. */
void ims_registry_job_fail(ims_registry_job *job, int32_t code, const ims_error *err);
/** What follows an attempt to start a request: IMGSTORE_EAGAIN, or its failure. */
int32_t ims_registry_job_sent(ims_registry_job *job, int32_t rc);
/** GET of a manifest at the registry itself, never a mirror; as ims_registry_job_sent. */
int32_t ims_registry_job_get_manifest(ims_registry_job *job, const char *repository, const char *reference,
                                      ims_document_fn done);
/** Adds a line to the report; its failure is the job's. */
int32_t ims_registry_job_report(ims_registry_job *job, int32_t kind, const char *name, const char *digest,
                                const char *detail, uint64_t size);

/* --- what api/registry.c starts --- */

int32_t ims_registry_check_start(imgstore_operation **op, imgstore_registry *registry,
                                 const imgstore_registry_job_options *options, ims_error *err);
int32_t ims_registry_tags_start(imgstore_operation **op, imgstore_registry *registry, const char *repository,
                                const imgstore_registry_job_options *options, ims_error *err);
int32_t ims_registry_catalog_start(imgstore_operation **op, imgstore_registry *registry,
                                   const imgstore_registry_job_options *options, ims_error *err);
int32_t ims_registry_delete_start(imgstore_operation **op, imgstore_registry *registry, const char *repository,
                                  const char *reference, const imgstore_registry_job_options *options, ims_error *err);
int32_t ims_registry_copy_tag_start(imgstore_operation **op, imgstore_registry *registry, const char *repository,
                                    const char *from, const char *tag, const imgstore_registry_job_options *options,
                                    ims_error *err);
int32_t ims_registry_access_start(imgstore_operation **op, imgstore_registry *registry, const char *repository,
                                  uint32_t wanted, const imgstore_registry_job_options *options, ims_error *err);

#endif
