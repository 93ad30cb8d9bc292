/*
 * oci/descriptor.c (L1) - descriptors: reading, checking, and the public accessors. Annotations are data here: nothing
 * is ever made of them.
 */
#include "oci/descriptor.h"

#include <string.h>

#include "base/base64.h"
#include "oci/arena.h"

static int32_t read_platform_part(const ims_json_value *platform, const char *key, char part[IMS_PLATFORM_PART],
                                  ims_error *err) {
  const char *text;
  int32_t rc = ims_member_text(platform, key, &text, err);
  if (rc != IMGSTORE_OK || !text)
    return rc;
  size_t size = strlen(text);
  if (size >= IMS_PLATFORM_PART)
    return ims_fail(err, IMGSTORE_EFORMAT, "%s is longer than %d bytes", key, IMS_PLATFORM_PART - 1);
  memcpy(part, text, size + 1);
  return IMGSTORE_OK;
}

static int32_t read_platform(imgstore_descriptor *d, const ims_json_value *object, ims_memory memory, ims_error *err) {
  const ims_json_value *platform;
  int32_t rc = ims_member_of_type(object, "platform", IMS_JSON_OBJECT, &platform, err);
  if (rc != IMGSTORE_OK || !platform)
    return rc;
  rc = read_platform_part(platform, "os", d->platform.os, err);
  if (rc == IMGSTORE_OK)
    rc = read_platform_part(platform, "architecture", d->platform.architecture, err);
  if (rc == IMGSTORE_OK)
    rc = read_platform_part(platform, "variant", d->platform.variant, err);
  if (rc != IMGSTORE_OK) {
    ims_error_prefix(err, "platform");
    return rc;
  }
  if (!d->platform.os[0] || !d->platform.architecture[0]) {
    memset(&d->platform, 0, sizeof d->platform);
    return IMGSTORE_OK;
  }
  char *text = ims_arena_take(memory.arena, memory.alloc, 1, IMS_PLATFORM_TEXT);
  if (!text)
    return ims_fail_nomem(err);
  ims_platform_text(&d->platform, text);
  d->platform_text = text;
  ims_platform_normalise(&d->platform);
  return IMGSTORE_OK;
}

static int32_t read_urls(imgstore_descriptor *d, const ims_json_value *object, ims_memory memory, ims_error *err) {
  const ims_pair *pairs;
  size_t count;
  int32_t rc = ims_member_strings(object, "urls", memory, &pairs, &count, err);
  if (rc != IMGSTORE_OK || !count)
    return rc;
  const char **urls = ims_arena_take(memory.arena, memory.alloc, count, sizeof *urls);
  if (!urls)
    return ims_fail_nomem(err);
  for (size_t i = 0; i < count; i++)
    urls[i] = pairs[i].value;
  d->urls = urls;
  d->url_count = count;
  return IMGSTORE_OK;
}

static int32_t read_data(imgstore_descriptor *d, const ims_json_value *object, ims_memory memory, ims_error *err) {
  const char *text;
  int32_t rc = ims_member_text(object, "data", &text, err);
  if (rc != IMGSTORE_OK || !text)
    return rc;
  size_t length = strlen(text), size;
  uint8_t *bytes = ims_arena_take(memory.arena, memory.alloc, IMS_BASE64_DECODED(length), 1);
  if (!bytes)
    return ims_fail_nomem(err);
  if (ims_base64_decode(text, length, bytes, &size) != IMGSTORE_OK)
    return ims_fail(err, IMGSTORE_EFORMAT, "data is not base64");
  ims_digest digest;
  ims_digest_of(&digest, d->digest.algorithm, bytes, size);
  if (size != d->size || !ims_digest_equal(&digest, &d->digest))
    return ims_fail(err, IMGSTORE_EDIGEST, "data is %zu bytes with digest %s, not %llu with %s", size, digest.text,
                    (unsigned long long)d->size, d->digest.text);
  d->data = bytes;
  return IMGSTORE_OK;
}

int32_t ims_descriptor_read(imgstore_descriptor *d, const ims_json_value *object, ims_memory memory, ims_error *err) {
  memset(d, 0, sizeof *d);
  d->media_type = "";
  if (ims_json_type(object) != IMS_JSON_OBJECT)
    return ims_fail(err, IMGSTORE_EFORMAT, "not an object");
  const char *media_type = NULL;
  int32_t rc = ims_member_digest(object, "digest", &d->digest, err);
  if (rc == IMGSTORE_OK)
    rc = ims_member_uint(object, "size", &d->size, err);
  if (rc == IMGSTORE_OK)
    rc = ims_member_text(object, "mediaType", &media_type, err);
  if (rc == IMGSTORE_OK)
    rc = ims_member_text(object, "artifactType", &d->artifact_type, err);
  if (rc == IMGSTORE_OK)
    rc = ims_member_map(object, "annotations", memory, &d->annotations, &d->annotation_count, err);
  if (rc == IMGSTORE_OK)
    rc = read_platform(d, object, memory, err);
  if (rc == IMGSTORE_OK)
    rc = read_urls(d, object, memory, err);
  if (rc == IMGSTORE_OK)
    rc = read_data(d, object, memory, err);
  if (media_type)
    d->media_type = media_type;
  return rc;
}

/* A descriptor on its own carries its arena behind it. */
typedef struct lone_descriptor {
  imgstore_descriptor descriptor;
  void *arena;
} lone_descriptor;

int32_t ims_descriptor_parse(imgstore_descriptor **descriptor, const ims_alloc *alloc, const ims_json_value *object,
                             const char *what, ims_error *err) {
  *descriptor = NULL;
  lone_descriptor *made = ims_calloc(alloc, 1, sizeof *made);
  if (!made)
    return ims_fail_nomem(err);
  int32_t rc = ims_descriptor_read(&made->descriptor, object, (ims_memory){alloc, &made->arena}, err);
  if (rc != IMGSTORE_OK) {
    ims_error_prefix(err, "%s", what ? what : "descriptor");
    ims_descriptor_free(alloc, &made->descriptor);
    return rc;
  }
  *descriptor = &made->descriptor;
  return IMGSTORE_OK;
}

void ims_descriptor_free(const ims_alloc *alloc, imgstore_descriptor *descriptor) {
  if (!descriptor)
    return;
  lone_descriptor *lone = (lone_descriptor *)(void *)descriptor;
  ims_arena_free(&lone->arena, alloc);
  ims_free(alloc, lone);
}

const char *ims_descriptor_annotation(const imgstore_descriptor *descriptor, const char *key) {
  for (size_t i = 0; descriptor && i < descriptor->annotation_count; i++)
    if (strcmp(descriptor->annotations[i].key, key) == 0)
      return descriptor->annotations[i].value;
  return NULL;
}

const char *imgstore_descriptor_digest(const imgstore_descriptor *descriptor) {
  return descriptor ? descriptor->digest.text : "";
}

uint64_t imgstore_descriptor_size(const imgstore_descriptor *descriptor) {
  return descriptor ? descriptor->size : 0;
}

const char *imgstore_descriptor_media_type(const imgstore_descriptor *descriptor) {
  return descriptor ? descriptor->media_type : "";
}

const char *imgstore_descriptor_artifact_type(const imgstore_descriptor *descriptor) {
  return descriptor ? descriptor->artifact_type : NULL;
}

const char *imgstore_descriptor_platform(const imgstore_descriptor *descriptor) {
  return descriptor ? descriptor->platform_text : NULL;
}

size_t imgstore_descriptor_annotation_count(const imgstore_descriptor *descriptor) {
  return descriptor ? descriptor->annotation_count : 0;
}

int32_t imgstore_descriptor_annotation(const imgstore_descriptor *descriptor, size_t i, const char **key,
                                       const char **value) {
  bool found = descriptor && i < descriptor->annotation_count;
  if (key)
    *key = found ? descriptor->annotations[i].key : NULL;
  if (value)
    *value = found ? descriptor->annotations[i].value : NULL;
  return found ? IMGSTORE_OK : IMGSTORE_EINVALID;
}
