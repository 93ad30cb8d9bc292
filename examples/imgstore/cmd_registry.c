/* cmd_registry.c - catalog, tags, access: what a registry has, and what a login may do there. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "json_out.h"
#include "remote.h"

static const option list_options[] = {
    {OPTION_FORMAT, 0, "format", "table|json", "names, or one JSON object per line (default: table)"}, ROW_END};
static const option_group list_group = {"Options", list_options};

/* One line per name; key: of the JSON member. */
static void print_names(const remote *r, const imgstore_report *names, const char *key, bool json) {
  text line = {0};
  for (size_t i = 0; i < imgstore_report_count(names); i++) {
    const char *name = imgstore_report_name(names, i);
    if (!json) {
      put_safe(stdout, name);
      putchar('\n');
      continue;
    }
    json_begin(&line);
    json_string(&line, "Host", imgstore_registry_host(r->registry));
    if (r->reference)
      json_string(&line, "Repository", imgstore_reference_repository(r->reference));
    json_string(&line, key, name);
    json_end(&line, stdout);
  }
  text_free(&line);
}

/* --- catalog -------------------------------------------------------------------------------------------------------
 */

static int list_catalog(remote *r, bool json) {
  imgstore_operation *operation = NULL;
  imgstore_error *error = NULL;
  int status = remote_open_host(r, r->c->args.words[0]);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_registry_catalog_start(r->registry, &r->job_options, &operation, &error);
  status = remote_run(r, code, operation, &error);
  if (status == CLI_OK)
    print_names(r, imgstore_operation_report(operation), "Repository", json);
  imgstore_operation_free(operation);
  return status;
}

static int run_catalog(cli *c) {
  remote r;
  bool json = false;
  int status = remote_begin(&r, c);
  if (status == CLI_OK)
    status = cli_format(c, &json) ? list_catalog(&r, json) : CLI_USAGE;
  remote_close(&r);
  return status;
}

const command command_catalog = {
    .name = "catalog",
    .usage = "[OPTIONS] HOST",
    .summary = "List the repositories that a registry has",
    .details = "Many public registries, Docker Hub among them, do not tell.",
    .examples = "  imgstore catalog localhost:5000\n"
                "  imgstore catalog --format json registry.example.org\n",
    .groups = (const option_group *const[]){&list_group, &group_registry, &group_global, NULL},
    .min_words = 1,
    .max_words = 1,
    .run = run_catalog,
};

/* --- tags ----------------------------------------------------------------------------------------------------------
 */

static int list_tags(remote *r, bool json) {
  imgstore_operation *operation = NULL;
  imgstore_error *error = NULL;
  int status = remote_open(r, r->c->args.words[0]);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_registry_tags_start(r->registry, imgstore_reference_repository(r->reference), &r->job_options,
                                              &operation, &error);
  status = remote_run(r, code, operation, &error);
  if (status == CLI_OK)
    print_names(r, imgstore_operation_report(operation), "Tag", json);
  imgstore_operation_free(operation);
  return status;
}

static int run_tags(cli *c) {
  remote r;
  bool json = false;
  int status = remote_begin(&r, c);
  if (status == CLI_OK)
    status = cli_format(c, &json) ? list_tags(&r, json) : CLI_USAGE;
  remote_close(&r);
  return status;
}

const command command_tags = {
    .name = "tags",
    .usage = "[OPTIONS] REPOSITORY",
    .summary = "List the tags that a registry has for a repository",
    .examples = "  imgstore tags alpine\n"
                "  imgstore tags --format json quay.io/podman/hello\n",
    .groups = (const option_group *const[]){&list_group, &group_registry, &group_global, NULL},
    .min_words = 1,
    .max_words = 1,
    .run = run_tags,
};

/* --- access --------------------------------------------------------------------------------------------------------
 */

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

/* Returns how many were refused. */
static size_t print_rights(const remote *r, const imgstore_report *rights, bool json) {
  size_t refused = 0;
  text line = {0};
  for (size_t i = 0; i < imgstore_report_count(rights); i++) {
    const char *why = imgstore_report_detail(rights, i);
    bool may = imgstore_report_size(rights, i) != 0;
    refused += !may;
    if (json) {
      json_begin(&line);
      json_string(&line, "Host", imgstore_registry_host(r->registry));
      json_string(&line, "Repository", imgstore_reference_repository(r->reference));
      json_string(&line, "Right", imgstore_report_name(rights, i));
      json_string(&line, "Allowed", may ? "yes" : "no");
      json_string(&line, "Reason", *why ? why : NULL);
      json_end(&line, stdout);
      continue;
    }
    printf("%-8s%s", imgstore_report_name(rights, i), may ? "yes" : "no");
    fputs(*why ? "  (" : "", stdout);
    put_safe(stdout, why);
    fputs(*why ? ")\n" : "\n", stdout);
  }
  text_free(&line);
  return refused;
}

static int look_into(remote *r, uint32_t wanted, bool json) {
  imgstore_operation *operation = NULL;
  imgstore_error *error = NULL;
  int status = remote_open(r, r->c->args.words[0]);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_registry_access_start(r->registry, imgstore_reference_repository(r->reference), wanted,
                                                &r->job_options, &operation, &error);
  status = remote_run(r, code, operation, &error);
  if (status == CLI_OK && print_rights(r, imgstore_operation_report(operation), json))
    status = CLI_FAILED;
  imgstore_operation_free(operation);
  return status;
}

static int run_access(cli *c) {
  remote r;
  bool json = false;
  uint32_t wanted = 0;
  int status = remote_begin(&r, c);
  if (status == CLI_OK)
    status = cli_format(c, &json) && read_rights(c, &wanted) ? look_into(&r, wanted, json) : CLI_USAGE;
  remote_close(&r);
  return status;
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
    .run = run_access,
};
