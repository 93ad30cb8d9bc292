/*
 * rootfs/mount_state.c (L3) - the file "mounted" of an instance, and finding out whether it is still true.
 *
 * A mount is known by its unique id (Linux 6.8), before by the device number of its files on its target and in
 * /proc/self/mountinfo. One in another mount namespace cannot be seen: it counts as long
 * as a process lives there.
 */
#include "rootfs/mount_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/text.h"
#include "imgstore/rootfs.h"
#include "json/json.h"

#define STATE_FILE "mounted"
#define STATE_TEMP "mounted.new"

enum {
  STATE_MAX = 64 << 10,
  LINE_MAX_SIZE = 1 << 20,
  STATX_ID = 0x1000,
  STATX_UNIQUE_ID = 0x4000,
  ATTRIBUTE_MOUNT_ROOT = 0x2000,
  DENTS_SIZE = 32768
};

void ims_mount_state_init(ims_mount_state *state, const ims_core *core) {
  memset(state, 0, sizeof *state);
  ims_buf_init(&state->target, &core->alloc, STATE_MAX);
}

void ims_mount_state_free(ims_mount_state *state) {
  ims_buf_free(&state->target);
}

/* --- what the system says ----------------------------------------------------------------------------------------- */

static void read_boot(const ims_sys *sys, char out[IMS_MOUNT_BOOT]) {
  int fd = sys->openat(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC, 0);
  ssize_t size = fd < 0 ? -1 : sys->read(fd, out, IMS_MOUNT_BOOT - 1);
  out[size > 0 ? size : 0] = '\0';
  out[strcspn(out, "\n")] = '\0';
  if (fd >= 0)
    sys->close(fd);
}

static uint64_t namespace_of(const ims_sys *sys, const char *path) {
  struct stat st;
  return sys->fstatat(AT_FDCWD, path, &st, 0) == 0 ? (uint64_t)st.st_ino : 0;
}

void ims_mount_state_here(ims_mount_state *state, const ims_core *core) {
  read_boot(core->sys, state->boot);
  state->name_space = namespace_of(core->sys, "/proc/self/ns/mnt");
}

static bool look_at(const ims_core *core, int fd, struct statx *st) {
  memset(st, 0, sizeof *st);
  return core->sys->statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_ID | STATX_UNIQUE_ID, st) == 0;
}

static uint64_t device_of(const struct statx *st) {
  return makedev(st->stx_dev_major, st->stx_dev_minor);
}

bool ims_is_mount_root(const ims_core *core, int fd) {
  struct statx st, parent;
  if (!look_at(core, fd, &st))
    return false;
  if (st.stx_attributes_mask & ATTRIBUTE_MOUNT_ROOT)
    return st.stx_attributes & ATTRIBUTE_MOUNT_ROOT;
  int up = core->sys->openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  bool known = up >= 0 && look_at(core, up, &parent);
  if (up >= 0)
    core->sys->close(up);
  return known && device_of(&st) != device_of(&parent);
}

void ims_mount_state_note(ims_mount_state *state, const ims_core *core, int target) {
  struct statx st;
  if (!look_at(core, target, &st))
    return;
  state->id = st.stx_mask & STATX_UNIQUE_ID ? st.stx_mnt_id : 0;
  state->device = device_of(&st);
}

/* 1: the mount with the recorded id is in this namespace; 0: it is not; -1: not known. */
static int has_id(const ims_mount_state *state, const ims_core *core) {
  uint64_t buffer[128];
  if (!state->id)
    return -1;
  if (core->sys->statmount(state->id, 0, buffer, sizeof buffer) == 0)
    return 1;
  return errno == ENOENT ? 0 : -1;
}

/* What is mounted on the target now; a link in its place is none. */
static bool target_is_it(const ims_mount_state *state, const ims_core *core) {
  struct statx st;
  int fd = core->sys->openat(AT_FDCWD, ims_buf_text(&state->target), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (fd < 0)
    return false;
  bool is = ims_is_mount_root(core, fd) && look_at(core, fd, &st);
  if (is && state->device)
    is = device_of(&st) == state->device;
  core->sys->close(fd);
  return is;
}

/* The next character of a path in mountinfo, where some are written as three octal digits. */
static char unescape(const char **at) {
  const char *s = *at;
  if (s[0] == '\\' && s[1] && s[2] && s[3]) {
    *at = s + 4;
    return (char)(((s[1] - '0') << 6) | ((s[2] - '0') << 3) | (s[3] - '0'));
  }
  *at = s + 1;
  return s[0];
}

/* One line of mountinfo: "id parent major:minor root mount-point ...". */
static bool line_is_it(const ims_mount_state *state, const char *line) {
  unsigned major_number, minor_number;
  int at = 0;
  if (sscanf(line, "%*u %*u %u:%u %*s %n", &major_number, &minor_number, &at) != 2 || !at ||
      makedev(major_number, minor_number) != state->device)
    return false;
  const char *path = line + at, *want = ims_buf_text(&state->target);
  while (*want && *path && *path != ' ')
    if (unescape(&path) != *want++)
      return false;
  return !*want && *path == ' ';
}

/* Lines are long where there are many layers: only their beginnings are kept. */
static bool mountinfo_has_it(const ims_mount_state *state, const ims_core *core) {
  char piece[4096];
  ims_buf line;
  bool found = false;
  int fd = core->sys->openat(AT_FDCWD, "/proc/self/mountinfo", O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0 || !state->device) {
    if (fd >= 0)
      core->sys->close(fd);
    return false;
  }
  ims_buf_init(&line, &core->alloc, STATE_MAX + sizeof piece);
  for (ssize_t got; !found && (got = core->sys->read(fd, piece, sizeof piece)) > 0;) {
    for (const char *at = piece, *end = piece + got; at < end && !found;) {
      const char *newline = memchr(at, '\n', (size_t)(end - at));
      const char *stop = newline ? newline : end;
      if (line.size < STATE_MAX)
        ims_buf_append(&line, at, (size_t)(stop - at));
      if (!newline)
        break;
      found = line_is_it(state, ims_buf_text(&line));
      ims_buf_clear(&line);
      at = newline + 1;
    }
  }
  core->sys->close(fd);
  ims_buf_free(&line);
  return found;
}

/* A directory of /proc whose name is a number, in that mount namespace. */
static bool lives_there(const ims_core *core, int proc, const char *name, uint64_t name_space) {
  struct stat st;
  char path[32];
  if (!ims_is_digit(name[0]) || strlen(name) > 16)
    return false;
  snprintf(path, sizeof path, "%s/ns/mnt", name);
  return core->sys->fstatat(proc, path, &st, 0) == 0 && (uint64_t)st.st_ino == name_space;
}

typedef struct dirent_head {
  uint64_t ino;
  int64_t off;
  uint16_t size;
  uint8_t type;
  char name[];
} dirent_head;

static bool namespace_lives(const ims_core *core, uint64_t name_space) {
  bool found = false;
  int proc = core->sys->openat(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  char *buffer = proc < 0 ? NULL : ims_malloc(&core->alloc, DENTS_SIZE);
  for (long got; buffer && !found && (got = core->sys->getdents64(proc, buffer, DENTS_SIZE)) > 0;)
    for (long at = 0; at < got && !found;) {
      const dirent_head *entry = (const dirent_head *)(void *)(buffer + at);
      found = lives_there(core, proc, entry->name, name_space);
      at += entry->size;
    }
  ims_free(&core->alloc, buffer);
  if (proc >= 0)
    core->sys->close(proc);
  return found;
}

int32_t ims_mount_state_check(const ims_mount_state *state, const ims_core *core) {
  ims_mount_state here;
  if (state->way == IMGSTORE_MOUNT_NONE)
    return IMS_MOUNT_NOWHERE;
  ims_mount_state_init(&here, core);
  ims_mount_state_here(&here, core);
  bool this_boot = strcmp(here.boot, state->boot) == 0, this_space = here.name_space == state->name_space;
  ims_mount_state_free(&here);
  if (!this_boot)
    return IMS_MOUNT_NOWHERE;
  if (state->way == IMGSTORE_MOUNT_COPY)
    return IMS_MOUNT_HERE; /* files, for everybody */
  int known = has_id(state, core);
  if (known > 0 || (known < 0 && (target_is_it(state, core) || mountinfo_has_it(state, core))))
    return IMS_MOUNT_HERE;
  if (this_space)
    return IMS_MOUNT_NOWHERE;
  return namespace_lives(core, state->name_space) ? IMS_MOUNT_ELSEWHERE : IMS_MOUNT_NOWHERE;
}

/* --- the file ----------------------------------------------------------------------------------------------------- */

static bool parse(ims_mount_state *state, const ims_core *core, const char *text, size_t size) {
  ims_json *json = NULL;
  uint64_t way = 0, number;
  if (ims_json_parse(&json, &core->alloc, text, size, STATE_FILE, NULL))
    return false;
  const ims_json_value *root = ims_json_root(json);
  const char *target = ims_json_string(ims_json_get(root, "target")),
             *boot = ims_json_string(ims_json_get(root, "boot"));
  const char *id = ims_json_string(ims_json_get(root, "id")), *device = ims_json_string(ims_json_get(root, "device"));
  bool right = ims_json_uint(ims_json_get(root, "way"), &way) && target && target[0] == '/' && boot &&
               strlen(boot) < sizeof state->boot &&
               ims_json_uint(ims_json_get(root, "namespace"), &state->name_space) &&
               (way == IMGSTORE_MOUNT_OVERLAY || way == IMGSTORE_MOUNT_FUSE || way == IMGSTORE_MOUNT_COPY);
  if (right) {
    state->way = (int32_t)way;
    state->id = id && ims_parse_u64(id, strlen(id), UINT64_MAX, &number) ? number : 0;
    state->device = device && ims_parse_u64(device, strlen(device), UINT64_MAX, &number) ? number : 0;
    strcpy(state->boot, boot);
    ims_buf_puts(&state->target, target);
  }
  ims_json_free(json);
  return right;
}

int32_t ims_mount_state_load(ims_mount_state *state, const ims_core *core, int instance, ims_error *err) {
  const ims_sys *sys = core->sys;
  int fd = sys->openat(instance, STATE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
  state->way = IMGSTORE_MOUNT_NONE;
  ims_buf_clear(&state->target);
  if (fd < 0)
    return IMGSTORE_OK;
  char *text = ims_malloc(&core->alloc, STATE_MAX);
  size_t size = 0;
  for (ssize_t got; text && size < STATE_MAX && (got = sys->read(fd, text + size, STATE_MAX - size)) > 0;)
    size += (size_t)got;
  sys->close(fd);
  if (text && !parse(state, core, text, size))
    state->way = IMGSTORE_MOUNT_NONE;
  ims_free(&core->alloc, text);
  return text && !state->target.failed ? IMGSTORE_OK : ims_fail_nomem(err);
}

static int write_file(const ims_sys *sys, int instance, const ims_buf *text) {
  sys->unlinkat(instance, STATE_TEMP, 0);
  int fd = sys->openat(instance, STATE_TEMP, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return errno;
  ssize_t wrote = sys->write(fd, ims_buf_text(text), text->size);
  int failed = wrote == (ssize_t)text->size ? 0 : wrote < 0 ? errno : ENOSPC;
  sys->close(fd);
  if (!failed && sys->renameat2(instance, STATE_TEMP, instance, STATE_FILE, 0) != 0)
    failed = errno;
  if (failed)
    sys->unlinkat(instance, STATE_TEMP, 0);
  return failed;
}

/* What is there has the same record without id and device, which is shorter: a reader sees the one or the other. */
static int complete_file(const ims_sys *sys, int instance, const ims_buf *text) {
  int fd = sys->openat(instance, STATE_FILE, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
  if (fd < 0)
    return errno;
  int failed = sys->pwrite(fd, ims_buf_text(text), text->size, 0) == (ssize_t)text->size ? 0 : EIO;
  sys->close(fd);
  return failed;
}

static int put_state(const ims_mount_state *state, const ims_core *core, int instance, bool complete) {
  ims_buf text;
  ims_buf_init(&text, &core->alloc, 8 * STATE_MAX);
  ims_buf_printf(&text, "{\"way\":%d,\"target\":", state->way);
  ims_json_put_string(&text, ims_buf_text(&state->target), state->target.size);
  ims_buf_printf(&text,
                 ",\"boot\":\"%s\",\"namespace\":%" PRIu64 ",\"id\":\"%" PRIu64 "\",\"device\":\"%" PRIu64 "\"}\n",
                 state->boot, state->name_space, state->id, state->device);
  int failed = text.failed ? ENOMEM
               : complete  ? complete_file(core->sys, instance, &text)
                           : write_file(core->sys, instance, &text);
  ims_buf_free(&text);
  return failed;
}

int32_t ims_mount_state_save(const ims_mount_state *state, const ims_core *core, int instance, const char *name,
                             ims_error *err) {
  int failed = put_state(state, core, instance, false);
  return failed ? ims_fail_os(err, failed, "rootfs %s: cannot write down where it is mounted", name) : IMGSTORE_OK;
}

void ims_mount_state_complete(const ims_mount_state *state, const ims_core *core, int instance) {
  put_state(state, core, instance, true);
}

void ims_mount_state_remove(const ims_core *core, int instance) {
  core->sys->unlinkat(instance, STATE_FILE, 0);
}
