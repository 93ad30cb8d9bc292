/*
 * oci/reference.h (L1) - what imgstore_reference is inside, and its parser.
 */
#ifndef IMS_OCI_REFERENCE_H
#define IMS_OCI_REFERENCE_H

#include <stdatomic.h>

#include "base/alloc.h"
#include "imgstore/reference.h"
#include "oci/digest.h"

struct imgstore_reference {
  atomic_uint refs;
  ims_alloc alloc;
  char *host;        /**< "docker.io" */
  char *repository;  /**< "library/alpine" */
  char *tag;         /**< or NULL */
  ims_digest digest; /**< algorithm 0: none */
  char *name;        /**< host/repository[:tag][@digest] */
  char *familiar;
};

int32_t ims_reference_parse(imgstore_reference **reference, const ims_alloc *alloc, const char *text, ims_error *err);
/** Checks a HOST[:PORT] as imgstore_registry_new takes it. */
int32_t ims_host_check(const char *host, size_t size, ims_error *err);
/** Checks a repository path ("library/alpine"). */
int32_t ims_repository_check(const char *repository, size_t size, ims_error *err);
/** Checks a tag. */
int32_t ims_tag_check(const char *tag, size_t size, ims_error *err);

#endif
