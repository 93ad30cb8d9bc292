/*
 * tests/unit/test_apply_cost.c - layers that ask for the same work again and again: the cost grows with the layer, not
 * with its square.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "stack_fixture.h"

static long reads;

static long counting_getdents64(int fd, void *buffer, size_t size) {
  reads++;
  return ims_sys_default.getdents64(fd, buffer, size);
}

static void add_lines(ims_buf *text, const char *format, int count) {
  for (int i = 0; i < count; i++) {
    char line[64];
    snprintf(line, sizeof line, format, i);
    assert_int_equal(ims_buf_puts(text, line), 0);
    assert_int_equal(ims_buf_putc(text, '\n'), 0);
  }
}

/* A wide directory whose lower content is hidden over and over: it is read for the first time only. */
static void test_hidden_again(void **state) {
  enum { FILES = 2000, AGAIN = 500 };
  scratch s;
  ims_buf layer;
  scratch_open(&s);
  s.sys.getdents64 = counting_getdents64;
  ims_buf_init(&layer, &ims_alloc_default, 1 << 24);
  add_lines(&layer, "f d/%d", FILES);
  for (int i = 0; i < AGAIN; i++)
    ims_buf_puts(&layer, "f .wh.d\nf d/.wh..wh..opq\n");
  reads = 0;
  assert_int_equal(scratch_apply(&s, LAYERS("f d/old\nd d/sub\n", ims_buf_text(&layer))), 0);
  assert_true(reads > 0 && reads < AGAIN / 4);
  char *list = scratch_list(&s, "root", false);
  assert_null(strstr(list, "old"));
  assert_null(strstr(list, "sub"));
  assert_non_null(strstr(list, "f d/1999 :"));
  free(list);
  ims_buf_free(&layer);
  scratch_close(&s);
}

static double user_seconds(void) {
  struct rusage usage;
  assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
  return (double)usage.ru_utime.tv_sec + 1e-6 * (double)usage.ru_utime.tv_usec;
}

/* Processor time, without the system's, of a layer of so many whiteouts in one directory, applied without those below
 * it. */
static double time_of_whiteouts(int count) {
  scratch s;
  stack k = {.trusted = false};
  ims_buf layer;
  scratch_open(&s);
  ims_buf_init(&layer, &ims_alloc_default, 1 << 24);
  add_lines(&layer, "f d/.wh.%d", count);
  double begin = user_seconds();
  assert_int_equal(stack_apply(&k, &s, LAYERS("d d\n", ims_buf_text(&layer)), false), 0);
  double end = user_seconds();
  assert_int_equal(k.redone, 0);
  stack_free(&k);
  ims_buf_free(&layer);
  scratch_close(&s);
  return end - begin;
}

static void test_many_whiteouts(void **state) {
  enum { FEW = 2500, TIMES = 16 };
  double few = time_of_whiteouts(FEW), many = time_of_whiteouts(FEW * TIMES);
  print_message("%d times as many: %.3f s and %.3f s\n", TIMES, few, many);
  assert_true(many < few * TIMES * 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_hidden_again),
      cmocka_unit_test(test_many_whiteouts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
