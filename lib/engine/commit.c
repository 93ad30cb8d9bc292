/*
 * engine/commit.c (L4) - an image of an instance: a builder on the instance's image, with one layer more.
 */
#include <errno.h>
#include <string.h>

#include "engine/instance_changes.h"
#include "oci/mediatype.h"
#include "rootfs/tree_cursor.h"

/** Whether the root directory itself is other than the uppermost layer has it. */
static int32_t root_differs(const imgstore_rootfs *rootfs, int own, bool *differs, ims_error *err) {
  const ims_sys *sys = rootfs->core->sys;
  struct stat ours, below;
  int fd;
  int32_t rc = ims_instance_open_lower(&rootfs->instance, 0, &fd, err);
  if (rc)
    return rc;
  if (sys->fstat(own, &ours) || sys->fstat(fd, &below))
    rc = ims_fail_os(err, errno, "rootfs %s: cannot look at its root directory", rootfs->instance.name);
  sys->close(fd);
  *differs = !rc && (ours.st_mode != below.st_mode || (!rootfs->instance.record.id_mapped &&
                                                       (ours.st_uid != below.st_uid || ours.st_gid != below.st_gid)));
  return rc;
}

/** Without a change of files there is no layer. */
static int32_t is_changed(const imgstore_rootfs *rootfs, bool *changed, ims_error *err) {
  ims_own_layer own;
  ims_tree_cursor cursor;
  int event = IMS_CURSOR_END;
  *changed = true;
  int32_t rc = ims_own_layer_open(&own, rootfs, err);
  if (rc || own.fd < 0 || !own.marks) {
    if (own.fd >= 0)
      rootfs->core->sys->close(own.fd);
    return rc;
  }
  rc = ims_cursor_init(&cursor, rootfs->core, own.fd, err);
  if (!rc)
    rc = ims_cursor_next(&cursor, &event, err);
  ims_cursor_free(&cursor);
  *changed = event != IMS_CURSOR_END;
  if (!rc && !*changed)
    rc = root_differs(rootfs, own.fd, changed, err);
  rootfs->core->sys->close(own.fd);
  return rc;
}

static int32_t fill(imgstore_builder *b, imgstore_rootfs *rootfs, const imgstore_commit_options *options,
                    ims_error *err) {
  const char *created_by = options->created_by ? options->created_by : "imgstore commit";
  bool changed = false;
  int32_t rc = IMGSTORE_OK;
  if (options->author)
    rc = ims_builder_set_text(b, IMGSTORE_IMAGE_AUTHOR, options->author, err);
  for (size_t i = 0; i < options->change_count && !rc; i++)
    rc = ims_builder_instruct(b, options->changes[i], err);
  if (!rc)
    rc = ims_builder_set_history(b, created_by, options->message, err);
  if (!rc)
    rc = is_changed(rootfs, &changed, err);
  return rc || !changed ? rc : ims_builder_add_changes(b, rootfs, err);
}

static int32_t open_base(imgstore_image **image, const imgstore_rootfs *rootfs, ims_error *err) {
  int32_t rc = ims_image_open(image, rootfs->instance.dir->store, rootfs->instance.record.manifest.text, NULL, err);
  return rc ? ims_error_prefix(err, "rootfs %s", rootfs->instance.name) : rc;
}

int32_t ims_commit_start(imgstore_operation **op, imgstore_rootfs *rootfs, const char *name,
                         const imgstore_commit_options *options, ims_error *err) {
  imgstore_image *base;
  imgstore_builder *builder;
  *op = NULL;
  if (rootfs->instance.record.read_only)
    return ims_fail(err, IMGSTORE_EINVALID, "rootfs %s: it is read-only and has no layer of its own",
                    rootfs->instance.name);
  int32_t rc = open_base(&base, rootfs, err);
  if (rc)
    return rc;
  const bool docker = ims_media_equal(base->manifest->media_type, IMS_MT_DOCKER_MANIFEST);
  const imgstore_build_options build = {.size = sizeof build,
                                        .flags = options->flags,
                                        .format = docker ? IMGSTORE_FORMAT_DOCKER : IMGSTORE_FORMAT_OCI,
                                        .compression = options->compression,
                                        .level = options->level,
                                        .source_date_epoch = options->source_date_epoch,
                                        .progress = options->progress,
                                        .progress_data = options->progress_data};
  rc = ims_builder_new(&builder, base->store, base, err);
  if (!rc) {
    rc = fill(builder, rootfs, options, err);
    if (!rc)
      rc = ims_builder_finish_start(op, builder, name, &build, err);
    ims_builder_unref(builder); /* the operation has a reference of its own */
  }
  imgstore_image_unref(base);
  return rc;
}
