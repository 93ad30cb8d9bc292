/* cmd_tag.c - tag: another name for a stored image, or for one that a registry has. */
#include <string.h>

#include "cli.h"
#include "remote.h"

static const option tag_options[] = {
    {OPTION_REMOTE, 0, "remote", NULL, "at the registry: SOURCE is there, and NAME is a tag of the same repository"},
    ROW_END};
static const option_group tag_group = {"Options", tag_options};

/* The tag that NAME stands for: a tag alone, or a whole name in the repository of SOURCE. NULL after a message. */
static const char *new_tag(remote *r, const char *name, imgstore_reference **reference) {
  const imgstore_reference *source = r->reference;
  imgstore_error *error = NULL;
  if (!strpbrk(name, "/:"))
    return name;
  int32_t code = imgstore_reference_parse(r->job.c->context, name, reference, &error);
  if (code != IMGSTORE_OK) {
    cli_failed(r->job.c, code, &error);
    return NULL;
  }
  if (!imgstore_reference_digest(*reference) &&
      strcmp(imgstore_reference_host(*reference), imgstore_reference_host(source)) == 0 &&
      strcmp(imgstore_reference_repository(*reference), imgstore_reference_repository(source)) == 0)
    return imgstore_reference_tag(*reference);
  cli_usage(r->job.c, "tag --remote stays in one repository: %s is not a tag of the repository of the source", name);
  return NULL;
}

static int copy_tag(remote *r) {
  const char *source = r->job.c->args.words[0];
  imgstore_registry_job_options options = remote_job_options(r);
  imgstore_reference *target = NULL;
  imgstore_error *error = NULL;
  int status = remote_open(r, source);
  if (status != CLI_OK)
    return status;
  const char *version = remote_version(r, source), *tag = new_tag(r, r->job.c->args.words[1], &target);
  if (!tag) {
    imgstore_reference_unref(target);
    return CLI_USAGE;
  }
  int32_t code = imgstore_registry_copy_tag_start(r->registry, imgstore_reference_repository(r->reference),
                                                  version ? version : imgstore_reference_tag(r->reference), tag,
                                                  &options, &r->job.operation, &error);
  status = job_run(&r->job, code, &error);
  if (status == CLI_OK)
    remote_print(r, "", ":", tag);
  imgstore_reference_unref(target);
  return status;
}

static int run_remote(cli *c) {
  remote r;
  bool good = remote_begin(&r, c, NULL);
  return remote_end(&r, good ? copy_tag(&r) : CLI_USAGE);
}

static int run(cli *c) {
  imgstore_error *error = NULL;
  if (option_given(&c->args, OPTION_REMOTE))
    return run_remote(c);
  int status = cli_need_store(c, STORE_WRITE);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_store_tag(c->store, c->args.words[0], c->args.words[1], &error);
  return code ? cli_failed(c, code, &error) : CLI_OK;
}

const command command_tag = {
    .name = "tag",
    .usage = "[OPTIONS] SOURCE NAME[:TAG]",
    .summary = "Give an image another name",
    .details =
        "SOURCE is a name, an image ID or a digest. A name that is taken moves to the image. With --remote nothing\n"
        "is downloaded but the manifest.",
    .examples = "  imgstore tag alpine registry.example.org/base:1\n"
                "  imgstore tag --remote registry.example.org/app:build-17 stable\n",
    .groups = (const option_group *const[]){&tag_group, &group_registry, &group_global, NULL},
    .min_words = 2,
    .max_words = 2,
    .run = run,
};
