/*
 * engine/build_changes.c (L4) - what an instance changed as the source of a layer.
 */
#include "engine/instance_changes.h"
#include "rootfs/diff.h"
#include "rootfs/lower_stack.h"

enum { BUDGET = 1 << 20 };

typedef struct changes_source {
  ims_layer_source base; /**< first member */
  imgstore_rootfs *rootfs;
  ims_own_layer own;
  ims_lower_stack lowers;
  ims_diff *diff;
} changes_source;

static changes_source *source_of(ims_layer_source *source) {
  return (changes_source *)source;
}

static int32_t put(void *data, const void *bytes, size_t size, ims_error *err) {
  return ims_layer_writer_put(data, bytes, size, err);
}

static int32_t step(ims_layer_source *source, ims_layer_writer *writer, ims_error *err) {
  return ims_diff_run(source_of(source)->diff, BUDGET, put, writer, err);
}

static void free_source(ims_layer_source *source) {
  changes_source *s = source_of(source);
  ims_core *core = ims_core_ref(s->rootfs->core);
  ims_diff_free(s->diff);
  ims_lowers_free(&s->lowers);
  if (s->own.fd >= 0)
    core->sys->close(s->own.fd);
  ims_rootfs_unref(s->rootfs);
  ims_free(&core->alloc, s);
  ims_core_unref(core);
}

static const ims_layer_source_type changes_source_type = {step, NULL, free_source};

static int32_t begin(changes_source *s, const ims_layer_setup *setup, ims_error *err) {
  int32_t rc = ims_own_layer_open(&s->own, s->rootfs, err);
  if (!rc && !s->own.marks)
    rc = ims_instance_lowers(&s->lowers, s->rootfs, err);
  if (rc)
    return rc;
  const ims_diff_options options = {.marks = s->own.marks,
                                    .rules = {.uid_map = s->own.uid_map,
                                              .gid_map = s->own.gid_map,
                                              .uid_map_count = s->own.uid_map_count,
                                              .gid_map_count = s->own.gid_map_count,
                                              .recorded_owners = s->own.recorded_owners,
                                              .clamp = setup->clamp,
                                              .latest = setup->clamp_time},
                                    .lowers = s->own.marks ? NULL : &s->lowers,
                                    .root = true};
  return ims_diff_new(&s->diff, s->rootfs->core, s->own.fd, &options, setup->report, err);
}

static int32_t open_changes(void *data, const ims_layer_setup *setup, ims_layer_source **source, ims_error *err) {
  imgstore_rootfs *rootfs = data;
  *source = NULL;
  changes_source *s = ims_calloc(&rootfs->core->alloc, 1, sizeof *s);
  if (!s)
    return ims_fail_nomem(err);
  s->base.type = &changes_source_type;
  s->own.fd = -1;
  s->rootfs = ims_rootfs_ref(rootfs);
  int32_t rc = begin(s, setup, err);
  if (rc) {
    free_source(&s->base);
    return rc;
  }
  *source = &s->base;
  return IMGSTORE_OK;
}

static void release(void *data) {
  ims_rootfs_unref(data);
}

int32_t ims_builder_add_changes(imgstore_builder *b, imgstore_rootfs *rootfs, ims_error *err) {
  const char *name = rootfs->instance.name;
  if (rootfs->instance.dir->store != b->store)
    return ims_fail(err, IMGSTORE_EINVALID, "rootfs %s: it is of another store than the builder", name);
  if (rootfs->instance.record.read_only)
    return ims_fail(err, IMGSTORE_EINVALID, "rootfs %s: it is read-only and has no layer of its own", name);
  const ims_addition addition = {
      .kind = IMS_ADD_OPENED, .path = name, .open = open_changes, .release = release, .user_data = rootfs};
  int32_t rc = ims_builder_add(b, &addition, err);
  if (!rc)
    ims_rootfs_ref(rootfs); /* given back by release */
  return rc;
}
