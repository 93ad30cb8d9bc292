/*
 * imgstore/store.h - a store of images: open, look up, list, tag, remove, collect, verify.
 *
 * Whatever a reference of the store reaches is complete, verified and (by the store's durability) on stable
 * storage; after a crash at any instant the next open needs no repair. Any number of processes may use one store.
 * Source: image-spec 1.1 image-layout.
 */
#ifndef IMGSTORE_STORE_H
#define IMGSTORE_STORE_H

#include "imgstore/common.h"
#include "imgstore/storage.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  IMGSTORE_DURABILITY_BATCH = 0, /**< one barrier per job, before its references are set (default) */
  IMGSTORE_DURABILITY_BLOB = 1,  /**< every blob is durable when it becomes visible */
  IMGSTORE_DURABILITY_NONE = 2   /**< nothing is flushed: for tests and for content that can be fetched again */
};

enum {
  IMGSTORE_STORE_READ_ONLY = 1u << 0, /**< nothing is written or made, not even locks; fit for layouts of other tools */
  IMGSTORE_STORE_NO_CREATE = 1u << 1  /**< IMGSTORE_ENOTFOUND when there is no store at path */
};

typedef struct imgstore_store_options {
  size_t size;
  uint32_t flags;     /**< IMGSTORE_STORE_* */
  int32_t durability; /**< IMGSTORE_DURABILITY_* */
} imgstore_store_options;

/** Fills *options with the defaults. size: sizeof(imgstore_store_options) of the caller. */
IMGSTORE_API int32_t imgstore_store_options_init(imgstore_store_options *options, size_t size);

/**
 * Opens, or makes, an OCI image-layout directory. options: NULL for defaults.
 * Errors: IMGSTORE_ENOTFOUND, IMGSTORE_EFORMAT (something else is there), IMGSTORE_EUNSUPPORTED (layout version),
 * IMGSTORE_EACCESS (also for a store that can only be read, without IMGSTORE_STORE_READ_ONLY), IMGSTORE_EIO.
 */
IMGSTORE_API int32_t imgstore_store_open(imgstore_context *context, const char *path,
                                         const imgstore_store_options *options, imgstore_store **store,
                                         imgstore_error **error);
/** Makes an empty store in memory. max_bytes: limit of its content, 0: none; what would go over it fails with
 * IMGSTORE_ENOSPACE. */
IMGSTORE_API int32_t imgstore_store_open_memory(imgstore_context *context, uint64_t max_bytes, imgstore_store **store,
                                                imgstore_error **error);
/**
 * Makes a store on a backend of the caller's. storage is copied; destroy() is called when the last handle on the store
 * is gone, and when this call fails for anything but a NULL argument or too small a size. Errors: IMGSTORE_EINVALID (a
 * required entry is missing), IMGSTORE_ENOMEM.
 */
IMGSTORE_API int32_t imgstore_store_open_storage(imgstore_context *context, const imgstore_storage *storage,
                                                 imgstore_store **store, imgstore_error **error);
/** Closes the caller's handle; images and operations made from it keep what they need. */
IMGSTORE_API void imgstore_store_close(imgstore_store *store);

/**
 * Finds an image. name: a reference, or an image ID or manifest digest, whole or as a unique prefix of hex digits
 * (at least 4), with or without "sha256:". platform: as for imgstore_pull_options, which image of an index; not looked
 * at where the name stands for a single image. Errors: IMGSTORE_ENOTFOUND, IMGSTORE_EAMBIGUOUS (the candidates are
 * listed), IMGSTORE_ECORRUPT, IMGSTORE_EFORMAT.
 */
IMGSTORE_API int32_t imgstore_store_image(imgstore_store *store, const char *name, const char *platform,
                                          imgstore_image **image, imgstore_error **error);
/** Finds what a name stands for, image or index, without choosing a platform. Errors: as imgstore_store_image. */
IMGSTORE_API int32_t imgstore_store_manifest(imgstore_store *store, const char *name, imgstore_manifest **manifest,
                                             imgstore_error **error);

/**
 * Lists the references, sorted by name: one IMGSTORE_REPORT_USAGE line each (name, digest of what it names, size: bytes
 * of everything it reaches that is in the store). References that hold images for instances have no line.
 */
IMGSTORE_API int32_t imgstore_store_list(imgstore_store *store, imgstore_report **list, imgstore_error **error);
/**
 * Gives an image another name. source: as for imgstore_store_image. name: a reference without digest; an existing
 * reference of that name is moved. Errors: as imgstore_store_image, IMGSTORE_EFORMAT.
 */
IMGSTORE_API int32_t imgstore_store_tag(imgstore_store *store, const char *source, const char *name,
                                        imgstore_error **error);

enum {
  IMGSTORE_REMOVE_KEEP_CONTENT = 1u << 0, /**< only the reference; prune collects the content later */
  IMGSTORE_REMOVE_ALL_NAMES = 1u << 1,    /**< with an ID: remove every reference of that image */
  /** Although instances stand on the image, when all of them are in rootfs directories that are not where they were.
   * One on a file system that is only not mounted now cannot be told from one that was deleted: its instances lose
   * their image. Since 0.1.0. */
  IMGSTORE_REMOVE_LOST_INSTANCES = 1u << 2
};
/**
 * Removes a reference (or, by ID, the image when it has one reference, or all with IMGSTORE_REMOVE_ALL_NAMES), then
 * what nothing else reaches. report: UNTAGGED and DELETED lines, or NULL when not wanted. Errors: IMGSTORE_ENOTFOUND,
 * IMGSTORE_EAMBIGUOUS, IMGSTORE_ECONFLICT (an ID with several references; the image's last name while instances stand
 * on it).
 */
IMGSTORE_API int32_t imgstore_store_remove(imgstore_store *store, const char *name, uint32_t flags,
                                           imgstore_report **report, imgstore_error **error);
/**
 * Removes content that no reference and no running job reaches, and what interrupted jobs left. report: DELETED lines
 * (digest or name, size), or NULL when not wanted. Blocks.
 */
IMGSTORE_API int32_t imgstore_store_prune(imgstore_store *store, imgstore_report **report, imgstore_error **error);
/** Disk usage: one USAGE line per reference (size: all it reaches, shared: the part other images reach too), and a
    last one with name "" (size: every blob once). */
IMGSTORE_API int32_t imgstore_store_usage(imgstore_store *store, imgstore_report **report, imgstore_error **error);

enum {
  IMGSTORE_VERIFY_QUICK = 0, /**< structure and sizes */
  IMGSTORE_VERIFY_FULL = 1,  /**< every blob is hashed */
  IMGSTORE_VERIFY_REPAIR = 2 /**< FULL, and damaged blobs are moved out of the way */
};
/**
 * Checks the store. report: DAMAGED, MISSING, AFFECTED, QUARANTINED and FOREIGN lines; empty when all is well.
 * A pull of an affected image fetches what is missing again. FULL and REPAIR read every byte of the store. Blocks.
 * Errors: only when the check itself could not be done.
 */
IMGSTORE_API int32_t imgstore_store_verify(imgstore_store *store, int32_t mode, imgstore_report **report,
                                           imgstore_error **error);

/** Opens any blob of the store as a verified stream, read with imgstore_stream_read. Errors: IMGSTORE_ENOTFOUND,
    IMGSTORE_EFORMAT or IMGSTORE_EUNSUPPORTED (no digest). */
IMGSTORE_API int32_t imgstore_store_blob(imgstore_store *store, const char *digest, imgstore_stream **stream,
                                         imgstore_error **error);

#ifdef __cplusplus
}
#endif
#endif
