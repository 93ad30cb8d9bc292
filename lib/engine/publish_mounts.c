/*
 * engine/publish_mounts.c (L4) - which repositories of the destination's registry may have a blob already: those that
 * the caller names, the one it is copied from, and those whose names in the store reach it.
 */
#include <string.h>

#include "base/text.h"
#include "engine/publish.h"
#include "store/walk.h"

enum { MAX_WALKS = 64, MAX_PLACES = 256 };

static const ims_alloc *alloc_of(const publish *p) {
  return &p->op.core->alloc;
}

static int32_t add_place(publish_blob *b, const char *place) {
  if (b->mount_count >= IMS_PUSH_MOUNTS_MAX)
    return IMGSTORE_OK;
  for (size_t i = 0; i < b->mount_count; i++)
    if (strcmp(b->mounts[i], place) == 0)
      return IMGSTORE_OK;
  if (!b->mounts && !(b->mounts = ims_calloc(alloc_of(b->job), IMS_PUSH_MOUNTS_MAX, sizeof *b->mounts)))
    return ims_fail_nomem(&b->job->op.err);
  b->mounts[b->mount_count++] = place;
  return IMGSTORE_OK;
}

/* Keeps the name of a repository as long as the job lives; NULL: out of memory or enough of them. */
static const char *keep(publish *p, const char *repository) {
  for (size_t i = 0; i < p->place_count; i++)
    if (strcmp(p->places[i], repository) == 0)
      return p->places[i];
  if (p->place_count >= MAX_PLACES)
    return NULL;
  char **longer = ims_realloc_array(alloc_of(p), p->places, p->place_count + 1, sizeof *longer);
  if (!longer)
    return NULL;
  p->places = longer;
  p->places[p->place_count] = ims_strdup(alloc_of(p), repository);
  return p->places[p->place_count] ? p->places[p->place_count++] : NULL;
}

int32_t publish_add_place(publish *p, const char *repository) {
  int32_t rc = ims_repository_check(repository, strlen(repository), &p->op.err);
  if (rc)
    return rc;
  return keep(p, repository) || p->place_count >= MAX_PLACES ? IMGSTORE_OK : ims_fail_nomem(&p->op.err);
}

static int32_t add_reached(publish *p, const ims_walk *walk, const char *repository) {
  for (size_t i = 0; i < p->blob_count; i++) {
    if (!ims_digest_set_find(&walk->seen, &p->blobs[i]->digest))
      continue;
    const char *place = keep(p, repository);
    int32_t rc = place ? add_place(p->blobs[i], place) : IMGSTORE_OK;
    if (rc)
      return rc;
  }
  return IMGSTORE_OK;
}

/* What a name of the store that is on the same registry reaches. */
static int32_t look_at(publish *p, ims_walk *walk, const ims_ref *ref, size_t *walks) {
  imgstore_reference *r = NULL;
  if (ims_reference_parse(&r, alloc_of(p), ref->name, NULL) != IMGSTORE_OK)
    return IMGSTORE_OK;
  int32_t rc = IMGSTORE_OK;
  if (strcmp(r->host, p->to->host) == 0 && strcmp(r->repository, p->to->repository) != 0 && ++*walks <= MAX_WALKS) {
    ims_digest_set_clear(&walk->seen);
    walk->queued = 0;
    rc = ims_walk_target(walk, &ref->target, &p->op.err);
    if (!rc)
      rc = add_reached(p, walk, r->repository);
  }
  imgstore_reference_unref(r);
  return rc;
}

static int32_t look_into_store(publish *p) {
  ims_refs refs;
  ims_walk walk;
  size_t walks = 0;
  ims_walk_init(&walk, p->store, false);
  int32_t rc = ims_refs_load(&refs, p->store, &p->op.err);
  for (size_t i = 0; !rc && i < refs.count && walks < MAX_WALKS; i++)
    rc = look_at(p, &walk, &refs.items[i], &walks);
  ims_refs_free(&refs);
  ims_walk_free(&walk);
  return rc;
}

int32_t publish_find_mounts(publish *p) {
  size_t given = p->place_count;
  for (size_t b = 0; b < p->blob_count; b++)
    for (size_t i = 0; i < given; i++) {
      int32_t rc = add_place(p->blobs[b], p->places[i]);
      if (rc)
        return rc;
    }
  return p->store && p->to && !p->dry_run ? look_into_store(p) : IMGSTORE_OK;
}
