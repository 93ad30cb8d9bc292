/*
 * store/holds.c (L3) - hiding holds, and refusing to take the last name of an image that is held.
 */
#include "store/holds.h"

#include <string.h>

#include "base/text.h"

enum { HOLDERS_MAX = 8 << 10 };

bool ims_ref_is_hold(const char *name) {
  return ims_starts_with(name, IMS_HOLD_PREFIX);
}

void ims_refs_hide_holds(ims_refs *refs) {
  size_t kept = 0;
  for (size_t i = 0; i < refs->count; i++) {
    if (ims_ref_is_hold(refs->items[i].name))
      ims_free(refs->alloc, refs->items[i].name);
    else
      refs->items[kept++] = refs->items[i];
  }
  refs->count = kept;
}

/* Walks the references that go, or those that stay; no holds. */
static int32_t walk_refs(ims_walk *walk, const ims_refs *all, const ims_refs *going, bool that_go, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; i < all->count && !rc; i++)
    if (!ims_ref_is_hold(all->items[i].name) && ims_refs_have(going, all->items[i].name) == that_go)
      rc = ims_walk_target(walk, &all->items[i].target, err);
  return rc;
}

static int32_t refuse(const imgstore_store *store, const ims_ref *hold, const char *what, ims_error *err) {
  ims_buf holders;
  ims_buf_init(&holders, &store->core->alloc, HOLDERS_MAX);
  ims_hold_describe(store->core, hold->name, &hold->target.digest, &holders);
  ims_fail(err, IMGSTORE_ECONFLICT, "image %s: it is in use by %s", what, ims_buf_text(&holders));
  ims_buf_free(&holders);
  return IMGSTORE_ECONFLICT;
}

/* Those in all, no others, of what going or the image (or NULL) reaches and no other name. */
static int32_t choose_widows(imgstore_store *store, ims_refs *all, const ims_refs *going, const ims_target *image,
                             ims_error *err) {
  ims_walk lost, kept;
  size_t count = 0;
  ims_walk_init(&lost, store, false);
  ims_walk_init(&kept, store, false);
  int32_t rc = image ? ims_walk_target(&lost, image, err) : IMGSTORE_OK;
  if (!rc)
    rc = walk_refs(&lost, all, going, true, err);
  if (!rc)
    rc = walk_refs(&kept, all, going, false, err);
  for (size_t i = 0; i < all->count; i++) {
    ims_ref *ref = &all->items[i];
    if (!rc && ims_ref_is_hold(ref->name) && ims_digest_set_find(&lost.seen, &ref->target.digest) &&
        !ims_digest_set_find(&kept.seen, &ref->target.digest))
      all->items[count++] = *ref;
    else
      ims_free(all->alloc, ref->name);
  }
  all->count = count;
  ims_walk_free(&lost);
  ims_walk_free(&kept);
  return rc;
}

static bool any_hold(const ims_refs *all) {
  for (size_t i = 0; i < all->count; i++)
    if (ims_ref_is_hold(all->items[i].name))
      return true;
  return false;
}

int32_t ims_holds_allow(imgstore_store *store, const ims_refs *going, const ims_target *image, const char *what,
                        bool lost_go, ims_error *err) {
  ims_refs holds;
  int32_t rc = ims_refs_load(&holds, store, err);
  bool any = !rc && any_hold(&holds);
  if (any)
    rc = choose_widows(store, &holds, going, image, err);
  for (size_t i = 0; any && i < holds.count && !rc; i++)
    if (!lost_go || !ims_hold_is_lost(store->core, holds.items[i].name))
      rc = refuse(store, &holds.items[i], what, err);
  for (size_t i = 0; any && i < holds.count && !rc; i++)
    rc = ims_ref_remove(store, holds.items[i].name, holds.items[i].target.digest.text, err);
  ims_refs_free(&holds);
  return rc;
}
