/*
 * base/folder.h (L0) - the entries of an open directory, as getdents64(2) of the system-call table gives them.
 */
#ifndef IMS_BASE_FOLDER_H
#define IMS_BASE_FOLDER_H

#include "base/core.h"

/** What getdents64(2) writes; the header of libc for it is not in every libc. */
typedef struct ims_folder_entry {
  uint64_t inode;
  int64_t next;
  unsigned short length;
  unsigned char type;
  char name[];
} ims_folder_entry;

/**
 * The entry at *at of what a call wrote, other than "." and ".."; *at moves behind it. NULL at the end, or when the
 * system gave a length that cannot be: then *at is not size.
 */
const ims_folder_entry *ims_folder_next(const char *buffer, size_t size, size_t *at);

/** type: DT_*, never DT_UNKNOWN. Non-zero stops the scan and is returned. */
typedef int32_t (*ims_folder_visit)(void *data, const char *name, unsigned char type);
/** Every entry of dir but "." and "..". Errors: IMGSTORE_ENOMEM, that of a system call, what visit returned. */
int32_t ims_folder_scan(const ims_core *core, int dir, ims_folder_visit visit, void *data);

#endif
