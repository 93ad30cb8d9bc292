/*
 * api/publish.c (L5) - include/imgstore/publish.h: push, copy and sync in both faces.
 */
#include "imgstore/publish.h"

#include "api/options.h"
#include "api/result.h"
#include "engine/copy.h"
#include "engine/publish.h"
#include "imgstore/archive.h"

static const imgstore_push_options push_defaults = {.size = sizeof(imgstore_push_options)};

int32_t imgstore_push_options_init(imgstore_push_options *options, size_t size) {
  return ims_options_init(options, size, &push_defaults, sizeof push_defaults);
}

static int32_t check_mounts(const char *const *mounts, size_t count, ims_error *err) {
  for (size_t i = 0; i < count; i++)
    if (!mounts || !mounts[i])
      return ims_fail(err, IMGSTORE_EINVALID, "mount_from is NULL but mount_count is not 0");
  return IMGSTORE_OK;
}

static int32_t check_push(const imgstore_push_options *o, ims_error *err) {
  if ((o->flags & ~(uint32_t)IMGSTORE_PUSH_DRY_RUN) || o->reserved)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_push_options: unknown flags %#x", o->flags);
  return check_mounts(o->mount_from, o->mount_count, err);
}

int32_t imgstore_push_start(imgstore_store *store, imgstore_registry *registry, const char *name,
                            const imgstore_push_options *options, imgstore_operation **operation,
                            imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_push_options own = push_defaults;
  if (operation)
    *operation = NULL;
  if (!store || !registry || !name || !operation)
    return ims_api_invalid("store, registry, name and operation are required", NULL, error);
  int32_t rc = ims_options_copy(&own, sizeof own, options, sizeof own, "imgstore_push_options", &err);
  if (!rc)
    rc = check_push(&own, &err);
  if (!rc)
    rc = ims_push_start(operation, store, registry, name, &own, &err);
  return ims_api_result(rc, &err, &store->core->alloc, error);
}

int32_t imgstore_push(imgstore_store *store, imgstore_registry *registry, const char *name,
                      const imgstore_push_options *options, imgstore_report **report, imgstore_error **error) {
  imgstore_operation *op;
  if (report)
    *report = NULL;
  int32_t rc = imgstore_push_start(store, registry, name, options, &op, error);
  return rc ? rc : ims_api_finish(op, NULL, report, error);
}

/* --- copy ------------------------------------------------------------------------------------------------------------
 */

static const imgstore_place no_place = {.size = sizeof(imgstore_place)};
static const imgstore_copy_options copy_defaults = {.size = sizeof(imgstore_copy_options)};

int32_t imgstore_place_init(imgstore_place *place, size_t size) {
  return ims_options_init(place, size, &no_place, sizeof no_place);
}

int32_t imgstore_copy_options_init(imgstore_copy_options *options, size_t size) {
  return ims_options_init(options, size, &copy_defaults, sizeof copy_defaults);
}

static int32_t copy_place(imgstore_place *own, const imgstore_place *given, const char *which, ims_error *err) {
  *own = no_place;
  int32_t rc = ims_options_copy(own, sizeof *own, given, sizeof *own, "imgstore_place", err);
  if (!rc && own->flags & ~(uint32_t)IMGSTORE_PLACE_PLAIN_NAME)
    rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_place: unknown flags %#x", own->flags);
  if (!rc && !!own->registry + !!own->store + !!own->archive != 1)
    rc = ims_fail(err, IMGSTORE_EINVALID, "%s: a place is in a registry, in a store or in an archive", which);
  if (!rc && own->archive &&
      (!own->context || own->archive_format < IMGSTORE_ARCHIVE_AUTO || own->archive_format > IMGSTORE_ARCHIVE_OCI))
    rc = ims_fail(err, IMGSTORE_EINVALID, "%s: an archive has a context and is of Docker's format or the OCI's", which);
  if (!rc && own->registry && !own->name)
    rc = ims_fail(err, IMGSTORE_EINVALID, "%s: a place in a registry has a name", which);
  return rc;
}

static int32_t check_copy(const imgstore_copy_options *o, ims_error *err) {
  if ((o->flags & ~(uint32_t)(IMGSTORE_COPY_ALL_PLATFORMS | IMGSTORE_COPY_DRY_RUN)) || o->reserved)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_copy_options: unknown flags %#x", o->flags);
  if (o->platform && o->flags & IMGSTORE_COPY_ALL_PLATFORMS)
    return ims_fail(err, IMGSTORE_EINVALID, "imgstore_copy_options: a platform and all of them");
  return check_mounts(o->mount_from, o->mount_count, err);
}

int32_t imgstore_copy_start(const imgstore_place *source, const imgstore_place *destination,
                            const imgstore_copy_options *options, imgstore_operation **operation,
                            imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_copy_options own = copy_defaults;
  imgstore_place from, to;
  if (operation)
    *operation = NULL;
  if (!source || !destination || !operation)
    return ims_api_invalid("source, destination and operation are required", NULL, error);
  int32_t rc = ims_options_copy(&own, sizeof own, options, sizeof own, "imgstore_copy_options", &err);
  if (!rc)
    rc = check_copy(&own, &err);
  if (!rc)
    rc = copy_place(&from, source, "source", &err);
  if (!rc)
    rc = copy_place(&to, destination, "destination", &err);
  const ims_copy_setup setup = {&from, &to, &own, false};
  if (!rc)
    rc = ims_copy_start(operation, &setup, &err);
  return ims_api_result(rc, &err, rc ? NULL : &(*operation)->core->alloc, error);
}

int32_t imgstore_copy(const imgstore_place *source, const imgstore_place *destination,
                      const imgstore_copy_options *options, imgstore_report **report, imgstore_error **error) {
  imgstore_operation *op;
  if (report)
    *report = NULL;
  int32_t rc = imgstore_copy_start(source, destination, options, &op, error);
  return rc ? rc : ims_api_finish(op, NULL, report, error);
}

/* --- sync ------------------------------------------------------------------------------------------------------------
 */

static const imgstore_sync_options sync_defaults = {.size = sizeof(imgstore_sync_options)};

int32_t imgstore_sync_options_init(imgstore_sync_options *options, size_t size) {
  return ims_options_init(options, size, &sync_defaults, sizeof sync_defaults);
}

static int32_t check_sync(const imgstore_sync_options *o, ims_error *err) {
  const uint32_t known = IMGSTORE_COPY_ALL_PLATFORMS | IMGSTORE_COPY_DRY_RUN | IMGSTORE_COPY_KEEP_GOING;
  if ((o->flags & ~known) || o->reserved)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_sync_options: unknown flags %#x", o->flags);
  if (o->platform && o->flags & IMGSTORE_COPY_ALL_PLATFORMS)
    return ims_fail(err, IMGSTORE_EINVALID, "imgstore_sync_options: a platform and all of them");
  return IMGSTORE_OK;
}

int32_t imgstore_sync_start(const imgstore_place *source, const imgstore_place *destination,
                            const imgstore_sync_options *options, imgstore_operation **operation,
                            imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_sync_options own = sync_defaults;
  imgstore_place from, to;
  if (operation)
    *operation = NULL;
  if (!source || !destination || !operation)
    return ims_api_invalid("source, destination and operation are required", NULL, error);
  int32_t rc = ims_options_copy(&own, sizeof own, options, sizeof own, "imgstore_sync_options", &err);
  if (!rc)
    rc = check_sync(&own, &err);
  if (!rc)
    rc = copy_place(&from, source, "source", &err);
  if (!rc)
    rc = copy_place(&to, destination, "destination", &err);
  if (!rc && !from.registry)
    rc = ims_fail(&err, IMGSTORE_EINVALID, "source: tags are synced from a registry");
  if (!rc && to.archive)
    rc = ims_fail(&err, IMGSTORE_EINVALID, "destination: tags are not synced to an archive");
  if (!rc)
    rc = ims_sync_start(operation, &from, &to, &own, &err);
  return ims_api_result(rc, &err, rc ? NULL : &(*operation)->core->alloc, error);
}

int32_t imgstore_sync(const imgstore_place *source, const imgstore_place *destination,
                      const imgstore_sync_options *options, imgstore_report **report, imgstore_error **error) {
  imgstore_operation *op;
  if (report)
    *report = NULL;
  int32_t rc = imgstore_sync_start(source, destination, options, &op, error);
  return rc ? rc : ims_api_finish(op, NULL, report, error);
}
