/* cmd_unpack.c - unpack: makes a directory of an image that is in the store. */
#include "cli.h"
#include "job.h"
#include "progress.h"

static const option unpack_command_options[] = {ROW_PLATFORM, ROW_QUIET, ROW_VERBOSE, ROW_PROGRESS, ROW_END};
static const option_group unpack_command_group = {"Options", unpack_command_options};

static const progress_words words = {"Reading layer", "Reading", "Verified", "Unpacked"};

static int unpack(cli *c, job *j, progress *p, unpack_settings *settings) {
  imgstore_image *image = NULL;
  imgstore_operation *operation = NULL;
  imgstore_error *error = NULL;
  int status = cli_need_store(c, STORE_LEASE);
  if (status != CLI_OK)
    return status;
  settings->options.progress = progress_event;
  settings->options.progress_data = p;
  int32_t code =
      imgstore_store_image(c->store, c->args.words[0], option_value(&c->args, OPTION_PLATFORM), &image, &error);
  if (code == IMGSTORE_OK)
    code = imgstore_unpack_start(image, c->args.words[1], &settings->options, &operation, &error);
  if (code == IMGSTORE_OK)
    code = job_run(j, p, operation, &error);
  if (code == IMGSTORE_OK)
    cli_print_skipped(imgstore_operation_report(operation), option_given(&c->args, OPTION_VERBOSE));
  else
    status = job_failed(j, c, code, &error);
  imgstore_operation_free(operation);
  imgstore_image_unref(image);
  return status;
}

static int run(cli *c) {
  unpack_settings settings = {0};
  progress p = {0};
  job j;
  int status = CLI_USAGE;
  job_begin(&j);
  if (cli_unpack_settings(c, &settings) && progress_begin(&p, c, &words))
    status = unpack(c, &j, &p, &settings);
  job_end(&j);
  progress_free(&p);
  unpack_settings_free(&settings);
  return status;
}

const command command_unpack = {
    .name = "unpack",
    .usage = "[OPTIONS] IMAGE DIR",
    .summary = "Merge all layers of a stored image into a directory",
    .details =
        "DIR is made (its parent must exist) or must be empty. Each layer is verified; when anything fails, what was\n"
        "made is removed. Nothing outside DIR is touched, whatever the image holds.",
    .examples = "  imgstore unpack alpine rootfs\n"
                "  imgstore unpack --uid-map 0:100000:65536 --gid-map 0:100000:65536 alpine rootfs\n",
    .groups = (const option_group *const[]){&unpack_command_group, &group_unpack, &group_global, NULL},
    .min_words = 2,
    .max_words = 2,
    .run = run,
};
