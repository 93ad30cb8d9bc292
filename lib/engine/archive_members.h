/*
 * engine/archive_members.h (L4) - the table of an archive's members: what a header of the tar adds to it, and what is
 * found by a path. Knows nothing of their content.
 */
#ifndef IMS_ENGINE_ARCHIVE_MEMBERS_H
#define IMS_ENGINE_ARCHIVE_MEMBERS_H

#include "base/core.h"
#include "oci/digest.h"
#include "tar/reader.h"

enum { IMS_ARCHIVE_FILE, IMS_ARCHIVE_DOCUMENT, IMS_ARCHIVE_LINK, IMS_ARCHIVE_SKIPPED };

typedef struct ims_archive_member {
  int kind;   /**< IMS_ARCHIVE_* */
  char *path; /**< cleaned */
  char *text; /**< of a document: its content, NUL-terminated; of a link: the path it leads to, cleaned */
  uint64_t size;
  uint64_t at;                         /**< in an archive that is read where it is: where its content begins */
  ims_digest digest;                   /**< of a file; algorithm 0: not known */
  int32_t format;                      /**< of a file: what its first bytes look like, IMS_FORMAT_* */
  ims_digest diff_id;                  /**< of a file: digest without compression; algorithm 0: not known */
  uint32_t check[IMS_HASH_SHA512 + 1]; /**< of the reader: its later checks, by algorithm, counted from 1 */
} ims_archive_member;

typedef struct ims_archive_members {
  const ims_core *core; /**< borrowed */
  ims_archive_member *items;
  size_t count, capacity;
  size_t names_size; /**< bytes that paths and links take */
} ims_archive_members;

void ims_archive_members_init(ims_archive_members *members, const ims_core *core);
void ims_archive_members_free(ims_archive_members *members);
/**
 * Adds what an entry of the tar says; *member NULL: a folder, which is none. It stays where it is until the next add.
 * Errors: IMGSTORE_EFORMAT (paths and links that lead out, what is no file, a document twice), IMGSTORE_EUNSUPPORTED
 * (sparse), IMGSTORE_ELIMIT.
 */
int32_t ims_archive_members_add(ims_archive_members *members, const ims_tar_entry *entry, ims_archive_member **member,
                                ims_error *err);
/** All were added: makes them findable. Errors: IMGSTORE_EFORMAT (two of one path). */
int32_t ims_archive_members_sort(ims_archive_members *members, ims_error *err);
/** A member by its cleaned path, links followed; NULL when there is none. */
ims_archive_member *ims_archive_members_find(const ims_archive_members *members, const char *path);

#endif
