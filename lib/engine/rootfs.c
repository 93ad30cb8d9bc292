/*
 * engine/rootfs.c (L4) - the handle of an instance: its paths and mount options as text.
 */
#include "engine/rootfs.h"

#include <string.h>

enum { TEXT_MAX = 64 << 20 };

static size_t put_path(imgstore_rootfs *r, const char *folder, const char *name, const char *rest) {
  size_t at = r->text.size;
  ims_buf_printf(&r->text, "%s/%s/%s%s%s", r->instance.dir->path, folder, name, *rest ? "/" : "", rest);
  ims_buf_append(&r->text, "", 1);
  return at;
}

static void put_paths(imgstore_rootfs *r) {
  const ims_instance_record *record = &r->instance.record;
  const char *name = r->instance.name;
  ims_buf_append(&r->text, "", 1); /* offset 0: what there is not */
  r->path[IMGSTORE_ROOTFS_PATH_OWN] = put_path(r, "instances", name, "");
  r->path[IMGSTORE_ROOTFS_PATH_MERGED] = put_path(r, "instances", name, IMS_INSTANCE_MERGED);
  if (!record->read_only) {
    r->path[IMGSTORE_ROOTFS_PATH_UPPER] = put_path(r, "instances", name, IMS_INSTANCE_UPPER);
    r->path[IMGSTORE_ROOTFS_PATH_WORK] = put_path(r, "instances", name, IMS_INSTANCE_WORK);
  }
  for (size_t i = 0; i < record->layer_count; i++)
    r->lower[i] = put_path(r, "layers", record->layers[record->layer_count - 1 - i], IMS_LAYER_ROOT);
}

/* Colons part layers, commas options. Where the path is in text: it may move while it is copied. */
static void put_escaped(ims_buf *text, size_t at) {
  for (; !text->failed && text->data[at]; at++) {
    char c = text->data[at];
    if (strchr(":,\\", c))
      ims_buf_putc(text, '\\');
    ims_buf_putc(text, c);
  }
}

static void put_flags(ims_buf *text, const ims_instance_record *record) {
  if (record->user_xattrs)
    ims_buf_puts(text, record->read_only ? "userxattr" : "userxattr,index=off");
  else
    ims_buf_puts(text, record->read_only ? "metacopy=off,redirect_dir=nofollow"
                                         : "index=off,metacopy=off,redirect_dir=nofollow");
}

static void put_options(imgstore_rootfs *r) {
  const ims_instance_record *record = &r->instance.record;
  r->flags = r->text.size;
  put_flags(&r->text, record);
  ims_buf_append(&r->text, "", 1);
  r->options = r->text.size;
  ims_buf_puts(&r->text, "lowerdir=");
  for (size_t i = 0; i < record->layer_count; i++) {
    if (i)
      ims_buf_putc(&r->text, ':');
    put_escaped(&r->text, r->lower[i]);
  }
  if (!record->read_only) {
    ims_buf_puts(&r->text, ",upperdir=");
    put_escaped(&r->text, r->path[IMGSTORE_ROOTFS_PATH_UPPER]);
    ims_buf_puts(&r->text, ",workdir=");
    put_escaped(&r->text, r->path[IMGSTORE_ROOTFS_PATH_WORK]);
  }
  ims_buf_putc(&r->text, ',');
  put_flags(&r->text, record);
}

int32_t ims_rootfs_new(imgstore_rootfs **rootfs, ims_instance *instance, ims_error *err) {
  ims_core *core = instance->dir->core;
  *rootfs = NULL;
  imgstore_rootfs *r = ims_calloc(&core->alloc, 1, sizeof *r);
  if (!r) {
    ims_instance_close(instance);
    return ims_fail_nomem(err);
  }
  atomic_init(&r->refs, 1);
  r->core = ims_core_ref(core);
  r->instance = *instance;
  instance->dir = NULL;
  ims_buf_init(&r->text, &core->alloc, TEXT_MAX);
  ims_buf_init(&r->where, &core->alloc, TEXT_MAX);
  r->lower = ims_calloc(&core->alloc, r->instance.record.layer_count, sizeof *r->lower);
  if (r->lower) {
    put_paths(r);
    put_options(r);
  }
  if (!r->lower || r->text.failed) {
    ims_rootfs_unref(r);
    return ims_fail_nomem(err);
  }
  *rootfs = r;
  return IMGSTORE_OK;
}

imgstore_rootfs *ims_rootfs_ref(imgstore_rootfs *rootfs) {
  atomic_fetch_add_explicit(&rootfs->refs, 1, memory_order_relaxed);
  return rootfs;
}

void ims_rootfs_unref(imgstore_rootfs *rootfs) {
  if (!rootfs || atomic_fetch_sub_explicit(&rootfs->refs, 1, memory_order_acq_rel) != 1)
    return;
  ims_core *core = rootfs->core;
  ims_instance_close(&rootfs->instance);
  ims_buf_free(&rootfs->text);
  ims_buf_free(&rootfs->where);
  ims_free(&core->alloc, rootfs->lower);
  ims_free(&core->alloc, rootfs);
  ims_core_unref(core);
}
