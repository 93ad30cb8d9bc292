/*
 * engine/content.h (L4) - reading what is in the store: blobs and layers as verified streams, layers as files.
 */
#ifndef IMS_ENGINE_CONTENT_H
#define IMS_ENGINE_CONTENT_H

#include "engine/image.h"
#include "tar/reader.h"

/** expected: what all bytes that are read must hash to. format: IMS_FORMAT_*, NONE for the blob as it is. */
int32_t ims_stream_open(imgstore_stream **stream, imgstore_store *store, const ims_digest *blob, int32_t format,
                        const ims_digest *expected, ims_error *err);
int32_t ims_stream_open_layer(imgstore_stream **stream, imgstore_layer *layer, int32_t form, ims_error *err);
/** *got 0: the verified end. */
int32_t ims_stream_read(imgstore_stream *stream, void *buffer, size_t size, size_t *got, ims_error *err);
void ims_stream_close(imgstore_stream *stream);
const ims_alloc *ims_stream_alloc(const imgstore_stream *stream);

int32_t ims_files_open(imgstore_files **files, imgstore_layer *layer, ims_error *err);
/** Of a layer that no image has yet. format: IMS_FORMAT_*. */
int32_t ims_files_open_blob(imgstore_files **files, imgstore_store *store, const ims_digest *blob, int32_t format,
                            const ims_digest *diff_id, ims_error *err);
/** An uncompressed tar from somewhere else. */
typedef struct ims_files_reader {
  int32_t (*read)(void *data, void *buffer, size_t size, size_t *got, ims_error *err); /**< *got 0: the end */
  void (*close)(void *data);
  void *data;
} ims_files_reader;
/** reader: copied, and closed also when this fails. */
int32_t ims_files_open_reader(imgstore_files **files, ims_core *core, const ims_files_reader *reader, ims_error *err);
/** IMGSTORE_ENOTFOUND without a message after the last file. */
int32_t ims_files_next(imgstore_files *files, ims_error *err);
int32_t ims_files_read(imgstore_files *files, void *buffer, size_t size, size_t *got, ims_error *err);
/** The next piece of the content as the archive has it, without holes; *size 0 at its end. Valid until the next call.
 */
int32_t ims_files_piece(imgstore_files *files, const uint8_t **data, size_t *size, ims_error *err);
void ims_files_close(imgstore_files *files);
const ims_alloc *ims_files_alloc(const imgstore_files *files);
/** The current entry; NULL before the first. */
const ims_tar_entry *ims_files_entry(const imgstore_files *files);

/** engine/find_file.c: one file out of the merged layers. */
int32_t ims_image_read_file(const imgstore_image *image, const char *path, uint64_t max_size, ims_buf *out,
                            ims_error *err);

#endif
