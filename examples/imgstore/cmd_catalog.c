/* cmd_catalog.c - catalog: the repositories of a registry. */
#include "cli.h"
#include "remote.h"

static const option catalog_options[] = {ROW_FORMAT("names, or one JSON object per line (default: table)"), ROW_END};
static const option_group catalog_group = {"Options", catalog_options};

static int list(remote *r, bool json) {
  imgstore_registry_job_options options = remote_job_options(r);
  imgstore_error *error = NULL;
  int status = remote_open_host(r, r->job.c->args.words[0]);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_registry_catalog_start(r->registry, &options, &r->job.operation, &error);
  status = job_run(&r->job, code, &error);
  if (status == CLI_OK)
    remote_print_names(r, "Repository", json);
  return status;
}

static int run(cli *c) {
  remote r;
  bool json = false;
  bool good = remote_begin(&r, c, NULL) && cli_format(c, &json);
  return remote_end(&r, good ? list(&r, json) : CLI_USAGE);
}

const command command_catalog = {
    .name = "catalog",
    .usage = "[OPTIONS] HOST",
    .summary = "List the repositories that a registry has",
    .details = "Many public registries, Docker Hub among them, do not tell.",
    .examples = "  imgstore catalog localhost:5000\n"
                "  imgstore catalog --format json registry.example.org\n",
    .groups = (const option_group *const[]){&catalog_group, &group_registry, &group_global, NULL},
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
