/*
 * imgstore/reference.h - image names: HOST/REPOSITORY:TAG@DIGEST with the defaults people know.
 *
 * The first component is a host only if it contains '.' or ':' or is "localhost"; "index.docker.io"
 * is "docker.io"; a one-component Hub repository gains "library/"; the default tag is "latest". When a
 * tag and a digest are given the digest decides. Source: distribution-spec 1.1 (pulling manifests),
 * the reference grammar of the Docker registry.
 */
#ifndef IMGSTORE_REFERENCE_H
#define IMGSTORE_REFERENCE_H

#include "imgstore/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Parses text. Errors: IMGSTORE_EFORMAT with what is wrong (upper case, too long, bare 64-hex name,
 * bad digest, ...), IMGSTORE_EUNSUPPORTED (unknown digest algorithm), IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_reference_parse(imgstore_context *context, const char *text,
                                              imgstore_reference **reference, imgstore_error **error);
/** Adds one owner. Returns its argument. */
IMGSTORE_API imgstore_reference *imgstore_reference_ref(imgstore_reference *reference);
/** Drops one owner. */
IMGSTORE_API void imgstore_reference_unref(imgstore_reference *reference);
/** The registry as named, such as "docker.io" or "[::1]:5000"; what imgstore_registry_new takes. */
IMGSTORE_API const char *imgstore_reference_host(const imgstore_reference *reference);
/** The repository, such as "library/alpine". */
IMGSTORE_API const char *imgstore_reference_repository(const imgstore_reference *reference);
/** The tag ("latest" when the text had neither tag nor digest), or NULL when there is only a digest. */
IMGSTORE_API const char *imgstore_reference_tag(const imgstore_reference *reference);
/** The digest, or NULL. */
IMGSTORE_API const char *imgstore_reference_digest(const imgstore_reference *reference);
/** The full name, such as "docker.io/library/alpine:latest"; what the store keys by. */
IMGSTORE_API const char *imgstore_reference_name(const imgstore_reference *reference);
/** The short name people type, such as "alpine:latest". */
IMGSTORE_API const char *imgstore_reference_familiar(const imgstore_reference *reference);

#ifdef __cplusplus
}
#endif
#endif
