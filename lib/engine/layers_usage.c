/*
 * engine/layers_usage.c (L4) - which layer directories are needed, by whom; counting and collecting them.
 *
 * Users are the images of the store (each once, however many names it has), the instances, and running jobs by their
 * leases. Prune decides under the exclusive collect lock: who needs a layer says so under the shared one, before he
 * looks whether it is there.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/folder.h"
#include "engine/layers_job.h"
#include "rootfs/instance.h"
#include "rootfs/layer_dir.h"
#include "rootfs/tree_usage.h"
#include "store/holds.h"
#include "store/walk.h"

#define INSTANCE_RECORD "record"

typedef struct layer_use {
  char name[IMS_LAYER_NAME];
  ims_digest chain_id;
  uint64_t bytes, inodes;
  size_t users;
  bool mine; /* of the image at hand */
} layer_use;

typedef struct accounting {
  ims_rootfs_dir *dir;
  imgstore_report *report;
  ims_error *err;
  layer_use *items;
  size_t count, capacity;
  ims_refs refs;
  ims_walk walk;
} accounting;

static int32_t add_detailed(accounting *a, int32_t kind, const char *name, const char *digest, const char *detail,
                            uint64_t bytes, uint64_t shared, uint64_t inodes) {
  int32_t rc = ims_report_add(a->report, kind, name, digest, detail, bytes, shared);
  if (rc)
    return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(a->err) : ims_fail(a->err, rc, "report: too many lines");
  ims_report_set_inodes(a->report, inodes);
  return IMGSTORE_OK;
}

static int32_t add_line(accounting *a, int32_t kind, const char *name, const char *digest, uint64_t bytes,
                        uint64_t shared, uint64_t inodes) {
  return add_detailed(a, kind, name, digest, NULL, bytes, shared, inodes);
}

/* --- what there is ---------------------------------------------------------------------------------------------------
 */

static int32_t add_layer(void *data, const char *name, bool foreign) {
  accounting *a = data;
  if (foreign)
    return add_line(a, IMGSTORE_REPORT_FOREIGN, name, NULL, 0, 0, 0);
  if (a->count == a->capacity) {
    size_t capacity = a->capacity ? a->capacity * 2 : 64;
    layer_use *items = ims_realloc_array(&a->dir->core->alloc, a->items, capacity, sizeof *items);
    if (!items)
      return ims_fail_nomem(a->err);
    a->items = items;
    a->capacity = capacity;
  }
  layer_use *item = &a->items[a->count++];
  memset(item, 0, sizeof *item);
  memcpy(item->name, name, strlen(name) + 1);
  ims_layer_dir_chain_id(name, &item->chain_id);
  return IMGSTORE_OK;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const layer_use *)a)->name, ((const layer_use *)b)->name);
}

/* Sizes are said by the record; a layer directory whose record is damaged counts as nothing, and can go. */
static int32_t read_sizes(accounting *a) {
  for (size_t i = 0; i < a->count; i++) {
    ims_layer_record record;
    ims_error ignored = IMS_ERROR_INIT;
    int32_t rc = ims_layer_record_read(&record, a->dir, a->items[i].name, &ignored);
    if (!rc) {
      a->items[i].bytes = record.bytes;
      a->items[i].inodes = record.inodes;
    }
    ims_layer_record_free(&record);
    if (rc == IMGSTORE_ENOMEM)
      return ims_fail_nomem(a->err);
  }
  return IMGSTORE_OK;
}

static int32_t report_foreign(void *data, const char *name, unsigned char type) {
  static const char *const ours[] = {
      "imgstore-rootfs", "imgstore-rootfs.new", "layers", "instances", "staging", "trash", "locks", "leases"};
  for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
    if (strcmp(name, ours[i]) == 0)
      return IMGSTORE_OK;
  return add_line(data, IMGSTORE_REPORT_FOREIGN, name, NULL, 0, 0, 0);
}

static int32_t report_foreign_file(void *data, const char *name, unsigned char type) {
  return type == DT_DIR ? IMGSTORE_OK : add_line(data, IMGSTORE_REPORT_FOREIGN, name, NULL, 0, 0, 0);
}

static int32_t list_all(accounting *a) {
  const ims_core *core = a->dir->core;
  int32_t rc = ims_folder_scan(core, a->dir->root, report_foreign, a);
  if (!rc && a->dir->folder[IMS_ROOTFS_STAGING] >= 0)
    rc = ims_folder_scan(core, a->dir->folder[IMS_ROOTFS_STAGING], report_foreign_file, a);
  if (rc)
    return ims_fail(a->err, rc, "rootfs directory %s: cannot read", a->dir->path);
  rc = ims_layer_dir_list(a->dir, add_layer, a, a->err);
  if (rc)
    return rc;
  if (a->count)
    qsort(a->items, a->count, sizeof *a->items, by_name);
  return read_sizes(a);
}

/* --- who needs it ----------------------------------------------------------------------------------------------------
 */

static void use_chain(accounting *a, const ims_digest *chain_id) {
  for (size_t i = 0; i < a->count; i++)
    a->items[i].mine = a->items[i].mine || ims_digest_equal(&a->items[i].chain_id, chain_id);
}

static void forget_mine(accounting *a) {
  for (size_t i = 0; i < a->count; i++)
    a->items[i].mine = false;
}

/* One manifest that the walk came to; another kind than an image has no layer directories. */
static int32_t use_manifest(accounting *a, const ims_digest *digest) {
  imgstore_manifest *manifest;
  ims_config *config = NULL;
  ims_error err = IMS_ERROR_INIT;
  int32_t rc = ims_store_manifest_load(a->dir->store, digest, NULL, &manifest, &err);
  if (!rc && manifest->kind == IMGSTORE_MANIFEST_IMAGE && manifest->config)
    rc = ims_image_load_config(&config, a->dir->store, manifest, digest->text, &err);
  for (size_t i = 0; !rc && config && i < config->layer_count; i++)
    use_chain(a, &config->chain_ids[i]);
  if (manifest)
    imgstore_manifest_unref(manifest);
  ims_config_free(config);
  if (rc && rc != IMGSTORE_ENOTFOUND && rc != IMGSTORE_EUNSUPPORTED)
    return ims_fail(a->err, rc, "%s", err.message);
  return IMGSTORE_OK;
}

/* Marks what the image of one reference has. */
static int32_t use_reference(accounting *a, const ims_target *target) {
  ims_digest_set_clear(&a->walk.seen);
  a->walk.queued = 0;
  forget_mine(a);
  int32_t rc = ims_walk_target(&a->walk, target, a->err);
  for (size_t i = 0; !rc && i < a->walk.seen.count; i++) {
    const ims_digest_item *item = &a->walk.seen.items[i];
    ims_digest digest;
    if (!(item->flags & IMS_WALK_MANIFEST) || item->flags & IMS_WALK_ABSENT)
      continue;
    if (item->flags & IMS_WALK_DAMAGED)
      return ims_fail(a->err, IMGSTORE_ECORRUPT, "an image of the store cannot be read");
    ims_digest_item_digest(item, &digest);
    rc = use_manifest(a, &digest);
  }
  return rc;
}

static void count_mine(accounting *a) {
  for (size_t i = 0; i < a->count; i++)
    a->items[i].users += a->items[i].mine;
}

/* Two names of one image are one user. */
static bool is_counted(const accounting *a, size_t i) {
  for (size_t k = 0; k < i; k++)
    if (ims_digest_equal(&a->refs.items[k].target.digest, &a->refs.items[i].target.digest))
      return true;
  return false;
}

static int32_t count_images(accounting *a) {
  int32_t rc = ims_refs_load(&a->refs, a->dir->store, a->err);
  if (!rc && !a->walk.strict) /* in the usage instances speak for themselves */
    ims_refs_hide_holds(&a->refs);
  for (size_t i = 0; !rc && i < a->refs.count; i++) {
    if (is_counted(a, i))
      continue;
    rc = use_reference(a, &a->refs.items[i].target);
    count_mine(a);
  }
  return rc;
}

static int32_t use_name(void *data, const char *name) {
  accounting *a = data;
  for (size_t i = 0; i < a->count; i++)
    a->items[i].users += strcmp(a->items[i].name, name) == 0;
  return IMGSTORE_OK;
}

static int32_t count_instance(void *data, const char *name, unsigned char type) {
  accounting *a = data;
  ims_instance_record record;
  ims_buf text;
  ims_error err = IMS_ERROR_INIT;
  int fd = type == DT_DIR ? ims_dir_file_open_dir(a->dir->core, a->dir->folder[IMS_ROOTFS_INSTANCES], name) : -1;
  if (fd < 0)
    return IMGSTORE_OK;
  ims_instance_record_init(&record, &a->dir->core->alloc);
  ims_buf_init(&text, &a->dir->core->alloc, IMS_INSTANCE_RECORD_MAX);
  int32_t rc = ims_dir_file_read(a->dir->core, fd, INSTANCE_RECORD, &text);
  if (!rc)
    rc = ims_instance_record_read(&record, ims_buf_text(&text), text.size, name, &err);
  for (size_t i = 0; !rc && i < record.layer_count; i++)
    use_name(a, record.layers[i]);
  a->dir->core->sys->close(fd);
  ims_instance_record_free(&record);
  ims_buf_free(&text);
  if (rc == IMGSTORE_ENOTFOUND) /* not one of ours */
    return IMGSTORE_OK;
  return rc ? ims_fail(a->err, rc, "instance \"%.128s\": cannot read its record", name) : IMGSTORE_OK;
}

static int32_t count_instances(accounting *a) {
  int folder = a->dir->folder[IMS_ROOTFS_INSTANCES];
  int32_t rc = folder < 0 ? IMGSTORE_OK : ims_folder_scan(a->dir->core, folder, count_instance, a);
  return rc ? ims_fail(a->err, rc, "rootfs directory %s: cannot read its instances", a->dir->path) : rc;
}

static void begin(accounting *a, ims_rootfs_dir *dir, imgstore_report *report, bool strict, ims_error *err) {
  memset(a, 0, sizeof *a);
  a->dir = dir;
  a->report = report;
  a->err = err;
  ims_walk_init(&a->walk, dir->store, strict);
}

static void end(accounting *a) {
  ims_walk_free(&a->walk);
  ims_refs_free(&a->refs);
  ims_free(&a->dir->core->alloc, a->items);
}

/* --- usage
 * ------------------------------------------------------------------------------------------------------------- */

static int32_t say_layers(accounting *a) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < a->count; i++) {
    const layer_use *item = &a->items[i];
    rc = add_line(a, IMGSTORE_REPORT_LAYER_DIR, item->name, item->chain_id.text, item->bytes,
                  item->users > 1 ? item->bytes : 0, item->inodes);
  }
  return rc;
}

static int32_t say_image(accounting *a, const ims_ref *ref) {
  uint64_t bytes = 0, shared = 0, inodes = 0;
  bool any = false;
  int32_t rc = use_reference(a, &ref->target);
  for (size_t i = 0; !rc && i < a->count; i++) {
    const layer_use *item = &a->items[i];
    if (!item->mine)
      continue;
    any = true;
    bytes += item->bytes;
    inodes += item->inodes;
    shared += item->users > 1 ? item->bytes : 0;
  }
  if (rc || !any)
    return rc;
  return add_line(a, IMGSTORE_REPORT_USAGE, ref->name, ims_target_named(&ref->target)->text, bytes, shared, inodes);
}

static int32_t say_images(accounting *a) {
  uint64_t bytes = 0, inodes = 0;
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < a->refs.count; i++)
    rc = say_image(a, &a->refs.items[i]);
  for (size_t i = 0; i < a->count; i++) {
    bytes += a->items[i].bytes;
    inodes += a->items[i].inodes;
  }
  return rc ? rc : add_line(a, IMGSTORE_REPORT_USAGE, "", NULL, bytes, 0, inodes);
}

/* Adds one of an instance's directories, where there is one. *why: what could not be counted. */
static int32_t count_files(accounting *a, int instance, const char *which, ims_tree_usage *own, ims_error *why) {
  int fd = ims_dir_file_open_dir(a->dir->core, instance, which);
  if (fd < 0)
    return errno == ENOENT ? IMGSTORE_OK : ims_fail_os(why, errno, "%s: cannot open it", which);
  int32_t rc = ims_tree_usage_add(own, a->dir->core, fd, why);
  ims_dir_file_close(a->dir->core, &fd);
  return rc;
}

static int32_t say_counted(accounting *a, const char *name, const ims_instance_record *record,
                           const ims_tree_usage *own, const ims_error *why) {
  uint64_t below = 0;
  for (size_t i = 0; i < record->layer_count; i++)
    for (size_t k = 0; k < a->count; k++)
      below += strcmp(a->items[k].name, record->layers[i]) == 0 ? a->items[k].bytes : 0;
  int32_t rc = add_detailed(a, IMGSTORE_REPORT_ROOTFS, name, record->manifest.text, record->image, own->bytes + below,
                            below, own->inodes);
  return rc || !why->code ? rc : add_detailed(a, IMGSTORE_REPORT_SKIPPED, name, NULL, why->message, 0, 0, 0);
}

/* Without a lock: an instance may be used, and deleted, while it is counted. */
static int32_t say_instance(void *data, const char *name, const ims_instance_record *record, const ims_error *why) {
  accounting *a = data;
  const int folder = a->dir->folder[IMS_ROOTFS_INSTANCES];
  ims_tree_usage own = {0, 0};
  ims_error missed = IMS_ERROR_INIT;
  (void)why; /* what cannot be read was met before */
  int fd = record ? ims_dir_file_open_dir(a->dir->core, folder, name) : -1;
  if (fd < 0)
    return IMGSTORE_OK;
  int32_t rc = count_files(a, fd, IMS_INSTANCE_UPPER, &own, &missed);
  if (rc != IMGSTORE_ENOMEM)
    rc = count_files(a, fd, IMS_INSTANCE_COPY, &own, &missed);
  if (rc == IMGSTORE_ENOMEM)
    rc = ims_fail_nomem(a->err);
  else
    rc = ims_dir_file_is(a->dir->core, folder, name, fd) ? say_counted(a, name, record, &own, &missed) : IMGSTORE_OK;
  ims_dir_file_close(a->dir->core, &fd);
  return rc;
}

int32_t ims_layers_usage(ims_rootfs_dir *dir, imgstore_report *report, ims_error *err) {
  accounting a;
  begin(&a, dir, report, false, err);
  int32_t rc = list_all(&a);
  if (!rc)
    rc = count_images(&a);
  if (!rc)
    rc = count_instances(&a);
  if (!rc)
    rc = say_layers(&a);
  if (!rc)
    rc = ims_instance_list(dir, say_instance, &a, err);
  if (!rc)
    rc = say_images(&a);
  end(&a);
  return rc;
}

/* --- prune
 * ------------------------------------------------------------------------------------------------------------- */

/* A lock of a layer that is not there, and that nobody makes. */
static int32_t remove_lock(void *data, const char *name, unsigned char type) {
  accounting *a = data;
  ims_digest chain_id;
  bool present;
  int fd;
  if (!ims_layer_dir_chain_id(name, &chain_id) || ims_layer_dir_find(a->dir, name, &present, NULL) || present)
    return IMGSTORE_OK;
  if (ims_rootfs_dir_lock(a->dir, name, LOCK_EX | LOCK_NB, &fd, NULL))
    return IMGSTORE_OK;
  a->dir->core->sys->unlinkat(a->dir->folder[IMS_ROOTFS_LOCKS], name, 0);
  ims_dir_file_close(a->dir->core, &fd);
  return IMGSTORE_OK;
}

static int32_t remove_unused(accounting *a) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < a->count; i++) {
    const layer_use *item = &a->items[i];
    if (item->users)
      continue;
    char trash_name[IMS_STAGE_NAME];
    rc = ims_trash_take(a->dir, a->dir->folder[IMS_ROOTFS_LAYERS], item->name, trash_name);
    if (rc)
      ims_fail(a->err, rc, "rootfs directory %s: cannot move layer %s to the trash", a->dir->path, item->name);
    else
      rc = add_line(a, IMGSTORE_REPORT_LAYER_DIR, item->name, item->chain_id.text, item->bytes, 0, item->inodes);
  }
  return rc;
}

int32_t ims_layers_prune(ims_rootfs_dir *dir, imgstore_report *report, ims_error *err) {
  accounting a;
  int collect = -1;
  begin(&a, dir, report, true, err);
  int32_t rc = ims_rootfs_dir_writable(dir, err);
  if (!rc)
    rc = ims_rootfs_dir_lock(dir, IMS_ROOTFS_LOCK_COLLECT, LOCK_EX, &collect, err);
  if (!rc)
    rc = list_all(&a);
  if (!rc) /* first: a job that ends meanwhile has set its reference, or made its instance, before its lease went */
    rc = ims_rootfs_leases(dir, use_name, &a, err);
  if (!rc)
    rc = count_instances(&a);
  if (!rc)
    rc = count_images(&a);
  if (!rc)
    rc = remove_unused(&a);
  if (!rc)
    (void)ims_folder_scan(dir->core, dir->folder[IMS_ROOTFS_LOCKS], remove_lock, &a);
  ims_dir_file_close(dir->core, &collect);
  if (!dir->read_only)
    ims_rootfs_dir_clean(dir, SIZE_MAX);
  end(&a);
  return rc;
}
