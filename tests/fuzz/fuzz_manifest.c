/* tests/fuzz/fuzz_manifest.c - what a manifest says must hold whatever bytes it came from. */
#include <stdlib.h>
#include <string.h>

#include "oci/manifest.h"
#include "oci/mediatype.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ims_manifest_limits limits = {1 << 20, 64};

static void require(bool truth) {
  if (!truth)
    abort();
}

static void check_descriptor(const imgstore_descriptor *d) {
  ims_digest again, content;
  require(ims_digest_parse(&again, d->digest.text, strlen(d->digest.text), NULL) == IMGSTORE_OK);
  require(d->size <= UINT64_C(1) << 53 && d->media_type);
  if (d->data) {
    ims_digest_of(&content, d->digest.algorithm, d->data, (size_t)d->size);
    require(ims_digest_equal(&content, &d->digest));
  }
  for (size_t i = 0; i < d->annotation_count; i++)
    require(d->annotations[i].key && d->annotations[i].value);
  for (size_t i = 0; i < d->url_count; i++)
    require(d->urls[i] != NULL);
}

static void check_choice(const imgstore_manifest *m) {
  static const char *const platforms[] = {"linux/amd64", "linux/arm/v7", "linux/arm64/v9", "windows/amd64"};
  char out[200];
  ims_manifest_platforms(m, out, sizeof out);
  require(strlen(out) < sizeof out);
  for (size_t i = 0; i < sizeof platforms / sizeof *platforms; i++) {
    ims_platform p;
    require(ims_platform_parse(&p, platforms[i], NULL) == IMGSTORE_OK);
    const imgstore_descriptor *d = ims_manifest_choose(m, &p);
    require(!d || (m->kind == IMGSTORE_MANIFEST_INDEX && d >= m->entries && d < m->entries + m->count));
    require(!d || !ims_descriptor_annotation(d, "vnd.docker.reference.type"));
  }
}

static void check_manifest(const imgstore_manifest *m, const void *data, size_t size) {
  require(m->size == size && memcmp(m->data, data, size) == 0);
  require(m->count <= limits.max_entries);
  require((m->kind == IMGSTORE_MANIFEST_INDEX) == (m->config == NULL));
  require(ims_media_kind(m->media_type) == (m->config ? IMS_MEDIA_MANIFEST : IMS_MEDIA_INDEX));
  if (m->config)
    check_descriptor(m->config);
  if (m->subject)
    check_descriptor(m->subject);
  for (size_t i = 0; i < m->count; i++)
    check_descriptor(&m->entries[i]);
  check_choice(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const announced[] = {NULL, "application/json", IMS_MT_OCI_MANIFEST, IMS_MT_OCI_INDEX,
                                          IMS_MT_DOCKER_MANIFEST};
  for (size_t i = 0; i < sizeof announced / sizeof *announced; i++) {
    imgstore_manifest *m, *again;
    ims_error err = IMS_ERROR_INIT;
    int32_t rc = ims_manifest_parse(&m, &ims_alloc_default, data, size, announced[i], NULL, &limits, "fuzz", &err);
    require((rc == IMGSTORE_OK) == (m != NULL) && (rc == IMGSTORE_OK) == (err.message[0] == '\0'));
    if (!m)
      continue;
    check_manifest(m, data, size);
    require(ims_manifest_parse(&again, &ims_alloc_default, data, size, m->media_type, &m->digest, &limits, "fuzz",
                               NULL) == IMGSTORE_OK);
    imgstore_manifest_unref(again);
    imgstore_manifest_unref(m);
  }
  return 0;
}
