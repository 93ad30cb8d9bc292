/*
 * store/usage.c (L3) - what references take on the disk: the list of images, and disk usage with shared parts.
 */
#include <string.h>

#include "base/text.h"
#include "store/holds.h"

enum { SHARED = 1u << 0 }; /* flag in the inventory: more than one image reaches it */

typedef struct accounting {
  imgstore_store *store;
  ims_refs refs;
  ims_digest_set present; /**< every blob of the store with its size */
  ims_digest_set owners;  /**< of each blob reached: size is the number of the first image that does */
  ims_walk walk;
} accounting;

static int32_t begin(accounting *a, imgstore_store *store, ims_error *err) {
  memset(a, 0, sizeof *a);
  a->store = store;
  ims_digest_set_init(&a->present, &store->core->alloc);
  ims_digest_set_init(&a->owners, &store->core->alloc);
  ims_walk_init(&a->walk, store, false);
  int32_t rc = ims_refs_load(&a->refs, store, err);
  ims_refs_hide_holds(&a->refs);
  return rc ? rc : ims_inventory_load(&a->present, store, NULL, NULL, err);
}

static void end(accounting *a) {
  ims_walk_free(&a->walk);
  ims_digest_set_free(&a->owners);
  ims_digest_set_free(&a->present);
  ims_refs_free(&a->refs);
}

static int32_t walk_one(accounting *a, const ims_target *target, ims_error *err) {
  ims_digest_set_clear(&a->walk.seen);
  a->walk.queued = 0;
  return ims_walk_target(&a->walk, target, err);
}

static ims_digest_item *present_item(const accounting *a, size_t i) {
  ims_digest digest;
  ims_digest_item_digest(&a->walk.seen.items[i], &digest);
  return ims_digest_set_find(&a->present, &digest);
}

static void sum_sizes(const accounting *a, uint64_t *total, uint64_t *shared) {
  *total = *shared = 0;
  for (size_t i = 0; i < a->walk.seen.count; i++) {
    const ims_digest_item *blob = present_item(a, i);
    if (!blob)
      continue;
    *total += blob->size;
    *shared += blob->flags & SHARED ? blob->size : 0;
  }
}

static int32_t add_line(imgstore_report *report, const ims_ref *ref, uint64_t total, uint64_t shared, ims_error *err) {
  const char *digest = ref ? ims_target_named(&ref->target)->text : "";
  int32_t rc = ims_report_add(report, IMGSTORE_REPORT_USAGE, ref ? ref->name : "", digest, "", total, shared);
  return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : rc ? ims_fail(err, rc, "report: too many lines") : rc;
}

static int32_t add_lines(accounting *a, imgstore_report *report, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; i < a->refs.count && !rc; i++) {
    uint64_t total, shared;
    rc = walk_one(a, &a->refs.items[i].target, err);
    if (rc)
      break;
    sum_sizes(a, &total, &shared);
    rc = add_line(report, &a->refs.items[i], total, shared, err);
  }
  return rc;
}

int32_t ims_store_list(imgstore_store *store, imgstore_report *report, ims_error *err) {
  accounting a;
  int32_t rc = begin(&a, store, err);
  if (!rc)
    rc = add_lines(&a, report, err);
  end(&a);
  return rc;
}

/** The number of the image that reference i names: two names of one image share nothing with others by that. */
static size_t image_of(const accounting *a, ims_digest_set *images, size_t i) {
  ims_digest_item *item = ims_digest_set_add(images, &a->refs.items[i].target.digest);
  return item ? (size_t)(item - images->items) : SIZE_MAX;
}

static int32_t note_owner(accounting *a, size_t image, ims_error *err) {
  for (size_t i = 0; i < a->walk.seen.count; i++) {
    ims_digest digest;
    ims_digest_item_digest(&a->walk.seen.items[i], &digest);
    ims_digest_item *owner = ims_digest_set_add(&a->owners, &digest);
    if (!owner)
      return ims_fail_nomem(err);
    if (owner->size == UINT64_MAX)
      owner->size = image;
    ims_digest_item *blob = owner->size == image ? NULL : ims_digest_set_find(&a->present, &digest);
    if (blob)
      blob->flags |= SHARED;
  }
  return IMGSTORE_OK;
}

static int32_t find_shared(accounting *a, ims_error *err) {
  ims_digest_set images;
  ims_digest_set_init(&images, &a->store->core->alloc);
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; i < a->refs.count && !rc; i++) {
    size_t image = image_of(a, &images, i);
    rc = image == SIZE_MAX ? ims_fail_nomem(err) : walk_one(a, &a->refs.items[i].target, err);
    if (!rc)
      rc = note_owner(a, image, err);
  }
  ims_digest_set_free(&images);
  return rc;
}

int32_t ims_store_usage(imgstore_store *store, imgstore_report *report, ims_error *err) {
  accounting a;
  uint64_t total = 0;
  int32_t rc = begin(&a, store, err);
  if (!rc)
    rc = find_shared(&a, err);
  if (!rc)
    rc = add_lines(&a, report, err);
  for (size_t i = 0; i < a.present.count; i++)
    total += a.present.items[i].size;
  if (!rc)
    rc = add_line(report, NULL, total, 0, err);
  end(&a);
  return rc;
}
