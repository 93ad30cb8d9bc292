/*
 * engine/build_rebase.c (L4) - an image on another base: its own layers stay, and of its config what differs from the
 * old base. What is just as the old base has it becomes what the new base has.
 */
#include <string.h>

#include "engine/build.h"
#include "engine/build_publish.h"
#include "oci/pairs.h"

/* The three configs of a rebase. */
typedef struct rebase {
  imgstore_builder *builder;
  const ims_config *own, *old, *new;
  ims_error *err;
} rebase;

/* --- checks ------------------------------------------------------------------------------------------------------- */

static bool is_changed(const imgstore_builder *b) {
  bool changed = false;
  for (size_t i = 0; i < IMS_CONFIG_TEXTS; i++)
    changed = changed || b->text[i];
  for (size_t i = 0; i < IMS_CONFIG_LISTS; i++)
    changed = changed || b->list[i].set;
  return changed;
}

static int32_t check(const imgstore_builder *b, const imgstore_image *old_base, const imgstore_image *new_base,
                     ims_error *err) {
  ims_platform have, want;
  if (b->running)
    return ims_fail(err, IMGSTORE_EBUSY, "the builder is being finished");
  if (!b->base)
    return ims_fail(err, IMGSTORE_EINVALID, "rebase: the builder began from scratch, without an image");
  if (b->new_base || b->addition_count || is_changed(b))
    return ims_fail(err, IMGSTORE_EINVALID, "rebase: comes once, and before anything is set or added");
  if (old_base->store != b->store || new_base->store != b->store)
    return ims_fail(err, IMGSTORE_EINVALID, "rebase: a base image is of another store");
  const ims_config *own = b->base->config, *old = old_base->config;
  if (old->layer_count > own->layer_count)
    return ims_fail(err, IMGSTORE_ECONFLICT, "rebase: the old base has %zu layers, the image only %zu",
                    old->layer_count, own->layer_count);
  for (size_t i = 0; i < old->layer_count; i++)
    if (!ims_digest_equal(&old->diff_ids[i], &own->diff_ids[i]))
      return ims_fail(err, IMGSTORE_ECONFLICT, "rebase: layer %zu of the image is %s, not %s as in the old base", i,
                      own->diff_ids[i].text, old->diff_ids[i].text);
  ims_config_platform(own, &want);
  ims_config_platform(new_base->config, &have);
  if (strcmp(want.os, have.os) != 0 || strcmp(want.architecture, have.architecture) != 0)
    return ims_fail(err, IMGSTORE_ECONFLICT, "rebase: the image is for %s/%s, the new base for %s/%s", want.os,
                    want.architecture, have.os, have.architecture);
  return IMGSTORE_OK;
}

/* --- config ------------------------------------------------------------------------------------------------------- */

static int32_t merge_text(rebase *r, int field) {
  const char *own = r->own->text[field], *old = r->old->text[field], *new = r->new->text[field];
  char **set = &r->builder->text[field];
  if (strcmp(own, old) != 0 || strcmp(own, new) == 0)
    return IMGSTORE_OK;
  *set = ims_strdup(&r->builder->core->alloc, new);
  return *set ? IMGSTORE_OK : ims_fail_nomem(r->err);
}

static bool same_list(const ims_list *a, const ims_list *b) {
  if (a->count != b->count)
    return false;
  for (size_t i = 0; i < a->count; i++)
    if (strcmp(a->items[i].value, b->items[i].value) != 0)
      return false;
  return true;
}

static int32_t merge_list(rebase *r, int list) {
  ims_own_list *set = &r->builder->list[list];
  const ims_list *new = &r->new->list[list];
  int32_t rc = IMGSTORE_OK;
  if (!same_list(&r->own->list[list], &r->old->list[list]) || same_list(&r->own->list[list], new))
    return rc;
  for (size_t i = 0; !rc && i < new->count; i++)
    rc = ims_pairs_add(&r->builder->core->alloc, &set->items, &set->count, "", new->items[i].value, r->err);
  set->set = true;
  return rc;
}

/* Bytes of the key of an item: a label's key, the name of a variable, all of a port or volume. */
static const char *key_of(int list, const ims_pair *item, size_t *size) {
  const char *key = list == IMGSTORE_IMAGE_LABELS ? item->key : item->value;
  *size = list == IMGSTORE_IMAGE_ENV ? strcspn(key, "=") : strlen(key);
  return key;
}

static const ims_pair *find_item(const ims_list *items, int list, const char *key, size_t size) {
  for (size_t i = 0; i < items->count; i++) {
    size_t other_size;
    const char *other = key_of(list, &items->items[i], &other_size);
    if (other_size == size && memcmp(other, key, size) == 0)
      return &items->items[i];
  }
  return NULL;
}

static bool same_item(const ims_pair *a, const ims_pair *b) {
  return a && b ? strcmp(a->value, b->value) == 0 : a == b;
}

static int32_t put_item(rebase *r, ims_own_list *set, int list, const ims_pair *item) {
  const ims_alloc *alloc = &r->builder->core->alloc;
  size_t size;
  const char *key = key_of(list, item, &size);
  char *copy = ims_strndup(alloc, key, size);
  int32_t rc =
      copy ? ims_pairs_set(alloc, &set->items, &set->count, copy, item->value, r->err) : ims_fail_nomem(r->err);
  ims_free(alloc, copy);
  return rc;
}

/* Item by item: first those of the new base that the image did not change, in its order, then the image's own. */
static int32_t merge_items(rebase *r, int list) {
  const ims_list *own = &r->own->list[list], *old = &r->old->list[list], *new = &r->new->list[list];
  ims_own_list merged = {.set = true}, *set = &r->builder->list[list];
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < new->count; i++) {
    size_t size;
    const char *key = key_of(list, &new->items[i], &size);
    const ims_pair *mine = find_item(own, list, key, size);
    if (same_item(mine, find_item(old, list, key, size)))
      rc = put_item(r, &merged, list, &new->items[i]);
    else if (mine)
      rc = put_item(r, &merged, list, mine);
  }
  for (size_t i = 0; !rc && i < own->count; i++) {
    size_t size;
    const char *key = key_of(list, &own->items[i], &size);
    if (!same_item(&own->items[i], find_item(old, list, key, size)))
      rc = put_item(r, &merged, list, &own->items[i]);
  }
  if (rc)
    ims_pairs_free(&r->builder->core->alloc, &merged.items, &merged.count);
  else
    *set = merged;
  return rc;
}

static int32_t merge_config(rebase *r) {
  static const int texts[] = {IMGSTORE_IMAGE_AUTHOR,      IMGSTORE_IMAGE_USER,    IMGSTORE_IMAGE_WORKING_DIR,
                              IMGSTORE_IMAGE_STOP_SIGNAL, IMGSTORE_IMAGE_COMMENT, IMGSTORE_IMAGE_OS_VERSION};
  static const int lists[] = {IMGSTORE_IMAGE_ENTRYPOINT, IMGSTORE_IMAGE_CMD, IMGSTORE_IMAGE_SHELL,
                              IMGSTORE_IMAGE_ONBUILD};
  static const int items[] = {IMGSTORE_IMAGE_ENV, IMGSTORE_IMAGE_LABELS, IMGSTORE_IMAGE_PORTS, IMGSTORE_IMAGE_VOLUMES};
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < sizeof texts / sizeof *texts; i++)
    rc = merge_text(r, texts[i]);
  for (size_t i = 0; !rc && i < sizeof lists / sizeof *lists; i++)
    rc = merge_list(r, lists[i]);
  for (size_t i = 0; !rc && i < sizeof items / sizeof *items; i++)
    rc = merge_items(r, items[i]);
  return rc;
}

/* --- layers and history ------------------------------------------------------------------------------------------- */

static int32_t merge_layers(imgstore_builder *b, const imgstore_image *old_base, const imgstore_image *new_base,
                            ims_error *err) {
  size_t below = new_base->manifest->count, kept = b->layer_count - old_base->manifest->count;
  if (below + kept > b->core->limits.max_layers)
    return ims_fail(err, IMGSTORE_ELIMIT, "more than %llu layers", (unsigned long long)b->core->limits.max_layers);
  ims_build_layer *layers = ims_calloc(&b->core->alloc, below + kept, sizeof *layers);
  if (!layers)
    return ims_fail_nomem(err);
  for (size_t i = 0; i < below; i++)
    ims_build_layer_of(&layers[i], &new_base->manifest->entries[i], &new_base->config->diff_ids[i]);
  if (kept)
    memcpy(layers + below, b->layers + old_base->manifest->count, kept * sizeof *layers);
  ims_free(&b->core->alloc, b->layers);
  b->layers = layers;
  b->layer_count = below + kept;
  return IMGSTORE_OK;
}

static int32_t merge_history(imgstore_builder *b, const imgstore_image *old_base, const imgstore_image *new_base,
                             ims_error *err) {
  const ims_alloc *alloc = &b->core->alloc;
  ims_history_part *parts = NULL;
  size_t count = 0;
  int32_t rc = ims_history_take(alloc, new_base->config, 0, 0, &parts, &count, err);
  if (!rc)
    rc = ims_history_take(alloc, b->base->config, old_base->config->layer_count, old_base->config->history_count,
                          &parts, &count, err);
  if (rc) {
    ims_free(alloc, parts);
    return rc;
  }
  ims_free(alloc, b->history);
  b->history = parts;
  b->history_count = count;
  return IMGSTORE_OK;
}

int32_t ims_builder_rebase(imgstore_builder *b, imgstore_image *old_base, imgstore_image *new_base, ims_error *err) {
  const imgstore_manifest *m = new_base->manifest;
  int32_t rc = check(b, old_base, new_base, err);
  if (!rc)
    rc = ims_hold_target(&b->lease, &m->digest, m->size, m->media_type, err);
  if (!rc)
    rc = merge_history(b, old_base, new_base, err);
  if (!rc) { /* the history refers to it from here on */
    b->new_base = imgstore_image_ref(new_base);
    rc = merge_layers(b, old_base, new_base, err);
  }
  rebase r = {b, b->base ? b->base->config : NULL, old_base->config, new_base->config, err};
  return rc ? rc : merge_config(&r);
}
