/*
 * store/collect.c (L3) - deleting what nothing reaches: prune, and the second half of removing an image.
 *
 * Marking is done without the lock; under it only what changed meanwhile is marked, and the rest is deleted. Whatever
 * a running job leases is marked. When it cannot be known what a manifest needs, nothing is deleted.
 *
 * Whether an image may go, taking its names away and deleting it is one step under the lock, as holding an image is:
 * an image is either held before it goes, and stays, or gone before somebody can hold it.
 */
#include <string.h>

#include "base/text.h"
#include "store/holds.h"

typedef struct marking {
  ims_walk walk;
  const ims_refs *going; /**< references to pass over, with all holds, which may go too; or NULL */
  ims_error *err;
} marking;

static int32_t mark_lease(void *data, const char *text, uint64_t size) {
  marking *m = data;
  ims_digest digest;
  (void)size;
  if (ims_digest_parse(&digest, text, strlen(text), NULL))
    return IMGSTORE_OK;
  return ims_walk_leased(&m->walk, &digest, m->err);
}

/** Text that is no digest names nothing; one of another algorithm may name an image whose layers are known here. */
static int32_t refuse_unclear(void *data, const char *name, int32_t code) {
  marking *m = data;
  if (code != IMGSTORE_EUNSUPPORTED)
    return IMGSTORE_OK;
  return ims_fail(m->err, code,
                  "reference %s: its digest is of an unknown algorithm, and what it needs cannot be known", name);
}

static int32_t mark_references(marking *m) {
  imgstore_store *store = m->walk.store;
  ims_refs refs = {0};
  int32_t rc = ims_ref_list_unclear(store, refuse_unclear, m, m->err);
  if (!rc)
    rc = ims_refs_load(&refs, store, m->err);
  for (size_t i = 0; i < refs.count && !rc; i++) {
    if (m->going && (ims_ref_is_hold(refs.items[i].name) || ims_refs_have(m->going, refs.items[i].name)))
      continue;
    rc = ims_walk_target(&m->walk, &refs.items[i].target, m->err);
    if (rc)
      ims_error_prefix(m->err, "reference %s", refs.items[i].name);
  }
  ims_refs_free(&refs);
  return rc;
}

/**
 * Marks all that leases and references reach and that is not marked yet. Leases first: a job sets its reference, then
 * ends its lease, so what is no longer leased when the leases are read has its reference when those are.
 */
static int32_t mark(marking *m) {
  const imgstore_storage *storage = &m->walk.store->storage;
  int32_t rc = storage->lease_list(storage->user_data, mark_lease, m);
  rc = ims_store_fail(rc, "cannot list leases", "", m->err);
  if (!rc)
    rc = ims_walk_again(&m->walk, m->err);
  return rc ? rc : mark_references(m);
}

static int32_t report_deleted(imgstore_report *report, const ims_digest *digest, uint64_t size, const char *detail,
                              ims_error *err) {
  int32_t rc =
      report ? ims_report_add(report, IMGSTORE_REPORT_DELETED, "", digest->text, detail, size, 0) : IMGSTORE_OK;
  return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : rc ? ims_fail(err, rc, "report: too many lines") : rc;
}

static int32_t delete_unmarked(marking *m, const ims_digest_set *present, const ims_digest_set *only,
                               imgstore_report *report) {
  imgstore_storage *s = &m->walk.store->storage;
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; i < present->count && !rc; i++) {
    ims_digest digest;
    ims_digest_item_digest(&present->items[i], &digest);
    if (ims_digest_set_find(&m->walk.seen, &digest) || (only && !ims_digest_set_find(only, &digest)))
      continue;
    rc = s->blob_delete(s->user_data, digest.text);
    if (rc == IMGSTORE_ENOTFOUND)
      rc = IMGSTORE_OK;
    else if (rc)
      rc = ims_store_fail(rc, "cannot delete blob", digest.text, m->err);
    else
      rc = report_deleted(report, &digest, present->items[i].size, "", m->err);
  }
  return rc;
}

typedef struct sweeping {
  marking *m;
  imgstore_report *report;
} sweeping;

/** An unfinished ingest goes, unless a running job leases it and is between two tries. */
static int32_t sweep_ingest(void *data, const char *text, uint64_t size) {
  sweeping *s = data;
  ims_digest digest;
  if (ims_digest_parse(&digest, text, strlen(text), NULL))
    return 1;
  const ims_digest_item *item = ims_digest_set_find(&s->m->walk.seen, &digest);
  if (item && (item->flags & IMS_WALK_LEASED))
    return 1;
  return report_deleted(s->report, &digest, size, "unfinished", s->m->err);
}

static int32_t sweep(marking *m, imgstore_report *report) {
  imgstore_storage *storage = &m->walk.store->storage;
  sweeping s = {m, report};
  if (!storage->ingest_sweep)
    return IMGSTORE_OK;
  int32_t rc = storage->ingest_sweep(storage->user_data, sweep_ingest, &s);
  return ims_store_fail(rc, "cannot remove unfinished blobs", "", m->err);
}

/** What there is and what is needed, as far as it can be found out without the lock. */
typedef struct collection {
  marking marking;
  ims_digest_set present;
} collection;

/** going: references that will not be there any more when the lock is held, or NULL. */
static int32_t prepare(collection *c, imgstore_store *store, const ims_refs *going, ims_error *err) {
  c->marking = (marking){.going = going, .err = err};
  ims_walk_init(&c->marking.walk, store, true);
  ims_digest_set_init(&c->present, &store->core->alloc);
  int32_t rc = mark(&c->marking);
  if (!rc)
    rc = ims_inventory_load(&c->present, store, NULL, NULL, err);
  c->marking.going = NULL;
  return rc;
}

/** Under the exclusive lock. only: the digests that may be deleted; NULL: all, and what interrupted jobs left. */
static int32_t finish(collection *c, const ims_digest_set *only, imgstore_report *report) {
  int32_t rc = mark(&c->marking);
  if (!rc)
    rc = delete_unmarked(&c->marking, &c->present, only, report);
  return rc || only ? rc : sweep(&c->marking, report);
}

static void collection_free(collection *c) {
  ims_digest_set_free(&c->present);
  ims_walk_free(&c->marking.walk);
}

static int32_t collect(imgstore_store *store, const ims_digest_set *only, imgstore_report *report, ims_error *err) {
  collection c;
  void *lock;
  int32_t rc = prepare(&c, store, NULL, err);
  if (!rc)
    rc = ims_store_lock(store, 1, &lock, err);
  if (!rc) {
    rc = finish(&c, only, report);
    ims_store_unlock(store, lock);
  }
  collection_free(&c);
  return rc;
}

int32_t ims_store_collect(imgstore_store *store, const ims_digest_set *only, ims_error *err) {
  return collect(store, only, NULL, err);
}

int32_t ims_store_prune(imgstore_store *store, imgstore_report *report, ims_error *err) {
  return collect(store, NULL, report, err);
}

/* --- removing an image ------------------------------------------------------------------------------------------- */

typedef struct removal {
  imgstore_store *store;
  ims_target target;
  bool whole;     /**< the image itself, and not one of its names */
  ims_refs refs;  /**< those that go */
  ims_walk reach; /**< what they reached */
  imgstore_report *report;
} removal;

static bool names_target(const ims_target *ref, const ims_target *target) {
  return ims_digest_equal(&ref->digest, &target->digest) ||
         (target->index.algorithm && ims_digest_equal(&ref->digest, &target->index));
}

/** Leaves in r->refs what is to be removed: one by name, or all of the image. */
static void choose_refs(removal *r, const char *ref_name) {
  size_t kept = 0;
  for (size_t i = 0; i < r->refs.count; i++) {
    ims_ref *ref = &r->refs.items[i];
    bool chosen = *ref_name ? strcmp(ref->name, ref_name) == 0 : names_target(&ref->target, &r->target);
    if (chosen)
      r->refs.items[kept++] = *ref;
    else
      ims_free(r->refs.alloc, ref->name);
  }
  r->refs.count = kept;
}

static int32_t check_choice(const removal *r, const char *name, const char *ref_name, uint32_t flags, ims_error *err) {
  if (*ref_name || r->refs.count <= 1 || (flags & IMGSTORE_REMOVE_ALL_NAMES))
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_ECONFLICT, "image %s: it has %zu names, among them %s and %s", name, r->refs.count,
                  r->refs.items[0].name, r->refs.items[1].name);
}

static int32_t find_reach(removal *r, ims_error *err) {
  int32_t rc = ims_walk_target(&r->reach, &r->target, err);
  for (size_t i = 0; i < r->refs.count && !rc; i++)
    rc = ims_walk_target(&r->reach, &r->refs.items[i].target, err);
  return rc;
}

static int32_t remove_refs(removal *r, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; i < r->refs.count && !rc; i++) {
    const ims_ref *ref = &r->refs.items[i];
    rc = ims_ref_remove(r->store, ref->name, ref->target.digest.text, err);
    if (!rc && r->report &&
        ims_report_add(r->report, IMGSTORE_REPORT_UNTAGGED, ref->name, ims_target_named(&ref->target)->text, "", 0, 0))
      rc = ims_fail_nomem(err);
  }
  return rc;
}

/**
 * The names are gone, which is what was asked. That another image is damaged keeps the content here until that is
 * mended; it is no failure of this removal.
 */
static int32_t settle_collection(const removal *r, int32_t rc, const ims_error *why, ims_error *err) {
  if (rc == IMGSTORE_ECORRUPT || rc == IMGSTORE_EFORMAT || rc == IMGSTORE_EUNSUPPORTED || rc == IMGSTORE_ELIMIT) {
    ims_log(r->store->core, IMGSTORE_LOG_WARNING, "store: content is kept: %s", why->message);
    return IMGSTORE_OK;
  }
  if (rc && err && !err->code)
    *err = *why;
  return rc;
}

static int32_t take_names(removal *r, const char *name, uint32_t flags, ims_error *err) {
  int32_t rc = ims_holds_allow(r->store, &r->refs, r->whole ? &r->target : NULL, name,
                               flags & IMGSTORE_REMOVE_LOST_INSTANCES, err);
  return rc ? rc : remove_refs(r, err);
}

/** The names, and what only they reached. */
static int32_t take_away(removal *r, const char *name, uint32_t flags, ims_error *err) {
  bool collects = !(flags & IMGSTORE_REMOVE_KEEP_CONTENT);
  ims_error why = IMS_ERROR_INIT;
  collection c;
  void *lock;
  int32_t prepared = collects ? prepare(&c, r->store, &r->refs, &why) : IMGSTORE_OK;
  int32_t rc = ims_store_lock(r->store, 1, &lock, err);
  if (!rc) {
    rc = take_names(r, name, flags, err);
    if (!rc && collects && !prepared)
      prepared = finish(&c, &r->reach.seen, r->report);
    ims_store_unlock(r->store, lock);
  }
  if (collects)
    collection_free(&c);
  return rc ? rc : settle_collection(r, prepared, &why, err);
}

/** A reference whose descriptor cannot be understood is no image, but its name can go. */
static int32_t remove_unclear(removal *r, const char *name, ims_error *err) {
  int32_t rc = ims_ref_remove(r->store, name, NULL, err);
  if (!rc && r->report && ims_report_add(r->report, IMGSTORE_REPORT_UNTAGGED, name, "", "", 0, 0))
    rc = ims_fail_nomem(err);
  return rc;
}

int32_t ims_store_remove(imgstore_store *store, const char *name, uint32_t flags, imgstore_report *report,
                         ims_error *err) {
  removal r = {.store = store, .report = report};
  ims_buf ref_name;
  ims_buf_init(&ref_name, &store->core->alloc, SIZE_MAX - 1);
  ims_walk_init(&r.reach, store, false);
  ims_error why = IMS_ERROR_INIT;
  int32_t rc = ims_store_resolve(store, name, &r.target, &ref_name, &why);
  if ((rc == IMGSTORE_EFORMAT || rc == IMGSTORE_EUNSUPPORTED) && ref_name.size) {
    rc = remove_unclear(&r, ims_buf_text(&ref_name), err);
    ims_buf_free(&ref_name);
    ims_walk_free(&r.reach);
    return rc;
  }
  if (rc && err && !err->code)
    *err = why;
  if (!rc)
    rc = ims_refs_load(&r.refs, store, err);
  ims_refs_hide_holds(&r.refs);
  if (!rc) {
    r.whole = !ref_name.size;
    choose_refs(&r, ims_buf_text(&ref_name));
    rc = check_choice(&r, name, ims_buf_text(&ref_name), flags, err);
  }
  if (!rc)
    rc = find_reach(&r, err);
  if (!rc)
    rc = take_away(&r, name, flags, err);
  ims_refs_free(&r.refs);
  ims_walk_free(&r.reach);
  ims_buf_free(&ref_name);
  return rc;
}
