/* tests/unit/test_reference.c - image names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "oci/reference.h"

#define HEX64 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define DIGEST "sha256:" HEX64

typedef struct expected {
  const char *text, *host, *repository, *tag, *digest, *familiar;
} expected;

static const expected good[] = {
    {"alpine", "docker.io", "library/alpine", "latest", NULL, "alpine:latest"},
    {"alpine:3.20", "docker.io", "library/alpine", "3.20", NULL, "alpine:3.20"},
    {"docker.io/alpine", "docker.io", "library/alpine", "latest", NULL, "alpine:latest"},
    {"index.docker.io/library/alpine", "docker.io", "library/alpine", "latest", NULL, "alpine:latest"},
    {"INDEX.docker.io/alpine:A", "docker.io", "library/alpine", "A", NULL, "alpine:A"},
    {"user/app", "docker.io", "user/app", "latest", NULL, "user/app:latest"},
    {"library/a/b", "docker.io", "library/a/b", "latest", NULL, "library/a/b:latest"},
    {"localhost/foo", "localhost", "foo", "latest", NULL, "localhost/foo:latest"},
    {"localhost", "docker.io", "library/localhost", "latest", NULL, "localhost:latest"},
    {"localhost:5000", "docker.io", "library/localhost", "5000", NULL, "localhost:5000"},
    {"localhost:5000/foo", "localhost:5000", "foo", "latest", NULL, "localhost:5000/foo:latest"},
    {"[::1]:5000/x", "[::1]:5000", "x", "latest", NULL, "[::1]:5000/x:latest"},
    {"[2001:db8::1]/x:y", "[2001:db8::1]", "x", "y", NULL, "[2001:db8::1]/x:y"},
    {"127.0.0.1:1/a/b/c", "127.0.0.1:1", "a/b/c", "latest", NULL, "127.0.0.1:1/a/b/c:latest"},
    {"Example.COM:65535/a", "Example.COM:65535", "a", "latest", NULL, "Example.COM:65535/a:latest"},
    {"a@" DIGEST, "docker.io", "library/a", NULL, DIGEST, "a@" DIGEST},
    {"h.io/a:t@" DIGEST, "h.io", "a", "t", DIGEST, "h.io/a:t@" DIGEST},
    {"a.b_c__d-e---f/g0:_x.y-z", "a.b_c__d-e---f", NULL, NULL, NULL, NULL},
    {"x/a.b_c__d-e---f/g0:_x.y-z", "docker.io", "x/a.b_c__d-e---f/g0", "_x.y-z", NULL, "x/a.b_c__d-e---f/g0:_x.y-z"},
    {"docker.io/localhost/foo", "docker.io", "localhost/foo", "latest", NULL, "docker.io/localhost/foo:latest"},
    {"docker.io/foo.bar/baz", "docker.io", "foo.bar/baz", "latest", NULL, "docker.io/foo.bar/baz:latest"},
    {"docker.io/" HEX64, "docker.io", "library/" HEX64, "latest", NULL, HEX64 ":latest"},
    {"docker.io:443/alpine", "docker.io:443", "alpine", "latest", NULL, "docker.io:443/alpine:latest"},
};

static void same(const char *a, const char *b) {
  if (a && b)
    assert_string_equal(a, b);
  else
    assert_true(!a && !b);
}

static void check_good(const expected *e) {
  imgstore_reference *r, *again;
  ims_error err = IMS_ERROR_INIT;
  int32_t rc = ims_reference_parse(&r, &ims_alloc_default, e->text, &err);
  if (!e->repository) {
    assert_int_equal(rc, IMGSTORE_EFORMAT);
    return;
  }
  if (rc != IMGSTORE_OK)
    fail_msg("%s: %s", e->text, err.message);
  same(imgstore_reference_host(r), e->host);
  same(imgstore_reference_repository(r), e->repository);
  same(imgstore_reference_tag(r), e->tag);
  same(imgstore_reference_digest(r), e->digest);
  same(imgstore_reference_familiar(r), e->familiar);
  char name[1024];
  snprintf(name, sizeof name, "%s/%s%s%s%s%s", e->host, e->repository, e->tag ? ":" : "", e->tag ? e->tag : "",
           e->digest ? "@" : "", e->digest ? e->digest : "");
  same(imgstore_reference_name(r), name);
  assert_int_equal(ims_reference_parse(&again, &ims_alloc_default, imgstore_reference_familiar(r), NULL), IMGSTORE_OK);
  same(imgstore_reference_name(again), name);
  imgstore_reference_unref(again);
  assert_ptr_equal(imgstore_reference_ref(r), r);
  imgstore_reference_unref(r);
  same(imgstore_reference_name(r), name);
  imgstore_reference_unref(r);
}

static void test_good(void **state) {
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    check_good(&good[i]);
}

static void test_bad(void **state) {
  static const char *const bad[] = {"",
                                    ":",
                                    "@",
                                    "/",
                                    "a/",
                                    "/a",
                                    "a//b",
                                    "Alpine",
                                    "user/App",
                                    "Foo/bar",
                                    "a:",
                                    "a:b:c",
                                    "a:.x",
                                    "a:-x",
                                    "a:b/c",
                                    "a@",
                                    "a@sha256",
                                    "a@sha256:x",
                                    "a b",
                                    "a\n",
                                    "-a",
                                    "a-",
                                    ".a",
                                    "a.",
                                    "a..b",
                                    "a___b",
                                    "a._b",
                                    "a_-b",
                                    "h.io/",
                                    "h.io",
                                    HEX64,
                                    ":tag",
                                    "h..io/a",
                                    ".h/a",
                                    "-h.io/a",
                                    "h-.io/a",
                                    "h_x.io/a",
                                    "h.io:/a",
                                    "h.io:0/a",
                                    "h.io:65536/a",
                                    "h.io:x/a",
                                    "h.io:1:2/a",
                                    "h.io:000001/a",
                                    "[::1/a",
                                    "[::1]x/a",
                                    "[]/a",
                                    "[::g]/a",
                                    "[::1]:/a",
                                    "[1.2.3.4]/a",
                                    "::1/a",
                                    "[::1]",
                                    "http://h.io/a",
                                    "a/../b",
                                    "../a",
                                    "h.io/../a",
                                    "a/./b",
                                    "a%2fb",
                                    "a\\b",
                                    "\xc3\xa9",
                                    "a:\xc3\xa9",
                                    "a@b@" DIGEST,
                                    "a@" DIGEST "x",
                                    "a@sha256:" HEX64 "/..",
                                    "a?b",
                                    "a#b",
                                    "h.io/a:t@",
                                    "user@h.io/a",
                                    "[fe80::1%25eth0]/a",
                                    "h.io-/a",
                                    "library/"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    imgstore_reference *r;
    ims_error err = IMS_ERROR_INIT;
    int32_t rc = ims_reference_parse(&r, &ims_alloc_default, bad[i], &err);
    if (strcmp(bad[i], "h.io") == 0) { /* no slash: a Hub name */
      assert_int_equal(rc, IMGSTORE_OK);
      imgstore_reference_unref(r);
      continue;
    }
    if (rc != IMGSTORE_EFORMAT)
      fail_msg("accepted: %s", bad[i]);
    assert_null(r);
    assert_true(err.message[0]);
  }
  imgstore_reference *r;
  assert_int_equal(ims_reference_parse(&r, &ims_alloc_default, "a@sha384:" HEX64, NULL), IMGSTORE_EUNSUPPORTED);
}

static int32_t parse_long(const char *before, size_t count, const char *after) {
  char text[2048];
  size_t n = strlen(before);
  memcpy(text, before, n);
  memset(text + n, 'a', count);
  strcpy(text + n + count, after);
  imgstore_reference *r;
  int32_t rc = ims_reference_parse(&r, &ims_alloc_default, text, NULL);
  imgstore_reference_unref(r);
  return rc;
}

static void test_lengths(void **state) {
  assert_int_equal(parse_long("h.io/", 250, ""), IMGSTORE_OK);
  assert_int_equal(parse_long("h.io/", 251, ""), IMGSTORE_EFORMAT);
  assert_int_equal(parse_long("", 237, ":t"), IMGSTORE_OK); /* docker.io/library/ */
  assert_int_equal(parse_long("", 238, ":t"), IMGSTORE_EFORMAT);
  assert_int_equal(parse_long("", 1500, ""), IMGSTORE_EFORMAT);
  assert_int_equal(parse_long("h.io/a:", 128, ""), IMGSTORE_OK);
  assert_int_equal(parse_long("h.io/a:", 129, ""), IMGSTORE_EFORMAT);
  assert_int_equal(parse_long("h.io/", 250, "@" DIGEST), IMGSTORE_OK);
  assert_int_equal(parse_long("h.", 300, "/a"), IMGSTORE_EFORMAT);
}

static void test_messages(void **state) {
  imgstore_reference *r;
  ims_error err = IMS_ERROR_INIT;
  ims_reference_parse(&r, &ims_alloc_default, "h.io/Foo:x", &err);
  assert_string_equal(err.message, "image name \"h.io/Foo:x\": repository \"Foo\": must be lower-case");
  ims_error_clear(&err);
  ims_reference_parse(&r, &ims_alloc_default, "h.io/a:x\033[2J", &err);
  assert_null(strchr(err.message, '\033'));
}

static void test_checks(void **state) {
  assert_int_equal(ims_host_check("", 0, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(ims_host_check("docker.io", 9, NULL), IMGSTORE_OK);
  assert_int_equal(ims_host_check("registry", 8, NULL), IMGSTORE_OK);
  assert_int_equal(ims_host_check("registry:5000/", 14, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(ims_host_check("a\0b", 3, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(ims_host_check("[::\0]", 5, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(ims_host_check("user@h.io", 9, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(ims_repository_check("a/b", 3, NULL), IMGSTORE_OK);
  assert_int_equal(ims_repository_check("", 0, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(ims_repository_check("a/", 2, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(ims_tag_check("", 0, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(ims_tag_check("v1.0", 4, NULL), IMGSTORE_OK);
}

static void test_null(void **state) {
  imgstore_reference_unref(NULL);
  assert_null(imgstore_reference_ref(NULL));
  assert_string_equal(imgstore_reference_name(NULL), "");
  assert_null(imgstore_reference_tag(NULL));
}

static void test_allocation_failures(void **state) {
  failing f = {0};
  for (size_t i = 0;; i++) {
    ims_alloc a = failing_alloc(&f, i);
    imgstore_reference *r;
    int32_t rc = ims_reference_parse(&r, &a, "h.io/user/app:tag@" DIGEST, NULL);
    assert_int_equal(rc, f.failed ? IMGSTORE_ENOMEM : IMGSTORE_OK);
    imgstore_reference_unref(r);
    assert_int_equal(f.live, 0);
    if (!f.failed)
      break;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_good),
                                     cmocka_unit_test(test_bad),
                                     cmocka_unit_test(test_lengths),
                                     cmocka_unit_test(test_messages),
                                     cmocka_unit_test(test_checks),
                                     cmocka_unit_test(test_null),
                                     cmocka_unit_test(test_allocation_failures)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
