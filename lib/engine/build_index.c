/*
 * engine/build_index.c (L4) - an index in the making. Entries are kept as the texts of their descriptors, so that what
 * is not touched stays as it was.
 */
#include "engine/build_index.h"

#include <string.h>

#include "engine/build_publish.h"
#include "imgstore/image.h"
#include "oci/compose_check.h"
#include "oci/mediatype.h"
#include "oci/pairs.h"

#define ATTESTED "vnd.docker.reference.digest"

enum { ENTRY_MAX = 1 << 20 };

/* --- entries ------------------------------------------------------------------------------------------------------ */

static void free_item(const ims_alloc *alloc, ims_index_item *item) {
  ims_free(alloc, item->text);
  ims_free(alloc, item->os_version);
  ims_free(alloc, item->attests);
  memset(item, 0, sizeof *item);
}

static int32_t copy_optional(const ims_alloc *alloc, const char *text, char **copy, ims_error *err) {
  *copy = text ? ims_strdup(alloc, text) : NULL;
  return text && !*copy ? ims_fail_nomem(err) : IMGSTORE_OK;
}

/* Fills a zeroed item from the text of a descriptor. */
static int32_t read_item(const ims_alloc *alloc, const char *text, size_t size, ims_index_item *item, ims_error *err) {
  ims_json *json = NULL;
  imgstore_descriptor *d = NULL;
  int32_t rc = ims_json_parse(&json, alloc, text, size, "descriptor", err);
  if (!rc)
    rc = ims_descriptor_parse(&d, alloc, ims_json_root(json), NULL, err);
  if (!rc) {
    item->digest = d->digest;
    item->platform = d->platform;
    const ims_json_value *platform = ims_json_get(ims_json_root(json), "platform");
    rc = copy_optional(alloc, ims_json_string(ims_json_get(platform, "os.version")), &item->os_version, err);
  }
  if (!rc)
    rc = copy_optional(alloc, ims_descriptor_annotation(d, ATTESTED), &item->attests, err);
  if (!rc && !(item->text = ims_strndup(alloc, text, size)))
    rc = ims_fail_nomem(err);
  item->size = size;
  ims_descriptor_free(alloc, d);
  ims_json_free(json);
  if (rc)
    free_item(alloc, item);
  return rc;
}

static int32_t grow(imgstore_index *x, ims_error *err) {
  if (x->count >= x->core->limits.max_layers)
    return ims_fail(err, IMGSTORE_ELIMIT, "index: more than %llu entries",
                    (unsigned long long)x->core->limits.max_layers);
  if (x->count < x->capacity)
    return IMGSTORE_OK;
  size_t capacity = x->capacity ? x->capacity * 2 : 8;
  ims_index_item *items = ims_realloc_array(&x->core->alloc, x->items, capacity, sizeof *items);
  if (!items)
    return ims_fail_nomem(err);
  x->items = items;
  x->capacity = capacity;
  return IMGSTORE_OK;
}

static void drop(imgstore_index *x, size_t i) {
  free_item(&x->core->alloc, &x->items[i]);
  memmove(&x->items[i], &x->items[i + 1], (x->count - i - 1) * sizeof *x->items);
  x->count--;
}

static bool is_real_platform(const ims_platform *p) {
  return p->os[0] && strcmp(p->os, "unknown") != 0;
}

static bool same_platform(const ims_index_item *a, const ims_index_item *b) {
  return is_real_platform(&a->platform) && strcmp(a->platform.os, b->platform.os) == 0 &&
         strcmp(a->platform.architecture, b->platform.architecture) == 0 &&
         strcmp(a->platform.variant, b->platform.variant) == 0 &&
         strcmp(a->os_version ? a->os_version : "", b->os_version ? b->os_version : "") == 0;
}

/* Attestations say whom they are about: they do not outlive it. */
static void drop_with_attestations(imgstore_index *x, size_t i) {
  ims_digest digest = x->items[i].digest;
  drop(x, i);
  for (size_t k = x->count; k-- > 0;)
    if (x->items[k].attests && strcmp(x->items[k].attests, digest.text) == 0)
      drop(x, k);
}

static int32_t make_room(imgstore_index *x, const ims_index_item *item, uint32_t flags, ims_error *err) {
  for (size_t i = 0; i < x->count; i++) {
    char platform[IMS_PLATFORM_TEXT];
    if (ims_digest_equal(&x->items[i].digest, &item->digest) && !(flags & IMGSTORE_INDEX_REPLACE))
      return ims_fail(err, IMGSTORE_EEXISTS, "index: lists %s already", item->digest.text);
    if (!same_platform(&x->items[i], item) || (flags & IMGSTORE_INDEX_REPLACE))
      continue;
    ims_platform_text(&item->platform, platform);
    return ims_fail(err, IMGSTORE_EEXISTS, "index: has an entry for %s already: %s", platform, x->items[i].digest.text);
  }
  for (size_t i = x->count; i-- > 0;)
    if (i < x->count && (ims_digest_equal(&x->items[i].digest, &item->digest) || same_platform(&x->items[i], item)))
      drop_with_attestations(x, i);
  return IMGSTORE_OK;
}

/* Takes over item; frees it on failure. */
static int32_t take_item(imgstore_index *x, ims_index_item *item, uint32_t flags, ims_error *err) {
  int32_t rc = grow(x, err);
  if (!rc)
    rc = make_room(x, item, flags, err);
  if (rc) {
    free_item(&x->core->alloc, item);
    return rc;
  }
  x->items[x->count++] = *item;
  return IMGSTORE_OK;
}

/* --- the handle --------------------------------------------------------------------------------------------------- */

void ims_index_free(imgstore_index *x) {
  if (!x)
    return;
  ims_core *core = x->core;
  for (size_t i = 0; i < x->count; i++)
    free_item(&core->alloc, &x->items[i]);
  ims_free(&core->alloc, x->items);
  ims_pairs_free(&core->alloc, &x->annotations, &x->annotation_count);
  ims_free(&core->alloc, x->base_name);
  imgstore_manifest_unref(x->base);
  ims_lease_close(&x->lease);
  ims_store_unref(x->store);
  ims_free(&core->alloc, x);
  ims_core_unref(core);
}

int32_t ims_index_new(imgstore_index **index, imgstore_store *store, ims_error *err) {
  ims_core *core = store->core;
  *index = NULL;
  imgstore_index *x = ims_calloc(&core->alloc, 1, sizeof *x);
  if (!x)
    return ims_fail_nomem(err);
  x->core = ims_core_ref(core);
  x->store = ims_store_ref(store);
  int32_t rc = ims_lease_open(&x->lease, store, err);
  if (rc) {
    ims_index_free(x);
    return rc;
  }
  *index = x;
  return IMGSTORE_OK;
}

typedef struct reading {
  imgstore_index *index;
  ims_error *err;
} reading;

static int32_t read_entry(void *data, const char *text, size_t size) {
  reading *r = data;
  ims_index_item item = {0};
  int32_t rc = grow(r->index, r->err);
  if (!rc)
    rc = read_item(&r->index->core->alloc, text, size, &item, r->err);
  if (!rc)
    r->index->items[r->index->count++] = item; /* twice the same is kept: it is not ours */
  return rc;
}

static int32_t read_base(imgstore_index *x, const char *name, ims_error *err) {
  ims_target target;
  ims_buf found;
  reading r = {x, err};
  ims_buf_init(&found, &x->core->alloc, SIZE_MAX - 1);
  int32_t rc = ims_store_resolve(x->store, name, &target, &found, err);
  if (!rc)
    rc = ims_hold_target(&x->lease, &target.digest, target.size, target.media_type, err);
  if (!rc)
    rc = ims_store_manifest_load(x->store, &target.digest, target.media_type, &x->base, err);
  if (!rc && x->base->kind != IMGSTORE_MANIFEST_INDEX)
    rc = ims_fail(err, IMGSTORE_EINVALID, "%s: is not an index", name);
  if (!rc && found.size && !(x->base_name = ims_strdup(&x->core->alloc, ims_buf_text(&found))))
    rc = ims_fail_nomem(err);
  ims_buf_free(&found);
  if (rc)
    return rc;
  x->format = ims_media_equal(x->base->media_type, IMS_MT_DOCKER_LIST) ? IMGSTORE_FORMAT_DOCKER : IMGSTORE_FORMAT_OCI;
  for (size_t i = 0; !rc && i < x->base->annotation_count; i++)
    rc = ims_pairs_set(&x->core->alloc, &x->annotations, &x->annotation_count, x->base->annotations[i].key,
                       x->base->annotations[i].value, err);
  return rc ? rc
            : ims_json_each_text(ims_json_root(x->base->json), "manifests", x->base->data, x->base->size, read_entry,
                                 &r);
}

int32_t ims_index_open(imgstore_index **index, imgstore_store *store, const char *name, ims_error *err) {
  int32_t rc = ims_index_new(index, store, err);
  if (!rc)
    rc = read_base(*index, name, err);
  if (rc) {
    ims_index_free(*index);
    *index = NULL;
  }
  return rc;
}

/* --- adding ------------------------------------------------------------------------------------------------------- */

/* What an image's config says that it is for, as it spells it. */
static int32_t read_platform(imgstore_index *x, const imgstore_manifest *m, ims_platform *platform, ims_buf *os_version,
                             ims_error *err) {
  ims_config *config = NULL;
  ims_buf bytes;
  ims_buf_init(&bytes, &x->core->alloc, SIZE_MAX - 1);
  int32_t rc = ims_blob_load(x->store, &m->config->digest, x->core->limits.max_config_bytes, &bytes, err);
  if (!rc)
    rc =
        ims_config_parse(&config, &x->core->alloc, ims_buf_text(&bytes), bytes.size, &m->config->digest, m->count, err);
  ims_buf_free(&bytes);
  if (rc)
    return rc;
  const char *const texts[] = {config->text[IMGSTORE_IMAGE_OS], config->text[IMGSTORE_IMAGE_ARCHITECTURE],
                               config->text[IMGSTORE_IMAGE_VARIANT]};
  char *const parts[] = {platform->os, platform->architecture, platform->variant};
  for (size_t i = 0; i < 3; i++) /* the parser made sure that they fit */
    memcpy(parts[i], texts[i], strlen(texts[i]) + 1);
  ims_buf_puts(os_version, config->text[IMGSTORE_IMAGE_OS_VERSION]);
  rc = os_version->failed ? ims_fail_nomem(err) : IMGSTORE_OK;
  ims_config_free(config);
  return rc;
}

/* Adds one manifest of the store as a new entry. */
static int32_t add_manifest(imgstore_index *x, const imgstore_manifest *m, const char *platform, uint32_t flags,
                            ims_error *err) {
  imgstore_descriptor d = {.digest = m->digest, .size = m->size, .media_type = m->media_type};
  ims_index_item item = {0};
  ims_buf text, os_version;
  int32_t rc = IMGSTORE_OK;
  ims_buf_init(&text, &x->core->alloc, ENTRY_MAX);
  ims_buf_init(&os_version, &x->core->alloc, ENTRY_MAX);
  if (platform)
    rc = ims_platform_parse(&d.platform, platform, err);
  else if (m->kind == IMGSTORE_MANIFEST_IMAGE)
    rc = read_platform(x, m, &d.platform, &os_version, err);
  if (m->kind == IMGSTORE_MANIFEST_ARTIFACT)
    d.artifact_type = m->artifact_type;
  if (!rc)
    rc = ims_compose_descriptor(&text, &d, ims_buf_text(&os_version), err);
  if (!rc)
    rc = read_item(&x->core->alloc, ims_buf_text(&text), text.size, &item, err);
  if (!rc)
    rc = take_item(x, &item, flags, err);
  ims_buf_free(&text);
  ims_buf_free(&os_version);
  return rc;
}

typedef struct adding {
  imgstore_index *index;
  const ims_platform *platform; /* or NULL: all */
  uint32_t flags;
  size_t added;
  ims_error *err;
} adding;

static bool is_wanted(const adding *a, const ims_index_item *item) {
  return !a->platform || (strcmp(item->platform.os, a->platform->os) == 0 &&
                          strcmp(item->platform.architecture, a->platform->architecture) == 0 &&
                          strcmp(item->platform.variant, a->platform->variant) == 0);
}

/* An entry of another index, as it stands there, when its manifest is in the store. */
static int32_t add_entry(void *data, const char *text, size_t size) {
  adding *a = data;
  imgstore_index *x = a->index;
  ims_index_item item = {0};
  ims_blob blob;
  int32_t rc = read_item(&x->core->alloc, text, size, &item, a->err);
  if (rc)
    return rc;
  rc = is_wanted(a, &item) ? ims_blob_open(&blob, x->store, &item.digest, a->err) : IMGSTORE_ENOTFOUND;
  if (rc) {
    free_item(&x->core->alloc, &item);
    return rc == IMGSTORE_ENOTFOUND ? IMGSTORE_OK : rc;
  }
  uint64_t blob_size = blob.size;
  ims_blob_close(&blob);
  ims_digest digest = item.digest;
  rc = ims_hold_target(&x->lease, &digest, blob_size, "", a->err);
  if (rc)
    free_item(&x->core->alloc, &item);
  else
    rc = take_item(x, &item, a->flags, a->err);
  a->added += !rc;
  return rc;
}

static int32_t add_index(imgstore_index *x, const imgstore_manifest *m, const char *source, const char *platform,
                         uint32_t flags, ims_error *err) {
  ims_platform wanted;
  adding a = {x, platform ? &wanted : NULL, flags, 0, err};
  int32_t rc = platform ? ims_platform_parse(&wanted, platform, err) : IMGSTORE_OK;
  if (!rc)
    rc = ims_json_each_text(ims_json_root(m->json), "manifests", m->data, m->size, add_entry, &a);
  if (!rc && !a.added)
    rc = ims_fail(err, IMGSTORE_ENOTFOUND, "%s: none of its images%s%s is in the store", source,
                  platform ? " for " : "", platform ? platform : "");
  return rc;
}

int32_t ims_index_add(imgstore_index *x, const char *source, const char *platform, uint32_t flags, ims_error *err) {
  ims_target target;
  imgstore_manifest *m = NULL;
  ims_buf found;
  ims_buf_init(&found, &x->core->alloc, SIZE_MAX - 1);
  int32_t rc = ims_store_resolve(x->store, source, &target, &found, err);
  ims_buf_free(&found);
  if (!rc)
    rc = ims_store_manifest_load(x->store, &target.digest, target.media_type, &m, err);
  if (!rc && m->kind != IMGSTORE_MANIFEST_INDEX)
    rc = ims_hold_target(&x->lease, &target.digest, target.size, target.media_type, err);
  if (!rc)
    rc = m->kind == IMGSTORE_MANIFEST_INDEX ? add_index(x, m, source, platform, flags, err)
                                            : add_manifest(x, m, platform, flags, err);
  imgstore_manifest_unref(m);
  return rc;
}

/* --- changing ----------------------------------------------------------------------------------------------------- */

typedef struct selector {
  ims_digest digest; /* algorithm 0: the platform counts */
  ims_platform platform;
} selector;

static int32_t read_selector(selector *s, const char *which, ims_error *err) {
  memset(s, 0, sizeof *s);
  return strchr(which, ':') ? ims_digest_parse(&s->digest, which, strlen(which), err)
                            : ims_platform_parse(&s->platform, which, err);
}

static bool is_selected(const selector *s, const ims_index_item *item) {
  if (s->digest.algorithm)
    return ims_digest_equal(&s->digest, &item->digest);
  return strcmp(s->platform.os, item->platform.os) == 0 &&
         strcmp(s->platform.architecture, item->platform.architecture) == 0 &&
         strcmp(s->platform.variant, item->platform.variant) == 0;
}

int32_t ims_index_remove(imgstore_index *x, const char *which, ims_error *err) {
  selector s;
  size_t before = x->count;
  int32_t rc = read_selector(&s, which, err);
  if (rc)
    return rc;
  for (size_t i = x->count; i-- > 0;)
    if (i < x->count && is_selected(&s, &x->items[i]))
      drop_with_attestations(x, i);
  return x->count < before ? IMGSTORE_OK : ims_fail(err, IMGSTORE_ENOTFOUND, "index: has no entry for %s", which);
}

static int32_t annotate_item(const ims_alloc *alloc, ims_index_item *item, const char *key, const char *value,
                             ims_error *err) {
  ims_json *json = NULL;
  ims_index_item made = {0};
  ims_buf text;
  ims_buf_init(&text, alloc, ENTRY_MAX);
  int32_t rc = ims_json_parse(&json, alloc, item->text, item->size, "descriptor", err);
  if (!rc)
    rc = ims_compose_annotated(&text, ims_json_root(json), key, value, err);
  if (!rc)
    rc = read_item(alloc, ims_buf_text(&text), text.size, &made, err);
  ims_json_free(json);
  ims_buf_free(&text);
  if (rc)
    return rc;
  free_item(alloc, item);
  *item = made;
  return IMGSTORE_OK;
}

int32_t ims_index_annotate(imgstore_index *x, const char *which, const char *key, const char *value, ims_error *err) {
  selector s;
  size_t found = 0;
  const ims_pair pair = {key, value ? value : ""};
  int32_t rc = ims_check_annotations(&pair, 1, err);
  if (rc)
    return rc;
  if (!which)
    return ims_pairs_set(&x->core->alloc, &x->annotations, &x->annotation_count, key, value, err);
  rc = read_selector(&s, which, err);
  for (size_t i = 0; !rc && i < x->count; i++) {
    if (!is_selected(&s, &x->items[i]))
      continue;
    found++;
    rc = annotate_item(&x->core->alloc, &x->items[i], key, value, err);
  }
  return rc || found ? rc : ims_fail(err, IMGSTORE_ENOTFOUND, "index: has no entry for %s", which);
}

/* --- saving ------------------------------------------------------------------------------------------------------- */

static int32_t compose(const imgstore_index *x, ims_buf *out, ims_error *err) {
  ims_index_entry *entries = ims_calloc(&x->core->alloc, x->count, sizeof *entries);
  if (!entries)
    return ims_fail_nomem(err);
  for (size_t i = 0; i < x->count; i++)
    entries[i] = (ims_index_entry){.text = x->items[i].text, .text_size = x->items[i].size};
  const ims_index_parts parts = {.family = x->format,
                                 .artifact_type = x->base ? x->base->artifact_type : NULL,
                                 .entries = entries,
                                 .count = x->count,
                                 .subject = x->base ? x->base->subject : NULL,
                                 .annotations = x->annotations,
                                 .annotation_count = x->annotation_count};
  int32_t rc = ims_compose_index(out, &parts, err);
  ims_free(&x->core->alloc, entries);
  return rc;
}

/* What the name must still stand for: what this index was opened as. NULL: whatever it does. */
static const char *expected_digest(const imgstore_index *x, const char *full_name) {
  return full_name && x->base_name && strcmp(full_name, x->base_name) == 0 ? x->base->digest.text : NULL;
}

int32_t ims_index_save(imgstore_index *x, const char *name, imgstore_manifest **manifest, ims_error *err) {
  ims_buf text;
  char *full = NULL;
  ims_digest digest;
  imgstore_manifest *made = NULL;
  const char *media_type = x->format == IMGSTORE_FORMAT_DOCKER ? IMS_MT_DOCKER_LIST : IMS_MT_OCI_INDEX;
  ims_buf_init(&text, &x->core->alloc, (size_t)x->core->limits.max_manifest_bytes);
  int32_t rc = name ? ims_new_name(&x->core->alloc, name, &full, err) : IMGSTORE_OK;
  if (!rc)
    rc = compose(x, &text, err);
  if (!rc)
    rc = ims_manifest_parse(&made, &x->core->alloc, ims_buf_text(&text), text.size, media_type, NULL, NULL, "index",
                            err);
  if (!rc)
    rc = ims_publish_manifest(&x->lease, &text, media_type, full, expected_digest(x, full), &digest, err);
  if (!rc && full) { /* from now on this is what it was opened as */
    imgstore_manifest_unref(x->base);
    x->base = imgstore_manifest_ref(made);
    ims_free(&x->core->alloc, x->base_name);
    x->base_name = full;
    full = NULL;
  }
  if (!rc && manifest)
    *manifest = imgstore_manifest_ref(made);
  imgstore_manifest_unref(made);
  ims_free(&x->core->alloc, full);
  ims_buf_free(&text);
  return rc;
}
