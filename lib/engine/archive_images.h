/*
 * engine/archive_images.h (L4) - what the documents of an archive say: index.json of an OCI layout, manifest.json of
 * Docker's format. All members are in the store when these run.
 */
#ifndef IMS_ENGINE_ARCHIVE_IMAGES_H
#define IMS_ENGINE_ARCHIVE_IMAGES_H

#include "engine/archive_reader.h"
#include "engine/load.h"

typedef struct ims_archive_images {
  ims_loading *loading;
  ims_archive_reader *reader;
  imgstore_store *store;
  ims_lease *lease;
  ims_digest_set *made; /**< manifests that were written for images of Docker's format */
} ims_archive_images;

/** Adds a root for each image that index.json names. Failures are in the operation's error, without the archive. */
int32_t ims_archive_oci_roots(ims_archive_images *images);
/**
 * Checks what manifest.json says against members and configs, writes a manifest for each image, and adds roots.
 * Contents that were not hashed yet are noted with ims_archive_check_later.
 */
int32_t ims_archive_docker_roots(ims_archive_images *images);
/** Both are there: manifest.json may name only images that index.json leads to, as the job's nodes have found. */
int32_t ims_archive_compare(ims_archive_images *images);

#endif
