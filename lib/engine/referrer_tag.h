/*
 * engine/referrer_tag.h (L4) - puts an entry into the fallback tag of a registry without the referrers API
 * (distribution-spec, "Referrers Tag Schema"). A part of a job.
 */
#ifndef IMS_ENGINE_REFERRER_TAG_H
#define IMS_ENGINE_REFERRER_TAG_H

#include "engine/client.h"
#include "engine/operation.h"
#include "oci/manifest.h"

typedef struct ims_referrer_tag {
  imgstore_operation *op; /**< NULL: not begun */
  ims_client *client;
  const char *repository;
  const imgstore_descriptor *entry;
  char tag[160];
  ims_fetch *fetch;
  ims_buf index; /**< what is written */
  ims_manifest_push put;
  ims_digest last;        /**< of the list as it was read last; algorithm 0: there was none */
  unsigned writes, quiet; /**< quiet: reads in a row that found the entry */
  bool busy, contended;
  int64_t due; /**< when to read again */
  uint64_t seed;
  int32_t failed;
} ims_referrer_tag;

/** Fills a zeroed one; what is given must live as long. */
void ims_referrer_tag_init(ims_referrer_tag *t, imgstore_operation *op, ims_client *client, const char *repository,
                           const ims_digest *subject, const imgstore_descriptor *entry);
/** IMGSTORE_OK: the entry is there and stays. IMGSTORE_EAGAIN, or the failure in op->err. */
int32_t ims_referrer_tag_advance(ims_referrer_tag *t, int64_t now);
/** Milliseconds until advance must be called, -1: when signalled. */
int32_t ims_referrer_tag_timeout(const ims_referrer_tag *t, int64_t now);
void ims_referrer_tag_free(ims_referrer_tag *t);

#endif
