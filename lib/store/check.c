/*
 * store/check.c (L3) - verifying a store: structure and sizes, hashes, moving damage out of the way, and which images
 * it touches.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "store/walk.h"

enum { DAMAGED = 1u << 0, REPORTED = 1u << 1 }; /* flags in the inventory */

typedef struct check {
  imgstore_store *store;
  int32_t mode;
  imgstore_report *report;
  ims_digest_set present;
  ims_digest_set missing; /**< reported already */
  ims_refs refs;
  ims_walk walk;
  ims_error *err;
} check;

static int32_t say(check *c, int32_t kind, const char *name, const char *digest, const char *detail, uint64_t size) {
  int32_t rc = ims_report_add(c->report, kind, name, digest, detail, size, 0);
  return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(c->err) : rc ? ims_fail(c->err, rc, "report: too many lines") : rc;
}

static int32_t say_foreign(void *data, const char *name) {
  return say(data, IMGSTORE_REPORT_FOREIGN, name, "", "", 0);
}

static int32_t say_unclear(void *data, const char *name, int32_t code) {
  return say(data, IMGSTORE_REPORT_AFFECTED, name, "", "its descriptor has no digest that this library knows", 0);
}

/** Says once that a blob is damaged, and moves it out of the way when that was asked. */
static int32_t note_damage(check *c, const ims_digest *digest, const char *detail) {
  ims_digest_item *item = ims_digest_set_find(&c->present, digest);
  if (!item || (item->flags & REPORTED))
    return IMGSTORE_OK;
  item->flags |= DAMAGED | REPORTED;
  int32_t rc = say(c, IMGSTORE_REPORT_DAMAGED, "", digest->text, detail, item->size);
  if (rc || c->mode != IMGSTORE_VERIFY_REPAIR)
    return rc;
  rc = ims_blob_quarantine(c->store, digest, c->err);
  return rc ? rc : say(c, IMGSTORE_REPORT_QUARANTINED, "", digest->text, "", item->size);
}

/** Hashes one blob, whatever is remembered of it. */
static int32_t hash_blob(check *c, const ims_digest *digest) {
  ims_blob blob;
  ims_digest have;
  ims_error why = IMS_ERROR_INIT;
  uint64_t size;
  int32_t rc = ims_blob_open(&blob, c->store, digest, &why);
  if (rc == IMGSTORE_ENOTFOUND)
    return IMGSTORE_OK; /* deleted since it was listed */
  if (rc)
    return rc == IMGSTORE_EIO ? note_damage(c, digest, "cannot be read") : ims_fail(c->err, rc, "%s", why.message);
  rc = ims_blob_hash(&blob, &have, &size, &why);
  imgstore_storage *s = &c->store->storage;
  if (!rc && ims_digest_equal(&have, digest) && s->blob_set_verified)
    (void)s->blob_set_verified(s->user_data, blob.blob);
  ims_blob_close(&blob);
  if (rc == IMGSTORE_EIO)
    return note_damage(c, digest, "cannot be read");
  if (rc)
    return ims_fail(c->err, rc, "%s", why.message);
  if (ims_digest_equal(&have, digest))
    return IMGSTORE_OK;
  char detail[IMS_DIGEST_TEXT + 32];
  snprintf(detail, sizeof detail, "its content hashes to %s", have.text);
  return note_damage(c, digest, detail);
}

static int32_t hash_all(check *c) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; i < c->present.count && !rc; i++) {
    ims_digest digest;
    ims_digest_item_digest(&c->present.items[i], &digest);
    rc = hash_blob(c, &digest);
  }
  return rc;
}

static int32_t note_missing(check *c, const char *name, const ims_digest *digest) {
  size_t before = c->missing.count;
  if (!ims_digest_set_add(&c->missing, digest))
    return ims_fail_nomem(c->err);
  return c->missing.count == before ? IMGSTORE_OK : say(c, IMGSTORE_REPORT_MISSING, name, digest->text, "", 0);
}

/** Is what a reference reaches there and whole? *bad: it is not, and the reference is affected by that. */
static int32_t check_item(check *c, const char *name, const ims_digest_item *item, const ims_digest *digest,
                          bool *bad) {
  const ims_digest_item *blob = ims_digest_set_find(&c->present, digest);
  *bad = false;
  if (!blob) {
    *bad = (item->flags & IMS_WALK_REQUIRED) != 0;
    return *bad ? note_missing(c, name, digest) : IMGSTORE_OK;
  }
  int32_t rc = IMGSTORE_OK;
  if (item->flags & IMS_WALK_DAMAGED)
    rc = note_damage(c, digest, "the manifest is damaged or cannot be understood");
  else if (item->size != UINT64_MAX && item->size != blob->size && !(blob->flags & DAMAGED)) {
    char detail[96];
    snprintf(detail, sizeof detail, "%" PRIu64 " bytes instead of %" PRIu64, blob->size, item->size);
    /* By hash it is right: then it is the document that lies about its size, and the blob stays. */
    if (c->mode == IMGSTORE_VERIFY_QUICK)
      rc = note_damage(c, digest, detail);
    *bad = true;
  }
  *bad = *bad || (blob->flags & DAMAGED) != 0;
  return rc;
}

static int32_t check_reference(check *c, const ims_ref *ref) {
  ims_digest_set_clear(&c->walk.seen);
  c->walk.queued = 0;
  int32_t rc = ims_walk_target(&c->walk, &ref->target, c->err);
  for (size_t i = 0; i < c->walk.seen.count && !rc; i++) {
    ims_digest digest;
    bool bad;
    ims_digest_item_digest(&c->walk.seen.items[i], &digest);
    rc = check_item(c, ref->name, &c->walk.seen.items[i], &digest, &bad);
    if (!rc && bad)
      rc = say(c, IMGSTORE_REPORT_AFFECTED, ref->name, digest.text, "", 0);
  }
  return rc;
}

int32_t ims_store_verify(imgstore_store *store, int32_t mode, imgstore_report *report, ims_error *err) {
  check c = {.store = store, .mode = mode, .report = report, .err = err};
  if (mode < IMGSTORE_VERIFY_QUICK || mode > IMGSTORE_VERIFY_REPAIR)
    return ims_fail(err, IMGSTORE_EINVALID, "verify: no such mode");
  ims_digest_set_init(&c.present, &store->core->alloc);
  ims_digest_set_init(&c.missing, &store->core->alloc);
  ims_walk_init(&c.walk, store, false);
  /* References first: what is published after they were read is not missed, what they name is listed after it. */
  int32_t rc = ims_refs_load(&c.refs, store, err);
  if (!rc)
    rc = ims_ref_list_unclear(store, say_unclear, &c, err);
  if (!rc)
    rc = ims_inventory_load(&c.present, store, say_foreign, &c, err);
  if (!rc && mode != IMGSTORE_VERIFY_QUICK)
    rc = hash_all(&c);
  for (size_t i = 0; i < c.refs.count && !rc; i++)
    rc = check_reference(&c, &c.refs.items[i]);
  ims_refs_free(&c.refs);
  ims_walk_free(&c.walk);
  ims_digest_set_free(&c.missing);
  ims_digest_set_free(&c.present);
  return rc;
}
