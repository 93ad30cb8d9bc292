/*
 * engine/build.c (L4) - the builder: what an image shall be. Collects and checks; makes nothing.
 */
#include "engine/build.h"

#include <string.h>

#include "engine/build_publish.h"
#include "oci/compose_check.h"
#include "oci/mediatype.h"
#include "oci/pairs.h"

/* --- the handle --------------------------------------------------------------------------------------------------- */

static void free_addition(const ims_alloc *alloc, ims_addition *a) {
  ims_free(alloc, (void *)(uintptr_t)a->path);
  ims_free(alloc, (void *)(uintptr_t)a->prefix);
  ims_free(alloc, a->created_by);
  ims_free(alloc, a->comment);
  if (a->release)
    a->release(a->user_data);
}

void ims_builder_unref(imgstore_builder *b) {
  if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
    return;
  ims_core *core = b->core;
  const ims_alloc *alloc = &core->alloc;
  for (size_t i = 0; i < IMS_CONFIG_TEXTS; i++)
    ims_free(alloc, b->text[i]);
  for (size_t i = 0; i < IMS_CONFIG_LISTS; i++)
    ims_pairs_free(alloc, &b->list[i].items, &b->list[i].count);
  ims_pairs_free(alloc, &b->healthcheck_test.items, &b->healthcheck_test.count);
  ims_pairs_free(alloc, &b->annotations, &b->annotation_count);
  for (size_t i = 0; i < b->addition_count; i++)
    free_addition(alloc, &b->additions[i]);
  ims_free(alloc, b->additions);
  ims_free(alloc, b->created_by);
  ims_free(alloc, b->comment);
  ims_free(alloc, b->layers);
  ims_free(alloc, b->history);
  imgstore_image_unref(b->base);
  imgstore_image_unref(b->new_base);
  ims_lease_close(&b->lease);
  ims_store_unref(b->store);
  ims_free(alloc, b);
  ims_core_unref(core);
}

void ims_build_layer_of(ims_build_layer *layer, const imgstore_descriptor *d, const ims_digest *diff_id) {
  size_t size = strlen(d->media_type);
  *layer = (ims_build_layer){
      .digest = d->digest, .diff_id = *diff_id, .size = d->size, .format = ims_media_layer_format(d->media_type)};
  memcpy(layer->media_type, d->media_type, size < sizeof layer->media_type ? size + 1 : 0);
}

bool ims_history_has_layer(const ims_history_part *part) {
  bool empty = part->empty;
  if (!empty && part->kept)
    ims_json_bool(ims_json_get(part->kept, "empty_layer"), &empty);
  return !empty;
}

static int32_t add_part(const ims_alloc *alloc, ims_history_part **parts, size_t *count, const ims_history_part *part,
                        ims_error *err) {
  ims_history_part *grown = ims_realloc_array(alloc, *parts, *count + 1, sizeof *grown);
  if (!grown)
    return ims_fail_nomem(err);
  *parts = grown;
  grown[(*count)++] = *part;
  return IMGSTORE_OK;
}

static bool adds_up(const ims_config *config) {
  size_t layers = 0;
  for (const ims_json_value *v = ims_config_history_first(config); v; v = ims_json_next(v)) {
    const ims_history_part part = {.kept = v};
    layers += ims_history_has_layer(&part);
  }
  return layers == config->layer_count;
}

int32_t ims_history_take(const ims_alloc *alloc, const ims_config *config, size_t skip_layers, size_t skip_entries,
                         ims_history_part **parts, size_t *count, ims_error *err) {
  static const ims_history_part unknown = {.comment = "the history of this layer is not known"};
  bool known = adds_up(config);
  size_t layers = 0, entries = 0;
  int32_t rc = IMGSTORE_OK;
  for (const ims_json_value *v = ims_config_history_first(config); !rc && v; v = ims_json_next(v), entries++) {
    ims_history_part part = {.kept = v, .empty = !known};
    bool has_layer = ims_history_has_layer(&(ims_history_part){.kept = v});
    bool skipped = known && layers < skip_layers;
    if (!has_layer || !known)
      skipped = skipped || entries < skip_entries;
    layers += has_layer;
    if (!skipped)
      rc = add_part(alloc, parts, count, &part, err);
  }
  for (size_t i = skip_layers; !rc && !known && i < config->layer_count; i++)
    rc = add_part(alloc, parts, count, &unknown, err);
  return rc;
}

static int32_t take_base(imgstore_builder *b, imgstore_image *base, ims_error *err) {
  const imgstore_manifest *m = base->manifest;
  if (base->store != b->store)
    return ims_fail(err, IMGSTORE_EINVALID, "the base image is of another store");
  b->base = imgstore_image_ref(base);
  b->layers = ims_calloc(&b->core->alloc, m->count, sizeof *b->layers);
  if (!b->layers)
    return ims_fail_nomem(err);
  for (size_t i = 0; i < m->count; i++)
    ims_build_layer_of(&b->layers[i], &m->entries[i], &base->config->diff_ids[i]);
  b->layer_count = m->count;
  int32_t rc = ims_hold_target(&b->lease, &m->digest, m->size, m->media_type, err);
  for (size_t i = 0; !rc && i < m->annotation_count; i++)
    rc = ims_pairs_set(&b->core->alloc, &b->annotations, &b->annotation_count, m->annotations[i].key,
                       m->annotations[i].value, err);
  return rc ? rc : ims_history_take(&b->core->alloc, base->config, 0, 0, &b->history, &b->history_count, err);
}

int32_t ims_builder_new(imgstore_builder **builder, imgstore_store *store, imgstore_image *base, ims_error *err) {
  ims_core *core = store->core;
  *builder = NULL;
  imgstore_builder *b = ims_calloc(&core->alloc, 1, sizeof *b);
  if (!b)
    return ims_fail_nomem(err);
  atomic_init(&b->refs, 1);
  b->core = ims_core_ref(core);
  b->store = ims_store_ref(store);
  b->squash_from = UINT32_MAX;
  int32_t rc = ims_lease_open(&b->lease, store, err);
  if (!rc)
    rc = base ? take_base(b, base, err) : ims_builder_set_platform(b, NULL, err);
  if (rc) {
    ims_builder_unref(b);
    return rc;
  }
  *builder = b;
  return IMGSTORE_OK;
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

static int32_t check_idle(const imgstore_builder *b, ims_error *err) {
  return b->running ? ims_fail(err, IMGSTORE_EBUSY, "the builder is being finished") : IMGSTORE_OK;
}

static int32_t replace_text(imgstore_builder *b, char **own, const char *text, ims_error *err) {
  char *copy = text ? ims_strdup(&b->core->alloc, text) : NULL;
  if (text && !copy)
    return ims_fail_nomem(err);
  ims_free(&b->core->alloc, *own);
  *own = copy;
  return IMGSTORE_OK;
}

int32_t ims_builder_set_text(imgstore_builder *b, int32_t field, const char *text, ims_error *err) {
  static const int32_t fields[] = {IMGSTORE_IMAGE_CREATED,     IMGSTORE_IMAGE_AUTHOR,      IMGSTORE_IMAGE_USER,
                                   IMGSTORE_IMAGE_WORKING_DIR, IMGSTORE_IMAGE_STOP_SIGNAL, IMGSTORE_IMAGE_COMMENT,
                                   IMGSTORE_IMAGE_OS_VERSION};
  int32_t rc = check_idle(b, err);
  for (size_t i = 0; !rc && i < sizeof fields / sizeof *fields; i++) {
    if (fields[i] != field)
      continue;
    rc = ims_check_field(field, text ? text : "", err);
    return rc ? rc : replace_text(b, &b->text[field], text ? text : "", err);
  }
  return rc ? rc : ims_fail(err, IMGSTORE_EINVALID, "field: %d is not a text that can be set", field);
}

int32_t ims_builder_set_platform(imgstore_builder *b, const char *text, ims_error *err) {
  ims_platform p;
  int32_t rc = check_idle(b, err);
  if (!rc)
    rc = ims_platform_parse(&p, text, err);
  if (!rc && strcmp(p.architecture, "arm64") == 0 && !p.variant[0])
    memcpy(p.variant, "v8", 3); /* what image-spec has it spelt as */
  if (!rc)
    rc = replace_text(b, &b->text[IMGSTORE_IMAGE_OS], p.os, err);
  if (!rc)
    rc = replace_text(b, &b->text[IMGSTORE_IMAGE_ARCHITECTURE], p.architecture, err);
  return rc ? rc : replace_text(b, &b->text[IMGSTORE_IMAGE_VARIANT], p.variant, err);
}

int32_t ims_builder_set_annotation(imgstore_builder *b, const char *key, const char *value, ims_error *err) {
  const ims_pair pair = {key, value ? value : ""};
  int32_t rc = check_idle(b, err);
  if (!rc)
    rc = ims_check_annotations(&pair, 1, err);
  return rc ? rc : ims_pairs_set(&b->core->alloc, &b->annotations, &b->annotation_count, key, value, err);
}

int32_t ims_builder_set_history(imgstore_builder *b, const char *created_by, const char *comment, ims_error *err) {
  int32_t rc = check_idle(b, err);
  if (!rc && created_by)
    rc = ims_check_text(created_by, "created_by", err);
  if (!rc && comment)
    rc = ims_check_text(comment, "comment", err);
  if (!rc)
    rc = replace_text(b, &b->created_by, created_by, err);
  return rc ? rc : replace_text(b, &b->comment, comment, err);
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

static bool is_list(int32_t list) {
  return list > 0 && list < IMS_CONFIG_LISTS;
}

/* In builders an environment has names as keys, and sets have themselves; in configs both are values alone. */
static int32_t add_item(imgstore_builder *b, ims_own_list *own, int32_t list, const ims_pair *item, ims_error *err) {
  const ims_alloc *alloc = &b->core->alloc;
  const char *equals = list == IMGSTORE_IMAGE_ENV ? strchr(item->value, '=') : NULL;
  if (equals) {
    char *name = ims_strndup(alloc, item->value, (size_t)(equals - item->value));
    int32_t rc = name ? ims_pairs_set(alloc, &own->items, &own->count, name, item->value, err) : ims_fail_nomem(err);
    ims_free(alloc, name);
    return rc;
  }
  if (list == IMGSTORE_IMAGE_PORTS || list == IMGSTORE_IMAGE_VOLUMES || list == IMGSTORE_IMAGE_ENV)
    return ims_pairs_set(alloc, &own->items, &own->count, item->value, item->value, err);
  if (list == IMGSTORE_IMAGE_LABELS)
    return ims_pairs_set(alloc, &own->items, &own->count, item->key, item->value, err);
  return ims_pairs_add(alloc, &own->items, &own->count, "", item->value, err);
}

/* Replaces a list by items; what was there stays when this fails. */
static int32_t replace_list(imgstore_builder *b, int32_t list, const ims_list *items, ims_error *err) {
  ims_own_list made = {.set = true};
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < items->count; i++)
    rc = add_item(b, &made, list, &items->items[i], err);
  if (rc) {
    ims_pairs_free(&b->core->alloc, &made.items, &made.count);
    return rc;
  }
  ims_pairs_free(&b->core->alloc, &b->list[list].items, &b->list[list].count);
  b->list[list] = made;
  return IMGSTORE_OK;
}

int32_t ims_builder_set_list(imgstore_builder *b, int32_t list, const char *const *items, size_t count,
                             ims_error *err) {
  static const ims_list none = {NULL, 0};
  int32_t rc = check_idle(b, err);
  if (!rc && (!is_list(list) || list == IMGSTORE_IMAGE_LABELS))
    rc = ims_fail(err, IMGSTORE_EINVALID, "list: %d is not a list that can be set", list);
  ims_pair *pairs = rc ? NULL : ims_calloc(&b->core->alloc, count, sizeof *pairs);
  if (!rc && !pairs)
    rc = ims_fail_nomem(err);
  for (size_t i = 0; !rc && i < count; i++) {
    pairs[i] = (ims_pair){"", items[i] ? items[i] : ""};
    rc = ims_check_item(list, &pairs[i], err);
  }
  if (!rc)
    rc = replace_list(b, list, &(ims_list){pairs, count}, err);
  if (!rc && list == IMGSTORE_IMAGE_ENTRYPOINT && !b->list[IMGSTORE_IMAGE_CMD].set)
    rc = replace_list(b, IMGSTORE_IMAGE_CMD, &none, err);
  ims_free(&b->core->alloc, pairs);
  return rc;
}

/* The first change of a list begins with what the base has. */
static int32_t begin_list(imgstore_builder *b, int32_t list, ims_error *err) {
  static const ims_list none = {NULL, 0};
  if (b->list[list].set)
    return IMGSTORE_OK;
  return replace_list(b, list, b->base ? &b->base->config->list[list] : &none, err);
}

static int32_t set_env(imgstore_builder *b, const char *name, const char *value, ims_error *err) {
  ims_own_list *own = &b->list[IMGSTORE_IMAGE_ENV];
  ims_buf text;
  ims_buf_init(&text, &b->core->alloc, SIZE_MAX - 1);
  ims_buf_puts(&text, name);
  ims_buf_putc(&text, '=');
  if (ims_buf_puts(&text, value ? value : "")) {
    ims_buf_free(&text);
    return ims_fail_nomem(err);
  }
  const ims_pair item = {"", ims_buf_text(&text)};
  int32_t rc = strchr(name, '=') ? ims_fail(err, IMGSTORE_EINVALID, "env: \"%.200s\" is not a name", name)
                                 : ims_check_item(IMGSTORE_IMAGE_ENV, &item, err);
  if (!rc)
    rc = ims_pairs_set(&b->core->alloc, &own->items, &own->count, name, value ? item.value : NULL, err);
  ims_buf_free(&text);
  return rc;
}

int32_t ims_builder_set_item(imgstore_builder *b, int32_t list, const char *key, const char *value, ims_error *err) {
  bool is_set = list == IMGSTORE_IMAGE_PORTS || list == IMGSTORE_IMAGE_VOLUMES;
  int32_t rc = check_idle(b, err);
  if (!rc && list != IMGSTORE_IMAGE_ENV && list != IMGSTORE_IMAGE_LABELS && !is_set)
    rc = ims_fail(err, IMGSTORE_EINVALID, "list: %d has no items that are known by key", list);
  if (!rc)
    rc = begin_list(b, list, err);
  if (rc)
    return rc;
  if (list == IMGSTORE_IMAGE_ENV)
    return set_env(b, key, value, err);
  const ims_pair item = {key, is_set ? key : value ? value : ""};
  rc = ims_check_item(list, &item, err);
  return rc ? rc
            : ims_pairs_set(&b->core->alloc, &b->list[list].items, &b->list[list].count, key, value ? item.value : NULL,
                            err);
}

int32_t ims_builder_set_healthcheck(imgstore_builder *b, const ims_healthcheck *h, ims_error *err) {
  ims_own_list test = {.set = true};
  int32_t rc = check_idle(b, err);
  if (!rc && h->test.count)
    rc = ims_check_healthcheck(h, err);
  for (size_t i = 0; !rc && i < h->test.count; i++)
    rc = ims_pairs_add(&b->core->alloc, &test.items, &test.count, "", h->test.items[i].value, err);
  if (rc) {
    ims_pairs_free(&b->core->alloc, &test.items, &test.count);
    return rc;
  }
  ims_pairs_free(&b->core->alloc, &b->healthcheck_test.items, &b->healthcheck_test.count);
  b->healthcheck_test = test;
  b->healthcheck = *h;
  b->healthcheck.test = (ims_list){test.items, test.count};
  b->has_healthcheck = true;
  return IMGSTORE_OK;
}

/* --- layers ------------------------------------------------------------------------------------------------------- */

int32_t ims_builder_add(imgstore_builder *b, const ims_addition *addition, ims_error *err) {
  const ims_alloc *alloc = &b->core->alloc;
  ims_addition a = *addition;
  int32_t rc = check_idle(b, err);
  if (!rc && b->layer_count + b->addition_count >= b->core->limits.max_layers)
    rc = ims_fail(err, IMGSTORE_ELIMIT, "more than %llu layers", (unsigned long long)b->core->limits.max_layers);
  if (rc)
    return rc;
  ims_addition *grown = ims_realloc_array(alloc, b->additions, b->addition_count + 1, sizeof *grown);
  if (!grown)
    return ims_fail_nomem(err);
  b->additions = grown;
  char *path = NULL, *prefix = NULL;
  if (addition->prefix)
    rc = ims_clean_prefix(alloc, addition->prefix, &prefix, err);
  if (!rc && addition->path && !(path = ims_strdup(alloc, addition->path)))
    rc = ims_fail_nomem(err);
  if (rc) {
    ims_free(alloc, prefix);
    return rc;
  }
  a.path = path;
  a.prefix = prefix;
  a.created_by = b->created_by; /* what was said of the next layer is said of this one */
  a.comment = b->comment;
  b->created_by = b->comment = NULL;
  grown[b->addition_count++] = a;
  return IMGSTORE_OK;
}

int32_t ims_builder_squash(imgstore_builder *b, uint32_t from, ims_error *err) {
  int32_t rc = check_idle(b, err);
  if (!rc)
    b->squash_from = from;
  return rc;
}
