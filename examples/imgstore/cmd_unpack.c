/* cmd_unpack.c - unpack: makes a directory of an image that is in the store. */
#include "cli.h"
#include "job.h"

static const option unpack_command_options[] = {ROW_PLATFORM, ROW_QUIET, ROW_VERBOSE, ROW_PROGRESS, ROW_END};
static const option_group unpack_command_group = {"Options", unpack_command_options};

static const progress_words words = {"Reading layer", "Reading", "Verified", "Unpacked"};

static int unpack(job *j, unpack_settings *settings) {
  cli *c = j->c;
  imgstore_image *image = NULL;
  imgstore_error *error = NULL;
  int status = cli_need_store(c, STORE_LEASE);
  if (status != CLI_OK)
    return status;
  settings->options.progress = progress_event;
  settings->options.progress_data = &j->progress;
  int32_t code =
      imgstore_store_image(c->store, c->args.words[0], option_value(&c->args, OPTION_PLATFORM), &image, &error);
  if (code == IMGSTORE_OK)
    code = imgstore_unpack_start(image, c->args.words[1], &settings->options, &j->operation, &error);
  status = job_run(j, code, &error);
  if (status == CLI_OK)
    cli_print_skipped(imgstore_operation_report(j->operation), option_given(&c->args, OPTION_VERBOSE));
  imgstore_image_unref(image);
  return status;
}

static int run(cli *c) {
  unpack_settings settings = {0};
  job j;
  bool good = job_begin(&j, c, &words) && cli_unpack_settings(c, &settings);
  int status = job_end(&j, good ? unpack(&j, &settings) : CLI_USAGE);
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
