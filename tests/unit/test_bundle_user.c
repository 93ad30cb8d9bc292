/*
 * tests/unit/test_bundle_user.c - who a container runs as: look-ups in a root file system that may be hostile.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/bundle_user.h"
#include "store_fixture.h"

#define PASSWD                                                                                                         \
  "root:x:0:0:root:/root:/bin/sh\n"                                                                                    \
  "web:x:1000:1001:Web:/srv/web:/bin/sh\n"                                                                             \
  "\n:x:7:7::/:\nshort:x:8\nnumber:x:-1:0::/:\nbig:x:4294967295:0::/:\nnul:x:9:9:::\n"                                 \
  "1234:x:55:56::/named:/bin/sh\n"                                                                                     \
  "last:x:77:77:no newline:/l:/bin/sh"
#define GROUP                                                                                                          \
  "root:x:0:\nweb:x:1001:\nstaff:x:50:other,web\naudio:x:63:web,other\nagain:x:50:web\nwebs:x:99:webs,xweb\n"          \
  "own:x:1001:web\nodd:x:abc:web\n60:x:61:"

typedef struct world {
  char *path;
  ims_core *core;
  int root;
} world;

static ims_sys calls;

static int no_openat2(int dir, const char *path, const ims_open_how *how) {
  errno = ENOSYS;
  return -1;
}

static void begin(world *w) {
  calls = ims_sys_default;
  w->path = fixture_directory();
  w->core = fixture_core(&calls, NULL);
  w->root = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_int_equal(mkdir(fixture_path(w->path, "etc"), 0755), 0);
  fixture_write(w->path, "etc/passwd", PASSWD, sizeof PASSWD - 1);
  fixture_write(w->path, "etc/group", GROUP, sizeof GROUP - 1);
}

static void end(world *w) {
  close(w->root);
  ims_core_unref(w->core);
  fixture_remove(w->path);
}

/* "uid:gid groups home" or the code. */
static void expect(const world *w, const char *text, const char *expected) {
  char got[256];
  ims_user user;
  ims_error err = IMS_ERROR_INIT;
  int32_t rc = ims_user_find(&user, w->core, w->root, text, &err);
  int size = rc ? snprintf(got, sizeof got, "%d", rc) : snprintf(got, sizeof got, "%u:%u", user.uid, user.gid);
  for (size_t i = 0; !rc && i < user.group_count; i++)
    size += snprintf(got + size, sizeof got - (size_t)size, "%c%u", i ? ',' : ' ', user.groups[i]);
  if (!rc)
    snprintf(got + size, sizeof got - (size_t)size, " %s", user.home);
  assert_string_equal(got, expected);
  assert_true(!rc || *err.message);
  ims_user_free(&user);
}

static void check_all(const world *w) {
  expect(w, "", "0:0 /root");
  expect(w, "root", "0:0 /root");
  expect(w, "web", "1000:1001 50,63 /srv/web");
  expect(w, "1000", "1000:1001 50,63 /srv/web");
  expect(w, "web:", "1000:1001 50,63 /srv/web");
  expect(w, "web:staff", "1000:50 /srv/web");
  expect(w, "web:7", "1000:7 /srv/web");
  expect(w, "web:60", "1000:61 /srv/web"); /* a group's name comes before a number */
  expect(w, ":staff", "0:50 /root");
  expect(w, "4242", "4242:0 ");
  expect(w, "4242:4243", "4242:4243 ");
  expect(w, "1234", "55:56 /named");
  expect(w, "last", "77:77 /l");
  expect(w, "4294967294", "4294967294:0 ");
}

static void test_users(void **state) {
  world w;
  char text[32];
  begin(&w);
  check_all(&w);
  calls.openat2 = no_openat2;
  check_all(&w);
  static const char *const unknown[] = {"nobody", "short",      "number",  "big",  "4294967295", "-1",
                                        "1e3",    "web:nobody", "web:odd", " web", "wEb",        NULL};
  for (int i = 0; unknown[i]; i++) {
    snprintf(text, sizeof text, "%d", IMGSTORE_ENOTFOUND);
    expect(&w, unknown[i], text);
  }
  snprintf(text, sizeof text, "%d", IMGSTORE_EFORMAT);
  expect(&w, "a:b:c", text);
  end(&w);
}

static void test_without_files(void **state) {
  world w;
  char text[32];
  begin(&w);
  unlink(fixture_path(w.path, "etc/passwd"));
  unlink(fixture_path(w.path, "etc/group"));
  snprintf(text, sizeof text, "%d", IMGSTORE_ENOTFOUND);
  expect(&w, "", "0:0 ");
  expect(&w, "5:6", "5:6 ");
  expect(&w, "web", text);
  expect(&w, "5:web", text);
  rmdir(fixture_path(w.path, "etc"));
  expect(&w, "", "0:0 ");
  end(&w);
}

/* A link leads to a place inside, never to the host's file; pipes and folders are refused and not waited for. */
static void check_hostile_files(bool without_openat2) {
  world w;
  char text[32];
  begin(&w);
  if (without_openat2)
    calls.openat2 = no_openat2;
  const char *passwd = fixture_path(w.path, "etc/passwd");
  snprintf(text, sizeof text, "%d", IMGSTORE_EFORMAT);
  unlink(passwd);
  assert_int_equal(symlink("/../../../../../../etc/shadow", passwd), 0);
  expect(&w, "5", "5:0 ");
  unlink(passwd);
  fixture_write(w.path, "real", "in:x:3:4::/in:\n", 15);
  assert_int_equal(symlink("/real", passwd), 0);
  expect(&w, "in", "3:4 /in");
  unlink(passwd);
  assert_int_equal(symlink("/proc/self/root/etc/passwd", passwd), 0);
  expect(&w, "5", "5:0 ");
  unlink(passwd);
  assert_int_equal(mkfifo(passwd, 0644), 0);
  expect(&w, "5", text);
  unlink(passwd);
  assert_int_equal(mkdir(passwd, 0755), 0);
  expect(&w, "5", text);
  rmdir(passwd);
  int fd = open(passwd, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  assert_int_equal(ftruncate(fd, (off_t)1 << 30), 0);
  close(fd);
  snprintf(text, sizeof text, "%d", IMGSTORE_ELIMIT);
  expect(&w, "5", text);
  end(&w);
}

static void test_hostile_files(void **state) {
  check_hostile_files(false);
  check_hostile_files(true);
}

/* Both ways of opening agree, on links of every kind. */
static void test_links(void **state) {
  static const char *const paths[] = {"/etc/passwd",
                                      "etc//./passwd",
                                      "/../etc/../../etc/passwd",
                                      "/abs",
                                      "/rel/passwd",
                                      "/up/etc/passwd",
                                      "/loop",
                                      "/dangling",
                                      "/etc/passwd/x",
                                      "/none/..",
                                      "/",
                                      ".",
                                      "/etc/deep/../passwd",
                                      "/chain",
                                      "/rel/../etc/passwd",
                                      NULL};
  world w;
  begin(&w);
  assert_int_equal(symlink("/etc/passwd", fixture_path(w.path, "abs")), 0);
  assert_int_equal(symlink("./etc", fixture_path(w.path, "rel")), 0);
  assert_int_equal(symlink("../../..", fixture_path(w.path, "up")), 0);
  assert_int_equal(symlink("loop", fixture_path(w.path, "loop")), 0);
  assert_int_equal(symlink("/nothing/here", fixture_path(w.path, "dangling")), 0);
  assert_int_equal(symlink("rel/../abs", fixture_path(w.path, "chain")), 0);
  assert_int_equal(mkdir(fixture_path(w.path, "etc/deep"), 0755), 0);
  for (int i = 0; paths[i]; i++) {
    struct stat one = {0}, other = {0};
    calls.openat2 = ims_sys_default.openat2;
    int fd = ims_open_in_root(&calls, w.root, paths[i], O_PATH), failed = fd < 0 ? errno : fstat(fd, &one);
    calls.openat2 = no_openat2;
    int walked = ims_open_in_root(&calls, w.root, paths[i], O_PATH), why = walked < 0 ? errno : fstat(walked, &other);
    assert_int_equal(failed, why);
    assert_int_equal(one.st_ino, other.st_ino);
    close(fd);
    close(walked);
  }
  end(&w);
}

static void test_without_memory(void **state) {
  world w;
  begin(&w);
  fixture_memory memory = {.at = -1};
  const ims_alloc alloc = fixture_allocator(&memory);
  ims_core *core = fixture_core(&calls, &alloc);
  long live = memory.live;
  bool failed = true;
  for (long at = 0; failed; at++) {
    ims_user user;
    memory.seen = 0;
    memory.at = at;
    int32_t rc = ims_user_find(&user, core, w.root, "web", NULL);
    failed = memory.seen > at;
    assert_int_equal(rc, failed ? IMGSTORE_ENOMEM : IMGSTORE_OK);
    ims_user_free(&user);
    assert_int_equal(memory.live, live);
  }
  memory.at = -1;
  ims_core_unref(core);
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_users), cmocka_unit_test(test_without_files),
                                     cmocka_unit_test(test_hostile_files), cmocka_unit_test(test_links),
                                     cmocka_unit_test(test_without_memory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
