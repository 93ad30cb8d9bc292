/*
 * oci/manifest.c (L1) - reads manifests and indexes of OCI and Docker schema 2. What a document is, is decided once,
 * here, from its shape; everything else that claims to say so must agree (CVE-2021-41190).
 */
#include "oci/manifest.h"

#include <string.h>

#include "oci/arena.h"
#include "oci/descriptor.h"
#include "oci/mediatype.h"

enum { DEFAULT_MAX_BYTES = 4 << 20, DEFAULT_MAX_ENTRIES = 1024 };

static ims_memory memory_of(imgstore_manifest *m) {
  return (ims_memory){&m->alloc, &m->arena};
}

static bool has(const ims_json_value *root, const char *key) {
  return ims_json_get(root, key) != NULL;
}

static int32_t check_schema(const ims_json_value *root, const char *announced, const char *own, ims_error *err) {
  uint64_t version;
  const ims_json_value *v = ims_json_get(root, "schemaVersion");
  bool known = ims_json_uint(v, &version);
  if ((known && version == 1) || has(root, "fsLayers") || ims_media_kind(announced) == IMS_MEDIA_SCHEMA1 ||
      ims_media_kind(own) == IMS_MEDIA_SCHEMA1)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "unsupported: schema 1");
  if (!known || version != 2)
    return ims_fail(err, IMGSTORE_EFORMAT, v ? "schemaVersion is not 2" : "schemaVersion is missing");
  return IMGSTORE_OK;
}

/* IMS_MEDIA_INDEX or IMS_MEDIA_MANIFEST from the members that are there. */
static int32_t read_shape(const ims_json_value *root, int *shape, ims_error *err) {
  bool index = has(root, "manifests"), manifest = has(root, "layers") || has(root, "config");
  if (index && manifest)
    return ims_fail(err, IMGSTORE_EFORMAT, "has \"manifests\" as well as \"layers\" or \"config\"");
  if (!index && !manifest)
    return ims_fail(err, IMGSTORE_EFORMAT, "neither a manifest nor an index");
  *shape = index ? IMS_MEDIA_INDEX : IMS_MEDIA_MANIFEST;
  return IMGSTORE_OK;
}

/* Types that servers give to what they do not know. */
static bool is_generic(const char *media_type) {
  static const char *const generic[] = {"", "application/json", "application/octet-stream", "text/plain"};
  for (size_t i = 0; i < sizeof generic / sizeof *generic; i++)
    if (ims_media_equal(media_type, generic[i]))
      return true;
  return !media_type;
}

static int32_t read_media_type(imgstore_manifest *m, int shape, const char *announced, const char *own,
                               ims_error *err) {
  const char *name = shape == IMS_MEDIA_INDEX ? "an index" : "a manifest";
  m->media_type = shape == IMS_MEDIA_INDEX ? IMS_MT_OCI_INDEX : IMS_MT_OCI_MANIFEST;
  if (own && own[0]) {
    if (ims_media_kind(own) == IMS_MEDIA_OTHER)
      return ims_fail(err, IMGSTORE_EUNSUPPORTED, "unsupported: media type \"%.200s\"", own);
    if (ims_media_kind(own) != shape)
      return ims_fail(err, IMGSTORE_EFORMAT, "mediaType is \"%.200s\" in what is %s", own, name);
    m->media_type = own;
  }
  if (is_generic(announced))
    return IMGSTORE_OK;
  if (own && own[0] ? !ims_media_equal(own, announced) : ims_media_kind(announced) != shape)
    return ims_fail(err, IMGSTORE_EFORMAT, "announced as \"%.200s\" but is %s of type \"%.200s\"", announced, name,
                    m->media_type);
  if (!own || !own[0])
    m->media_type = ims_media_canonical(announced);
  return IMGSTORE_OK;
}

static int32_t read_entries(imgstore_manifest *m, const ims_json_value *root, const char *key, uint64_t max,
                            ims_error *err) {
  const ims_json_value *array;
  if (!has(root, key))
    return ims_fail(err, IMGSTORE_EFORMAT, "%s is missing", key);
  int32_t rc = ims_member_of_type(root, key, IMS_JSON_ARRAY, &array, err);
  if (rc != IMGSTORE_OK)
    return rc;
  size_t count = ims_json_count(array);
  if (count > max)
    return ims_fail(err, IMGSTORE_ELIMIT, "%zu %s, at most %llu are read", count, key, (unsigned long long)max);
  m->entries = ims_arena_take(&m->arena, &m->alloc, count, sizeof *m->entries);
  if (!m->entries)
    return ims_fail_nomem(err);
  const ims_json_value *v = ims_json_first(array);
  for (size_t i = 0; i < count; i++, v = ims_json_next(v)) {
    rc = ims_descriptor_read(&m->entries[i], v, memory_of(m), err);
    if (rc != IMGSTORE_OK) {
      ims_error_prefix(err, "%s[%zu]", key, i);
      return rc;
    }
  }
  m->count = count;
  return IMGSTORE_OK;
}

/* A member that is a descriptor; *descriptor stays NULL when it is absent. */
static int32_t read_member(imgstore_manifest *m, const ims_json_value *root, const char *key,
                           imgstore_descriptor **descriptor, ims_error *err) {
  const ims_json_value *object;
  int32_t rc = ims_member_of_type(root, key, IMS_JSON_OBJECT, &object, err);
  if (rc != IMGSTORE_OK || !object)
    return rc;
  imgstore_descriptor *made = ims_arena_take(&m->arena, &m->alloc, 1, sizeof *made);
  if (!made)
    return ims_fail_nomem(err);
  rc = ims_descriptor_read(made, object, memory_of(m), err);
  if (rc != IMGSTORE_OK)
    ims_error_prefix(err, "%s", key);
  else
    *descriptor = made;
  return rc;
}

/* Registries and builders have filled in other types for image configs; a new kind of artifact never has these. */
static bool is_image_config(const char *media_type, const char *artifact_type) {
  if (ims_media_kind(media_type) == IMS_MEDIA_CONFIG)
    return true;
  return !artifact_type && is_generic(media_type);
}

static int32_t read_manifest(imgstore_manifest *m, const ims_json_value *root, uint64_t max, ims_error *err) {
  int32_t rc = read_member(m, root, "config", &m->config, err);
  if (rc != IMGSTORE_OK)
    return rc;
  if (!m->config)
    return ims_fail(err, IMGSTORE_EFORMAT, "config is missing");
  m->kind = IMGSTORE_MANIFEST_IMAGE;
  if (!is_image_config(m->config->media_type, m->artifact_type)) {
    m->kind = IMGSTORE_MANIFEST_ARTIFACT;
    if (!m->artifact_type && m->config->media_type[0])
      m->artifact_type = m->config->media_type;
  }
  return read_entries(m, root, "layers", max, err);
}

static int32_t read_document(imgstore_manifest *m, const char *announced, uint64_t max_entries, ims_error *err) {
  const ims_json_value *root = ims_json_root(m->json);
  const char *own = NULL;
  int shape = IMS_MEDIA_OTHER;
  if (ims_json_type(root) != IMS_JSON_OBJECT)
    return ims_fail(err, IMGSTORE_EFORMAT, "not a JSON object");
  int32_t rc = ims_member_text(root, "mediaType", &own, err);
  if (rc == IMGSTORE_OK)
    rc = check_schema(root, announced, own, err);
  if (rc == IMGSTORE_OK)
    rc = read_shape(root, &shape, err);
  if (rc == IMGSTORE_OK)
    rc = read_media_type(m, shape, announced, own, err);
  if (rc == IMGSTORE_OK)
    rc = ims_member_text(root, "artifactType", &m->artifact_type, err);
  if (rc == IMGSTORE_OK)
    rc = ims_member_map(root, "annotations", memory_of(m), &m->annotations, &m->annotation_count, err);
  if (rc == IMGSTORE_OK)
    rc = read_member(m, root, "subject", &m->subject, err);
  if (rc != IMGSTORE_OK)
    return rc;
  if (shape == IMS_MEDIA_MANIFEST)
    return read_manifest(m, root, max_entries, err);
  m->kind = IMGSTORE_MANIFEST_INDEX;
  return read_entries(m, root, "manifests", max_entries, err);
}

static int32_t read_bytes(imgstore_manifest *m, const void *data, size_t size, const ims_digest *expected,
                          ims_error *err) {
  int32_t algorithm = expected && expected->algorithm ? expected->algorithm : IMS_HASH_SHA256;
  ims_digest_of(&m->digest, algorithm, data, size);
  if (expected && expected->algorithm && !ims_digest_equal(&m->digest, expected))
    return ims_fail(err, IMGSTORE_EDIGEST, "the content hashes to %s, not to %s", m->digest.text, expected->text);
  m->data = ims_strndup(&m->alloc, data, size);
  m->size = size;
  return m->data ? IMGSTORE_OK : ims_fail_nomem(err);
}

int32_t ims_manifest_parse(imgstore_manifest **manifest, const ims_alloc *alloc, const void *data, size_t size,
                           const char *media_type, const ims_digest *expected, const ims_manifest_limits *limits,
                           const char *what, ims_error *err) {
  *manifest = NULL;
  uint64_t max_bytes = limits ? limits->max_bytes : DEFAULT_MAX_BYTES;
  if (!what)
    what = "manifest";
  if (size > max_bytes)
    return ims_fail(err, IMGSTORE_ELIMIT, "%s: a manifest of %zu bytes, at most %llu are read", what, size,
                    (unsigned long long)max_bytes);
  imgstore_manifest *made = ims_calloc(alloc, 1, sizeof *made);
  if (!made)
    return ims_fail_nomem(err);
  atomic_init(&made->refs, 1);
  made->alloc = *alloc;
  int32_t rc = read_bytes(made, size ? data : "", size, expected, err);
  if (rc == IMGSTORE_OK)
    rc = ims_json_parse(&made->json, alloc, made->data, size, "manifest", err);
  if (rc == IMGSTORE_OK)
    rc = read_document(made, media_type, limits ? limits->max_entries : DEFAULT_MAX_ENTRIES, err);
  if (rc == IMGSTORE_OK) {
    *manifest = made;
    return IMGSTORE_OK;
  }
  ims_error_prefix(err, "%s", what);
  imgstore_manifest_unref(made);
  return rc;
}

imgstore_manifest *imgstore_manifest_ref(imgstore_manifest *manifest) {
  if (manifest)
    atomic_fetch_add_explicit(&manifest->refs, 1, memory_order_relaxed);
  return manifest;
}

void imgstore_manifest_unref(imgstore_manifest *manifest) {
  if (!manifest || atomic_fetch_sub_explicit(&manifest->refs, 1, memory_order_acq_rel) != 1)
    return;
  ims_alloc alloc = manifest->alloc;
  ims_arena_free(&manifest->arena, &alloc);
  ims_json_free(manifest->json);
  ims_free(&alloc, manifest->data);
  ims_free(&alloc, manifest);
}
