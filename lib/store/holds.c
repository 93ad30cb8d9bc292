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

static bool is_going(const ims_refs *going, const char *name) {
  for (size_t i = 0; i < going->count; i++)
    if (strcmp(going->items[i].name, name) == 0)
      return true;
  return false;
}

/* Walks the references that go, or those that stay; no holds. */
static int32_t walk_refs(ims_walk *walk, const ims_refs *all, const ims_refs *going, bool that_go, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; i < all->count && !rc; i++)
    if (!ims_ref_is_hold(all->items[i].name) && is_going(going, all->items[i].name) == that_go)
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

int32_t ims_holds_allow(imgstore_store *store, const ims_refs *going, const char *what, ims_error *err) {
  ims_refs all;
  ims_walk lost, kept;
  ims_walk_init(&lost, store, false);
  ims_walk_init(&kept, store, false);
  int32_t rc = ims_refs_load(&all, store, err);
  bool any = false;
  for (size_t i = 0; i < all.count && !rc; i++)
    any = any || ims_ref_is_hold(all.items[i].name);
  if (!rc && any)
    rc = walk_refs(&lost, &all, going, true, err);
  if (!rc && any)
    rc = walk_refs(&kept, &all, going, false, err);
  for (size_t i = 0; i < all.count && !rc && any; i++) {
    const ims_digest *held = &all.items[i].target.digest;
    if (ims_ref_is_hold(all.items[i].name) && ims_digest_set_find(&lost.seen, held) &&
        !ims_digest_set_find(&kept.seen, held))
      rc = refuse(store, &all.items[i], what, err);
  }
  ims_refs_free(&all);
  ims_walk_free(&lost);
  ims_walk_free(&kept);
  return rc;
}
