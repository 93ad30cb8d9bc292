/* cmd_export.c - export: writes the merged file system of an image, or of an instance, as one tar. */
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "job.h"

static const option export_command_options[] = {
    {OPTION_OUTPUT, 'o', "output", "FILE", "write to FILE instead of standard output"},
    ROW_PLATFORM,
    ROW_QUIET,
    ROW_PROGRESS,
    ROW_END};
static const option_group export_group = {"Options", export_command_options};

static const progress_words words = {"Reading layer", "Reading", "Verified", "Exported"};

/* *rootfs: the instance of that name, or NULL: then it is to be an image's. */
static int find_instance(cli *c, const char *name, imgstore_rootfs **rootfs) {
  imgstore_error *error = NULL;
  *rootfs = NULL;
  if (option_given(&c->args, OPTION_PLATFORM))
    return CLI_OK;
  int status = cli_open_rootfs_dir(c, STORE_LEASE);
  if (status != CLI_OK || !c->rootfs_dir)
    return status;
  int32_t code = imgstore_rootfs_open(c->rootfs_dir, name, rootfs, &error);
  if (code != IMGSTORE_ENOTFOUND && code != IMGSTORE_EINVALID)
    return code ? cli_failed(c, code, &error) : CLI_OK;
  imgstore_error_free(error);
  return CLI_OK;
}

static int export_image(job *j, const char *path) {
  cli *c = j->c;
  imgstore_export_options options;
  imgstore_rootfs *rootfs = NULL;
  imgstore_image *image = NULL;
  imgstore_error *error = NULL;
  int status = cli_need_store(c, STORE_LEASE);
  if (status == CLI_OK)
    status = find_instance(c, c->args.words[0], &rootfs);
  if (status != CLI_OK)
    return status;
  imgstore_export_options_init(&options, sizeof options);
  options.fd = path ? -1 : STDOUT_FILENO;
  options.progress = progress_event;
  options.progress_data = &j->progress;
  int32_t code = IMGSTORE_OK;
  if (!rootfs)
    code = imgstore_store_image(c->store, c->args.words[0], option_value(&c->args, OPTION_PLATFORM), &image, &error);
  if (code == IMGSTORE_OK)
    code = rootfs ? imgstore_rootfs_export_start(rootfs, path, &options, &j->operation, &error)
                  : imgstore_export_start(image, path, &options, &j->operation, &error);
  status = job_run(j, code, &error);
  imgstore_image_unref(image);
  imgstore_rootfs_close(rootfs);
  return status;
}

static int run(cli *c) {
  const char *path = option_value(&c->args, OPTION_OUTPUT);
  job j;
  if (path && strcmp(path, "-") == 0)
    path = NULL;
  if (!path && isatty(STDOUT_FILENO))
    return cli_usage(c, "will not write a tar to a terminal: use -o FILE or redirect standard output");
  bool good = job_begin(&j, c, &words);
  return job_end(&j, good ? export_image(&j, path) : CLI_USAGE);
}

const command command_export = {
    .name = "export",
    .usage = "[OPTIONS] IMAGE|INSTANCE",
    .summary = "Write the merged file system of an image or instance as one tar",
    .details =
        "All layers as one, without unpacking them and without privileges: owners, times, extended attributes, hard\n"
        "links and holes are kept. The same image gives the same bytes. A name that an instance has means the "
        "instance,\n"
        "with what was changed in it and without mounting it; with a tag, as web:latest, it means the image.",
    .examples = "  imgstore export -o rootfs.tar alpine\n"
                "  imgstore export alpine:latest | tar -C rootfs -x\n"
                "  imgstore export web | gzip > web.tar.gz\n",
    .groups = (const option_group *const[]){&export_group, &group_global, NULL},
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
