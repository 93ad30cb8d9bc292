/*
 * api/context.c (L5) - include/imgstore/context.h: contexts, version, features.
 */
#include "imgstore/context.h"

#include <string.h>

#include "api/options.h"
#include "api/result.h"
#include "base/core.h"
#include "config.h"
#include "hash/hash.h"

enum { MAX_WORKERS = 64 };

static const imgstore_context_options defaults = {
    .size = sizeof(imgstore_context_options),
    .log_level = IMGSTORE_LOG_WARNING,
    .max_manifest_bytes = 4 << 20,
    .max_config_bytes = 4 << 20,
    .max_layers = 1024,
    .max_index_depth = 8,
    .max_layer_output = UINT64_C(1) << 40,
    .max_layer_ratio = 500,
    .max_layer_entries = 16 << 20,
    .max_path_depth = 512,
    .max_zstd_window = UINT64_C(1) << 27,
};

int32_t imgstore_context_options_init(imgstore_context_options *options, size_t size) {
  return ims_options_init(options, size, &defaults, sizeof defaults);
}

static int32_t check_allocator(const imgstore_allocator *a, ims_error *err) {
  if (a && (a->size < sizeof *a || !a->allocate || !a->reallocate || !a->release))
    return ims_fail(err, IMGSTORE_EINVALID, "allocator: size and all three functions are required");
  return IMGSTORE_OK;
}

int32_t imgstore_context_new(const imgstore_context_options *options, imgstore_context **context,
                             imgstore_error **error) {
  ims_error err = IMS_ERROR_INIT;
  imgstore_context_options own = defaults;
  if (!context)
    return ims_api_invalid("context is NULL", NULL, error);
  *context = NULL;
  int32_t rc = ims_options_copy(&own, sizeof own, options, sizeof own, "imgstore_context_options", &err);
  if (!rc)
    rc = check_allocator(own.allocator, &err);
  if (!rc && own.workers > MAX_WORKERS)
    rc = ims_fail(&err, IMGSTORE_EINVALID, "workers: %u is more than %d", own.workers, MAX_WORKERS);
  if (!rc && !(*context = ims_core_new(&own)))
    rc = ims_fail_nomem(&err);
  return ims_api_result(rc, &err, NULL, error);
}

void imgstore_context_free(imgstore_context *context) {
  ims_core_unref(context);
}

uint32_t imgstore_version(void) {
  return (uint32_t)IMGSTORE_VERSION_MAJOR << 16 | (uint32_t)IMGSTORE_VERSION_MINOR << 8 |
         (uint32_t)IMGSTORE_VERSION_PATCH;
}

#define TEXT_OF(x) #x
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *imgstore_version_string(void) {
  return VERSION_TEXT(IMGSTORE_VERSION_MAJOR, IMGSTORE_VERSION_MINOR, IMGSTORE_VERSION_PATCH);
}

#if IMS_HAVE_ISAL
#define WITH_ISAL " isal"
#else
#define WITH_ISAL ""
#endif
#if IMS_HAVE_ZSTD
#define WITH_ZSTD " zstd"
#else
#define WITH_ZSTD ""
#endif
#if IMS_TAR_LIBTAR
#define WITH_TAR " libtar"
#else
#define WITH_TAR ""
#endif
#define BUILT_IN "zlib" WITH_ISAL WITH_ZSTD WITH_TAR

const char *imgstore_features(void) {
  const char *kernel = ims_hash_kernel_name();
  if (strcmp(kernel, "sha-ni") == 0)
    return BUILT_IN " sha-ni";
  if (strcmp(kernel, "armv8-ce") == 0)
    return BUILT_IN " armv8-ce";
  return BUILT_IN;
}
