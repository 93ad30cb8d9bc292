/*
 * tests/unit/test_instance_races.c - two at the same instant: what one may do in the middle of the other's calls, and
 * that nobody waits for somebody who takes long.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "imgstore/rootfs.h"
#include "instance_fixture.h"
#include "rootfs/apply.h"
#include "rootfs/instance_hold.h"

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
  ims_rootfs_dir_clean(w.dir, SIZE_MAX);
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

/* --- an image that is removed and used at once -----------------------------------------------------------------------
 */

static void test_held_while_it_is_made(void **state) {
  world w;
  ims_rootfs_lease lease;
  world_begin(&w);
  const ims_digest *manifest = &w.image.target.digest;
  assert_int_equal(ims_hold_begin(w.dir, &lease, manifest, NULL), 0);
  assert_int_equal(ims_store_remove(w.store, WORLD_IMAGE, 0, NULL, NULL), IMGSTORE_ECONFLICT);
  /* Neither who tidies up nor who deletes the last instance lets go of it. */
  ims_holds_clean(w.dir);
  assert_int_equal(world_holds(&w), 1);
  assert_int_equal(world_create(&w, "web", NULL), 0);
  assert_int_equal(ims_instance_delete(w.dir, "web", NULL, NULL, NULL, NULL), 0);
  assert_int_equal(world_holds(&w), 1);
  ims_hold_abandon(w.dir, &lease, manifest);
  assert_int_equal(world_holds(&w), 0);
  assert_int_equal(ims_store_remove(w.store, WORLD_IMAGE, 0, NULL, NULL), 0);
  assert_int_equal(ims_hold_begin(w.dir, &lease, manifest, NULL), IMGSTORE_ENOTFOUND);
  ims_hold_abandon(w.dir, &lease, manifest);
  world_end(&w);
}

typedef struct runner {
  world *world;
  imgstore_store *store;
  pthread_barrier_t *start;
  int32_t rc;
} runner;

static void *remove_image(void *data) {
  runner *r = data;
  pthread_barrier_wait(r->start);
  r->rc = ims_store_remove(r->store, WORLD_IMAGE, 0, NULL, NULL);
  return NULL;
}

/* Each has its own handles, as two processes would. */
static void test_removed_and_held_at_once(void **state) {
  enum { ROUNDS = 150 };
  world w;
  pthread_barrier_t start;
  runner other = {&w, NULL, &start, 0};
  int removed = 0;
  world_begin(&w);
  world_close(&w);
  instance_calls = ims_sys_default;
  w.core = fixture_core(NULL, NULL);
  assert_int_equal(fixture_open(w.core, w.path, 0, IMGSTORE_DURABILITY_NONE, &w.store, NULL), 0);
  const imgstore_rootfs_dir_options options = {.size = sizeof options, .durability = IMGSTORE_DURABILITY_NONE};
  assert_int_equal(ims_rootfs_dir_open(&w.dir, w.store, NULL, &options, NULL), 0);
  ims_core *core = fixture_core(NULL, NULL);
  assert_int_equal(fixture_open(core, w.path, 0, IMGSTORE_DURABILITY_NONE, &other.store, NULL), 0);
  assert_int_equal(pthread_barrier_init(&start, NULL, 2), 0);
  for (int i = 0; i < ROUNDS; i++) {
    pthread_t thread;
    ims_rootfs_lease lease;
    ims_target target;
    assert_int_equal(fixture_image_put(w.store, &w.image, "x", NULL), 0);
    assert_int_equal(ims_ref_set(w.store, WORLD_IMAGE, NULL, &w.image.target, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, remove_image, &other), 0);
    pthread_barrier_wait(&start);
    int32_t rc = ims_hold_begin(w.dir, &lease, &w.image.target.digest, NULL);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(rc == IMGSTORE_OK, other.rc == IMGSTORE_ECONFLICT);
    assert_int_equal(ims_ref_get(w.store, WORLD_IMAGE, &target, NULL), rc ? IMGSTORE_ENOTFOUND : 0);
    assert_int_equal(world_holds(&w), rc ? 0 : 1);
    removed += rc != IMGSTORE_OK;
    ims_hold_abandon(w.dir, &lease, &w.image.target.digest);
  }
  print_message("removed %d times of %d\n", removed, ROUNDS);
  pthread_barrier_destroy(&start);
  ims_store_unref(other.store);
  ims_core_unref(core);
  world_end(&w);
}

/* --- holds of a directory that is gone -------------------------------------------------------------------------------
 */

static void open_dir(world *w, const char *path) {
  const imgstore_rootfs_dir_options options = {.size = sizeof options, .durability = IMGSTORE_DURABILITY_NONE};
  assert_int_equal(ims_rootfs_dir_open(&w->dir, w->store, path, &options, NULL), 0);
  ims_holds_clean(w->dir);
}

/* rm -rf of the directory in the store: the next open lets go of what it held. */
static void test_directory_in_the_store_is_gone(void **state) {
  world w;
  ims_error err = IMS_ERROR_INIT;
  world_begin(&w);
  assert_int_equal(world_create(&w, "web", NULL), 0);
  char *path = strdup(fixture_path(w.dir->path, "."));
  ims_rootfs_dir_unref(w.dir);
  int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_int_equal(ims_tree_remove(w.core, root, NULL), 0);
  close(root);
  free(path);
  assert_int_equal(ims_store_remove(w.store, WORLD_IMAGE, 0, NULL, &err), IMGSTORE_ECONFLICT);
  assert_non_null(strstr(err.message, "/rootfs, which is not there: mount its file system, or "));
  open_dir(&w, NULL);
  assert_int_equal(world_holds(&w), 0);
  assert_int_equal(ims_store_remove(w.store, WORLD_IMAGE, 0, NULL, NULL), 0);
  world_end(&w);
}

/* Elsewhere it may be on a file system that is not mounted now: only who says so lets go. */
static void test_directory_elsewhere_is_gone(void **state) {
  const uint32_t lost = IMGSTORE_REMOVE_LOST_INSTANCES;
  world w;
  world_begin(&w);
  char *scratch = fixture_directory();
  char *path = strdup(fixture_path(scratch, "100% mine")), *away = strdup(fixture_path(scratch, "away"));
  ims_rootfs_dir_unref(w.dir);
  open_dir(&w, path);
  assert_int_equal(world_create(&w, "web", NULL), 0);
  ims_rootfs_dir_unref(w.dir);
  assert_int_equal(ims_store_remove(w.store, WORLD_IMAGE, lost, NULL, NULL), IMGSTORE_ECONFLICT);
  assert_int_equal(rename(path, away), 0);
  open_dir(&w, path); /* another one, in the empty place of the mount */
  assert_int_equal(world_holds(&w), 1);
  assert_int_equal(ims_store_remove(w.store, WORLD_IMAGE, 0, NULL, NULL), IMGSTORE_ECONFLICT);
  assert_int_equal(world_holds(&w), 1);
  assert_int_equal(ims_store_remove(w.store, WORLD_IMAGE, lost, NULL, NULL), 0);
  assert_int_equal(world_holds(&w), 0);
  world_end(&w);
  fixture_remove(scratch);
  free(path);
  free(away);
}

/* The name went to another image: the one that is in use is refused and let go by its digest. */
static void test_held_without_a_name(void **state) {
  world w;
  fixture_image other;
  ims_error err = IMS_ERROR_INIT;
  world_begin(&w);
  const char *digest = w.image.target.digest.text;
  char *scratch = fixture_directory();
  char *path = strdup(fixture_path(scratch, "there")), *away = strdup(fixture_path(scratch, "away"));
  ims_rootfs_dir_unref(w.dir);
  open_dir(&w, path);
  fixture_image_init(&other, "y");
  assert_int_equal(fixture_image_put(w.store, &other, "y", NULL), 0);
  assert_int_equal(world_create(&w, "web", NULL), 0);
  assert_int_equal(ims_ref_set(w.store, WORLD_IMAGE, NULL, &other.target, NULL), 0);
  assert_int_equal(ims_store_remove(w.store, digest, 0, NULL, &err), IMGSTORE_ECONFLICT);
  assert_non_null(strstr(err.message, "web"));
  assert_int_equal(ims_store_remove(w.store, WORLD_IMAGE, 0, NULL, NULL), 0);
  assert_int_equal(rename(path, away), 0);
  assert_int_equal(ims_store_remove(w.store, digest, 0, NULL, NULL), IMGSTORE_ECONFLICT);
  assert_int_equal(ims_store_remove(w.store, digest, IMGSTORE_REMOVE_LOST_INSTANCES, NULL, NULL), 0);
  assert_int_equal(world_holds(&w), 0);
  assert_int_equal(ims_store_remove(w.store, digest, 0, NULL, NULL), IMGSTORE_ENOTFOUND);
  world_end(&w);
  fixture_remove(scratch);
  free(path);
  free(away);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_published_under_one_lock),
      cmocka_unit_test(test_staged_is_left),
      cmocka_unit_test(test_umount_does_not_wait),
      cmocka_unit_test(test_open_does_not_wait_for_a_deletion),
      cmocka_unit_test(test_held_while_it_is_made),
      cmocka_unit_test(test_removed_and_held_at_once),
      cmocka_unit_test(test_directory_in_the_store_is_gone),
      cmocka_unit_test(test_directory_elsewhere_is_gone),
      cmocka_unit_test(test_held_without_a_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
