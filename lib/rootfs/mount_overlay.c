/*
 * rootfs/mount_overlay.c (L3) - overlayfs through fsopen/fsconfig, where each layer is a parameter of its own, and
 * through mount(2) with short names where the kernel is older.
 *
 * Three generations: layers by descriptor (Linux 6.13), layers by /proc/self/fd names (6.5), everything in one page
 * of text (before).
 */
#include "rootfs/mount_overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"

/* From linux/mount.h, which cannot be included together with sys/mount.h everywhere. */
enum {
  FS_CLOEXEC = 1,
  SET_FLAG = 0,
  SET_STRING = 1,
  SET_FD = 5,
  CMD_CREATE = 6,
  MOVE_FROM_EMPTY = 0x4,
  MOVE_TO_EMPTY = 0x40,
  ATTR_READ_ONLY = 0x1,
  ATTR_NOSUID = 0x2,
  ATTR_NODEV = 0x4,
  ATTR_NOEXEC = 0x8,
  FLAG_READ_ONLY = 1,
  FLAG_NOSUID = 2,
  FLAG_NODEV = 4,
  FLAG_NOEXEC = 8,
  PROC_NAME = 40,
  KERNEL_MESSAGE = 256
};

typedef struct mounting {
  const ims_sys *sys;
  const ims_overlay *overlay;
  int fs;
  bool by_name; /* the kernel wants names, not descriptors */
  bool *refused;
  ims_error *err;
} mounting;

static void proc_name(char out[PROC_NAME], int fd) {
  snprintf(out, PROC_NAME, "/proc/self/fd/%d", fd);
}

/* What another way of mounting may get around; everything else (no space, no memory) would fail there too. */
static bool is_refusal(int os_errno) {
  return os_errno == EPERM || os_errno == EACCES || os_errno == ENODEV || os_errno == ENOSYS || os_errno == EINVAL ||
         os_errno == EOPNOTSUPP || os_errno == EREMOTE || os_errno == ELOOP || os_errno == EXDEV;
}

/* The kernel's own words about the last failure, without the letter in front; "" when it says nothing. */
static void kernel_message(const mounting *m, char out[KERNEL_MESSAGE]) {
  ssize_t size;
  out[0] = '\0';
  char text[KERNEL_MESSAGE - 8];
  while (m->fs >= 0 && (size = m->sys->read(m->fs, text, sizeof text - 1)) > 0) {
    text[size] = '\0';
    const char *words = ims_starts_with(text, "e ") || ims_starts_with(text, "w ") ? text + 2 : text;
    snprintf(out, KERNEL_MESSAGE, ": %s", words);
    out[strcspn(out, "\n")] = '\0';
  }
}

static int32_t fail(mounting *m, int os_errno, const char *what) {
  char said[KERNEL_MESSAGE];
  kernel_message(m, said);
  *m->refused = is_refusal(os_errno);
  return ims_fail_os(m->err, os_errno, "rootfs %s: cannot mount: overlay: %s%s", m->overlay->name, what, said);
}

static int32_t set_text(mounting *m, const char *key, const char *value) {
  if (m->sys->fsconfig(m->fs, value ? SET_STRING : SET_FLAG, key, value, 0) == 0)
    return IMGSTORE_OK;
  return fail(m, errno, key);
}

/* One directory. Says false when the kernel knows no such parameter in either form. */
static bool set_directory(mounting *m, const char *key, int fd) {
  if (!m->by_name && m->sys->fsconfig(m->fs, SET_FD, key, NULL, fd) == 0)
    return true;
  char name[PROC_NAME];
  proc_name(name, fd);
  if (m->sys->fsconfig(m->fs, SET_STRING, key, name, 0) != 0)
    return false;
  m->by_name = true;
  return true;
}

static int32_t set_lowers(mounting *m, bool *old_kernel) {
  const ims_overlay *o = m->overlay;
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; i < o->lower_count && !rc && !*old_kernel; i++) {
    int fd;
    rc = o->open_lower(o->data, i, &fd, m->err);
    if (rc)
      break;
    if (!set_directory(m, "lowerdir+", fd)) {
      if (i == 0 && errno == EINVAL)
        *old_kernel = true;
      else
        rc = fail(m, errno, "a layer");
    }
    m->sys->close(fd);
  }
  return rc;
}

static int32_t set_marks(mounting *m) {
  if (m->overlay->user_xattrs)
    return set_text(m, "userxattr", NULL);
  int32_t rc = set_text(m, "metacopy", "off");
  if (!rc)
    rc = set_text(m, "redirect_dir", "nofollow");
  return rc;
}

static int32_t set_options(mounting *m, bool *old_kernel) {
  const ims_overlay *o = m->overlay;
  int32_t rc = set_lowers(m, old_kernel);
  if (rc || *old_kernel)
    return rc;
  rc = set_marks(m);
  if (!rc && o->upper >= 0)
    rc = set_text(m, "index", "off");
  if (!rc && o->upper >= 0 && !set_directory(m, "upperdir", o->upper))
    rc = fail(m, errno, "upperdir");
  if (!rc && o->upper >= 0 && !set_directory(m, "workdir", o->work))
    rc = fail(m, errno, "workdir");
  return rc;
}

/* Where it cannot use its work directory the kernel mounts read-only and says so in its log alone. */
static int32_t check_writable(mounting *m, int made) {
  struct statvfs st;
  if (m->overlay->upper < 0 || m->overlay->attributes & ATTR_READ_ONLY || m->sys->fstatvfs(made, &st) != 0 ||
      !(st.f_flag & ST_RDONLY))
    return IMGSTORE_OK;
  return fail(m, EACCES, "the kernel cannot use its upper or work directory");
}

static int32_t attach(mounting *m, int target) {
  if (m->sys->fsconfig(m->fs, CMD_CREATE, NULL, NULL, 0) != 0)
    return fail(m, errno, "the kernel refuses");
  unsigned attributes = m->overlay->attributes | (m->overlay->upper < 0 ? ATTR_READ_ONLY : 0);
  int made = m->sys->fsmount(m->fs, FS_CLOEXEC, attributes);
  if (made < 0)
    return fail(m, errno, "fsmount");
  int32_t rc = check_writable(m, made);
  if (!rc && m->sys->move_mount(made, "", target, "", MOVE_FROM_EMPTY | MOVE_TO_EMPTY) != 0)
    rc = fail(m, errno, "the target");
  m->sys->close(made);
  return rc;
}

/* --- before Linux 6.5 -----------------------------------------------------------------------------------------------
 */

static int32_t put_lowers(const mounting *m, ims_buf *text, int *fds, size_t *opened) {
  const ims_overlay *o = m->overlay;
  ims_buf_puts(text, "lowerdir=");
  for (size_t i = 0; i < o->lower_count && !text->failed; i++) {
    int32_t rc = o->open_lower(o->data, i, &fds[i], m->err);
    if (rc)
      return rc;
    ++*opened;
    ims_buf_printf(text, "%s/proc/self/fd/%d", i ? ":" : "", fds[i]);
  }
  return IMGSTORE_OK;
}

static unsigned long old_flags(const ims_overlay *o) {
  return (unsigned long)((o->attributes & ATTR_NOSUID ? FLAG_NOSUID : 0) |
                         (o->attributes & ATTR_NODEV ? FLAG_NODEV : 0) |
                         (o->attributes & ATTR_NOEXEC ? FLAG_NOEXEC : 0) |
                         (o->attributes & ATTR_READ_ONLY || o->upper < 0 ? FLAG_READ_ONLY : 0));
}

static int32_t mount_old(mounting *m, int target, const ims_buf *text) {
  char where[PROC_NAME];
  proc_name(where, target);
  if (m->sys->mount("overlay", where, "overlay", old_flags(m->overlay), ims_buf_text(text)) == 0)
    return IMGSTORE_OK;
  return fail(m, errno, "the kernel refuses");
}

/* All options in one page of text, which short names make room in for about 200 layers. */
static int32_t mount_by_text(mounting *m, const ims_core *core, int target) {
  const ims_overlay *o = m->overlay;
  ims_buf text;
  size_t opened = 0;
  int *fds = ims_calloc(&core->alloc, o->lower_count, sizeof *fds);
  if (!fds)
    return ims_fail_nomem(m->err);
  ims_buf_init(&text, &core->alloc, (size_t)sysconf(_SC_PAGESIZE) - 1);
  int32_t rc = put_lowers(m, &text, fds, &opened);
  if (o->upper >= 0)
    ims_buf_printf(&text, ",upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d,index=off", o->upper, o->work);
  ims_buf_puts(&text, o->user_xattrs ? ",userxattr" : ",metacopy=off,redirect_dir=nofollow");
  if (!rc && text.failed == IMGSTORE_ELIMIT) {
    *m->refused = true;
    rc = ims_fail(m->err, IMGSTORE_EUNSUPPORTED, "rootfs %s: cannot mount: this kernel does not take %zu layers",
                  o->name, o->lower_count);
  } else if (!rc) {
    rc = text.failed ? ims_fail_nomem(m->err) : mount_old(m, target, &text);
  }
  while (opened)
    m->sys->close(fds[--opened]);
  ims_free(&core->alloc, fds);
  ims_buf_free(&text);
  return rc;
}

int32_t ims_overlay_mount(const ims_core *core, const ims_overlay *overlay, int target, bool *refused, ims_error *err) {
  mounting m = {.sys = core->sys, .overlay = overlay, .refused = refused, .err = err};
  *refused = false;
  if (overlay->lower_count > IMS_OVERLAY_LAYERS) {
    *refused = true;
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "rootfs %s: cannot mount: overlay takes %d layers, these are %zu",
                    overlay->name, IMS_OVERLAY_LAYERS, overlay->lower_count);
  }
  m.fs = core->sys->fsopen("overlay", FS_CLOEXEC);
  if (m.fs < 0 && errno != ENOSYS)
    return fail(&m, errno, "the kernel refuses");
  bool old_kernel = m.fs < 0;
  int32_t rc = old_kernel ? IMGSTORE_OK : set_options(&m, &old_kernel);
  if (!rc && !old_kernel)
    rc = attach(&m, target);
  if (m.fs >= 0)
    core->sys->close(m.fs);
  m.fs = -1;
  return rc || !old_kernel ? rc : mount_by_text(&m, core, target);
}
