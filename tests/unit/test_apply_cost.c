/*
 * tests/unit/test_apply_cost.c - layers that ask for the same work again and again: the cost grows with the layer, not
 * with its square.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apply_fixture.h"

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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_hidden_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
