/*
 * engine/attached_store.c (L4) - what a store has that is attached to one of its images: manifests that any reference
 * reaches and whose subject is the image or its index, and BuildKit's manifests in the index.
 */
#include <string.h>

#include "engine/attached.h"
#include "engine/image.h"
#include "oci/attached_kind.h"
#include "oci/mediatype.h"
#include "store/walk.h"

typedef struct local {
  imgstore_store *store;
  imgstore_attached *list;
  const imgstore_attached_options *options;
  const imgstore_image *image;
  ims_error *err;
} local;

static bool is_wanted(const local *l, const imgstore_manifest *m) {
  const char *type = l->options->artifact_type;
  return !type || ims_media_equal(type, m->artifact_type ? m->artifact_type : "");
}

/* Damaged or foreign documents are nobody's referrers. */
static imgstore_manifest *load(local *l, const ims_digest *digest, int32_t *rc) {
  imgstore_manifest *m = NULL;
  ims_error why = IMS_ERROR_INIT;
  *rc = ims_store_manifest_load(l->store, digest, NULL, &m, &why);
  if (*rc == IMGSTORE_ENOMEM)
    ims_fail_nomem(l->err);
  else
    *rc = IMGSTORE_OK;
  return m;
}

static int32_t add(local *l, imgstore_manifest *m, const ims_digest *subject, int32_t found) {
  return is_wanted(l, m) ? ims_attached_add(l->list, m, subject, found, l->options->kind, l->err) : IMGSTORE_OK;
}

/* BuildKit's: an entry of the index whose annotations name the image's manifest. */
static int32_t add_beside(local *l) {
  const imgstore_manifest *index = l->image->index;
  const ims_digest *digest = &l->image->manifest->digest;
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; index && i < index->count && !rc; i++) {
    if (!ims_is_attestation_of(&index->entries[i], digest))
      continue;
    imgstore_manifest *m = load(l, &index->entries[i].digest, &rc);
    if (m)
      rc = add(l, m, digest, IMGSTORE_FOUND_INDEX);
    imgstore_manifest_unref(m);
  }
  return rc;
}

static int32_t add_referrer(local *l, const ims_digest *digest) {
  const imgstore_manifest *index = l->image->index;
  int32_t rc;
  imgstore_manifest *m = load(l, digest, &rc);
  if (m && m->subject &&
      (ims_digest_equal(&m->subject->digest, &l->image->manifest->digest) ||
       (index && ims_digest_equal(&m->subject->digest, &index->digest))))
    rc = add(l, m, &m->subject->digest, IMGSTORE_FOUND_STORE);
  imgstore_manifest_unref(m);
  return rc;
}

static int32_t add_referrers(local *l) {
  ims_walk walk;
  ims_refs refs;
  ims_digest digest;
  ims_walk_init(&walk, l->store, false);
  int32_t rc = ims_refs_load(&refs, l->store, l->err);
  for (size_t i = 0; i < refs.count && !rc; i++)
    rc = ims_walk_target(&walk, &refs.items[i].target, l->err);
  for (size_t i = 0; i < walk.seen.count && !rc; i++) {
    const ims_digest_item *item = &walk.seen.items[i];
    if (!(item->flags & IMS_WALK_MANIFEST) || (item->flags & (IMS_WALK_ABSENT | IMS_WALK_DAMAGED)))
      continue;
    ims_digest_item_digest(item, &digest);
    rc = add_referrer(l, &digest);
  }
  ims_refs_free(&refs);
  ims_walk_free(&walk);
  return rc;
}

int32_t ims_attached_list_store(imgstore_attached **list, imgstore_store *store, const char *name,
                                const imgstore_attached_options *options, ims_error *err) {
  imgstore_image *image;
  *list = NULL;
  int32_t rc = ims_image_open(&image, store, name, options->platform, err);
  if (rc)
    return rc;
  local l = {store, NULL, options, image, err};
  rc = ims_attached_new(&l.list, store->core, NULL, NULL, store, &image->manifest->digest, err);
  if (!rc)
    rc = add_beside(&l);
  if (!rc)
    rc = add_referrers(&l);
  imgstore_image_unref(image);
  if (rc)
    imgstore_attached_unref(l.list);
  else
    *list = l.list;
  return rc;
}
