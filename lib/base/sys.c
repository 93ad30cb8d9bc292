/*
 * base/sys.c (L0) - the default system-call table.
 */
#include "base/sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Numbers that are the same on every architecture that Linux names them for; old headers lack them. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_open_tree
#define SYS_open_tree 428
#define SYS_move_mount 429
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#endif
#ifndef SYS_statmount
#define SYS_statmount 457
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
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

static int default_fsopen(const char *type, unsigned flags) {
  return (int)syscall(SYS_fsopen, type, flags);
}

static int default_fsconfig(int fs, unsigned command, const char *key, const void *value, int extra) {
  return (int)syscall(SYS_fsconfig, fs, command, key, value, extra);
}

static int default_fsmount(int fs, unsigned flags, unsigned attributes) {
  return (int)syscall(SYS_fsmount, fs, flags, attributes);
}

static int default_move_mount(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  return (int)syscall(SYS_move_mount, from_dir, from, to_dir, to, flags);
}

static int default_open_tree(int dir, const char *path, unsigned flags) {
  return (int)syscall(SYS_open_tree, dir, path, flags);
}

static int default_mount_setattr(int dir, const char *path, unsigned flags, void *attributes, size_t size) {
  return (int)syscall(SYS_mount_setattr, dir, path, flags, attributes, size);
}

static int default_statmount(uint64_t id, uint64_t mask, void *buffer, size_t size) {
  const struct {
    uint32_t size, spare;
    uint64_t id, mask;
  } request = {.size = sizeof request, .id = id, .mask = mask};
  return (int)syscall(SYS_statmount, &request, buffer, size, 0);
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
    .getxattr = getxattr,
    .listxattr = listxattr,
    .lseek = lseek,
    .copy_file_range = copy_file_range,
    .flock = flock,
    .memfd_create = memfd_create,
    .readlinkat = readlinkat,
    .getdents64 = default_getdents64,
    .fstatvfs = fstatvfs,
    .statx = statx,
    .flistxattr = flistxattr,
    .fgetxattr = fgetxattr,
    .llistxattr = llistxattr,
    .lgetxattr = lgetxattr,
    .mount = mount,
    .umount2 = umount2,
    .fsopen = default_fsopen,
    .fsconfig = default_fsconfig,
    .fsmount = default_fsmount,
    .move_mount = default_move_mount,
    .open_tree = default_open_tree,
    .mount_setattr = default_mount_setattr,
    .statmount = default_statmount,
};
