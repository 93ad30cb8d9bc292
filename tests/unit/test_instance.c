/*
 * tests/unit/test_instance.c - instances on the disk, with layer directories made by hand: names, records, holds, and
 * each system call and each allocation of making and deleting one fails in turn.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "imgstore/rootfs.h"
#include "instance_fixture.h"
#include "rootfs/instance_hold.h"
#include "store/holds.h"

#define LAYER WORLD_LAYER
#define IMAGE WORLD_IMAGE

/* --- tests -----------------------------------------------------------------------------------------------------------
 */

static void test_names(void **state) {
  static const char *const good[] = {"a", "0", "A.b_c-d", "x..y", NULL};
  static const char *const bad[] = {"", ".", "..", "-a", "_a", ".a", "a/b", "a b", "\xc3\xa9", "a\n", "a:b", NULL};
  char longest[IMS_INSTANCE_NAME_MAX + 2];
  for (int i = 0; good[i]; i++)
    assert_int_equal(ims_instance_check_name(good[i], NULL), 0);
  for (int i = 0; bad[i]; i++)
    assert_int_equal(ims_instance_check_name(bad[i], NULL), IMGSTORE_EINVALID);
  memset(longest, 'a', sizeof longest);
  longest[IMS_INSTANCE_NAME_MAX + 1] = '\0';
  assert_int_equal(ims_instance_check_name(longest, NULL), IMGSTORE_EINVALID);
  longest[IMS_INSTANCE_NAME_MAX] = '\0';
  assert_int_equal(ims_instance_check_name(longest, NULL), 0);
}

static void test_record(void **state) {
  world w;
  ims_instance_record r, back;
  ims_buf text;
  const imgstore_id_map map[2] = {{0, 100000, 1000}, {1000, 5, UINT32_MAX}};
  world_begin(&w);
  assert_int_equal(world_record(&w, &r, true), 0);
  r.id_mapped = r.user_xattrs = true;
  r.uid_map = ims_calloc(r.alloc, 2, sizeof map[0]);
  memcpy(r.uid_map, map, sizeof map);
  r.uid_map_count = 2;
  ims_buf_init(&text, r.alloc, IMS_INSTANCE_RECORD_MAX);
  assert_int_equal(ims_instance_record_write(&r, &text, NULL), 0);
  ims_instance_record_init(&back, r.alloc);
  assert_int_equal(ims_instance_record_read(&back, ims_buf_text(&text), text.size, "x", NULL), 0);
  assert_string_equal(back.created, "2020-09-13T12:26:40Z");
  assert_string_equal(back.image, IMAGE);
  assert_string_equal(back.layers[0], LAYER);
  assert_true(back.read_only && back.id_mapped && back.user_xattrs && back.uid_map_count == 2 && !back.gid_map_count);
  assert_memory_equal(back.uid_map, map, sizeof map);
  /* Every prefix of it is refused. */
  for (size_t size = 0; size + 2 < text.size; size++) {
    ims_instance_record cut;
    ims_instance_record_init(&cut, r.alloc);
    assert_int_equal(ims_instance_record_read(&cut, ims_buf_text(&text), size, "x", NULL), IMGSTORE_ECORRUPT);
    ims_instance_record_free(&cut);
  }
  ims_instance_record_free(&back);
  ims_instance_record_free(&r);
  ims_buf_free(&text);
  world_end(&w);
}

static void test_create_open_delete(void **state) {
  world w;
  ims_instance one, two;
  ims_error err = IMS_ERROR_INIT;
  struct stat st;
  int fd;
  world_begin(&w);
  assert_int_equal(world_create(&w, "web", &err), 0);
  assert_int_equal(world_create(&w, "web", &err), IMGSTORE_EEXISTS);
  assert_int_equal(world_count(&w), 1);
  assert_int_equal(world_holds(&w), 1);
  assert_int_equal(ims_instance_open(&one, w.dir, "web", NULL), 0);
  assert_int_equal(ims_instance_open(&two, w.dir, "web", NULL), 0);
  assert_int_equal(ims_instance_open_dir(&one, IMS_INSTANCE_UPPER, &fd, NULL), 0);
  assert_int_equal(fstat(fd, &st), 0);
  assert_int_equal(st.st_mode & 07777, 0750);
  close(fd);
  ims_error_clear(&err);
  assert_int_equal(ims_instance_delete(w.dir, "web", NULL, NULL, NULL, &err), IMGSTORE_EBUSY);
  ims_instance_close(&one);
  assert_int_equal(ims_instance_delete(w.dir, "web", NULL, NULL, NULL, NULL), IMGSTORE_EBUSY);
  ims_instance_close(&two);
  assert_int_equal(ims_instance_delete(w.dir, "web", NULL, NULL, NULL, NULL), 0);
  assert_int_equal(ims_instance_delete(w.dir, "web", NULL, NULL, NULL, NULL), IMGSTORE_ENOTFOUND);
  assert_int_equal(ims_instance_open(&one, w.dir, "web", NULL), IMGSTORE_ENOTFOUND);
  assert_int_equal(world_count(&w), 0);
  assert_int_equal(world_holds(&w), 0);
  world_end(&w);
}

static void test_holds(void **state) {
  world w;
  ims_error err = IMS_ERROR_INIT;
  world_begin(&w);
  assert_int_equal(world_create(&w, "b", NULL), 0);
  assert_int_equal(world_create(&w, "a", NULL), 0);
  assert_int_equal(ims_store_remove(w.store, IMAGE, 0, NULL, &err), IMGSTORE_ECONFLICT);
  assert_non_null(strstr(err.message, "a, b in "));
  assert_int_equal(ims_store_remove(w.store, w.image.target.digest.text, IMGSTORE_REMOVE_ALL_NAMES, NULL, NULL),
                   IMGSTORE_ECONFLICT);
  assert_int_equal(ims_ref_set(w.store, IMS_HOLD_PREFIX "x", NULL, &w.image.target, NULL), IMGSTORE_EINVALID);
  /* An instance that vanished without this library: the hold goes with the clean-up, not before. */
  assert_int_equal(renameat(w.dir->folder[IMS_ROOTFS_INSTANCES], "a", w.dir->folder[IMS_ROOTFS_TRASH], "a"), 0);
  ims_holds_clean(w.dir);
  assert_int_equal(world_holds(&w), 1);
  assert_int_equal(renameat(w.dir->folder[IMS_ROOTFS_INSTANCES], "b", w.dir->folder[IMS_ROOTFS_TRASH], "b"), 0);
  ims_holds_clean(w.dir);
  assert_int_equal(world_holds(&w), 0);
  assert_int_equal(ims_store_remove(w.store, IMAGE, 0, NULL, NULL), 0);
  world_end(&w);
}

/* Whatever failed: afterwards there is a whole instance that holds its image, or none. */
static void check_state(world *w, const char *name) {
  ims_instance instance;
  fixture_fault_now.at = -1;
  ims_rootfs_dir_clean(w->dir, SIZE_MAX);
  ims_holds_clean(w->dir);
  int found = world_count(w);
  assert_true(found <= 1);
  assert_int_equal(world_holds(w), found);
  if (found) {
    assert_int_equal(ims_instance_open(&instance, w->dir, name, NULL), 0);
    ims_instance_close(&instance);
  }
}

static void test_each_call_fails(void **state) {
  static const int errors[] = {EIO, ENOSPC};
  world w;
  world_begin(&w);
  for (int e = 0; e < 2; e++) {
    bool failed = true;
    for (long at = 0; failed; at++) {
      ims_error err = IMS_ERROR_INIT;
      fixture_fault_now = (fixture_fault){.at = at, .os_errno = errors[e]};
      int32_t rc = world_create(&w, "web", &err);
      failed = fixture_fault_now.seen > at;
      assert_true(!rc || (failed && *err.message));
      check_state(&w, "web");
      if (world_count(&w) == 0)
        continue;
      for (long del = 0; world_count(&w); del++) {
        ims_error_clear(&err);
        fixture_fault_now = (fixture_fault){.at = del, .os_errno = errors[e]};
        rc = ims_instance_delete(w.dir, "web", NULL, NULL, NULL, &err);
        assert_true(!rc || *err.message);
        check_state(&w, "web");
      }
    }
  }
  world_end(&w);
}

static void test_each_allocation_fails(void **state) {
  world w;
  world_begin(&w);
  world_close(&w);
  fixture_memory memory = {.at = -1};
  const ims_alloc alloc = fixture_allocator(&memory);
  world_open(&w, &alloc);
  long live = memory.live;
  bool failed = true;
  for (long at = 0; failed; at++) {
    ims_error err = IMS_ERROR_INIT;
    memory.seen = 0;
    memory.at = at;
    int32_t rc = world_create(&w, "web", &err);
    failed = memory.seen > at;
    memory.at = -1;
    assert_true(rc == IMGSTORE_OK || (failed && rc == IMGSTORE_ENOMEM));
    check_state(&w, "web");
    assert_int_equal(memory.live, live);
    for (long del = 0; world_count(&w); del++) {
      memory.seen = 0;
      memory.at = del;
      rc = ims_instance_delete(w.dir, "web", NULL, NULL, NULL, &err);
      memory.at = -1;
      assert_true(rc == IMGSTORE_OK || rc == IMGSTORE_ENOMEM);
      check_state(&w, "web");
      assert_int_equal(memory.live, live);
    }
  }
  world_end(&w);
}

/* --- mounts ----------------------------------------------------------------------------------------------------------
 */

static int32_t mount_it(imgstore_rootfs *rootfs, imgstore_error **error) {
  imgstore_mount_options options;
  imgstore_mount_options_init(&options, sizeof options);
  options.ways = IMGSTORE_MOUNT_OVERLAY;
  return imgstore_rootfs_mount(rootfs, &options, NULL, error);
}

/* Not mounted, whatever happened; what was mounted behind a failure is seen and unmounted. */
static void settle_mount(imgstore_rootfs *rootfs) {
  const char *where;
  fixture_fault_now.at = -1;
  if (imgstore_rootfs_mounted(rootfs, &where) == IMGSTORE_MOUNT_NONE)
    return;
  assert_true(*where);
  assert_int_equal(imgstore_rootfs_umount(rootfs, 0, NULL), 0);
  assert_int_equal(imgstore_rootfs_mounted(rootfs, &where), IMGSTORE_MOUNT_NONE);
  assert_string_equal(where, "");
}

static imgstore_rootfs *open_rootfs(world *w) {
  imgstore_rootfs *rootfs = NULL;
  assert_int_equal(world_create(w, "web", NULL), 0);
  assert_int_equal(imgstore_rootfs_open(w->dir, "web", &rootfs, NULL), 0);
  return rootfs;
}

static void test_each_call_of_a_mount_fails(void **state) {
  world w;
  world_begin(&w);
  imgstore_rootfs *rootfs = open_rootfs(&w);
  if (mount_it(rootfs, NULL) != IMGSTORE_OK) {
    imgstore_rootfs_close(rootfs);
    world_end(&w);
    skip();
  }
  settle_mount(rootfs);
  bool failed = true;
  for (long at = 0; failed; at++) {
    imgstore_error *error = NULL;
    fixture_fault_now = (fixture_fault){.at = at, .os_errno = EIO};
    int32_t rc = mount_it(rootfs, &error);
    failed = fixture_fault_now.seen > at;
    assert_true(!rc || (failed && *imgstore_error_message(error)));
    imgstore_error_free(error);
    settle_mount(rootfs);
  }
  failed = true;
  for (long at = 0; failed; at++) {
    imgstore_error *error = NULL;
    assert_int_equal(mount_it(rootfs, NULL), 0);
    fixture_fault_now = (fixture_fault){.at = at, .os_errno = EIO};
    int32_t rc = imgstore_rootfs_umount(rootfs, 0, &error);
    failed = fixture_fault_now.seen > at;
    assert_true(!rc || (failed && *imgstore_error_message(error)));
    imgstore_error_free(error);
    settle_mount(rootfs);
  }
  imgstore_rootfs_close(rootfs);
  world_end(&w);
}

static void test_each_allocation_of_a_mount_fails(void **state) {
  world w;
  world_begin(&w);
  world_close(&w);
  fixture_memory memory = {.at = -1};
  const ims_alloc alloc = fixture_allocator(&memory);
  world_open(&w, &alloc);
  imgstore_rootfs *rootfs = open_rootfs(&w);
  bool failed = mount_it(rootfs, NULL) == IMGSTORE_OK;
  settle_mount(rootfs);
  long live = memory.live;
  for (long at = 0; failed; at++) {
    imgstore_error *error = NULL;
    memory.seen = 0;
    memory.at = at;
    int32_t rc = mount_it(rootfs, &error);
    failed = memory.seen > at;
    memory.at = -1;
    assert_true(rc == IMGSTORE_OK || failed);
    imgstore_error_free(error);
    settle_mount(rootfs);
    assert_int_equal(memory.live, live);
  }
  imgstore_rootfs_close(rootfs);
  world_end(&w);
}

/* Paths and options, as a runtime gets them that mounts by itself. */
static void test_what_a_handle_tells(void **state) {
  world w;
  char expected[512];
  world_begin(&w);
  imgstore_rootfs *rootfs = open_rootfs(&w);
  const char *dir = imgstore_rootfs_dir_path(w.dir);
  assert_string_equal(imgstore_rootfs_name(rootfs), "web");
  assert_string_equal(imgstore_rootfs_image_name(rootfs), IMAGE);
  assert_string_equal(imgstore_rootfs_image_id(rootfs), w.image.config.text);
  assert_string_equal(imgstore_rootfs_manifest_digest(rootfs), w.image.target.digest.text);
  assert_string_equal(imgstore_rootfs_created(rootfs), "2020-09-13T12:26:40Z");
  assert_int_equal(imgstore_rootfs_is_read_only(rootfs) + imgstore_rootfs_is_id_mapped(rootfs), 0);
  assert_int_equal(imgstore_rootfs_lower_count(rootfs), 1);
  assert_string_equal(imgstore_rootfs_lower(rootfs, 1), "");
  snprintf(expected, sizeof expected, "%s/layers/" LAYER "/root", dir);
  assert_string_equal(imgstore_rootfs_lower(rootfs, 0), expected);
  snprintf(expected, sizeof expected,
           "lowerdir=%s/layers/" LAYER "/root,upperdir=%s/instances/web/upper,workdir=%s/instances/web/work,"
           "index=off,metacopy=off,redirect_dir=nofollow",
           dir, dir, dir);
  assert_string_equal(imgstore_rootfs_mount_options(rootfs), expected);
  assert_string_equal(imgstore_rootfs_path(rootfs, 0), "");
  assert_string_equal(imgstore_rootfs_path(rootfs, 99), "");
  imgstore_rootfs_close(rootfs);
  imgstore_rootfs_close(NULL);
  world_end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_record),
      cmocka_unit_test(test_create_open_delete),
      cmocka_unit_test(test_holds),
      cmocka_unit_test(test_each_call_fails),
      cmocka_unit_test(test_each_allocation_fails),
      cmocka_unit_test(test_each_call_of_a_mount_fails),
      cmocka_unit_test(test_each_allocation_of_a_mount_fails),
      cmocka_unit_test(test_what_a_handle_tells),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
