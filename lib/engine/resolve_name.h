/*
 * engine/resolve_name.h (L4) - what a name stands for in a registry, down to the manifest of one platform: manifests
 * only, verified, in memory. A part of a job.
 */
#ifndef IMS_ENGINE_RESOLVE_NAME_H
#define IMS_ENGINE_RESOLVE_NAME_H

#include "engine/client.h"
#include "engine/operation.h"
#include "oci/manifest.h"
#include "oci/reference.h"

enum { IMS_RESOLVE_DEPTH = 16 };

typedef struct ims_resolver {
  imgstore_operation *op;
  ims_client *client;
  const imgstore_reference *reference;
  ims_platform platform;
  bool top_only;                               /**< what the name itself names, index or not */
  imgstore_manifest *chain[IMS_RESOLVE_DEPTH]; /**< from the top down */
  size_t count;
  bool done;
  ims_fetch *fetch;
  ims_digest wanted; /**< of the fetch; algorithm 0: a tag */
  uint64_t wanted_size;
  int32_t failed;
} ims_resolver;

/** Fills a zeroed resolver and begins. platform: text, or NULL. What is given must live as long. Errors: in op->err. */
int32_t ims_resolver_start(ims_resolver *r, imgstore_operation *op, ims_client *client,
                           const imgstore_reference *reference, const char *platform, bool top_only);
/** IMGSTORE_OK: chain is complete. IMGSTORE_EAGAIN, or the failure in op->err. */
int32_t ims_resolver_advance(ims_resolver *r);
/** The last of the chain: what the list is about. */
const imgstore_manifest *ims_resolver_leaf(const ims_resolver *r);
void ims_resolver_free(ims_resolver *r);

#endif
