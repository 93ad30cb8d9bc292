/*
 * tests/unit/test_dir_staging.c - what is taken away goes out of sight at once and is removed in bounded steps.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/folder.h"
#include "instance_fixture.h"

static const imgstore_rootfs_dir_options dir_options = {.size = sizeof dir_options,
                                                        .durability = IMGSTORE_DURABILITY_NONE};

enum { MANY = IMS_TRASH_STEP + 500 };

static long unlinked;

static int counting_unlinkat(int dir, const char *path, int flags) {
  int rc = ims_sys_default.unlinkat(dir, path, flags);
  unlinked += rc == 0;
  return rc;
}

static void fill_directory(int dir, int files) {
  char name[32];
  for (int i = 0; i < files; i++) {
    snprintf(name, sizeof name, "f%d", i);
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
  }
}

static int32_t count_entry(void *data, const char *name, unsigned char type) {
  (void)name;
  (void)type;
  ++*(int *)data;
  return IMGSTORE_OK;
}

static int entries(world *w, int folder) {
  int found = 0;
  assert_int_equal(ims_folder_scan(w->core, w->dir->folder[folder], count_entry, &found), 0);
  return found;
}

/* A job that ends with much in the making: its end is bounded, and so is every open after it. */
static void test_discarding_is_bounded(void **state) {
  world w;
  ims_stage stage;
  world_begin(&w);
  instance_calls.unlinkat = counting_unlinkat;
  assert_int_equal(ims_stage_open(w.dir, &stage, NULL), 0);
  fill_directory(stage.fd, MANY);
  unlinked = 0;
  ims_stage_discard(w.dir, &stage);
  assert_int_equal(unlinked, IMS_TRASH_STEP);
  assert_int_equal(entries(&w, IMS_ROOTFS_STAGING), 0);
  assert_int_equal(entries(&w, IMS_ROOTFS_TRASH), 1);
  ims_rootfs_dir_unref(w.dir);
  assert_int_equal(ims_rootfs_dir_open(&w.dir, w.store, NULL, &dir_options, NULL), 0);
  assert_int_equal(entries(&w, IMS_ROOTFS_TRASH), 0);
  assert_int_equal(unlinked, MANY + 1);
  world_end(&w);
}

/* What a dead process was making goes the same way. */
static void test_opening_is_bounded(void **state) {
  world w;
  world_begin(&w);
  instance_calls.unlinkat = counting_unlinkat;
  int staging = w.dir->folder[IMS_ROOTFS_STAGING];
  assert_int_equal(mkdirat(staging, "dead", 0700), 0);
  int dead = openat(staging, "dead", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  fill_directory(dead, MANY);
  close(dead);
  unlinked = 0;
  ims_rootfs_dir_unref(w.dir);
  assert_int_equal(ims_rootfs_dir_open(&w.dir, w.store, NULL, &dir_options, NULL), 0);
  assert_int_equal(unlinked, IMS_TRASH_STEP);
  assert_int_equal(entries(&w, IMS_ROOTFS_STAGING), 0);
  assert_int_equal(entries(&w, IMS_ROOTFS_TRASH), 1);
  ims_rootfs_dir_clean(w.dir, SIZE_MAX);
  assert_int_equal(entries(&w, IMS_ROOTFS_TRASH), 0);
  world_end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_discarding_is_bounded),
      cmocka_unit_test(test_opening_is_bounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
