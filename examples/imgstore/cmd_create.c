/* cmd_create.c - create: an instance of an image. */
#include "cli.h"
#include "job.h"

static const option create_options[] = {
    {OPTION_READ_ONLY, 0, "read-only", NULL, "an instance without a layer of its own"},
    ROW_PLATFORM,
    ROW_QUIET,
    ROW_VERBOSE,
    ROW_PROGRESS,
    ROW_END};
static const option_group create_group = {"Options", create_options};

static const progress_words words = {"Reading layer", "Reading", "Verified", "Applied"};

static int create(job *j, const unpack_settings *settings) {
  cli *c = j->c;
  imgstore_image *image = NULL;
  imgstore_error *error = NULL;
  imgstore_layers_options layers;
  imgstore_rootfs_options options;
  int status = cli_need_rootfs_dir(c, true);
  if (status != CLI_OK)
    return status;
  imgstore_layers_options_init(&layers, sizeof layers);
  imgstore_rootfs_options_init(&options, sizeof options);
  layers.unpack = &settings->options;
  options.layers = &layers;
  options.flags = option_given(&c->args, OPTION_READ_ONLY) ? IMGSTORE_ROOTFS_READ_ONLY : 0;
  options.image_name = c->args.words[0];
  options.progress = progress_event;
  options.progress_data = &j->progress;
  int32_t code =
      imgstore_store_image(c->store, c->args.words[0], option_value(&c->args, OPTION_PLATFORM), &image, &error);
  if (code == IMGSTORE_OK)
    code = imgstore_rootfs_create_start(c->rootfs_dir, image, c->args.words[1], &options, &j->operation, &error);
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
  int status = job_end(&j, good ? create(&j, &settings) : CLI_USAGE);
  unpack_settings_free(&settings);
  return status;
}

const command command_create = {
    .name = "create",
    .usage = "[OPTIONS] IMAGE NAME",
    .summary = "Create an instance of a stored image, with a layer of its own",
    .details =
        "All instances share one copy of the image's layers, which are applied the first time. NAME has 1 to 128 of\n"
        "a-z A-Z 0-9 _ . -, a letter or digit first. The image stays in the store as long as the instance exists.",
    .examples = "  imgstore create alpine web\n"
                "  imgstore create --read-only --uid-map 0:100000:65536 --gid-map 0:100000:65536 alpine tools\n",
    .groups = (const option_group *const[]){&create_group, &group_unpack, &group_global, NULL},
    .min_words = 2,
    .max_words = 2,
    .run = run,
};
