/*
 * cmd_run.c - run: a container in a few lines, on top of the program crun. A demonstration: whoever needs more takes
 * bundle and a runtime of his choice.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

static const option run_options[] = {{OPTION_RM, 0, "rm", NULL, "delete the instance afterwards"},
                                     {OPTION_NAME, 0, "name", "NAME", "of the instance (default: from the process ID)"},
                                     ROW_PLATFORM,
                                     ROW_END};
static const option_group run_group = {"Options", run_options};

static int32_t create_and_mount(cli *c, const char *name, imgstore_rootfs **rootfs, imgstore_error **error) {
  imgstore_image *image = NULL;
  imgstore_rootfs_options options;
  imgstore_rootfs_options_init(&options, sizeof options);
  options.image_name = c->args.words[0];
  int32_t code =
      imgstore_store_image(c->store, c->args.words[0], option_value(&c->args, OPTION_PLATFORM), &image, error);
  if (code == IMGSTORE_OK)
    code = imgstore_rootfs_create(c->rootfs_dir, image, name, &options, rootfs, error);
  if (code == IMGSTORE_OK)
    code = imgstore_rootfs_mount(*rootfs, NULL, NULL, error);
  imgstore_image_unref(image);
  return code;
}

/* The exit status of the container, or CLI_FAILED. */
static int run_crun(cli *c, const char *bundle, const char *name) {
  pid_t pid = fork();
  int status;
  if (pid == 0) {
    signal(SIGPIPE, SIG_DFL);
    execlp("crun", "crun", "run", "--bundle", bundle, name, (char *)NULL);
    cli_message(c, "crun cannot be started: is it installed?");
    _exit(CLI_FAILED);
  }
  /* An interrupt is the container's: what is left to do is done after it. */
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  if (pid < 0 || waitpid(pid, &status, 0) != pid)
    return CLI_FAILED;
  return WIFEXITED(status) ? WEXITSTATUS(status) : CLI_INTERRUPTED + WTERMSIG(status);
}

static int run_bundle(cli *c, imgstore_rootfs *rootfs, const char *name, const bundle_settings *settings) {
  imgstore_error *error = NULL;
  text bundle = {0};
  text_addf(&bundle, "%s/bundle", imgstore_rootfs_path(rootfs, IMGSTORE_ROOTFS_PATH_OWN));
  int32_t code =
      bundle.failed ? IMGSTORE_ENOMEM : imgstore_rootfs_bundle(rootfs, text_get(&bundle), &settings->options, &error);
  int status = code ? cli_failed(c, code, &error) : run_crun(c, text_get(&bundle), name);
  text_free(&bundle);
  return status;
}

static int clean_up(cli *c, imgstore_rootfs *rootfs, const char *name, int status) {
  imgstore_error *error = NULL;
  int32_t code = IMGSTORE_OK;
  if (imgstore_rootfs_mounted(rootfs, NULL) != IMGSTORE_MOUNT_NONE)
    code = imgstore_rootfs_umount(rootfs, 0, &error);
  imgstore_rootfs_close(rootfs);
  if (code == IMGSTORE_OK && option_given(&c->args, OPTION_RM))
    code = imgstore_rootfs_delete(c->rootfs_dir, name, 0, NULL, &error);
  if (code != IMGSTORE_OK)
    cli_failed(c, code, &error);
  return code != IMGSTORE_OK && status == CLI_OK ? CLI_FAILED : status;
}

static int run(cli *c) {
  bundle_settings settings = {0};
  imgstore_rootfs *rootfs = NULL;
  imgstore_error *error = NULL;
  char own_name[32];
  const char *name = option_value(&c->args, OPTION_NAME);
  if (!cli_bundle_settings(c, c->args.words + 1, c->args.count - 1, &settings))
    return CLI_USAGE;
  snprintf(own_name, sizeof own_name, "run-%ld", (long)getpid());
  name = name ? name : own_name;
  int status = cli_need_rootfs_dir(c, true);
  if (status == CLI_OK) {
    int32_t code = create_and_mount(c, name, &rootfs, &error);
    status = code ? cli_failed(c, code, &error) : run_bundle(c, rootfs, name, &settings);
    if (rootfs)
      status = clean_up(c, rootfs, name, status);
  }
  bundle_settings_free(&settings);
  return status;
}

const command command_run = {
    .name = "run",
    .usage = "[OPTIONS] IMAGE [COMMAND...]",
    .summary = "Run a command in a new instance of a stored image, with the program crun",
    .details =
        "A demonstration: create, mount, bundle, crun run, umount, and with --rm delete. The exit status is the\n"
        "command's. Options come before IMAGE.",
    .examples = "  imgstore run --rm alpine cat /etc/os-release\n"
                "  imgstore run --rm -u 65534 -e A=1 alpine env\n",
    .groups = (const option_group *const[]){&run_group, &group_bundle, &group_global, NULL},
    .min_words = 1,
    .max_words = SIZE_MAX,
    .option_words = 1,
    .run = run,
};
