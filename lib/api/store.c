/*
 * api/store.c (L5) - include/imgstore/store.h.
 */
#include "imgstore/store.h"

#include <string.h>

#include "api/options.h"
#include "api/result.h"
#include "engine/content.h"
#include "oci/reference.h"

static const imgstore_store_options defaults = {.size = sizeof(imgstore_store_options)};

int32_t imgstore_store_options_init(imgstore_store_options *options, size_t size) {
  return ims_options_init(options, size, &defaults, sizeof defaults);
}

int32_t imgstore_store_open(imgstore_context *context, const char *path, const imgstore_store_options *options,
                            imgstore_store **store, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_store_options own = defaults;
  imgstore_storage storage;
  if (store)
    *store = NULL;
  if (!context || !path || !store)
    return ims_api_invalid("context, path and store are required", NULL, error);
  int32_t rc = ims_options_copy(&own, sizeof own, options, sizeof own, "imgstore_store_options", &err);
  if (!rc && (own.flags & ~(uint32_t)(IMGSTORE_STORE_READ_ONLY | IMGSTORE_STORE_NO_CREATE)))
    rc = ims_fail(&err, IMGSTORE_EUNSUPPORTED, "imgstore_store_options: unknown flags %#x", own.flags);
  if (!rc && (own.durability < IMGSTORE_DURABILITY_BATCH || own.durability > IMGSTORE_DURABILITY_NONE))
    rc = ims_fail(&err, IMGSTORE_EINVALID, "durability: %d is not one of IMGSTORE_DURABILITY_*", own.durability);
  if (!rc)
    rc = ims_layout_storage_open(context, path, &own, &storage, &err);
  if (!rc)
    rc = ims_store_new(store, context, &storage, &err);
  return ims_api_result(rc, &err, &context->alloc, error);
}

int32_t imgstore_store_open_memory(imgstore_context *context, uint64_t max_bytes, imgstore_store **store,
                                   imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_storage storage;
  if (store)
    *store = NULL;
  if (!context || !store)
    return ims_api_invalid("context and store are required", NULL, error);
  int32_t rc = ims_memory_storage_open(context, max_bytes, &storage, &err);
  if (!rc)
    rc = ims_store_new(store, context, &storage, &err);
  return ims_api_result(rc, &err, &context->alloc, error);
}

int32_t imgstore_store_open_storage(imgstore_context *context, const imgstore_storage *storage, imgstore_store **store,
                                    imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (store)
    *store = NULL;
  if (!context || !storage || !store)
    return ims_api_invalid("context, storage and store are required", NULL, error);
  return ims_api_result(ims_store_new(store, context, storage, &err), &err, &context->alloc, error);
}

void imgstore_store_close(imgstore_store *store) {
  ims_store_unref(store);
}

int32_t imgstore_store_image(imgstore_store *store, const char *name, const char *platform, imgstore_image **image,
                             imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (image)
    *image = NULL;
  if (!store || !name || !image)
    return ims_api_invalid("store, name and image are required", NULL, error);
  return ims_api_result(ims_image_open(image, store, name, platform, &err), &err, &store->core->alloc, error);
}

int32_t imgstore_store_manifest(imgstore_store *store, const char *name, imgstore_manifest **manifest,
                                imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  ims_target target;
  ims_buf found;
  if (manifest)
    *manifest = NULL;
  if (!store || !name || !manifest)
    return ims_api_invalid("store, name and manifest are required", NULL, error);
  ims_buf_init(&found, &store->core->alloc, SIZE_MAX);
  int32_t rc = ims_store_resolve(store, name, &target, &found, &err);
  if (!rc)
    rc = ims_store_manifest_load(store, &target.digest, target.media_type, manifest, &err);
  ims_buf_free(&found);
  return ims_api_result(rc, &err, &store->core->alloc, error);
}

/* What the whole-store jobs have in common: they fill a report. */
typedef int32_t (*store_job)(imgstore_store *store, const void *arguments, imgstore_report *report, ims_error *err);

static int32_t run_job(imgstore_store *store, store_job job, const void *arguments, imgstore_report **out,
                       imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (out)
    *out = NULL;
  if (!store)
    return ims_api_invalid("store is NULL", NULL, error);
  imgstore_report *report = ims_report_new(&store->core->alloc);
  int32_t rc = report ? job(store, arguments, report, &err) : ims_fail_nomem(&err);
  if (!rc && out)
    *out = report;
  else
    imgstore_report_free(report);
  return ims_api_result(rc, &err, &store->core->alloc, error);
}

static int32_t list_job(imgstore_store *store, const void *arguments, imgstore_report *report, ims_error *err) {
  return ims_store_list(store, report, err);
}

int32_t imgstore_store_list(imgstore_store *store, imgstore_report **list, imgstore_error **error) {
  return run_job(store, list_job, NULL, list, error);
}

static int32_t tag(imgstore_store *store, const char *source, const char *name, ims_error *err) {
  imgstore_reference *reference = NULL;
  int32_t rc = ims_reference_parse(&reference, &store->core->alloc, name, err);
  if (!rc && reference->digest.algorithm)
    rc = ims_fail(err, IMGSTORE_EFORMAT, "%s: a new name cannot have a digest", name);
  if (!rc)
    rc = ims_store_tag(store, source, reference->name, err);
  imgstore_reference_unref(reference);
  return rc;
}

int32_t imgstore_store_tag(imgstore_store *store, const char *source, const char *name, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!store || !source || !name)
    return ims_api_invalid("store, source and name are required", NULL, error);
  return ims_api_result(tag(store, source, name, &err), &err, &store->core->alloc, error);
}

typedef struct remove_arguments {
  const char *name;
  uint32_t flags;
} remove_arguments;

static int32_t remove_job(imgstore_store *store, const void *arguments, imgstore_report *report, ims_error *err) {
  const remove_arguments *a = arguments;
  return ims_store_remove(store, a->name, a->flags, report, err);
}

int32_t imgstore_store_remove(imgstore_store *store, const char *name, uint32_t flags, imgstore_report **report,
                              imgstore_error **error) {
  const remove_arguments arguments = {name, flags};
  if (!name ||
      (flags & ~(uint32_t)(IMGSTORE_REMOVE_KEEP_CONTENT | IMGSTORE_REMOVE_ALL_NAMES | IMGSTORE_REMOVE_LOST_INSTANCES)))
    return ims_api_invalid("name is required, flags are IMGSTORE_REMOVE_*", NULL, error);
  return run_job(store, remove_job, &arguments, report, error);
}

static int32_t prune_job(imgstore_store *store, const void *arguments, imgstore_report *report, ims_error *err) {
  return ims_store_prune(store, report, err);
}

int32_t imgstore_store_prune(imgstore_store *store, imgstore_report **report, imgstore_error **error) {
  return run_job(store, prune_job, NULL, report, error);
}

static int32_t usage_job(imgstore_store *store, const void *arguments, imgstore_report *report, ims_error *err) {
  return ims_store_usage(store, report, err);
}

int32_t imgstore_store_usage(imgstore_store *store, imgstore_report **report, imgstore_error **error) {
  return run_job(store, usage_job, NULL, report, error);
}

static int32_t verify_job(imgstore_store *store, const void *arguments, imgstore_report *report, ims_error *err) {
  return ims_store_verify(store, *(const int32_t *)arguments, report, err);
}

int32_t imgstore_store_verify(imgstore_store *store, int32_t mode, imgstore_report **report, imgstore_error **error) {
  if (mode < IMGSTORE_VERIFY_QUICK || mode > IMGSTORE_VERIFY_REPAIR)
    return ims_api_invalid("mode is not one of IMGSTORE_VERIFY_*", NULL, error);
  return run_job(store, verify_job, &mode, report, error);
}

int32_t imgstore_store_blob(imgstore_store *store, const char *digest, imgstore_stream **stream,
                            imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  ims_digest parsed;
  if (stream)
    *stream = NULL;
  if (!store || !digest || !stream)
    return ims_api_invalid("store, digest and stream are required", NULL, error);
  int32_t rc = ims_digest_parse(&parsed, digest, strlen(digest), &err);
  if (!rc)
    rc = ims_stream_open(stream, store, &parsed, 0, &parsed, &err);
  return ims_api_result(rc, &err, &store->core->alloc, error);
}
