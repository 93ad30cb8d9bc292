/*
 * test_layout_storage.c - the OCI image-layout directory: the rules of every storage, layouts of other tools, opening
 * what was half made, other processes, a full disk, and every system call failing once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage_conformance.h"
#include "store_fixture.h"

#define LAYOUT_1 "{\"imageLayoutVersion\":\"1.0.0\"}"
#define NAME "docker.io/library/alpine:3.20"
#define OTHER "registry.example/team/alpine:3.20"

typedef struct scratch {
  ims_core *core;
  char *path;
} scratch;

static int setup(void **state) {
  scratch *s = calloc(1, sizeof *s);
  s->core = fixture_core(NULL, NULL);
  s->path = fixture_directory();
  *state = s;
  return 0;
}

static int teardown(void **state) {
  scratch *s = *state;
  fixture_remove(s->path);
  ims_core_unref(s->core);
  free(s);
  return 0;
}

static imgstore_store *open_store(const scratch *s) {
  imgstore_store *store;
  ims_error err = IMS_ERROR_INIT;
  int32_t rc = fixture_open(s->core, s->path, 0, IMGSTORE_DURABILITY_BATCH, &store, &err);
  if (rc)
    fprintf(stderr, "%s\n", err.message);
  assert_int_equal(rc, 0);
  return store;
}

static int32_t try_open(const scratch *s, uint32_t flags) {
  imgstore_store *store;
  ims_error err = IMS_ERROR_INIT;
  int32_t rc = fixture_open(s->core, s->path, flags, IMGSTORE_DURABILITY_BATCH, &store, &err);
  assert_true(rc == 0 || strncmp(err.message, "store /", 7) == 0);
  ims_store_unref(store);
  return rc;
}

static void put_image(imgstore_store *store, const char *name) {
  fixture_image image;
  ims_error err = IMS_ERROR_INIT;
  fixture_image_init(&image, name);
  assert_int_equal(fixture_image_put(store, &image, name, &err), 0);
  assert_int_equal(ims_ref_set(store, name, NULL, &image.target, &err), 0);
}

/* --- conformance -----------------------------------------------------------------------------------------------------
 */

typedef struct maker {
  ims_core *core;
  const char *path;
  int next;
  int32_t durability;
} maker;

static int32_t make(void *data, imgstore_storage *storage) {
  maker *m = data;
  char path[4096];
  imgstore_store_options options = {sizeof options, 0, m->durability};
  snprintf(path, sizeof path, "%s/a/b/%d", m->path, m->next++);
  return ims_layout_storage_open(m->core, path, &options, storage, NULL);
}

static void broken(void *data, const char *rule, const char *what, int line) {
  (void)data;
  fprintf(stderr, "layout: %s: %s (line %d)\n", rule, what, line);
}

static void conforms(void **state) {
  scratch *s = *state;
  maker m = {s->core, s->path, 0, 0};
  storage_conformance suite = {&m, make, broken};
  for (m.durability = 0; m.durability <= IMGSTORE_DURABILITY_NONE; m.durability++)
    assert_int_equal(storage_conformance_run(&suite), 0);
}

/* --- opening
 * ---------------------------------------------------------------------------------------------------------- */

static mode_t mode_of(const scratch *s, const char *name) {
  struct stat st;
  assert_int_equal(lstat(fixture_path(s->path, name), &st), 0);
  return st.st_mode & 07777;
}

static void new_store_is_a_layout(void **state) {
  scratch *s = *state;
  imgstore_store *store = open_store(s);
  put_image(store, NAME);
  char *text = fixture_read(s->path, "oci-layout", NULL);
  assert_string_equal(text, LAYOUT_1);
  free(text);
  fixture_image image;
  fixture_image_init(&image, NAME);
  char blob[200];
  snprintf(blob, sizeof blob, "blobs/sha256/%s", ims_digest_hex(&image.config));
  assert_int_equal(mode_of(s, blob), 0644);
  assert_int_equal(mode_of(s, "index.json"), 0644);
  assert_int_equal(mode_of(s, ".imgstore"), 0700);
  ims_store_unref(store);
  store = open_store(s);
  assert_true(fixture_image_whole(store, NAME));
  ims_store_unref(store);
}

static void other_content_is_refused(void **state) {
  scratch *s = *state;
  fixture_write(s->path, "precious", "x", 1);
  assert_int_equal(try_open(s, 0), IMGSTORE_EFORMAT);
  assert_false(fixture_exists(s->path, ".imgstore"));
  assert_int_equal(unlink(fixture_path(s->path, "precious")), 0);
  fixture_write(s->path, "index.json", "{}", 2);
  assert_int_equal(try_open(s, 0), IMGSTORE_EFORMAT);
}

static void nothing_is_made_when_not_asked(void **state) {
  scratch *s = *state;
  assert_int_equal(try_open(s, IMGSTORE_STORE_NO_CREATE), IMGSTORE_ENOTFOUND);
  assert_int_equal(try_open(s, IMGSTORE_STORE_READ_ONLY), IMGSTORE_ENOTFOUND);
  assert_false(fixture_exists(s->path, ".imgstore"));
  imgstore_store *store;
  assert_int_equal(fixture_open(s->core, fixture_path(s->path, "x/y"), IMGSTORE_STORE_NO_CREATE, 0, &store, NULL),
                   IMGSTORE_ENOTFOUND);
  fixture_write(s->path, "file", "x", 1);
  assert_int_equal(fixture_open(s->core, fixture_path(s->path, "file"), 0, 0, &store, NULL), IMGSTORE_EFORMAT);
}

static void layout_files_are_checked(void **state) {
  scratch *s = *state;
  fixture_write(s->path, "index.json", "{\"schemaVersion\":2,\"manifests\":[]}", 34);
  static const struct {
    const char *text;
    int32_t rc;
  } cases[] = {{"{\"imageLayoutVersion\":\"2.0.0\"}", IMGSTORE_EUNSUPPORTED},
               {"{}", IMGSTORE_EFORMAT},
               {"", IMGSTORE_EFORMAT},
               {"{\"imageLayoutVersion\":1}", IMGSTORE_EFORMAT},
               {LAYOUT_1, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fixture_write(s->path, "oci-layout", cases[i].text, strlen(cases[i].text));
    assert_int_equal(try_open(s, IMGSTORE_STORE_READ_ONLY), cases[i].rc);
    assert_int_equal(try_open(s, IMGSTORE_STORE_NO_CREATE), cases[i].rc);
  }
  static const char *const bad[] = {"", "[]", "{\"manifests\":{}}", "{\"manifests\":[]", "\xff"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    fixture_write(s->path, "index.json", bad[i], strlen(bad[i]));
    assert_int_equal(try_open(s, 0), IMGSTORE_EFORMAT);
  }
  unlink(fixture_path(s->path, "index.json"));
  assert_int_equal(try_open(s, 0), IMGSTORE_ECORRUPT);
}

/** From every prefix of the order in which a store is made. */
static void half_made_stores_are_completed(void **state) {
  scratch *s = *state;
  static const char *const steps[] = {".imgstore",          ".imgstore/locks", ".imgstore/ingest",
                                      ".imgstore/leases",   ".imgstore/trash", ".imgstore/quarantine",
                                      ".imgstore/verified", "blobs",           "blobs/sha256"};
  for (size_t n = 0; n <= sizeof steps / sizeof *steps; n++) {
    char sub[64];
    snprintf(sub, sizeof sub, "%zu", n);
    scratch one = {s->core, strdup(fixture_path(s->path, sub))};
    mkdir(one.path, 0755);
    for (size_t i = 0; i < n; i++)
      mkdir(fixture_path(one.path, steps[i]), 0700);
    if (n > 1)
      fixture_write(one.path, ".imgstore/new", "{\"imageLayo", 11);
    imgstore_store *store = open_store(&one);
    put_image(store, NAME);
    assert_true(fixture_image_whole(store, NAME));
    ims_store_unref(store);
    free(one.path);
  }
}

static void two_processes_make_one_store(void **state) {
  scratch *s = *state;
  for (int round = 0; round < 8; round++) {
    char sub[32];
    snprintf(sub, sizeof sub, "r%d/deep/er", round);
    for (int i = 0; i < 6; i++)
      if (fork() == 0) {
        imgstore_store *store;
        int32_t rc = fixture_open(s->core, fixture_path(s->path, sub), 0, IMGSTORE_DURABILITY_NONE, &store, NULL);
        _exit(rc == 0 ? 0 : 1);
      }
    for (int i = 0; i < 6; i++) {
      int status = 1;
      wait(&status);
      assert_int_equal(status, 0);
    }
  }
}

/* --- layouts of other tools
 * ---------------------------------------------------------------------------------------------- */

#define FOREIGN_INDEX                                                                                                  \
  "{\n  \"schemaVersion\": 2, \"manifests\": [\n {\"mediaType\":\"application/x\",\"digest\":\"sha256:"                \
  "1111111111111111111111111111111111111111111111111111111111111111\",\"size\":3,\"annotations\":{\"org."              \
  "opencontainers."                                                                                                    \
  "image.ref.name\":\"3.20\"},\"x-odd\":[1,1.50,null]},"                                                               \
  "{\"mediaType\":\"application/x\",\"digest\":\"sha256:"                                                              \
  "2222222222222222222222222222222222222222222222222222222222222222\",\"size\":3}], \"annotations\":{\"a\":\"b\"}}"

static void make_foreign(const scratch *s) {
  fixture_write(s->path, "oci-layout", LAYOUT_1, strlen(LAYOUT_1));
  fixture_write(s->path, "index.json", FOREIGN_INDEX, strlen(FOREIGN_INDEX));
}

static void foreign_entries_are_kept(void **state) {
  scratch *s = *state;
  ims_target target;
  make_foreign(s);
  imgstore_store *store = open_store(s);
  assert_int_equal(ims_ref_get(store, "3.20", &target, NULL), 0);
  assert_int_equal(
      ims_ref_get(store, "sha256:2222222222222222222222222222222222222222222222222222222222222222", &target, NULL), 0);
  put_image(store, NAME);
  assert_int_equal(ims_ref_remove(store, NAME, NULL, NULL), 0);
  put_image(store, NAME);
  char *text = fixture_read(s->path, "index.json", NULL);
  assert_non_null(strstr(text, "\"x-odd\":[1,1.50,null]"));
  assert_non_null(strstr(text, "\"annotations\":{\"a\":\"b\"}"));
  /* The tag is taken by somebody else's entry. */
  assert_non_null(strstr(text, "\"org.opencontainers.image.ref.name\":\"" NAME "\""));
  free(text);
  assert_int_equal(ims_ref_get(store, "3.20", &target, NULL), 0);
  assert_int_equal(target.digest.text[7], '1');
  ims_store_unref(store);
}

static void reader_changes_nothing(void **state) {
  scratch *s = *state;
  ims_target target;
  imgstore_store *store;
  ims_error err = IMS_ERROR_INIT;
  make_foreign(s);
  assert_int_equal(fixture_open(s->core, s->path, IMGSTORE_STORE_READ_ONLY, 0, &store, &err), 0);
  assert_int_equal(ims_ref_get(store, "3.20", &target, &err), 0);
  assert_int_equal(ims_ref_remove(store, "3.20", NULL, NULL), IMGSTORE_EACCESS);
  assert_int_equal(ims_blob_save(store, &target.digest, "x", 1, NULL), IMGSTORE_EACCESS);
  ims_lease lease;
  assert_int_equal(ims_lease_open(&lease, store, &err), 0);
  assert_int_equal(ims_lease_add(&lease, &target.digest, &err), 0);
  ims_lease_close(&lease);
  assert_int_equal(ims_store_barrier(store, &err), 0);
  ims_store_unref(store);
  assert_false(fixture_exists(s->path, ".imgstore"));
  assert_false(fixture_exists(s->path, "blobs"));
}

static void names_for_other_tools(void **state) {
  scratch *s = *state;
  imgstore_store *store = open_store(s);
  put_image(store, NAME);
  char *text = fixture_read(s->path, "index.json", NULL);
  assert_non_null(strstr(text, "\"org.opencontainers.image.ref.name\":\"3.20\""));
  assert_non_null(strstr(text, "\"io.containerd.image.name\":\"" NAME "\""));
  free(text);
  put_image(store, OTHER);
  put_image(store, OTHER);
  put_image(store, NAME);
  text = fixture_read(s->path, "index.json", NULL);
  const char *first = strstr(text, "\"org.opencontainers.image.ref.name\":\"3.20\"");
  assert_non_null(first);
  assert_null(strstr(first + 1, "\"org.opencontainers.image.ref.name\":\"3.20\""));
  assert_non_null(strstr(text, "\"org.opencontainers.image.ref.name\":\"" OTHER "\""));
  free(text);
  ims_store_unref(store);
}

/* --- blobs that are not what they should be
 * ------------------------------------------------------------------------------ */

static const char *blob_path(const scratch *s, const ims_digest *digest) {
  char name[200];
  snprintf(name, sizeof name, "blobs/sha256/%s", ims_digest_hex(digest));
  return fixture_path(s->path, name);
}

static void damaged_blobs_do_not_count(void **state) {
  scratch *s = *state;
  imgstore_store *store = open_store(s);
  ims_digest digest;
  bool present;
  struct stat before;
  ims_digest_of(&digest, IMS_HASH_SHA256, "content", 7);
  assert_int_equal(ims_blob_save(store, &digest, "content", 7, NULL), 0);
  assert_int_equal(stat(blob_path(s, &digest), &before), 0);
  int fd = open(blob_path(s, &digest), O_WRONLY);
  assert_int_equal(pwrite(fd, "C", 1, 0), 1);
  struct timespec times[2] = {before.st_atim, before.st_mtim};
  futimens(fd, times);
  close(fd);
  assert_int_equal(ims_blob_check(store, &digest, 7, &present, NULL), 0);
  assert_false(present);
  assert_false(fixture_exists(blob_path(s, &digest), "."));
  assert_int_equal(ims_blob_save(store, &digest, "content", 7, NULL), 0);
  assert_int_equal(ims_blob_check(store, &digest, 7, &present, NULL), 0);
  assert_true(present);
  ims_store_unref(store);
}

static void odd_files_are_replaced(void **state) {
  scratch *s = *state;
  imgstore_store *store = open_store(s);
  ims_digest digest;
  bool present;
  ims_digest_of(&digest, IMS_HASH_SHA256, "content", 7);
  for (int kind = 0; kind < 4; kind++) {
    const char *path = blob_path(s, &digest);
    if (kind == 0)
      assert_int_equal(mkdir(path, 0755), 0);
    else if (kind == 1)
      assert_int_equal(symlink("/etc/passwd", path), 0);
    else if (kind == 2)
      assert_int_equal(mkfifo(path, 0644), 0);
    else
      fixture_write("", path, "cont", 4);
    assert_int_equal(ims_blob_check(store, &digest, 7, &present, NULL), 0);
    assert_false(present);
    assert_int_equal(ims_blob_save(store, &digest, "content", 7, NULL), 0);
    assert_int_equal(ims_blob_check(store, &digest, 7, &present, NULL), 0);
    assert_true(present);
    assert_int_equal(store->storage.blob_delete(store->storage.user_data, digest.text), 0);
  }
  ims_store_unref(store);
}

/* --- other processes
 * ---------------------------------------------------------------------------------------------------- */

static void many_processes_tag_at_once(void **state) {
  if (getenv("UNDER_VALGRIND"))
    skip(); /* what a child leaves to the system on purpose counts as lost there */
  scratch *s = *state;
  enum { PROCESSES = 64 };
  imgstore_store *store = open_store(s);
  fixture_image image;
  ims_error err = IMS_ERROR_INIT;
  fixture_image_init(&image, "x");
  assert_int_equal(fixture_image_put(store, &image, "x", &err), 0);
  for (int i = 0; i < PROCESSES; i++)
    if (fork() == 0) {
      char name[64];
      imgstore_store *mine;
      snprintf(name, sizeof name, "h.example/r%d:t", i);
      int32_t rc = fixture_open(s->core, s->path, 0, IMGSTORE_DURABILITY_BATCH, &mine, NULL);
      rc = rc ? rc : ims_ref_set(mine, name, "", &image.target, NULL);
      _exit(rc ? 1 : 0);
    }
  for (int i = 0; i < PROCESSES; i++) {
    int status = 1;
    wait(&status);
    assert_int_equal(status, 0);
  }
  for (int i = 0; i < PROCESSES; i++) {
    char name[64];
    snprintf(name, sizeof name, "h.example/r%d:t", i);
    assert_true(fixture_image_whole(store, name));
  }
  ims_store_unref(store);
}

static void the_dead_hold_nothing(void **state) {
  scratch *s = *state;
  imgstore_store *store = open_store(s);
  ims_digest digest;
  int ready[2];
  char c;
  ims_digest_of(&digest, IMS_HASH_SHA256, "content", 7);
  assert_int_equal(pipe(ready), 0);
  pid_t child = fork();
  if (child == 0) {
    ims_ingest in;
    ims_lease lease;
    int32_t rc = ims_lease_open(&lease, store, NULL);
    rc = rc ? rc : ims_lease_add(&lease, &digest, NULL);
    rc = rc ? rc : ims_ingest_open(&in, store, &digest, 7, NULL);
    rc = rc ? rc : ims_ingest_write(&in, "con", 3, NULL);
    if (write(ready[1], rc ? "x" : "k", 1) != 1)
      _exit(1);
    pause();
    _exit(0);
  }
  assert_int_equal(read(ready[0], &c, 1), 1);
  assert_int_equal(c, 'k');
  ims_ingest in;
  assert_int_equal(ims_ingest_open(&in, store, &digest, 7, NULL), IMGSTORE_EBUSY);
  imgstore_report *report = ims_report_new(&s->core->alloc);
  assert_int_equal(ims_store_prune(store, report, NULL), 0);
  assert_int_equal(imgstore_report_count(report), 0);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  assert_int_equal(ims_ingest_open(&in, store, &digest, 7, NULL), 0);
  assert_int_equal(in.offset, 3);
  ims_ingest_close(&in, true);
  assert_int_equal(ims_store_prune(store, report, NULL), 0);
  assert_int_equal(imgstore_report_count(report), 1);
  assert_string_equal(imgstore_report_digest(report, 0), digest.text);
  assert_int_equal(ims_ingest_open(&in, store, &digest, 7, NULL), 0);
  assert_int_equal(in.offset, 0);
  ims_ingest_close(&in, false);
  imgstore_report_free(report);
  close(ready[0]);
  close(ready[1]);
  ims_store_unref(store);
}

/* --- a full disk
 * ---------------------------------------------------------------------------------------------------------- */

static void removing_works_on_a_full_disk(void **state) {
  scratch *s = *state;
  if (mount("none", s->path, "tmpfs", 0, "size=1m,mode=0755"))
    skip();
  imgstore_store *store = open_store(s);
  for (int i = 0; i < 8; i++) {
    char name[64];
    snprintf(name, sizeof name, "h.example/r%d:t", i);
    put_image(store, name);
  }
  ims_digest digest;
  static char filler[1 << 20];
  ims_digest_of(&digest, IMS_HASH_SHA256, filler, sizeof filler);
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(ims_blob_save(store, &digest, filler, sizeof filler, &err), IMGSTORE_ENOSPACE);
  int fd = open(fixture_path(s->path, ".imgstore/filler"), O_CREAT | O_WRONLY, 0600);
  while (write(fd, filler, 4096) > 0)
    ;
  close(fd);
  ims_error_clear(&err);
  fixture_image image;
  fixture_image_init(&image, "h.example/r9:t");
  assert_int_equal(ims_ref_set(store, "h.example/r9:t", NULL, &image.target, &err), IMGSTORE_ENOSPACE);
  for (int i = 0; i < 8; i++) {
    char name[64];
    snprintf(name, sizeof name, "h.example/r%d:t", i);
    assert_true(fixture_image_whole(store, name));
    ims_error_clear(&err);
    assert_int_equal(ims_store_remove(store, name, 0, NULL, &err), 0);
  }
  ims_store_unref(store);
  assert_int_equal(umount(s->path), 0);
}

/* That nothing can be written shows when it is opened, and reading needs nothing written. */
static void a_store_on_a_read_only_disk(void **state) {
  scratch *s = *state;
  if (mount("none", s->path, "tmpfs", 0, "size=1m,mode=0755"))
    skip();
  imgstore_store *store = open_store(s);
  put_image(store, "h.example/r:t");
  ims_store_unref(store);
  assert_int_equal(mount("none", s->path, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), 0);
  assert_int_equal(try_open(s, 0), IMGSTORE_EACCESS);
  assert_int_equal(fixture_open(s->core, s->path, IMGSTORE_STORE_READ_ONLY, IMGSTORE_DURABILITY_BATCH, &store, NULL),
                   0);
  ims_lease lease;
  assert_int_equal(ims_lease_open(&lease, store, NULL), 0);
  assert_true(fixture_image_whole(store, "h.example/r:t"));
  ims_lease_close(&lease);
  ims_store_unref(store);
  assert_int_equal(umount(s->path), 0);
}

/* --- every call fails once
 * ------------------------------------------------------------------------------------------------- */

static int32_t session(ims_core *core, const char *path, ims_error *err) {
  imgstore_store *store;
  fixture_image image;
  ims_lease lease = {NULL, NULL};
  int32_t rc = fixture_open(core, path, 0, IMGSTORE_DURABILITY_BATCH, &store, err);
  if (rc)
    return rc;
  fixture_image_init(&image, "new");
  rc = ims_lease_open(&lease, store, err);
  if (!rc)
    rc = ims_lease_add(&lease, &image.config, err);
  if (!rc)
    rc = fixture_image_put(store, &image, "new", err);
  if (!rc)
    rc = ims_ref_set(store, "h.example/new:1", NULL, &image.target, err);
  ims_lease_close(&lease);
  if (!rc)
    rc = ims_store_remove(store, "h.example/old:1", 0, NULL, err);
  if (!rc)
    rc = ims_store_prune(store, NULL, err);
  ims_store_unref(store);
  return rc;
}

static int count_descriptors(void) {
  int n = 0;
  for (int fd = 0; fd < 256; fd++)
    n += fcntl(fd, F_GETFD) >= 0;
  return n;
}

static void check_after_fault(const scratch *s, const char *path) {
  scratch here = {s->core, (char *)(uintptr_t)path};
  imgstore_store *store = open_store(&here);
  ims_target target;
  assert_true(fixture_image_whole(store, "h.example/kept:1"));
  if (ims_ref_get(store, "h.example/new:1", &target, NULL) == 0)
    assert_true(fixture_image_whole(store, "h.example/new:1"));
  if (ims_ref_get(store, "h.example/old:1", &target, NULL) == 0)
    assert_true(fixture_image_whole(store, "h.example/old:1"));
  imgstore_report *report = ims_report_new(&s->core->alloc);
  assert_int_equal(ims_store_verify(store, IMGSTORE_VERIFY_FULL, report, NULL), 0);
  assert_int_equal(imgstore_report_count(report), 0);
  imgstore_report_free(report);
  ims_store_unref(store);
}

static void fail_each_call(const scratch *s, int os_errno, bool forever) {
  long at = 0;
  for (bool done = false; !done; at++) {
    char sub[64];
    snprintf(sub, sizeof sub, "%d-%d-%ld", os_errno, forever, at);
    char *path = strdup(fixture_path(s->path, sub));
    scratch here = {s->core, path};
    imgstore_store *store = open_store(&here);
    put_image(store, "h.example/kept:1");
    put_image(store, "h.example/old:1");
    ims_store_unref(store);
    ims_core *core = fixture_core(&fixture_sys, NULL);
    ims_error err = IMS_ERROR_INIT;
    int before = count_descriptors();
    fixture_fault_now = (fixture_fault){at, 0, os_errno, forever, forever};
    int32_t rc = session(core, path, &err);
    done = fixture_fault_now.seen <= at;
    fixture_fault_now = (fixture_fault){.at = -1};
    assert_int_equal(count_descriptors(), before);
    assert_true(rc == 0 || err.message[0]);
    assert_true(!done || rc == 0);
    ims_core_unref(core);
    check_after_fault(s, path);
    ims_error_clear(&err);
    rc = session(s->core, path, &err);
    assert_true(rc == 0 || rc == IMGSTORE_ENOTFOUND); /* what is to be removed may be gone already */
    free(path);
  }
  assert_true(at > 50 || forever);
}

static void every_call_fails_once(void **state) {
  fail_each_call(*state, EIO, false);
  fail_each_call(*state, ENOSPC, false);
}

static void the_disk_fills_at_every_call(void **state) {
  fail_each_call(*state, ENOSPC, true);
}

static void every_allocation_fails_once(void **state) {
  scratch *s = *state;
  long at = 1;
  for (bool done = false; !done; at++) {
    char sub[64];
    snprintf(sub, sizeof sub, "m%ld", at);
    char *path = strdup(fixture_path(s->path, sub));
    scratch here = {s->core, path};
    imgstore_store *store = open_store(&here);
    put_image(store, "h.example/kept:1");
    put_image(store, "h.example/old:1");
    ims_store_unref(store);
    fixture_memory memory = {at, 0, 0};
    ims_alloc alloc = fixture_allocator(&memory);
    ims_core *core = fixture_core(NULL, &alloc);
    ims_error err = IMS_ERROR_INIT;
    int before = count_descriptors();
    int32_t rc = session(core, path, &err);
    done = memory.seen <= at;
    assert_int_equal(count_descriptors(), before);
    assert_true(rc == 0 || err.code != 0);
    assert_true(!done || rc == 0);
    ims_core_unref(core);
    assert_int_equal(memory.live, 0);
    check_after_fault(s, path);
    free(path);
  }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(conforms),
      TEST(new_store_is_a_layout),
      TEST(other_content_is_refused),
      TEST(nothing_is_made_when_not_asked),
      TEST(layout_files_are_checked),
      TEST(half_made_stores_are_completed),
      TEST(two_processes_make_one_store),
      TEST(foreign_entries_are_kept),
      TEST(reader_changes_nothing),
      TEST(names_for_other_tools),
      TEST(damaged_blobs_do_not_count),
      TEST(odd_files_are_replaced),
      TEST(many_processes_tag_at_once),
      TEST(the_dead_hold_nothing),
      TEST(removing_works_on_a_full_disk),
      TEST(a_store_on_a_read_only_disk),
      TEST(every_call_fails_once),
      TEST(the_disk_fills_at_every_call),
      TEST(every_allocation_fails_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
