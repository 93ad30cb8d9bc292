/* cmd_pull.c - pull: brings an image from a registry, and unpacks it on the way when asked to. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "job.h"
#include "progress.h"

static const option pull_options[] = {
    ROW_PLATFORM,
    {OPTION_ALL_PLATFORMS, 'a', "all-platforms", NULL, "keep the images of all platforms"},
    {OPTION_UNPACK, 0, "unpack", "DIR", "unpack into DIR, which is made or empty, while pulling"},
    {OPTION_LAYERS, 0, "layers", NULL,
     "apply the layers to directories of their own beside the\n"
     "store while pulling, for instances made later"},
    {OPTION_QUIET, 'q', "quiet", NULL, "print only the name of the image"},
    ROW_PROGRESS,
    {OPTION_VERBOSE, 'v', "verbose", NULL,
     "with --unpack or --layers: list every entry that was made\n"
     "otherwise"},
    ROW_END};
static const option_group pull_group = {"Options", pull_options};

static const progress_words words = {"Pulling fs layer", "Downloading", "Download complete", "Pull complete"};

/* What a pull needs on its way. */
typedef struct pull {
  cli *c;
  progress progress;
  job job;
  unpack_settings unpack;
  imgstore_registry_options registry_options;
  imgstore_pull_options options;
  imgstore_layers_options layers;
  imgstore_rootfs_dir *dir;
  imgstore_policy *policy;
  imgstore_reference *reference;
  imgstore_registry *registry;
  imgstore_image *before, *image;
  imgstore_operation *operation;
} pull;

static bool read_options(pull *p) {
  cli *c = p->c;
  imgstore_pull_options_init(&p->options, sizeof p->options);
  if (!cli_registry_options(c, &p->registry_options) || !cli_unpack_settings(c, &p->unpack) ||
      !progress_begin(&p->progress, c, &words))
    return false;
  p->options.platform = option_value(&c->args, OPTION_PLATFORM);
  p->options.unpack_to = option_value(&c->args, OPTION_UNPACK);
  if (option_given(&c->args, OPTION_ALL_PLATFORMS))
    p->options.flags |= IMGSTORE_PULL_ALL_PLATFORMS;
  if (p->options.unpack_to)
    p->options.unpack = &p->unpack.options;
  imgstore_layers_options_init(&p->layers, sizeof p->layers);
  p->layers.unpack = &p->unpack.options;
  if (option_given(&c->args, OPTION_LAYERS) && p->options.unpack_to) {
    cli_usage(c, "--layers and --unpack exclude each other");
    return false;
  }
  p->options.progress = progress_event;
  p->options.progress_data = &p->progress;
  if (p->options.platform && option_given(&c->args, OPTION_ALL_PLATFORMS)) {
    cli_usage(c, "--platform and --all-platforms exclude each other");
    return false;
  }
  return true;
}

static void announce(pull *p) {
  const imgstore_reference *r = p->reference;
  const char *given = p->c->args.words[0], *tag = imgstore_reference_tag(r), *digest = imgstore_reference_digest(r);
  const char *last = strrchr(given, '/');
  if (!digest && !strchr(last ? last : given, ':'))
    progress_line(&p->progress, "Using default tag: %s", tag ? tag : "");
  progress_line(&p->progress, "%s: Pulling from %s",
                digest ? imgstore_reference_name(r)
                : tag  ? tag
                       : "",
                imgstore_reference_repository(r));
}

static bool is_up_to_date(const pull *p) {
  return p->before && !p->progress.fetched &&
         strcmp(imgstore_image_target_digest(p->before), imgstore_image_target_digest(p->image)) == 0 &&
         strcmp(imgstore_image_id(p->before), imgstore_image_id(p->image)) == 0;
}

static void conclude(pull *p) {
  progress_line(&p->progress, "Digest: %s", imgstore_image_target_digest(p->image));
  progress_line(&p->progress, "Status: %s for %s", is_up_to_date(p) ? "Image is up to date" : "Downloaded newer image",
                imgstore_reference_familiar(p->reference));
  cli_print_skipped(imgstore_operation_report(p->operation), option_given(&p->c->args, OPTION_VERBOSE));
  puts(imgstore_reference_name(p->reference));
}

static int transfer(pull *p) {
  imgstore_error *error = NULL;
  const char *name = imgstore_reference_name(p->reference);
  imgstore_store_image(p->c->store, name, p->options.platform, &p->before, NULL);
  announce(p);
  int32_t code = imgstore_pull_start(p->c->store, p->registry, name, &p->options, &p->operation, &error);
  if (code == IMGSTORE_OK)
    code = job_run(&p->job, &p->progress, p->operation, &error);
  if (code != IMGSTORE_OK)
    return job_failed(&p->job, p->c, code, &error);
  p->image = imgstore_operation_image(p->operation);
  if (p->image)
    conclude(p);
  return CLI_OK;
}

static int prepare(pull *p) {
  imgstore_error *error = NULL;
  int status = cli_open_context(p->c);
  if (status == CLI_OK)
    status = cli_open_policy(p->c, &p->policy);
  if (status != CLI_OK)
    return status;
  p->options.policy = p->policy;
  int32_t code = imgstore_reference_parse(p->c->context, p->c->args.words[0], &p->reference, &error);
  if (code != IMGSTORE_OK)
    return cli_failed(p->c, code, &error);
  status = cli_open_store(p->c, STORE_CREATE);
  if (status == CLI_OK && option_given(&p->c->args, OPTION_LAYERS)) {
    p->options.layers = &p->layers;
    status = cli_open_layer_dirs(p->c, true, &p->dir);
    p->options.layers_to = p->dir;
  }
  if (status == CLI_OK)
    status = cli_open_registry(p->c, imgstore_reference_host(p->reference), &p->registry_options, &p->registry);
  return status;
}

static int run(cli *c) {
  pull p = {.c = c};
  int status = CLI_USAGE;
  job_begin(&p.job);
  if (read_options(&p))
    status = prepare(&p);
  if (status == CLI_OK)
    status = transfer(&p);
  imgstore_operation_free(p.operation);
  imgstore_image_unref(p.image);
  imgstore_image_unref(p.before);
  imgstore_rootfs_dir_close(p.dir);
  imgstore_policy_free(p.policy);
  imgstore_registry_free(p.registry);
  imgstore_reference_unref(p.reference);
  unpack_settings_free(&p.unpack);
  progress_free(&p.progress);
  job_end(&p.job);
  return status;
}

const command command_pull = {
    .name = "pull",
    .usage = "[OPTIONS] IMAGE",
    .summary = "Download an image from a registry",
    .details =
        "IMAGE is [HOST/]REPOSITORY[:TAG][@DIGEST]. Without HOST it is Docker Hub, without TAG it is latest.\n"
        "What is in the store is not fetched again; an interrupted pull goes on where it stopped. The full name\n"
        "of the image goes to standard output, progress to standard error.",
    .examples = "  imgstore pull alpine\n"
                "  imgstore pull --platform linux/arm64 quay.io/podman/hello:latest\n"
                "  imgstore pull --unpack rootfs alpine:3.20\n"
                "  imgstore pull --layers alpine:3.20\n"
                "  imgstore pull --verify-key cosign.pub registry.example.org/app:1\n",
    .groups =
        (const option_group *const[]){&pull_group, &group_policy, &group_registry, &group_unpack, &group_global, NULL},
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
