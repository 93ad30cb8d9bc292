/*
 * tests/unit/test_instance_many.c - many instances of one image: what one costs, in system calls, does not depend on
 * how many there are; listing them is linear.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "instance_fixture.h"
#include "rootfs/instance_hold.h"

enum { FEW = 20, MANY = 400, NAME_SIZE = 16 };

/* A folder's names come in buffers: a few more of them are no growth. */
enum { SLACK = 4 };

static const imgstore_rootfs_dir_options dir_options = {.size = sizeof dir_options,
                                                        .durability = IMGSTORE_DURABILITY_NONE};

static long create_one(world *w, int i) {
  char name[NAME_SIZE];
  snprintf(name, sizeof name, "n%d", i);
  long before = fixture_fault_now.seen;
  assert_int_equal(world_create(w, name, NULL), 0);
  return fixture_fault_now.seen - before;
}

static long delete_one(world *w, int i) {
  char name[NAME_SIZE];
  snprintf(name, sizeof name, "n%d", i);
  long before = fixture_fault_now.seen;
  assert_int_equal(ims_instance_delete(w->dir, name, NULL, NULL, NULL, NULL), 0);
  return fixture_fault_now.seen - before;
}

static long open_one(world *w, int i) {
  char name[NAME_SIZE];
  ims_instance instance;
  snprintf(name, sizeof name, "n%d", i);
  long before = fixture_fault_now.seen;
  assert_int_equal(ims_instance_open(&instance, w->dir, name, NULL), 0);
  ims_instance_close(&instance);
  return fixture_fault_now.seen - before;
}

static long open_directory(world *w) {
  ims_rootfs_dir_unref(w->dir);
  long before = fixture_fault_now.seen;
  assert_int_equal(ims_rootfs_dir_open(&w->dir, w->store, NULL, &dir_options, NULL), 0);
  ims_holds_clean(w->dir);
  return fixture_fault_now.seen - before;
}

static long list(world *w, int expected) {
  long before = fixture_fault_now.seen;
  assert_int_equal(world_count(w), expected);
  return fixture_fault_now.seen - before;
}

static void assert_no_more(const char *what, long many, long few) {
  if (many > few + SLACK)
    fail_msg("%s: %ld calls with many instances, %ld with few", what, many, few);
}

static void test_one_costs_the_same(void **state) {
  world w;
  long created = 0, opened, directory, listed;
  world_begin(&w);
  for (int i = 0; i < FEW; i++)
    created = create_one(&w, i);
  assert_true(created > 10);
  opened = open_one(&w, 0);
  directory = open_directory(&w);
  listed = list(&w, FEW);
  for (int i = FEW; i < MANY; i++)
    assert_no_more("create", create_one(&w, i), created);
  assert_no_more("open", open_one(&w, 0), opened);
  assert_no_more("open the directory", open_directory(&w), directory);
  assert_true(list(&w, MANY) <= listed * MANY / FEW);
  assert_int_equal(world_holds(&w), 1);
  world_end(&w);
}

static void test_deleting_costs_the_same(void **state) {
  world w;
  world_begin(&w);
  for (int i = 0; i < MANY; i++)
    create_one(&w, i);
  long first = delete_one(&w, 0), last = first;
  for (int i = 1; i < MANY - 1; i++)
    last = delete_one(&w, i);
  assert_no_more("delete", first, last);
  world_end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_costs_the_same),
      cmocka_unit_test(test_deleting_costs_the_same),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
