/*
 * engine/rootfs_create.c (L4) - the job that makes an instance: its layers, then the instance itself.
 *
 * From before it looks for anything until the instance can be seen, the image is held and its content leased in the
 * store, and its layer directories are leased in the rootfs directory.
 */
#include <fcntl.h>
#include <string.h>

#include "engine/layers.h"
#include "engine/rootfs.h"
#include "rootfs/id_mapped.h"
#include "rootfs/instance_hold.h"

typedef struct create_job {
  imgstore_operation op; /**< first member */
  ims_rootfs_dir *dir;
  imgstore_image *image;
  ims_rootfs_lease hold; /**< keeps the image's hold until the instance does */
  ims_lease lease;
  ims_layers *layers;
  char name[IMS_INSTANCE_NAME_MAX + 1];
  ims_instance_record record;
  imgstore_rootfs *rootfs;
} create_job;

/* --- what goes into the record --------------------------------------------------------------------------------------
 */

static int32_t copy_map(const ims_alloc *alloc, const imgstore_id_map *from, size_t count, imgstore_id_map **to,
                        size_t *to_count) {
  if (!count)
    return IMGSTORE_OK;
  *to = ims_calloc(alloc, count, sizeof **to);
  if (!*to)
    return IMGSTORE_ENOMEM;
  memcpy(*to, from, count * sizeof **to);
  *to_count = count;
  return IMGSTORE_OK;
}

/* Whether this kernel and the directory's file system lay id maps over a mount. */
static bool can_map_ids(const create_job *j) {
  const ims_instance_record *r = &j->record;
  const ims_id_ranges ranges = {r->uid_map, r->gid_map, r->uid_map_count, r->gid_map_count};
  int user_namespace, clone;
  if (!j->dir->trusted || ims_user_namespace_make(j->op.core, &ranges, &user_namespace, NULL))
    return false;
  int failed = ims_id_mapped_clone(j->op.core, j->dir->root, user_namespace, &clone);
  j->op.core->sys->close(user_namespace);
  if (!failed)
    j->op.core->sys->close(clone);
  return !failed;
}

static int32_t fill_record(create_job *j, const imgstore_rootfs_options *options, const imgstore_unpack_options *unpack,
                           ims_error *err) {
  const ims_alloc *alloc = &j->op.core->alloc;
  ims_instance_record *r = &j->record;
  ims_instance_record_set_created(r, ims_wall_ns());
  r->image = ims_strdup(alloc, options->image_name ? options->image_name : "");
  r->manifest = j->image->manifest->digest;
  r->config = j->image->manifest->config->digest;
  r->read_only = options->flags & IMGSTORE_ROOTFS_READ_ONLY;
  if (!r->image ||
      (unpack && (copy_map(alloc, unpack->uid_map, unpack->uid_map_count, &r->uid_map, &r->uid_map_count) ||
                  copy_map(alloc, unpack->gid_map, unpack->gid_map_count, &r->gid_map, &r->gid_map_count))))
    return ims_fail_nomem(err);
  r->id_mapped = (r->uid_map_count || r->gid_map_count) && can_map_ids(j);
  return IMGSTORE_OK;
}

/* The same layers for every map, when the maps are laid over the mount. */
static int32_t start_layers(create_job *j, const imgstore_layers_options *given, ims_error *err) {
  imgstore_layers_options layers = *given;
  imgstore_unpack_options unpack;
  layers.progress = NULL;
  if (j->record.id_mapped) {
    unpack = *layers.unpack;
    unpack.uid_map = unpack.gid_map = NULL;
    unpack.uid_map_count = unpack.gid_map_count = 0;
    layers.unpack = &unpack;
  }
  j->record.user_xattrs = layers.overlay_form == IMGSTORE_OVERLAY_USER ||
                          (layers.overlay_form == IMGSTORE_OVERLAY_DEFAULT && !j->dir->trusted);
  int32_t rc = ims_layers_new(&j->layers, &j->op, j->dir, &layers, err);
  if (!rc)
    rc = ims_layers_begin(j->layers, j->image->manifest, j->image->config);
  if (rc && err && !err->code)
    *err = j->op.err;
  return rc;
}

static int32_t lease_image(create_job *j, ims_error *err) {
  const imgstore_image *image = j->image;
  const char **digests = ims_calloc(&j->op.core->alloc, image->layer_count + 2, sizeof *digests);
  if (!digests)
    return ims_fail_nomem(err);
  digests[0] = image->manifest->digest.text;
  digests[1] = image->manifest->config->digest.text;
  for (size_t i = 0; i < image->layer_count; i++)
    digests[i + 2] = image->layers[i]->digest.text;
  int32_t rc = ims_lease_open(&j->lease, image->store, err);
  if (!rc)
    rc = ims_lease_add_all(&j->lease, digests, image->layer_count + 2, err);
  ims_free(&j->op.core->alloc, digests);
  return rc;
}

/* --- the job ---------------------------------------------------------------------------------------------------------
 */

static int32_t take_layers(create_job *j) {
  ims_instance_record *r = &j->record;
  size_t count = ims_layers_count(j->layers);
  r->layers = ims_calloc(r->alloc, count, sizeof *r->layers);
  for (size_t i = 0; r->layers && i < count; i++) {
    r->layers[i] = ims_strdup(r->alloc, ims_layers_name(j->layers, i));
    if (!r->layers[i])
      break;
    r->layer_count++;
  }
  return r->layer_count == count ? IMGSTORE_OK : ims_fail_nomem(&j->op.err);
}

static int32_t make_instance(create_job *j) {
  ims_instance instance;
  ims_error *err = &j->op.err;
  int top;
  int32_t rc = take_layers(j);
  if (!rc && !j->record.layer_count)
    rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "rootfs %s: the image has no layers", j->name);
  if (!rc)
    rc = ims_layer_dir_open(j->dir, j->record.layers[j->record.layer_count - 1], &top, err);
  if (rc)
    return rc;
  rc = ims_instance_create(&instance, j->dir, j->name, &j->record, top, err);
  j->op.core->sys->close(top);
  return rc ? rc : ims_rootfs_new(&j->rootfs, &instance, err);
}

static int32_t advance(imgstore_operation *op, int64_t now) {
  create_job *j = (create_job *)op;
  int32_t rc = ims_layers_advance(j->layers, now);
  return rc ? rc : make_instance(j);
}

static int32_t timeout(imgstore_operation *op, int64_t now) {
  (void)now;
  return ims_layers_timeout(((create_job *)op)->layers);
}

static void end(imgstore_operation *op, int32_t result) {
  create_job *j = (create_job *)op;
  (void)result;
  ims_layers_free(j->layers);
  j->layers = NULL;
  if (j->rootfs)
    ims_rootfs_lease_close(&j->hold);
  else
    ims_hold_abandon(j->dir, &j->hold, &j->image->manifest->digest);
  ims_lease_close(&j->lease);
}

static void destroy(imgstore_operation *op) {
  create_job *j = (create_job *)op;
  ims_core *core = ims_core_ref(op->core);
  ims_rootfs_unref(j->rootfs);
  ims_instance_record_free(&j->record);
  imgstore_image_unref(j->image);
  ims_rootfs_dir_unref(j->dir);
  ims_operation_clean(op);
  ims_free(&core->alloc, j);
  ims_core_unref(core);
}

static const ims_job create_job_type = {advance, timeout, end, destroy};

imgstore_rootfs *ims_operation_take_rootfs(imgstore_operation *op) {
  create_job *j = (create_job *)op;
  if (op->job != &create_job_type)
    return NULL;
  imgstore_rootfs *rootfs = j->rootfs;
  j->rootfs = NULL;
  return rootfs;
}

/* A name that is taken is found out before anything is applied. */
static int32_t check(ims_rootfs_dir *dir, const imgstore_image *image, const char *name, ims_error *err) {
  struct stat st;
  int32_t rc = ims_instance_check_name(name, err);
  if (!rc)
    rc = ims_rootfs_dir_writable(dir, err);
  if (!rc && image->store != dir->store)
    rc = ims_fail(err, IMGSTORE_EINVALID, "rootfs %s: the image is of another store than the rootfs directory", name);
  if (!rc && dir->core->sys->fstatat(dir->folder[IMS_ROOTFS_INSTANCES], name, &st, AT_SYMLINK_NOFOLLOW) == 0)
    rc = ims_fail(err, IMGSTORE_EEXISTS, "rootfs %s: there is one of that name", name);
  return rc;
}

int32_t ims_rootfs_create_start(imgstore_operation **op, ims_rootfs_dir *dir, imgstore_image *image, const char *name,
                                const imgstore_rootfs_options *options, ims_error *err) {
  ims_core *core = image->core;
  *op = NULL;
  int32_t rc = check(dir, image, name, err);
  if (rc)
    return rc;
  create_job *j = ims_calloc(&core->alloc, 1, sizeof *j);
  if (!j)
    return ims_fail_nomem(err);
  rc = ims_operation_init(&j->op, core, &create_job_type, options->progress, options->progress_data, err);
  if (rc) {
    ims_free(&core->alloc, j);
    return rc;
  }
  j->dir = ims_rootfs_dir_ref(dir);
  j->image = imgstore_image_ref(image);
  strcpy(j->name, name);
  ims_instance_record_init(&j->record, &core->alloc);
  rc = ims_hold_begin(dir, &j->hold, &image->manifest->digest, err);
  if (!rc)
    rc = lease_image(j, err);
  if (!rc)
    rc = fill_record(j, options, options->layers->unpack, err);
  if (!rc)
    rc = start_layers(j, options->layers, err);
  if (rc) {
    ims_operation_free(&j->op);
    return rc;
  }
  *op = &j->op;
  return IMGSTORE_OK;
}
