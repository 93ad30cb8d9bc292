/*
 * engine/open_in_root.c (L4) - by openat2, or, where the kernel lacks it, component by component with the same results.
 *
 * The second way keeps the path that is resolved so far as text without links and opens it anew from the root each
 * time, never through a link.
 */
#include "engine/open_in_root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PATH_ROOM = 4096, NAME_ROOM = 256, MOST_LINKS = 40 };

typedef struct walk {
  const ims_sys *sys;
  int root;
  char done[PATH_ROOM]; /* resolved: "a/b" */
  char todo[PATH_ROOM];
} walk;

/* Opens a path without links; a link in it is ELOOP or ENOTDIR. */
static int open_real(const walk *w, const char *path, int flags) {
  char name[NAME_ROOM];
  int dir = w->sys->openat(w->root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  while (dir >= 0) {
    size_t size = strcspn(path, "/");
    bool last = !path[size];
    if (size >= sizeof name) {
      w->sys->close(dir);
      errno = ENAMETOOLONG;
      return -1;
    }
    memcpy(name, size ? path : ".", size ? size : 1);
    name[size ? size : 1] = '\0';
    int next = w->sys->openat(dir, name, (last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC, 0);
    int failed = errno;
    w->sys->close(dir);
    errno = failed;
    if (last || next < 0)
      return next;
    dir = next;
    path += size + 1;
  }
  return -1;
}

/* Puts target before what is left to do. */
static int follow(walk *w, const char *target) {
  char rest[PATH_ROOM];
  strcpy(rest, w->todo);
  if (target[0] == '/')
    w->done[0] = '\0';
  if (snprintf(w->todo, sizeof w->todo, "%s/%s", target, rest) >= (int)sizeof w->todo)
    return ENAMETOOLONG;
  return 0;
}

/* Looks at done/name: a link is followed, anything else becomes part of done. */
static int step(walk *w, const char *name, unsigned *links) {
  char path[PATH_ROOM], target[PATH_ROOM];
  struct stat st;
  if (snprintf(path, sizeof path, "%s%s%s", w->done, w->done[0] ? "/" : "", name) >= (int)sizeof path)
    return ENAMETOOLONG;
  int fd = open_real(w, path, O_PATH);
  if (fd < 0)
    return errno;
  int failed = w->sys->fstat(fd, &st) == 0 ? 0 : errno;
  ssize_t size = 0;
  if (!failed && S_ISLNK(st.st_mode)) {
    size = w->sys->readlinkat(fd, "", target, sizeof target - 1);
    failed = size < 0 ? errno : ++*links > MOST_LINKS ? ELOOP : size == 0 ? ENOENT : 0;
  }
  w->sys->close(fd);
  if (failed)
    return failed;
  if (!size) {
    strcpy(w->done, path);
    return 0;
  }
  target[size] = '\0';
  return follow(w, target);
}

/* Takes the first component off todo; false at the end. */
static bool take(walk *w, char name[NAME_ROOM], int *failed) {
  size_t skip = strspn(w->todo, "/"), size = strcspn(w->todo + skip, "/");
  if (!size)
    return false;
  *failed = size < NAME_ROOM ? 0 : ENAMETOOLONG;
  memcpy(name, w->todo + skip, *failed ? 0 : size);
  name[*failed ? 0 : size] = '\0';
  memmove(w->todo, w->todo + skip + size, strlen(w->todo + skip + size) + 1);
  return true;
}

static int open_by_walking(const ims_sys *sys, int root, const char *path, int flags) {
  walk w = {.sys = sys, .root = root};
  char name[NAME_ROOM];
  unsigned links = 0;
  int failed = strlen(path) < sizeof w.todo ? 0 : ENAMETOOLONG;
  if (!failed)
    strcpy(w.todo, path);
  while (!failed && take(&w, name, &failed)) {
    if (failed || strcmp(name, ".") == 0)
      continue;
    if (strcmp(name, "..") != 0) {
      failed = step(&w, name, &links);
      continue;
    }
    char *slash = strrchr(w.done, '/');
    *(slash ? slash : w.done) = '\0';
  }
  if (!failed)
    return open_real(&w, w.done, flags);
  errno = failed;
  return -1;
}

int ims_open_in_root(const ims_sys *sys, int root, const char *path, int flags) {
  const ims_open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                            .resolve = IMS_RESOLVE_IN_ROOT | IMS_RESOLVE_NO_MAGICLINKS};
  int fd = sys->openat2(root, path, &how);
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
    return fd;
  return open_by_walking(sys, root, path, flags);
}
