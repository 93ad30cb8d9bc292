/* cmd_rm.c - rm: takes names away, and content that nothing needs any more; or what a registry has. */
#include <stdio.h>

#include "cli.h"
#include "remote.h"

static const option rm_options[] = {{OPTION_FORCE, 'f', "force", NULL,
                                     "with an ID: remove all names of the image; with --remote:\n"
                                     "where a tag cannot go alone, all tags of its manifest"},
                                    {OPTION_REMOTE, 0, "remote", NULL, "delete from the registry, not from the store"},
                                    {OPTION_LOST_INSTANCES, 0, "lost-instances", NULL,
                                     "also when instances stand on the image whose directories\n"
                                     "are not where they were (deleted, or not mounted now)"},
                                    ROW_END};
static const option_group rm_group = {"Options", rm_options};

static void print_removed(cli *c, const imgstore_report *report) {
  familiar name = {0};
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    int32_t kind = imgstore_report_kind(report, i);
    if (kind == IMGSTORE_REPORT_UNTAGGED) {
      familiar_set(&name, c, imgstore_report_name(report, i));
      put_line(stdout, "Untagged: %s", text_get(&name.whole));
    } else if (kind == IMGSTORE_REPORT_DELETED) {
      put_line(stdout, "Deleted: %s", imgstore_report_digest(report, i));
    }
  }
  familiar_free(&name);
}

/* --- at a registry -------------------------------------------------------------------------------------------------
 */

static void print_deleted(const remote *r) {
  const imgstore_report *report = imgstore_operation_report(r->job.operation);
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    if (imgstore_report_kind(report, i) == IMGSTORE_REPORT_UNTAGGED)
      remote_print(r, "Untagged: ", ":", imgstore_report_name(report, i));
    else
      remote_print(r, "Deleted: ", "@", imgstore_report_digest(report, i));
  }
}

static int delete_one(remote *r, const char *name) {
  cli *c = r->job.c;
  imgstore_registry_job_options options = remote_job_options(r);
  imgstore_error *error = NULL;
  int status = remote_open(r, name);
  if (status != CLI_OK)
    return status;
  const char *version = remote_version(r, name);
  if (!version)
    return cli_usage(c, "rm --remote wants a tag or a digest: %s", name);
  if (option_given(&c->args, OPTION_FORCE))
    options.flags = IMGSTORE_DELETE_MANIFEST;
  int32_t code = imgstore_registry_delete_start(r->registry, imgstore_reference_repository(r->reference), version,
                                                &options, &r->job.operation, &error);
  status = job_run(&r->job, code, &error);
  if (status == CLI_OK)
    print_deleted(r);
  return status;
}

static int run_remote(cli *c) {
  remote r;
  bool good = remote_begin(&r, c, NULL);
  int status = good ? CLI_OK : CLI_USAGE;
  for (size_t i = 0; good && !r.job.caught && i < c->args.count; i++) {
    int one = delete_one(&r, c->args.words[i]);
    status = one ? one : status;
  }
  return remote_end(&r, status);
}

/* --- in the store --------------------------------------------------------------------------------------------------
 */

static int run(cli *c) {
  if (option_given(&c->args, OPTION_REMOTE))
    return run_remote(c);
  uint32_t flags = option_given(&c->args, OPTION_FORCE) ? IMGSTORE_REMOVE_ALL_NAMES : 0;
  if (option_given(&c->args, OPTION_LOST_INSTANCES))
    flags |= IMGSTORE_REMOVE_LOST_INSTANCES;
  int status = cli_need_store(c, STORE_WRITE);
  if (status != CLI_OK)
    return status;
  for (size_t i = 0; i < c->args.count; i++) {
    imgstore_report *report = NULL;
    imgstore_error *error = NULL;
    int32_t code = imgstore_store_remove(c->store, c->args.words[i], flags, &report, &error);
    if (code != IMGSTORE_OK)
      status = cli_failed(c, code, &error);
    if (code == IMGSTORE_ECONFLICT)
      cli_message(c, "rm --force removes all names of an image; delete takes the instances away that use one,"
                     " --lost-instances does without those that are lost");
    print_removed(c, report);
    imgstore_report_free(report);
  }
  uint64_t freed = 0;
  int pruned = cli_prune_layer_dirs(c, &freed);
  return status == CLI_OK ? pruned : status;
}

const command command_rm = {
    .name = "rm",
    .alias = "rmi",
    .usage = "[OPTIONS] IMAGE...",
    .summary = "Remove images from the store or from a registry",
    .details =
        "A name is taken away; the content goes when no other image needs it. An ID that has several names needs\n"
        "--force. Goes on with the next image when one fails.\n\n"
        "With --remote IMAGE is HOST/REPOSITORY:TAG or HOST/REPOSITORY@DIGEST. Many registries delete manifests only, "
        "by\n"
        "digest: there a tag needs --force, and every tag of the same manifest goes with it.",
    .examples = "  imgstore rm alpine:3.15\n"
                "  imgstore rm -f 43c4264eed91\n"
                "  imgstore rm --remote registry.example.org/app:old\n",
    .groups = (const option_group *const[]){&rm_group, &group_registry, &group_global, NULL},
    .min_words = 1,
    .max_words = SIZE_MAX,
    .run = run,
};
