/*
 * tar/reader.h (L1) - a push parser for tar: ustar, PAX, GNU, sparse. No I/O, bounded memory, strict.
 *
 * Feed it bytes; it says what it found. Names and links are NUL-terminated and free of NUL inside; numbers are
 * checked. Nothing here touches a file system.
 */
#ifndef IMS_TAR_READER_H
#define IMS_TAR_READER_H

#include "base/alloc.h"
#include "base/error.h"

typedef struct ims_tar_xattr {
  const char *name; /**< without the SCHILY.xattr. or LIBARCHIVE.xattr. prefix */
  const uint8_t *value;
  size_t size;
} ims_tar_xattr;

typedef struct ims_tar_segment {
  uint64_t offset; /**< in the file */
  uint64_t size;   /**< bytes of data at offset */
} ims_tar_segment;

enum {
  IMS_TAR_REGULAR = 1,
  IMS_TAR_HARDLINK,
  IMS_TAR_SYMLINK,
  IMS_TAR_CHAR,
  IMS_TAR_BLOCK,
  IMS_TAR_DIRECTORY,
  IMS_TAR_FIFO
};

typedef struct ims_tar_entry {
  int32_t type;         /**< IMS_TAR_* */
  const char *path;     /**< as in the archive */
  const char *linkpath; /**< "" when none */
  uint32_t mode;        /**< 0..07777 */
  uint64_t uid, gid;
  uint64_t size;      /**< of the file, holes included */
  uint64_t data_size; /**< bytes of content in the archive */
  int64_t mtime;      /**< seconds */
  uint32_t mtime_ns;
  uint32_t major, minor;
  const ims_tar_xattr *xattrs;
  size_t xattr_count;
  const ims_tar_segment *segments; /**< sparse map, or NULL: one segment that is the file */
  size_t segment_count;
} ims_tar_entry;

typedef struct ims_tar_limits {
  uint64_t max_entries;
  uint64_t max_path_depth;
} ims_tar_limits;

typedef struct ims_tar_reader ims_tar_reader;

enum {
  IMS_TAR_MORE = 0,      /**< all input used: feed more */
  IMS_TAR_ENTRY = 1,     /**< an entry begins: *entry, valid until the next ENTRY or END */
  IMS_TAR_DATA = 2,      /**< content of the entry: *data, *data_size at *data_offset of the file */
  IMS_TAR_ENTRY_END = 3, /**< all content of the entry was given (comes for every entry, also empty ones) */
  IMS_TAR_END = 4        /**< end marker seen; what follows is skipped */
};

typedef struct ims_tar_event {
  int32_t type;
  const ims_tar_entry *entry; /**< for ENTRY, DATA, ENTRY_END */
  const uint8_t *data;        /**< into the caller's input: DATA makes no copy */
  size_t data_size;
  uint64_t data_offset;
} ims_tar_event;

int32_t ims_tar_reader_new(ims_tar_reader **reader, const ims_alloc *alloc, const ims_tar_limits *limits,
                           ims_error *err);
void ims_tar_reader_free(ims_tar_reader *reader);
/** Ready for a new archive, keeping memory. */
void ims_tar_reader_reset(ims_tar_reader *reader);
/**
 * Looks at input until the next event. *used: bytes taken, also when the event is MORE. DATA comes in the largest
 * pieces that the input holds. Errors: IMGSTORE_EFORMAT, IMGSTORE_ELIMIT, IMGSTORE_EUNSUPPORTED; the message names the
 * entry.
 */
int32_t ims_tar_reader_next(ims_tar_reader *reader, const uint8_t *in, size_t size, size_t *used, ims_tar_event *event,
                            ims_error *err);
/** The input has ended: IMGSTORE_EFORMAT when inside an entry or a header. A missing end marker at a header boundary is
    accepted (as every other reader does), also missing padding of the last entry, and an archive of zero bytes. */
int32_t ims_tar_reader_finish(ims_tar_reader *reader, ims_error *err);
/** "libtar" or "builtin". */
const char *ims_tar_codec_name(void);

#endif
