/*
 * test_powercut.c - a store after a power cut at every instant of its life: it opens, and whatever it was said to have
 * committed is there, whole and verified.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/report.h"
#include "powercut_log.h"
#include "store_fixture.h"

#define A "h.example/a:1"
#define B "h.example/b:1"
#define C "h.example/c:1"

enum { SEEDS = 6, PIECES = 60000 };

static void need(bool right, const char *what, const ims_error *err) {
  if (right)
    return;
  fprintf(stderr, "%s: %s\n", what, err ? err->message : "");
  exit(1);
}

/* --- the life of the store
 * --------------------------------------------------------------------------------------------- */

static int32_t put(imgstore_store *store, const char *name, ims_error *err) {
  fixture_image image;
  fixture_image_init(&image, name);
  int32_t rc = fixture_image_put(store, &image, name, err);
  return rc ? rc : ims_ref_set(store, name, NULL, &image.target, err);
}

/** Brings in a blob over two ingests, the second of which takes up what is there; starts over once when it is wrong. */
static int32_t put_in_pieces(imgstore_store *store, ims_error *err) {
  static char content[PIECES];
  ims_digest digest;
  ims_ingest in;
  bool present;
  memset(content, 'p', sizeof content);
  ims_digest_of(&digest, IMS_HASH_SHA256, content, sizeof content);
  int32_t rc = ims_blob_check(store, &digest, sizeof content, &present, err);
  for (int part = 0; part < 2 && !rc && !present; part++) {
    rc = ims_ingest_open(&in, store, &digest, sizeof content, err);
    size_t end = part ? sizeof content : sizeof content / 3;
    for (int attempt = 0; attempt < 2 && !rc; attempt++) {
      if (in.offset < end)
        rc = ims_ingest_write(&in, content + in.offset, end - (size_t)in.offset, err);
      if (rc || !part || ims_ingest_verify(&in, NULL) == 0)
        break;
    }
    if (!rc && part)
      rc = ims_ingest_commit(&in, err);
    ims_ingest_close(&in, true);
  }
  return rc;
}

static void live(ims_core *core, const char *path, int32_t durability) {
  imgstore_store *store;
  ims_error err = IMS_ERROR_INIT;
  need(fixture_open(core, path, 0, durability, &store, &err) == 0, "open", &err);
  powercut_mark("created");
  need(put(store, A, &err) == 0, "put a", &err);
  powercut_mark("a");
  need(put(store, B, &err) == 0, "put b", &err);
  powercut_mark("b");
  need(put_in_pieces(store, &err) == 0, "pieces", &err);
  need(fixture_put_made(store, &err) == 0, "made", &err);
  need(ims_store_tag(store, A, C, &err) == 0, "tag", &err);
  powercut_mark("c");
  powercut_mark("removing b");
  need(ims_store_remove(store, B, 0, NULL, &err) == 0, "remove b", &err);
  powercut_mark("not b");
  need(ims_store_prune(store, NULL, &err) == 0, "prune", &err);
  ims_store_unref(store);
}

/* --- after the cut
 * ---------------------------------------------------------------------------------------------------------- */

static char where[256];

static void fail(const char *what, const char *detail) {
  fprintf(stderr, "%s: %s %s\n", where, what, detail);
  exit(1);
}

static void check_name(imgstore_store *store, const char *name, bool must, bool must_not) {
  ims_target target;
  bool there = ims_ref_get(store, name, &target, NULL) == 0;
  if (must && !there)
    fail("lost", name);
  if (must_not && there)
    fail("came back", name);
  if (there && !fixture_image_whole(store, name))
    fail("is not whole", name);
}

static void check_blobs(imgstore_store *store) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_report *report = ims_report_new(&store->core->alloc);
  if (ims_store_verify(store, IMGSTORE_VERIFY_FULL, report, &err))
    fail("verify", err.message);
  if (imgstore_report_count(report))
    fail("damaged or missing", imgstore_report_digest(report, 0));
  imgstore_report_free(report);
}

static void check(ims_core *core, const char *path, size_t instant) {
  imgstore_store *store;
  ims_error err = IMS_ERROR_INIT;
  if (fixture_open(core, path, 0, IMGSTORE_DURABILITY_NONE, &store, &err))
    fail("open", err.message);
  check_blobs(store);
  check_name(store, A, powercut_marked(instant, "a"), false);
  check_name(store, B, powercut_marked(instant, "b") && !powercut_marked(instant, "removing b"),
             powercut_marked(instant, "not b"));
  check_name(store, C, powercut_marked(instant, "c"), false);
  /* And it goes on: also where an ingest was left with holes, or a file has two names. */
  if (put_in_pieces(store, &err) || fixture_put_made(store, &err) || put(store, B, &err) ||
      ims_store_remove(store, B, 0, NULL, &err) || ims_store_prune(store, NULL, &err))
    fail("cannot go on", err.message);
  check_name(store, A, powercut_marked(instant, "a"), false);
  check_name(store, C, powercut_marked(instant, "c"), false);
  check_blobs(store);
  ims_store_unref(store);
}

static size_t cut_everywhere(ims_core *core, const char *top) {
  size_t states = 0;
  for (size_t instant = 0; instant < powercut_instants(); instant++)
    for (int model = 0; model < POWERCUT_MODELS; model++)
      for (unsigned seed = 0; seed < (model >= POWERCUT_JOURNAL ? SEEDS : 1); seed++) {
        char *path = strdup(fixture_path(top, "cut"));
        snprintf(where, sizeof where, "power cut before call %zu, model %d, seed %u", instant, model, seed);
        powercut_build(instant, model, seed, path);
        check(core, fixture_path(path, "store"), instant);
        fixture_remove(path);
        states++;
      }
  return states;
}

int main(void) {
  ims_sys recorder = powercut_sys;
  recorder.flock = ims_sys_default.flock;
  recorder.getdents64 = ims_sys_default.getdents64;
  ims_core *core = fixture_core(&recorder, NULL), *after = fixture_core(NULL, NULL);
  for (int32_t durability = IMGSTORE_DURABILITY_BATCH; durability <= IMGSTORE_DURABILITY_BLOB; durability++) {
    char *top = fixture_directory();
    powercut_begin(top);
    live(core, fixture_path(top, "store"), durability);
    powercut_end();
    size_t states = cut_everywhere(after, top);
    printf("durability %d: %zu calls, %zu power cuts, nothing lost\n", durability, powercut_instants() - 1, states);
    powercut_free();
    fixture_remove(top);
  }
  ims_core_unref(core);
  ims_core_unref(after);
  return 0;
}
