/*
 * api/rootfs.c (L5) - include/imgstore/rootfs.h: instances.
 */
#include "imgstore/rootfs.h"

#include <fcntl.h>

#include "api/layers_options.h"
#include "api/options.h"
#include "api/result.h"
#include "engine/bundle.h"
#include "engine/rootfs.h"

static const imgstore_rootfs_options rootfs_defaults = {.size = sizeof(imgstore_rootfs_options)};
static const imgstore_mount_options mount_defaults = {.size = sizeof(imgstore_mount_options), .user_namespace = -1};
static const imgstore_bundle_options bundle_defaults = {.size = sizeof(imgstore_bundle_options)};

int32_t imgstore_rootfs_options_init(imgstore_rootfs_options *options, size_t size) {
  return ims_options_init(options, size, &rootfs_defaults, sizeof rootfs_defaults);
}

int32_t imgstore_mount_options_init(imgstore_mount_options *options, size_t size) {
  return ims_options_init(options, size, &mount_defaults, sizeof mount_defaults);
}

int32_t imgstore_bundle_options_init(imgstore_bundle_options *options, size_t size) {
  return ims_options_init(options, size, &bundle_defaults, sizeof bundle_defaults);
}

/* --- create, open ------------------------------------------------------------------------------------------------- */

static int32_t copy_create_options(imgstore_rootfs_options *own, imgstore_layers_options *layers,
                                   imgstore_unpack_options *unpack, const imgstore_rootfs_options *given,
                                   ims_error *err) {
  *own = rootfs_defaults;
  int32_t rc = ims_options_copy(own, sizeof *own, given, sizeof *own, "imgstore_rootfs_options", err);
  if (!rc && (own->flags & ~(uint32_t)IMGSTORE_ROOTFS_READ_ONLY || own->reserved))
    rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_rootfs_options: unknown flags %#x", own->flags);
  if (!rc)
    rc = ims_layers_options_copy(layers, unpack, own->layers, err);
  own->layers = layers;
  return rc;
}

int32_t imgstore_rootfs_create_start(imgstore_rootfs_dir *dir, imgstore_image *image, const char *name,
                                     const imgstore_rootfs_options *options, imgstore_operation **operation,
                                     imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_rootfs_options own;
  imgstore_layers_options layers;
  imgstore_unpack_options unpack;
  if (operation)
    *operation = NULL;
  if (!dir || !image || !name || !operation)
    return ims_api_invalid("dir, image, name and operation are required", NULL, error);
  int32_t rc = copy_create_options(&own, &layers, &unpack, options, &err);
  if (!rc)
    rc = ims_rootfs_create_start(operation, dir, image, name, &own, &err);
  return ims_api_result(rc, &err, &dir->core->alloc, error);
}

int32_t imgstore_rootfs_create(imgstore_rootfs_dir *dir, imgstore_image *image, const char *name,
                               const imgstore_rootfs_options *options, imgstore_rootfs **rootfs,
                               imgstore_error **error) {
  imgstore_operation *op;
  if (rootfs)
    *rootfs = NULL;
  int32_t rc = imgstore_rootfs_create_start(dir, image, name, options, &op, error);
  if (rc)
    return rc;
  rc = imgstore_operation_wait(op, error);
  if (!rc && rootfs)
    *rootfs = ims_operation_take_rootfs(op);
  imgstore_operation_free(op);
  return rc;
}

imgstore_rootfs *imgstore_operation_rootfs(imgstore_operation *operation) {
  return operation ? ims_operation_take_rootfs(operation) : NULL;
}

int32_t imgstore_rootfs_open(imgstore_rootfs_dir *dir, const char *name, imgstore_rootfs **rootfs,
                             imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  ims_instance instance;
  if (rootfs)
    *rootfs = NULL;
  if (!dir || !name || !rootfs)
    return ims_api_invalid("dir, name and rootfs are required", NULL, error);
  int32_t rc = ims_instance_open(&instance, dir, name, &err);
  if (!rc)
    rc = ims_rootfs_new(rootfs, &instance, &err);
  return ims_api_result(rc, &err, &dir->core->alloc, error);
}

void imgstore_rootfs_close(imgstore_rootfs *rootfs) {
  ims_rootfs_unref(rootfs);
}

/* --- list, delete ------------------------------------------------------------------------------------------------- */

typedef struct listing {
  imgstore_report *report;
  int32_t kind; /* of the lines of this pass */
} listing;

static int32_t list_one(void *data, const char *name, const ims_instance_record *record, const ims_error *why) {
  listing *l = data;
  int32_t kind = record                          ? IMGSTORE_REPORT_ROOTFS
                 : why->code == IMGSTORE_EFORMAT ? IMGSTORE_REPORT_FOREIGN
                                                 : IMGSTORE_REPORT_DAMAGED;
  if ((kind == IMGSTORE_REPORT_ROOTFS) != (l->kind == IMGSTORE_REPORT_ROOTFS))
    return IMGSTORE_OK;
  return ims_report_add(l->report, kind, name, record ? record->manifest.text : "",
                        record ? record->image : why->message, 0, 0);
}

int32_t imgstore_rootfs_list(imgstore_rootfs_dir *dir, imgstore_report **report, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (report)
    *report = NULL;
  if (!dir || !report)
    return ims_api_invalid("dir and report are required", NULL, error);
  listing l = {ims_report_new(&dir->core->alloc), IMGSTORE_REPORT_ROOTFS};
  int32_t rc = l.report ? ims_instance_list(dir, list_one, &l, &err) : ims_fail_nomem(&err);
  l.kind = IMGSTORE_REPORT_FOREIGN;
  if (!rc)
    rc = ims_instance_list(dir, list_one, &l, &err);
  if (rc)
    imgstore_report_free(l.report);
  else
    *report = l.report;
  return ims_api_result(rc, &err, &dir->core->alloc, error);
}

static int32_t refuse_mounted(void *data, const ims_instance *instance, ims_error *err) {
  const uint32_t *flags = data;
  ims_mount_state state;
  int32_t found;
  ims_mount_state_init(&state, instance->dir->core);
  int32_t rc = ims_rootfs_find_mount(instance, &state, &found, err);
  if (!rc && found == IMS_MOUNT_ELSEWHERE)
    rc = ims_fail(err, IMGSTORE_EBUSY, "rootfs %s: it is mounted in another mount namespace", instance->name);
  else if (!rc && found == IMS_MOUNT_HERE && !(*flags & IMGSTORE_ROOTFS_DELETE_MOUNTED))
    rc = ims_fail(err, IMGSTORE_EBUSY, "rootfs %s: it is mounted on %s", instance->name, ims_buf_text(&state.target));
  ims_mount_state_free(&state);
  return !rc && found == IMS_MOUNT_HERE ? ims_rootfs_umount(instance, IMGSTORE_UMOUNT_DETACH, err) : rc;
}

int32_t imgstore_rootfs_delete(imgstore_rootfs_dir *dir, const char *name, uint32_t flags, imgstore_report **report,
                               imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (report)
    *report = NULL;
  if (!dir || !name || flags & ~(uint32_t)IMGSTORE_ROOTFS_DELETE_MOUNTED)
    return ims_api_invalid("dir and name are required, flags are IMGSTORE_ROOTFS_DELETE_*", NULL, error);
  imgstore_report *lines = ims_report_new(&dir->core->alloc);
  int32_t rc = lines ? ims_instance_delete(dir, name, refuse_mounted, &flags, lines, &err) : ims_fail_nomem(&err);
  if (!rc && report)
    *report = lines;
  else
    imgstore_report_free(lines);
  return ims_api_result(rc, &err, &dir->core->alloc, error);
}

/* --- what is known about one -------------------------------------------------------------------------------------- */

const char *imgstore_rootfs_name(const imgstore_rootfs *rootfs) {
  return rootfs ? rootfs->instance.name : "";
}

const char *imgstore_rootfs_image_name(const imgstore_rootfs *rootfs) {
  return rootfs ? rootfs->instance.record.image : "";
}

const char *imgstore_rootfs_image_id(const imgstore_rootfs *rootfs) {
  return rootfs ? rootfs->instance.record.config.text : "";
}

const char *imgstore_rootfs_manifest_digest(const imgstore_rootfs *rootfs) {
  return rootfs ? rootfs->instance.record.manifest.text : "";
}

const char *imgstore_rootfs_created(const imgstore_rootfs *rootfs) {
  return rootfs ? rootfs->instance.record.created : "";
}

int32_t imgstore_rootfs_is_read_only(const imgstore_rootfs *rootfs) {
  return rootfs && rootfs->instance.record.read_only;
}

int32_t imgstore_rootfs_is_id_mapped(const imgstore_rootfs *rootfs) {
  return rootfs && rootfs->instance.record.id_mapped;
}

const char *imgstore_rootfs_path(const imgstore_rootfs *rootfs, int32_t which) {
  if (!rootfs || which < 1 || which >= IMS_ROOTFS_PATHS)
    return "";
  return ims_buf_text(&rootfs->text) + rootfs->path[which];
}

size_t imgstore_rootfs_lower_count(const imgstore_rootfs *rootfs) {
  return rootfs ? rootfs->instance.record.layer_count : 0;
}

const char *imgstore_rootfs_lower(const imgstore_rootfs *rootfs, size_t i) {
  return i < imgstore_rootfs_lower_count(rootfs) ? ims_buf_text(&rootfs->text) + rootfs->lower[i] : "";
}

const char *imgstore_rootfs_mount_options(const imgstore_rootfs *rootfs) {
  return rootfs ? ims_buf_text(&rootfs->text) + rootfs->options : "";
}

const char *imgstore_rootfs_mount_flags(const imgstore_rootfs *rootfs) {
  return rootfs ? ims_buf_text(&rootfs->text) + rootfs->flags : "";
}

/* --- mount -------------------------------------------------------------------------------------------------------- */

static int32_t copy_mount_options(imgstore_mount_options *own, const imgstore_mount_options *given, ims_error *err) {
  const uint32_t flags =
      IMGSTORE_MOUNT_NOSUID | IMGSTORE_MOUNT_NODEV | IMGSTORE_MOUNT_NOEXEC | IMGSTORE_MOUNT_READ_ONLY;
  const uint32_t ways = IMGSTORE_MOUNT_OVERLAY | IMGSTORE_MOUNT_FUSE | IMGSTORE_MOUNT_COPY;
  *own = mount_defaults;
  int32_t rc = ims_options_copy(own, sizeof *own, given, sizeof *own, "imgstore_mount_options", err);
  if (!rc && (own->flags & ~flags || own->reserved))
    rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_mount_options: unknown flags %#x", own->flags);
  if (!rc && own->ways & ~ways)
    rc = ims_fail(err, IMGSTORE_EINVALID, "imgstore_mount_options: unknown ways %#x", own->ways);
  return rc;
}

int32_t imgstore_rootfs_mount_start(imgstore_rootfs *rootfs, const imgstore_mount_options *options,
                                    imgstore_operation **operation, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_mount_options own;
  if (operation)
    *operation = NULL;
  if (!rootfs || !operation)
    return ims_api_invalid("rootfs and operation are required", NULL, error);
  int32_t rc = copy_mount_options(&own, options, &err);
  if (!rc)
    rc = ims_rootfs_mount_start(operation, rootfs, &own, &err);
  return ims_api_result(rc, &err, &rootfs->core->alloc, error);
}

int32_t imgstore_rootfs_mount(imgstore_rootfs *rootfs, const imgstore_mount_options *options, int32_t *way,
                              imgstore_error **error) {
  imgstore_operation *op;
  if (way)
    *way = IMGSTORE_MOUNT_NONE;
  int32_t rc = imgstore_rootfs_mount_start(rootfs, options, &op, error);
  if (rc)
    return rc;
  rc = imgstore_operation_wait(op, error);
  if (!rc && way)
    *way = ims_operation_mount_way(op);
  imgstore_operation_free(op);
  return rc;
}

int32_t imgstore_rootfs_umount(imgstore_rootfs *rootfs, uint32_t flags, imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!rootfs || flags & ~(uint32_t)IMGSTORE_UMOUNT_DETACH)
    return ims_api_invalid("rootfs is required, flags are IMGSTORE_UMOUNT_*", NULL, error);
  return ims_api_result(ims_rootfs_umount(&rootfs->instance, flags, &err), &err, &rootfs->core->alloc, error);
}

int32_t imgstore_rootfs_mounted(imgstore_rootfs *rootfs, const char **where) {
  ims_mount_state state;
  int32_t found = IMS_MOUNT_NOWHERE, way = IMGSTORE_MOUNT_NONE;
  if (where)
    *where = "";
  if (!rootfs)
    return way;
  ims_mount_state_init(&state, rootfs->core);
  ims_buf_clear(&rootfs->where);
  if (ims_rootfs_find_mount(&rootfs->instance, &state, &found, NULL) == IMGSTORE_OK && found != IMS_MOUNT_NOWHERE) {
    way = state.way;
    if (found == IMS_MOUNT_HERE && !ims_buf_puts(&rootfs->where, ims_buf_text(&state.target)) && where)
      *where = ims_buf_text(&rootfs->where);
  }
  ims_mount_state_free(&state);
  return way;
}

/* --- bundle ------------------------------------------------------------------------------------------------------- */

static int32_t copy_bundle_options(imgstore_bundle_options *own, const imgstore_bundle_options *given, ims_error *err) {
  const uint32_t flags = IMGSTORE_BUNDLE_TERMINAL | IMGSTORE_BUNDLE_ROOTLESS | IMGSTORE_BUNDLE_HOST_NETWORK |
                         IMGSTORE_BUNDLE_NO_NEW_PRIVILEGES | IMGSTORE_BUNDLE_READ_ONLY;
  *own = bundle_defaults;
  int32_t rc = ims_options_copy(own, sizeof *own, given, sizeof *own, "imgstore_bundle_options", err);
  if (!rc && (own->flags & ~flags || own->reserved))
    rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "imgstore_bundle_options: unknown flags %#x", own->flags);
  if (!rc &&
      ((own->uid_map_count && !own->uid_map) || (own->gid_map_count && !own->gid_map) ||
       (own->env_count && !own->env) || (own->arg_count && !own->args) || (own->entrypoint_count && !own->entrypoint)))
    rc = ims_fail(err, IMGSTORE_EINVALID, "imgstore_bundle_options: a list is NULL but its count is not 0");
  return rc;
}

int32_t imgstore_rootfs_bundle(imgstore_rootfs *rootfs, const char *directory, const imgstore_bundle_options *options,
                               imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_bundle_options own;
  if (!rootfs || !directory)
    return ims_api_invalid("rootfs and directory are required", NULL, error);
  int32_t rc = copy_bundle_options(&own, options, &err);
  if (!rc)
    rc = ims_rootfs_bundle(rootfs, directory, &own, &err);
  return ims_api_result(rc, &err, &rootfs->core->alloc, error);
}
