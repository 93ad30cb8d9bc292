/* cmd_mount.c - mount: an instance as a directory. */
#include <stdio.h>

#include "cli.h"
#include "job.h"

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

static bool read_ways(const cli *c, uint32_t *ways) {
  static const choice choices[] = {
      {"overlay", IMGSTORE_MOUNT_OVERLAY}, {"fuse", IMGSTORE_MOUNT_FUSE}, {"copy", IMGSTORE_MOUNT_COPY}, {NULL, 0}};
  for (size_t i = 0; i < c->args.option_count; i++) {
    int32_t way = 0;
    if (c->args.options[i].id != OPTION_WAY)
      continue;
    if (!cli_choose(c, OPTION_WAY, c->args.options[i].value, choices, &way))
      return false;
    *ways |= (uint32_t)way;
  }
  return true;
}

static uint32_t read_flags(const cli *c) {
  return (option_given(&c->args, OPTION_READ_ONLY) ? IMGSTORE_MOUNT_READ_ONLY : 0) |
         (option_given(&c->args, OPTION_NOSUID) ? IMGSTORE_MOUNT_NOSUID : 0) |
         (option_given(&c->args, OPTION_NODEV) ? IMGSTORE_MOUNT_NODEV : 0) |
         (option_given(&c->args, OPTION_NOEXEC) ? IMGSTORE_MOUNT_NOEXEC : 0);
}

/* The path is printed as it is: a program may read it. */
static void conclude(job *j, imgstore_rootfs *rootfs) {
  const char *where = "";
  int32_t way = imgstore_rootfs_mounted(rootfs, &where);
  printf("%s\n", where);
  if (way != IMGSTORE_MOUNT_OVERLAY)
    progress_line(&j->progress, "Mounted by %s", way == IMGSTORE_MOUNT_FUSE ? "fuse-overlayfs" : "copying");
}

static int mount_one(job *j, imgstore_mount_options *options) {
  cli *c = j->c;
  imgstore_rootfs *rootfs = NULL;
  imgstore_error *error = NULL;
  int status = cli_open_rootfs(c, c->args.words[0], &rootfs);
  if (status != CLI_OK)
    return status;
  options->progress = progress_event;
  options->progress_data = &j->progress;
  int32_t code = imgstore_rootfs_mount_start(rootfs, options, &j->operation, &error);
  status = job_run(j, code, &error);
  if (status == CLI_OK)
    conclude(j, rootfs);
  imgstore_rootfs_close(rootfs);
  return status;
}

static int run(cli *c) {
  imgstore_mount_options options;
  job j;
  imgstore_mount_options_init(&options, sizeof options);
  options.flags = read_flags(c);
  options.target = c->args.count > 1 ? c->args.words[1] : NULL;
  options.fuse_program = option_value(&c->args, OPTION_FUSE_PROGRAM);
  bool good = job_begin(&j, c, &words) && read_ways(c, &options.ways);
  return job_end(&j, good ? mount_one(&j, &options) : CLI_USAGE);
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
    .run = run,
};
