/*
 * tests/unit/test_apply.c - what applying layers makes: objects and their metadata, replacement, whiteouts, links,
 * policies. Escapes are in test_apply_hostile.c, failures in test_apply_faults.c.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "apply_fixture.h"
#include "rootfs/created_set.h"
#include "tar_fixture.h"

/* Applies layers with openat2 and without, expects the same tree from both, and this one. */
static void expect_tree(const char *const *layers, const char *expected) {
  for (int walk = 0; walk < 2; walk++) {
    scratch s;
    scratch_open(&s);
    if (walk)
      scratch_without_openat2(&s);
    if (scratch_apply(&s, layers))
      fail_msg("%s", s.err.message);
    scratch_expect(&s, expected);
    scratch_close(&s);
  }
}

static void expect_failure(const char *const *layers, int32_t code, const char *message) {
  for (int walk = 0; walk < 2; walk++) {
    scratch s;
    scratch_open(&s);
    if (walk)
      scratch_without_openat2(&s);
    assert_int_equal(scratch_apply(&s, layers), code);
    assert_string_equal(s.err.message, message);
    scratch_close(&s);
  }
}

static void test_objects(void **state) {
  expect_tree(LAYERS("d a\nf a/x : hello\nf a/empty\ns l : a/x\ns dangling : /nowhere\nh b : a/x\np pipe mode=600\n"
                     "d a/deep/er\n"),
              "d a\nd a/deep\nd a/deep/er\nf a/empty : \nf a/x links=2 : hello\nf b links=2 : hello\n"
              "s dangling : /nowhere\ns l : a/x\np pipe mode=0600\n");
}

static void test_modes_whatever_the_umask(void **state) {
  static const mode_t masks[] = {0, 022, 077, 0777};
  for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
    mode_t before = umask(masks[i]);
    scratch s;
    scratch_open(&s);
    umask(masks[i]);
    int32_t rc = scratch_apply(
        &s, LAYERS("d d mode=1777\nd g mode=2775\nf g/in\nd g/sub\nf s mode=4755\nf n mode=0\nf a mode=7777\nd r "
                   "mode=0500\nf r/x\np p mode=666\nd implied/by\nf implied/file mode=666\n"));
    umask(before);
    assert_int_equal(rc, IMGSTORE_OK);
    scratch_expect(&s, "f a mode=7777 : \nd d mode=1777\nd g mode=2775\nf g/in : \nd g/sub\nd implied\n"
                       "d implied/by\nf implied/file mode=0666 : \nf n mode=0000 : \np p mode=0666\n"
                       "d r mode=0500\nf r/x : \nf s mode=4755 : \n");
    scratch_close(&s);
  }
}

static void test_times(void **state) {
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS("d . mtime=9\nd d mtime=1.000000002\nd d/e mtime=5\nf d/x mtime=-7.25\n"
                                            "s l mtime=3.5 : d\np p mtime=4\n",
                                            "f d/e/new mtime=6\nf d/.wh.x\n")),
                   IMGSTORE_OK);
  char *list = scratch_list(&s, "root", true);
  assert_string_equal(list, "d d mtime=1.000000002\nd d/e mtime=5.000000000\nf d/e/new mtime=6.000000000 : \n"
                            "s l mtime=3.500000000 : d\np p mtime=4.000000000\n");
  struct stat st;
  assert_int_equal(fstatat(s.fd, "root", &st, 0), 0);
  assert_int_equal(st.st_mtim.tv_sec, 9);
  free(list);
  scratch_again(&s);
  assert_int_equal(scratch_apply(&s, LAYERS("f x mtime=-7.25\n")), IMGSTORE_OK);
  list = scratch_list(&s, "root", true);
  assert_string_equal(list, "f x mtime=-8.750000000 : \n");
  free(list);
  scratch_close(&s);
}

/* More directories than are kept open at once, touched again and again: every one keeps its own time and mode. */
static void test_many_directories(void **state) {
  ims_buf layer, expected;
  ims_buf_init(&layer, &ims_alloc_default, 1 << 20);
  ims_buf_init(&expected, &ims_alloc_default, 1 << 20);
  for (int i = 0; i < 60; i++)
    ims_buf_printf(&layer, "d d%02d mtime=%d mode=%o\n", i, 100 + i, 0500 | i);
  for (int round = 0; round < 3; round++)
    for (int i = 0; i < 60; i++)
      ims_buf_printf(&layer, "f d%02d/f%d mtime=1\n", i * 7 % 60, round);
  for (int i = 0; i < 60; i++) {
    ims_buf_printf(&expected, "d d%02d mode=%04o mtime=%d.000000000\n", i, 0500 | i, 100 + i);
    for (int round = 0; round < 3; round++)
      ims_buf_printf(&expected, "f d%02d/f%d mtime=1.000000000 : \n", i, round);
  }
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS(ims_buf_text(&layer), "f d07/f0 mtime=1\n")), IMGSTORE_OK);
  char *list = scratch_list(&s, "root", true);
  assert_string_equal(list, ims_buf_text(&expected));
  free(list);
  scratch_close(&s);
  ims_buf_free(&layer);
  ims_buf_free(&expected);
}

static void test_replacement(void **state) {
  static const char *const kinds[] = {"f x : new\n", "d x\n", "s x : d\n", "p x\n", "h x : o\n"};
  static const char *const olds[] = {"f x : old\n", "d x\nf x/in : old\nd x/sub\n", "s x : d\n", "p x\n", "h x : o\n"};
  static const char *const made[] = {"f x : new\n", "d x\n", "s x : d\n", "p x\n", "f x links=2 : other\n"};
  for (size_t i = 0; i < 5; i++)
    for (size_t k = 0; k < 5; k++) {
      char first[200], expected[300];
      bool linked = k == 4, keeps = i == 1 && k == 1;
      snprintf(first, sizeof first, "d d\nf d/y : inside\nf o : other\n%s", olds[i]);
      snprintf(expected, sizeof expected, "d d\nf d/y : inside\nf o%s : other\n%s%s", linked ? " links=2" : "", made[k],
               keeps ? "f x/in : old\nd x/sub\n" : "");
      expect_tree(LAYERS(first, kinds[k]), expected);
    }
}

static void test_directory_metadata_is_updated(void **state) {
  expect_tree(LAYERS("d a mode=700\nf a/x : lower\n", "d a mode=1755\nf a/y : upper\n"),
              "d a mode=1755\nf a/x : lower\nf a/y : upper\n");
}

static void test_replaced_file_is_made_afresh(void **state) {
  expect_tree(LAYERS("f a : shared\nh b : a\n", "f a : mine\n"), "f a : mine\nf b : shared\n");
}

static void test_parents(void **state) {
  /* a link to a directory stays, whatever its form */
  expect_tree(LAYERS("d usr/lib\ns lib : usr/lib\ns abs : /usr\ns up : ../../usr\nf lib/a\nf abs/b\nf up/c\n"
                     "f lib/new/d\n"),
              "s abs : /usr\ns lib : usr/lib\ns up : ../../usr\nd usr\nf usr/b : \nf usr/c : \nd usr/lib\n"
              "f usr/lib/a : \nd usr/lib/new\nf usr/lib/new/d : \n");
  /* everything else in the way is replaced */
  expect_tree(LAYERS("f a : file\ns b : nowhere\ns c : c\ns d : a\np e\ns f : nowhere/../g\nd g\n",
                     "f a/x\nf b/x\nf c/x\nf d/x\nf e/x\nf f/x\n"),
              "d a\nf a/x : \nd b\nf b/x : \nd c\nf c/x : \ns d : a\nd e\nf e/x : \nd f\nf f/x : \nd g\n");
  /* links on the way through links */
  expect_tree(LAYERS("d real/dir\ns one : real\ns two : one/./dir/../dir//\ns real/back : ../two\nf one/back/x\n"),
              "s one : real\nd real\ns real/back : ../two\nd real/dir\nf real/dir/x : \ns two : one/./dir/../dir//\n");
  /* ".." after a link means the parent of its target */
  expect_tree(LAYERS("d usr/lib\nd usr/bin\nd bin\ns lib : usr/lib\ns way : lib/../bin\nf lib/l\nf way/x\n"),
              "d bin\ns lib : usr/lib\nd usr\nd usr/bin\nf usr/bin/x : \nd usr/lib\nf usr/lib/l : \n"
              "s way : lib/../bin\n");
}

static void test_link_limit(void **state) {
  ims_buf layer;
  ims_buf_init(&layer, &ims_alloc_default, 1 << 20);
  ims_buf_puts(&layer, "d l0\n");
  for (int i = 1; i <= 41; i++)
    ims_buf_printf(&layer, "s l%d : l%d\n", i, i - 1);
  ims_buf_puts(&layer, "f l40/followed\nf l41/replaced\n");
  for (int walk = 0; walk < 2; walk++) {
    scratch s;
    scratch_open(&s);
    if (walk)
      scratch_without_openat2(&s);
    assert_int_equal(scratch_apply(&s, LAYERS(ims_buf_text(&layer))), IMGSTORE_OK);
    char *list = scratch_list(&s, "root", false);
    assert_non_null(strstr(list, "f l0/followed"));
    assert_non_null(strstr(list, "d l41\nf l41/replaced"));
    free(list);
    scratch_close(&s);
  }
  ims_buf_free(&layer);
}

static void test_hard_links(void **state) {
  expect_tree(
      LAYERS("f a : x\ns s : a\nd d\ns e : d\nh d/b : a\nh c : /e/../e/b\nh t : s\n", "h a : a\nh ./d/b : /a\n"),
      "f a links=3 : x\nf c links=3 : x\nd d\nf d/b links=3 : x\ns e : d\ns s links=2 : a\ns t links=2 : a\n");
  expect_failure(LAYERS("h a : b\n"), IMGSTORE_EFORMAT, "entry \"a\": hard link to \"b\", which is not there");
  expect_failure(LAYERS("h a : x/y/b\n"), IMGSTORE_EFORMAT, "entry \"a\": hard link to \"x/y/b\", which is not there");
  expect_failure(LAYERS("h a : a\n"), IMGSTORE_EFORMAT, "entry \"a\": hard link to \"a\", which is not there");
  expect_failure(LAYERS("d d\nh a : d\n"), IMGSTORE_EFORMAT, "entry \"a\": hard link to \"d\", which is a directory");
  expect_failure(LAYERS("d d\nf x\nh x : d\n"), IMGSTORE_EFORMAT,
                 "entry \"x\": hard link to \"d\", which is a directory");
  expect_failure(LAYERS("h a : ../..\n"), IMGSTORE_EFORMAT, "entry \"a\": hard link to the root");
  expect_failure(LAYERS("d a\nf a/b\nh a : a/b\n"), IMGSTORE_EFORMAT,
                 "entry \"a\": hard link to \"a/b\", which is not there");
}

static void test_whiteouts(void **state) {
  expect_tree(LAYERS("f a\nd b\nf b/x\nd b/c\nf b/c/y\ns l : b\nf keep\n", "f .wh.a\nf .wh.b\nf .wh.l\nf .wh.none\n"
                                                                           "f no/.wh.x\n"),
              "f keep : \n");
  /* a whiteout of a link removes the link, not what it leads to */
  expect_tree(LAYERS("d b\nf b/x\ns l : b\n", "f .wh.l\n"), "d b\nf b/x : \n");
  /* through a link to a directory it means the directory */
  expect_tree(LAYERS("d b\nf b/x\nf b/y\ns l : b\n", "f l/.wh.x\n"), "d b\nf b/y : \ns l : b\n");
  /* nothing lies below the first layer */
  expect_tree(LAYERS("f a\nf .wh.a\nd d\nf d/x\nf d/.wh..wh..opq\n"), "f a : \nd d\nf d/x : \n");
  expect_tree(LAYERS("f a\n", "f .wh..wh.plnk/1.2 : x\nf .wh..wh.aufs\n"), "f a : \n");
}

static void test_whiteouts_in_any_order(void **state) {
  const char *lower = "d a mode=700\nf a/old\nd a/sub\nf a/sub/old\nd a/gone\nf a/gone/x\nf f : old\n";
  expect_tree(LAYERS(lower, "d a\nf a/new\nf a/sub/new\nf f : new\nf .wh.a\nf .wh.f\n"),
              "d a\nf a/new : \nd a/sub\nf a/sub/new : \nf f : new\n");
  expect_tree(LAYERS(lower, "f .wh.a\nf .wh.f\nd a\nf a/new\nf a/sub/new\nf f : new\n"),
              "d a\nf a/new : \nd a/sub\nf a/sub/new : \nf f : new\n");
  expect_tree(LAYERS(lower, "d a\nf a/new\nf a/sub/new\nf a/.wh..wh..opq\n"),
              "d a\nf a/new : \nd a/sub\nf a/sub/new : \nf f : old\n");
  expect_tree(LAYERS(lower, "f a/.wh..wh..opq\nd a\nf a/new\nf a/sub/new\n"),
              "d a\nf a/new : \nd a/sub\nf a/sub/new : \nf f : old\n");
  expect_tree(LAYERS(lower, "d a\nd a/empty\nf a/old : again\nf a/.wh.old\nf a/.wh..wh..opq\n"),
              "d a\nd a/empty\nf a/old : again\nf f : old\n");
  expect_tree(LAYERS(lower, "f .wh..wh..opq\nf f : new\n"), "f f : new\n");
  /* what a layer made through a link counts at its real place */
  expect_tree(LAYERS("d usr/lib\ns lib : usr/lib\nf usr/lib/old\n", "f lib/new\nf usr/.wh.lib\n"),
              "s lib : usr/lib\nd usr\nd usr/lib\nf usr/lib/new : \n");
  /* a new name of a lower file is new, its old name is not */
  expect_tree(LAYERS("f old : x\n", "h new : old\nf .wh.old\nf .wh.new\n"), "f new : x\n");
  /* only the current layer counts */
  expect_tree(LAYERS("d a\n", "f a/x\n", "f .wh.a\n"), "");
}

static void test_whiteouts_that_are_refused(void **state) {
  static const char *const bad[] = {"f .wh.\n", "f .wh..\n", "f .wh...\n", "f a/.wh.\n", "f a/.wh...\n"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    for (int layers = 0; layers < 2; layers++) {
      scratch s;
      scratch_open(&s);
      assert_int_equal(scratch_apply(&s, layers ? LAYERS("d a\n", bad[i]) : LAYERS(bad[i])), IMGSTORE_EFORMAT);
      assert_memory_equal(s.err.message, "entry \"", 7);
      scratch_close(&s);
    }
}

static void test_root(void **state) {
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS("d ./ mode=1750 mtime=12\nf x\n")), IMGSTORE_OK);
  struct stat st;
  assert_int_equal(fstatat(s.fd, "root", &st, 0), 0);
  assert_int_equal(st.st_mode & 07777, 01750);
  assert_int_equal(st.st_mtim.tv_sec, 12);
  scratch_close(&s);
  expect_failure(LAYERS("s ./ : /etc\n"), IMGSTORE_EFORMAT, "entry \"./\": the root must be a directory");
  expect_failure(LAYERS("f .. : x\n"), IMGSTORE_EFORMAT, "entry \"..\": the root must be a directory");
  expect_failure(LAYERS("h / : x\n"), IMGSTORE_EFORMAT, "entry \"/\": the root must be a directory");
}

static void test_pieces(void **state) {
  static const size_t chunks[] = {1, 7, 511, 512, 513, 4096};
  const char *layer = "d a\nf a/x : hello world\nf b mode=600 mtime=4.5\ns l : a\nf a/y xattr.user.k=v\n";
  for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
    scratch s;
    scratch_open(&s);
    s.chunk = chunks[i];
    assert_int_equal(scratch_apply(&s, LAYERS(layer)), IMGSTORE_OK);
    scratch_expect(&s, "d a\nf a/x : hello world\nf a/y user.k=v : \nf b mode=0600 : \ns l : a\n");
    scratch_close(&s);
  }
}

static void test_xattrs(void **state) {
  scratch s;
  scratch_open(&s);
  const char *const *layers = LAYERS("f a xattr.user.x=1 xattr.user.overlay.opaque=y xattr.trusted.overlay.redirect=/ "
                                     "xattr.security.selinux=s\nd d xattr.user.overlay.overlay.whiteout=y\n");
  assert_int_equal(scratch_apply(&s, layers), IMGSTORE_OK);
  scratch_expect(&s, "f a user.x=1 : \nd d\n");
  scratch_expect_report(&s, "a: attribute user.overlay.opaque dropped: overlay metadata\n"
                            "a: attribute trusted.overlay.redirect dropped: overlay metadata\n"
                            "a: attribute security.selinux dropped: not a kind that is unpacked\n"
                            "d: attribute user.overlay.overlay.whiteout dropped: overlay metadata\n");
  scratch_again(&s);
  s.options.flags = IMGSTORE_UNPACK_STRICT_XATTRS;
  assert_int_equal(scratch_apply(&s, layers), IMGSTORE_EUNSUPPORTED);
  assert_string_equal(s.err.message, "entry \"a\": attribute user.overlay.opaque is refused: overlay metadata");
  scratch_again(&s);
  /* the system has no user attributes on links */
  s.options.xattr_policy = IMGSTORE_POLICY_SKIP;
  assert_int_equal(scratch_apply(&s, LAYERS("s l xattr.user.x=1 : t\n")), IMGSTORE_OK);
  scratch_expect_report(&s, "l: attribute user.x not set: Operation not permitted\n");
  s.options.xattr_policy = IMGSTORE_POLICY_ERROR;
  assert_int_equal(scratch_apply(&s, LAYERS("s l xattr.user.x=1 : t\n")), IMGSTORE_EACCESS);
  scratch_close(&s);
}

/* rw for user 0x0102, mask rwx */
#define ACL "0200000001000600ffffffff020006000201000004000400ffffffff10000700ffffffff20000400ffffffff"

static void test_acls(void **state) {
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS("d d hex.system.posix_acl_default=" ACL "\nf d/x\nd d/e mode=700\n"
                                            "f d/e/y mode=4711\np d/p mode=640\nf d/implied/z\n"
                                            "f a mode=674 hex.system.posix_acl_access=" ACL "\n")),
                   IMGSTORE_OK);
  char *list = scratch_list(&s, "root", false);
  /* what the entries say and nothing that was inherited */
  assert_non_null(strstr(list, "f a mode=0674 system.posix_acl_access="));
  char *inherited = strstr(list, "d d/e");
  assert_string_equal(inherited, "d d/e mode=0700\nf d/e/y mode=4711 : \nd d/implied\nf d/implied/z : \n"
                                 "p d/p mode=0640\nf d/x : \n");
  free(list);
  scratch_close(&s);
}

static void test_id_maps(void **state) {
  if (geteuid())
    skip();
  const imgstore_id_map uids[] = {{0, 1000, 1}, {1, 100000, 10}}, gids[] = {{0, 2000, 5}};
  scratch s;
  scratch_open(&s);
  s.options.uid_map = uids;
  s.options.uid_map_count = 2;
  s.options.gid_map = gids;
  s.options.gid_map_count = 1;
  assert_int_equal(scratch_apply(&s, LAYERS("f a\nf b uid=10 gid=4\ns l uid=1 : x\nf d/x mode=4755 uid=2\n")),
                   IMGSTORE_OK);
  scratch_expect(&s, "f a owner=1000:2000 : \nf b owner=100009:2004 : \nd d owner=1000:2000\n"
                     "f d/x mode=4755 owner=100001:2000 : \ns l owner=100000:2000 : x\n");
  assert_int_equal(scratch_apply(&s, LAYERS("f c uid=11\n")), IMGSTORE_EINVALID);
  assert_string_equal(s.err.message, "entry \"c\": user id 11 is not in the id map");
  assert_int_equal(scratch_apply(&s, LAYERS("f c gid=5\n")), IMGSTORE_EINVALID);
  assert_int_equal(scratch_apply(&s, LAYERS("f c uid=4294967295\n")), IMGSTORE_EFORMAT);
  assert_string_equal(s.err.message, "entry \"c\": user id 4294967295 is out of range");
  scratch_close(&s);
}

static void test_devices(void **state) {
  if (geteuid())
    skip();
  scratch s;
  scratch_open(&s);
  assert_int_equal(scratch_apply(&s, LAYERS("c null mode=666 major=1 minor=3\nb disk mode=2660 major=8 minor=1 gid=6\n"
                                            "c hidden\nf hidden2\n",
                                            "c hidden2\n")),
                   IMGSTORE_OK);
  scratch_expect(&s, "b disk mode=2660 owner=0:6 8:1\nf hidden2 : \nc null mode=0666 1:3\n");
  scratch_expect_report(&s, "hidden: device 0:0 not created: it is overlay metadata\n"
                            "hidden2: device 0:0 not created: it is overlay metadata\n");
  scratch_close(&s);
}

static void test_owners(void **state) {
  if (geteuid())
    skip();
  expect_tree(LAYERS("d d uid=5 gid=6 mode=2755\nf d/x gid=6\nf d/y\nf d/z uid=7 gid=8 mode=6755\ns d/l : q\n"
                     "d d/e gid=6\n"),
              "d d mode=2755 owner=5:6\nd d/e owner=0:6\ns d/l : q\nf d/x owner=0:6 : \nf d/y : \n"
              "f d/z mode=6755 owner=7:8 : \n");
}

static void test_sparse(void **state) {
  scratch s;
  scratch_open(&s);
  tar_fixture f;
  ims_error err = IMS_ERROR_INIT;
  fixture_init(&f);
  fixture_pax(&f, 'x', "GNU.sparse.major", "1", "GNU.sparse.minor", "0", "GNU.sparse.name", "big",
              "GNU.sparse.realsize", "10485760", NULL);
  char data[1024] = "2\n0\n3\n5242880\n4\n";
  memcpy(data + 512, "abcdefg", 7);
  fixture_file(&f, '0', "x", data, 519);
  fixture_end(&f);
  ims_apply *a;
  assert_int_equal(ims_apply_new(&a, s.core, s.root, &s.options, NULL, &err), IMGSTORE_OK);
  assert_int_equal(ims_apply_begin_layer(a, &err), IMGSTORE_OK);
  assert_int_equal(ims_apply_feed(a, (const uint8_t *)f.bytes.data, f.bytes.size, &err), IMGSTORE_OK);
  assert_int_equal(ims_apply_end_layer(a, &err), IMGSTORE_OK);
  assert_int_equal(ims_apply_finish(a, &err), IMGSTORE_OK);
  ims_apply_free(a);
  fixture_free(&f);
  struct stat st;
  char read_back[4];
  assert_int_equal(fstatat(s.fd, "root/big", &st, 0), 0);
  assert_int_equal(st.st_size, 10485760);
  assert_true(st.st_blocks < 100);
  int fd = openat(s.fd, "root/big", O_RDONLY | O_CLOEXEC);
  assert_int_equal(pread(fd, read_back, 4, 5242880), 4);
  assert_memory_equal(read_back, "defg", 4);
  assert_int_equal(pread(fd, read_back, 4, 0), 4);
  assert_memory_equal(read_back, "abc\0", 4);
  close(fd);
  scratch_close(&s);
}

static void test_created_set_on_disk(void **state) {
  scratch s;
  scratch_open(&s);
  ims_created_set set;
  ims_error err = IMS_ERROR_INIT;
  ims_created_init(&set, &ims_alloc_default, &s.sys, s.root, 64);
  for (int round = 0; round < 2; round++) {
    for (uint64_t i = 1; i < 1000; i++)
      assert_int_equal(ims_created_add(&set, i * 0x9e3779b97f4a7c15u, &err), IMGSTORE_OK);
    assert_true(set.tables > 10);
    for (uint64_t i = 1; i < 2000; i++) {
      bool has;
      assert_int_equal(ims_created_has(&set, i * 0x9e3779b97f4a7c15u, &has, &err), IMGSTORE_OK);
      assert_int_equal(has, i < 1000);
    }
    ims_created_clear(&set);
  }
  ims_created_free(&set);
  scratch_expect(&s, "");
  scratch_close(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_objects),
      cmocka_unit_test(test_modes_whatever_the_umask),
      cmocka_unit_test(test_times),
      cmocka_unit_test(test_many_directories),
      cmocka_unit_test(test_replacement),
      cmocka_unit_test(test_directory_metadata_is_updated),
      cmocka_unit_test(test_replaced_file_is_made_afresh),
      cmocka_unit_test(test_parents),
      cmocka_unit_test(test_link_limit),
      cmocka_unit_test(test_hard_links),
      cmocka_unit_test(test_whiteouts),
      cmocka_unit_test(test_whiteouts_in_any_order),
      cmocka_unit_test(test_whiteouts_that_are_refused),
      cmocka_unit_test(test_root),
      cmocka_unit_test(test_pieces),
      cmocka_unit_test(test_xattrs),
      cmocka_unit_test(test_acls),
      cmocka_unit_test(test_id_maps),
      cmocka_unit_test(test_devices),
      cmocka_unit_test(test_owners),
      cmocka_unit_test(test_sparse),
      cmocka_unit_test(test_created_set_on_disk),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
