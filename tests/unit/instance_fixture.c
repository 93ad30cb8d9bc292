/*
 * instance_fixture.c - see instance_fixture.h.
 */
#include "instance_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/holds.h"

#define LAYER WORLD_LAYER
#define IMAGE WORLD_IMAGE

static const imgstore_rootfs_dir_options dir_options = {.size = sizeof dir_options,
                                                        .durability = IMGSTORE_DURABILITY_NONE};

/* All instance_calls; those of the fixture count and fail, and so do the ones that only instances make. */
ims_sys instance_calls;

static int faulty_fchown(int fd, uid_t uid, gid_t gid) {
  struct stat st;
  return fixture_sys.fstat(fd, &st) ? -1 : ims_sys_default.fchown(fd, uid, gid);
}

static int faulty_futimens(int fd, const struct timespec times[2]) {
  struct stat st;
  return fixture_sys.fstat(fd, &st) ? -1 : ims_sys_default.futimens(fd, times);
}

/* One more call that counts. */
static bool fails(void) {
  struct stat st;
  return fixture_sys.fstat(STDIN_FILENO, &st) != 0 && errno != EBADF;
}

static int faulty_fsopen(const char *type, unsigned flags) {
  return fails() ? -1 : ims_sys_default.fsopen(type, flags);
}

static int faulty_fsconfig(int fs, unsigned command, const char *key, const void *value, int extra) {
  return fails() ? -1 : ims_sys_default.fsconfig(fs, command, key, value, extra);
}

static int faulty_fsmount(int fs, unsigned flags, unsigned attributes) {
  return fails() ? -1 : ims_sys_default.fsmount(fs, flags, attributes);
}

static int faulty_move_mount(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  return fails() ? -1 : ims_sys_default.move_mount(from_dir, from, to_dir, to, flags);
}

static int faulty_umount2(const char *target, int flags) {
  return fails() ? -1 : ims_sys_default.umount2(target, flags);
}

static ssize_t faulty_write(int fd, const void *buffer, size_t size) {
  return fails() ? -1 : ims_sys_default.write(fd, buffer, size);
}

static void set_calls(void) {
  instance_calls = ims_sys_default;
#define USE(name) instance_calls.name = fixture_sys.name
  USE(openat), USE(pread), USE(pwrite), USE(ftruncate), USE(fallocate), USE(fsync), USE(fdatasync), USE(fstat);
  USE(fstatat), USE(mkdirat), USE(unlinkat), USE(renameat2), USE(fchmod), USE(flock), USE(getdents64);
#undef USE
  instance_calls.fchown = faulty_fchown;
  instance_calls.futimens = faulty_futimens;
  instance_calls.fsopen = faulty_fsopen;
  instance_calls.fsconfig = faulty_fsconfig;
  instance_calls.fsmount = faulty_fsmount;
  instance_calls.move_mount = faulty_move_mount;
  instance_calls.umount2 = faulty_umount2;
  instance_calls.write = faulty_write;
}

void world_open(world *w, const ims_alloc *alloc) {
  set_calls();
  w->core = fixture_core(&instance_calls, alloc);
  assert_non_null(w->core);
  assert_int_equal(fixture_open(w->core, w->path, 0, IMGSTORE_DURABILITY_NONE, &w->store, NULL), 0);
  assert_int_equal(ims_rootfs_dir_open(&w->dir, w->store, NULL, &dir_options, NULL), 0);
}

void world_close(world *w) {
  ims_rootfs_dir_unref(w->dir);
  ims_store_unref(w->store);
  ims_core_unref(w->core);
}

void world_begin(world *w) {
  ims_error err = IMS_ERROR_INIT;
  fixture_fault_now = (fixture_fault){.at = -1};
  w->path = fixture_directory();
  world_open(w, NULL);
  fixture_image_init(&w->image, "x");
  assert_int_equal(fixture_image_put(w->store, &w->image, "x", &err), 0);
  assert_int_equal(ims_ref_set(w->store, IMAGE, NULL, &w->image.target, &err), 0);
  int layers = w->dir->folder[IMS_ROOTFS_LAYERS];
  assert_int_equal(mkdirat(layers, LAYER, 0700), 0);
  assert_int_equal(mkdirat(layers, LAYER "/root", 0750), 0);
  w->top = openat(layers, LAYER "/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_true(w->top >= 0);
}

void world_end(world *w) {
  close(w->top);
  world_close(w);
  fixture_remove(w->path);
}

int32_t world_record(world *w, ims_instance_record *r, bool read_only) {
  ims_instance_record_init(r, &w->core->alloc);
  ims_instance_record_set_created(r, 1600000000000000000);
  r->manifest = w->image.target.digest;
  r->config = w->image.config;
  r->read_only = read_only;
  r->image = ims_strdup(r->alloc, IMAGE);
  r->layers = ims_calloc(r->alloc, 1, sizeof *r->layers);
  if (r->layers && (r->layers[0] = ims_strdup(r->alloc, LAYER)))
    r->layer_count = 1;
  return r->image && r->layer_count ? IMGSTORE_OK : IMGSTORE_ENOMEM;
}

int32_t world_create(world *w, const char *name, ims_error *err) {
  ims_instance_record record;
  ims_instance instance;
  int32_t rc = world_record(w, &record, false);
  if (!rc)
    rc = ims_instance_create(&instance, w->dir, name, &record, w->top, err);
  if (!rc)
    ims_instance_close(&instance);
  ims_instance_record_free(&record);
  return rc;
}

static int32_t count_one(void *data, const char *name, const ims_instance_record *record, const ims_error *why) {
  (void)name;
  (void)why;
  *(int *)data += record ? 1 : 100;
  return IMGSTORE_OK;
}

int world_count(world *w) {
  int found = 0;
  assert_int_equal(ims_instance_list(w->dir, count_one, &found, NULL), 0);
  return found;
}

static int32_t count_hold(void *data, const char *name, const ims_target *target) {
  (void)target;
  *(int *)data += ims_ref_is_hold(name);
  return IMGSTORE_OK;
}

int world_holds(world *w) {
  int found = 0;
  assert_int_equal(ims_ref_list(w->store, count_hold, &found, NULL), 0);
  return found;
}
