/*
 * rootfs/id_mapped.c (L3) - user namespaces for id maps, and mounts with them (Linux 5.12).
 *
 * A user namespace is born with a process. The child made here shares nothing with the caller that it could change: it
 * waits for a byte on a pipe, which comes when its maps are written and the namespace is open, and ends. It gives no
 * SIGCHLD, and only its own pid is waited for. Between its birth and its end it calls nothing but close, read and
 * _exit.
 */
#include "rootfs/id_mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"

#ifndef SYS_clone3
#define SYS_clone3 435
#endif

enum {
  TREE_CLONE = 1,
  TREE_CLOEXEC = O_CLOEXEC,
  ATTR_IDMAP = 0x00100000,
  MAP_MAX = 64 << 10 /* more lines than the kernel takes */
};

/* What clone3(2) takes, first version. */
typedef struct clone_arguments {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
} clone_arguments;

typedef struct mount_attributes {
  uint64_t set, clear, propagation, user_namespace;
} mount_attributes;

static void put_map(ims_buf *text, const imgstore_id_map *map, size_t count) {
  ims_buf_clear(text);
  for (size_t i = 0; i < count; i++)
    ims_buf_printf(text, "%" PRIu32 " %" PRIu32 " %" PRIu32 "\n", map[i].inside, map[i].outside, map[i].count);
  if (!count)
    ims_buf_printf(text, "0 0 %" PRIu32 "\n", UINT32_MAX);
}

/* The kernel takes a map in one write. */
static int write_map(const ims_sys *sys, long pid, const char *file, const ims_buf *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%ld/%s", pid, file);
  int fd = sys->openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
  if (fd < 0)
    return errno;
  int failed = sys->write(fd, ims_buf_text(text), text->size) == (ssize_t)text->size ? 0 : errno;
  sys->close(fd);
  return failed;
}

static int set_up(const ims_core *core, long pid, const ims_id_ranges *ranges, int *fd) {
  char path[64];
  ims_buf text;
  ims_buf_init(&text, &core->alloc, MAP_MAX);
  put_map(&text, ranges->uids, ranges->uid_count);
  int failed = text.failed ? ENOMEM : write_map(core->sys, pid, "uid_map", &text);
  put_map(&text, ranges->gids, ranges->gid_count);
  if (!failed)
    failed = text.failed ? ENOMEM : write_map(core->sys, pid, "gid_map", &text);
  ims_buf_free(&text);
  if (failed)
    return failed;
  snprintf(path, sizeof path, "/proc/%ld/ns/user", pid);
  *fd = core->sys->openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  return *fd < 0 ? errno : 0;
}

/* A byte, not the end of the pipe: another child, born of another thread meanwhile, may hold the writing end open, and
   this one that child's. The reading end is closed last, so that a child which was killed makes no SIGPIPE. */
static void end_child(const int ends[2]) {
  while (write(ends[1], "", 1) < 0 && errno == EINTR) {
  }
  close(ends[1]);
  close(ends[0]);
}

int32_t ims_user_namespace_make(const ims_core *core, const ims_id_ranges *ranges, int *fd, ims_error *err) {
  int ends[2];
  *fd = -1;
  if (pipe2(ends, O_CLOEXEC) < 0)
    return ims_fail_os(err, errno, "cannot make a user namespace");
  /* No exit signal: the host program hears nothing of it. */
  const clone_arguments arguments = {.flags = CLONE_NEWUSER};
  long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid == 0) {
    char byte;
    close(ends[1]);
    while (read(ends[0], &byte, 1) < 0 && errno == EINTR) {
    }
    _exit(0);
  }
  int failed = pid < 0 ? errno : 0;
  if (!failed)
    failed = set_up(core, pid, ranges, fd);
  end_child(ends);
  while (pid > 0 && waitpid((pid_t)pid, NULL, __WALL) < 0 && errno == EINTR) {
  }
  if (failed == ENOSPC || failed == ENOSYS)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "cannot make a user namespace: there are none here");
  return failed ? ims_fail_os(err, failed, "cannot make a user namespace with these id maps") : IMGSTORE_OK;
}

int ims_id_mapped_clone(const ims_core *core, int dir, int user_namespace, int *fd) {
  const ims_sys *sys = core->sys;
  mount_attributes attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.set = ATTR_IDMAP;
  attributes.user_namespace = (uint64_t)(unsigned)user_namespace;
  *fd = sys->open_tree(dir, "", (unsigned)AT_EMPTY_PATH | TREE_CLONE | (unsigned)TREE_CLOEXEC);
  if (*fd < 0)
    return errno;
  if (sys->mount_setattr(*fd, "", (unsigned)AT_EMPTY_PATH, &attributes, sizeof attributes) == 0)
    return 0;
  int failed = errno;
  sys->close(*fd);
  *fd = -1;
  return failed;
}
