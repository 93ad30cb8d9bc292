/*
 * oci/compose.c (L1) - writes manifests and indexes (image-spec manifest, image-index, descriptor; Docker image
 * manifest v2 schema 2).
 */
#include "oci/compose.h"

#include <string.h>

#include "base/base64.h"
#include "oci/compose_check.h"
#include "oci/mediatype.h"
#include "oci/pairs.h"

const char ims_empty_json[3] = "{}";

void ims_empty_descriptor(imgstore_descriptor *d) {
  memset(d, 0, sizeof *d);
  d->media_type = IMS_MT_OCI_EMPTY;
  d->size = 2;
  d->data = (const uint8_t *)ims_empty_json;
  ims_digest_of(&d->digest, IMS_HASH_SHA256, ims_empty_json, 2);
}

static void put_text(ims_buf *out, const char *text) {
  ims_json_put_string(out, text, strlen(text));
}

static void put_text_member(ims_buf *out, const char *key, const char *text) {
  ims_buf_printf(out, ",\"%s\":", key);
  put_text(out, text);
}

static int32_t put_annotations(ims_buf *out, const ims_pair *pairs, size_t count, ims_error *err) {
  const ims_pair **sorted;
  if (!count)
    return IMGSTORE_OK;
  int32_t rc = ims_sort_pairs(out->alloc, pairs, count, false, &sorted, err);
  if (rc)
    return rc;
  ims_buf_puts(out, ",\"annotations\":{");
  for (size_t i = 0; i < count; i++) {
    if (i)
      ims_buf_putc(out, ',');
    put_text(out, sorted[i]->key);
    ims_buf_putc(out, ':');
    put_text(out, sorted[i]->value);
  }
  ims_buf_putc(out, '}');
  ims_free(out->alloc, sorted);
  return IMGSTORE_OK;
}

static void put_platform(ims_buf *out, const ims_platform *platform, const char *os_version) {
  if (!platform->os[0] || !platform->architecture[0])
    return;
  ims_buf_puts(out, ",\"platform\":{\"architecture\":");
  put_text(out, platform->architecture);
  put_text_member(out, "os", platform->os);
  if (os_version && *os_version)
    put_text_member(out, "os.version", os_version);
  if (platform->variant[0])
    put_text_member(out, "variant", platform->variant);
  ims_buf_putc(out, '}');
}

static int32_t put_data(ims_buf *out, const imgstore_descriptor *d, ims_error *err) {
  if (!d->data)
    return IMGSTORE_OK;
  size_t size = (size_t)d->size;
  char *text = ims_malloc(out->alloc, IMS_BASE64_ENCODED(size) + 1);
  if (!text)
    return ims_fail_nomem(err);
  ims_base64_encode(d->data, size, text);
  put_text_member(out, "data", text);
  ims_free(out->alloc, text);
  return IMGSTORE_OK;
}

static int32_t put_descriptor(ims_buf *out, const imgstore_descriptor *d, const char *os_version, ims_error *err) {
  int32_t rc = ims_check_descriptor(d, err);
  if (rc)
    return rc;
  ims_buf_puts(out, "{\"mediaType\":");
  put_text(out, d->media_type);
  put_text_member(out, "digest", d->digest.text);
  ims_buf_printf(out, ",\"size\":%llu", (unsigned long long)d->size);
  for (size_t i = 0; i < d->url_count; i++) {
    ims_buf_puts(out, i ? "," : ",\"urls\":[");
    put_text(out, d->urls[i]);
  }
  if (d->url_count)
    ims_buf_putc(out, ']');
  rc = put_annotations(out, d->annotations, d->annotation_count, err);
  if (!rc)
    rc = put_data(out, d, err);
  put_platform(out, &d->platform, os_version);
  if (d->artifact_type)
    put_text_member(out, "artifactType", d->artifact_type);
  ims_buf_putc(out, '}');
  return rc;
}

int32_t ims_compose_descriptor(ims_buf *out, const imgstore_descriptor *d, const char *os_version, ims_error *err) {
  int32_t rc = put_descriptor(out, d, os_version, err);
  return rc || !out->failed ? rc : ims_fail(err, out->failed, "descriptor %s: too large", d->digest.text);
}

/* The annotations of a descriptor with one changed; nothing when none are left. */
static int32_t put_changed(ims_buf *out, const ims_json_value *old, const char *key, const char *value,
                           ims_error *err) {
  ims_pair *pairs = NULL;
  size_t count = 0;
  int32_t rc = IMGSTORE_OK;
  for (const ims_json_value *v = ims_json_first(old); !rc && v; v = ims_json_next(v))
    if (ims_json_string(v))
      rc = ims_pairs_add(out->alloc, &pairs, &count, ims_json_key(v), ims_json_string(v), err);
  if (!rc)
    rc = ims_pairs_set(out->alloc, &pairs, &count, key, value, err);
  if (!rc)
    rc = put_annotations(out, pairs, count, err);
  ims_pairs_free(out->alloc, &pairs, &count);
  return rc;
}

int32_t ims_compose_annotated(ims_buf *out, const ims_json_value *descriptor, const char *key, const char *value,
                              ims_error *err) {
  bool first = true;
  ims_buf_putc(out, '{');
  for (const ims_json_value *v = ims_json_first(descriptor); v; v = ims_json_next(v)) {
    if (strcmp(ims_json_key(v), "annotations") == 0)
      continue;
    if (!first)
      ims_buf_putc(out, ',');
    first = false;
    put_text(out, ims_json_key(v));
    ims_buf_putc(out, ':');
    ims_json_put_value(out, v);
  }
  int32_t rc = put_changed(out, ims_json_get(descriptor, "annotations"), key, value, err);
  ims_buf_putc(out, '}');
  return rc || !out->failed ? rc : ims_fail(err, out->failed, "descriptor: too large");
}

/* What Docker's documents have no room for. */
static int32_t check_family(int32_t family, const char *artifact_type, bool attached, size_t annotations,
                            ims_error *err) {
  if (family != IMS_FAMILY_OCI && family != IMS_FAMILY_DOCKER)
    return ims_fail(err, IMGSTORE_EINVALID, "%d is no family of media types", family);
  if (artifact_type && ims_check_media_type(artifact_type, "artifactType", err))
    return IMGSTORE_EINVALID;
  if (family == IMS_FAMILY_DOCKER && (artifact_type || attached || annotations))
    return ims_fail(err, IMGSTORE_EINVALID, "Docker's format has no %s: use the OCI format",
                    artifact_type ? "artifact type"
                    : attached    ? "subject"
                                  : "annotations");
  return IMGSTORE_OK;
}

static void put_head(ims_buf *out, const char *media_type, const char *artifact_type) {
  ims_buf_puts(out, "{\"schemaVersion\":2");
  put_text_member(out, "mediaType", media_type);
  if (artifact_type)
    put_text_member(out, "artifactType", artifact_type);
}

static int32_t put_tail(ims_buf *out, const imgstore_descriptor *subject, const ims_pair *annotations, size_t count,
                        ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  if (subject) {
    ims_buf_puts(out, ",\"subject\":");
    rc = put_descriptor(out, subject, NULL, err);
  }
  if (!rc)
    rc = put_annotations(out, annotations, count, err);
  ims_buf_putc(out, '}');
  return rc;
}

/* Whatever was written since start must be what the library itself would read. */
static int32_t check_written(const ims_buf *out, size_t start, int32_t rc, const char *what, ims_error *err) {
  if (!rc && out->failed)
    rc = out->failed == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : ims_fail(err, out->failed, "%s is too large", what);
  return rc ? rc : ims_json_check(out->alloc, ims_buf_text(out) + start, out->size - start, what, err);
}

int32_t ims_compose_manifest(ims_buf *out, const ims_manifest_parts *p, ims_error *err) {
  size_t start = out->size;
  imgstore_descriptor empty;
  const imgstore_descriptor *config = p->config;
  int32_t rc = check_family(p->family, p->artifact_type, p->subject != NULL, p->annotation_count, err);
  if (!rc && !config && (p->family == IMS_FAMILY_DOCKER || !p->artifact_type))
    rc = ims_fail(err, IMGSTORE_EINVALID, "a manifest without a config needs an artifact type");
  if (!rc)
    rc = ims_check_annotations(p->annotations, p->annotation_count, err);
  if (rc)
    return rc;
  if (!config) {
    ims_empty_descriptor(&empty);
    config = &empty;
  }
  put_head(out, p->family == IMS_FAMILY_DOCKER ? IMS_MT_DOCKER_MANIFEST : IMS_MT_OCI_MANIFEST, p->artifact_type);
  ims_buf_puts(out, ",\"config\":");
  rc = put_descriptor(out, config, NULL, err);
  ims_buf_puts(out, ",\"layers\":[");
  for (size_t i = 0; !rc && i < p->layer_count; i++) {
    if (i)
      ims_buf_putc(out, ',');
    rc = put_descriptor(out, &p->layers[i], NULL, err);
  }
  ims_buf_putc(out, ']');
  if (!rc)
    rc = put_tail(out, p->subject, p->annotations, p->annotation_count, err);
  return check_written(out, start, rc, "manifest", err);
}

static int32_t put_entry(ims_buf *out, const ims_index_entry *entry, ims_error *err) {
  if (!entry->text)
    return put_descriptor(out, entry->descriptor, entry->os_version, err);
  ims_buf_append(out, entry->text, entry->text_size);
  return IMGSTORE_OK;
}

int32_t ims_compose_index(ims_buf *out, const ims_index_parts *p, ims_error *err) {
  size_t start = out->size;
  int32_t rc = check_family(p->family, p->artifact_type, p->subject != NULL, p->annotation_count, err);
  if (!rc)
    rc = ims_check_annotations(p->annotations, p->annotation_count, err);
  if (rc)
    return rc;
  put_head(out, p->family == IMS_FAMILY_DOCKER ? IMS_MT_DOCKER_LIST : IMS_MT_OCI_INDEX, p->artifact_type);
  ims_buf_puts(out, ",\"manifests\":[");
  for (size_t i = 0; !rc && i < p->count; i++) {
    if (i)
      ims_buf_putc(out, ',');
    rc = put_entry(out, &p->entries[i], err);
  }
  ims_buf_putc(out, ']');
  if (!rc)
    rc = put_tail(out, p->subject, p->annotations, p->annotation_count, err);
  return check_written(out, start, rc, "index", err);
}
