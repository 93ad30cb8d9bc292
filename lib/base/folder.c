/*
 * base/folder.c (L0) - the entries of an open directory.
 */
#include "base/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"

enum { SCAN_BUFFER = 32 * 1024 };

const ims_folder_entry *ims_folder_next(const char *buffer, size_t size, size_t *at) {
  while (*at < size) {
    const ims_folder_entry *entry = (const ims_folder_entry *)(const void *)(buffer + *at);
    if (entry->length <= offsetof(ims_folder_entry, name) || entry->length > size - *at)
      return NULL;
    *at += entry->length;
    if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0)
      return entry;
  }
  return NULL;
}

static unsigned char type_of(const ims_core *core, int dir, const ims_folder_entry *entry) {
  struct stat st;
  if (entry->type != DT_UNKNOWN)
    return entry->type;
  if (core->sys->fstatat(dir, entry->name, &st, AT_SYMLINK_NOFOLLOW))
    return DT_WHT;
  return (unsigned char)IFTODT(st.st_mode);
}

static int32_t visit_entries(const ims_core *core, int dir, const char *buffer, size_t size, ims_folder_visit visit,
                             void *data) {
  size_t at = 0;
  for (const ims_folder_entry *entry; (entry = ims_folder_next(buffer, size, &at));) {
    int32_t rc = visit(data, entry->name, type_of(core, dir, entry));
    if (rc)
      return rc;
  }
  return at == size ? IMGSTORE_OK : IMGSTORE_EIO;
}

int32_t ims_folder_scan(const ims_core *core, int dir, ims_folder_visit visit, void *data) {
  int fd = core->sys->openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0)
    return ims_code_of_errno(errno);
  char *buffer = ims_malloc(&core->alloc, SCAN_BUFFER);
  int32_t rc = buffer ? IMGSTORE_OK : IMGSTORE_ENOMEM;
  while (!rc) {
    long n = core->sys->getdents64(fd, buffer, SCAN_BUFFER);
    if (n < 0)
      rc = ims_code_of_errno(errno);
    if (n <= 0)
      break;
    rc = visit_entries(core, fd, buffer, (size_t)n, visit, data);
  }
  ims_free(&core->alloc, buffer);
  core->sys->close(fd);
  return rc;
}
