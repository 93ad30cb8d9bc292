/*
 * engine/rootfs_bundle.c (L4) - what a bundle of an instance is made of: its image, where it is mounted, its id maps.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/bundle.h"
#include "engine/rootfs.h"

/* Where it is mounted, or what the caller says. *path: as it goes into config.json, absolute. */
static int32_t find_root(imgstore_rootfs *rootfs, const imgstore_bundle_options *options, ims_buf *path, int *fd,
                         ims_error *err) {
  const ims_core *core = rootfs->core;
  const ims_instance *instance = &rootfs->instance;
  ims_mount_state state;
  int32_t found = IMS_MOUNT_NOWHERE;
  ims_mount_state_init(&state, core);
  int32_t rc = IMGSTORE_OK;
  if (options->root && options->root[0] != '/')
    rc = ims_fail(err, IMGSTORE_EINVALID, "root \"%.200s\": not an absolute path", options->root);
  else if (options->root)
    ims_buf_puts(path, options->root);
  else
    rc = ims_rootfs_find_mount(instance, &state, &found, err);
  if (!rc && !options->root && found != IMS_MOUNT_HERE)
    rc = ims_fail(err, IMGSTORE_ENOTFOUND, "rootfs %s: it is not mounted", instance->name);
  else if (!rc && !options->root)
    ims_buf_puts(path, ims_buf_text(&state.target));
  ims_mount_state_free(&state);
  if (!rc && path->failed)
    rc = ims_fail_nomem(err);
  if (rc)
    return rc;
  *fd = core->sys->openat(AT_FDCWD, ims_buf_text(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  return *fd < 0 ? ims_fail_os(err, errno, "rootfs %s: cannot open %s", instance->name, ims_buf_text(path))
                 : IMGSTORE_OK;
}

static void choose_maps(ims_bundle *b, const ims_instance_record *record, const imgstore_id_map self[2]) {
  const imgstore_bundle_options *o = b->options;
  bool given = o->uid_map_count || o->gid_map_count, rootless = o->flags & IMGSTORE_BUNDLE_ROOTLESS;
  b->uid_map = given ? o->uid_map : record->uid_map;
  b->uid_map_count = given ? o->uid_map_count : record->uid_map_count;
  b->gid_map = given ? o->gid_map : record->gid_map;
  b->gid_map_count = given ? o->gid_map_count : record->gid_map_count;
  if (rootless && !b->uid_map_count) {
    b->uid_map = &self[0];
    b->uid_map_count = 1;
  }
  if (rootless && !b->gid_map_count) {
    b->gid_map = &self[1];
    b->gid_map_count = 1;
  }
}

int32_t ims_rootfs_bundle(imgstore_rootfs *rootfs, const char *directory, const imgstore_bundle_options *options,
                          ims_error *err) {
  const ims_instance *instance = &rootfs->instance;
  const imgstore_id_map self[2] = {{0, geteuid(), 1}, {0, getegid(), 1}};
  imgstore_image *image = NULL;
  ims_buf path;
  ims_bundle b = {.core = rootfs->core, .options = options, .name = instance->name, .root = -1};
  ims_buf_init(&path, &rootfs->core->alloc, SIZE_MAX - 1);
  int32_t rc = find_root(rootfs, options, &path, &b.root, err);
  if (!rc)
    rc = ims_image_open(&image, instance->dir->store, instance->record.manifest.text, NULL, err);
  if (!rc) {
    b.config = image->config;
    b.root_path = ims_buf_text(&path);
    b.read_only = instance->record.read_only;
    choose_maps(&b, &instance->record, self);
    rc = ims_bundle_write(&b, directory, err);
  }
  if (b.root >= 0)
    rootfs->core->sys->close(b.root);
  imgstore_image_unref(image);
  ims_buf_free(&path);
  return rc;
}
