/*
 * store/store_resolve.c (L3) - from what people type (a name, an ID, the first digits of one) to a target; and tagging.
 *
 * Order: the full name of a reference, a name as another tool wrote it, then IDs and digests. A digest in a name
 * decides over its tag.
 */
#include <string.h>

#include "base/text.h"
#include "oci/mediatype.h"
#include "oci/reference.h"
#include "store/holds.h"

enum { MIN_DIGITS = 4, MAX_LISTED = 8 };

int32_t ims_store_manifest_load(imgstore_store *store, const ims_digest *digest, const char *media_type,
                                imgstore_manifest **manifest, ims_error *err) {
  const ims_core *core = store->core;
  ims_manifest_limits limits = {core->limits.max_manifest_bytes, core->limits.max_layers};
  ims_buf data;
  *manifest = NULL;
  ims_buf_init(&data, &core->alloc, SIZE_MAX - 1);
  int32_t rc = ims_blob_load(store, digest, core->limits.max_manifest_bytes, &data, err);
  if (!rc)
    rc = ims_manifest_parse(manifest, &core->alloc, ims_buf_text(&data), data.size,
                            media_type && *media_type ? media_type : NULL, digest, &limits, digest->text, err);
  ims_buf_free(&data);
  return rc;
}

/* --- IDs ------------------------------------------------------------------------------------------------------------
 */

typedef struct id_search {
  imgstore_store *store;
  int32_t algorithm; /**< 0: any */
  const char *digits;
  size_t digit_count;
  size_t found;
  ims_digest matched; /**< the digest that begins so */
  ims_target target;  /**< the first find */
  ims_buf candidates;
} id_search;

static bool parse_id(id_search *s, const char *text) {
  for (int32_t a = IMS_HASH_SHA256; a <= IMS_HASH_SHA512; a++) {
    const char *name = ims_digest_algorithm_name(a);
    if (ims_starts_with(text, name) && text[strlen(name)] == ':') {
      s->algorithm = a;
      text += strlen(name) + 1;
      break;
    }
  }
  s->digits = text;
  s->digit_count = strlen(text);
  return s->digit_count >= MIN_DIGITS && s->digit_count <= 2 * IMS_HASH_MAX_SIZE &&
         ims_is_lower_hex(text, s->digit_count);
}

static bool begins_so(const id_search *s, const ims_digest *digest) {
  return digest->algorithm && (!s->algorithm || s->algorithm == digest->algorithm) &&
         strncmp(ims_digest_hex(digest), s->digits, s->digit_count) == 0;
}

static void note_match(id_search *s, const ims_digest *matched, const ims_target *target) {
  if (s->found && (ims_digest_equal(&s->matched, matched) || ims_digest_equal(&s->target.digest, &target->digest)))
    return;
  if (s->found < MAX_LISTED)
    ims_buf_printf(&s->candidates, "%s%s", s->found ? ", " : "", matched->text);
  else if (s->found == MAX_LISTED)
    ims_buf_puts(&s->candidates, ", ...");
  if (!s->found) {
    s->matched = *matched;
    s->target = *target;
  }
  s->found++;
}

static void target_of_entry(ims_target *target, const imgstore_descriptor *entry, const ims_digest *index) {
  memset(target, 0, sizeof *target);
  target->digest = entry->digest;
  target->size = entry->size;
  target->index = *index;
  size_t length = strlen(entry->media_type);
  if (length < sizeof target->media_type)
    memcpy(target->media_type, entry->media_type, length + 1);
}

/** A manifest's own digest and its image ID. */
static void match_image(id_search *s, const ims_target *target) {
  imgstore_manifest *m = NULL;
  if (begins_so(s, &target->digest))
    note_match(s, &target->digest, target);
  if (ims_store_manifest_load(s->store, &target->digest, NULL, &m, NULL))
    return;
  if (m->config && begins_so(s, &m->config->digest))
    note_match(s, &m->config->digest, target);
  imgstore_manifest_unref(m);
}

/** Only what is in the store counts; indexes inside an index are reached by their own names. */
static void match_children(id_search *s, const ims_target *target) {
  imgstore_manifest *m = NULL;
  if (ims_store_manifest_load(s->store, &target->digest, NULL, &m, NULL))
    return;
  for (size_t i = 0; m->kind == IMGSTORE_MANIFEST_INDEX && i < m->count; i++) {
    ims_blob blob;
    ims_target child;
    target_of_entry(&child, &m->entries[i], &target->digest);
    if (ims_blob_open(&blob, s->store, &child.digest, NULL))
      continue;
    ims_blob_close(&blob);
    match_image(s, &child);
  }
  imgstore_manifest_unref(m);
}

static int32_t match_reference(void *data, const char *name, const ims_target *target) {
  id_search *s = data;
  (void)name;
  if (begins_so(s, &target->index))
    note_match(s, &target->index, target);
  match_image(s, target);
  if (ims_media_kind(target->media_type) != IMS_MEDIA_MANIFEST)
    match_children(s, target);
  return IMGSTORE_OK;
}

/** A manifest that no reference reaches is still found by its whole digest. */
static void match_unreferenced(id_search *s, const char *text) {
  imgstore_manifest *m = NULL;
  ims_digest digest;
  ims_target target;
  if (s->found || ims_digest_parse(&digest, text, strlen(text), NULL) ||
      ims_store_manifest_load(s->store, &digest, NULL, &m, NULL))
    return;
  memset(&target, 0, sizeof target);
  target.digest = digest;
  target.size = m->size;
  size_t length = strlen(m->media_type);
  if (length < sizeof target.media_type)
    memcpy(target.media_type, m->media_type, length + 1);
  note_match(s, &digest, &target);
  imgstore_manifest_unref(m);
}

static int32_t by_id(imgstore_store *store, const char *text, ims_target *target, ims_error *err) {
  id_search s = {.store = store};
  if (!parse_id(&s, text))
    return IMGSTORE_ENOTFOUND;
  ims_buf_init(&s.candidates, &store->core->alloc, 4096);
  int32_t rc = ims_ref_list(store, match_reference, &s, err);
  if (!rc)
    match_unreferenced(&s, text);
  if (!rc && s.found > 1)
    rc = ims_fail(err, IMGSTORE_EAMBIGUOUS, "image %s: more than one begins so: %s", text, ims_buf_text(&s.candidates));
  else if (!rc && !s.found)
    rc = IMGSTORE_ENOTFOUND;
  else if (!rc)
    *target = s.target;
  ims_buf_free(&s.candidates);
  return rc;
}

/* --- names ----------------------------------------------------------------------------------------------------------
 */

typedef struct digest_search {
  const imgstore_reference *reference;
  ims_target *target;
  ims_buf *ref_name;
  bool found, same_repository;
} digest_search;

/** Is name HOST/REPOSITORY with a tag or digest? */
static bool is_of_repository(const char *name, const imgstore_reference *r) {
  size_t host = strlen(r->host), repository = strlen(r->repository);
  if (strncmp(name, r->host, host) != 0 || name[host] != '/')
    return false;
  name += host + 1;
  return strncmp(name, r->repository, repository) == 0 && (name[repository] == ':' || name[repository] == '@');
}

static int32_t match_digest(void *data, const char *name, const ims_target *target) {
  digest_search *s = data;
  const ims_digest *want = &s->reference->digest;
  if (ims_ref_is_hold(name))
    return IMGSTORE_OK;
  if (!ims_digest_equal(&target->digest, want) && !ims_digest_equal(&target->index, want))
    return IMGSTORE_OK;
  bool same = is_of_repository(name, s->reference);
  if (s->found && (s->same_repository || !same))
    return IMGSTORE_OK;
  s->found = true;
  s->same_repository = same;
  *s->target = *target;
  ims_buf_clear(s->ref_name);
  return ims_buf_puts(s->ref_name, name);
}

static int32_t by_name_and_digest(imgstore_store *store, const imgstore_reference *reference, ims_target *target,
                                  ims_buf *ref_name, ims_error *err) {
  digest_search s = {reference, target, ref_name, false, false};
  int32_t rc = ims_ref_list(store, match_digest, &s, err);
  if (rc || s.found)
    return rc;
  return by_id(store, reference->digest.text, target, err);
}

static int32_t by_exact_name(imgstore_store *store, const char *name, ims_target *target, ims_buf *ref_name,
                             ims_error *err) {
  int32_t rc = ims_ref_get(store, name, target, err);
  if ((!rc || rc == IMGSTORE_EFORMAT || rc == IMGSTORE_EUNSUPPORTED) && ims_buf_puts(ref_name, name))
    rc = ims_fail_nomem(err);
  return rc;
}

static int32_t by_reference(imgstore_store *store, const char *text, ims_target *target, ims_buf *ref_name,
                            ims_error *err) {
  imgstore_reference *reference = NULL;
  int32_t rc = ims_reference_parse(&reference, &store->core->alloc, text, NULL);
  if (rc)
    return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : IMGSTORE_ENOTFOUND;
  rc = by_exact_name(store, reference->name, target, ref_name, err);
  if (rc == IMGSTORE_ENOTFOUND && reference->digest.algorithm)
    rc = by_name_and_digest(store, reference, target, ref_name, err);
  imgstore_reference_unref(reference);
  return rc;
}

int32_t ims_store_resolve(imgstore_store *store, const char *name, ims_target *target, ims_buf *ref_name,
                          ims_error *err) {
  memset(target, 0, sizeof *target);
  ims_buf_clear(ref_name);
  if (!name || !*name)
    return ims_fail(err, IMGSTORE_EINVALID, "image: the name is empty");
  if (ims_ref_is_hold(name))
    return ims_fail(err, IMGSTORE_ENOTFOUND, "image %s: not in the store", name);
  int32_t rc = by_reference(store, name, target, ref_name, err);
  if (rc == IMGSTORE_ENOTFOUND)
    rc = by_exact_name(store, name, target, ref_name, err);
  /* By its own digest: the name that an entry without one is known by. */
  if (!rc && strcmp(ims_buf_text(ref_name), target->digest.text) == 0)
    ims_buf_clear(ref_name);
  if (rc == IMGSTORE_ENOTFOUND)
    rc = by_id(store, name, target, err);
  return rc == IMGSTORE_ENOTFOUND ? ims_fail(err, rc, "image %s: not in the store", name) : rc;
}

/* --- tagging ---------------------------------------------------------------------------------------------------------
 */

static int32_t tag_locked(imgstore_store *store, const char *source, const char *name, ims_error *err) {
  ims_target target;
  ims_buf ref_name;
  ims_blob blob;
  ims_buf_init(&ref_name, &store->core->alloc, SIZE_MAX - 1);
  int32_t rc = ims_store_resolve(store, source, &target, &ref_name, err);
  ims_buf_free(&ref_name);
  if (!rc)
    rc = ims_blob_open(&blob, store, &target.digest, err);
  if (rc)
    return rc == IMGSTORE_ENOTFOUND ? ims_fail(err, rc, "image %s: %s is not in the store", source, target.digest.text)
                                    : rc;
  if (target.size == UINT64_MAX)
    target.size = blob.size;
  ims_blob_close(&blob);
  return ims_ref_set(store, name, NULL, &target, err);
}

int32_t ims_store_tag(imgstore_store *store, const char *source, const char *name, ims_error *err) {
  void *lock;
  int32_t rc = ims_store_lock(store, 0, &lock, err);
  if (rc)
    return rc;
  rc = tag_locked(store, source, name, err);
  ims_store_unlock(store, lock);
  return rc;
}
