/*
 * tests/unit/test_layer_stack.c - the test of truth of layer directories: mounted on each other they show exactly the
 * tree that applying the layers to one directory gives. On written cases and on many small random stacks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "stack_fixture.h"

static bool may_mount(scratch *s) {
  stack k = {.trusted = true};
  assert_int_equal(stack_apply(&k, s, LAYERS("f a\n", "f b\n"), false), IMGSTORE_OK);
  char *text = stack_list(&k, false);
  stack_free(&k);
  free(text);
  return text != NULL;
}

static bool has_hard_link(const char *const *layers) {
  for (size_t i = 1; layers[i]; i++)
    if (strncmp(layers[i], "h ", 2) == 0 || strstr(layers[i], "\nh "))
      return true;
  return false;
}

static void explain(const char *const *layers, const char *how, const char *expected, const char *found) {
  for (size_t i = 0; layers[i]; i++)
    print_error("layer %zu:\n%s", i, layers[i]);
  print_error("one directory:\n%s\n%s:\n%s\n", expected, how, found);
}

/* A hard link to a file of a layer below is a copy: the names of that file that this layer does not mention stay with
   the old one. So groups of names are compared only where there is none. */
static size_t check(scratch *s, const char *const *layers, bool trusted, bool ordered) {
  bool groups = !has_hard_link(layers);
  ims_error expected_err = IMS_ERROR_INIT;
  scratch_again(s);
  fchmodat(s->fd, "root", 0755, 0);
  int32_t expected = scratch_apply(s, layers);
  expected_err = s->err;
  stack k = {.trusted = trusted};
  int32_t rc = stack_apply(&k, s, layers, ordered);
  if (rc != expected) {
    explain(layers, ordered ? "ordered" : "apart", expected_err.message, s->err.message);
    fail_msg("results %d and %d", expected, rc);
  }
  char *merged = rc ? NULL : stack_list(&k, groups), *plain = rc ? NULL : stack_list_plain(s, "root", groups);
  if (!rc && strcmp(merged, plain) != 0) {
    explain(layers, ordered ? "ordered" : "apart", plain, merged);
    fail_msg("the trees differ");
  }
  uint64_t inodes = 0;
  for (size_t i = 0; i < k.count; i++)
    inodes += k.record[i].inodes;
  if (!rc)
    assert_true(inodes < 1000);
  free(merged);
  free(plain);
  size_t redone = k.redone;
  stack_free(&k);
  return redone;
}

static void check_all(scratch *s, const char *const *layers) {
  check(s, layers, true, false);
  check(s, layers, true, true);
  check(s, layers, false, false);
}

static void test_written(void **state) {
  static const char *const stacks[][5] = {
      {"d a mtime=5\nf a/x mtime=6 : one\n", "f a/y mtime=7 : two\n"},
      {"d a mode=700 uid=7 mtime=5\nf a/x mtime=6 : one\n", "f a/b/c/y mtime=7 : two\n"},
      {"d a mtime=5\nf a/x : one\n", "f a/.wh.x\n"},
      {"d a mtime=5\nd a/x mtime=3\nf a/x/y\n", "f a/.wh.x\nd a/x mtime=8\nf a/x/z\n"},
      {"d a mtime=5\nd a/x mode=711 mtime=3\nf a/x/y\n", "f a/.wh.x\nf a/x/z\n"},
      {"d a mtime=5\nd a/x mode=711 mtime=3\nf a/x/y\n", "f a/x/z\nf a/.wh.x\n"},
      {"d a mtime=5\nf a/x\nf a/y\n", "f a/y : new\nf a/.wh..wh..opq\n"},
      {"d a mtime=5\nf a/x\nf a/y\n", "f .wh..wh..opq\nf b\n", "f a/c\n"},
      {"s lib : usr/lib\nd usr/lib mtime=5\n", "f lib/foo mtime=8 : x\n"},
      {"s lib : usr/lib\nd usr/lib mtime=5\n", "d lib mtime=4\nf lib/foo mtime=8 : x\n"},
      {"s lib : usr/lib\nd usr/lib mtime=5\n", "f lib/foo mtime=8 : x\nd lib mtime=9\n"},
      {"s lib : usr/lib\nd usr/lib mtime=5\nf usr/lib/foo\n", "f lib/.wh.foo\n"},
      {"s lib : nowhere\n", "f lib/foo mtime=8 : x\n"},
      {"f a : old\nf b : old\n", "h c : a\nf .wh.a\n"},
      {"f a mode=4755 uid=3 mtime=9 xattr.user.k=v : old\n", "h d/c : a\n"},
      {"d d mode=1777 mtime=2\nf d/a : old\n", "h c : d/a\n", "f d/.wh.a\nh e : c\n"},
      {"f a : old\n", "f .wh.a\nh c : a\n"},
      {"f a : old\n", "h c : b\n"},
      {"d a xattr.user.k=v mtime=3\n", "d a mode=700 mtime=4\n"},
      {"d a xattr.user.k=v mtime=3\n", "d a mode=700 xattr.user.l=w mtime=4\nf .wh.a\n", "d a mode=755 mtime=9\n"},
      {"d . mode=711 xattr.user.k=v mtime=3\nf a\n", "d . mode=700 mtime=4\nf b\n", "f c\n"},
      {"d . mode=711 uid=4 mtime=3\nf a\n", "f b\n"},
      {"f p\n", "f p/.wh.x\n"},
      {"f q\n", "f p/.wh.x\nf p/d/.wh..wh..opq\n"},
      {"f q\n", "f p/.wh.x\nf p/y\n"},
      {"d p mtime=3\nf p/x\n", "f p : file\n", "f p/x/y\n"},
      {"d p mtime=3\nf p/x\n", "f p : file\nd p mtime=4\n", "f p/z\n"},
      {"d p mtime=3\nd p/x mtime=2\nf p/x/y\n", "f .wh.p\n", "f p/x/z\n"},
      {"d p mtime=3\nd p/x mtime=2\nf p/x/y\n", "f p/.wh..wh..opq\n", "f p/x/.wh.y\nd p/q mtime=3\n"},
      {"d p mtime=3\ns p/l : /\nf t\n", "f p/l/.wh.t\n"},
      {"s p : .\nf t\n", "f p/p/p/t mtime=3 : x\n"},
      {"s a : b\ns b : a\n", "f a/x\n"},
      {"d a\nf a/b\n", "f a/b/c\nf a/b/.wh.c\n"},
      {"d d hex.system.posix_acl_default=02000000010007ffffffffff04000500ffffffff20000500ffffffff mtime=3\n",
       "f d/x\nd d/e mtime=2\n", "d d mode=700 mtime=5\n"},
      {"d d "
       "hex.system.posix_acl_access="
       "0200000001000700ffffffff0200070009000000040005000ffffffff10000700ffffffff20000500ffffffff\n"
       "f x\n",
       "d d mode=750 mtime=5\n"},
      {"c dev major=1 minor=3\np fifo\n", "h dev2 : dev\nh fifo2 : fifo\n"},
      {"s l : x mtime=3\n", "h m : l\n"},
  };
  scratch *s = *state;
  for (size_t i = 0; i < sizeof stacks / sizeof stacks[0]; i++)
    check_all(s, stacks[i]);
}

/* --- random stacks -------------------------------------------------------------------------------------------------
 */

static uint64_t draw_state;

static unsigned draw(unsigned below) {
  draw_state = draw_state * 6364136223846793005u + 1442695040888963407u;
  return (unsigned)(draw_state >> 33) % below;
}

static void draw_path(ims_buf *out, const char *prefix) {
  unsigned depth = draw(3) + 1;
  for (unsigned i = 0; i < depth; i++)
    ims_buf_printf(out, "%s%s%c", i ? "/" : "", i + 1 == depth ? prefix : "", 'a' + (int)draw(3));
}

static void draw_entry(ims_buf *out) {
  static const char *const targets[] = {"a", "b", "c", "b/a", "../a", "/b", ".", "..", "/", "a/b/c", "./c"};
  unsigned kind = draw(20);
  if (kind < 6) {
    ims_buf_puts(out, "d ");
    draw_path(out, "");
  } else if (kind < 12) {
    ims_buf_puts(out, "f ");
    draw_path(out, "");
  } else if (kind < 15) {
    ims_buf_puts(out, "f ");
    draw_path(out, ".wh.");
    ims_buf_putc(out, '\n');
    return;
  } else if (kind < 16) {
    ims_buf_puts(out, "f ");
    draw_path(out, "");
    ims_buf_puts(out, "/.wh..wh..opq\n");
    return;
  } else if (kind < 18) {
    ims_buf_puts(out, "s ");
    draw_path(out, "");
  } else {
    ims_buf_puts(out, "h ");
    draw_path(out, "");
    ims_buf_puts(out, " : ");
    draw_path(out, "");
    ims_buf_putc(out, '\n');
    return;
  }
  ims_buf_printf(out, " mtime=%u", draw(1000) + 1);
  if (kind < 12 && !draw(4))
    ims_buf_printf(out, " mode=%o", 0700 | draw(077));
  if (!draw(4))
    ims_buf_printf(out, " uid=%u", draw(5));
  if (kind < 12 && !draw(12))
    ims_buf_printf(out, " xattr.user.%c=%u", 'k' + (int)draw(2), draw(9));
  if (kind >= 16)
    ims_buf_printf(out, " : %s", targets[draw(sizeof targets / sizeof targets[0])]);
  else if (kind >= 6)
    ims_buf_printf(out, " : %u", draw(1000));
  ims_buf_putc(out, '\n');
}

static void random_stack(scratch *s, uint64_t seed, size_t *redone, size_t *count) {
  ims_buf text[STACK_MAX];
  const char *layers[STACK_MAX + 1] = {NULL};
  draw_state = seed * 0x9e3779b97f4a7c15u + 1;
  draw(2);
  size_t layer_count = draw(3) + 2;
  for (size_t i = 0; i < layer_count; i++) {
    ims_buf_init(&text[i], &ims_alloc_default, 1 << 20);
    for (unsigned n = draw(7) + 1; n; n--)
      draw_entry(&text[i]);
    layers[i] = ims_buf_text(&text[i]);
  }
  *redone += check(s, layers, seed % 4 != 0, false);
  *count += layer_count;
  if (seed % 3 == 0)
    check(s, layers, seed % 4 != 0, true);
  for (size_t i = 0; i < layer_count; i++)
    ims_buf_free(&text[i]);
}

static void test_random(void **state) {
  scratch *s = *state;
  const char *asked = getenv("TEST_STACKS"), *from = getenv("TEST_SEED");
  uint64_t first = from ? strtoull(from, NULL, 10) : 1, many = asked ? strtoull(asked, NULL, 10) : 300;
  size_t redone = 0, count = 0;
  for (uint64_t seed = first; seed < first + many; seed++) {
    if (seed % 100 == 0)
      print_message("seed %llu\n", (unsigned long long)seed);
    random_stack(s, seed, &redone, &count);
  }
  print_message("%zu of %zu layers applied again\n", redone, count);
  assert_true(redone < count);
}

static int set_up(void **state) {
  static scratch s;
  scratch_open(&s);
  *state = &s;
  return 0;
}

static int tear_down(void **state) {
  scratch_close(*state);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_written),
      cmocka_unit_test(test_random),
  };
  scratch s;
  scratch_open(&s);
  bool mounts = geteuid() == 0 && may_mount(&s);
  scratch_close(&s);
  if (!mounts) {
    print_message("skipped: this process may not mount overlays\n");
    return 77;
  }
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
