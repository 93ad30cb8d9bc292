/* cmd_access.c - access: what a login may do with a repository of a registry. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "json_out.h"
#include "remote.h"

static const option access_options[] = {
    {OPTION_NEED, 0, "need", "RIGHTS", "which of pull,push,delete to look into (default: all)"},
    {OPTION_FORMAT, 0, "format", "table|json", "lines, or one JSON object per line (default: table)"},
    ROW_END};
static const option_group access_group = {"Options", access_options};

static bool read_rights(cli *c, uint32_t *wanted) {
  static const struct {
    const char *name;
    uint32_t bit;
  } rights[] = {{"pull", IMGSTORE_ACCESS_PULL}, {"push", IMGSTORE_ACCESS_PUSH}, {"delete", IMGSTORE_ACCESS_DELETE}};
  const char *given = option_value(&c->args, OPTION_NEED);
  *wanted = 0;
  for (const char *at = given ? given : "pull,push,delete"; *at || !*wanted;) {
    size_t size = strcspn(at, ","), i = 0;
    while (i < 3 && (strlen(rights[i].name) != size || strncmp(rights[i].name, at, size) != 0))
      i++;
    if (i == 3) {
      cli_usage(c, "--need is a list of pull, push and delete, not %s", given);
      return false;
    }
    *wanted |= rights[i].bit;
    at += size + (at[size] == ',');
  }
  return true;
}

static void print_right(const remote *r, const imgstore_report *rights, size_t i, bool json, text *line) {
  const char *why = imgstore_report_detail(rights, i), *may = imgstore_report_size(rights, i) ? "yes" : "no";
  if (!json) {
    put_line(stdout, "%-8s%s%s%s%s", imgstore_report_name(rights, i), may, *why ? "  (" : "", why, *why ? ")" : "");
    return;
  }
  json_begin(line);
  json_string(line, "Host", imgstore_registry_host(r->registry));
  json_string(line, "Repository", imgstore_reference_repository(r->reference));
  json_string(line, "Right", imgstore_report_name(rights, i));
  json_string(line, "Allowed", may);
  json_string(line, "Reason", *why ? why : NULL);
  json_end(line, stdout);
}

/* CLI_FAILED when one of them was refused. */
static int print_rights(const remote *r, bool json) {
  const imgstore_report *rights = imgstore_operation_report(r->job.operation);
  int status = CLI_OK;
  text line = {0};
  for (size_t i = 0; i < imgstore_report_count(rights); i++) {
    print_right(r, rights, i, json, &line);
    if (!imgstore_report_size(rights, i))
      status = CLI_FAILED;
  }
  text_free(&line);
  return status;
}

static int look_into(remote *r, uint32_t wanted, bool json) {
  imgstore_registry_job_options options = remote_job_options(r);
  imgstore_error *error = NULL;
  int status = remote_open(r, r->job.c->args.words[0]);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_registry_access_start(r->registry, imgstore_reference_repository(r->reference), wanted,
                                                &options, &r->job.operation, &error);
  status = job_run(&r->job, code, &error);
  return status == CLI_OK ? print_rights(r, json) : status;
}

static int run(cli *c) {
  remote r;
  bool json = false;
  uint32_t wanted = 0;
  bool good = remote_begin(&r, c, NULL) && cli_format(c, &json) && read_rights(c, &wanted);
  return remote_end(&r, good ? look_into(&r, wanted, json) : CLI_USAGE);
}

const command command_access = {
    .name = "access",
    .usage = "[OPTIONS] REPOSITORY",
    .summary = "Tell what the login may do with a repository of a registry",
    .details =
        "The exit status is 0 when all of it is allowed, so that a script can ask before a long job. Nothing is\n"
        "changed at the registry.",
    .examples = "  imgstore access registry.example.org/team/app\n"
                "  imgstore access --need pull,push registry.example.org/team/app && make release\n",
    .groups = (const option_group *const[]){&access_group, &group_registry, &group_global, NULL},
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
