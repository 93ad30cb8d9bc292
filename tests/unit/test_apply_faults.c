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

/* Which call fails, and how. */
static struct {
  long left;
  int error;
  bool failed;
} plan;

static bool fails(void) {
  if (plan.left-- != 0)
    return false;
  plan.failed = true;
  errno = plan.error;
  return true;
}

#define FAULTY(type, name, parameters, arguments)                                                                      \
  static type faulty_##name parameters {                                                                               \
    return fails() ? -1 : ims_sys_default.name arguments;                                                              \
  }

FAULTY(int, openat, (int d, const char *p, int f, mode_t m), (d, p, f, m))
FAULTY(int, openat2, (int d, const char *p, const ims_open_how *h), (d, p, h))
FAULTY(ssize_t, read, (int f, void *b, size_t n), (f, b, n))
FAULTY(ssize_t, pread, (int f, void *b, size_t n, off_t o), (f, b, n, o))
FAULTY(ssize_t, pwrite, (int f, const void *b, size_t n, off_t o), (f, b, n, o))
FAULTY(int, ftruncate, (int f, off_t n), (f, n))
FAULTY(int, syncfs, (int f), (f))
FAULTY(int, fstat, (int f, struct stat *s), (f, s))
FAULTY(int, fstatat, (int d, const char *p, struct stat *s, int f), (d, p, s, f))
FAULTY(int, mkdirat, (int d, const char *p, mode_t m), (d, p, m))
FAULTY(int, unlinkat, (int d, const char *p, int f), (d, p, f))
FAULTY(int, linkat, (int a, const char *p, int b, const char *q, int f), (a, p, b, q, f))
FAULTY(int, symlinkat, (const char *t, int d, const char *p), (t, d, p))
FAULTY(int, mknodat, (int d, const char *p, mode_t m, dev_t v), (d, p, m, v))
FAULTY(int, fchown, (int f, uid_t u, gid_t g), (f, u, g))
FAULTY(int, fchownat, (int d, const char *p, uid_t u, gid_t g, int f), (d, p, u, g, f))
FAULTY(int, fchmod, (int f, mode_t m), (f, m))
FAULTY(int, fchmodat, (int d, const char *p, mode_t m), (d, p, m))
FAULTY(int, utimensat, (int d, const char *p, const struct timespec t[2], int f), (d, p, t, f))
FAULTY(int, futimens, (int f, const struct timespec t[2]), (f, t))
FAULTY(int, fsetxattr, (int f, const char *n, const void *v, size_t s, int g), (f, n, v, s, g))
FAULTY(int, lsetxattr, (const char *p, const char *n, const void *v, size_t s, int g), (p, n, v, s, g))
FAULTY(ssize_t, readlinkat, (int d, const char *p, char *b, size_t n), (d, p, b, n))
FAULTY(long, getdents64, (int f, void *b, size_t n), (f, b, n))

static void plan_faults(scratch *s, long left, int error) {
  plan.left = left;
  plan.error = error;
  plan.failed = false;
#define USE(name) s->sys.name = faulty_##name
  USE(openat), USE(read), USE(pread), USE(pwrite), USE(ftruncate), USE(syncfs), USE(fstat), USE(fstatat);
  USE(mkdirat), USE(unlinkat), USE(linkat), USE(symlinkat), USE(mknodat), USE(fchown), USE(fchownat), USE(fchmod);
  USE(fchmodat), USE(utimensat), USE(futimens), USE(fsetxattr), USE(lsetxattr), USE(readlinkat), USE(getdents64);
  USE(openat2);
#undef USE
}

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
    plan_faults(&s, n++, error);
    if (walk)
      scratch_without_openat2(&s);
    rc = scratch_apply(&s, all_kinds);
    if (rc) {
      assert_true(plan.failed);
      assert_true(*s.err.message);
    }
    assert_int_equal(count_descriptors(), before);
  } while (plan.failed);
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
    plan_faults(&s, -1, errors[i]);
    s.sys = ims_sys_default;
    s.sys.pwrite = faulty_pwrite;
    plan.left = 0;
    assert_int_equal(scratch_apply(&s, LAYERS("f a/x : content\n")), IMGSTORE_ENOSPACE);
    assert_memory_equal(s.err.message, "entry \"a/x\": cannot write: ", 26);
    scratch_close(&s);
  }
}

static ssize_t short_pwrite(int fd, const void *bytes, size_t size, off_t offset) {
  if (fails())
    return -1;
  plan.left = 1;
  return pwrite(fd, bytes, size > 3 ? 3 : size, offset);
}

static void test_short_and_interrupted_writes(void **state) {
  scratch s;
  scratch_open(&s);
  plan.left = 0;
  plan.error = EINTR;
  s.sys.pwrite = short_pwrite;
  assert_int_equal(scratch_apply(&s, LAYERS("f a : hello, hello, hello\n")), IMGSTORE_OK);
  assert_true(plan.failed);
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
