/* cmd_push.c - push: brings an image, or a whole index, from the store to a registry. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "job.h"
#include "progress.h"
#include "published.h"
#include "units.h"

static const option push_options[] = {
    {OPTION_PLATFORM, 0, "platform", "OS/ARCH[/VARIANT]",
     "of a multi-platform image only this one\n"
     "(default: all that IMAGE stands for)"},
    {OPTION_DRY_RUN, 0, "dry-run", NULL, "send nothing, say what would be sent"},
    {OPTION_CHUNK_SIZE, 0, "chunk-size", "BYTES", "send layers in pieces of this size"},
    {OPTION_MOUNT_FROM, 0, "mount-from", "REPOSITORY",
     "a repository of the registry that may have the\n"
     "layers; may be given again"},
    {OPTION_QUIET, 'q', "quiet", NULL, "print only the name"},
    {OPTION_FORMAT, 0, "format", "table|json", "json: one object per line about everything"},
    ROW_PROGRESS,
    ROW_END};
static const option_group push_group = {"Options", push_options};

static const progress_words words = {"Pushing", "Pushing", "Pushed", "Pushed"};

typedef struct push {
  cli *c;
  progress progress;
  job job;
  published_view view;
  imgstore_registry_options registry_options;
  imgstore_push_options options;
  const char **mounts;
  imgstore_reference *destination;
  imgstore_registry *registry;
  imgstore_operation *operation;
} push;

static bool read_mounts(push *p) {
  const arguments *a = &p->c->args;
  size_t count = option_count(a, OPTION_MOUNT_FROM), n = 0;
  if (!count)
    return true;
  p->mounts = calloc(count, sizeof *p->mounts);
  if (!p->mounts) {
    cli_out_of_memory(p->c);
    return false;
  }
  for (size_t i = 0; i < a->option_count; i++)
    if (a->options[i].id == OPTION_MOUNT_FROM)
      p->mounts[n++] = a->options[i].value;
  p->options.mount_from = p->mounts;
  p->options.mount_count = count;
  return true;
}

static bool read_options(push *p) {
  cli *c = p->c;
  const char *chunk = option_value(&c->args, OPTION_CHUNK_SIZE);
  imgstore_push_options_init(&p->options, sizeof p->options);
  if (!cli_registry_options(c, &p->registry_options) || !published_view_read(c, &p->view) ||
      !progress_begin(&p->progress, c, &words) || !read_mounts(p))
    return false;
  if (chunk && (!units_number(chunk, INT64_MAX, &p->options.chunk_size) || !p->options.chunk_size)) {
    cli_usage(c, "--chunk-size is a number of bytes, not %s", chunk);
    return false;
  }
  p->options.platform = option_value(&c->args, OPTION_PLATFORM);
  if (p->view.dry_run)
    p->options.flags |= IMGSTORE_PUSH_DRY_RUN;
  p->options.progress = progress_event;
  p->options.progress_data = &p->progress;
  return true;
}

/* Where the image goes: DEST, or where its own name says. */
static int prepare(push *p) {
  imgstore_error *error = NULL;
  const arguments *a = &p->c->args;
  int status = cli_need_store(p->c, STORE_LEASE);
  if (status != CLI_OK)
    return status;
  const char *name = a->words[a->count - 1];
  int32_t code = imgstore_reference_parse(p->c->context, name, &p->destination, &error);
  if (code != IMGSTORE_OK)
    return cli_failed(p->c, code, &error);
  if (a->count > 1)
    p->options.destination = imgstore_reference_name(p->destination);
  return cli_open_registry(p->c, imgstore_reference_host(p->destination), &p->registry_options, &p->registry);
}

static int transfer(push *p) {
  imgstore_error *error = NULL;
  const imgstore_reference *d = p->destination;
  progress_line(&p->progress, "The push refers to repository [%s/%s]", imgstore_reference_host(d),
                imgstore_reference_repository(d));
  int32_t code = imgstore_push_start(p->c->store, p->registry, p->c->args.words[0], &p->options, &p->operation, &error);
  if (code == IMGSTORE_OK)
    code = job_run(&p->job, &p->progress, p->operation, &error);
  if (code != IMGSTORE_OK)
    return job_failed(&p->job, p->c, code, &error);
  return published_print(p->c, imgstore_operation_report(p->operation), &p->view);
}

static int run(cli *c) {
  push p = {.c = c};
  int status = CLI_USAGE;
  job_begin(&p.job);
  if (read_options(&p))
    status = prepare(&p);
  if (status == CLI_OK)
    status = transfer(&p);
  imgstore_operation_free(p.operation);
  imgstore_registry_free(p.registry);
  imgstore_reference_unref(p.destination);
  free(p.mounts);
  progress_free(&p.progress);
  job_end(&p.job);
  return status;
}

const command command_push = {
    .name = "push",
    .usage = "[OPTIONS] IMAGE [DEST]",
    .summary = "Upload an image to a registry",
    .details =
        "IMAGE is an image of the store; DEST is the name it gets, [HOST/]REPOSITORY[:TAG], its own without it.\n"
        "What the registry has is not sent; layers that another repository of it has are taken from there. The\n"
        "tag, digest and size of the manifest go to standard output, progress to standard error.",
    .examples = "  imgstore push registry.example/team/app:1.2\n"
                "  imgstore push alpine registry.example/mirror/alpine:3.20\n"
                "  imgstore push --dry-run alpine registry.example/mirror/alpine:3.20\n",
    .groups = (const option_group *const[]){&push_group, &group_registry, &group_global, NULL},
    .min_words = 1,
    .max_words = 2,
    .run = run,
};
