/*
 * engine/build_index.h (L4) - an index in the making: its entries as texts, a lease on all that they reach.
 */
#ifndef IMS_ENGINE_BUILD_INDEX_H
#define IMS_ENGINE_BUILD_INDEX_H

#include "imgstore/index.h"
#include "oci/compose.h"
#include "store/store.h"

typedef struct ims_index_item {
  char *text; /**< the descriptor */
  size_t size;
  ims_digest digest;
  ims_platform platform; /**< normalised; os "": none */
  char *os_version;      /**< or NULL */
  char *attests;         /**< the digest that a BuildKit attestation is about, or NULL */
} ims_index_item;

struct imgstore_index {
  ims_core *core;
  imgstore_store *store;
  ims_lease lease;
  imgstore_manifest *base; /**< what it was opened from, or NULL */
  char *base_name;         /**< the full name that stood for base, or NULL */
  int32_t format;
  ims_index_item *items;
  size_t count, capacity;
  ims_pair *annotations; /**< keys and values are owned */
  size_t annotation_count;
};

int32_t ims_index_new(imgstore_index **index, imgstore_store *store, ims_error *err);
int32_t ims_index_open(imgstore_index **index, imgstore_store *store, const char *name, ims_error *err);
void ims_index_free(imgstore_index *index);
int32_t ims_index_add(imgstore_index *index, const char *source, const char *platform, uint32_t flags, ims_error *err);
int32_t ims_index_remove(imgstore_index *index, const char *which, ims_error *err);
int32_t ims_index_annotate(imgstore_index *index, const char *which, const char *key, const char *value,
                           ims_error *err);
int32_t ims_index_save(imgstore_index *index, const char *name, imgstore_manifest **manifest, ims_error *err);

#endif
