/*
 * imgstore/context.h - the context: allocator, log sink, limits, workers.
 *
 * Nothing is global: two contexts in one process share nothing. The library reads no environment
 * variable, installs no signal handler and starts no thread unless an option asks for it. (libcurl, the built-in
 * transport, is initialised once per process and looks names up on threads of its own.)
 * A context belongs to the process that made it: after a fork the child makes a new one.
 */
#ifndef IMGSTORE_CONTEXT_H
#define IMGSTORE_CONTEXT_H

#include "imgstore/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Memory functions of the caller. All three are required and must be callable from any thread when
 * the context has workers. What libcurl, cJSON and mbedTLS take for themselves does not come through them. The
 * functions and user_data must outlive every object made with them.
 */
typedef struct imgstore_allocator {
  size_t size; /**< sizeof(imgstore_allocator) */
  void *user_data;
  void *(*allocate)(void *user_data, size_t bytes);
  void *(*reallocate)(void *user_data, void *memory, size_t bytes);
  void (*release)(void *user_data, void *memory);
} imgstore_allocator;

enum { IMGSTORE_LOG_ERROR = 1, IMGSTORE_LOG_WARNING = 2, IMGSTORE_LOG_INFO = 3, IMGSTORE_LOG_DEBUG = 4 };

/** Receives one line without newline; never a secret. Runs on the thread that drives the operation. */
typedef void (*imgstore_log_fn)(void *user_data, int32_t level, const char *line);

/**
 * Options of a context. Fill with imgstore_context_options_init, then change what is needed.
 * Limits are per image or per object as named; content over a limit fails with IMGSTORE_ELIMIT.
 */
typedef struct imgstore_context_options {
  size_t size;
  const imgstore_allocator *allocator; /**< NULL: malloc, realloc, free. Copied. */
  imgstore_log_fn log;                 /**< NULL: no log */
  void *log_data;
  int32_t log_level;           /**< lines above this level are not made; default IMGSTORE_LOG_WARNING */
  uint32_t workers;            /**< worker threads, 0..64; default 0: all work inside step() */
  uint64_t max_manifest_bytes; /**< one manifest or index; default 4 MiB */
  uint64_t max_config_bytes;   /**< one image config; default 4 MiB */
  uint64_t max_layers;         /**< layers of one image; default 1024 */
  uint64_t max_index_depth;    /**< indexes inside indexes; default 8 */
  uint64_t max_layer_output;   /**< uncompressed bytes of one layer; default 1 TiB */
  uint64_t max_layer_ratio;    /**< uncompressed per compressed byte, after the first 64 MiB; default 500 */
  uint64_t max_layer_entries;  /**< entries of one layer; default 16 Mi */
  uint64_t max_path_depth;     /**< components of one path in a layer; default 512 */
  uint64_t max_zstd_window;    /**< zstd window in bytes; default 2^27 */
} imgstore_context_options;

/** Fills *options with the defaults. size: sizeof(imgstore_context_options) of the caller. */
IMGSTORE_API int32_t imgstore_context_options_init(imgstore_context_options *options, size_t size);

/**
 * Makes a context.
 * options: NULL for the defaults. context: receives the handle, freed with imgstore_context_free.
 * Errors: IMGSTORE_EINVALID, IMGSTORE_EUNSUPPORTED (an option of a later release), IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_context_new(const imgstore_context_options *options, imgstore_context **context,
                                          imgstore_error **error);
/** Frees the caller's handle; what was made from it keeps working. */
IMGSTORE_API void imgstore_context_free(imgstore_context *context);

/** The version of the library that runs: major << 16 | minor << 8 | patch. */
IMGSTORE_API uint32_t imgstore_version(void);
/** The same as text, such as "0.1.0". Static. */
IMGSTORE_API const char *imgstore_version_string(void);
/**
 * What this build contains, as space-separated words, such as "zlib isal zstd libtar sha-ni". Static.
 * The words for CPU instructions tell what this machine uses.
 */
IMGSTORE_API const char *imgstore_features(void);

#ifdef __cplusplus
}
#endif
#endif
