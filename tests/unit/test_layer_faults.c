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
#include "failing_sys.h"
#include "stack_fixture.h"

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
    failing_sys_plan(&s.sys, n++, error);
    rc = stack_apply(&k, &s, all_kinds, ordered);
    if (rc) {
      assert_true(failing_call.failed);
      assert_true(*s.err.message);
      assert_int_not_equal(rc, IMGSTORE_EAGAIN);
    }
    s.sys = ims_sys_default;
    stack_free(&k);
    assert_int_equal(count_descriptors(), before);
  } while (failing_call.failed);
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
