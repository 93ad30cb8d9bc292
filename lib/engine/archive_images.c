/*
 * engine/archive_images.c (L4) - from the documents of an archive to images: every claim is held against the members
 * that are there, and a layer against the diffID of the config.
 */
#include "engine/archive_images.h"

#include <string.h>

#include "engine/archive_path.h"
#include "oci/arena.h"
#include "oci/compose.h"
#include "oci/mediatype.h"
#include "oci/member.h"

enum { MAX_IMAGES = 4096, MAX_MANIFEST = 64 << 20 };

static ims_error *error_of(const ims_archive_images *a) {
  return &a->loading->b->op.err;
}

static const ims_alloc *alloc_of(const ims_archive_images *a) {
  return &a->store->core->alloc;
}

static int32_t find_document(const ims_archive_images *a, const char *path, const ims_archive_member **m) {
  *m = ims_archive_find(a->reader, path);
  if (*m && (*m)->kind == IMS_ARCHIVE_DOCUMENT)
    return IMGSTORE_OK;
  return ims_fail(error_of(a), IMGSTORE_EFORMAT, *m ? "%s is no file" : "%s is missing", path);
}

/* --- index.json -----------------------------------------------------------------------------------------------------
 */

static int32_t check_layout(const ims_archive_images *a) {
  const ims_archive_member *m;
  ims_json *json;
  ims_error *err = error_of(a);
  int32_t rc = find_document(a, "oci-layout", &m);
  if (!rc)
    rc = ims_json_parse(&json, alloc_of(a), m->text, m->size, "oci-layout", err);
  if (rc)
    return rc;
  const char *version = ims_json_string(ims_json_get(ims_json_root(json), "imageLayoutVersion"));
  if (!version)
    rc = ims_fail(err, IMGSTORE_EFORMAT, "oci-layout: no imageLayoutVersion");
  else if (strcmp(version, "1.0.0") != 0)
    rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "oci-layout: layout version %.64s", version);
  ims_json_free(json);
  return rc;
}

static int32_t add_descriptor(const ims_archive_images *a, const imgstore_descriptor *d) {
  const char *name = ims_descriptor_annotation(d, "io.containerd.image.name");
  ims_target target;
  memset(&target, 0, sizeof target);
  if (!name)
    name = ims_descriptor_annotation(d, "org.opencontainers.image.ref.name");
  target.digest = d->digest;
  target.size = d->size;
  if (strlen(d->media_type) >= sizeof target.media_type)
    target.malformed = true;
  else
    strcpy(target.media_type, d->media_type);
  return ims_loading_add(a->loading, name ? name : "", &target);
}

int32_t ims_archive_oci_roots(ims_archive_images *a) {
  const ims_manifest_limits limits = {a->store->core->limits.max_manifest_bytes, MAX_IMAGES};
  const ims_archive_member *m;
  imgstore_manifest *index = NULL;
  int32_t rc = check_layout(a);
  if (!rc)
    rc = find_document(a, "index.json", &m);
  if (!rc)
    rc = ims_manifest_parse(&index, alloc_of(a), m->text, m->size, NULL, NULL, &limits, "index.json", error_of(a));
  if (!rc && index->kind != IMGSTORE_MANIFEST_INDEX)
    rc = ims_fail(error_of(a), IMGSTORE_EFORMAT, "index.json: is no index");
  for (size_t i = 0; !rc && i < index->count; i++)
    rc = add_descriptor(a, &index->entries[i]);
  imgstore_manifest_unref(index);
  return rc;
}

/* --- manifest.json --------------------------------------------------------------------------------------------------
 */

/* One image of manifest.json. */
typedef struct docker_image {
  size_t number;
  const char *config_path;
  const ims_pair *tags, *layers;
  size_t tag_count, layer_count;
  void *arena;
  ims_config *config;
  const ims_archive_member *config_member;
  imgstore_descriptor *descriptors;
} docker_image;

static void image_free(const ims_archive_images *a, docker_image *i) {
  ims_config_free(i->config);
  ims_arena_free(&i->arena, alloc_of(a));
}

static int32_t read_image(const ims_archive_images *a, const ims_json_value *object, docker_image *i) {
  ims_error *err = error_of(a);
  const ims_memory memory = {alloc_of(a), &i->arena};
  if (ims_json_type(object) != IMS_JSON_OBJECT)
    return ims_fail(err, IMGSTORE_EFORMAT, "is no object");
  int32_t rc = ims_member_text(object, "Config", &i->config_path, err);
  if (!rc && !i->config_path)
    rc = ims_fail(err, IMGSTORE_EFORMAT, "Config is missing");
  if (!rc)
    rc = ims_member_strings(object, "RepoTags", memory, &i->tags, &i->tag_count, err);
  if (!rc)
    rc = ims_member_strings(object, "Layers", memory, &i->layers, &i->layer_count, err);
  if (!rc && i->layer_count > a->store->core->limits.max_layers)
    rc = ims_fail(err, IMGSTORE_ELIMIT, "more than %llu layers", (unsigned long long)a->store->core->limits.max_layers);
  return rc;
}

static int32_t find_file(const ims_archive_images *a, const char *named, const ims_archive_member **m) {
  char *path = ims_malloc(alloc_of(a), strlen(named) + 1);
  int32_t rc = path ? ims_archive_clean_path(named, path, error_of(a)) : ims_fail_nomem(error_of(a));
  *m = rc ? NULL : ims_archive_find(a->reader, path);
  ims_free(alloc_of(a), path);
  if (rc || (*m && (*m)->kind == IMS_ARCHIVE_FILE))
    return rc;
  return ims_fail(error_of(a), IMGSTORE_EFORMAT, *m ? "\"%.256s\" is no blob" : "\"%.256s\" is not in the archive",
                  named);
}

static int32_t load_config(const ims_archive_images *a, docker_image *i) {
  ims_buf bytes;
  uint64_t limit = a->store->core->limits.max_config_bytes;
  int32_t rc = find_file(a, i->config_path, &i->config_member);
  if (rc)
    return ims_error_prefix(error_of(a), "Config");
  if (i->config_member->size > limit)
    return ims_fail(error_of(a), IMGSTORE_ELIMIT, "config \"%.256s\": has %llu bytes, at most %llu are read",
                    i->config_path, (unsigned long long)i->config_member->size, (unsigned long long)limit);
  ims_buf_init(&bytes, alloc_of(a), (size_t)limit);
  rc = ims_blob_load(a->store, &i->config_member->digest, limit, &bytes, error_of(a));
  if (!rc)
    rc = ims_config_parse(&i->config, alloc_of(a), ims_buf_text(&bytes), bytes.size, &i->config_member->digest,
                          i->layer_count, error_of(a));
  ims_buf_free(&bytes);
  return rc;
}

/* A layer is what the config says when its content without compression has the diffID. */
static int32_t check_layer(const ims_archive_images *a, const docker_image *i, size_t n, const ims_archive_member *m) {
  const ims_digest *expected = &i->config->diff_ids[n];
  if (!m->diff_id.algorithm || m->diff_id.algorithm != expected->algorithm)
    return ims_archive_check_later(a->reader, m, expected);
  if (ims_digest_equal(&m->diff_id, expected))
    return IMGSTORE_OK;
  return ims_fail(error_of(a), IMGSTORE_EDIGEST, "layer \"%.256s\": its content hashes to %s, the config says %s",
                  i->layers[n].value, m->diff_id.text, expected->text);
}

static int32_t take_layers(const ims_archive_images *a, docker_image *i) {
  static const char *const types[] = {[IMS_FORMAT_NONE] = "application/vnd.oci.image.layer.v1.tar",
                                      [IMS_FORMAT_GZIP] = "application/vnd.oci.image.layer.v1.tar+gzip",
                                      [IMS_FORMAT_ZSTD] = "application/vnd.oci.image.layer.v1.tar+zstd"};
  i->descriptors = ims_arena_take(&i->arena, alloc_of(a), i->layer_count, sizeof *i->descriptors);
  if (!i->descriptors)
    return ims_fail_nomem(error_of(a));
  for (size_t n = 0; n < i->layer_count; n++) {
    const ims_archive_member *m;
    int32_t rc = find_file(a, i->layers[n].value, &m);
    if (rc)
      return ims_error_prefix(error_of(a), "Layers[%zu]", n);
    rc = check_layer(a, i, n, m);
    if (rc)
      return rc;
    i->descriptors[n].digest = m->digest;
    i->descriptors[n].size = m->size;
    i->descriptors[n].media_type = types[m->format];
  }
  return IMGSTORE_OK;
}

static int32_t save_manifest(const ims_archive_images *a, const ims_buf *text, ims_target *target) {
  ims_digest_of(&target->digest, IMS_HASH_SHA256, ims_buf_text(text), text->size);
  target->size = text->size;
  strcpy(target->media_type, IMS_MT_OCI_MANIFEST);
  int32_t rc = ims_lease_add(a->lease, &target->digest, error_of(a));
  bool present;
  if (!rc)
    rc = ims_blob_check(a->store, &target->digest, text->size, &present, error_of(a));
  if (rc || present)
    return rc;
  rc = ims_blob_save(a->store, &target->digest, ims_buf_text(text), text->size, error_of(a));
  if (!rc && !ims_digest_set_add(a->made, &target->digest))
    rc = ims_fail_nomem(error_of(a));
  return rc;
}

static int32_t make_manifest(const ims_archive_images *a, docker_image *i, ims_target *target) {
  imgstore_descriptor config;
  ims_manifest_parts parts;
  ims_buf text;
  memset(&config, 0, sizeof config);
  memset(&parts, 0, sizeof parts);
  memset(target, 0, sizeof *target);
  config.digest = i->config_member->digest;
  config.size = i->config_member->size;
  config.media_type = IMS_MT_OCI_CONFIG;
  parts.family = IMS_FAMILY_OCI;
  parts.config = &config;
  parts.layers = i->descriptors;
  parts.layer_count = i->layer_count;
  ims_buf_init(&text, alloc_of(a), MAX_MANIFEST);
  int32_t rc = ims_compose_manifest(&text, &parts, error_of(a));
  if (!rc)
    rc = save_manifest(a, &text, target);
  ims_buf_free(&text);
  return rc;
}

static int32_t add_names(const ims_archive_images *a, const docker_image *i, const ims_target *target) {
  int32_t rc = i->tag_count ? IMGSTORE_OK : ims_loading_add(a->loading, "", target);
  for (size_t n = 0; !rc && n < i->tag_count; n++)
    rc = i->tags[n].value[0] ? ims_loading_add(a->loading, i->tags[n].value, target)
                             : ims_fail(error_of(a), IMGSTORE_EFORMAT, "RepoTags[%zu] is empty", n);
  return rc;
}

static int32_t add_image(const ims_archive_images *a, docker_image *i) {
  ims_target target;
  int32_t rc = load_config(a, i);
  if (!rc)
    rc = take_layers(a, i);
  if (!rc)
    rc = make_manifest(a, i, &target);
  return rc ? rc : add_names(a, i, &target);
}

/* Calls each for every image of manifest.json. */
static int32_t for_each(const ims_archive_images *a,
                        int32_t (*each)(const ims_archive_images *a, docker_image *image)) {
  const ims_archive_member *m;
  ims_json *json;
  ims_error *err = error_of(a);
  int32_t rc = find_document(a, "manifest.json", &m);
  if (!rc)
    rc = ims_json_parse(&json, alloc_of(a), m->text, m->size, "manifest.json", err);
  if (rc)
    return rc;
  const ims_json_value *root = ims_json_root(json);
  if (ims_json_type(root) != IMS_JSON_ARRAY)
    rc = ims_fail(err, IMGSTORE_EFORMAT, "manifest.json: is no array");
  size_t number = 0;
  for (const ims_json_value *v = ims_json_first(root); !rc && v; v = ims_json_next(v)) {
    docker_image image;
    memset(&image, 0, sizeof image);
    image.number = number++;
    rc = number > MAX_IMAGES ? ims_fail(err, IMGSTORE_ELIMIT, "more than %d images", MAX_IMAGES)
                             : read_image(a, v, &image);
    if (!rc)
      rc = each(a, &image);
    if (rc)
      ims_error_prefix(err, "manifest.json: image %zu", image.number);
    image_free(a, &image);
  }
  ims_json_free(json);
  return rc;
}

int32_t ims_archive_docker_roots(ims_archive_images *a) {
  return for_each(a, add_image);
}

/* --- both -----------------------------------------------------------------------------------------------------------
 */

static bool has_layers(const ims_archive_images *a, const docker_image *i, const imgstore_manifest *m) {
  const ims_archive_member *layer;
  if (m->count != i->layer_count)
    return false;
  for (size_t n = 0; n < m->count; n++)
    if (find_file(a, i->layers[n].value, &layer) || !ims_digest_equal(&layer->digest, &m->entries[n].digest))
      return false;
  return true;
}

static int32_t compare_image(const ims_archive_images *a, docker_image *i) {
  const bring *b = a->loading->b;
  int32_t rc = find_file(a, i->config_path, &i->config_member);
  if (rc)
    return ims_error_prefix(error_of(a), "Config");
  for (size_t n = 0; n < b->node_count; n++) {
    const imgstore_manifest *m = b->nodes[n]->manifest;
    if (m && m->config && ims_digest_equal(&m->config->digest, &i->config_member->digest) && has_layers(a, i, m))
      return IMGSTORE_OK;
  }
  return error_of(a)->code
             ? error_of(a)->code
             : ims_fail(error_of(a), IMGSTORE_EFORMAT, "index.json has no image of this config and layers");
}

int32_t ims_archive_compare(ims_archive_images *a) {
  return for_each(a, compare_image);
}
