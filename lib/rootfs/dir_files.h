/*
 * rootfs/dir_files.h (L3) - small files, folders and locks of a rootfs directory. Nothing here follows a link. The
 * functions return IMGSTORE_* codes without text where they take no ims_error.
 */
#ifndef IMS_ROOTFS_DIR_FILES_H
#define IMS_ROOTFS_DIR_FILES_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/core.h"
#include "base/error.h"

/** 64 random bits as 16 hex digits, for names that must not collide. */
enum { IMS_RANDOM_NAME = 17 };
int32_t ims_random_name(char out[IMS_RANDOM_NAME]);

/** Opens a directory; -1 and errno. */
int ims_dir_file_open_dir(const ims_core *core, int dir, const char *name);
/** A path of several components below dir, through no link. -1 and errno; ENOSYS: the kernel has no openat2. */
int ims_dir_file_open_below(const ims_core *core, int dir, const char *path, int flags);
/** Opens, or makes (mode 0700) and opens. */
int32_t ims_dir_file_make_dir(const ims_core *core, int dir, const char *name, int *fd);
/** Reads a whole regular file of less than out->ceiling bytes. */
int32_t ims_dir_file_read(const ims_core *core, int dir, const char *name, ims_buf *out);
/** Makes a file that is not there yet, with this content. flush: to stable storage. */
int32_t ims_dir_file_write(const ims_core *core, int dir, const char *name, const char *text, size_t size, bool flush);
int32_t ims_dir_file_flush(const ims_core *core, int fd);
/** Takes or tries (LOCK_NB: IMGSTORE_EBUSY) a lock. */
int32_t ims_dir_file_flock(const ims_core *core, int fd, int operation);
/** True when name in dir is the very file that fd has open. */
bool ims_dir_file_is(const ims_core *core, int dir, const char *name, int fd);
void ims_dir_file_close(const ims_core *core, int *fd);

#endif
