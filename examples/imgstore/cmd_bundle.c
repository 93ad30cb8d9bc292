/* cmd_bundle.c - bundle: what an OCI runtime needs to run an instance. */
#include "cli.h"

static int run(cli *c) {
  bundle_settings settings = {0};
  imgstore_rootfs *rootfs = NULL;
  imgstore_error *error = NULL;
  if (!cli_bundle_settings(c, c->args.words + 2, c->args.count - 2, &settings))
    return CLI_USAGE;
  int status = cli_open_rootfs(c, c->args.words[0], &rootfs);
  if (status == CLI_OK) {
    int32_t code = imgstore_rootfs_bundle(rootfs, c->args.words[1], &settings.options, &error);
    status = code ? cli_failed(c, code, &error) : CLI_OK;
  }
  imgstore_rootfs_close(rootfs);
  bundle_settings_free(&settings);
  return status;
}

const command command_bundle = {
    .name = "bundle",
    .usage = "[OPTIONS] NAME DIR [COMMAND...]",
    .summary = "Write an OCI runtime bundle of a mounted instance",
    .details = "DIR is made and gets a config.json from the image's config, and directories for the image's volumes.\n"
               "COMMAND replaces the image's. Options come before NAME.",
    .examples = "  imgstore mount web\n"
                "  imgstore bundle web /run/web httpd -f\n"
                "  crun run --bundle /run/web web\n",
    .groups = (const option_group *const[]){&group_bundle, &group_global, NULL},
    .min_words = 2,
    .max_words = SIZE_MAX,
    .option_words = 1,
    .run = run,
};
