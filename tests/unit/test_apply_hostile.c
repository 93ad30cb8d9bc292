/*
 * tests/unit/test_apply_hostile.c - layers that try to get out, to confuse or to exhaust, as root and as nobody. Every
 * scratch directory has a canary beside its root, which scratch_close checks.
 */
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "apply_fixture.h"

enum { NOBODY = 65534 };

typedef struct attack {
  const char *layers[5];
  const char *tree; /* NULL: refused */
} attack;

/* %s is the absolute path of the scratch directory. */
static const attack attacks[] = {
    {{"s out : ../canary\nf out/secret : evil\n"}, "d out\nf out/secret : evil\n"},
    {{"s out : %s/canary\nf out/secret : evil\n"}, "d out\nf out/secret : evil\n"},
    {{"s out : %s/canary\n", "f out/.wh.secret\nf out/.wh..wh..opq\n"}, "s out : %s/canary\n"},
    {{"s out : ../canary\n", "f .wh.out\n"}, ""},
    {{"s out : ../canary\nd out/dir\nf out/dir/file : evil\n"}, "d out\nd out/dir\nf out/dir/file : evil\n"},
    {{"s out : ../canary/dir\nd out mode=700\n"}, "d out mode=0700\n"},
    {{"s out : ../canary/secret\nf out : evil\n"}, "f out : evil\n"},
    {{"s out : ../canary/secret\nh in : out\nf in : evil\n"}, "f in : evil\ns out : ../canary/secret\n"},
    {{"h in : ../canary/secret\n"}, NULL},
    {{"s out : ../canary\nh in : out/secret\n"}, NULL},
    {{"s out : %s\nh in : out/canary/secret\n"}, NULL},
    {{"f ../canary/secret : evil\n"}, "d canary\nf canary/secret : evil\n"},
    {{"f %s/canary/secret : evil\n", "f .wh.tmp\n"}, ""},
    {{"f a/../../../canary/secret : evil\n"}, "d canary\nf canary/secret : evil\n"},
    /* a directory that was used turns into a link, and back */
    {{"d a\nf a/x\ns a : ../canary\nf a/secret : evil\n"}, "d a\nf a/secret : evil\n"},
    {{"d a\nf a/x\n", "s a : ../canary\n", "f a/secret : evil\nd a/dir\n"}, "d a\nd a/dir\nf a/secret : evil\n"},
    {{"d a\nf a/x\nd b\ns a : b\nf a/y\nd a\nf a/z\n"}, "d a\nf a/z : \nd b\nf b/y : \n"},
    {{"d a/b\nf a/b/x\nd c\nf a : file\ns a : c\nf a/b/y\n"}, "s a : c\nd c\nd c/b\nf c/b/y : \n"},
    {{"d a/b\nf a/b/x\nd c/b\n", "f a/b/y\nf .wh.a\ns a : c\nf a/b/z\n"}, "s a : c\nd c\nd c/b\nf c/b/z : \n"},
    {{"s a : b\nd b\nf a/1\ns b : ../canary\nf a/secret : evil\n"}, "d a\nf a/secret : evil\ns b : ../canary\n"},
    {{"d a\nf a/x\nf a/y\nh a : a/x\n"}, NULL},
    {{"d a/d\nf a/d/x : 1\nf o : 2\n", "f a/d/y\nh a : o\n"}, "f a links=2 : 2\nf o links=2 : 2\n"},
    /* links around in a circle, to themselves, to nothing, to the root */
    {{"s a : b\ns b : a\nf a/x\nf b/x\n"}, "d a\nf a/x : \ns b : a\n"},
    {{"s a : a/../a\nf a/x\n"}, "d a\nf a/x : \n"},
    {{"s a : /\nf a/a/a/x : 1\n"}, "s a : /\nf x : 1\n"},
    {{"s a : ..\ns b : .\nf a/b/a/x : 1\n", "f a/b/.wh..wh..opq\n"}, ""},
    {{"s a : ../../../../../../../../../..\nf a/x : 1\n", "f a/.wh.x\n"}, "s a : ../../../../../../../../../..\n"},
    {{"s proc : /proc/self/root\nf proc/x : 1\n"}, "d proc\nf proc/x : 1\n"},
};

static void check_attack(const attack *t, bool walk) {
  scratch s;
  scratch_open(&s);
  if (walk)
    scratch_without_openat2(&s);
  char text[5][400], tree[400];
  const char *layers[6] = {NULL};
  for (int i = 0; i < 5 && t->layers[i]; i++) {
    snprintf(text[i], sizeof text[i], t->layers[i], s.path, s.path);
    layers[i] = text[i];
  }
  int32_t rc = scratch_apply(&s, layers);
  if (t->tree) {
    if (rc)
      fail_msg("%s: %s", t->layers[0], s.err.message);
    snprintf(tree, sizeof tree, t->tree, s.path);
    scratch_expect(&s, tree);
  } else {
    assert_int_equal(rc, IMGSTORE_EFORMAT);
  }
  scratch_close(&s);
}

static void test_attacks(void **state) {
  for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
    check_attack(&attacks[i], false);
    check_attack(&attacks[i], true);
  }
}

static uint64_t next_random(uint64_t *x) {
  *x ^= *x << 13;
  *x ^= *x >> 7;
  *x ^= *x << 17;
  return *x;
}

/* A layer of random entries over few names, so that they get in each other's way. */
static void random_layer(uint64_t *seed, ims_buf *out) {
  static const char *const names[] = {"a", "b", "c", "a/b", "b/a", "c/a/b", "a/b/c", "b/c", "../a/c", "c/b/a"};
  static const char *const targets[] = {"a", "b", "../c", "/a/b", "../../canary", "c/..", "b/c/../a", "/"};
  for (int i = 0; i < 30; i++) {
    const char *name = names[next_random(seed) % 10], *target = targets[next_random(seed) % 8];
    const char *slash = strrchr(name, '/');
    int parent = slash ? (int)(slash - name) + 1 : 0;
    switch (next_random(seed) % 8) {
    case 0:
    case 1:
      ims_buf_printf(out, "f %s mtime=%d mode=%o : %d\n", name, i + 1, (unsigned)(next_random(seed) % 512), i);
      break;
    case 2:
    case 3:
      ims_buf_printf(out, "d %s mtime=%d mode=%o\n", name, i + 1, (unsigned)(next_random(seed) % 512));
      break;
    case 4:
    case 5:
      ims_buf_printf(out, "s %s mtime=%d : %s\n", name, i + 1, target);
      break;
    case 6:
      ims_buf_printf(out, "f %.*s.wh.%s\n", parent, name, name + parent);
      break;
    default:
      ims_buf_printf(out, "f %s/.wh..wh..opq\n", name);
    }
  }
}

/* Lines of a listing without the times of directories that no entry gave one (they are of today). */
static void drop_today(char *list) {
  for (char *at = strstr(list, " mtime="); at; at = strstr(at + 1, " mtime="))
    if (strlen(at) > 17 && at[17] == '.')
      memset(at, '#', 27);
}

static void test_both_ways_agree(void **state) {
  uint64_t seed = 88172645463325252u;
  for (int round = 0; round < 40; round++) {
    ims_buf layers[3];
    char *list[2];
    for (int i = 0; i < 3; i++) {
      ims_buf_init(&layers[i], &ims_alloc_default, 1 << 20);
      random_layer(&seed, &layers[i]);
    }
    for (int walk = 0; walk < 2; walk++) {
      scratch s;
      scratch_open(&s);
      if (walk)
        scratch_without_openat2(&s);
      if (scratch_apply(&s, LAYERS(layers[0].data, layers[1].data, layers[2].data)))
        fail_msg("%s\n%s\n%s\n%s", s.err.message, layers[0].data, layers[1].data, layers[2].data);
      list[walk] = scratch_list(&s, "root", true);
      drop_today(list[walk]);
      scratch_close(&s);
    }
    if (strcmp(list[0], list[1]) != 0)
      fail_msg("%s---\n%s---\n%s\nopenat2:\n%swalk:\n%s", layers[0].data, layers[1].data, layers[2].data, list[0],
               list[1]);
    for (int i = 0; i < 3; i++)
      ims_buf_free(&layers[i]);
    free(list[0]);
    free(list[1]);
  }
}

static void append_deep(ims_buf *out, const char *name, int depth) {
  for (int i = 0; i < depth; i++)
    ims_buf_printf(out, "%s%s", i ? "/" : "", name);
}

/* Deeper than PATH_MAX and than any number of descriptors. */
static void test_deep(void **state) {
  enum { DEPTH = 3000 };
  ims_buf make, whiteout;
  ims_buf_init(&make, &ims_alloc_default, 1 << 20);
  ims_buf_init(&whiteout, &ims_alloc_default, 1 << 20);
  ims_buf_puts(&make, "d ");
  append_deep(&make, "dd", DEPTH);
  ims_buf_puts(&make, "\nf ");
  append_deep(&make, "dd", DEPTH);
  ims_buf_puts(&make, "/x : deep\nh link : ");
  append_deep(&make, "dd", DEPTH);
  ims_buf_puts(&make, "/x\n");
  ims_buf_printf(&whiteout, "%sf .wh.dd\n", make.data);
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS(make.data, "f .wh.dd\n")), IMGSTORE_OK);
  scratch_expect(&s, "f link : deep\n");
  scratch_again(&s);
  assert_int_equal(scratch_apply(&s, LAYERS(make.data, "f dd/dd/dd/y\nf .wh.dd\n")), IMGSTORE_OK);
  scratch_expect(&s, "d dd\nd dd/dd\nd dd/dd/dd\nf dd/dd/dd/y : \nf link : deep\n");
  scratch_again(&s);
  assert_int_equal(scratch_apply(&s, LAYERS("d a\n", whiteout.data)), IMGSTORE_OK);
  scratch_again(&s);
  scratch_close(&s);
  ims_buf_free(&make);
  ims_buf_free(&whiteout);
}

/* More names in a directory than are kept in memory at once. */
static void test_wide(void **state) {
  enum { WIDTH = 11000, KEPT = 50 };
  char filler[220];
  memset(filler, 'n', sizeof filler - 1);
  filler[sizeof filler - 1] = '\0';
  ims_buf lower, upper;
  ims_buf_init(&lower, &ims_alloc_default, 1 << 26);
  ims_buf_init(&upper, &ims_alloc_default, 1 << 20);
  for (int i = 0; i < WIDTH; i++)
    ims_buf_printf(&lower, "d w/%s%d\n", filler, i);
  for (int i = 0; i < KEPT; i++)
    ims_buf_printf(&upper, "f w/%s%d/new mtime=7\n", filler, i * 200);
  ims_buf_puts(&upper, "f .wh.w\n");
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS(lower.data, upper.data)), IMGSTORE_OK);
  char *list = scratch_list(&s, "root", false);
  int lines = 0;
  for (const char *at = list; *at; at++)
    lines += *at == '\n';
  assert_int_equal(lines, 1 + 2 * KEPT);
  free(list);
  scratch_close(&s);
  ims_buf_free(&lower);
  ims_buf_free(&upper);
}

static void test_names(void **state) {
  char layer[5000], name[4500];
  memset(name, 'n', sizeof name);
  static const struct {
    const char *format;
    int size;
    int32_t rc;
  } cases[] = {{"f %.*s\n", 255, IMGSTORE_OK},           {"f %.*s\n", 256, IMGSTORE_EFORMAT},
               {"d %.*s/x\n", 256, IMGSTORE_EFORMAT},    {"f x/%.*s/y\n", 4000, IMGSTORE_EFORMAT},
               {"s l : %.*s\n", 4095, IMGSTORE_OK},      {"s l : %.*s\n", 4096, IMGSTORE_EFORMAT},
               {"h l : %.*s\n", 256, IMGSTORE_EFORMAT},  {"h l : %.*s/x\n", 300, IMGSTORE_EFORMAT},
               {"s l : %.*s\nf l/x\n", 300, IMGSTORE_OK}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    scratch s;
    scratch_open(&s);
    snprintf(layer, sizeof layer, cases[i].format, cases[i].size, name);
    assert_int_equal(scratch_apply(&s, LAYERS(layer)), cases[i].rc);
    if (cases[i].rc)
      assert_true(strlen(s.err.message) < 600 && strncmp(s.err.message, "entry \"", 7) == 0);
    scratch_close(&s);
  }
}

/* Removing reaches everything below a directory and nothing else. */
static void test_tree_remove(void **state) {
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS("d a/b mode=0\nf a/x\ns out : ../canary\ns up : ..\nd ro mode=500\nf ro/x\n"
                                            "h hard : a/x\np p\n")),
                   IMGSTORE_OK);
  int root = openat(s.fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  assert_int_equal(ims_tree_remove(s.core, root, &s.err), IMGSTORE_OK);
  close(root);
  scratch_expect(&s, "");
  scratch_close(&s);
}

static void check_policies(void **state) {
  scratch s;
  scratch_open(&s);
  const char *const *layers =
      LAYERS("f a uid=7 gid=300\nd d uid=7 mode=500\nf d/x uid=0 gid=0\ns l uid=7 : t\n"
             "c dev major=1 minor=3\nf c hex.security.capability=0100000200200000000000000000000000000000\n");
  assert_int_equal(scratch_apply(&s, layers), IMGSTORE_OK);
  scratch_expect(&s, "f a : \nf c : \nd d mode=0500\nf d/x : \ns l : t\n");
  scratch_expect_report(&s, "a: owner 7:300 not set: Operation not permitted\n"
                            "d: owner 7:65534 not set: Operation not permitted\n"
                            "d/x: owner 0:0 not set: Operation not permitted\n"
                            "l: owner 7:65534 not set: Operation not permitted\n"
                            "dev: device not created: the system does not permit it\n"
                            "c: attribute security.capability not set: Operation not permitted\n");
  scratch_close(&s);
}

static void check_record(void **state) {
  scratch s;
  scratch_open(&s);
  s.options.owner_policy = IMGSTORE_POLICY_RECORD;
  assert_int_equal(scratch_apply(&s, LAYERS("f a uid=7 gid=300 mode=400\nd d uid=7 gid=0 mode=500\nf d/x uid=0 gid=0\n"
                                            "f mine\nf e xattr.user.rootlesscontainers=lie\n")),
                   IMGSTORE_OK);
  scratch_expect(&s, "f a mode=0400 user.rootlesscontainers=\\08\\07\\10\\ac\\02 : \n"
                     "d d mode=0500 user.rootlesscontainers=\\08\\07\nf d/x : \nf e : \nf mine : \n");
  scratch_expect_report(&s, "e: attribute user.rootlesscontainers dropped: reserved for recorded owners\n");
  s.options.owner_policy = IMGSTORE_POLICY_ERROR;
  assert_int_equal(scratch_apply(&s, LAYERS("f a uid=7 gid=300\n")), IMGSTORE_EACCESS);
  assert_string_equal(s.err.message, "entry \"a\": cannot set the owner: Operation not permitted");
  s.options.owner_policy = IMGSTORE_POLICY_DEFAULT;
  s.options.device_policy = IMGSTORE_POLICY_ERROR;
  assert_int_equal(scratch_apply(&s, LAYERS("c dev major=1 minor=3\n")), IMGSTORE_EACCESS);
  scratch_close(&s);
}

/* Directories that shut their owner out are still filled, passed through, whited out and removed. */
static void check_locked(void **state) {
  for (int walk = 0; walk < 2; walk++) {
    scratch s;
    scratch_open(&s);
    if (walk)
      scratch_without_openat2(&s);
    const char *lower = "d a mode=0\nd a/b mode=0\nf a/b/x mode=0 : \nd a/c mode=111\nf a/c/y\ns l : a/b\n";
    ims_buf many;
    ims_buf_init(&many, &ims_alloc_default, 1 << 20);
    for (int i = 0; i < 40; i++)
      ims_buf_printf(&many, "d m%d mode=0\n", i);
    if (scratch_apply(&s, LAYERS(lower, many.data, "f a/b/z\nf l/q\nh l/r : a/b/z\nf a/.wh.c\nf a/b/.wh.x\n")))
      fail_msg("%s", s.err.message);
    struct stat st;
    char path[100];
    snprintf(path, sizeof path, "%s/root/a", s.path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0);
    assert_int_equal(chmod(path, 0700), 0);
    snprintf(path, sizeof path, "%s/root/a/b", s.path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0);
    assert_int_equal(chmod(path, 0700), 0);
    char *list = scratch_list(&s, "root", false);
    assert_non_null(strstr(list, "d a mode=0700\nd a/b mode=0700\nf a/b/q : \nf a/b/r links=2 : \nf a/b/z links=2 : \n"
                                 "s l : a/b\nd m0 mode=0000\n"));
    free(list);
    ims_buf_free(&many);
    scratch_close(&s);
  }
}

static int run_as_nobody(const struct CMUnitTest *tests, size_t count) {
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
      _exit(99);
    int failed = _cmocka_run_group_tests("as nobody", tests, count, NULL, NULL);
    fflush(NULL);
    _exit(failed);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_attacks), cmocka_unit_test(test_both_ways_agree), cmocka_unit_test(test_deep),
      cmocka_unit_test(test_wide),    cmocka_unit_test(test_names),           cmocka_unit_test(test_tree_remove),
  };
  const struct CMUnitTest unprivileged[] = {
      cmocka_unit_test(test_attacks),   cmocka_unit_test(test_both_ways_agree), cmocka_unit_test(test_tree_remove),
      cmocka_unit_test(check_policies), cmocka_unit_test(check_record),         cmocka_unit_test(check_locked),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  if (geteuid() == 0)
    failed += run_as_nobody(unprivileged, sizeof unprivileged / sizeof *unprivileged);
  return failed;
}
