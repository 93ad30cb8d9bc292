/*
 * imgstore/common.h - what every public header shares: visibility, handle names, strings, bytes.
 *
 * Conventions of the whole library (stated once, they hold for every function):
 *
 * - A function that can fail returns int32_t: IMGSTORE_OK (0) or a negative code of error.h, and
 *   takes an optional trailing imgstore_error **. On failure *error, when given, receives a new
 *   error object that the caller frees; on success it is left alone. Outputs are NULL/0 on failure.
 * - Strings in are UTF-8 and NUL-terminated; strings out are borrowed from their handle and live as
 *   long as it does. Sizes are bytes, times are milliseconds unless a name says otherwise.
 * - Every destructor accepts NULL. Handles may be destroyed in any order: a child keeps what it
 *   needs of its parents alive.
 * - "single owner" handles are used by one thread at a time; "shared" handles are immutable,
 *   reference-counted with an atomic count, and may be used by any number of threads.
 * - A comment's "Errors" are the codes that tell outcomes apart. Besides, every function may return
 *   IMGSTORE_EINVALID (an argument that is none), IMGSTORE_EUNSUPPORTED (an option or flag that this
 *   release does not know) and IMGSTORE_ENOMEM, and what reads or writes a store IMGSTORE_EACCESS,
 *   IMGSTORE_ECORRUPT, IMGSTORE_EIO and IMGSTORE_ENOSPACE.
 * - X_start is X as an operation: it takes the same arguments, complains about those that are wrong,
 *   and copies what they point to; everything else that X reports comes from stepping the operation.
 * - Since: everything is in the library since 0.1.0 unless its comment says otherwise.
 */
#ifndef IMGSTORE_COMMON_H
#define IMGSTORE_COMMON_H

#include <stddef.h>
#include <stdint.h>

#include "imgstore/version.h"

#if defined(__GNUC__) || defined(__clang__)
#define IMGSTORE_API __attribute__((visibility("default")))
#else
#define IMGSTORE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Allocator, log sink, limits, workers; everything hangs off it. Single owner. */
typedef struct imgstore_context imgstore_context;
/** One remote registry: host, credentials, TLS, mirrors, a transport. Single owner. */
typedef struct imgstore_registry imgstore_registry;
/** Content and references, through a storage vtable. Single owner. */
typedef struct imgstore_store imgstore_store;
/** A parsed image name such as "docker.io/library/alpine:3.20". Shared, immutable. */
typedef struct imgstore_reference imgstore_reference;
/** Digest, size and media type of one object (image-spec "descriptor"). Borrowed from its parent. */
typedef struct imgstore_descriptor imgstore_descriptor;
/** A parsed manifest or index, with the exact bytes that were hashed. Shared, immutable. */
typedef struct imgstore_manifest imgstore_manifest;
/** One platform's image: manifest and config (and the index it came from). Shared, immutable. */
typedef struct imgstore_image imgstore_image;
/** One layer of an image: digest, diffID, chainID, sizes, media type. Shared, immutable. */
typedef struct imgstore_layer imgstore_layer;
/** A verified stream of bytes. Single owner. */
typedef struct imgstore_stream imgstore_stream;
/** A cursor over the files of one layer. Single owner. */
typedef struct imgstore_files imgstore_files;
/** A running job. Single owner; only imgstore_operation_cancel may come from another thread. */
typedef struct imgstore_operation imgstore_operation;
/** What a job did or found, line by line. Single owner. */
typedef struct imgstore_report imgstore_report;
/** Owned bytes. Single owner. */
typedef struct imgstore_bytes imgstore_bytes;
/** A directory of applied layers and of instances. Single owner. */
typedef struct imgstore_rootfs_dir imgstore_rootfs_dir;
/** An instance of an image: a root file system with a layer of its own. Single owner. */
typedef struct imgstore_rootfs imgstore_rootfs;
/** Details of a failure. Single owner. */
typedef struct imgstore_error imgstore_error;

/** The bytes of an imgstore_bytes; always followed by a NUL that is not counted. Never NULL. */
IMGSTORE_API const char *imgstore_bytes_data(const imgstore_bytes *bytes);
/** How many bytes an imgstore_bytes holds, without the trailing NUL. 0 for NULL. */
IMGSTORE_API size_t imgstore_bytes_size(const imgstore_bytes *bytes);
/** Frees bytes that a function handed out. */
IMGSTORE_API void imgstore_bytes_free(imgstore_bytes *bytes);

#ifdef __cplusplus
}
#endif
#endif
