/*
 * oci/manifest_view.c (L1) - what callers see of a parsed manifest, and the choice of a platform from an index.
 */
#include <string.h>

#include "oci/manifest.h"
#include "oci/mediatype.h"

/* BuildKit keeps provenance and SBOMs beside the images of an index, for a platform that no machine has. */
static bool is_attestation(const imgstore_descriptor *d) {
  if (ims_descriptor_annotation(d, "vnd.docker.reference.type"))
    return true;
  return strcmp(d->platform.os, "unknown") == 0 || strcmp(d->platform.architecture, "unknown") == 0;
}

static bool is_candidate(const imgstore_descriptor *d) {
  int kind = ims_media_kind(d->media_type);
  bool image = kind == IMS_MEDIA_MANIFEST || kind == IMS_MEDIA_INDEX || kind == IMS_MEDIA_SCHEMA1 || !d->media_type[0];
  return image && !d->artifact_type && !is_attestation(d);
}

/*
 * An entry without a platform may be for any machine, so it is taken only when there is nothing that it could be
 * mistaken for.
 */
const imgstore_descriptor *ims_manifest_choose(const imgstore_manifest *index, const ims_platform *platform) {
  const imgstore_descriptor *best = NULL, *only = NULL;
  int best_score = 0;
  size_t candidates = 0;
  for (size_t i = 0; index->kind == IMGSTORE_MANIFEST_INDEX && i < index->count; i++) {
    const imgstore_descriptor *d = &index->entries[i];
    if (!is_candidate(d))
      continue;
    only = candidates++ ? NULL : d;
    int score = ims_platform_score(platform, &d->platform);
    if (score > best_score) {
      best = d;
      best_score = score;
    }
  }
  return best || !only || only->platform_text ? best : only;
}

static bool is_repeated(const imgstore_manifest *index, size_t at) {
  for (size_t i = 0; i < at; i++) {
    const imgstore_descriptor *d = &index->entries[i];
    if (is_candidate(d) && d->platform_text && strcmp(d->platform_text, index->entries[at].platform_text) == 0)
      return true;
  }
  return false;
}

void ims_manifest_platforms(const imgstore_manifest *index, char *out, size_t capacity) {
  static const char more[] = ", ...";
  size_t used = 0;
  if (!capacity)
    return;
  out[0] = '\0';
  for (size_t i = 0; i < index->count; i++) {
    const imgstore_descriptor *d = &index->entries[i];
    if (!is_candidate(d) || !d->platform_text || is_repeated(index, i))
      continue;
    const char *comma = used ? ", " : "";
    size_t size = strlen(comma) + strlen(d->platform_text);
    if (used + size + sizeof more > capacity) {
      if (used + sizeof more <= capacity)
        memcpy(out + used, more, sizeof more);
      return;
    }
    memcpy(out + used, comma, strlen(comma));
    memcpy(out + used + strlen(comma), d->platform_text, strlen(d->platform_text) + 1);
    used += size;
  }
  if (!used && capacity >= sizeof "none")
    memcpy(out, "none", sizeof "none");
}

int32_t imgstore_manifest_kind(const imgstore_manifest *manifest) {
  return manifest ? manifest->kind : 0;
}

const char *imgstore_manifest_digest(const imgstore_manifest *manifest) {
  return manifest ? manifest->digest.text : "";
}

const char *imgstore_manifest_media_type(const imgstore_manifest *manifest) {
  return manifest ? manifest->media_type : "";
}

const void *imgstore_manifest_data(const imgstore_manifest *manifest, size_t *size) {
  if (size)
    *size = manifest ? manifest->size : 0;
  return manifest ? manifest->data : NULL;
}

const imgstore_descriptor *imgstore_manifest_config(const imgstore_manifest *manifest) {
  return manifest ? manifest->config : NULL;
}

const imgstore_descriptor *imgstore_manifest_subject(const imgstore_manifest *manifest) {
  return manifest ? manifest->subject : NULL;
}

const char *imgstore_manifest_artifact_type(const imgstore_manifest *manifest) {
  return manifest ? manifest->artifact_type : NULL;
}

size_t imgstore_manifest_count(const imgstore_manifest *manifest) {
  return manifest ? manifest->count : 0;
}

const imgstore_descriptor *imgstore_manifest_entry(const imgstore_manifest *manifest, size_t i) {
  return manifest && i < manifest->count ? &manifest->entries[i] : NULL;
}

size_t imgstore_manifest_annotation_count(const imgstore_manifest *manifest) {
  return manifest ? manifest->annotation_count : 0;
}

int32_t imgstore_manifest_annotation(const imgstore_manifest *manifest, size_t i, const char **key,
                                     const char **value) {
  bool found = manifest && i < manifest->annotation_count;
  if (key)
    *key = found ? manifest->annotations[i].key : NULL;
  if (value)
    *value = found ? manifest->annotations[i].value : NULL;
  return found ? IMGSTORE_OK : IMGSTORE_EINVALID;
}
