/*
 * oci/mediatype.h (L1) - what media types mean.
 */
#ifndef IMS_OCI_MEDIATYPE_H
#define IMS_OCI_MEDIATYPE_H

#include <stdbool.h>
#include <stddef.h>

#define IMS_MT_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define IMS_MT_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define IMS_MT_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define IMS_MT_OCI_EMPTY "application/vnd.oci.empty.v1+json"
#define IMS_MT_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define IMS_MT_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define IMS_MT_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define IMS_MT_DOCKER_V1 "application/vnd.docker.distribution.manifest.v1+json"
#define IMS_MT_DOCKER_V1_SIGNED "application/vnd.docker.distribution.manifest.v1+prettyjws"

enum {
  IMS_MEDIA_OTHER = 0,
  IMS_MEDIA_MANIFEST,
  IMS_MEDIA_INDEX,
  IMS_MEDIA_CONFIG,
  IMS_MEDIA_LAYER,         /**< a tar, in the format that ims_media_layer_format tells */
  IMS_MEDIA_LAYER_FOREIGN, /**< the same, "nondistributable"/"foreign" */
  IMS_MEDIA_SCHEMA1
};

/** What a media type (parameters such as ";charset=" ignored, case-insensitive) stands for. NULL is OTHER. */
int ims_media_kind(const char *media_type);
/** A known media type in its usual spelling; NULL for any other. Static. */
const char *ims_media_canonical(const char *media_type);
/** IMS_FORMAT_* of a layer media type; -1 for something this library does not know (such as +encrypted). */
int ims_media_layer_format(const char *media_type);
/** The same kind of document or layer in Docker's family of media types or in the OCI's; NULL when it has none. */
const char *ims_media_in_family(const char *media_type, bool docker);
/** The value of the Accept header for manifests: every type that is read. */
const char *ims_media_manifest_accept(void);
/** True when two media types are the same but for parameters and case. */
bool ims_media_equal(const char *a, const char *b);

#endif
