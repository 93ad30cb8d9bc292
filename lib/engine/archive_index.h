/*
 * engine/archive_index.h (L4) - where the members of an archive of images are in its file. Content is not read, but for
 * that of the documents which say what is in the archive. What a member is for is not known here.
 */
#ifndef IMS_ENGINE_ARCHIVE_INDEX_H
#define IMS_ENGINE_ARCHIVE_INDEX_H

#include "engine/archive_members.h"

typedef struct ims_archive_index {
  ims_core *core;
  char *path; /**< of the archive, for messages */
  int fd;
  uint64_t size;
  ims_archive_members members;
  struct ims_index_pass *pass; /**< while it is made */
} ims_archive_index;

/**
 * An index of a regular file that is not compressed as a whole; nothing is read yet. Takes over fd, also on failure;
 * the index is to be closed on failure too.
 */
int32_t ims_archive_index_begin(ims_archive_index *index, ims_core *core, const char *path, int fd, ims_error *err);
/**
 * Finds some of the members. IMGSTORE_OK: all were found; IMGSTORE_EAGAIN. Messages do not name the archive. Errors:
 * IMGSTORE_EFORMAT, IMGSTORE_ELIMIT, those of files.
 */
int32_t ims_archive_index_step(ims_archive_index *index, ims_error *err);
void ims_archive_index_close(ims_archive_index *index);
/** A member by its cleaned path, links followed; NULL when there is none. */
ims_archive_member *ims_archive_index_find(const ims_archive_index *index, const char *path);
/** Reads up to size bytes of a member's content; fewer only at its end. Returns 0 or an errno. */
int ims_archive_index_read(const ims_archive_index *index, const ims_archive_member *member, uint64_t offset,
                           void *buffer, size_t size, size_t *got);

/** Reads up to size bytes of a file; fewer only at its end. Returns 0 or an errno. */
int ims_archive_read_at(const ims_core *core, int fd, uint64_t at, void *buffer, size_t size, size_t *got);

#endif
