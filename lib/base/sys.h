/*
 * base/sys.h (L0) - the table of system calls that change or read files, so that a test can make any of them fail.
 *
 * Same signatures and errno behaviour as the calls they are named after. A context points at ims_sys_default
 * unless a test gave it another table.
 */
#ifndef IMS_BASE_SYS_H
#define IMS_BASE_SYS_H

#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <time.h>

/** What openat2(2) takes; declared here because old headers lack it. */
typedef struct ims_open_how {
  uint64_t flags;
  uint64_t mode;
  uint64_t resolve;
} ims_open_how;

enum {
  IMS_RESOLVE_NO_XDEV = 0x01,
  IMS_RESOLVE_NO_MAGICLINKS = 0x02,
  IMS_RESOLVE_NO_SYMLINKS = 0x04,
  IMS_RESOLVE_BENEATH = 0x08,
  IMS_RESOLVE_IN_ROOT = 0x10
};

enum { IMS_RENAME_NOREPLACE = 1 }; /**< of renameat2(2) */

typedef struct ims_sys {
  int (*openat)(int dir, const char *path, int flags, mode_t mode);
  int (*openat2)(int dir, const char *path, const ims_open_how *how);
  int (*close)(int fd);
  ssize_t (*read)(int fd, void *buffer, size_t size);
  ssize_t (*pread)(int fd, void *buffer, size_t size, off_t offset);
  ssize_t (*write)(int fd, const void *buffer, size_t size);
  ssize_t (*pwrite)(int fd, const void *buffer, size_t size, off_t offset);
  int (*ftruncate)(int fd, off_t size);
  int (*fallocate)(int fd, int mode, off_t offset, off_t size);
  int (*fsync)(int fd);
  int (*fdatasync)(int fd);
  int (*syncfs)(int fd);
  int (*sync_file_range)(int fd, off_t offset, off_t size, unsigned flags);
  int (*fstat)(int fd, struct stat *st);
  int (*fstatat)(int dir, const char *path, struct stat *st, int flags);
  int (*mkdirat)(int dir, const char *path, mode_t mode);
  int (*unlinkat)(int dir, const char *path, int flags);
  int (*renameat2)(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
  int (*linkat)(int from_dir, const char *from, int to_dir, const char *to, int flags);
  int (*symlinkat)(const char *target, int dir, const char *path);
  int (*mknodat)(int dir, const char *path, mode_t mode, dev_t device);
  int (*fchown)(int fd, uid_t uid, gid_t gid);
  int (*fchownat)(int dir, const char *path, uid_t uid, gid_t gid, int flags);
  int (*fchmod)(int fd, mode_t mode);
  int (*fchmodat)(int dir, const char *path, mode_t mode);
  int (*utimensat)(int dir, const char *path, const struct timespec times[2], int flags);
  int (*futimens)(int fd, const struct timespec times[2]);
  int (*fsetxattr)(int fd, const char *name, const void *value, size_t size, int flags);
  /** setxattr(2) and lsetxattr(2) by path: only for /proc/self/fd/N and paths relative to a fchdir-less dirfd through
   * it. */
  int (*setxattr)(const char *path, const char *name, const void *value, size_t size, int flags);
  int (*lsetxattr)(const char *path, const char *name, const void *value, size_t size, int flags);
  /** By path: only for /proc/self/fd/N. */
  ssize_t (*getxattr)(const char *path, const char *name, void *value, size_t size);
  ssize_t (*listxattr)(const char *path, char *list, size_t size);
  off_t (*lseek)(int fd, off_t offset, int whence);
  ssize_t (*copy_file_range)(int from, off_t *from_offset, int to, off_t *to_offset, size_t size, unsigned flags);
  int (*flock)(int fd, int operation);
  int (*memfd_create)(const char *name, unsigned flags);
  ssize_t (*readlinkat)(int dir, const char *path, char *buffer, size_t size);
  /** getdents64(2); entries are parsed by the caller. */
  long (*getdents64)(int fd, void *buffer, size_t size);
  int (*fstatvfs)(int fd, struct statvfs *st);
  int (*statx)(int dir, const char *path, int flags, unsigned mask, struct statx *st);
  ssize_t (*flistxattr)(int fd, char *names, size_t size);
  ssize_t (*fgetxattr)(int fd, const char *name, void *value, size_t size);
  /** llistxattr(2) and lgetxattr(2): as lsetxattr, only for paths through /proc/self/fd. */
  ssize_t (*llistxattr)(const char *path, char *names, size_t size);
  ssize_t (*lgetxattr)(const char *path, const char *name, void *value, size_t size);
  /** mount(2), umount2(2) and the calls that mount by descriptors; ENOSYS where the kernel lacks one. */
  int (*mount)(const char *source, const char *target, const char *type, unsigned long flags, const void *data);
  int (*umount2)(const char *target, int flags);
  int (*fsopen)(const char *type, unsigned flags);
  int (*fsconfig)(int fs, unsigned command, const char *key, const void *value, int extra);
  int (*fsmount)(int fs, unsigned flags, unsigned attributes);
  int (*move_mount)(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
  int (*open_tree)(int dir, const char *path, unsigned flags);
  int (*mount_setattr)(int dir, const char *path, unsigned flags, void *attributes, size_t size);
  /** What the mount with this unique id is; ENOENT when there is none in this mount namespace. */
  int (*statmount)(uint64_t id, uint64_t mask, void *buffer, size_t size);
} ims_sys;

extern const ims_sys ims_sys_default;

#endif
