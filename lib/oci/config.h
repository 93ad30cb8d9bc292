/*
 * oci/config.h (L1) - an image config: parsed, checked against its manifest, diffIDs and chainIDs.
 */
#ifndef IMS_OCI_CONFIG_H
#define IMS_OCI_CONFIG_H

#include "oci/manifest.h"

typedef struct ims_history {
  const char *created, *created_by, *author, *comment; /**< "" when absent */
  int32_t layer;                                       /**< index of the layer it made, or -1 */
} ims_history;

typedef struct ims_list {
  ims_pair *items; /**< key "" for lists without keys */
  size_t count;
} ims_list;

enum { IMS_CONFIG_TEXTS = 12, IMS_CONFIG_LISTS = 9 }; /* one more than the last IMGSTORE_IMAGE_* of each kind */

typedef struct ims_config {
  ims_alloc alloc;
  char *data; /**< as hashed */
  size_t size;
  ims_json *json;
  const char *text[IMS_CONFIG_TEXTS]; /**< by IMGSTORE_IMAGE_CREATED...; "" when absent */
  ims_list list[IMS_CONFIG_LISTS];    /**< by IMGSTORE_IMAGE_ENV... */
  ims_history *history;
  size_t history_count;
  ims_digest *diff_ids;
  ims_digest *chain_ids;
  size_t layer_count;
  void *arena;
} ims_config;

/**
 * Parses the config of an image whose manifest has layer_count layers. digest: its descriptor's, checked here.
 * A history that does not add up to the layers is accepted; its entries then have layer -1 where unknown.
 * Errors: IMGSTORE_EDIGEST, IMGSTORE_EFORMAT (diff_ids count, types), IMGSTORE_ELIMIT, IMGSTORE_ENOMEM.
 */
int32_t ims_config_parse(ims_config **config, const ims_alloc *alloc, const void *data, size_t size,
                         const ims_digest *digest, size_t layer_count, ims_error *err);
void ims_config_free(ims_config *config);
/** The platform that the config says it is for, normalised. */
void ims_config_platform(const ims_config *config, ims_platform *platform);
/**
 * The `docker image inspect` object. names: full reference names. target: digest for RepoDigests ("" none).
 * unpacked_size: compressed sizes summed.
 */
int32_t ims_config_inspect(const ims_config *config, const imgstore_manifest *manifest, const char *target,
                           const char *const *names, size_t count, ims_buf *out);

#endif
