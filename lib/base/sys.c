/*
 * base/sys.c (L0) - the default system-call table.
 */
#include "base/sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

static int default_openat(int dir, const char *path, int flags, mode_t mode) {
  return openat(dir, path, flags, mode);
}

static int default_openat2(int dir, const char *path, const ims_open_how *how) {
  return (int)syscall(SYS_openat2, dir, path, how, sizeof *how);
}

static int default_fstat(int fd, struct stat *st) {
  return fstat(fd, st);
}

static int default_fstatat(int dir, const char *path, struct stat *st, int flags) {
  return fstatat(dir, path, st, flags);
}

static int default_mknodat(int dir, const char *path, mode_t mode, dev_t device) {
  return mknodat(dir, path, mode, device);
}

static int default_fchmodat(int dir, const char *path, mode_t mode) {
  return fchmodat(dir, path, mode, 0);
}

static long default_getdents64(int fd, void *buffer, size_t size) {
  return syscall(SYS_getdents64, fd, buffer, size);
}

const ims_sys ims_sys_default = {
    .openat = default_openat,
    .openat2 = default_openat2,
    .close = close,
    .read = read,
    .pread = pread,
    .write = write,
    .pwrite = pwrite,
    .ftruncate = ftruncate,
    .fallocate = fallocate,
    .fsync = fsync,
    .fdatasync = fdatasync,
    .syncfs = syncfs,
    .sync_file_range = sync_file_range,
    .fstat = default_fstat,
    .fstatat = default_fstatat,
    .mkdirat = mkdirat,
    .unlinkat = unlinkat,
    .renameat2 = renameat2,
    .linkat = linkat,
    .symlinkat = symlinkat,
    .mknodat = default_mknodat,
    .fchown = fchown,
    .fchownat = fchownat,
    .fchmod = fchmod,
    .fchmodat = default_fchmodat,
    .utimensat = utimensat,
    .futimens = futimens,
    .fsetxattr = fsetxattr,
    .setxattr = setxattr,
    .lsetxattr = lsetxattr,
    .flock = flock,
    .readlinkat = readlinkat,
    .getdents64 = default_getdents64,
};
