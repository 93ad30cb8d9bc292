/* cmd_mount.c - mount and umount: instances as directories. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "job.h"
#include "progress.h"

static const option mount_options[] = {
    {OPTION_READ_ONLY, 0, "read-only", NULL, "this mount only: nothing can be written"},
    {OPTION_NOSUID, 0, "nosuid", NULL, "set-user-ID bits and file capabilities do not count"},
    {OPTION_NODEV, 0, "nodev", NULL, "device files do not work"},
    {OPTION_NOEXEC, 0, "noexec", NULL, "no program can be run"},
    {OPTION_WAY, 0, "way", "overlay|fuse|copy",
     "only this way of mounting; may be given again\n"
     "(default: the first that works)"},
    {OPTION_FUSE_PROGRAM, 0, "fuse-program", "PATH", "the program of the way fuse (default: /usr/bin/fuse-overlayfs)"},
    {OPTION_QUIET, 'q', "quiet", NULL, "show no progress of a copy"},
    ROW_PROGRESS,
    ROW_END};
static const option_group mount_group = {"Options", mount_options};

static const progress_words words = {"Reading layer", "Reading", "Verified", "Copied"};

static bool read_ways(cli *c, uint32_t *ways) {
  for (size_t i = 0; i < c->args.option_count; i++) {
    const char *value = c->args.options[i].value;
    if (c->args.options[i].id != OPTION_WAY)
      continue;
    if (strcmp(value, "overlay") == 0) {
      *ways |= IMGSTORE_MOUNT_OVERLAY;
    } else if (strcmp(value, "fuse") == 0) {
      *ways |= IMGSTORE_MOUNT_FUSE;
    } else if (strcmp(value, "copy") == 0) {
      *ways |= IMGSTORE_MOUNT_COPY;
    } else {
      cli_usage(c, "--way is overlay, fuse or copy, not %s", value);
      return false;
    }
  }
  return true;
}

static uint32_t read_flags(const cli *c) {
  return (option_given(&c->args, OPTION_READ_ONLY) ? IMGSTORE_MOUNT_READ_ONLY : 0) |
         (option_given(&c->args, OPTION_NOSUID) ? IMGSTORE_MOUNT_NOSUID : 0) |
         (option_given(&c->args, OPTION_NODEV) ? IMGSTORE_MOUNT_NODEV : 0) |
         (option_given(&c->args, OPTION_NOEXEC) ? IMGSTORE_MOUNT_NOEXEC : 0);
}

static int mount_one(cli *c, job *j, progress *p, const imgstore_mount_options *options) {
  imgstore_rootfs *rootfs = NULL;
  imgstore_operation *operation = NULL;
  imgstore_error *error = NULL;
  int status = cli_open_rootfs(c, c->args.words[0], &rootfs);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_rootfs_mount_start(rootfs, options, &operation, &error);
  if (code == IMGSTORE_OK)
    code = job_run(j, p, operation, &error);
  if (code != IMGSTORE_OK) {
    status = job_failed(j, c, code, &error);
  } else {
    const char *where = "";
    int32_t way = imgstore_rootfs_mounted(rootfs, &where);
    printf("%s\n", where);
    if (way != IMGSTORE_MOUNT_OVERLAY)
      progress_line(p, "Mounted by %s", way == IMGSTORE_MOUNT_FUSE ? "fuse-overlayfs" : "copying");
  }
  imgstore_operation_free(operation);
  imgstore_rootfs_close(rootfs);
  return status;
}

static int run_mount(cli *c) {
  imgstore_mount_options options;
  progress p = {0};
  job j;
  int status = CLI_USAGE;
  imgstore_mount_options_init(&options, sizeof options);
  options.flags = read_flags(c);
  options.target = c->args.count > 1 ? c->args.words[1] : NULL;
  options.fuse_program = option_value(&c->args, OPTION_FUSE_PROGRAM);
  options.progress = progress_event;
  options.progress_data = &p;
  job_begin(&j);
  if (read_ways(c, &options.ways) && progress_begin(&p, c, &words))
    status = mount_one(c, &j, &p, &options);
  job_end(&j);
  progress_free(&p);
  return status;
}

const command command_mount = {
    .name = "mount",
    .usage = "[OPTIONS] NAME [DIR]",
    .summary = "Mount an instance and print where",
    .details =
        "DIR must exist; without it the instance's own directory is used. The kernel's overlayfs is tried first,\n"
        "then the program fuse-overlayfs, then all files are copied, which stays so for this instance.",
    .examples = "  imgstore mount web\n"
                "  imgstore mount --nosuid --nodev web /mnt\n"
                "  unshare -Urm sh -c 'ls $(imgstore mount web)'\n",
    .groups = (const option_group *const[]){&mount_group, &group_global, NULL},
    .min_words = 1,
    .max_words = 2,
    .run = run_mount,
};

/* --- umount ----------------------------------------------------------------------------------------------------------
 */

static const option umount_options[] = {
    {OPTION_LAZY, 'l', "lazy", NULL, "also when it is in use: it goes away with its last user"}, ROW_END};
static const option_group umount_group = {"Options", umount_options};

static int run_umount(cli *c) {
  uint32_t flags = option_given(&c->args, OPTION_LAZY) ? IMGSTORE_UMOUNT_DETACH : 0;
  int status = CLI_OK;
  for (size_t i = 0; i < c->args.count; i++) {
    imgstore_rootfs *rootfs = NULL;
    imgstore_error *error = NULL;
    int opened = cli_open_rootfs(c, c->args.words[i], &rootfs);
    if (opened != CLI_OK)
      status = opened;
    else if (imgstore_rootfs_umount(rootfs, flags, &error) != IMGSTORE_OK)
      status = cli_failed(c, imgstore_error_code(error), &error);
    imgstore_rootfs_close(rootfs);
    if (!c->rootfs_dir)
      break;
  }
  return status;
}

const command command_umount = {
    .name = "umount",
    .alias = "unmount",
    .usage = "[OPTIONS] NAME...",
    .summary = "Unmount instances",
    .examples = "  imgstore umount web\n",
    .groups = (const option_group *const[]){&umount_group, &group_global, NULL},
    .min_words = 1,
    .max_words = SIZE_MAX,
    .run = run_umount,
};
