/*
 * engine/attached.h (L4) - lists of attached objects, and the jobs that make them, read them and ask a policy.
 */
#ifndef IMS_ENGINE_ATTACHED_H
#define IMS_ENGINE_ATTACHED_H

#include "engine/attached_find.h"
#include "imgstore/attached.h"
#include "sign/policy.h"
#include "store/store.h"

/** One object: a layer of an attached manifest, or the manifest when it has nothing but itself. */
typedef struct ims_attached_item {
  imgstore_manifest *manifest;
  const imgstore_descriptor *content; /**< NULL: the manifest */
  ims_digest subject;
  int32_t kind, found;
  const char *predicate_type; /**< or NULL */
} ims_attached_item;

struct imgstore_attached {
  atomic_uint refs;
  ims_core *core;
  imgstore_registry *registry; /**< or NULL */
  char *repository;            /**< of registry */
  imgstore_store *store;       /**< or NULL */
  ims_digest target;
  ims_attached_item *items;
  size_t count, capacity;
};

/* --- attached_list.c: the list ------------------------------------------------------------------------------------ */

/** An empty list. registry and repository, or store; references are taken. */
int32_t ims_attached_new(imgstore_attached **list, ims_core *core, imgstore_registry *registry, const char *repository,
                         imgstore_store *store, const ims_digest *target, ims_error *err);
/** Adds what a manifest holds. kind: only this, or 0. */
int32_t ims_attached_add(imgstore_attached *list, imgstore_manifest *manifest, const ims_digest *subject, int32_t found,
                         int32_t kind, ims_error *err);

/* --- attached_store.c: of a store --------------------------------------------------------------------------------- */

int32_t ims_attached_list_store(imgstore_attached **list, imgstore_store *store, const char *name,
                                const imgstore_attached_options *options, ims_error *err);

/* --- attached_job.c: of a registry -------------------------------------------------------------------------------- */

/** options: complete. */
int32_t ims_attached_list_start(imgstore_operation **op, imgstore_registry *registry, const char *reference,
                                const imgstore_attached_options *options, ims_error *err);
int32_t ims_policy_check_start(imgstore_operation **op, imgstore_policy *policy, imgstore_registry *registry,
                               const char *reference, const imgstore_policy_options *options, ims_error *err);
/** Fetches item i into out (empty, its ceiling is set). Blocks. */
int32_t ims_attached_read(const imgstore_attached *list, size_t i, uint64_t max_bytes, ims_buf *out, ims_error *err);
/** What a finished job of imgstore_attached_list_start made, borrowed, or NULL. */
imgstore_attached *ims_operation_attached(const imgstore_operation *op);

#endif
