/* cmd_pull.c - pull: brings an image from a registry, and unpacks it on the way when asked to. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "remote.h"

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
  remote remote;
  unpack_settings unpack;
  imgstore_pull_options options;
  imgstore_layers_options layers;
  imgstore_policy *policy;
  imgstore_image *before, *image;
} pull;

static bool read_options(pull *p) {
  cli *c = p->c;
  imgstore_pull_options *o = &p->options;
  imgstore_pull_options_init(o, sizeof *o);
  if (!remote_begin(&p->remote, c, &words) || !cli_unpack_settings(c, &p->unpack) ||
      !cli_platforms(c, IMGSTORE_PULL_ALL_PLATFORMS, &o->platform, &o->flags))
    return false;
  o->unpack_to = option_value(&c->args, OPTION_UNPACK);
  if (o->unpack_to)
    o->unpack = &p->unpack.options;
  imgstore_layers_options_init(&p->layers, sizeof p->layers);
  p->layers.unpack = &p->unpack.options;
  o->progress = progress_event;
  o->progress_data = &p->remote.job.progress;
  if (o->unpack_to && option_given(&c->args, OPTION_LAYERS)) {
    cli_usage(c, "--layers and --unpack exclude each other");
    return false;
  }
  return true;
}

static void announce(pull *p) {
  const imgstore_reference *r = p->remote.reference;
  progress *shown = &p->remote.job.progress;
  const char *tag = imgstore_reference_tag(r), *digest = imgstore_reference_digest(r);
  if (!remote_version(&p->remote, p->c->args.words[0]))
    progress_line(shown, "Using default tag: %s", tag ? tag : "");
  progress_line(shown, "%s: Pulling from %s",
                digest ? imgstore_reference_name(r)
                : tag  ? tag
                       : "",
                imgstore_reference_repository(r));
}

static bool is_up_to_date(const pull *p) {
  return p->before && !p->remote.job.progress.fetched &&
         strcmp(imgstore_image_target_digest(p->before), imgstore_image_target_digest(p->image)) == 0 &&
         strcmp(imgstore_image_id(p->before), imgstore_image_id(p->image)) == 0;
}

static void conclude(pull *p) {
  const imgstore_reference *r = p->remote.reference;
  progress *shown = &p->remote.job.progress;
  progress_line(shown, "Digest: %s", imgstore_image_target_digest(p->image));
  progress_line(shown, "Status: %s for %s", is_up_to_date(p) ? "Image is up to date" : "Downloaded newer image",
                imgstore_reference_familiar(r));
  cli_print_skipped(imgstore_operation_report(p->remote.job.operation), option_given(&p->c->args, OPTION_VERBOSE));
  put_line(stdout, "%s", imgstore_reference_name(r));
}

static int transfer(pull *p) {
  imgstore_error *error = NULL;
  job *j = &p->remote.job;
  const char *name = imgstore_reference_name(p->remote.reference);
  imgstore_store_image(p->c->store, name, p->options.platform, &p->before, NULL);
  announce(p);
  int32_t code = imgstore_pull_start(p->c->store, p->remote.registry, name, &p->options, &j->operation, &error);
  int status = job_run(j, code, &error);
  if (status == CLI_OK)
    p->image = imgstore_operation_image(j->operation);
  if (p->image)
    conclude(p);
  return status;
}

static int prepare(pull *p) {
  int status = cli_open_context(p->c);
  if (status == CLI_OK)
    status = cli_open_policy(p->c, &p->policy);
  p->options.policy = p->policy;
  if (status == CLI_OK)
    status = remote_open(&p->remote, p->c->args.words[0]);
  if (status == CLI_OK)
    status = cli_open_store(p->c, STORE_CREATE);
  if (status == CLI_OK && option_given(&p->c->args, OPTION_LAYERS)) {
    p->options.layers = &p->layers;
    status = cli_open_rootfs_dir(p->c, STORE_CREATE);
    p->options.layers_to = p->c->rootfs_dir;
  }
  return status;
}

static int run(cli *c) {
  pull p = {.c = c};
  int status = read_options(&p) ? prepare(&p) : CLI_USAGE;
  if (status == CLI_OK)
    status = transfer(&p);
  status = remote_end(&p.remote, status);
  imgstore_image_unref(p.image);
  imgstore_image_unref(p.before);
  imgstore_policy_free(p.policy);
  unpack_settings_free(&p.unpack);
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
