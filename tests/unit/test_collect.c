/*
 * test_collect.c - removing, pruning, disk usage and verification, on the memory storage and on a layout directory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/report.h"
#include "oci/mediatype.h"
#include "store_fixture.h"

#define A "docker.io/library/a:1"
#define B "docker.io/library/b:1"

typedef struct scratch {
  ims_core *core;
  imgstore_store *store;
  char *path; /* NULL: memory */
  imgstore_report *report;
} scratch;

static int setup_memory(void **state) {
  scratch *s = calloc(1, sizeof *s);
  imgstore_storage storage;
  s->core = fixture_core(NULL, NULL);
  assert_int_equal(ims_memory_storage_open(s->core, 0, &storage, NULL), 0);
  assert_int_equal(ims_store_new(&s->store, s->core, &storage, NULL), 0);
  s->report = ims_report_new(&s->core->alloc);
  *state = s;
  return 0;
}

static int setup_layout(void **state) {
  scratch *s = calloc(1, sizeof *s);
  s->core = fixture_core(NULL, NULL);
  s->path = fixture_directory();
  assert_int_equal(fixture_open(s->core, s->path, 0, IMGSTORE_DURABILITY_BATCH, &s->store, NULL), 0);
  s->report = ims_report_new(&s->core->alloc);
  *state = s;
  return 0;
}

static int teardown(void **state) {
  scratch *s = *state;
  imgstore_report_free(s->report);
  ims_store_unref(s->store);
  ims_core_unref(s->core);
  if (s->path)
    fixture_remove(s->path);
  free(s);
  return 0;
}

static fixture_image put(scratch *s, const char *name) {
  fixture_image image;
  fixture_image_init(&image, name);
  assert_int_equal(fixture_image_put(s->store, &image, name, NULL), 0);
  assert_int_equal(ims_ref_set(s->store, name, NULL, &image.target, NULL), 0);
  return image;
}

static imgstore_report *fresh_report(scratch *s) {
  imgstore_report_free(s->report);
  return s->report = ims_report_new(&s->core->alloc);
}

static size_t lines_of(const scratch *s, int32_t kind) {
  size_t n = 0;
  for (size_t i = 0; i < imgstore_report_count(s->report); i++)
    n += imgstore_report_kind(s->report, i) == kind;
  return n;
}

static bool says(const scratch *s, int32_t kind, const char *name, const char *digest) {
  for (size_t i = 0; i < imgstore_report_count(s->report); i++)
    if (imgstore_report_kind(s->report, i) == kind &&
        (!name || strcmp(imgstore_report_name(s->report, i), name) == 0) &&
        (!digest || strcmp(imgstore_report_digest(s->report, i), digest) == 0))
      return true;
  return false;
}

static bool is_there(scratch *s, const ims_digest *digest) {
  bool present;
  assert_int_equal(ims_blob_check(s->store, digest, UINT64_MAX, &present, NULL), 0);
  return present;
}

/* --- removing
 * ---------------------------------------------------------------------------------------------------------- */

static void shared_content_stays(void **state) {
  scratch *s = *state;
  fixture_image a = put(s, A), b = put(s, B);
  assert_int_equal(ims_store_remove(s->store, "a:1", 0, s->report, NULL), 0);
  assert_true(says(s, IMGSTORE_REPORT_UNTAGGED, A, a.target.digest.text));
  assert_int_equal(lines_of(s, IMGSTORE_REPORT_DELETED), 3);
  assert_false(is_there(s, &a.config));
  assert_false(is_there(s, &a.layer));
  assert_true(is_there(s, &a.base));
  assert_true(fixture_image_whole(s->store, B));
  fresh_report(s);
  assert_int_equal(ims_store_remove(s->store, B, 0, s->report, NULL), 0);
  assert_int_equal(lines_of(s, IMGSTORE_REPORT_DELETED), 4);
  assert_false(is_there(s, &b.base));
  assert_int_equal(ims_store_remove(s->store, B, 0, NULL, NULL), IMGSTORE_ENOTFOUND);
}

static void content_may_be_kept(void **state) {
  scratch *s = *state;
  fixture_image a = put(s, A);
  assert_int_equal(ims_store_remove(s->store, A, IMGSTORE_REMOVE_KEEP_CONTENT, s->report, NULL), 0);
  assert_int_equal(imgstore_report_count(s->report), 1);
  assert_true(is_there(s, &a.layer));
  fresh_report(s);
  assert_int_equal(ims_store_prune(s->store, s->report, NULL), 0);
  assert_int_equal(lines_of(s, IMGSTORE_REPORT_DELETED), 4);
  assert_false(is_there(s, &a.layer));
}

static void several_names_are_a_conflict(void **state) {
  scratch *s = *state;
  fixture_image a = put(s, A);
  assert_int_equal(ims_store_tag(s->store, "a:1", "docker.io/library/a:2", NULL), 0);
  ims_error err = IMS_ERROR_INIT;
  assert_int_equal(ims_store_remove(s->store, a.config.text, 0, NULL, &err), IMGSTORE_ECONFLICT);
  assert_true(fixture_image_whole(s->store, A));
  assert_int_equal(ims_store_remove(s->store, "a:1", 0, s->report, NULL), 0);
  assert_int_equal(lines_of(s, IMGSTORE_REPORT_DELETED), 0);
  assert_int_equal(ims_store_tag(s->store, "a:2", A, NULL), 0);
  assert_int_equal(ims_store_remove(s->store, a.config.text, IMGSTORE_REMOVE_ALL_NAMES, s->report, NULL), 0);
  assert_int_equal(lines_of(s, IMGSTORE_REPORT_UNTAGGED), 3);
  assert_int_equal(lines_of(s, IMGSTORE_REPORT_DELETED), 4);
  put(s, A);
  assert_int_equal(ims_store_remove(s->store, ims_digest_hex(&a.config), 0, NULL, NULL), 0);
  assert_false(is_there(s, &a.config));
}

/* --- leases and pruning
 * --------------------------------------------------------------------------------------------------- */

static void leased_content_stays(void **state) {
  scratch *s = *state;
  fixture_image a;
  ims_lease lease;
  fixture_image_init(&a, A);
  assert_int_equal(ims_lease_open(&lease, s->store, NULL), 0);
  assert_int_equal(ims_lease_add(&lease, &a.layer, NULL), 0);
  assert_int_equal(fixture_image_put(s->store, &a, A, NULL), 0);
  assert_int_equal(ims_store_prune(s->store, s->report, NULL), 0);
  assert_true(is_there(s, &a.layer));
  assert_false(is_there(s, &a.config));
  ims_lease_close(&lease);
  ims_lease_close(&lease);
  assert_int_equal(ims_store_prune(s->store, s->report, NULL), 0);
  assert_false(is_there(s, &a.layer));
}

static void unfinished_content_goes(void **state) {
  scratch *s = *state;
  ims_ingest in;
  ims_lease lease;
  ims_digest digest;
  ims_digest_of(&digest, IMS_HASH_SHA256, "content", 7);
  assert_int_equal(ims_lease_open(&lease, s->store, NULL), 0);
  assert_int_equal(ims_lease_add(&lease, &digest, NULL), 0);
  assert_int_equal(ims_ingest_open(&in, s->store, &digest, 7, NULL), 0);
  assert_int_equal(ims_ingest_write(&in, "con", 3, NULL), 0);
  ims_ingest_close(&in, true);
  assert_int_equal(ims_store_prune(s->store, s->report, NULL), 0);
  assert_int_equal(imgstore_report_count(s->report), 0);
  ims_lease_close(&lease);
  assert_int_equal(ims_store_prune(s->store, s->report, NULL), 0);
  assert_true(says(s, IMGSTORE_REPORT_DELETED, NULL, digest.text));
  assert_int_equal(ims_ingest_open(&in, s->store, &digest, 7, NULL), 0);
  assert_int_equal(in.offset, 0);
  ims_ingest_close(&in, false);
}

static ims_digest put_text(scratch *s, const char *text) {
  ims_digest digest;
  ims_digest_of(&digest, IMS_HASH_SHA256, text, strlen(text));
  assert_int_equal(ims_blob_save(s->store, &digest, text, strlen(text), NULL), 0);
  return digest;
}

static void index_children_are_reached(void **state) {
  scratch *s = *state;
  fixture_image a;
  char text[1024];
  ims_target target = {.media_type = IMS_MT_OCI_INDEX};
  fixture_image_init(&a, A);
  assert_int_equal(fixture_image_put(s->store, &a, A, NULL), 0);
  snprintf(
      text, sizeof text,
      "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu},{\"mediaType\":"
      "\"%s\",\"digest\":\"sha256:1111111111111111111111111111111111111111111111111111111111111111\",\"size\":3}]}",
      IMS_MT_OCI_MANIFEST, a.target.digest.text, (size_t)a.target.size, IMS_MT_OCI_MANIFEST);
  target.digest = put_text(s, text);
  target.size = strlen(text);
  assert_int_equal(ims_ref_set(s->store, B, NULL, &target, NULL), 0);
  assert_int_equal(ims_store_prune(s->store, s->report, NULL), 0);
  assert_int_equal(imgstore_report_count(s->report), 0);
  assert_int_equal(ims_store_verify(s->store, IMGSTORE_VERIFY_FULL, s->report, NULL), 0);
  assert_int_equal(imgstore_report_count(s->report), 0);
  /* Only the index is kept, not its children, when one image was chosen from it. */
  fixture_image b = put(s, B);
  b.target.index = target.digest;
  assert_int_equal(ims_ref_set(s->store, B, NULL, &b.target, NULL), 0);
  assert_int_equal(ims_store_prune(s->store, s->report, NULL), 0);
  assert_true(is_there(s, &target.digest));
  assert_false(is_there(s, &a.config));
  assert_true(fixture_image_whole(s->store, B));
}

/* --- usage
 * --------------------------------------------------------------------------------------------------------------- */

static uint64_t all_of(const fixture_image *a, scratch *s) {
  ims_blob blob;
  uint64_t sum = 0;
  const ims_digest *const parts[] = {&a->target.digest, &a->config, &a->base, &a->layer};
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(ims_blob_open(&blob, s->store, parts[i], NULL), 0);
    sum += blob.size;
    ims_blob_close(&blob);
  }
  return sum;
}

static void usage_is_exact(void **state) {
  scratch *s = *state;
  fixture_image b = put(s, B), a = put(s, A);
  assert_int_equal(ims_store_tag(s->store, "a:1", "docker.io/library/a:2", NULL), 0);
  uint64_t size_a = all_of(&a, s), size_b = all_of(&b, s);
  assert_int_equal(ims_store_usage(s->store, s->report, NULL), 0);
  assert_int_equal(imgstore_report_count(s->report), 4);
  static const char *const names[] = {A, "docker.io/library/a:2", B, ""};
  uint64_t sizes[] = {size_a, size_a, size_b, size_a + size_b - 4};
  for (size_t i = 0; i < 4; i++) {
    assert_string_equal(imgstore_report_name(s->report, i), names[i]);
    assert_int_equal(imgstore_report_size(s->report, i), sizes[i]);
    assert_int_equal(imgstore_report_shared(s->report, i), i < 3 ? 4 : 0);
  }
  fresh_report(s);
  assert_int_equal(ims_store_list(s->store, s->report, NULL), 0);
  assert_int_equal(imgstore_report_count(s->report), 3);
  assert_string_equal(imgstore_report_name(s->report, 0), A);
  assert_string_equal(imgstore_report_digest(s->report, 0), a.target.digest.text);
}

/* --- verification
 * --------------------------------------------------------------------------------------------------------- */

static void missing_blobs_are_reported(void **state) {
  scratch *s = *state;
  fixture_image a = put(s, A);
  put(s, B);
  imgstore_storage *v = &s->store->storage;
  assert_int_equal(v->blob_delete(v->user_data, a.layer.text), 0);
  assert_int_equal(ims_store_verify(s->store, IMGSTORE_VERIFY_QUICK, s->report, NULL), 0);
  assert_int_equal(imgstore_report_count(s->report), 2);
  assert_true(says(s, IMGSTORE_REPORT_MISSING, A, a.layer.text));
  assert_true(says(s, IMGSTORE_REPORT_AFFECTED, A, a.layer.text));
  assert_int_equal(v->blob_delete(v->user_data, a.target.digest.text), 0);
  fresh_report(s);
  assert_int_equal(ims_store_verify(s->store, IMGSTORE_VERIFY_QUICK, s->report, NULL), 0);
  assert_true(says(s, IMGSTORE_REPORT_AFFECTED, A, a.target.digest.text));
  assert_false(says(s, IMGSTORE_REPORT_AFFECTED, B, NULL));
}

static const char *blob_name(const ims_digest *digest) {
  static char name[200];
  snprintf(name, sizeof name, "blobs/sha256/%s", ims_digest_hex(digest));
  return name;
}

/** One byte changes, sizes and times stay. */
static void flip(const scratch *s, const ims_digest *digest) {
  struct stat st;
  int fd = open(fixture_path(s->path, blob_name(digest)), O_RDWR);
  char c = 0;
  assert_true(fd >= 0 && fstat(fd, &st) == 0 && pread(fd, &c, 1, 2) == 1);
  c ^= 1;
  assert_int_equal(pwrite(fd, &c, 1, 2), 1);
  struct timespec times[2] = {st.st_atim, st.st_mtim};
  futimens(fd, times);
  close(fd);
}

static void damage_is_found_and_mended(void **state) {
  scratch *s = *state;
  fixture_image a = put(s, A), b = put(s, B);
  flip(s, &a.base);
  fixture_write(s->path, "stray", "x", 1);
  fixture_write(s->path, "blobs/sha256/not-a-digest", "x", 1);
  assert_int_equal(ims_store_verify(s->store, IMGSTORE_VERIFY_QUICK, s->report, NULL), 0);
  assert_int_equal(lines_of(s, IMGSTORE_REPORT_FOREIGN), 2);
  assert_int_equal(imgstore_report_count(s->report), 2);
  assert_int_equal(ims_store_verify(s->store, IMGSTORE_VERIFY_FULL, fresh_report(s), NULL), 0);
  assert_true(says(s, IMGSTORE_REPORT_DAMAGED, NULL, a.base.text));
  assert_true(says(s, IMGSTORE_REPORT_AFFECTED, A, a.base.text));
  assert_true(says(s, IMGSTORE_REPORT_AFFECTED, B, a.base.text));
  assert_int_equal(lines_of(s, IMGSTORE_REPORT_QUARANTINED), 0);
  assert_int_equal(ims_store_verify(s->store, IMGSTORE_VERIFY_REPAIR, fresh_report(s), NULL), 0);
  assert_true(says(s, IMGSTORE_REPORT_QUARANTINED, NULL, a.base.text));
  assert_true(says(s, IMGSTORE_REPORT_AFFECTED, B, a.base.text));
  assert_false(fixture_exists(s->path, blob_name(&a.base)));
  assert_int_equal(fixture_image_put(s->store, &b, B, NULL), 0);
  assert_int_equal(ims_store_verify(s->store, IMGSTORE_VERIFY_FULL, fresh_report(s), NULL), 0);
  assert_int_equal(imgstore_report_count(s->report), lines_of(s, IMGSTORE_REPORT_FOREIGN));
  assert_true(fixture_exists(s->path, "stray"));
  assert_int_equal(ims_store_prune(s->store, fresh_report(s), NULL), 0);
  assert_true(fixture_exists(s->path, "blobs/sha256/not-a-digest"));
}

static void nothing_is_deleted_in_the_dark(void **state) {
  scratch *s = *state;
  fixture_image a = put(s, A), b = put(s, B);
  ims_error err = IMS_ERROR_INIT;
  flip(s, &a.target.digest);
  assert_int_equal(ims_store_prune(s->store, s->report, &err), IMGSTORE_ECORRUPT);
  assert_non_null(strstr(err.message, A));
  /* What was asked is done; the content stays until it is known that A does not need it. */
  assert_int_equal(ims_store_remove(s->store, B, 0, s->report, NULL), 0);
  assert_int_equal(lines_of(s, IMGSTORE_REPORT_DELETED), 0);
  assert_true(is_there(s, &a.layer));
  assert_true(is_there(s, &b.layer));
  assert_int_equal(ims_store_remove(s->store, A, 0, s->report, NULL), 0);
  assert_int_equal(ims_store_prune(s->store, s->report, NULL), 0);
  assert_false(is_there(s, &a.layer));
}

static void odd_entries_keep_what_they_name(void **state) {
  scratch *s = *state;
  fixture_image a = put(s, A);
  char text[1200];
  snprintf(text, sizeof text,
           "{\"manifests\":[{\"digest\":\"%s\"},7,{\"digest\":\"md5\",\"size\":-1},{\"annotations\":3},"
           "{\"mediaType\":\"x\",\"digest\":\"../../x\",\"size\":1}]}",
           a.target.digest.text);
  fixture_write(s->path, "index.json", text, strlen(text));
  assert_int_equal(ims_store_prune(s->store, s->report, NULL), 0);
  assert_int_equal(imgstore_report_count(s->report), 0);
  assert_true(is_there(s, &a.layer));
  ims_target t;
  ims_buf name;
  ims_buf_init(&name, &s->core->alloc, 400);
  assert_int_equal(ims_store_resolve(s->store, a.config.text, &t, &name, NULL), 0);
  ims_buf_free(&name);
  assert_int_equal(ims_store_tag(s->store, a.config.text, A, NULL), 0);
  assert_true(fixture_image_whole(s->store, A));
  assert_int_equal(ims_store_remove(s->store, A, 0, s->report, NULL), 0);
  assert_true(is_there(s, &a.layer));
}

/* An image whose manifest has a digest of another algorithm may need anything; its name can go all the same. */
static void unknown_algorithms_keep_everything(void **state) {
  scratch *s = *state;
  fixture_image a = put(s, A);
  char text[1200];
  snprintf(text, sizeof text,
           "{\"manifests\":[{\"digest\":\"sha384:00\",\"size\":3,\"annotations\":{\"io.containerd.image.name\":"
           "\"example.org/odd:1\"}}]}");
  fixture_write(s->path, "index.json", text, strlen(text));
  assert_int_equal(ims_store_prune(s->store, s->report, NULL), IMGSTORE_EUNSUPPORTED);
  assert_true(is_there(s, &a.layer));
  assert_int_equal(ims_store_verify(s->store, IMGSTORE_VERIFY_QUICK, fresh_report(s), NULL), 0);
  assert_true(says(s, IMGSTORE_REPORT_AFFECTED, "example.org/odd:1", ""));
  assert_int_equal(ims_store_remove(s->store, "example.org/odd:1", 0, fresh_report(s), NULL), 0);
  assert_int_equal(lines_of(s, IMGSTORE_REPORT_UNTAGGED), 1);
  assert_int_equal(ims_store_prune(s->store, s->report, NULL), 0);
  assert_false(is_there(s, &a.layer));
}

/* A media type that says nothing, or something else: what is found and used as an image is kept as one. */
static void media_types_do_not_hide_an_image(void **state) {
  scratch *s = *state;
  fixture_image a = put(s, A);
  char text[1200];
  snprintf(text, sizeof text,
           "{\"manifests\":[{\"mediaType\":\"text/plain\",\"digest\":\"%s\"},{\"mediaType\":\"a/b\",\"digest\":"
           "\"%s\"}]}",
           a.target.digest.text, a.base.text);
  fixture_write(s->path, "index.json", text, strlen(text));
  assert_int_equal(ims_store_prune(s->store, s->report, NULL), 0);
  assert_int_equal(imgstore_report_count(s->report), 0);
  assert_true(is_there(s, &a.layer));
  assert_true(is_there(s, &a.config));
}

/** Jobs that lease, test and reference run against collectors for a while: no reference may lose its content. */
static void collectors_and_jobs_together(void **state) {
  scratch *s = *state;
  enum { JOBS = 4, COLLECTORS = 2, ROUNDS = 60 };
  for (int p = 0; p < JOBS + COLLECTORS; p++)
    if (fork() == 0) {
      imgstore_store *store;
      int bad = fixture_open(s->core, s->path, 0, IMGSTORE_DURABILITY_NONE, &store, NULL) != 0;
      for (int i = 0; i < ROUNDS && !bad; i++) {
        if (p >= JOBS) {
          bad = ims_store_prune(store, NULL, NULL) != 0;
          continue;
        }
        char name[64], content[64];
        snprintf(name, sizeof name, "h.example/job%d:1", p);
        snprintf(content, sizeof content, "%d", i % 3); /* all jobs share the content, so that it comes and goes */
        fixture_image image;
        ims_lease lease;
        fixture_image_init(&image, content);
        bad = ims_lease_open(&lease, store, NULL) || ims_lease_add(&lease, &image.base, NULL) ||
              ims_lease_add(&lease, &image.layer, NULL) || ims_lease_add(&lease, &image.config, NULL) ||
              ims_lease_add(&lease, &image.target.digest, NULL) || fixture_image_put(store, &image, content, NULL) ||
              ims_ref_set(store, name, NULL, &image.target, NULL);
        ims_lease_close(&lease);
        bad = bad || !fixture_image_whole(store, name) || (i % 2 && ims_store_remove(store, name, 0, NULL, NULL));
      }
      _exit(bad);
    }
  int failed = 0;
  for (int p = 0; p < JOBS + COLLECTORS; p++) {
    int status = 1;
    wait(&status);
    failed += status != 0;
  }
  assert_int_equal(failed, 0);
}

#define MEMORY(f)                                                                                                      \
  { #f " (memory)", f, setup_memory, teardown, NULL }
#define LAYOUT(f)                                                                                                      \
  { #f " (layout)", f, setup_layout, teardown, NULL }
#define BOTH(f) MEMORY(f), LAYOUT(f)

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH(shared_content_stays),
      BOTH(content_may_be_kept),
      BOTH(several_names_are_a_conflict),
      BOTH(leased_content_stays),
      BOTH(unfinished_content_goes),
      BOTH(index_children_are_reached),
      BOTH(usage_is_exact),
      BOTH(missing_blobs_are_reported),
      LAYOUT(damage_is_found_and_mended),
      LAYOUT(nothing_is_deleted_in_the_dark),
      LAYOUT(odd_entries_keep_what_they_name),
      LAYOUT(unknown_algorithms_keep_everything),
      LAYOUT(media_types_do_not_hide_an_image),
      LAYOUT(collectors_and_jobs_together),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
