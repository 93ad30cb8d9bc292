/* tests/unit/tar_fixture.h - archives made byte by byte, and what the reader says about an archive as text. */
#ifndef TAR_FIXTURE_H
#define TAR_FIXTURE_H

#include "base/buf.h"
#include "tar/reader.h"

typedef struct tar_fixture {
  ims_buf bytes;
  size_t header; /* offset of the last header block */
} tar_fixture;

void fixture_init(tar_fixture *f);
void fixture_free(tar_fixture *f);

/* Magic and version together. */
#define MAGIC_USTAR                                                                                                    \
  "ustar\0"                                                                                                            \
  "00"
#define MAGIC_GNU "ustar  \0"
#define MAGIC_V7 "\0\0\0\0\0\0\0\0"

/* A header: mode 0644, owner 1:2, time 3, size in octal. The content is not added. */
void fixture_header(tar_fixture *f, const char *magic, char typeflag, const char *name, const char *link,
                    uint64_t size);
/* Overwrites bytes of the last header and makes its checksum right again. */
void fixture_patch(tar_fixture *f, size_t offset, const void *bytes, size_t size);
/* Content and its padding. */
void fixture_content(tar_fixture *f, const void *bytes, size_t size);
/* A header and its content. */
void fixture_file(tar_fixture *f, char typeflag, const char *name, const void *bytes, size_t size);
/* A PAX header ('x' or 'g') with one record per key, value pair; ends with NULL. */
void fixture_pax(tar_fixture *f, int typeflag, ...);
/* One record with a value of any bytes. */
void fixture_record(ims_buf *records, const char *key, const void *value, size_t size);
/* Two zero blocks. */
void fixture_end(tar_fixture *f);

/*
 * Feeds the archive in pieces of chunk bytes, except that the first has first bytes, and writes a line per event (runs
 * of DATA become one) to out. Returns the reader's last result, also of finish.
 */
int32_t transcript(const void *bytes, size_t size, size_t first, size_t chunk, const ims_tar_limits *limits,
                   ims_buf *out, ims_error *err);

#endif
