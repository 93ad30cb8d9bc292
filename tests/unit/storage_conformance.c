/*
 * storage_conformance.c - the rules of imgstore/storage.h as checks. A backend verifies nothing, so the digests here
 * need not fit the bytes.
 */
#include "storage_conformance.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define D1 "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define D3 "sha256:3333333333333333333333333333333333333333333333333333333333333333"
#define D512                                                                                                           \
  "sha512:4444444444444444444444444444444444444444444444444444444444444444444444444444444444444444444444444444444444"  \
  "4444444444444444444444"
#define NAME "registry.example/team/app:1"
#define OTHER "registry.example/team/app:2"

typedef struct run {
  const storage_conformance *suite;
  imgstore_storage s;
  const char *rule;
  int failures;
} run;

#define CHECK(r, condition) check(r, (condition) != 0, #condition, __LINE__)

static int check(run *r, int right, const char *what, int line) {
  if (!right) {
    r->failures++;
    if (r->suite->broken)
      r->suite->broken(r->suite->data, r->rule, what, line);
  }
  return right;
}

/* --- helpers -------------------------------------------------------------------------------------------------------
 */

static int32_t put(run *r, const char *digest, const void *data, size_t size) {
  void *in;
  uint64_t offset;
  int32_t rc = r->s.ingest_open(r->s.user_data, digest, size, &in, &offset);
  if (rc)
    return rc;
  rc = r->s.ingest_write(r->s.user_data, in, 0, data, size);
  if (!rc && r->s.ingest_flush)
    rc = r->s.ingest_flush(r->s.user_data, in);
  if (rc) {
    r->s.ingest_close(r->s.user_data, in, 0);
    return rc;
  }
  return r->s.ingest_commit(r->s.user_data, in);
}

static int holds(run *r, const char *digest, const void *data, size_t size) {
  void *blob;
  uint64_t have;
  size_t got = 0, at = 0;
  char *copy = malloc(size + 1);
  if (!copy || r->s.blob_open(r->s.user_data, digest, &blob, &have)) {
    free(copy);
    return 0;
  }
  int32_t rc;
  do {
    rc = r->s.blob_read(r->s.user_data, blob, at, copy + at, size + 1 - at, &got);
    at += got;
  } while (!rc && got && at <= size);
  r->s.blob_close(r->s.user_data, blob);
  int same = !rc && have == size && at == size && memcmp(copy, data, size) == 0;
  free(copy);
  return same;
}

static int is_absent(run *r, const char *digest) {
  void *blob;
  uint64_t size;
  int32_t rc = r->s.blob_open(r->s.user_data, digest, &blob, &size);
  if (!rc)
    r->s.blob_close(r->s.user_data, blob);
  return rc == IMGSTORE_ENOTFOUND;
}

typedef struct tally {
  int count, d1, d2, stop;
  uint64_t bytes;
  char text[512];
} tally;

static int32_t tally_blob(void *data, const char *digest, uint64_t size) {
  tally *t = data;
  t->count++;
  t->d1 += strcmp(digest, D1) == 0;
  t->d2 += strcmp(digest, D2) == 0;
  t->bytes += size;
  return t->stop;
}

static int32_t tally_reference(void *data, const char *name, const char *descriptor, size_t size) {
  tally *t = data;
  t->count++;
  t->d1 += strcmp(name, NAME) == 0;
  t->d2 += strcmp(name, OTHER) == 0;
  if (size < sizeof t->text && memchr(descriptor, '\0', size) == NULL) {
    memcpy(t->text, descriptor, size);
    t->text[size] = '\0';
  }
  return t->stop;
}

static int32_t set(run *r, const char *name, const char *expected, const char *digest) {
  char text[256] = "{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"";
  strcat(text, digest);
  strcat(text, "\",\"size\":7}");
  return r->s.reference_set(r->s.user_data, name, expected, text, strlen(text));
}

static int names(run *r, const char *name, const char *digest) {
  tally t = {0};
  return r->s.reference_get(r->s.user_data, name, tally_reference, &t) == 0 && t.count == 1 &&
         strstr(t.text, digest) != NULL;
}

/* --- rules: blobs ---------------------------------------------------------------------------------------------------
 */

static void blobs_come_back(run *r) {
  CHECK(r, is_absent(r, D1));
  CHECK(r, put(r, D1, "content", 7) == 0);
  CHECK(r, holds(r, D1, "content", 7));
  CHECK(r, put(r, D512, "", 0) == 0);
  CHECK(r, holds(r, D512, "", 0));
  CHECK(r, put(r, D1, "content", 7) == 0);
  CHECK(r, holds(r, D1, "content", 7));
}

static void reads_stop_at_the_end(run *r) {
  void *blob;
  uint64_t size;
  size_t got = 9;
  char buffer[16];
  if (!CHECK(r, put(r, D1, "content", 7) == 0) || !CHECK(r, r->s.blob_open(r->s.user_data, D1, &blob, &size) == 0))
    return;
  CHECK(r, size == 7);
  CHECK(r, r->s.blob_read(r->s.user_data, blob, 3, buffer, 2, &got) == 0 && got == 2 && memcmp(buffer, "te", 2) == 0);
  CHECK(r, r->s.blob_read(r->s.user_data, blob, 7, buffer, 16, &got) == 0 && got == 0);
  CHECK(r, r->s.blob_read(r->s.user_data, blob, 1u << 20, buffer, 16, &got) == 0 && got == 0);
  r->s.blob_close(r->s.user_data, blob);
}

static void delete_removes(run *r) {
  CHECK(r, r->s.blob_delete(r->s.user_data, D1) == IMGSTORE_ENOTFOUND);
  CHECK(r, put(r, D1, "content", 7) == 0);
  CHECK(r, r->s.blob_delete(r->s.user_data, D1) == 0);
  CHECK(r, is_absent(r, D1));
  CHECK(r, put(r, D1, "content", 7) == 0 && holds(r, D1, "content", 7));
}

static void open_blobs_outlive_deletion(run *r) {
  void *blob;
  uint64_t size;
  size_t got;
  char buffer[8];
  if (!CHECK(r, put(r, D1, "content", 7) == 0) || !CHECK(r, r->s.blob_open(r->s.user_data, D1, &blob, &size) == 0))
    return;
  CHECK(r, r->s.blob_delete(r->s.user_data, D1) == 0);
  CHECK(r, r->s.blob_read(r->s.user_data, blob, 0, buffer, 8, &got) == 0 && got == 7);
  r->s.blob_close(r->s.user_data, blob);
}

static void list_shows_each_once(run *r) {
  tally t = {0};
  CHECK(r, r->s.blob_list(r->s.user_data, tally_blob, &t) == 0 && t.count == 0);
  CHECK(r, put(r, D1, "content", 7) == 0 && put(r, D2, "more", 4) == 0);
  CHECK(r, r->s.blob_list(r->s.user_data, tally_blob, &t) == 0);
  CHECK(r, t.count == 2 && t.d1 == 1 && t.d2 == 1 && t.bytes == 11);
  tally stopped = {.stop = 42};
  CHECK(r, r->s.blob_list(r->s.user_data, tally_blob, &stopped) == 42 && stopped.count == 1);
}

static void quarantine_hides(run *r) {
  if (!r->s.blob_quarantine)
    return;
  CHECK(r, put(r, D1, "content", 7) == 0);
  CHECK(r, r->s.blob_quarantine(r->s.user_data, D1) == 0);
  CHECK(r, is_absent(r, D1));
  CHECK(r, r->s.blob_quarantine(r->s.user_data, D1) == IMGSTORE_ENOTFOUND);
  CHECK(r, put(r, D1, "content", 7) == 0 && holds(r, D1, "content", 7));
}

static void verified_is_remembered(run *r) {
  void *blob;
  uint64_t size;
  if (!r->s.blob_is_verified || !r->s.blob_set_verified)
    return;
  if (!CHECK(r, put(r, D1, "content", 7) == 0) || !CHECK(r, r->s.blob_open(r->s.user_data, D1, &blob, &size) == 0))
    return;
  CHECK(r, r->s.blob_set_verified(r->s.user_data, blob) == 0);
  CHECK(r, r->s.blob_is_verified(r->s.user_data, blob) == 1);
  r->s.blob_close(r->s.user_data, blob);
}

/* --- rules: ingest --------------------------------------------------------------------------------------------------
 */

static void ingest_is_invisible(run *r) {
  void *in;
  uint64_t offset;
  tally t = {0};
  if (!CHECK(r, r->s.ingest_open(r->s.user_data, D1, 7, &in, &offset) == 0))
    return;
  CHECK(r, offset == 0);
  CHECK(r, r->s.ingest_write(r->s.user_data, in, 0, "content", 7) == 0);
  CHECK(r, is_absent(r, D1));
  CHECK(r, r->s.blob_list(r->s.user_data, tally_blob, &t) == 0 && t.count == 0);
  r->s.ingest_close(r->s.user_data, in, 0);
  CHECK(r, is_absent(r, D1));
}

static void ingest_is_held_by_one(run *r) {
  void *in, *second;
  uint64_t offset;
  if (!CHECK(r, r->s.ingest_open(r->s.user_data, D1, 7, &in, &offset) == 0))
    return;
  CHECK(r, r->s.ingest_open(r->s.user_data, D1, 7, &second, &offset) == IMGSTORE_EBUSY);
  CHECK(r, put(r, D2, "more", 4) == 0);
  r->s.ingest_close(r->s.user_data, in, 0);
  CHECK(r, put(r, D1, "content", 7) == 0);
}

static void ingest_resumes(run *r) {
  void *in;
  uint64_t offset;
  size_t got;
  char buffer[8];
  if (!CHECK(r, r->s.ingest_open(r->s.user_data, D1, 7, &in, &offset) == 0))
    return;
  CHECK(r, r->s.ingest_write(r->s.user_data, in, 0, "con", 3) == 0);
  r->s.ingest_close(r->s.user_data, in, 1);
  if (!CHECK(r, r->s.ingest_open(r->s.user_data, D1, 7, &in, &offset) == 0))
    return;
  CHECK(r, offset == 3);
  CHECK(r, r->s.ingest_read(r->s.user_data, in, 0, buffer, 8, &got) == 0 && got == 3 && memcmp(buffer, "con", 3) == 0);
  CHECK(r, r->s.ingest_write(r->s.user_data, in, 3, "tent", 4) == 0);
  CHECK(r, r->s.ingest_read(r->s.user_data, in, 2, buffer, 2, &got) == 0 && got == 2 && memcmp(buffer, "nt", 2) == 0);
  CHECK(r, r->s.ingest_commit(r->s.user_data, in) == 0);
  CHECK(r, holds(r, D1, "content", 7));
}

static void ingest_starts_over(run *r) {
  void *in;
  uint64_t offset;
  if (!CHECK(r, r->s.ingest_open(r->s.user_data, D1, 4, &in, &offset) == 0))
    return;
  CHECK(r, r->s.ingest_write(r->s.user_data, in, 0, "abcd", 4) == 0);
  CHECK(r, r->s.ingest_write(r->s.user_data, in, 0, "", 0) == 0);
  CHECK(r, r->s.ingest_write(r->s.user_data, in, 0, "xy", 2) == 0);
  CHECK(r, r->s.ingest_write(r->s.user_data, in, 1, "z", 1) != 0);
  CHECK(r, r->s.ingest_write(r->s.user_data, in, 2, "zw", 2) == 0);
  CHECK(r, r->s.ingest_commit(r->s.user_data, in) == 0);
  CHECK(r, holds(r, D1, "xyzw", 4));
}

static void dropped_ingest_is_gone(run *r) {
  void *in;
  uint64_t offset;
  if (!CHECK(r, r->s.ingest_open(r->s.user_data, D1, 7, &in, &offset) == 0))
    return;
  CHECK(r, r->s.ingest_write(r->s.user_data, in, 0, "con", 3) == 0);
  r->s.ingest_close(r->s.user_data, in, 0);
  CHECK(r, r->s.ingest_open(r->s.user_data, D1, 7, &in, &offset) == 0 && offset == 0);
  r->s.ingest_close(r->s.user_data, in, 0);
}

static void longer_leftover_is_not_resumed(run *r) {
  void *in;
  uint64_t offset;
  if (!CHECK(r, r->s.ingest_open(r->s.user_data, D1, 7, &in, &offset) == 0))
    return;
  CHECK(r, r->s.ingest_write(r->s.user_data, in, 0, "content", 7) == 0);
  r->s.ingest_close(r->s.user_data, in, 1);
  if (!CHECK(r, r->s.ingest_open(r->s.user_data, D1, 3, &in, &offset) == 0))
    return;
  CHECK(r, offset <= 3 || r->s.ingest_write(r->s.user_data, in, 0, "", 0) == 0);
  r->s.ingest_close(r->s.user_data, in, 0);
}

static void bad_digests_are_refused(run *r) {
  static const char *const bad[] = {"", "sha256:", "../../etc/passwd", "sha256:../1", "md5:11", "sha256:ABCD"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    void *in;
    uint64_t offset;
    CHECK(r, r->s.ingest_open(r->s.user_data, bad[i], 1, &in, &offset) != 0);
    CHECK(r, r->s.blob_open(r->s.user_data, bad[i], &in, &offset) != 0);
    CHECK(r, r->s.blob_delete(r->s.user_data, bad[i]) != 0);
  }
}

static void sweep_asks_first(run *r) {
  void *in, *held;
  uint64_t offset;
  tally keep = {.stop = 1}, drop = {0};
  if (!r->s.ingest_sweep)
    return;
  if (!CHECK(r, r->s.ingest_open(r->s.user_data, D1, 7, &in, &offset) == 0) ||
      !CHECK(r, r->s.ingest_open(r->s.user_data, D2, 7, &held, &offset) == 0))
    return;
  CHECK(r, r->s.ingest_write(r->s.user_data, in, 0, "con", 3) == 0);
  CHECK(r, r->s.ingest_write(r->s.user_data, held, 0, "con", 3) == 0);
  r->s.ingest_close(r->s.user_data, in, 1);
  CHECK(r, r->s.ingest_sweep(r->s.user_data, tally_blob, &keep) == 0 && keep.count == 1 && keep.d1 == 1);
  CHECK(r, r->s.ingest_sweep(r->s.user_data, tally_blob, &drop) == 0 && drop.d1 == 1 && drop.bytes == 3);
  CHECK(r, r->s.ingest_open(r->s.user_data, D1, 7, &in, &offset) == 0 && offset == 0);
  r->s.ingest_close(r->s.user_data, in, 0);
  r->s.ingest_close(r->s.user_data, held, 0);
}

/* --- rules: blobs that are being made
 * ---------------------------------------------------------------------------------
 */

static int32_t create(run *r, const void *data, size_t size, void **in) {
  int32_t rc = r->s.ingest_create(r->s.user_data, in);
  return rc ? rc : r->s.ingest_write(r->s.user_data, *in, 0, data, size);
}

static int makes_unnamed(const run *r) {
  return r->s.ingest_create && r->s.ingest_name;
}

static void unnamed_get_their_names(run *r) {
  void *in, *second;
  size_t got;
  char buffer[8];
  tally t = {0};
  CHECK(r, !r->s.ingest_create == !r->s.ingest_name);
  if (!makes_unnamed(r))
    return;
  if (!CHECK(r, create(r, "con", 3, &in) == 0) || !CHECK(r, create(r, "other", 5, &second) == 0))
    return;
  CHECK(r, r->s.ingest_write(r->s.user_data, in, 3, "tent", 4) == 0);
  CHECK(r,
        r->s.ingest_read(r->s.user_data, in, 2, buffer, 8, &got) == 0 && got == 5 && memcmp(buffer, "ntent", 5) == 0);
  CHECK(r, r->s.blob_list(r->s.user_data, tally_blob, &t) == 0 && t.count == 0);
  CHECK(r, r->s.ingest_name(r->s.user_data, in, D1, 6) != 0);
  CHECK(r, r->s.ingest_name(r->s.user_data, in, D1, 7) == 0);
  CHECK(r, r->s.ingest_name(r->s.user_data, in, D2, 7) != 0);
  CHECK(r, is_absent(r, D1));
  CHECK(r, !r->s.ingest_flush || r->s.ingest_flush(r->s.user_data, in) == 0);
  CHECK(r, r->s.ingest_commit(r->s.user_data, in) == 0);
  CHECK(r, holds(r, D1, "content", 7));
  CHECK(r, r->s.ingest_name(r->s.user_data, second, D2, 5) == 0);
  CHECK(r, r->s.ingest_commit(r->s.user_data, second) == 0);
  CHECK(r, holds(r, D2, "other", 5) && holds(r, D1, "content", 7));
  CHECK(r, r->s.blob_delete(r->s.user_data, D1) == 0 && is_absent(r, D1));
}

static void unnamed_keep_what_is_there(run *r) {
  void *in, *named;
  uint64_t offset;
  if (!makes_unnamed(r))
    return;
  CHECK(r, put(r, D1, "content", 7) == 0);
  if (!CHECK(r, create(r, "CONTENT", 7, &in) == 0) ||
      !CHECK(r, r->s.ingest_open(r->s.user_data, D2, 7, &named, &offset) == 0))
    return;
  CHECK(r, r->s.ingest_name(r->s.user_data, in, D1, 7) == 0 && r->s.ingest_commit(r->s.user_data, in) == 0);
  if (r->s.blob_is_verified)
    CHECK(r, holds(r, D1, "content", 7));
  /* One that somebody is bringing in under its name does not stand in the way. */
  CHECK(r, r->s.ingest_write(r->s.user_data, named, 0, "fetched", 7) == 0);
  if (!CHECK(r, create(r, "fetched", 7, &in) == 0))
    return;
  CHECK(r, r->s.ingest_name(r->s.user_data, in, D2, 7) == 0 && r->s.ingest_commit(r->s.user_data, in) == 0);
  CHECK(r, r->s.ingest_commit(r->s.user_data, named) == 0);
  CHECK(r, holds(r, D2, "fetched", 7));
}

static void unnamed_are_never_resumed(run *r) {
  void *in;
  tally t = {0};
  if (!makes_unnamed(r))
    return;
  if (!CHECK(r, create(r, "content", 7, &in) == 0))
    return;
  r->s.ingest_close(r->s.user_data, in, 1);
  CHECK(r, !r->s.ingest_sweep || (r->s.ingest_sweep(r->s.user_data, tally_blob, &t) == 0 && t.count == 0));
  if (!CHECK(r, create(r, "content", 7, &in) == 0))
    return;
  CHECK(r, r->s.ingest_commit(r->s.user_data, in) != 0); /* without a name; that ends it */
  CHECK(r, r->s.blob_list(r->s.user_data, tally_blob, &t) == 0 && t.count == 0);
}

/* --- rules: references ----------------------------------------------------------------------------------------------
 */

static void references_are_kept(run *r) {
  tally t = {0};
  CHECK(r, r->s.reference_get(r->s.user_data, NAME, tally_reference, &t) == IMGSTORE_ENOTFOUND && t.count == 0);
  CHECK(r, set(r, NAME, NULL, D1) == 0 && names(r, NAME, D1));
  CHECK(r, set(r, OTHER, NULL, D1) == 0 && names(r, OTHER, D1));
  CHECK(r, set(r, NAME, NULL, D2) == 0 && names(r, NAME, D2) && names(r, OTHER, D1));
  CHECK(r, r->s.reference_list(r->s.user_data, tally_reference, &t) == 0 && t.count == 2 && t.d1 == 1 && t.d2 == 1);
  tally stopped = {.stop = 7};
  CHECK(r, r->s.reference_list(r->s.user_data, tally_reference, &stopped) == 7 && stopped.count == 1);
}

static void references_compare_and_set(run *r) {
  CHECK(r, set(r, NAME, D1, D2) == IMGSTORE_ECONFLICT);
  CHECK(r, set(r, NAME, "", D1) == 0);
  CHECK(r, set(r, NAME, "", D2) == IMGSTORE_ECONFLICT && names(r, NAME, D1));
  CHECK(r, set(r, NAME, D2, D2) == IMGSTORE_ECONFLICT && names(r, NAME, D1));
  CHECK(r, set(r, NAME, D1, D2) == 0 && names(r, NAME, D2));
}

static void references_go(run *r) {
  tally t = {0};
  CHECK(r, r->s.reference_set(r->s.user_data, NAME, NULL, NULL, 0) == IMGSTORE_ENOTFOUND);
  CHECK(r, set(r, NAME, NULL, D1) == 0 && set(r, OTHER, NULL, D2) == 0);
  CHECK(r, r->s.reference_set(r->s.user_data, NAME, D2, NULL, 0) == IMGSTORE_ECONFLICT && names(r, NAME, D1));
  CHECK(r, r->s.reference_set(r->s.user_data, NAME, D1, NULL, 0) == 0);
  CHECK(r, r->s.reference_get(r->s.user_data, NAME, tally_reference, &t) == IMGSTORE_ENOTFOUND);
  CHECK(r, names(r, OTHER, D2));
}

/* --- rules: leases, locks, threads
 * ------------------------------------------------------------------------------------ */

static void leases_are_listed_while_open(run *r) {
  void *lease, *second;
  tally t = {0}, after = {0};
  CHECK(r, r->s.lease_list(r->s.user_data, tally_blob, &t) == 0 && t.count == 0);
  if (!CHECK(r, r->s.lease_open(r->s.user_data, &lease) == 0) ||
      !CHECK(r, r->s.lease_open(r->s.user_data, &second) == 0))
    return;
  CHECK(r, r->s.lease_add(r->s.user_data, lease, D1) == 0 && r->s.lease_add(r->s.user_data, lease, D3) == 0);
  CHECK(r, r->s.lease_add(r->s.user_data, second, D2) == 0);
  CHECK(r, r->s.lease_list(r->s.user_data, tally_blob, &t) == 0 && t.count == 3 && t.d1 == 1 && t.d2 == 1);
  r->s.lease_close(r->s.user_data, lease);
  CHECK(r, r->s.lease_list(r->s.user_data, tally_blob, &after) == 0 && after.d1 == 0 && after.d2 == 1);
  r->s.lease_close(r->s.user_data, second);
}

static void many_are_leased_at_once(run *r) {
  static const char *const digests[] = {D1, D2, D3};
  void *lease;
  tally t = {0}, after = {0};
  if (!r->s.lease_add_all || !CHECK(r, r->s.lease_open(r->s.user_data, &lease) == 0))
    return;
  CHECK(r, r->s.lease_add_all(r->s.user_data, lease, digests, 0) == 0);
  CHECK(r, r->s.lease_add_all(r->s.user_data, lease, digests, 2) == 0);
  CHECK(r, r->s.lease_list(r->s.user_data, tally_blob, &t) == 0 && t.count == 2 && t.d1 == 1 && t.d2 == 1);
  CHECK(r, r->s.lease_add_all(r->s.user_data, lease, digests + 2, 1) == 0);
  CHECK(r, r->s.lease_list(r->s.user_data, tally_blob, &after) == 0 && after.count == 3);
  r->s.lease_close(r->s.user_data, lease);
}

static void locks_are_shared_or_exclusive(run *r) {
  void *a = NULL, *b = NULL;
  CHECK(r, r->s.lock(r->s.user_data, 0, &a) == 0 && r->s.lock(r->s.user_data, 0, &b) == 0);
  r->s.unlock(r->s.user_data, b);
  r->s.unlock(r->s.user_data, a);
  CHECK(r, r->s.lock(r->s.user_data, 1, &a) == 0);
  CHECK(r, put(r, D1, "content", 7) == 0 && r->s.blob_delete(r->s.user_data, D1) == 0);
  r->s.unlock(r->s.user_data, a);
  CHECK(r, is_absent(r, D1));
  CHECK(r, r->s.lock(r->s.user_data, 0, &a) == 0);
  r->s.unlock(r->s.user_data, a);
}

static void barrier_returns(run *r) {
  CHECK(r, put(r, D1, "content", 7) == 0);
  CHECK(r, !r->s.barrier || r->s.barrier(r->s.user_data) == 0);
  CHECK(r, holds(r, D1, "content", 7));
}

enum { THREADS = 4, BLOBS = 16 };
typedef struct worker {
  run run;
  char letter;
} worker;

static void *bring_in(void *data) {
  worker *w = data;
  for (int i = 0; i < BLOBS; i++) {
    char digest[] = D1, content[2000];
    memset(digest + 7, w->letter, 20);
    digest[40] = (char)('a' + i % 6);
    digest[41] = (char)('0' + i / 6);
    memset(content, digest[40], sizeof content);
    CHECK(&w->run, put(&w->run, digest, content, sizeof content) == 0);
    CHECK(&w->run, holds(&w->run, digest, content, sizeof content));
  }
  return NULL;
}

static void workers_bring_in_together(run *r) {
  pthread_t threads[THREADS];
  worker workers[THREADS];
  tally t = {0};
  if (!(r->s.flags & IMGSTORE_STORAGE_CONCURRENT))
    return;
  for (int i = 0; i < THREADS; i++) {
    workers[i] = (worker){*r, (char)('a' + i)};
    workers[i].run.failures = 0;
    if (!CHECK(r, pthread_create(&threads[i], NULL, bring_in, &workers[i]) == 0))
      return;
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    r->failures += workers[i].run.failures;
  }
  CHECK(r, r->s.blob_list(r->s.user_data, tally_blob, &t) == 0 && t.count == THREADS * BLOBS);
}

/* --- the run
 * ---------------------------------------------------------------------------------------------------------- */

static const struct rule {
  const char *name;
  void (*run)(run *r);
} rules[] = {
    {"blobs come back", blobs_come_back},
    {"reads stop at the end", reads_stop_at_the_end},
    {"delete removes", delete_removes},
    {"open blobs outlive deletion", open_blobs_outlive_deletion},
    {"list shows each once", list_shows_each_once},
    {"quarantine hides", quarantine_hides},
    {"verified is remembered", verified_is_remembered},
    {"an ingest is invisible", ingest_is_invisible},
    {"an ingest is held by one", ingest_is_held_by_one},
    {"an ingest resumes", ingest_resumes},
    {"an ingest starts over", ingest_starts_over},
    {"a dropped ingest is gone", dropped_ingest_is_gone},
    {"a longer leftover is not resumed", longer_leftover_is_not_resumed},
    {"bad digests are refused", bad_digests_are_refused},
    {"sweep asks first", sweep_asks_first},
    {"unnamed ingests get their names", unnamed_get_their_names},
    {"unnamed ingests keep what is there", unnamed_keep_what_is_there},
    {"unnamed ingests are never resumed", unnamed_are_never_resumed},
    {"references are kept", references_are_kept},
    {"references compare and set", references_compare_and_set},
    {"references go", references_go},
    {"leases are listed while open", leases_are_listed_while_open},
    {"many are leased at once", many_are_leased_at_once},
    {"locks are shared or exclusive", locks_are_shared_or_exclusive},
    {"the barrier returns", barrier_returns},
    {"workers bring in together", workers_bring_in_together},
};

int storage_conformance_run(const storage_conformance *suite) {
  int failures = 0;
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
    run r = {.suite = suite, .rule = rules[i].name};
    if (CHECK(&r, suite->make(suite->data, &r.s) == 0)) {
      rules[i].run(&r);
      if (r.s.destroy)
        r.s.destroy(r.s.user_data);
    }
    failures += r.failures;
  }
  return failures;
}
