/*
 * imgstore/layer.h - one layer: its identities, its content as a stream, its files through a cursor.
 *
 * Sources: image-spec 1.1 layer (changesets), config (diffID, chainID).
 */
#ifndef IMGSTORE_LAYER_H
#define IMGSTORE_LAYER_H

#include "imgstore/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Adds one owner. Returns its argument. */
IMGSTORE_API imgstore_layer *imgstore_layer_ref(imgstore_layer *layer);
/** Drops one owner. */
IMGSTORE_API void imgstore_layer_unref(imgstore_layer *layer);
/** The digest of the blob, as stored and transferred. */
IMGSTORE_API const char *imgstore_layer_digest(const imgstore_layer *layer);
/** The digest of the uncompressed tar. */
IMGSTORE_API const char *imgstore_layer_diff_id(const imgstore_layer *layer);
/** The digest of this layer on top of all below it. */
IMGSTORE_API const char *imgstore_layer_chain_id(const imgstore_layer *layer);
/** The size of the blob in bytes. */
IMGSTORE_API uint64_t imgstore_layer_size(const imgstore_layer *layer);
/** The media type. */
IMGSTORE_API const char *imgstore_layer_media_type(const imgstore_layer *layer);
/** 1 when the blob is in the store now, 0 when not. */
IMGSTORE_API int32_t imgstore_layer_is_present(const imgstore_layer *layer);

enum { IMGSTORE_LAYER_RAW = 0, IMGSTORE_LAYER_UNCOMPRESSED = 1 };
/**
 * Opens the content of a layer. form: IMGSTORE_LAYER_RAW (the blob) or _UNCOMPRESSED (the tar).
 * The last read returns an error instead of the end when the bytes did not hash to digest or diffID: what was
 * read before counts only once the end was seen.
 * Errors: IMGSTORE_ENOTFOUND (not in the store), IMGSTORE_EUNSUPPORTED (media type), IMGSTORE_EINVALID.
 */
IMGSTORE_API int32_t imgstore_layer_open(imgstore_layer *layer, int32_t form, imgstore_stream **stream,
                                         imgstore_error **error);
/**
 * Reads up to size bytes. *got: how many, 0 only at the verified end. An error is final: close the stream.
 * Errors: IMGSTORE_EDIGEST, IMGSTORE_EFORMAT (damaged compression), IMGSTORE_ELIMIT, IMGSTORE_EIO.
 */
IMGSTORE_API int32_t imgstore_stream_read(imgstore_stream *stream, void *buffer, size_t size, size_t *got,
                                          imgstore_error **error);
/** Closes a stream, at its end or before. */
IMGSTORE_API void imgstore_stream_close(imgstore_stream *stream);

enum {
  IMGSTORE_FILE_REGULAR = 1,
  IMGSTORE_FILE_DIRECTORY = 2,
  IMGSTORE_FILE_SYMLINK = 3,
  IMGSTORE_FILE_HARDLINK = 4, /**< link_target is a path in the image */
  IMGSTORE_FILE_CHAR_DEVICE = 5,
  IMGSTORE_FILE_BLOCK_DEVICE = 6,
  IMGSTORE_FILE_FIFO = 7,
  IMGSTORE_FILE_WHITEOUT = 8, /**< path is what lower layers lose */
  IMGSTORE_FILE_OPAQUE = 9    /**< path is a directory whose lower content is hidden */
};
/** Opens a cursor over the files of a layer, in the order of the tar. Errors: as imgstore_layer_open. */
IMGSTORE_API int32_t imgstore_files_open(imgstore_layer *layer, imgstore_files **files, imgstore_error **error);
/**
 * Moves to the next file. Returns IMGSTORE_OK, or IMGSTORE_ENOTFOUND after the last, when the layer was verified
 * (no error object is made for that). What the accessors returned for the file before is gone.
 * Errors: as imgstore_stream_read.
 */
IMGSTORE_API int32_t imgstore_files_next(imgstore_files *files, imgstore_error **error);
/** The path, relative to the root without leading "/" or "./"; "" is the root itself. */
IMGSTORE_API const char *imgstore_files_path(const imgstore_files *files);
/** One of IMGSTORE_FILE_*. */
IMGSTORE_API int32_t imgstore_files_type(const imgstore_files *files);
/** Permission bits with set-uid, set-gid and sticky: 0..07777. */
IMGSTORE_API uint32_t imgstore_files_mode(const imgstore_files *files);
/** Owner. */
IMGSTORE_API uint64_t imgstore_files_uid(const imgstore_files *files);
/** Group. */
IMGSTORE_API uint64_t imgstore_files_gid(const imgstore_files *files);
/** Size of the content of a regular file in bytes. */
IMGSTORE_API uint64_t imgstore_files_size(const imgstore_files *files);
/** Modification time: seconds since 1970 (may be negative); *nanoseconds, when given, 0..999999999. */
IMGSTORE_API int64_t imgstore_files_mtime(const imgstore_files *files, uint32_t *nanoseconds);
/** Target of a symbolic or hard link, or "". */
IMGSTORE_API const char *imgstore_files_link_target(const imgstore_files *files);
/** Major device number; 0 for anything but devices. */
IMGSTORE_API uint32_t imgstore_files_device_major(const imgstore_files *files);
/** Minor device number; 0 for anything but devices. */
IMGSTORE_API uint32_t imgstore_files_device_minor(const imgstore_files *files);
/** How many extended attributes the entry carries. */
IMGSTORE_API size_t imgstore_files_xattr_count(const imgstore_files *files);
/** Name, value and value size of extended attribute i. Errors: IMGSTORE_EINVALID when out of range. */
IMGSTORE_API int32_t imgstore_files_xattr(const imgstore_files *files, size_t i, const char **name, const void **value,
                                          size_t *size);
/** Reads content of the current regular file, holes as zeros; *got 0 at its end. Errors: as imgstore_stream_read. */
IMGSTORE_API int32_t imgstore_files_read(imgstore_files *files, void *buffer, size_t size, size_t *got,
                                         imgstore_error **error);
/** Closes a cursor. */
IMGSTORE_API void imgstore_files_close(imgstore_files *files);

#ifdef __cplusplus
}
#endif
#endif
