/* cmd_copy.c - copy: an image from one place to another. */
#include <stdlib.h>

#include "cli.h"
#include "job.h"
#include "places.h"
#include "published.h"

static const option copy_options[] = {
    ROW_PLATFORM,
    {OPTION_ALL_PLATFORMS, 'a', "all-platforms", NULL, "copy the images of all platforms and their index"},
    {OPTION_DRY_RUN, 0, "dry-run", NULL, "copy nothing, say what would be copied"},
    {OPTION_TMPDIR, 0, "tmpdir", "DIR", "folder for temporary files (default: $TMPDIR, or /var/tmp)"},
    {OPTION_QUIET, 'q', "quiet", NULL, "print only the name"},
    ROW_FORMAT("json: one object per line about everything"),
    ROW_PROGRESS,
    ROW_END};
static const option_group copy_group = {"Options", copy_options};

static const progress_words words = {"Copying", "Copying", "Copied", "Copied"};

typedef struct copying {
  job job;
  published_view view;
  imgstore_copy_options options;
  places places;
} copying;

static bool read_options(copying *p, cli *c) {
  imgstore_copy_options *o = &p->options;
  imgstore_copy_options_init(o, sizeof *o);
  if (!job_begin(&p->job, c, &words) || !published_view_read(c, &p->view) ||
      !cli_platforms(c, IMGSTORE_COPY_ALL_PLATFORMS, &o->platform, &o->flags))
    return false;
  if (p->view.dry_run)
    o->flags |= IMGSTORE_COPY_DRY_RUN;
  o->temp_dir = option_value(&c->args, OPTION_TMPDIR);
  if (!o->temp_dir)
    o->temp_dir = getenv("TMPDIR");
  o->progress = progress_event;
  o->progress_data = &p->job.progress;
  return true;
}

static int transfer(copying *p) {
  imgstore_error *error = NULL;
  int status = places_open(&p->places, p->job.c, 0);
  if (status != CLI_OK)
    return status;
  int32_t code =
      imgstore_copy_start(&p->places.from.place, &p->places.to.place, &p->options, &p->job.operation, &error);
  status = job_run(&p->job, code, &error);
  return status == CLI_OK ? published_print(p->job.c, imgstore_operation_report(p->job.operation), &p->view) : status;
}

static int run(cli *c) {
  copying p = {0};
  int status = job_end(&p.job, read_options(&p, c) ? transfer(&p) : CLI_USAGE);
  places_close(&p.places);
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
