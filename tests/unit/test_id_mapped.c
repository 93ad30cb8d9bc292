/*
 * test_id_mapped.c - user namespaces made by several threads at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rootfs/id_mapped.h"
#include "store_fixture.h"

enum { THREADS = 4, TURNS = 200 };

typedef struct making {
  ims_core *core;
  atomic_int made, refused;
} making;

static const imgstore_id_map map = {0, 100000, 65536};

static void *make_many(void *data) {
  making *m = data;
  const ims_id_ranges ranges = {&map, &map, 1, 1};
  for (int i = 0; i < TURNS; i++) {
    int fd = -1;
    if (ims_user_namespace_make(m->core, &ranges, &fd, NULL)) {
      atomic_fetch_add(&m->refused, 1);
      break;
    }
    close(fd);
    atomic_fetch_add(&m->made, 1);
  }
  return NULL;
}

/* A child inherits what other threads had open when it was born: none may wait for what another one holds. */
static void threads_do_not_wait_for_each_other(void **state) {
  making m = {.core = fixture_core(NULL, NULL)};
  pthread_t threads[THREADS];
  alarm(60); /* it would hang */
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, make_many, &m), 0);
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  alarm(0);
  ims_core_unref(m.core);
  if (!atomic_load(&m.made)) {
    puts("skipped: no user namespaces here");
    skip();
  }
  assert_int_equal(atomic_load(&m.refused), 0);
  assert_int_equal(atomic_load(&m.made), THREADS * TURNS);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(threads_do_not_wait_for_each_other)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
