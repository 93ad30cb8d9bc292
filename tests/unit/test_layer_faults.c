/*
 * tests/unit/test_layer_faults.c - layers applied to directories of their own while each system call and each
 * allocation fails in turn, and while there are limits: a clean error that names something, nothing left open.
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

#include "failing_alloc.h"
#include "stack_fixture.h"

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
FAULTY(ssize_t, pread, (int f, void *b, size_t n, off_t o), (f, b, n, o))
FAULTY(ssize_t, pwrite, (int f, const void *b, size_t n, off_t o), (f, b, n, o))
FAULTY(int, ftruncate, (int f, off_t n), (f, n))
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
FAULTY(ssize_t, getxattr, (const char *p, const char *n, void *v, size_t s), (p, n, v, s))
FAULTY(ssize_t, listxattr, (const char *p, char *l, size_t s), (p, l, s))
FAULTY(ssize_t, readlinkat, (int d, const char *p, char *b, size_t n), (d, p, b, n))
FAULTY(long, getdents64, (int f, void *b, size_t n), (f, b, n))

static void plan_faults(scratch *s, long left, int error) {
  plan.left = left;
  plan.error = error;
  plan.failed = false;
#define USE(name) s->sys.name = faulty_##name
  USE(openat), USE(openat2), USE(pread), USE(pwrite), USE(ftruncate), USE(fstat), USE(fstatat), USE(mkdirat);
  USE(unlinkat), USE(linkat), USE(symlinkat), USE(mknodat), USE(fchown), USE(fchownat), USE(fchmod), USE(fchmodat);
  USE(utimensat), USE(futimens), USE(fsetxattr), USE(lsetxattr), USE(getxattr), USE(listxattr), USE(readlinkat);
  USE(getdents64);
#undef USE
}

/* Placeholders of all kinds, whiteouts, opaque directories, links through layers, copies. */
static const char *const all_kinds[] = {
    "d a mode=700 xattr.user.k=v mtime=4\nf a/x : content\nd a/b mtime=3\nf a/b/y\ns l : a\nd opq\nf opq/old\nf gone\n",
    "f a/b/new mtime=3 : x\nf a/.wh.x\nf opq/.wh..wh..opq\nf opq/young\nf none/.wh.x\nf .wh.gone\n",
    "f l/through mtime=3 : x\nh copy : a/b/y\nd a mode=711 mtime=9\nf .wh.l\n", NULL};

static void fail_each_call(int error, bool ordered) {
  scratch s;
  scratch_open(&s);
  int32_t rc;
  long n = 0;
  int before = count_descriptors();
  do {
    stack k = {.trusted = false};
    s.sys = ims_sys_default;
    plan_faults(&s, n++, error);
    rc = stack_apply(&k, &s, all_kinds, ordered);
    if (rc) {
      assert_true(plan.failed);
      assert_true(*s.err.message);
      assert_int_not_equal(rc, IMGSTORE_EAGAIN);
    }
    s.sys = ims_sys_default;
    stack_free(&k);
    assert_int_equal(count_descriptors(), before);
  } while (plan.failed);
  assert_int_equal(rc, IMGSTORE_OK);
  assert_true(n > 100);
  scratch_close(&s);
}

static void test_each_call_fails(void **state) {
  fail_each_call(EIO, false);
  fail_each_call(EIO, true);
  fail_each_call(ENOSPC, false);
}

static void test_each_allocation_fails(void **state) {
  scratch s;
  scratch_open(&s);
  ims_alloc before = s.core->alloc;
  for (int ordered = 0; ordered < 2; ordered++) {
    int32_t rc = IMGSTORE_ENOMEM;
    for (size_t n = 0; rc; n++) {
      failing state_of_alloc;
      stack k = {.trusted = false};
      s.core->alloc = failing_alloc(&state_of_alloc, n);
      rc = stack_apply(&k, &s, all_kinds, ordered);
      if (rc)
        assert_int_equal(rc, IMGSTORE_ENOMEM);
      state_of_alloc.left = SIZE_MAX;
      stack_free(&k);
      assert_int_equal(state_of_alloc.live, 0);
      s.core->alloc = before;
    }
  }
  scratch_close(&s);
}

static void test_limits(void **state) {
  scratch s;
  scratch_open(&s);
  stack k = {.quota = {.max_inodes = 3}};
  assert_int_equal(stack_apply(&k, &s, LAYERS("f a\nf b\nf c\nf d\n"), false), IMGSTORE_ELIMIT);
  assert_string_equal(s.err.message, "entry \"d\": more than 3 files: the limit of this job");
  stack_free(&k);
  k = (stack){.quota = {.max_inodes = 4}};
  assert_int_equal(stack_apply(&k, &s, LAYERS("f a\nf b\nf c\nf d\n"), false), IMGSTORE_OK);
  assert_int_equal(k.record[0].inodes, 4);
  stack_free(&k);
  k = (stack){.quota = {.max_bytes = 10}};
  assert_int_equal(stack_apply(&k, &s, LAYERS("f a : 12345\n", "f b : 123456\n"), true), IMGSTORE_ELIMIT);
  assert_string_equal(s.err.message, "entry \"b\": more than 10 bytes: the limit of this job");
  stack_free(&k);
  scratch_close(&s);
}

/* What is in the record is what is in the directory, whatever was replaced on the way. */
static void test_numbers(void **state) {
  scratch s;
  scratch_open(&s);
  stack k = {.trusted = false};
  assert_int_equal(stack_apply(&k, &s,
                               LAYERS("d d\nf d/a : 12345\nh d/b : d/a\ns d/l : abc\nf d/a : 1234567\n",
                                      "f d/new/x : 1\nf d/.wh.b\nf none/.wh.x\nf d : file\n"),
                               true),
                   IMGSTORE_OK);
  assert_int_equal(k.record[0].inodes, 4);
  assert_int_equal(k.record[0].bytes, 5 + 3 + 7);
  assert_int_equal(k.record[1].inodes, 1);
  assert_int_equal(k.record[1].bytes, 4);
  stack_free(&k);
  scratch_close(&s);
}

static void test_planted_metadata(void **state) {
  scratch s;
  scratch_open(&s);
  stack k = {.trusted = false};
  assert_int_equal(stack_apply(&k, &s,
                               LAYERS("d d\nf d/f\n", "d d xattr.trusted.overlay.opaque=y xattr.user.overlay.opaque=y\n"
                                                      "c d/f major=0 minor=0\n"),
                               false),
                   IMGSTORE_OK);
  char *text = scratch_list(&s, "L1", false);
  assert_string_equal(text, "d d\n");
  free(text);
  scratch_expect_report(&s, "d: attribute trusted.overlay.opaque dropped: overlay metadata\n"
                            "d: attribute user.overlay.opaque dropped: overlay metadata\n"
                            "d/f: device 0:0 not created: it is overlay metadata\n");
  stack_free(&k);
  scratch_close(&s);
}

/* A layer of a chain leads nowhere outside of its directory, whatever links say. */
static void test_stays_inside(void **state) {
  scratch s;
  scratch_open(&s);
  stack k = {.trusted = false};
  assert_int_equal(stack_apply(&k, &s,
                               LAYERS("s out : ../../canary\ns abs : /canary\nf in\n",
                                      "f out/x mtime=3 : one\nf abs/y mtime=4 : two\nf out/.wh.secret\n"
                                      "h copy : out/secret\n"),
                               false),
                   IMGSTORE_EFORMAT);
  assert_string_equal(s.err.message, "entry \"copy\": hard link to \"out/secret\", which is not there");
  stack_free(&k);
  scratch_close(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_limits),           cmocka_unit_test(test_numbers),
      cmocka_unit_test(test_planted_metadata), cmocka_unit_test(test_stays_inside),
      cmocka_unit_test(test_each_call_fails),  cmocka_unit_test(test_each_allocation_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
