/* cmd_sync.c - sync: the tags of a repository, from a registry to another, to the store or to an OCI layout. */
#include <string.h>

#include "cli.h"
#include "job.h"
#include "places.h"
#include "published.h"

static const option sync_options[] = {
    {OPTION_TAGS, 0, "tags", "GLOB", "only tags that match, such as '3.*' (default: all)"},
    ROW_PLATFORM,
    {OPTION_ALL_PLATFORMS, 'a', "all-platforms", NULL, "copy the images of all platforms and their indexes"},
    {OPTION_KEEP_GOING, 'k', "keep-going", NULL, "go on with the next tag when one fails"},
    {OPTION_DRY_RUN, 0, "dry-run", NULL, "copy nothing, say what would be copied"},
    {OPTION_QUIET, 'q', "quiet", NULL, "print only the names of what was copied"},
    ROW_FORMAT("json: one object per line about everything"),
    ROW_PROGRESS,
    ROW_END};
static const option_group sync_group = {"Options", sync_options};

static const progress_words words = {"Copying", "Copying", "Copied", "Copied"};

typedef struct syncing {
  job job;
  published_view view;
  imgstore_sync_options options;
  places places;
} syncing;

static bool read_options(syncing *s, cli *c) {
  imgstore_sync_options *o = &s->options;
  imgstore_sync_options_init(o, sizeof *o);
  if (!job_begin(&s->job, c, &words) || !published_view_read(c, &s->view) ||
      !cli_platforms(c, IMGSTORE_COPY_ALL_PLATFORMS, &o->platform, &o->flags))
    return false;
  o->tags = option_value(&c->args, OPTION_TAGS);
  if (option_given(&c->args, OPTION_KEEP_GOING))
    o->flags |= IMGSTORE_COPY_KEEP_GOING;
  if (s->view.dry_run)
    o->flags |= IMGSTORE_COPY_DRY_RUN;
  o->progress = progress_event;
  o->progress_data = &s->job.progress;
  return true;
}

static int open_places(syncing *s) {
  const char *const *given = s->job.c->args.words;
  if (strncmp(given[0], "docker://", strlen("docker://")) != 0)
    return cli_usage(s->job.c, "%s: tags are synced from a registry: docker://REPOSITORY", given[0]);
  return places_open(&s->places, s->job.c, PLACE_REPOSITORY);
}

static void conclude(syncing *s, const imgstore_report *report) {
  size_t copied = 0, same = 0, failed = 0;
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    copied += imgstore_report_kind(report, i) == IMGSTORE_REPORT_PUBLISHED;
    same += imgstore_report_kind(report, i) == IMGSTORE_REPORT_PRESENT && *imgstore_report_name(report, i);
    failed += imgstore_report_kind(report, i) == IMGSTORE_REPORT_FAILED;
    if (imgstore_report_kind(report, i) == IMGSTORE_REPORT_FAILED)
      progress_line(&s->job.progress, "%s: failed: %s", imgstore_report_name(report, i),
                    imgstore_report_detail(report, i));
  }
  progress_line(&s->job.progress, "%zu tags %s, %zu were the same%s", copied, s->view.dry_run ? "to copy" : "copied",
                same, failed ? ", some failed" : "");
}

static int transfer(syncing *s) {
  imgstore_error *error = NULL;
  int status = open_places(s);
  if (status != CLI_OK)
    return status;
  int32_t code =
      imgstore_sync_start(&s->places.from.place, &s->places.to.place, &s->options, &s->job.operation, &error);
  code = job_drive(&s->job, code, &error);
  const imgstore_report *report = imgstore_operation_report(s->job.operation);
  if (code == IMGSTORE_OK || (report && s->options.flags & IMGSTORE_COPY_KEEP_GOING)) {
    conclude(s, report);
    status = published_print(s->job.c, report, &s->view);
  }
  return code == IMGSTORE_OK ? status : job_status(&s->job, code, &error);
}

static int run(cli *c) {
  syncing s = {0};
  int status = job_end(&s.job, read_options(&s, c) ? transfer(&s) : CLI_USAGE);
  places_close(&s.places);
  return status;
}

const command command_sync = {
    .name = "sync",
    .usage = "[OPTIONS] SOURCE DESTINATION",
    .summary = "Copy the tags of a repository",
    .details = "SOURCE is docker://[HOST/]REPOSITORY without a tag; DESTINATION is another such, store:REPOSITORY,\n"
               "store: (the same name) or oci:DIR. Tags that stand for the same at the destination are skipped; tags\n"
               "that only the destination has stay.",
    .examples = "  imgstore sync --tags '3.*' docker://alpine docker://registry.example/mirror/alpine\n"
                "  imgstore sync -a docker://registry.example/team/app oci:backup\n",
    .groups = (const option_group *const[]){&sync_group, &group_registry, &group_global, NULL},
    .min_words = 2,
    .max_words = 2,
    .run = run,
};
