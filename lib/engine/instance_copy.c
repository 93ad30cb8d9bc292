/*
 * engine/instance_copy.c (L4) - unpacks an instance's image into copying/, which becomes copy/ by one rename when it is
 * complete and flushed.
 */
#include "engine/instance_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "engine/image.h"
#include "engine/unpacker.h"
#include "rootfs/open_dir.h"

#define COPYING "copying"

struct ims_instance_copy {
  imgstore_operation *op;
  const ims_instance *instance;
  imgstore_image *image;
  ims_lease lease;
  ims_unpacker *unpacker;
};

bool ims_instance_has_copy(const ims_instance *instance) {
  struct stat st;
  return instance->dir->core->sys->fstatat(instance->fd, IMS_INSTANCE_COPY, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* What is not complete goes to the trash. Its root has the image's mode by now, and a directory that is moved elsewhere
   must be writable. */
static int32_t discard(const ims_instance *instance, ims_error *err) {
  ims_rootfs_dir *dir = instance->dir;
  const ims_sys *sys = dir->core->sys;
  char trash_name[IMS_STAGE_NAME];
  size_t budget = IMS_TRASH_STEP;
  ims_opened opened;
  int failed = ims_open_dir(sys, false, instance->fd, COPYING, &opened);
  if (failed)
    return failed == ENOENT ? IMGSTORE_OK : ims_fail_os(err, failed, "rootfs %s: cannot open " COPYING, instance->name);
  (void)sys->fchmod(opened.fd, 0700);
  sys->close(opened.fd);
  int32_t rc = ims_trash_take(dir, instance->fd, COPYING, trash_name);
  if (rc)
    return ims_fail(err, rc, "rootfs %s: cannot move " COPYING " to the trash", instance->name);
  ims_trash_remove(dir, trash_name, &budget);
  return IMGSTORE_OK;
}

static int32_t lease_layers(ims_instance_copy *c, ims_error *err) {
  int32_t rc = ims_lease_open(&c->lease, c->image->store, err);
  for (size_t i = 0; !rc && i < c->image->layer_count; i++)
    rc = ims_lease_add(&c->lease, &c->image->layers[i]->digest, err);
  return rc;
}

static int32_t make_unpacker(ims_instance_copy *c, const char *path, ims_error *err) {
  const ims_instance_record *record = &c->instance->record;
  ims_buf directory;
  imgstore_unpack_options options;
  memset(&options, 0, sizeof options);
  options.size = sizeof options;
  options.flags = IMGSTORE_UNPACK_FLUSH;
  options.uid_map = record->uid_map;
  options.uid_map_count = record->uid_map_count;
  options.gid_map = record->gid_map;
  options.gid_map_count = record->gid_map_count;
  ims_buf_init(&directory, &c->op->core->alloc, SIZE_MAX - 1);
  int32_t rc = ims_buf_printf(&directory, "%s/" COPYING, path) ? ims_fail_nomem(err) : IMGSTORE_OK;
  if (!rc)
    rc = ims_unpacker_new(&c->unpacker, c->op, c->instance->dir->store, ims_buf_text(&directory), &options, err);
  ims_buf_free(&directory);
  return rc;
}

int32_t ims_instance_copy_new(ims_instance_copy **copy, imgstore_operation *op, const ims_instance *instance,
                              const char *path, ims_error *err) {
  *copy = NULL;
  ims_instance_copy *c = ims_calloc(&op->core->alloc, 1, sizeof *c);
  if (!c)
    return ims_fail_nomem(err);
  c->op = op;
  c->instance = instance;
  int32_t rc = discard(instance, err);
  if (!rc)
    rc = ims_image_open(&c->image, instance->dir->store, instance->record.manifest.text, NULL, err);
  if (!rc)
    rc = lease_layers(c, err);
  if (!rc)
    rc = make_unpacker(c, path, err);
  if (rc)
    ims_instance_copy_free(c);
  else
    *copy = c;
  return rc;
}

static int32_t publish(ims_instance_copy *c) {
  const ims_sys *sys = c->op->core->sys;
  int own = c->instance->fd;
  ims_unpacker_free(c->unpacker, true);
  c->unpacker = NULL;
  if (sys->renameat2(own, COPYING, own, IMS_INSTANCE_COPY, 0) == 0 && sys->fsync(own) == 0)
    return IMGSTORE_OK;
  int32_t rc = ims_fail_os(&c->op->err, errno, "rootfs %s: cannot name its copy", c->instance->name);
  (void)discard(c->instance, NULL);
  return rc;
}

int32_t ims_instance_copy_advance(ims_instance_copy *c, int64_t now) {
  const ims_config *config = c->image->config;
  size_t done = ims_unpacker_done(c->unpacker);
  if (!ims_unpacker_is_idle(c->unpacker)) {
    int32_t rc = ims_unpacker_advance(c->unpacker, &config->diff_ids[done], now);
    if (rc)
      return rc;
    done++;
  }
  if (done == config->layer_count) {
    int32_t rc = ims_unpacker_finish(c->unpacker);
    return rc ? rc : publish(c);
  }
  int32_t rc = ims_unpacker_begin(c->unpacker, &c->image->manifest->entries[done], &config->diff_ids[done], NULL);
  return rc ? rc : IMGSTORE_EAGAIN;
}

void ims_instance_copy_free(ims_instance_copy *c) {
  if (!c)
    return;
  const ims_alloc *alloc = &c->op->core->alloc;
  if (c->unpacker) {
    ims_unpacker_free(c->unpacker, true);
    (void)discard(c->instance, NULL);
  }
  ims_lease_close(&c->lease);
  imgstore_image_unref(c->image);
  ims_free(alloc, c);
}
