/*
 * api/registry_jobs.c (L5) - the jobs of imgstore/registry.h in both faces: listings, deletions, copies of tags,
 * rights.
 */
#include <string.h>

#include "api/options.h"
#include "api/result.h"
#include "engine/registry_handle.h"
#include "engine/registry_job.h"

static const imgstore_registry_job_options defaults = {.size = sizeof(imgstore_registry_job_options)};

int32_t imgstore_registry_job_options_init(imgstore_registry_job_options *options, size_t size) {
  return ims_options_init(options, size, &defaults, sizeof defaults);
}

/* flags: those that the job knows. */
static int32_t copy_options(imgstore_registry_job_options *own, const imgstore_registry_job_options *given,
                            uint32_t flags, ims_error *err) {
  *own = defaults;
  int32_t rc = ims_options_copy(own, sizeof *own, given, sizeof *own, "imgstore_registry_job_options", err);
  if (!rc && ((own->flags & ~flags) || own->reserved))
    rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_registry_job_options: unknown flags %#x", own->flags);
  return rc;
}

static int32_t required(const char *what, const imgstore_registry *registry, imgstore_error **error) {
  return ims_api_invalid(what, registry ? &registry->core->alloc : NULL, error);
}

int32_t imgstore_registry_check(imgstore_registry *registry, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_operation *op;
  if (!registry)
    return required("registry is required", NULL, error);
  int32_t rc = ims_registry_check_start(&op, registry, &defaults, &err);
  return rc ? ims_api_result(rc, &err, &registry->core->alloc, error) : ims_api_finish(op, NULL, NULL, error);
}

/* --- tags
 * -------------------------------------------------------------------------------------------------------------- */

int32_t imgstore_registry_tags_start(imgstore_registry *registry, const char *repository,
                                     const imgstore_registry_job_options *options, imgstore_operation **operation,
                                     imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_registry_job_options own;
  if (operation)
    *operation = NULL;
  if (!registry || !repository || !operation)
    return required("registry, repository and operation are required", registry, error);
  int32_t rc = copy_options(&own, options, 0, &err);
  if (!rc)
    rc = ims_registry_tags_start(operation, registry, repository, &own, &err);
  return ims_api_result(rc, &err, &registry->core->alloc, error);
}

int32_t imgstore_registry_tags(imgstore_registry *registry, const char *repository, imgstore_report **tags,
                               imgstore_error **error) {
  imgstore_operation *op;
  if (tags)
    *tags = NULL;
  if (!tags)
    return required("tags is required", registry, error);
  int32_t rc = imgstore_registry_tags_start(registry, repository, NULL, &op, error);
  return rc ? rc : ims_api_finish(op, NULL, tags, error);
}

/* --- catalog
 * ----------------------------------------------------------------------------------------------------------- */

int32_t imgstore_registry_catalog_start(imgstore_registry *registry, const imgstore_registry_job_options *options,
                                        imgstore_operation **operation, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_registry_job_options own;
  if (operation)
    *operation = NULL;
  if (!registry || !operation)
    return required("registry and operation are required", registry, error);
  int32_t rc = copy_options(&own, options, 0, &err);
  if (!rc)
    rc = ims_registry_catalog_start(operation, registry, &own, &err);
  return ims_api_result(rc, &err, &registry->core->alloc, error);
}

int32_t imgstore_registry_catalog(imgstore_registry *registry, imgstore_report **repositories, imgstore_error **error) {
  imgstore_operation *op;
  if (repositories)
    *repositories = NULL;
  if (!repositories)
    return required("repositories is required", registry, error);
  int32_t rc = imgstore_registry_catalog_start(registry, NULL, &op, error);
  return rc ? rc : ims_api_finish(op, NULL, repositories, error);
}

/* --- delete
 * ------------------------------------------------------------------------------------------------------------ */

int32_t imgstore_registry_delete_start(imgstore_registry *registry, const char *repository, const char *reference,
                                       const imgstore_registry_job_options *options, imgstore_operation **operation,
                                       imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_registry_job_options own;
  if (operation)
    *operation = NULL;
  if (!registry || !repository || !reference || !operation)
    return required("registry, repository, reference and operation are required", registry, error);
  int32_t rc = copy_options(&own, options, IMGSTORE_DELETE_MANIFEST, &err);
  if (!rc)
    rc = ims_registry_delete_start(operation, registry, repository, reference, &own, &err);
  return ims_api_result(rc, &err, &registry->core->alloc, error);
}

int32_t imgstore_registry_delete(imgstore_registry *registry, const char *repository, const char *reference,
                                 const imgstore_registry_job_options *options, imgstore_report **report,
                                 imgstore_error **error) {
  imgstore_operation *op;
  if (report)
    *report = NULL;
  int32_t rc = imgstore_registry_delete_start(registry, repository, reference, options, &op, error);
  return rc ? rc : ims_api_finish(op, NULL, report, error);
}

/* --- copy_tag
 * ---------------------------------------------------------------------------------------------------------- */

int32_t imgstore_registry_copy_tag_start(imgstore_registry *registry, const char *repository, const char *reference,
                                         const char *tag, const imgstore_registry_job_options *options,
                                         imgstore_operation **operation, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_registry_job_options own;
  if (operation)
    *operation = NULL;
  if (!registry || !repository || !reference || !tag || !operation)
    return required("registry, repository, reference, tag and operation are required", registry, error);
  int32_t rc = copy_options(&own, options, 0, &err);
  if (!rc)
    rc = ims_registry_copy_tag_start(operation, registry, repository, reference, tag, &own, &err);
  return ims_api_result(rc, &err, &registry->core->alloc, error);
}

int32_t imgstore_registry_copy_tag(imgstore_registry *registry, const char *repository, const char *reference,
                                   const char *tag, const imgstore_registry_job_options *options,
                                   imgstore_report **report, imgstore_error **error) {
  imgstore_operation *op;
  if (report)
    *report = NULL;
  int32_t rc = imgstore_registry_copy_tag_start(registry, repository, reference, tag, options, &op, error);
  return rc ? rc : ims_api_finish(op, NULL, report, error);
}

/* --- access
 * ------------------------------------------------------------------------------------------------------------ */

int32_t imgstore_registry_access_start(imgstore_registry *registry, const char *repository, uint32_t wanted,
                                       const imgstore_registry_job_options *options, imgstore_operation **operation,
                                       imgstore_error **error) {
  const uint32_t known = IMGSTORE_ACCESS_PULL | IMGSTORE_ACCESS_PUSH | IMGSTORE_ACCESS_DELETE;
  ims_error err = IMS_ERROR_INIT;
  imgstore_registry_job_options own;
  if (operation)
    *operation = NULL;
  if (!registry || !repository || !operation)
    return required("registry, repository and operation are required", registry, error);
  if (!wanted || (wanted & ~known))
    return required("wanted is some of IMGSTORE_ACCESS_*", registry, error);
  int32_t rc = copy_options(&own, options, 0, &err);
  if (!rc)
    rc = ims_registry_access_start(operation, registry, repository, wanted, &own, &err);
  return ims_api_result(rc, &err, &registry->core->alloc, error);
}

static uint32_t granted_by(const imgstore_report *report) {
  static const uint32_t bits[] = {IMGSTORE_ACCESS_PULL, IMGSTORE_ACCESS_PUSH, IMGSTORE_ACCESS_DELETE};
  static const char *const names[] = {"pull", "push", "delete"};
  uint32_t granted = 0;
  for (size_t i = 0; i < imgstore_report_count(report); i++)
    for (size_t r = 0; r < sizeof bits / sizeof *bits; r++)
      if (imgstore_report_size(report, i) && strcmp(imgstore_report_name(report, i), names[r]) == 0)
        granted |= bits[r];
  return granted;
}

int32_t imgstore_registry_access(imgstore_registry *registry, const char *repository, uint32_t wanted,
                                 const imgstore_registry_job_options *options, uint32_t *granted,
                                 imgstore_report **report, imgstore_error **error) {
  imgstore_operation *op;
  imgstore_report *lines = NULL;
  if (granted)
    *granted = 0;
  if (report)
    *report = NULL;
  if (!granted)
    return required("granted is required", registry, error);
  int32_t rc = imgstore_registry_access_start(registry, repository, wanted, options, &op, error);
  if (!rc)
    rc = ims_api_finish(op, NULL, &lines, error);
  if (rc)
    return rc;
  *granted = granted_by(lines);
  if (report)
    *report = lines;
  else
    imgstore_report_free(lines);
  return IMGSTORE_OK;
}
