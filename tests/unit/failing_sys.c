/*
 * tests/unit/failing_sys.c - the system calls of failing_sys.h, around those of the machine.
 */
#include "failing_sys.h"

#include <errno.h>

failing_calls failing_call;

bool failing_sys_now(void) {
  if (failing_call.left-- != 0)
    return false;
  failing_call.failed = true;
  errno = failing_call.error;
  return true;
}

#define FAULTY(type, name, parameters, arguments)                                                                      \
  static type faulty_##name parameters {                                                                               \
    return failing_sys_now() ? -1 : ims_sys_default.name arguments;                                                    \
  }

FAULTY(int, openat, (int d, const char *p, int f, mode_t m), (d, p, f, m))
FAULTY(int, openat2, (int d, const char *p, const ims_open_how *h), (d, p, h))
FAULTY(ssize_t, read, (int f, void *b, size_t n), (f, b, n))
FAULTY(ssize_t, pread, (int f, void *b, size_t n, off_t o), (f, b, n, o))
FAULTY(ssize_t, pwrite, (int f, const void *b, size_t n, off_t o), (f, b, n, o))
FAULTY(int, ftruncate, (int f, off_t n), (f, n))
FAULTY(int, syncfs, (int f), (f))
FAULTY(int, fstat, (int f, struct stat *s), (f, s))
FAULTY(int, fstatat, (int d, const char *p, struct stat *s, int f), (d, p, s, f))
FAULTY(int, mkdirat, (int d, const char *p, mode_t m), (d, p, m))
FAULTY(int, unlinkat, (int d, const char *p, int f), (d, p, f))
FAULTY(int, linkat, (int a, const char *p, int b, const char *q, int f), (a, p, b, q, f))
FAULTY(int, symlinkat, (const char *t, int d, const char *p), (t, d, p))
FAULTY(int, mknodat, (int d, const char *p, mode_t m, dev_t v), (d, p, m, v))
FAULTY(int, fchown, (int f, uid_t u, gid_t g), (f, u, g))
FAULTY(int, fchownat, (int d, const char *p, uid_t u, gid_t g, int f), (d, p, u, g, f))
FAULTY(int, fchmod, (int f, mode_t m), (f, m))
FAULTY(int, fchmodat, (int d, const char *p, mode_t m), (d, p, m))
FAULTY(int, utimensat, (int d, const char *p, const struct timespec t[2], int f), (d, p, t, f))
FAULTY(int, futimens, (int f, const struct timespec t[2]), (f, t))
FAULTY(int, fsetxattr, (int f, const char *n, const void *v, size_t s, int g), (f, n, v, s, g))
FAULTY(int, lsetxattr, (const char *p, const char *n, const void *v, size_t s, int g), (p, n, v, s, g))
FAULTY(ssize_t, getxattr, (const char *p, const char *n, void *v, size_t s), (p, n, v, s))
FAULTY(ssize_t, listxattr, (const char *p, char *l, size_t s), (p, l, s))
FAULTY(off_t, lseek, (int f, off_t o, int w), (f, o, w))
FAULTY(ssize_t, readlinkat, (int d, const char *p, char *b, size_t n), (d, p, b, n))
FAULTY(long, getdents64, (int f, void *b, size_t n), (f, b, n))
FAULTY(ssize_t, flistxattr, (int f, char *b, size_t n), (f, b, n))
FAULTY(ssize_t, fgetxattr, (int f, const char *k, void *v, size_t n), (f, k, v, n))
FAULTY(ssize_t, llistxattr, (const char *p, char *b, size_t n), (p, b, n))
FAULTY(ssize_t, lgetxattr, (const char *p, const char *k, void *v, size_t n), (p, k, v, n))

void failing_sys_plan(ims_sys *sys, long left, int error) {
  failing_call = (failing_calls){.left = left, .error = error};
#define USE(name) sys->name = faulty_##name
  USE(openat), USE(openat2), USE(read), USE(pread), USE(pwrite), USE(ftruncate), USE(syncfs), USE(fstat);
  USE(fstatat), USE(mkdirat), USE(unlinkat), USE(linkat), USE(symlinkat), USE(mknodat), USE(fchown), USE(fchownat);
  USE(fchmod), USE(fchmodat), USE(utimensat), USE(futimens), USE(fsetxattr), USE(lsetxattr), USE(getxattr);
  USE(listxattr), USE(lseek), USE(readlinkat), USE(getdents64), USE(flistxattr), USE(fgetxattr), USE(llistxattr);
  USE(lgetxattr);
#undef USE
}
