/*
 * api/registry.c (L5) - the exported functions of imgstore/registry.h, but for the jobs: arguments checked, errors
 * handed out.
 */
#include "imgstore/registry.h"

#include "api/options.h"
#include "api/result.h"
#include "engine/credentials.h"
#include "engine/registry_handle.h"

/* Up to the last field of the first release. */
enum { FIRST_SIZE = offsetof(imgstore_registry_options, max_redirects) + sizeof(uint32_t) };

int32_t imgstore_registry_options_init(imgstore_registry_options *options, size_t size) {
  imgstore_registry_options defaults;
  ims_registry_defaults(&defaults);
  return ims_options_init(options, size, &defaults, sizeof defaults);
}

int32_t imgstore_registry_new(imgstore_context *context, const char *host, const imgstore_registry_options *options,
                              imgstore_registry **registry, imgstore_error **error) {
  const ims_alloc *alloc = context ? &context->alloc : NULL;
  ims_error err = IMS_ERROR_INIT;
  imgstore_registry_options own;
  if (registry)
    *registry = NULL;
  if (!context || !host || !registry)
    return ims_api_invalid("context, host and registry are required", alloc, error);
  ims_registry_defaults(&own);
  int32_t rc = ims_options_copy(&own, sizeof own, options, FIRST_SIZE, "imgstore_registry_options", &err);
  if (!rc)
    rc = ims_registry_new(registry, context, host, &own, &err);
  return ims_api_result(rc, &err, alloc, error);
}

void imgstore_registry_free(imgstore_registry *registry) {
  ims_registry_unref(registry);
}

const char *imgstore_registry_host(const imgstore_registry *registry) {
  return registry ? registry->own->host : "";
}

int32_t imgstore_registry_add_mirror(imgstore_registry *registry, const char *host, uint32_t flags,
                                     imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!registry || !host)
    return ims_api_invalid("registry and host are required", registry ? &registry->core->alloc : NULL, error);
  int32_t rc = ims_registry_add_mirror(registry, host, flags, &err);
  return ims_api_result(rc, &err, &registry->core->alloc, error);
}

int32_t imgstore_credentials_store(imgstore_context *context, const char *directory, const char *host,
                                   const char *username, const char *password, const char *identity_token,
                                   imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!context || !host || !(identity_token || (username && password)))
    return ims_api_invalid("context, host and credentials are required", context ? &context->alloc : NULL, error);
  /* borrowed for the call; the store does not change them */
  const ims_credential credential = {(char *)username, (char *)password, (char *)identity_token};
  int32_t rc = ims_credentials_store(context, directory, host, &credential, &err);
  return ims_api_result(rc, &err, &context->alloc, error);
}

int32_t imgstore_credentials_erase(imgstore_context *context, const char *directory, const char *host,
                                   imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  if (!context || !host)
    return ims_api_invalid("context and host are required", context ? &context->alloc : NULL, error);
  int32_t rc = ims_credentials_erase(context, directory, host, &err);
  return ims_api_result(rc, &err, &context->alloc, error);
}
