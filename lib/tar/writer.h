/*
 * tar/writer.h (L1) - headers of tar entries: ustar, with PAX records for what ustar cannot say. The same entry gives
 * the same bytes everywhere. No I/O: the content follows from the caller.
 */
#ifndef IMS_TAR_WRITER_H
#define IMS_TAR_WRITER_H

#include "base/buf.h"
#include "tar/reader.h"

/** A longer map of a sparse file is refused: some readers take no more than a mebibyte of one. */
enum { IMS_TAR_WRITE_SEGMENTS_MAX = 16384 };

/**
 * Appends the header blocks of an entry: a PAX header where one is needed, the header, and the map of a sparse file.
 * entry->data_size bytes of content and ims_tar_padding(entry->data_size) zeros must follow. Owners and times are taken
 * as they are, a directory's path gets its trailing slash, attributes keep their order. A segment list (sparse) must
 * be in order and add up to data_size; without one size and data_size are the same.
 * Errors: IMGSTORE_EINVALID (an entry that is none), IMGSTORE_ELIMIT (attributes, segments, the buffer's ceiling),
 * IMGSTORE_ENOMEM; the message names the entry. The buffer is then as long as it was.
 */
int32_t ims_tar_put_entry(ims_buf *out, const ims_tar_entry *entry, ims_error *err);
/** How many zeros follow a content of size bytes: 0..511. */
size_t ims_tar_padding(uint64_t size);
/** Appends the two zero blocks that end an archive. IMGSTORE_OK, IMGSTORE_ENOMEM, IMGSTORE_ELIMIT. */
int32_t ims_tar_put_end(ims_buf *out);

#endif
