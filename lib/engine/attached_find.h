/*
 * engine/attached_find.h (L4) - finds the manifests that are attached to digests in a registry: referrers API with its
 * pages, fallback tag, cosign's tags. A part of a job: it works on the driving thread through the job's client.
 */
#ifndef IMS_ENGINE_ATTACHED_FIND_H
#define IMS_ENGINE_ATTACHED_FIND_H

#include "engine/client.h"
#include "engine/operation.h"
#include "oci/manifest.h"

enum {
  IMS_FIND_SIGNATURES = 1u << 0 /**< only what can hold a signature: cosign's .sig tag, referrers of fitting types */
};
enum { IMS_FOUND_MAX = 4096, IMS_REFERRER_PAGES_MAX = 1024 };

/** One attached manifest. */
typedef struct ims_found {
  imgstore_manifest *manifest;
  ims_digest subject;
  int32_t how; /**< IMGSTORE_FOUND_* */
} ims_found;

typedef struct ims_find_step ims_find_step;

typedef struct ims_finder {
  imgstore_operation *op;
  ims_client *client;
  const char *repository;
  uint32_t flags;
  const char *artifact_type; /**< or NULL */
  ims_find_step **steps;
  size_t step_count, step_capacity, next, busy, pages;
  ims_found *found;
  size_t count, capacity;
  int32_t failed; /**< a callback failed; op->err says how */
} ims_finder;

/** Fills a zeroed finder; op, client and strings must live as long. artifact_type: what to look for, or NULL. */
void ims_finder_init(ims_finder *f, imgstore_operation *op, ims_client *client, const char *repository, uint32_t flags,
                     const char *artifact_type);
/** Looks for what is attached to digest. */
int32_t ims_finder_add_subject(ims_finder *f, const ims_digest *digest);
/** Fetches one manifest that is known to be attached. */
int32_t ims_finder_add_manifest(ims_finder *f, const ims_digest *subject, const imgstore_descriptor *descriptor,
                                int32_t how);
/** IMGSTORE_OK when all was found, IMGSTORE_EAGAIN, or the failure in op->err. */
int32_t ims_finder_advance(ims_finder *f);
/** Stops what runs. Before the client is freed. */
void ims_finder_free(ims_finder *f);

#endif
