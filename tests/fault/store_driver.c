/*
 * store_driver.c - a short life of a store, for the script that kills it at every system call, and the check of what is
 * left.
 *
 * store_driver run DIR     makes a store, images and tags, removes and prunes; prints each step when it is done
 * store_driver check DIR STEP...   opens what is left: all that the steps that were printed committed must be whole
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/report.h"
#include "store_fixture.h"

#define A "h.example/a:1"
#define B "h.example/b:1"
#define C "h.example/c:1"

static int die(const char *what, const ims_error *err) {
  fprintf(stderr, "%s: %s\n", what, err->message);
  return 1;
}

static void done(const char *step) {
  if (write(STDOUT_FILENO, step, strlen(step)) < 0 || write(STDOUT_FILENO, "\n", 1) < 0)
    _exit(3);
}

static int32_t put(imgstore_store *store, const char *name, ims_error *err) {
  fixture_image image;
  ims_lease lease;
  fixture_image_init(&image, name);
  int32_t rc = ims_lease_open(&lease, store, err);
  if (!rc)
    rc = ims_lease_add(&lease, &image.layer, err);
  if (!rc)
    rc = fixture_image_put(store, &image, name, err);
  if (!rc)
    rc = ims_ref_set(store, name, NULL, &image.target, err);
  ims_lease_close(&lease);
  return rc;
}

/** A blob that comes in pieces, over two ingests. */
static int32_t put_in_pieces(imgstore_store *store, ims_error *err) {
  static char content[100000];
  ims_digest digest;
  ims_ingest in;
  bool present;
  memset(content, 'p', sizeof content);
  ims_digest_of(&digest, IMS_HASH_SHA512, content, sizeof content);
  int32_t rc = ims_blob_check(store, &digest, sizeof content, &present, err);
  for (int part = 0; part < 2 && !rc && !present; part++) {
    rc = ims_ingest_open(&in, store, &digest, sizeof content, err);
    size_t end = part ? sizeof content : sizeof content / 2;
    if (!rc && in.offset < end)
      rc = ims_ingest_write(&in, content + in.offset, end - (size_t)in.offset, err);
    if (!rc && part)
      rc = ims_ingest_verify(&in, err);
    if (!rc && part)
      rc = ims_ingest_commit(&in, err);
    ims_ingest_close(&in, true);
  }
  return rc;
}

static int32_t run(ims_core *core, const char *path, ims_error *err) {
  imgstore_store *store;
  int32_t rc = fixture_open(core, path, 0, IMGSTORE_DURABILITY_BATCH, &store, err);
  if (rc)
    return rc;
  done("created");
  if (!(rc = put(store, A, err)))
    done("a");
  if (!rc && !(rc = put(store, B, err)))
    done("b");
  if (!rc && !(rc = put_in_pieces(store, err)))
    done("pieces");
  if (!rc && !(rc = fixture_put_made(store, err)))
    done("made");
  if (!rc && !(rc = ims_store_tag(store, A, C, err)))
    done("c");
  if (!rc && !(rc = ims_store_remove(store, B, 0, NULL, err)))
    done("not-b");
  if (!rc && !(rc = ims_store_prune(store, NULL, err)))
    done("pruned");
  ims_store_unref(store);
  return rc;
}

/* --- the check
 * --------------------------------------------------------------------------------------------------------- */

static bool has(int argc, char **argv, const char *step) {
  for (int i = 0; i < argc; i++)
    if (strcmp(argv[i], step) == 0)
      return true;
  return false;
}

/** committed: it must be there; started: it may be. */
static int check_name(imgstore_store *store, const char *name, bool must, bool must_not) {
  ims_target target;
  int32_t rc = ims_ref_get(store, name, &target, NULL);
  if ((rc && must) || (!rc && must_not)) {
    fprintf(stderr, "%s is %s\n", name, rc ? "lost" : "back");
    return 1;
  }
  if (!rc && !fixture_image_whole(store, name)) {
    fprintf(stderr, "%s is not whole\n", name);
    return 1;
  }
  return 0;
}

static int check_blobs(ims_core *core, imgstore_store *store) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_report *report = ims_report_new(&core->alloc);
  int bad = ims_store_verify(store, IMGSTORE_VERIFY_FULL, report, &err) ? die("verify", &err) : 0;
  for (size_t i = 0; i < imgstore_report_count(report); i++, bad = 1)
    fprintf(stderr, "verify: kind %d %s %s\n", imgstore_report_kind(report, i), imgstore_report_name(report, i),
            imgstore_report_digest(report, i));
  imgstore_report_free(report);
  return bad;
}

static int check(ims_core *core, const char *path, int steps, char **step) {
  imgstore_store *store;
  ims_error err = IMS_ERROR_INIT;
  if (fixture_open(core, path, 0, IMGSTORE_DURABILITY_BATCH, &store, &err))
    return die("open", &err);
  int bad = check_blobs(core, store);
  bad |= check_name(store, A, has(steps, step, "a"), false);
  /* While it is being removed it may be there or not. */
  bad |= check_name(store, B, has(steps, step, "b") && !has(steps, step, "c"), has(steps, step, "not-b"));
  bad |= check_name(store, C, has(steps, step, "c"), false);
  ims_store_unref(store);
  return bad;
}

int main(int argc, char **argv) {
  ims_error err = IMS_ERROR_INIT;
  if (argc < 3)
    return 2;
  ims_core *core = fixture_core(NULL, NULL);
  int rc = 2;
  if (strcmp(argv[1], "run") == 0)
    rc = run(core, argv[2], &err) ? die("run", &err) : 0;
  else if (strcmp(argv[1], "check") == 0)
    rc = check(core, argv[2], argc - 3, argv + 3);
  ims_core_unref(core);
  return rc;
}
