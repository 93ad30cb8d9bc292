/*
 * engine/mount_fuse.c (L4) - the arguments of fuse-overlayfs and fusermount3. The first puts itself into the
 * background when the mount is there; it ends when it is unmounted.
 */
#include "engine/mount_fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "engine/process.h"
#include "imgstore/rootfs.h"
#include "rootfs/mount_state.h"

enum { TIMEOUT_MS = 30000, OUTPUT_MAX = 64 << 10, ARGUMENT_MAX = 128 * 1024 };

/* Runs it; a status other than 0 is a failure with the last thing that it said. */
static int32_t run(const ims_core *core, const char *const *arguments, const atomic_bool *cancelled, const char *name,
                   ims_error *err) {
  ims_buf output;
  int status;
  const ims_process process = {
      .arguments = arguments, .input = "", .timeout_ms = TIMEOUT_MS, .cancelled = cancelled, .errors_too = true};
  ims_buf_init(&output, &core->alloc, OUTPUT_MAX);
  int32_t rc = ims_process_run(&process, &output, &status, err);
  if (!rc && status != 0 && status != IMS_PROCESS_UNKNOWN) {
    while (output.size && strchr(" \r\n", output.data[output.size - 1]))
      output.data[--output.size] = '\0';
    const char *last = output.size ? strrchr(output.data, '\n') : NULL;
    rc = ims_fail(err, IMGSTORE_EIO, "rootfs %s: %s: %.300s", name, arguments[0],
                  last          ? last + 1
                  : output.size ? output.data
                                : "it failed");
  }
  ims_buf_free(&output);
  return rc;
}

static bool is_mounted(const ims_core *core, const char *target) {
  int fd = core->sys->openat(AT_FDCWD, target, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0)
    return errno == EACCES; /* a mount that lets nobody else in */
  bool is = ims_is_mount_root(core, fd);
  core->sys->close(fd);
  return is;
}

/* The program takes each option apart at commas and the layers at colons, and knows escapes in neither. */
static bool has_escapes(const char *options) {
  return strchr(options, '\\') != NULL;
}

static void put_options(ims_buf *out, const ims_fuse_mount *m) {
  static const struct {
    uint32_t flag;
    const char *word;
  } words[] = {{IMGSTORE_MOUNT_NOSUID, ",nosuid"},
               {IMGSTORE_MOUNT_NODEV, ",nodev"},
               {IMGSTORE_MOUNT_NOEXEC, ",noexec"},
               {IMGSTORE_MOUNT_READ_ONLY, ",ro"}};
  /* Only the directories: the rest is for the kernel. */
  const char *end = strstr(m->options, ",workdir=");
  end = end ? strchr(end + 1, ',') : strchr(m->options, ',');
  ims_buf_append(out, m->options, end ? (size_t)(end - m->options) : strlen(m->options));
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (m->flags & words[i].flag)
      ims_buf_puts(out, words[i].word);
}

int32_t ims_fuse_mount_run(const ims_core *core, const ims_fuse_mount *mount, bool *refused, ims_error *err) {
  ims_buf options;
  *refused = true;
  if (has_escapes(mount->options))
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "rootfs %s: %s: a path with a comma, colon or backslash", mount->name,
                    mount->program);
  ims_buf_init(&options, &core->alloc, ARGUMENT_MAX);
  put_options(&options, mount);
  const char *const arguments[] = {mount->program, "-o", ims_buf_text(&options), mount->target, NULL};
  int32_t rc = options.failed == IMGSTORE_ELIMIT
                   ? ims_fail(err, IMGSTORE_EUNSUPPORTED, "rootfs %s: %s: too many layers", mount->name, mount->program)
               : options.failed ? ims_fail_nomem(err)
                                : run(core, arguments, mount->cancelled, mount->name, err);
  if (!rc && !is_mounted(core, mount->target))
    rc = ims_fail(err, IMGSTORE_EIO, "rootfs %s: %s did not mount it", mount->name, mount->program);
  if (rc == IMGSTORE_ECANCELLED || rc == IMGSTORE_ENOMEM)
    *refused = false;
  ims_buf_free(&options);
  return rc;
}

int32_t ims_fuse_umount_run(const ims_core *core, const char *target, bool detach, const char *name, ims_error *err) {
  const char *const arguments[] = {IMS_FUSE_UMOUNT, detach ? "-uz" : "-u", "--", target, NULL};
  return run(core, arguments, NULL, name, err);
}
