/* tests/unit/test_base.c - buffers, errors, text, rings, tasks, reports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/buf.h"
#include "base/core.h"
#include "base/error.h"
#include "base/pool.h"
#include "base/report.h"
#include "base/ring.h"
#include "base/text.h"

static void test_buf_ceiling(void **state) {
  ims_buf b;
  ims_buf_init(&b, &ims_alloc_default, 10);
  assert_int_equal(ims_buf_puts(&b, "0123456789"), IMGSTORE_OK);
  assert_int_equal(ims_buf_putc(&b, 'x'), IMGSTORE_ELIMIT);
  assert_int_equal(ims_buf_puts(&b, ""), IMGSTORE_ELIMIT); /* the first failure sticks */
  assert_string_equal(ims_buf_text(&b), "0123456789");
  ims_buf_clear(&b);
  assert_int_equal(ims_buf_printf(&b, "%d-%s", 7, "ab"), IMGSTORE_OK);
  size_t size;
  char *text = ims_buf_detach(&b, &size);
  assert_int_equal(size, 4);
  assert_string_equal(text, "7-ab");
  ims_free(&ims_alloc_default, text);
  assert_string_equal(ims_buf_text(&b), "");
  ims_buf_free(&b);
}

static void test_error_first_wins_and_is_printable(void **state) {
  ims_error e = IMS_ERROR_INIT;
  assert_int_equal(ims_fail(&e, IMGSTORE_EFORMAT, "bad name \"a\033[31m\xe2\x80\xae\xff\xc3\xa9\""), IMGSTORE_EFORMAT);
  assert_string_equal(e.message, "bad name \"a\\x1b[31m\\xe2\\x80\\xae\\xff\xc3\xa9\"");
  assert_int_equal(ims_fail(&e, IMGSTORE_EIO, "later"), IMGSTORE_EIO);
  assert_int_equal(e.code, IMGSTORE_EFORMAT);
  ims_error_prefix(&e, "layer %d", 3);
  assert_true(ims_starts_with(e.message, "layer 3: bad name"));
  ims_error empty = IMS_ERROR_INIT, full = IMS_ERROR_INIT;
  assert_int_equal(ims_error_prefix(&empty, "layer"), IMGSTORE_EIO); /* a failure without a message is no success */
  char accents[IMS_ERROR_MESSAGE];
  for (size_t i = 0; i < sizeof accents; i++)
    accents[i] = i % 2 ? '\xa9' : '\xc3';
  accents[sizeof accents - 2] = '\0';
  ims_fail(&full, IMGSTORE_EIO, "%s", accents);
  for (int i = 0; i < 3; i++) {
    ims_error_prefix(&full, "%.*s", i, "ab");
    assert_true(ims_utf8_valid(full.message, strlen(full.message)));
  }
  ims_error os = IMS_ERROR_INIT;
  assert_int_equal(ims_fail_os(&os, ENOSPC, "cannot write"), IMGSTORE_ENOSPACE);
  assert_int_equal(os.os_errno, ENOSPC);
  assert_string_equal(os.message, "cannot write: No space left on device");
}

static void test_text(void **state) {
  uint64_t v;
  assert_true(ims_parse_u64("18446744073709551615", 20, UINT64_MAX, &v) && v == UINT64_MAX);
  assert_false(ims_parse_u64("18446744073709551616", 20, UINT64_MAX, &v));
  assert_false(ims_parse_u64("100", 3, 99, &v));
  assert_true(ims_parse_u64("99", 2, 99, &v) && v == 99);
  assert_false(ims_parse_u64("5", 1, 3, &v));
  assert_false(ims_parse_u64("", 0, 9, &v));
  assert_false(ims_parse_u64("-1", 2, 9, &v));
  assert_true(ims_utf8_valid("a\xc3\xa9\xf0\x9f\x98\x80", 7));
  assert_false(ims_utf8_valid("\xc0\x80", 2));
  assert_false(ims_utf8_valid("\xed\xa0\x80", 3));
  assert_false(ims_utf8_valid("\xf4\x90\x80\x80", 4));
}

static void test_ring_two_readers(void **state) {
  ims_ring r;
  assert_true(ims_ring_init(&r, &ims_alloc_default, 8));
  ims_ring_attach(&r, 0);
  ims_ring_attach(&r, 1);
  assert_int_equal(ims_ring_write(&r, "abcdefghij", 10), 8);
  const uint8_t *data;
  assert_int_equal(ims_ring_data(&r, 0, &data), 8);
  ims_ring_consume(&r, 0, 8);
  assert_int_equal(ims_ring_free_bytes(&r), 0); /* the slower reader holds it */
  ims_ring_consume(&r, 1, 3);
  assert_int_equal(ims_ring_write(&r, "ijk", 3), 3);
  assert_int_equal(ims_ring_data(&r, 1, &data), 5);
  assert_memory_equal(data, "defgh", 5);
  ims_ring_detach(&r, 1);
  assert_int_equal(ims_ring_data(&r, 0, &data), 3);
  assert_memory_equal(data, "ijk", 3);
  ims_ring_close(&r);
  assert_false(ims_ring_at_end(&r, 0));
  ims_ring_consume(&r, 0, 3);
  assert_true(ims_ring_at_end(&r, 0));
  ims_ring_free(&r);
}

typedef struct counter_task {
  ims_task task;
  ims_lane *lane;
  _Atomic int left;
} counter_task;

static void count_down(ims_task *task) {
  counter_task *c = (counter_task *)task;
  if (atomic_fetch_sub(&c->left, 1) > 1)
    ims_task_wake(task);
  else
    ims_lane_signal(c->lane);
}

static void run_tasks(ims_pool *pool) {
  ims_lane lane;
  assert_int_equal(ims_lane_init(&lane), 0);
  counter_task tasks[4];
  for (int i = 0; i < 4; i++) {
    tasks[i].lane = &lane;
    atomic_init(&tasks[i].left, 1000);
    ims_task_init(&tasks[i].task, &lane, pool, count_down);
    ims_task_wake(&tasks[i].task);
  }
  for (;;) {
    int left = 0;
    for (int i = 0; i < 4; i++)
      left += atomic_load(&tasks[i].left);
    if (!left)
      break;
    if (!ims_lane_run(&lane)) {
      struct pollfd p = {lane.event_fd, POLLIN, 0};
      assert_int_not_equal(poll(&p, 1, 10000), 0);
      ims_lane_clear(&lane);
    }
  }
  for (int i = 0; i < 4; i++)
    ims_task_stop(&tasks[i].task);
  ims_lane_free(&lane);
}

static void test_tasks_on_lane(void **state) {
  run_tasks(NULL);
}

static void test_tasks_on_pool(void **state) {
  ims_pool *pool = ims_pool_new(&ims_alloc_default, 3);
  assert_non_null(pool);
  run_tasks(pool);
  ims_pool_free(pool);
}

static void test_report(void **state) {
  imgstore_report *report = ims_report_new(&ims_alloc_default);
  for (int i = 0; i < 40; i++)
    assert_int_equal(ims_report_add(report, IMGSTORE_REPORT_TAG, "n", NULL, "why", 5, 2), IMGSTORE_OK);
  assert_int_equal(imgstore_report_count(report), 40);
  assert_string_equal(imgstore_report_name(report, 39), "n");
  assert_string_equal(imgstore_report_detail(report, 39), "why");
  assert_string_equal(imgstore_report_digest(report, 39), "");
  assert_int_equal(imgstore_report_size(report, 0), 5);
  assert_int_equal(imgstore_report_shared(report, 0), 2);
  assert_int_equal(imgstore_report_kind(report, 40), 0);
  imgstore_report_free(report);
  imgstore_report_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_buf_ceiling),   cmocka_unit_test(test_error_first_wins_and_is_printable),
      cmocka_unit_test(test_text),          cmocka_unit_test(test_ring_two_readers),
      cmocka_unit_test(test_tasks_on_lane), cmocka_unit_test(test_tasks_on_pool),
      cmocka_unit_test(test_report),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
