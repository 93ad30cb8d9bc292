/*
 * tests/unit/test_merged_tree.c - the merged names of layers: cases by hand, and many small images made at random, for
 * each of which the tree must say what applying the layers to a directory gives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apply_fixture.h"
#include "engine/merged_tree.h"
#include "engine/squash_plan.h"
#include "failing_alloc.h"
#include "tar/whiteout.h"

static int32_t add_entry(ims_merged_tree *tree, const ims_tar_entry *entry, uint64_t number, ims_error *err) {
  char path[512];
  int kind;
  int32_t rc = ims_layer_path(entry->path, path, &kind, err);
  if (rc || kind == IMS_WHITEOUT_IGNORE)
    return rc;
  return ims_merged_tree_add(tree, path, kind, entry, number, err);
}

static int32_t add_layer(ims_merged_tree *tree, size_t i, const char *text, ims_error *err) {
  static const ims_tar_limits limits = {1000, 100};
  ims_tar_reader *reader;
  ims_tar_event event;
  ims_buf bytes;
  size_t used;
  int32_t rc = ims_tar_reader_new(&reader, &ims_alloc_default, &limits, err);
  layer_bytes(text, &bytes);
  ims_merged_tree_begin_layer(tree, i);
  uint64_t number = 0;
  for (size_t at = 0; !rc; at += used) {
    rc = ims_tar_reader_next(reader, (const uint8_t *)bytes.data + at, bytes.size - at, &used, &event, err);
    if (rc || event.type == IMS_TAR_MORE)
      break;
    if (event.type == IMS_TAR_ENTRY)
      rc = add_entry(tree, event.entry, number++, err);
  }
  ims_tar_reader_free(reader);
  ims_buf_free(&bytes);
  return rc;
}

static int32_t add_layers(ims_merged_tree *tree, const char *const *layers, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && layers[i]; i++)
    rc = add_layer(tree, i, layers[i], err);
  return rc;
}

static ims_merged_tree *tree_of(const char *const *layers) {
  ims_merged_tree *tree;
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(ims_merged_tree_new(&tree, &ims_alloc_default, &err), IMGSTORE_OK);
  if (add_layers(tree, layers, &err))
    fail_msg("%s", err.message);
  return tree;
}

/* path is the file that came as entry number in layer. */
static void expect_file(ims_merged_tree *tree, const char *path, size_t layer, uint64_t number) {
  ims_merged_file file;
  ims_error err = IMS_ERROR_INIT;
  if (ims_merged_tree_find(tree, path, &file, &err))
    fail_msg("%s: %s", path, err.message);
  assert_int_equal(file.layer, layer);
  assert_int_equal(file.entry, number);
}

static void expect_failure(ims_merged_tree *tree, const char *path, int32_t code) {
  ims_merged_file file;
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(ims_merged_tree_find(tree, path, &file, &err), code);
  assert_int_equal(err.code, code);
  assert_non_null(strstr(err.message, path));
}

/* --- by hand
 * ------------------------------------------------------------------------------------------------------------ */

static void test_links_are_followed_inside(void **state) {
  ims_merged_tree *tree = tree_of(LAYERS("f etc/real : x\n"
                                         "s etc/name : real\n"
                                         "s abs : /etc/name\n"
                                         "s up : ../../../../etc/./real\n"
                                         "s dir : etc\n"
                                         "s loop : loop\n"
                                         "s nowhere : missing\n"
                                         "s into : etc/real/x\n"));
  expect_file(tree, "etc/name", 0, 0);
  expect_file(tree, "/abs", 0, 0);
  expect_file(tree, "up", 0, 0);
  expect_file(tree, "dir/name", 0, 0);
  expect_file(tree, "dir/../dir//./real", 0, 0);
  expect_file(tree, "../../etc/real", 0, 0);
  expect_failure(tree, "loop", IMGSTORE_ELIMIT);
  expect_failure(tree, "loop/x", IMGSTORE_ELIMIT);
  expect_failure(tree, "nowhere", IMGSTORE_ENOTFOUND);
  expect_failure(tree, "into", IMGSTORE_ENOTFOUND);
  expect_failure(tree, "etc/real/..", IMGSTORE_ENOTFOUND);
  expect_failure(tree, "etc", IMGSTORE_EINVALID);
  expect_failure(tree, "/", IMGSTORE_EINVALID);
  ims_merged_tree_free(tree);
}

static void test_whiteouts(void **state) {
  ims_merged_tree *tree = tree_of(LAYERS("f a/one : x\nf a/two : x\nf b/one : x\nf c : x\nf .wh.c\n",
                                         "f a/.wh.one\nf b/new : x\nf b/.wh..wh..opq\n"));
  expect_failure(tree, "a/one", IMGSTORE_ENOTFOUND);
  expect_file(tree, "a/two", 0, 1);
  expect_failure(tree, "b/one", IMGSTORE_ENOTFOUND);
  expect_file(tree, "b/new", 1, 1);
  expect_file(tree, "c", 0, 3); /* hides lower content only */
  ims_merged_tree_free(tree);
}

/* A directory that stands between what the layer made and the whiteout has no entry of its own. */
static void test_same_layer_survives_below_directories_without_entry(void **state) {
  ims_merged_tree *tree = tree_of(LAYERS("f a/old : x\n", "f a/b/c/new : x\nf .wh.a\n"));
  expect_file(tree, "a/b/c/new", 1, 0);
  expect_failure(tree, "a/old", IMGSTORE_ENOTFOUND);
  ims_merged_tree_free(tree);
  tree = tree_of(LAYERS("f a/old : x\n", "f a/b/c/new : x\nf .wh..wh..opq\n"));
  expect_file(tree, "a/b/c/new", 1, 0);
  expect_failure(tree, "a/old", IMGSTORE_ENOTFOUND);
  ims_merged_tree_free(tree);
}

static void test_overlay_metadata_hides_nothing(void **state) {
  ims_merged_tree *tree = tree_of(LAYERS("f a : x\n", "c a major=0 minor=0\n"));
  expect_file(tree, "a", 0, 0);
  ims_merged_tree_free(tree);
}

static void test_links_that_lead_nowhere_become_directories(void **state) {
  ims_merged_tree *tree = tree_of(LAYERS("s a : missing/x\n", "f a/file : x\n"));
  expect_file(tree, "a/file", 1, 0);
  expect_failure(tree, "missing/x/file", IMGSTORE_ENOTFOUND);
  ims_merged_tree_free(tree);
}

/* --- at random
 * ---------------------------------------------------------------------------------------------------------- */

typedef struct dice {
  uint64_t state;
} dice;

static unsigned roll(dice *d, unsigned sides) {
  d->state = d->state * 6364136223846793005u + 1442695040888963407u;
  return (unsigned)(d->state >> 33) % sides;
}

static void random_path(dice *d, char *out, const char *prefix) {
  static const char *const names[] = {"a", "b", "c", "d"};
  unsigned depth = 1 + roll(d, 3);
  *out = '\0';
  for (unsigned i = 0; i < depth; i++) {
    if (i)
      strcat(out, "/");
    if (i + 1 == depth)
      strcat(out, prefix);
    strcat(out, names[roll(d, 4)]);
  }
}

static void random_target(dice *d, char *out) {
  static const char *const starts[] = {"", "/", "../", "../../", "./"};
  char path[64];
  random_path(d, path, "");
  snprintf(out, 96, "%s%s", starts[roll(d, 5)], path);
}

static void random_layer(dice *d, size_t layer, char *out) {
  unsigned entries = 1 + roll(d, 7);
  *out = '\0';
  for (unsigned i = 0; i < entries; i++) {
    char path[64], target[96], *end = out + strlen(out);
    unsigned kind = roll(d, 12);
    random_path(d, path, kind == 9 ? ".wh." : "");
    random_target(d, target);
    if (kind < 5)
      sprintf(end, "f %s : %zu:%u\n", path, layer, i);
    else if (kind < 7)
      sprintf(end, "d %s\n", path);
    else if (kind < 9)
      sprintf(end, "s %s : %s\n", path, target);
    else if (kind == 9)
      sprintf(end, "f %s\n", path);
    else if (kind == 10)
      sprintf(end, roll(d, 4) ? "f %s/.wh..wh..opq\n" : "f .wh..wh..opq\n", path);
    else
      sprintf(end, "h %s : %s\n", path, target + strspn(target, "./"));
  }
}

/* The content of root/path when it is a regular file and no part of the path is a link; *linked: one is. */
static bool read_plain(int root, const char *path, char *content, bool *linked) {
  char part[64];
  struct stat st;
  *linked = false;
  for (size_t i = 1; i <= strlen(path); i++) {
    if (path[i] && path[i] != '/')
      continue;
    snprintf(part, sizeof part, "%.*s", (int)i, path);
    if (fstatat(root, part, &st, AT_SYMLINK_NOFOLLOW))
      return false;
    if (S_ISLNK(st.st_mode)) {
      *linked = true;
      return false;
    }
  }
  if (!S_ISREG(st.st_mode))
    return false;
  int fd = openat(root, path, O_RDONLY | O_NOFOLLOW);
  ssize_t got = read(fd, content, 31);
  assert_true(got >= 0);
  content[got] = '\0';
  close(fd);
  return true;
}

static void compare_path(ims_merged_tree *tree, int root, const char *path, const char *story) {
  char on_disk[32], in_tree[32];
  bool linked;
  ims_merged_file file;
  ims_error err = IMS_ERROR_INIT;
  bool is_file = read_plain(root, path, on_disk, &linked);
  if (linked)
    return;
  int32_t rc = ims_merged_tree_find(tree, path, &file, &err);
  if (!rc)
    snprintf(in_tree, sizeof in_tree, "%zu:%u", file.layer, (unsigned)file.entry);
  else
    strcpy(in_tree, "none");
  if (strcmp(is_file ? on_disk : "none", in_tree) != 0)
    fail_msg("%s is %s, not %s, in\n%s", path, in_tree, is_file ? on_disk : "none", story);
}

static void compare(ims_merged_tree *tree, int root, const char *story) {
  for (unsigned i = 0; i < 4 + 16 + 64; i++) {
    char path[8];
    if (i < 4)
      snprintf(path, sizeof path, "%c", 'a' + i);
    else if (i < 20)
      snprintf(path, sizeof path, "%c/%c", 'a' + (i - 4) / 4, 'a' + (i - 4) % 4);
    else
      snprintf(path, sizeof path, "%c/%c/%c", 'a' + (i - 20) / 16, 'a' + (i - 20) / 4 % 4, 'a' + (i - 20) % 4);
    compare_path(tree, root, path, story);
  }
}

/* The last component of a whiteout or hard link may be anything; both sides must refuse the same images. */
static void test_random_images(void **state) {
  enum { IMAGES = 1000, LAYERS_MOST = 4 };
  scratch s;
  dice d = {.state = 20240229};
  int compared = 0;
  scratch_open(&s);
  for (int image = 0; image < IMAGES; image++) {
    static char text[LAYERS_MOST][2048], story[LAYERS_MOST * 2060];
    const char *layers[LAYERS_MOST + 1] = {NULL};
    size_t count = 1 + roll(&d, LAYERS_MOST);
    *story = '\0';
    for (size_t i = 0; i < count; i++) {
      random_layer(&d, i, text[i]);
      layers[i] = text[i];
      sprintf(story + strlen(story), "-- %d\n%s", image, text[i]);
    }
    ims_merged_tree *tree;
    ims_error err = IMS_ERROR_INIT;
    assert_int_equal(ims_merged_tree_new(&tree, &ims_alloc_default, NULL), IMGSTORE_OK);
    scratch_again(&s);
    int32_t applied = scratch_apply(&s, layers), merged = add_layers(tree, layers, &err);
    if (!applied != !merged)
      fail_msg("applied: %d %s; merged: %d %s; in\n%s", applied, s.err.message, merged, err.message, story);
    if (!applied) {
      compare(tree, s.root, story);
      compared++;
    }
    ims_error_clear(&s.err);
    ims_merged_tree_free(tree);
  }
  scratch_close(&s);
  assert_true(compared > IMAGES / 4);
}

static void test_out_of_memory(void **state) {
  const char *const *layers = LAYERS("f a/b : x\ns l : a\nh a/h : a/b\n", "f l/c : y\nf .wh.a\n");
  for (size_t fail_at = 0;; fail_at++) {
    failing f;
    ims_alloc alloc = failing_alloc(&f, fail_at);
    ims_merged_tree *tree;
    ims_merged_file file;
    ims_error err = IMS_ERROR_INIT;
    int32_t rc = ims_merged_tree_new(&tree, &alloc, &err);
    if (!rc)
      rc = add_layers(tree, layers, &err);
    if (!rc)
      rc = ims_merged_tree_find(tree, "l/c", &file, &err);
    ims_merged_tree_free(tree);
    assert_int_equal(f.live, 0);
    assert_int_equal(rc, f.failed ? IMGSTORE_ENOMEM : IMGSTORE_OK);
    if (!f.failed)
      break;
  }
}

/* Few bytes of a tar say that the same long target is there once more. */
static void test_names_and_links_are_bounded(void **state) {
  enum { LONG = 100 << 20 };
  ims_merged_tree *tree;
  ims_error err = IMS_ERROR_INIT;
  char *target = malloc(LONG + 1);
  memset(target, 'x', LONG);
  target[LONG] = '\0';
  assert_int_equal(ims_merged_tree_new(&tree, &ims_alloc_default, NULL), 0);
  ims_merged_tree_begin_layer(tree, 0);
  const ims_tar_entry link = {.type = IMS_TAR_SYMLINK, .path = "a", .linkpath = target};
  const ims_tar_entry again = {.type = IMS_TAR_HARDLINK, .path = "b", .linkpath = "a"};
  assert_int_equal(ims_merged_tree_add(tree, "a", IMS_WHITEOUT_NONE, &link, 0, &err), 0);
  assert_int_equal(ims_merged_tree_add(tree, "b", IMS_WHITEOUT_NONE, &again, 1, &err), 0);
  assert_int_equal(ims_merged_tree_add(tree, "c", IMS_WHITEOUT_NONE, &again, 2, &err), IMGSTORE_ELIMIT);
  assert_non_null(strstr(err.message, "names and links"));
  ims_merged_tree_free(tree);
  free(target);
}

/* Each file of a directory with a long path has that path in the plan. */
static void test_paths_of_a_plan_are_bounded(void **state) {
  enum { LONG = 100 << 20 };
  ims_merged_tree *tree;
  ims_squash_plan plan;
  ims_error err = IMS_ERROR_INIT;
  char *path = malloc(LONG + 3);
  memset(path, 'x', LONG);
  assert_int_equal(ims_merged_tree_new(&tree, &ims_alloc_default, NULL), 0);
  ims_merged_tree_begin_layer(tree, 0);
  for (int i = 0; i < 3; i++) {
    snprintf(path + LONG, 3, "/%c", 'a' + i);
    const ims_tar_entry file = {.type = IMS_TAR_REGULAR, .path = path, .linkpath = ""};
    assert_int_equal(ims_merged_tree_add(tree, path, IMS_WHITEOUT_NONE, &file, (uint64_t)i, NULL), 0);
  }
  assert_int_equal(ims_squash_plan_make(&plan, &ims_alloc_default, tree, NULL, 0, &err), IMGSTORE_ELIMIT);
  assert_non_null(strstr(err.message, "paths of the image's files"));
  ims_squash_plan_free(&plan);
  ims_merged_tree_free(tree);
  free(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_links_are_followed_inside),
      cmocka_unit_test(test_whiteouts),
      cmocka_unit_test(test_same_layer_survives_below_directories_without_entry),
      cmocka_unit_test(test_overlay_metadata_hides_nothing),
      cmocka_unit_test(test_links_that_lead_nowhere_become_directories),
      cmocka_unit_test(test_names_and_links_are_bounded),
      cmocka_unit_test(test_paths_of_a_plan_are_bounded),
      cmocka_unit_test(test_random_images),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
