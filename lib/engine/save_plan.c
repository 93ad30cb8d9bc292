/*
 * engine/save_plan.c (L4) - finds what belongs to the images that are saved, and composes index.json and manifest.json.
 *
 * A member's place depends on the names that were asked for and on the content alone, so the same images give the same
 * bytes.
 */
#include "engine/save_plan.h"

#include <string.h>

#include "compress/decoder.h"
#include "json/json.h"
#include "oci/mediatype.h"
#include "oci/reference.h"

enum { MAX_MEMBERS = 65536, MAX_ENTRIES = 4096, MAX_DOCUMENT = 16 << 20 };

static const ims_alloc *alloc_of(const ims_save_plan *p) {
  return &p->store->core->alloc;
}

/* Room for one more in an array of elements of a size. */
static int32_t grow(const ims_save_plan *p, void **array, size_t count, size_t *capacity, size_t element, size_t limit,
                    ims_error *err) {
  if (count >= limit)
    return ims_fail(err, IMGSTORE_ELIMIT, "archive: more than %zu members", limit);
  if (count < *capacity)
    return IMGSTORE_OK;
  size_t more = *capacity ? *capacity * 2 : 16;
  void *grown = ims_realloc_array(alloc_of(p), *array, more, element);
  if (!grown)
    return ims_fail_nomem(err);
  *array = grown;
  *capacity = more;
  return IMGSTORE_OK;
}

/* --- members --------------------------------------------------------------------------------------------------------
 */

/* Takes over text. */
static int32_t add_member(ims_save_plan *p, int kind, const char *path, char *text, uint64_t size,
                          ims_save_member **member, ims_error *err) {
  void *members = p->members;
  int32_t rc = grow(p, &members, p->count, &p->capacity, sizeof *p->members, MAX_MEMBERS, err);
  p->members = members;
  char *own = rc ? NULL : ims_strdup(alloc_of(p), path);
  if (!own) {
    ims_free(alloc_of(p), text);
    return rc ? rc : ims_fail_nomem(err);
  }
  ims_save_member *m = &p->members[p->count++];
  memset(m, 0, sizeof *m);
  m->kind = kind;
  m->path = own;
  m->text = text;
  m->size = size;
  if (member)
    *member = m;
  return IMGSTORE_OK;
}

static int32_t add_text(ims_save_plan *p, const char *path, ims_buf *text, ims_error *err) {
  size_t size = text->size;
  if (text->failed)
    return text->failed == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : ims_fail(err, text->failed, "%s: too large", path);
  char *data = ims_buf_detach(text, &size);
  return data ? add_member(p, IMS_MEMBER_TEXT, path, data, size, NULL, err) : ims_fail_nomem(err);
}

/* What a reader would miss is found out before anything is written. */
static int32_t check_blob(ims_save_plan *p, const imgstore_descriptor *d, bool *present, ims_error *err) {
  ims_blob blob;
  int32_t rc = ims_lease_add(p->lease, &d->digest, err);
  if (!rc)
    rc = ims_blob_open(&blob, p->store, &d->digest, err);
  *present = rc == IMGSTORE_OK;
  if (rc)
    return rc == IMGSTORE_ENOTFOUND && !err->code ? IMGSTORE_OK : rc;
  uint64_t have = blob.size;
  ims_blob_close(&blob);
  if (have == d->size)
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_ECORRUPT, "blob %s: has %llu bytes, not the %llu that its descriptor says",
                  d->digest.text, (unsigned long long)have, (unsigned long long)d->size);
}

static int32_t add_blob(ims_save_plan *p, const imgstore_descriptor *d, int32_t object, bool optional, ims_error *err) {
  ims_save_member *m;
  bool present;
  if (ims_digest_set_find(&p->seen, &d->digest))
    return IMGSTORE_OK;
  int32_t rc = check_blob(p, d, &present, err);
  if (!rc && !present && !optional)
    rc = ims_fail(err, IMGSTORE_ENOTFOUND, "blob %s: not in the store", d->digest.text);
  if (rc || !present)
    return rc;
  if (!ims_digest_set_add(&p->seen, &d->digest))
    return ims_fail_nomem(err);
  ims_buf text;
  ims_buf_init(&text, alloc_of(p), IMS_DIGEST_TEXT + 16);
  ims_buf_printf(&text, "blobs/%s/%s", ims_digest_algorithm_name(d->digest.algorithm), ims_digest_hex(&d->digest));
  rc = text.failed ? ims_fail_nomem(err) : add_member(p, IMS_MEMBER_BLOB, ims_buf_text(&text), NULL, d->size, &m, err);
  ims_buf_free(&text);
  if (rc)
    return rc;
  m->digest = m->expected = d->digest;
  m->object = object;
  return IMGSTORE_OK;
}

/* --- entries --------------------------------------------------------------------------------------------------------
 */

static int32_t find_entry(ims_save_plan *p, const ims_target *target, size_t *at, ims_error *err) {
  for (*at = 0; *at < p->entry_count; ++*at)
    if (ims_digest_equal(&p->entries[*at].target.digest, &target->digest))
      return IMGSTORE_OK;
  if (p->entry_count >= MAX_ENTRIES)
    return ims_fail(err, IMGSTORE_ELIMIT, "archive: more than %d images", MAX_ENTRIES);
  ims_save_entry *entries = ims_realloc_array(alloc_of(p), p->entries, p->entry_count + 1, sizeof *entries);
  if (!entries)
    return ims_fail_nomem(err);
  p->entries = entries;
  memset(&entries[*at], 0, sizeof entries[*at]);
  entries[*at].target = *target;
  p->entry_count++;
  return IMGSTORE_OK;
}

/* An image that was found by an ID or a digest has no name in the archive. */
static int32_t add_name(ims_save_plan *p, size_t at, const char *name, ims_error *err) {
  ims_save_entry *e = &p->entries[at];
  imgstore_reference *reference;
  if (!*name || ims_reference_parse(&reference, alloc_of(p), name, NULL))
    return IMGSTORE_OK;
  bool named = reference->tag && !reference->digest.algorithm;
  imgstore_reference_unref(reference);
  for (size_t i = 0; i < e->name_count; i++)
    named = named && strcmp(e->names[i], name) != 0;
  if (!named)
    return IMGSTORE_OK;
  char **names = ims_realloc_array(alloc_of(p), e->names, e->name_count + 1, sizeof *names);
  if (!names)
    return ims_fail_nomem(err);
  e->names = names;
  names[e->name_count] = ims_strdup(alloc_of(p), name);
  return names[e->name_count++] ? IMGSTORE_OK : ims_fail_nomem(err);
}

/* Narrows an index to one platform's image, and checks that a single image is of a platform that was asked for. */
static int32_t choose_platform(ims_save_plan *p, const char *name, int32_t kind, ims_target *target, ims_error *err) {
  imgstore_image *image;
  if (kind == IMGSTORE_MANIFEST_ARTIFACT && p->docker)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "%s: an artifact has no place in a docker-archive", name);
  if (kind == IMGSTORE_MANIFEST_ARTIFACT || (kind == IMGSTORE_MANIFEST_INDEX && p->all_platforms))
    return IMGSTORE_OK;
  int32_t rc = ims_image_open(&image, p->store, name, p->platform_text, err);
  if (rc)
    return rc;
  target->digest = image->manifest->digest;
  target->size = image->manifest->size;
  strncpy(target->media_type, image->manifest->media_type, sizeof target->media_type - 1);
  imgstore_image_unref(image);
  return IMGSTORE_OK;
}

static int32_t add_entry(ims_save_plan *p, const char *name, ims_error *err) {
  ims_target target;
  imgstore_manifest *manifest = NULL;
  ims_buf found;
  size_t at;
  ims_buf_init(&found, alloc_of(p), SIZE_MAX - 1);
  int32_t rc = ims_store_resolve(p->store, name, &target, &found, err);
  if (!rc)
    rc = ims_lease_add(p->lease, &target.digest, err);
  if (!rc)
    rc = ims_store_manifest_load(p->store, &target.digest, target.media_type, &manifest, err);
  if (!rc) {
    target.size = manifest->size;
    memset(target.media_type, 0, sizeof target.media_type);
    strncpy(target.media_type, manifest->media_type, sizeof target.media_type - 1);
    rc = choose_platform(p, name, manifest->kind, &target, err);
  }
  if (!rc)
    rc = find_entry(p, &target, &at, err);
  if (!rc)
    rc = add_name(p, at, ims_buf_text(&found), err);
  imgstore_manifest_unref(manifest);
  ims_buf_free(&found);
  return rc;
}

/* --- what an entry reaches ------------------------------------------------------------------------------------------
 */

static int32_t add_image(ims_save_plan *p, const ims_digest *digest, size_t entry, ims_error *err) {
  size_t capacity = p->image_capacity;
  void *images = p->images, *entries = p->image_entries;
  for (size_t i = 0; i < p->image_count; i++)
    if (ims_digest_equal(&p->images[i]->manifest->digest, digest))
      return IMGSTORE_OK;
  int32_t rc = grow(p, &images, p->image_count, &capacity, sizeof *p->images, MAX_ENTRIES, err);
  p->images = images;
  capacity = p->image_capacity;
  if (!rc)
    rc = grow(p, &entries, p->image_count, &capacity, sizeof *p->image_entries, MAX_ENTRIES, err);
  p->image_entries = entries;
  if (rc)
    return rc;
  p->image_capacity = capacity;
  rc = ims_image_open(&p->images[p->image_count], p->store, digest->text, NULL, err);
  if (rc)
    return rc;
  p->image_entries[p->image_count++] = entry;
  return IMGSTORE_OK;
}

static int32_t add_content(ims_save_plan *p, const imgstore_manifest *m, ims_error *err) {
  int32_t rc = m->config ? add_blob(p, m->config, IMGSTORE_OBJECT_CONFIG, false, err) : IMGSTORE_OK;
  for (size_t i = 0; !rc && i < m->count; i++) {
    const imgstore_descriptor *layer = &m->entries[i];
    bool optional = !p->docker && ims_media_kind(layer->media_type) == IMS_MEDIA_LAYER_FOREIGN;
    rc = add_blob(p, layer, IMGSTORE_OBJECT_LAYER, optional, err);
  }
  return rc;
}

/* Manifests that are still to be walked, last first. */
typedef struct stack {
  ims_target *items;
  size_t count, capacity;
} stack;

static int32_t push(ims_save_plan *p, stack *s, const imgstore_descriptor *d, ims_error *err) {
  void *items = s->items;
  int32_t rc = grow(p, &items, s->count, &s->capacity, sizeof *s->items, MAX_MEMBERS, err);
  s->items = items;
  if (rc)
    return rc;
  ims_target *t = &s->items[s->count++];
  memset(t, 0, sizeof *t);
  t->digest = d->digest;
  t->size = d->size;
  strncpy(t->media_type, d->media_type, sizeof t->media_type - 1);
  return IMGSTORE_OK;
}

/* The children of an index that the store has, the first on top. */
static int32_t push_children(ims_save_plan *p, stack *s, const imgstore_manifest *m, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = m->count; !rc && i-- > 0;) {
    bool present = false;
    if (!ims_digest_set_find(&p->seen, &m->entries[i].digest))
      rc = check_blob(p, &m->entries[i], &present, err);
    if (!rc && present)
      rc = push(p, s, &m->entries[i], err);
  }
  return rc;
}

static int32_t walk_one(ims_save_plan *p, stack *s, size_t entry, const ims_target *t, ims_error *err) {
  imgstore_manifest *m;
  imgstore_descriptor d;
  memset(&d, 0, sizeof d);
  d.digest = t->digest;
  d.size = t->size;
  int32_t rc = ims_store_manifest_load(p->store, &t->digest, t->media_type, &m, err);
  if (rc)
    return rc;
  bool index = m->kind == IMGSTORE_MANIFEST_INDEX;
  rc = add_blob(p, &d, index ? IMGSTORE_OBJECT_INDEX : IMGSTORE_OBJECT_MANIFEST, false, err);
  if (!rc)
    rc = index ? push_children(p, s, m, err) : add_content(p, m, err);
  if (!rc && p->docker && m->kind == IMGSTORE_MANIFEST_IMAGE)
    rc = add_image(p, &t->digest, entry, err);
  imgstore_manifest_unref(m);
  return rc;
}

/* An index cannot contain itself, and a manifest is walked once: the walk ends. */
static int32_t walk_entry(ims_save_plan *p, size_t entry, ims_error *err) {
  stack s = {NULL, 0, 0};
  const ims_target *top = &p->entries[entry].target;
  imgstore_descriptor d;
  memset(&d, 0, sizeof d);
  d.digest = top->digest;
  d.size = top->size;
  d.media_type = top->media_type;
  int32_t rc = push(p, &s, &d, err);
  while (!rc && s.count) {
    ims_target t = s.items[--s.count];
    if (!ims_digest_set_find(&p->seen, &t.digest))
      rc = walk_one(p, &s, entry, &t, err);
  }
  ims_free(alloc_of(p), s.items);
  return rc;
}

/* A config or layer of the older docker-archive, under a name of its own. */
static int32_t add_plain(ims_save_plan *p, const imgstore_descriptor *d, const ims_digest *own, bool is_config,
                         ims_error *err) {
  char path[IMS_DIGEST_TEXT + 8];
  ims_save_member *m;
  bool present;
  if (ims_digest_set_find(&p->seen, own))
    return IMGSTORE_OK;
  int format = is_config ? IMS_FORMAT_NONE : ims_media_layer_format(d->media_type);
  int32_t rc = check_blob(p, d, &present, err);
  if (!rc && !present)
    rc = ims_fail(err, IMGSTORE_ENOTFOUND, "blob %s: not in the store", d->digest.text);
  if (!rc && format < 0)
    rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "layer %s: cannot read media type \"%s\"", d->digest.text, d->media_type);
  if (!rc && !ims_digest_set_add(&p->seen, own))
    rc = ims_fail_nomem(err);
  strcpy(path, ims_digest_hex(own));
  strcat(path, is_config ? ".json" : ".tar");
  if (!rc)
    rc = add_member(p, IMS_MEMBER_BLOB, path, NULL, d->size, &m, err);
  if (rc)
    return rc;
  m->digest = d->digest;
  m->expected = *own;
  m->format = format;
  m->object = is_config ? IMGSTORE_OBJECT_CONFIG : IMGSTORE_OBJECT_LAYER;
  return IMGSTORE_OK;
}

static int32_t add_uncompressed(ims_save_plan *p, const imgstore_image *image, ims_error *err) {
  const imgstore_manifest *m = image->manifest;
  int32_t rc = add_plain(p, m->config, &m->config->digest, true, err);
  for (size_t i = 0; !rc && i < m->count; i++)
    rc = add_plain(p, &m->entries[i], &image->config->diff_ids[i], false, err);
  return rc;
}

static int32_t collect(ims_save_plan *p, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; !rc && i < p->entry_count; i++) {
    if (!p->uncompressed) {
      rc = walk_entry(p, i, err);
      continue;
    }
    rc = add_image(p, &p->entries[i].target.digest, i, err);
    if (!rc)
      rc = add_uncompressed(p, p->images[p->image_count - 1], err);
  }
  return rc;
}

/* --- documents ------------------------------------------------------------------------------------------------------
 */

/* The tag; or the full name when another image of the archive has that tag, so that a tag finds one image only. */
static const char *short_name(const ims_save_plan *p, const char *name) {
  const char *tag = strrchr(name, ':');
  size_t same = 0;
  for (size_t i = 0; tag && i < p->entry_count; i++)
    for (size_t j = 0; j < p->entries[i].name_count; j++) {
      const char *other = strrchr(p->entries[i].names[j], ':');
      same += other && strcmp(other, tag) == 0;
    }
  return tag && same == 1 ? tag + 1 : name;
}

static void put_text(ims_buf *out, const char *text) {
  ims_json_put_string(out, text, strlen(text));
}

static void put_index_entry(const ims_save_plan *p, const ims_target *t, const char *name, ims_buf *out) {
  ims_buf_puts(out, out->data[out->size - 1] == '[' ? "{\"mediaType\":" : ",{\"mediaType\":");
  put_text(out, t->media_type);
  ims_buf_printf(out, ",\"digest\":\"%s\",\"size\":%llu", t->digest.text, (unsigned long long)t->size);
  if (name) {
    ims_buf_puts(out, ",\"annotations\":{\"io.containerd.image.name\":");
    put_text(out, name);
    ims_buf_puts(out, ",\"org.opencontainers.image.ref.name\":");
    put_text(out, short_name(p, name));
    ims_buf_putc(out, '}');
  }
  ims_buf_putc(out, '}');
}

static int32_t add_index(ims_save_plan *p, ims_error *err) {
  ims_buf out;
  ims_buf_init(&out, alloc_of(p), MAX_DOCUMENT);
  int32_t rc = ims_buf_puts(&out, "{\"schemaVersion\":2,\"mediaType\":\"" IMS_MT_OCI_INDEX "\",\"manifests\":[");
  for (size_t i = 0; !rc && i < p->entry_count; i++) {
    const ims_save_entry *e = &p->entries[i];
    for (size_t j = 0; j < e->name_count; j++)
      put_index_entry(p, &e->target, e->names[j], &out);
    if (!e->name_count)
      put_index_entry(p, &e->target, NULL, &out);
    rc = out.failed;
  }
  ims_buf_puts(&out, "]}");
  rc = add_text(p, "index.json", &out, err);
  ims_buf_free(&out);
  return rc;
}

/* Of the images of an entry, the one for this machine (or the platform that was asked for) has its names. */
static bool has_names(const ims_save_plan *p, size_t image) {
  size_t best = image;
  int best_score = -1;
  for (size_t i = 0; i < p->image_count; i++) {
    ims_platform have;
    if (p->image_entries[i] != p->image_entries[image])
      continue;
    ims_config_platform(p->images[i]->config, &have);
    int score = ims_platform_score(&p->platform, &have);
    if (score > best_score) {
      best = i;
      best_score = score;
    }
  }
  return best == image;
}

static void put_path(const ims_save_plan *p, const ims_digest *blob, const ims_digest *own, const char *suffix,
                     ims_buf *out) {
  if (p->uncompressed)
    ims_buf_printf(out, "\"%s%s\"", ims_digest_hex(own), suffix);
  else
    ims_buf_printf(out, "\"blobs/%s/%s\"", ims_digest_algorithm_name(blob->algorithm), ims_digest_hex(blob));
}

static void put_manifest_entry(const ims_save_plan *p, size_t i, ims_buf *out) {
  const imgstore_image *image = p->images[i];
  const ims_save_entry *e = &p->entries[p->image_entries[i]];
  const imgstore_descriptor *config = image->manifest->config;
  ims_buf_puts(out, i ? ",{\"Config\":" : "{\"Config\":");
  put_path(p, &config->digest, &config->digest, ".json", out);
  ims_buf_puts(out, ",\"RepoTags\":[");
  for (size_t j = 0; has_names(p, i) && j < e->name_count; j++) {
    if (j)
      ims_buf_putc(out, ',');
    put_text(out, e->names[j]);
  }
  ims_buf_puts(out, "],\"Layers\":[");
  for (size_t j = 0; j < image->layer_count; j++) {
    if (j)
      ims_buf_putc(out, ',');
    put_path(p, &image->layers[j]->digest, &image->layers[j]->diff_id, ".tar", out);
  }
  ims_buf_puts(out, "]}");
}

static int32_t add_manifest(ims_save_plan *p, ims_error *err) {
  ims_buf out;
  ims_buf_init(&out, alloc_of(p), MAX_DOCUMENT);
  ims_buf_putc(&out, '[');
  for (size_t i = 0; !out.failed && i < p->image_count; i++)
    put_manifest_entry(p, i, &out);
  ims_buf_puts(&out, "]\n");
  int32_t rc = add_text(p, "manifest.json", &out, err);
  ims_buf_free(&out);
  return rc;
}

static int32_t add_layout(ims_save_plan *p, ims_error *err) {
  ims_buf out;
  ims_buf_init(&out, alloc_of(p), MAX_DOCUMENT);
  ims_buf_puts(&out, "{\"imageLayoutVersion\":\"1.0.0\"}");
  int32_t rc = add_text(p, "oci-layout", &out, err);
  ims_buf_free(&out);
  return rc;
}

static int32_t add_folders(ims_save_plan *p, ims_error *err) {
  bool used[IMS_HASH_SHA512 + 1] = {false};
  for (size_t i = 0; i < p->seen.count; i++)
    used[p->seen.items[i].algorithm] = true;
  int32_t rc = add_member(p, IMS_MEMBER_FOLDER, "blobs", NULL, 0, NULL, err);
  if (!rc && used[IMS_HASH_SHA256])
    rc = add_member(p, IMS_MEMBER_FOLDER, "blobs/sha256", NULL, 0, NULL, err);
  if (!rc && used[IMS_HASH_SHA512])
    rc = add_member(p, IMS_MEMBER_FOLDER, "blobs/sha512", NULL, 0, NULL, err);
  return rc;
}

/* The documents were added last: they go to the front. */
static int32_t move_to_front(ims_save_plan *p, size_t from, ims_error *err) {
  size_t head = p->count - from;
  ims_save_member *all = ims_calloc(alloc_of(p), p->capacity, sizeof *all);
  if (!all)
    return ims_fail_nomem(err);
  memcpy(all, p->members + from, head * sizeof *all);
  memcpy(all + head, p->members, from * sizeof *all);
  ims_free(alloc_of(p), p->members);
  p->members = all;
  return IMGSTORE_OK;
}

int32_t ims_save_plan_make(ims_save_plan *p, const char *const *names, size_t count, ims_error *err) {
  ims_digest_set_init(&p->seen, alloc_of(p));
  int32_t rc = ims_platform_parse(&p->platform, p->platform_text, err);
  for (size_t i = 0; !rc && i < count; i++)
    rc = add_entry(p, names[i], err);
  if (!rc)
    rc = collect(p, err);
  size_t blobs = p->count;
  if (!rc && !p->uncompressed)
    rc = add_layout(p, err);
  if (!rc && !p->uncompressed)
    rc = add_index(p, err);
  if (!rc && p->docker)
    rc = add_manifest(p, err);
  if (!rc && !p->uncompressed)
    rc = add_folders(p, err);
  return rc ? rc : move_to_front(p, blobs, err);
}

void ims_save_plan_free(ims_save_plan *p) {
  if (!p->store)
    return;
  for (size_t i = 0; i < p->entry_count; i++) {
    for (size_t j = 0; j < p->entries[i].name_count; j++)
      ims_free(alloc_of(p), p->entries[i].names[j]);
    ims_free(alloc_of(p), p->entries[i].names);
  }
  ims_free(alloc_of(p), p->entries);
  for (size_t i = 0; i < p->image_count; i++)
    imgstore_image_unref(p->images[i]);
  ims_free(alloc_of(p), p->images);
  ims_free(alloc_of(p), p->image_entries);
  for (size_t i = 0; i < p->count; i++) {
    ims_free(alloc_of(p), p->members[i].path);
    ims_free(alloc_of(p), p->members[i].text);
  }
  ims_free(alloc_of(p), p->members);
  ims_digest_set_free(&p->seen);
}
