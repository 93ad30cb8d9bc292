/*
 * oci/change.h (L1) - changes of a config as instructions of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL,
 * ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR (`docker import --change`). Nothing is expanded and nothing is run.
 */
#ifndef IMS_OCI_CHANGE_H
#define IMS_OCI_CHANGE_H

#include "oci/config.h"

/** What the instructions add up to, for a config from scratch. */
typedef struct ims_change_set {
  const ims_alloc *alloc;
  void *arena;
  const char *text[IMS_CONFIG_TEXTS]; /**< by IMGSTORE_IMAGE_CREATED...; NULL: not said */
  ims_list list[IMS_CONFIG_LISTS];    /**< by IMGSTORE_IMAGE_ENV...; items NULL: not said */
} ims_change_set;

void ims_change_set_init(ims_change_set *set, const ims_alloc *alloc);
void ims_change_set_free(ims_change_set *set);
/** Takes one instruction. Errors: IMGSTORE_EINVALID (what is wrong with it), IMGSTORE_ENOMEM. */
int32_t ims_change_add(ims_change_set *set, const char *instruction, ims_error *err);

#endif
