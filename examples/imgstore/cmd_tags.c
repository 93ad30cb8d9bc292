/* cmd_tags.c - tags: the tags that a registry has for a repository. */
#include "cli.h"
#include "remote.h"

static const option tags_options[] = {ROW_FORMAT("names, or one JSON object per line (default: table)"), ROW_END};
static const option_group tags_group = {"Options", tags_options};

static int list(remote *r, bool json) {
  imgstore_registry_job_options options = remote_job_options(r);
  imgstore_error *error = NULL;
  int status = remote_open(r, r->job.c->args.words[0]);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_registry_tags_start(r->registry, imgstore_reference_repository(r->reference), &options,
                                              &r->job.operation, &error);
  status = job_run(&r->job, code, &error);
  if (status == CLI_OK)
    remote_print_names(r, "Tag", json);
  return status;
}

static int run(cli *c) {
  remote r;
  bool json = false;
  bool good = remote_begin(&r, c, NULL) && cli_format(c, &json);
  return remote_end(&r, good ? list(&r, json) : CLI_USAGE);
}

const command command_tags = {
    .name = "tags",
    .usage = "[OPTIONS] REPOSITORY",
    .summary = "List the tags that a registry has for a repository",
    .examples = "  imgstore tags alpine\n"
                "  imgstore tags --format json quay.io/podman/hello\n",
    .groups = (const option_group *const[]){&tags_group, &group_registry, &group_global, NULL},
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
