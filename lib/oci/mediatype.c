/*
 * oci/mediatype.c (L1) - the table of media types that the library knows.
 */
#include "oci/mediatype.h"

#include <string.h>

#include "base/text.h"
#include "compress/decoder.h"

typedef struct known_type {
  const char *name;
  int kind;
  int format; /* of a layer, else -1 */
} known_type;

static const known_type known_types[] = {
    {IMS_MT_OCI_MANIFEST, IMS_MEDIA_MANIFEST, -1},
    {IMS_MT_OCI_INDEX, IMS_MEDIA_INDEX, -1},
    {IMS_MT_OCI_CONFIG, IMS_MEDIA_CONFIG, -1},
    {IMS_MT_DOCKER_MANIFEST, IMS_MEDIA_MANIFEST, -1},
    {IMS_MT_DOCKER_LIST, IMS_MEDIA_INDEX, -1},
    {IMS_MT_DOCKER_CONFIG, IMS_MEDIA_CONFIG, -1},
    {IMS_MT_DOCKER_V1, IMS_MEDIA_SCHEMA1, -1},
    {IMS_MT_DOCKER_V1_SIGNED, IMS_MEDIA_SCHEMA1, -1},
    {"application/vnd.oci.image.layer.v1.tar", IMS_MEDIA_LAYER, IMS_FORMAT_NONE},
    {"application/vnd.oci.image.layer.v1.tar+gzip", IMS_MEDIA_LAYER, IMS_FORMAT_GZIP},
    {"application/vnd.oci.image.layer.v1.tar+zstd", IMS_MEDIA_LAYER, IMS_FORMAT_ZSTD},
    {"application/vnd.docker.image.rootfs.diff.tar", IMS_MEDIA_LAYER, IMS_FORMAT_NONE},
    {"application/vnd.docker.image.rootfs.diff.tar.gzip", IMS_MEDIA_LAYER, IMS_FORMAT_GZIP},
    {"application/vnd.docker.image.rootfs.diff.tar.zstd", IMS_MEDIA_LAYER, IMS_FORMAT_ZSTD},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar", IMS_MEDIA_LAYER_FOREIGN, IMS_FORMAT_NONE},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", IMS_MEDIA_LAYER_FOREIGN, IMS_FORMAT_GZIP},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", IMS_MEDIA_LAYER_FOREIGN, IMS_FORMAT_ZSTD},
    {"application/vnd.docker.image.rootfs.foreign.diff.tar", IMS_MEDIA_LAYER_FOREIGN, IMS_FORMAT_NONE},
    {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", IMS_MEDIA_LAYER_FOREIGN, IMS_FORMAT_GZIP},
    {"application/vnd.docker.image.rootfs.foreign.diff.tar.zstd", IMS_MEDIA_LAYER_FOREIGN, IMS_FORMAT_ZSTD},
};

/* Bytes before parameters and the space around them. */
static size_t essence(const char **media_type) {
  const char *s = *media_type;
  while (*s == ' ' || *s == '\t')
    s++;
  size_t size = strcspn(s, ";");
  while (size && (s[size - 1] == ' ' || s[size - 1] == '\t'))
    size--;
  *media_type = s;
  return size;
}

static const known_type *find(const char *media_type) {
  if (!media_type)
    return NULL;
  size_t size = essence(&media_type);
  for (size_t i = 0; i < sizeof known_types / sizeof *known_types; i++)
    if (ims_equal_fold_n(known_types[i].name, strlen(known_types[i].name), media_type, size))
      return &known_types[i];
  return NULL;
}

int ims_media_kind(const char *media_type) {
  const known_type *type = find(media_type);
  return type ? type->kind : IMS_MEDIA_OTHER;
}

const char *ims_media_canonical(const char *media_type) {
  const known_type *type = find(media_type);
  return type ? type->name : NULL;
}

int ims_media_layer_format(const char *media_type) {
  const known_type *type = find(media_type);
  return type ? type->format : -1;
}

const char *ims_media_in_family(const char *media_type, bool docker) {
  const known_type *type = find(media_type);
  for (size_t i = 0; type && i < sizeof known_types / sizeof *known_types; i++) {
    const known_type *other = &known_types[i];
    bool is_docker = ims_starts_with(other->name, "application/vnd.docker.");
    if (other->kind == type->kind && other->format == type->format && is_docker == docker)
      return other->name;
  }
  return NULL;
}

const char *ims_media_manifest_accept(void) {
  return IMS_MT_OCI_INDEX ", " IMS_MT_OCI_MANIFEST ", " IMS_MT_DOCKER_LIST ", " IMS_MT_DOCKER_MANIFEST;
}

bool ims_media_equal(const char *a, const char *b) {
  if (!a || !b)
    return a == b;
  size_t a_size = essence(&a), b_size = essence(&b);
  return ims_equal_fold_n(a, a_size, b, b_size);
}
