/* cmd_push.c - push: brings an image, or a whole index, from the store to a registry. */
#include <stdlib.h>

#include "cli.h"
#include "published.h"
#include "remote.h"

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
    ROW_FORMAT("json: one object per line about everything"),
    ROW_PROGRESS,
    ROW_END};
static const option_group push_group = {"Options", push_options};

static const progress_words words = {"Pushing", "Pushing", "Pushed", "Pushed"};

typedef struct push {
  cli *c;
  remote remote;
  published_view view;
  imgstore_push_options options;
  const char **mounts;
} push;

static bool read_options(push *p) {
  cli *c = p->c;
  imgstore_push_options *o = &p->options;
  imgstore_push_options_init(o, sizeof *o);
  if (!remote_begin(&p->remote, c, &words) || !published_view_read(c, &p->view) ||
      !cli_number(c, OPTION_CHUNK_SIZE, 1, INT64_MAX, &o->chunk_size) ||
      !cli_values(c, OPTION_MOUNT_FROM, &p->mounts, &o->mount_count))
    return false;
  o->mount_from = p->mounts;
  o->platform = option_value(&c->args, OPTION_PLATFORM);
  if (p->view.dry_run)
    o->flags |= IMGSTORE_PUSH_DRY_RUN;
  o->progress = progress_event;
  o->progress_data = &p->remote.job.progress;
  return true;
}

/* Where the image goes: DEST, or where its own name says. */
static int prepare(push *p) {
  const arguments *a = &p->c->args;
  int status = cli_need_store(p->c, STORE_LEASE);
  if (status == CLI_OK)
    status = remote_open(&p->remote, a->words[a->count - 1]);
  if (status == CLI_OK && a->count > 1)
    p->options.destination = imgstore_reference_name(p->remote.reference);
  return status;
}

static int transfer(push *p) {
  imgstore_error *error = NULL;
  const imgstore_reference *destination = p->remote.reference;
  job *j = &p->remote.job;
  progress_line(&j->progress, "The push refers to repository [%s/%s]", imgstore_reference_host(destination),
                imgstore_reference_repository(destination));
  int32_t code =
      imgstore_push_start(p->c->store, p->remote.registry, p->c->args.words[0], &p->options, &j->operation, &error);
  int status = job_run(j, code, &error);
  return status == CLI_OK ? published_print(p->c, imgstore_operation_report(j->operation), &p->view) : status;
}

static int run(cli *c) {
  push p = {.c = c};
  int status = read_options(&p) ? prepare(&p) : CLI_USAGE;
  if (status == CLI_OK)
    status = transfer(&p);
  status = remote_end(&p.remote, status);
  free(p.mounts);
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
