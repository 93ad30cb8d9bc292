/* cmd_umount.c - umount: unmounts instances. */
#include "cli.h"

static const option umount_options[] = {
    {OPTION_LAZY, 'l', "lazy", NULL, "also when it is in use: it goes away with its last user"}, ROW_END};
static const option_group umount_group = {"Options", umount_options};

static int run(cli *c) {
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
    .run = run,
};
