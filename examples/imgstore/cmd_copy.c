/* cmd_copy.c - copy: an image from one place to another. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "job.h"
#include "places.h"
#include "progress.h"
#include "published.h"

static const option copy_options[] = {
    ROW_PLATFORM,
    {OPTION_ALL_PLATFORMS, 'a', "all-platforms", NULL, "copy the images of all platforms and their index"},
    {OPTION_DRY_RUN, 0, "dry-run", NULL, "copy nothing, say what would be copied"},
    {OPTION_TMPDIR, 0, "tmpdir", "DIR", "folder for temporary files (default: $TMPDIR, or /var/tmp)"},
    {OPTION_QUIET, 'q', "quiet", NULL, "print only the name"},
    {OPTION_FORMAT, 0, "format", "table|json", "json: one object per line about everything"},
    ROW_PROGRESS,
    ROW_END};
static const option_group copy_group = {"Options", copy_options};

static const progress_words words = {"Copying", "Copying", "Copied", "Copied"};

typedef struct copying {
  cli *c;
  progress progress;
  job job;
  published_view view;
  imgstore_registry_options registry_options;
  imgstore_copy_options options;
  place from, to;
  imgstore_operation *operation;
} copying;

static bool read_options(copying *p) {
  cli *c = p->c;
  imgstore_copy_options_init(&p->options, sizeof p->options);
  if (!cli_registry_options(c, &p->registry_options) || !published_view_read(c, &p->view) ||
      !progress_begin(&p->progress, c, &words))
    return false;
  p->options.platform = option_value(&c->args, OPTION_PLATFORM);
  if (option_given(&c->args, OPTION_ALL_PLATFORMS))
    p->options.flags |= IMGSTORE_COPY_ALL_PLATFORMS;
  if (p->view.dry_run)
    p->options.flags |= IMGSTORE_COPY_DRY_RUN;
  p->options.temp_dir = option_value(&c->args, OPTION_TMPDIR);
  if (!p->options.temp_dir)
    p->options.temp_dir = getenv("TMPDIR");
  p->options.progress = progress_event;
  p->options.progress_data = &p->progress;
  if (p->options.platform && option_given(&c->args, OPTION_ALL_PLATFORMS)) {
    cli_usage(c, "--platform and --all-platforms exclude each other");
    return false;
  }
  return true;
}

static int transfer(copying *p) {
  imgstore_error *error = NULL;
  const char *const *words_given = p->c->args.words;
  int status = place_open(&p->from, p->c, words_given[0], PLACE_SOURCE, &p->registry_options);
  if (status == CLI_OK)
    status = place_open(&p->to, p->c, words_given[1], PLACE_DESTINATION, &p->registry_options);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_copy_start(&p->from.place, &p->to.place, &p->options, &p->operation, &error);
  if (code == IMGSTORE_OK)
    code = job_run(&p->job, &p->progress, p->operation, &error);
  if (code != IMGSTORE_OK)
    return job_failed(&p->job, p->c, code, &error);
  const imgstore_report *report = imgstore_operation_report(p->operation);
  return published_print(p->c, report, &p->view);
}

static int run(cli *c) {
  copying p = {.c = c};
  int status = CLI_USAGE;
  job_begin(&p.job);
  if (read_options(&p))
    status = transfer(&p);
  imgstore_operation_free(p.operation);
  place_close(&p.from);
  place_close(&p.to);
  progress_free(&p.progress);
  job_end(&p.job);
  return status;
}

const command command_copy = {
    .name = "copy",
    .alias = "cp",
    .usage = "[OPTIONS] SOURCE DESTINATION",
    .summary = "Copy an image between registries, stores, layouts and archives",
    .details =
        "A location is one of\n"
        "  docker://[HOST/]REPOSITORY[:TAG][@DIGEST]   an image in a registry\n"
        "  store:NAME                                  an image in the store\n"
        "  oci:DIR[:TAG]                               an image in an OCI layout\n"
        "  oci-archive:FILE[:TAG]                      an OCI layout as a tar\n"
        "  docker-archive:FILE[:NAME]                  what 'docker save' writes\n"
        "The layers stream through memory; nothing of them is kept. FILE ends at the first colon; one that belongs to "
        "it\n"
        "is written \\:. An archive that is copied from may be compressed as a whole, or be a pipe (/dev/stdin): it is "
        "then\n"
        "decompressed into a temporary file, which has no name.",
    .examples = "  imgstore copy docker://alpine docker://registry.example/mirror/alpine\n"
                "  imgstore copy -a docker://registry.example/app:1 oci:layout:1\n"
                "  imgstore copy --dry-run docker://alpine:3.20 store:alpine:3.20\n"
                "  imgstore copy docker-archive:images.tar.gz:alpine:3.20 docker://registry.example/alpine\n",
    .groups = (const option_group *const[]){&copy_group, &group_registry, &group_global, NULL},
    .min_words = 2,
    .max_words = 2,
    .run = run,
};
