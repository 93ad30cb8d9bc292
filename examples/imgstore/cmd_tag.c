/* cmd_tag.c - tag: another name for a stored image; tags: the names a registry has. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

static int run_tag(cli *c) {
  imgstore_error *error = NULL;
  int status = cli_need_store(c, STORE_WRITE);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_store_tag(c->store, c->args.words[0], c->args.words[1], &error);
  return code ? cli_failed(c, code, &error) : CLI_OK;
}

const command command_tag = {
    .name = "tag",
    .usage = "SOURCE NAME[:TAG]",
    .summary = "Give a stored image another name",
    .details = "SOURCE is a name, an image ID or a digest. A name that is taken moves to the image.",
    .examples = "  imgstore tag alpine registry.example.org/base:1\n",
    .groups = (const option_group *const[]){&group_global, NULL},
    .min_words = 2,
    .max_words = 2,
    .run = run_tag,
};

static int print_tags(cli *c, const imgstore_reference *reference, const imgstore_registry_options *options) {
  imgstore_registry *registry = NULL;
  imgstore_report *tags = NULL;
  imgstore_error *error = NULL;
  int status = cli_open_registry(c, imgstore_reference_host(reference), options, &registry);
  if (status != CLI_OK)
    goto out;
  int32_t code = imgstore_registry_tags(registry, imgstore_reference_repository(reference), &tags, &error);
  if (code != IMGSTORE_OK) {
    status = cli_failed(c, code, &error);
    goto out;
  }
  for (size_t i = 0; i < imgstore_report_count(tags); i++) {
    put_safe(stdout, imgstore_report_name(tags, i));
    putchar('\n');
  }
out:
  imgstore_report_free(tags);
  imgstore_registry_free(registry);
  return status;
}

static int run_tags(cli *c) {
  imgstore_registry_options options;
  imgstore_reference *reference = NULL;
  imgstore_error *error = NULL;
  if (!cli_registry_options(c, &options))
    return CLI_USAGE;
  int status = cli_open_context(c);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_reference_parse(c->context, c->args.words[0], &reference, &error);
  status = code ? cli_failed(c, code, &error) : print_tags(c, reference, &options);
  imgstore_reference_unref(reference);
  return status;
}

const command command_tags = {
    .name = "tags",
    .usage = "[OPTIONS] REPOSITORY",
    .summary = "List the tags that a registry has for a repository",
    .examples = "  imgstore tags alpine\n"
                "  imgstore tags quay.io/podman/hello\n",
    .groups = (const option_group *const[]){&group_registry, &group_global, NULL},
    .min_words = 1,
    .max_words = 1,
    .run = run_tags,
};
