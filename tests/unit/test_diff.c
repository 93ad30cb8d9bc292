/*
 * tests/unit/test_diff.c - directories as layers and compared with what is below them: owners, times, attributes,
 * links, holes; each system call and each allocation fails in turn.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "apply_fixture.h"
#include "failing_alloc.h"
#include "failing_sys.h"
#include "rootfs/changes.h"
#include "rootfs/diff.h"
#include "tar_fixture.h"

/* --- helpers ---------------------------------------------------------------------------------------------------------
 */

static int32_t add_bytes(void *data, const void *bytes, size_t size, ims_error *err) {
  return ims_buf_append(data, bytes, size) ? ims_fail(err, IMGSTORE_ELIMIT, "no room") : IMGSTORE_OK;
}

static int32_t add_change(void *data, int change, const char *path, ims_error *err) {
  (void)err;
  return ims_buf_printf(data, "%c %s\n", " ACD"[change], path);
}

static int32_t archive(scratch *s, const ims_diff_options *options, uint64_t budget, ims_buf *out) {
  ims_diff *diff;
  ims_error_clear(&s->err);
  int32_t rc = ims_diff_new(&diff, s->core, s->root, options, s->report, &s->err);
  while (!rc && (rc = ims_diff_run(diff, budget, add_bytes, out, &s->err)) == IMGSTORE_EAGAIN)
    rc = IMGSTORE_OK;
  ims_diff_free(diff);
  return rc;
}

/* What the reader says about the layer of root/, line by line; freed by the caller. */
static ims_buf told(scratch *s, const ims_diff_options *options) {
  ims_buf out, text;
  ims_error err = IMS_ERROR_INIT;
  ims_buf_init(&out, &ims_alloc_default, SIZE_MAX / 4);
  ims_buf_init(&text, &ims_alloc_default, SIZE_MAX / 4);
  int32_t rc = archive(s, options, 1 << 20, &out);
  assert_string_equal(s->err.message, "");
  assert_int_equal(rc, IMGSTORE_OK);
  assert_int_equal(transcript(out.data, out.size, 0, out.size + 1, NULL, &text, &err), IMGSTORE_OK);
  ims_buf_free(&out);
  return text;
}

static void expect(scratch *s, const ims_diff_options *options, const char *part) {
  ims_buf text = told(s, options);
  if (!strstr(ims_buf_text(&text), part))
    fail_msg("\"%s\" is not in:\n%s", part, ims_buf_text(&text));
  ims_buf_free(&text);
}

static const char *inside(const scratch *s, const char *name) {
  static char path[200];
  snprintf(path, sizeof path, "%s/root/%s", s->path, name);
  return path;
}

static const char some[] = "f a mtime=5.25 mode=640 : hello\nd d\nf d/x mtime=100 : xx\ns d/l : ../a\nh d/zz : a\n"
                           "p fifo\nf d/k xattr.user.two=2 xattr.user.one=1 : k\n";

/* --- layers ----------------------------------------------------------------------------------------------------------
 */

static void entries_are_sorted_and_complete(void **state) {
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS(some)), 0);
  const ims_diff_options options = {.rules = {.fixed_owner = true, .owner_uid = 7, .owner_gid = 8}};
  expect(&s, &options, "f a 640 7:8 size=5 data=5 time=5.250000000\n  @0 hello\n. a\nd d/ 755 7:8");
  expect(&s, &options, "f d/k 644 7:8 size=1 data=1 time=3.000000000 user.one=31 user.two=32\n");
  expect(&s, &options, "l d/l -> ../a 777 7:8");
  expect(&s, &options, "h d/zz -> a");
  expect(&s, &options, "p fifo");
  scratch_close(&s);
}

static void times_are_clamped(void **state) {
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS(some)), 0);
  const ims_diff_options options = {.rules = {.clamp = true, .latest = 5}};
  expect(&s, &options, "size=5 data=5 time=5.000000000\n");
  expect(&s, &options, "size=2 data=2 time=5.000000000\n");
  expect(&s, &options, "size=1 data=1 time=3.000000000 user.one");
  scratch_close(&s);
}

static void prefixes_come_first(void **state) {
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS(some)), 0);
  const ims_diff_options options = {.prefix = "/opt/app/", .root = true};
  expect(&s, &options, "d opt/app/ 755");
  expect(&s, &options, "h opt/app/d/zz -> opt/app/a");
  const ims_diff_options root = {.root = true};
  expect(&s, &root, "d ./ 755");
  scratch_close(&s);
}

static void an_empty_directory_is_an_empty_layer(void **state) {
  scratch s;
  scratch_open(&s);
  const ims_diff_options root = {.root = true}, always = {.always_root = true};
  ims_buf text = told(&s, &root);
  assert_string_equal(ims_buf_text(&text), "END\n");
  ims_buf_free(&text);
  expect(&s, &always, "d ./ 755");
  scratch_close(&s);
}

static void owners_are_mapped_back(void **state) {
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS("f a : x\n")), 0);
  const imgstore_id_map self = {3, geteuid(), 1}, other = {0, geteuid() + 5, 2};
  const ims_diff_options options = {.rules = {.uid_map = &self, .uid_map_count = 1}};
  expect(&s, &options, "f a 644 3:");
  const ims_diff_options wrong = {.rules = {.uid_map = &other, .uid_map_count = 1}};
  ims_buf out;
  ims_buf_init(&out, &ims_alloc_default, SIZE_MAX / 4);
  assert_int_equal(archive(&s, &wrong, 1 << 20, &out), IMGSTORE_EINVALID);
  assert_non_null(strstr(s.err.message, "entry \"a\": user id"));
  ims_buf_free(&out);
  scratch_close(&s);
}

static void recorded_owners_count_only_when_asked(void **state) {
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS("f a : x\nf b : x\nf c : x\n")), 0);
  static const char resource[] = "\x08\xe8\x07\x10\x64";
  if (setxattr(inside(&s, "a"), "user.rootlesscontainers", resource, 5, 0) != 0) {
    scratch_close(&s);
    skip();
  }
  const ims_diff_options asked = {.rules = {.recorded_owners = true}}, not = {.rules = {.recorded_owners = false}};
  expect(&s, &asked, "f a 644 1000:100 size=1 data=1 time=3.000000000\n");
  expect(&s, &asked, "f b 644 0:0 ");
  expect(&s, &not, "user.rootlesscontainers=08e8071064\n");
  assert_int_equal(setxattr(inside(&s, "c"), "user.rootlesscontainers", "\x08", 1, 0), 0);
  ims_buf out;
  ims_buf_init(&out, &ims_alloc_default, SIZE_MAX / 4);
  assert_int_equal(archive(&s, &asked, 1 << 20, &out), IMGSTORE_EFORMAT);
  ims_buf_free(&out);
  scratch_close(&s);
}

static void holes_stay_holes(void **state) {
  scratch s;
  scratch_open(&s);
  int fd = open(inside(&s, "sparse"), O_RDWR | O_CREAT, 0644);
  assert_int_equal(ftruncate(fd, 32 << 20), 0);
  assert_int_equal(pwrite(fd, "data", 4, 8 << 20), 4);
  close(fd);
  fd = open(inside(&s, "hole"), O_RDWR | O_CREAT, 0644);
  assert_int_equal(ftruncate(fd, 16 << 20), 0);
  close(fd);
  const ims_diff_options options = {0};
  expect(&s, &options, "size=16777216 data=0 ");
  expect(&s, &options, " sparse\n. hole\n");
  expect(&s, &options, " sparse 8388608+");
  scratch_close(&s);
}

static void any_budget_gives_the_same_bytes(void **state) {
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS(some)), 0);
  const ims_diff_options options = {.root = true};
  ims_buf first, again;
  ims_buf_init(&first, &ims_alloc_default, SIZE_MAX / 4);
  ims_buf_init(&again, &ims_alloc_default, SIZE_MAX / 4);
  assert_int_equal(archive(&s, &options, 1 << 30, &first), 0);
  assert_int_equal(archive(&s, &options, 1, &again), 0);
  assert_int_equal(first.size, again.size);
  assert_memory_equal(first.data, again.data, first.size);
  ims_buf_free(&first);
  ims_buf_free(&again);
  scratch_close(&s);
}

/* --- changes ---------------------------------------------------------------------------------------------------------
 */

static int32_t open_lower(void *data, size_t i, int *fd, ims_error *err) {
  (void)i;
  *fd = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return *fd >= 0 ? IMGSTORE_OK : ims_fail(err, IMGSTORE_ENOTFOUND, "lower");
}

/* Compares root/ as a whole tree with lower/. */
static int32_t compare(scratch *s, ims_buf *out) {
  char path[100];
  ims_lower_stack lowers;
  ims_changes *changes = NULL;
  snprintf(path, sizeof path, "%s/lower", s->path);
  ims_error_clear(&s->err);
  int32_t rc = ims_lowers_init(&lowers, s->core, 1, IMS_MARKS_TRUSTED | IMS_MARKS_USER, open_lower, path, &s->err);
  if (!rc)
    rc = ims_changes_new(&changes, s->core, s->root, IMS_MARKS_NONE, &lowers, &s->err);
  while (!rc && (rc = ims_changes_run(changes, 1, add_change, out, &s->err)) == IMGSTORE_EAGAIN)
    rc = IMGSTORE_OK;
  ims_changes_free(changes);
  ims_lowers_free(&lowers);
  return rc;
}

static void make_lower(const scratch *s) {
  char command[300];
  snprintf(command, sizeof command,
           "cd %s && cp -a root lower && echo more >>root/a && rm -r root/d/l root/fifo && mkdir root/new && "
           "touch -d @9 root/new/f && rm root/d/k && ln -s x root/d/k",
           s->path);
  assert_int_equal(system(command), 0);
}

static void drop_lower(const scratch *s) {
  char command[200];
  snprintf(command, sizeof command, "rm -rf %s/lower", s->path);
  assert_int_equal(system(command), 0);
}

static void trees_are_compared(void **state) {
  scratch s;
  ims_buf out;
  scratch_open(&s);
  ims_buf_init(&out, &ims_alloc_default, 1 << 20);
  assert_int_equal(scratch_apply(&s, LAYERS(some)), 0);
  make_lower(&s);
  int32_t rc = compare(&s, &out);
  assert_string_equal(s.err.message, "");
  assert_int_equal(rc, 0);
  assert_string_equal(ims_buf_text(&out), "C a\nC d\nC d/k\nD d/l\nC d/zz\nD fifo\nA new\nA new/f\n");
  ims_buf_clear(&out);
  scratch_without_openat2(&s);
  assert_int_equal(compare(&s, &out), 0);
  assert_string_equal(ims_buf_text(&out), "C a\nC d\nC d/k\nD d/l\nC d/zz\nD fifo\nA new\nA new/f\n");
  ims_buf_free(&out);
  drop_lower(&s);
  scratch_close(&s);
}

/* --- faults ----------------------------------------------------------------------------------------------------------
 */

static void each_call_fails(void **state) {
  static const int errors[] = {EIO, EACCES, ENOENT};
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS(some)), 0);
  make_lower(&s);
  const ims_diff_options options = {.root = true};
  for (size_t i = 0; i < 3; i++)
    for (int which = 0; which < 2; which++) {
      long n = 0;
      const int before = count_descriptors();
      int32_t rc;
      do {
        ims_buf out;
        ims_buf_init(&out, &ims_alloc_default, SIZE_MAX / 4);
        failing_sys_plan(&s.sys, n++, errors[i]);
        rc = which ? compare(&s, &out) : archive(&s, &options, 1 << 20, &out);
        if (rc) {
          assert_true(failing_call.failed);
          assert_true(*s.err.message);
        }
        ims_buf_free(&out);
        assert_int_equal(count_descriptors(), before);
      } while (failing_call.failed);
      assert_int_equal(rc, IMGSTORE_OK);
      assert_true(n > 20);
    }
  s.sys = ims_sys_default;
  drop_lower(&s);
  scratch_close(&s);
}

static void each_allocation_fails(void **state) {
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS(some)), 0);
  make_lower(&s);
  const ims_diff_options options = {.root = true};
  const ims_alloc before = s.core->alloc;
  for (int which = 0; which < 2; which++) {
    failing f = {.failed = true};
    for (size_t left = 0; f.failed; left++) {
      ims_buf out;
      ims_buf_init(&out, &ims_alloc_default, SIZE_MAX / 4);
      s.core->alloc = failing_alloc(&f, left);
      int32_t rc = which ? compare(&s, &out) : archive(&s, &options, 1 << 20, &out);
      assert_int_equal(rc, f.failed ? IMGSTORE_ENOMEM : IMGSTORE_OK);
      assert_int_equal(f.live, 0);
      ims_buf_free(&out);
    }
  }
  s.core->alloc = before;
  drop_lower(&s);
  scratch_close(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(entries_are_sorted_and_complete),
      cmocka_unit_test(times_are_clamped),
      cmocka_unit_test(prefixes_come_first),
      cmocka_unit_test(an_empty_directory_is_an_empty_layer),
      cmocka_unit_test(owners_are_mapped_back),
      cmocka_unit_test(recorded_owners_count_only_when_asked),
      cmocka_unit_test(holes_stay_holes),
      cmocka_unit_test(any_budget_gives_the_same_bytes),
      cmocka_unit_test(trees_are_compared),
      cmocka_unit_test(each_call_fails),
      cmocka_unit_test(each_allocation_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
