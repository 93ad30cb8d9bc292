/*
 * tests/unit/test_apply_faults.c - each system call and each allocation of an unpack fails in turn: a clean error that
 * names something, no descriptor and no memory left behind, nothing outside touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "apply_fixture.h"
#include "base/report.h"
#include "failing_alloc.h"
#include "failing_sys.h"

static const char *const all_kinds[] = {
    "d a\nf a/x mode=4755 : content\nd a/b/c\nf a/b/c/y xattr.user.k=v\ns l : a\nf l/z\nh a/h : a/x\np p mode=666\n"
    "s dead : none\nf old\nd tree/sub/sub\nf tree/sub/f\nd opq\nf opq/old\n",
    "f dead/x\nf l/new\nf old : new\nf tree : file\nf a/b/.wh.c\nf opq/new\nf opq/.wh..wh..opq\nd a mode=700\nf a/k\n"
    "f .wh.a\nd p\nh l : a/k\ns deep/er : /\nf deep/er/root\n",
    NULL};

static void fail_each_call(int error, bool walk) {
  scratch s;
  scratch_open(&s);
  s.options.flags = IMGSTORE_UNPACK_FLUSH;
  int32_t rc;
  long n = 0;
  int before = count_descriptors();
  do {
    s.sys = ims_sys_default;
    scratch_again(&s);
    failing_sys_plan(&s.sys, n++, error);
    if (walk)
      scratch_without_openat2(&s);
    rc = scratch_apply(&s, all_kinds);
    if (rc) {
      assert_true(failing_call.failed);
      assert_true(*s.err.message);
    }
    assert_int_equal(count_descriptors(), before);
  } while (failing_call.failed);
  assert_int_equal(rc, IMGSTORE_OK);
  assert_true(n > 100);
  scratch_close(&s);
}

static void test_each_call_fails(void **state) {
  fail_each_call(EIO, false);
  fail_each_call(EIO, true);
  fail_each_call(EACCES, false);
}

static void test_no_space(void **state) {
  static const int errors[] = {ENOSPC, EDQUOT};
  for (int i = 0; i < 2; i++) {
    scratch s;
    scratch_open(&s);
    ims_sys faulty = ims_sys_default;
    failing_sys_plan(&faulty, 0, errors[i]);
    s.sys.pwrite = faulty.pwrite;
    assert_int_equal(scratch_apply(&s, LAYERS("f a/x : content\n")), IMGSTORE_ENOSPACE);
    assert_memory_equal(s.err.message, "entry \"a/x\": cannot write: ", 26);
    scratch_close(&s);
  }
}

static ssize_t short_pwrite(int fd, const void *bytes, size_t size, off_t offset) {
  if (failing_sys_now())
    return -1;
  failing_call.left = 1;
  return pwrite(fd, bytes, size > 3 ? 3 : size, offset);
}

static void test_short_and_interrupted_writes(void **state) {
  scratch s;
  scratch_open(&s);
  failing_call = (failing_calls){.left = 0, .error = EINTR};
  s.sys.pwrite = short_pwrite;
  assert_int_equal(scratch_apply(&s, LAYERS("f a : hello, hello, hello\n")), IMGSTORE_OK);
  assert_true(failing_call.failed);
  scratch_expect(&s, "f a : hello, hello, hello\n");
  scratch_close(&s);
}

static void test_each_allocation_fails(void **state) {
  scratch s;
  scratch_open(&s);
  ims_alloc before = s.core->alloc;
  int32_t rc = IMGSTORE_ENOMEM;
  for (size_t n = 0; rc; n++) {
    failing state_of_alloc;
    scratch_again(&s);
    s.core->alloc = failing_alloc(&state_of_alloc, n);
    rc = scratch_apply(&s, all_kinds);
    s.core->alloc = before;
    if (rc)
      assert_int_equal(rc, IMGSTORE_ENOMEM);
    assert_int_equal(state_of_alloc.live, 0);
  }
  scratch_close(&s);
}

static void test_misuse(void **state) {
  scratch s;
  scratch_open(&s);
  ims_apply *a;
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(ims_apply_new(&a, s.core, s.root, &s.options, NULL, &err), IMGSTORE_OK);
  assert_int_equal(ims_apply_feed(a, (const uint8_t *)"", 0, &err), IMGSTORE_EINVALID);
  assert_int_equal(ims_apply_begin_layer(a, &err), IMGSTORE_EINVALID);
  ims_apply_free(a);
  ims_apply_free(NULL);
  scratch_close(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_call_fails),
      cmocka_unit_test(test_no_space),
      cmocka_unit_test(test_short_and_interrupted_writes),
      cmocka_unit_test(test_each_allocation_fails),
      cmocka_unit_test(test_misuse),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
