/* cmd_sync.c - sync: the tags of a repository, from a registry to another, to the store or to an OCI layout. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "job.h"
#include "places.h"
#include "progress.h"
#include "published.h"

static const option sync_options[] = {
    {OPTION_TAGS, 0, "tags", "GLOB", "only tags that match, such as '3.*' (default: all)"},
    ROW_PLATFORM,
    {OPTION_ALL_PLATFORMS, 'a', "all-platforms", NULL, "copy the images of all platforms and their indexes"},
    {OPTION_KEEP_GOING, 'k', "keep-going", NULL, "go on with the next tag when one fails"},
    {OPTION_DRY_RUN, 0, "dry-run", NULL, "copy nothing, say what would be copied"},
    {OPTION_QUIET, 'q', "quiet", NULL, "print only the names of what was copied"},
    {OPTION_FORMAT, 0, "format", "table|json", "json: one object per line about everything"},
    ROW_PROGRESS,
    ROW_END};
static const option_group sync_group = {"Options", sync_options};

static const progress_words words = {"Copying", "Copying", "Copied", "Copied"};

typedef struct syncing {
  cli *c;
  progress progress;
  job job;
  published_view view;
  imgstore_registry_options registry_options;
  imgstore_sync_options options;
  place from, to;
  imgstore_operation *operation;
} syncing;

static bool read_options(syncing *s) {
  cli *c = s->c;
  imgstore_sync_options_init(&s->options, sizeof s->options);
  if (!cli_registry_options(c, &s->registry_options) || !published_view_read(c, &s->view) ||
      !progress_begin(&s->progress, c, &words))
    return false;
  s->options.tags = option_value(&c->args, OPTION_TAGS);
  s->options.platform = option_value(&c->args, OPTION_PLATFORM);
  if (option_given(&c->args, OPTION_ALL_PLATFORMS))
    s->options.flags |= IMGSTORE_COPY_ALL_PLATFORMS;
  if (option_given(&c->args, OPTION_KEEP_GOING))
    s->options.flags |= IMGSTORE_COPY_KEEP_GOING;
  if (s->view.dry_run)
    s->options.flags |= IMGSTORE_COPY_DRY_RUN;
  s->options.progress = progress_event;
  s->options.progress_data = &s->progress;
  if (s->options.platform && option_given(&c->args, OPTION_ALL_PLATFORMS)) {
    cli_usage(c, "--platform and --all-platforms exclude each other");
    return false;
  }
  return true;
}

static int open_places(syncing *s) {
  const char *const *given = s->c->args.words;
  if (strncmp(given[0], "docker://", strlen("docker://")) != 0)
    return cli_usage(s->c, "%s: tags are synced from a registry: docker://REPOSITORY", given[0]);
  int status = place_open(&s->from, s->c, given[0], PLACE_SOURCE | PLACE_REPOSITORY, &s->registry_options);
  if (status == CLI_OK)
    status = strstr(given[1], "-archive:")
                 ? cli_usage(s->c, "%s: tags are not synced to an archive", given[1])
                 : place_open(&s->to, s->c, given[1], PLACE_DESTINATION | PLACE_REPOSITORY, &s->registry_options);
  return status;
}

static void conclude(syncing *s, const imgstore_report *report) {
  size_t copied = 0, same = 0, failed = 0;
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    copied += imgstore_report_kind(report, i) == IMGSTORE_REPORT_PUBLISHED;
    same += imgstore_report_kind(report, i) == IMGSTORE_REPORT_PRESENT && *imgstore_report_name(report, i);
    failed += imgstore_report_kind(report, i) == IMGSTORE_REPORT_FAILED;
    if (imgstore_report_kind(report, i) == IMGSTORE_REPORT_FAILED)
      progress_line(&s->progress, "%s: failed: %s", imgstore_report_name(report, i), imgstore_report_detail(report, i));
  }
  progress_line(&s->progress, "%zu tags %s, %zu were the same%s", copied, s->view.dry_run ? "to copy" : "copied", same,
                failed ? ", some failed" : "");
}

static int transfer(syncing *s) {
  imgstore_error *error = NULL;
  int status = open_places(s);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_sync_start(&s->from.place, &s->to.place, &s->options, &s->operation, &error);
  if (code == IMGSTORE_OK)
    code = job_run(&s->job, &s->progress, s->operation, &error);
  const imgstore_report *report = imgstore_operation_report(s->operation);
  if (code == IMGSTORE_OK || (report && s->options.flags & IMGSTORE_COPY_KEEP_GOING)) {
    conclude(s, report);
    status = published_print(s->c, report, &s->view);
  }
  return code == IMGSTORE_OK ? status : job_failed(&s->job, s->c, code, &error);
}

static int run(cli *c) {
  syncing s = {.c = c};
  int status = CLI_USAGE;
  job_begin(&s.job);
  if (read_options(&s))
    status = transfer(&s);
  imgstore_operation_free(s.operation);
  place_close(&s.from);
  place_close(&s.to);
  progress_free(&s.progress);
  job_end(&s.job);
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
