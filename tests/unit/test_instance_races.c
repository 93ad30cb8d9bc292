/*
 * tests/unit/test_instance_races.c - two at the same instant: what one may do in the middle of the other's calls, and
 * that nobody waits for somebody who takes long.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "imgstore/rootfs.h"
#include "instance_fixture.h"

static imgstore_rootfs *open_rootfs(world *w) {
  imgstore_rootfs *rootfs = NULL;
  assert_int_equal(world_create(w, "web", NULL), 0);
  assert_int_equal(imgstore_rootfs_open(w->dir, "web", &rootfs, NULL), 0);
  return rootfs;
}

static int lock_in_instance(world *w, const char *path, int operation) {
  int fd = openat(w->dir->folder[IMS_ROOTFS_INSTANCES], path, O_RDONLY | O_CLOEXEC);
  assert_true(fd >= 0);
  assert_int_equal(flock(fd, operation), 0);
  return fd;
}

/* --- publishing ------------------------------------------------------------------------------------------------------
 */

/* The instant between the two halves of a conversion: the kernel drops the old lock before it waits for the new one. */
static struct {
  int instances;
  int conversions, taken;
} gap;

static int flock_with_a_gap(int fd, int operation) {
  struct stat own, there;
  if (fstat(fd, &own) || fstatat(gap.instances, "web", &there, 0) || own.st_ino != there.st_ino ||
      own.st_dev != there.st_dev)
    return ims_sys_default.flock(fd, operation);
  gap.conversions++;
  ims_sys_default.flock(fd, LOCK_UN);
  int other = openat(gap.instances, "web", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gap.taken += flock(other, LOCK_EX | LOCK_NB) == 0;
  close(other);
  return ims_sys_default.flock(fd, operation);
}

static void test_published_under_one_lock(void **state) {
  world w;
  ims_instance_record record;
  ims_instance instance;
  world_begin(&w);
  gap.instances = w.dir->folder[IMS_ROOTFS_INSTANCES];
  gap.conversions = gap.taken = 0;
  instance_calls.flock = flock_with_a_gap;
  assert_int_equal(world_record(&w, &record, false), 0);
  assert_int_equal(ims_instance_create(&instance, w.dir, "web", &record, w.top, NULL), 0);
  assert_int_equal(gap.conversions, 0);
  assert_int_equal(gap.taken, 0);
  /* It is held all the same. */
  assert_int_equal(ims_instance_delete(w.dir, "web", NULL, NULL, NULL, NULL), IMGSTORE_EBUSY);
  ims_instance_close(&instance);
  ims_instance_record_free(&record);
  assert_int_equal(ims_instance_delete(w.dir, "web", NULL, NULL, NULL, NULL), 0);
  world_end(&w);
}

/* A cleaner leaves what is staged, although its lock is a shared one. */
static void test_staged_is_left(void **state) {
  world w;
  ims_stage stage;
  world_begin(&w);
  assert_int_equal(ims_stage_open(w.dir, &stage, NULL), 0);
  ims_rootfs_dir_clean(w.dir);
  assert_true(ims_dir_file_is(w.core, w.dir->folder[IMS_ROOTFS_STAGING], stage.name, stage.fd));
  ims_stage_discard(w.dir, &stage);
  world_end(&w);
}

/* --- nobody waits ----------------------------------------------------------------------------------------------------
 */

static void test_umount_does_not_wait(void **state) {
  world w;
  imgstore_error *error = NULL;
  world_begin(&w);
  imgstore_rootfs *rootfs = open_rootfs(&w);
  int lock = lock_in_instance(&w, "web/lock", LOCK_EX);
  alarm(20);
  assert_int_equal(imgstore_rootfs_umount(rootfs, 0, &error), IMGSTORE_EBUSY);
  alarm(0);
  assert_non_null(strstr(imgstore_error_message(error), "rootfs web: it is being mounted"));
  imgstore_error_free(error);
  close(lock);
  assert_int_equal(imgstore_rootfs_umount(rootfs, 0, NULL), IMGSTORE_ENOTFOUND);
  imgstore_rootfs_close(rootfs);
  world_end(&w);
}

static void test_open_does_not_wait_for_a_deletion(void **state) {
  world w;
  ims_instance instance;
  ims_error err = IMS_ERROR_INIT;
  world_begin(&w);
  assert_int_equal(world_create(&w, "web", NULL), 0);
  int lock = lock_in_instance(&w, "web", LOCK_EX);
  alarm(20);
  assert_int_equal(ims_instance_open(&instance, w.dir, "web", &err), IMGSTORE_EBUSY);
  alarm(0);
  assert_string_equal(err.message, "rootfs web: it is being deleted");
  close(lock);
  assert_int_equal(ims_instance_open(&instance, w.dir, "web", NULL), 0);
  ims_instance_close(&instance);
  world_end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_published_under_one_lock),
      cmocka_unit_test(test_staged_is_left),
      cmocka_unit_test(test_umount_does_not_wait),
      cmocka_unit_test(test_open_does_not_wait_for_a_deletion),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
