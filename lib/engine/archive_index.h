/*
 * engine/archive_index.h (L4) - where the members of an archive of images are in its file. Content is not read, but for
 * that of the documents which say what is in the archive. What a member is for is not known here.
 */
#ifndef IMS_ENGINE_ARCHIVE_INDEX_H
#define IMS_ENGINE_ARCHIVE_INDEX_H

#include "base/core.h"
#include "oci/digest.h"

typedef struct ims_indexed_member {
  char *path;  /**< cleaned */
  char *link;  /**< of a link: the path it leads to, cleaned; else NULL */
  char *text;  /**< of a document: its content, NUL-terminated; else NULL */
  uint64_t at; /**< where its content begins in the file */
  uint64_t size;
} ims_indexed_member;

typedef struct ims_archive_index {
  ims_core *core;
  char *path; /**< of the archive */
  int fd;
  uint64_t size;
  ims_indexed_member *members; /**< sorted by path */
  size_t count, capacity;
} ims_archive_index;

/**
 * Opens a regular file and finds its members; the index is to be closed on failure too. Messages name the archive.
 * Errors: IMGSTORE_EUNSUPPORTED (a pipe; compressed as a whole), IMGSTORE_EFORMAT, IMGSTORE_ELIMIT, those of files.
 */
int32_t ims_archive_index_open(ims_archive_index *index, ims_core *core, const char *path, ims_error *err);
void ims_archive_index_close(ims_archive_index *index);
/** A member by its cleaned path, links followed; NULL when there is none. */
const ims_indexed_member *ims_archive_index_find(const ims_archive_index *index, const char *path);
/** Reads up to size bytes of a member's content; fewer only at its end. Returns 0 or an errno. */
int ims_archive_index_read(const ims_archive_index *index, const ims_indexed_member *member, uint64_t offset,
                           void *buffer, size_t size, size_t *got);

#endif
