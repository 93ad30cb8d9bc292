/*
 * engine/archive_reader.h (L4) - the members of an archive of images on their way into a store, in one pass: files
 * become blobs under their own digests, documents are kept in memory. What a member is for is not known here.
 *
 * A task reads; the driving thread takes the leases that it asks for.
 */
#ifndef IMS_ENGINE_ARCHIVE_READER_H
#define IMS_ENGINE_ARCHIVE_READER_H

#include "engine/archive_input.h"
#include "engine/archive_members.h"
#include "store/digest_set.h"
#include "store/store.h"

typedef struct ims_archive_reader ims_archive_reader;

/** path or fd: as ims_input_open. The reader begins at once. lease: of store. */
int32_t ims_archive_reader_new(ims_archive_reader **reader, imgstore_operation *op, imgstore_store *store,
                               ims_lease *lease, const char *path, int fd, ims_error *err);
/**
 * Driver's turn. IMGSTORE_OK: all was read, members are complete and sorted; IMGSTORE_EAGAIN; or the failure in
 * op->err.
 */
int32_t ims_archive_reader_advance(ims_archive_reader *reader, int64_t now);
/** The name of the archive for messages. */
const char *ims_archive_name(const ims_archive_reader *reader);
/** A member by its cleaned path, links followed; NULL when there is none. */
const ims_archive_member *ims_archive_find(const ims_archive_reader *reader, const char *path);
/** Digests of the blobs that came out of the archive and were not in the store. */
const ims_digest_set *ims_archive_brought(const ims_archive_reader *reader);
/**
 * Notes that the content of a member without its compression must have a digest: hashed by the next function, once
 * however often it is noted. Errors: IMGSTORE_EDIGEST (it was noted with another digest).
 */
int32_t ims_archive_check_later(ims_archive_reader *reader, const ims_archive_member *member,
                                const ims_digest *expected);
/** Hashes what was noted, if anything was: advance until IMGSTORE_OK once more. */
void ims_archive_run_checks(ims_archive_reader *reader);
/** Stops what runs; members stay. */
void ims_archive_reader_stop(ims_archive_reader *reader);
/** NULL is accepted. */
void ims_archive_reader_free(ims_archive_reader *reader);

#endif
