/* tests/unit/test_pool.c - stopping tasks that never come to rest, and the wake-up descriptor of a lane. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/pool.h"

enum { LONG = 20000 };

typedef struct restless {
  ims_task task;
  atomic_int runs;
} restless;

/* Bounded work, and always more of it: a copy of a large blob looks like this. */
static void run_restless(ims_task *task) {
  restless *r = (restless *)task;
  nanosleep(&(struct timespec){0, 100000}, NULL);
  if (atomic_fetch_add(&r->runs, 1) < LONG)
    ims_task_wake(task);
}

static void test_stop_does_not_wait_for_the_last_run(void **state) {
  for (unsigned threads = 1; threads <= 2; threads++) {
    ims_lane lane;
    restless r = {.runs = 0};
    ims_pool *pool = ims_pool_new(&ims_alloc_default, threads);
    assert_int_equal(ims_lane_init(&lane), 0);
    ims_task_init(&r.task, &lane, pool, run_restless);
    ims_task_wake(&r.task);
    while (!atomic_load(&r.runs))
      ;
    ims_task_stop(&r.task);
    int stopped_at = atomic_load(&r.runs);
    assert_true(stopped_at < LONG);
    nanosleep(&(struct timespec){0, 2000000}, NULL);
    assert_int_equal(atomic_load(&r.runs), stopped_at); /* the wake-up from inside was forgotten */
    ims_task_wake(&r.task);
    while (atomic_load(&r.runs) == stopped_at)
      ;
    ims_task_stop(&r.task);
    ims_pool_free(pool);
    ims_lane_free(&lane);
  }
}

static bool is_readable(const ims_lane *lane) {
  struct pollfd p = {lane->event_fd, POLLIN, 0};
  return poll(&p, 1, 0) == 1;
}

/* A signaller may be between its two steps when the driver clears: what it writes late must not stay forever. */
static void test_late_write_is_cleared(void **state) {
  ims_lane lane;
  assert_int_equal(ims_lane_init(&lane), 0);
  ims_lane_signal(&lane);
  assert_true(is_readable(&lane));
  ims_lane_clear(&lane);
  assert_false(is_readable(&lane));
  eventfd_write(lane.event_fd, 1);
  assert_true(is_readable(&lane));
  ims_lane_clear(&lane);
  assert_false(is_readable(&lane));
  ims_lane_free(&lane);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_stop_does_not_wait_for_the_last_run),
      cmocka_unit_test(test_late_write_is_cleared),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
