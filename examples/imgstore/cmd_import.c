/* cmd_import.c - import: makes a one-layer image of a root file system's tar. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "job.h"

static const option import_command_options[] = {
    {OPTION_CHANGE, 'c', "change", "INSTRUCTION",
     "set the config by an instruction such as 'CMD [\"/bin/sh\"]' (repeatable)"},
    {OPTION_MESSAGE, 'm', "message", "TEXT", "the comment of the image's history"},
    {OPTION_PLATFORM, 0, "platform", "OS/ARCH[/VARIANT]", "what the files are for (default: this machine)"},
    ROW_QUIET,
    ROW_PROGRESS,
    ROW_END};
static const option_group import_group = {"Options", import_command_options};

static const progress_words words = {"Reading layer", "Reading", "Verified", "Import complete"};

static int import(job *j, const char *path, imgstore_import_options *options) {
  cli *c = j->c;
  imgstore_error *error = NULL;
  int status = cli_open_store(c, STORE_CREATE);
  if (status != CLI_OK)
    return status;
  options->progress = progress_event;
  options->progress_data = &j->progress;
  int32_t code = imgstore_import_start(c->store, path, c->args.words[1], options, &j->operation, &error);
  status = job_run(j, code, &error);
  if (status == CLI_OK)
    job_print_image_id(j);
  return status;
}

static int run(cli *c) {
  imgstore_import_options options;
  const char *path = strcmp(c->args.words[0], "-") == 0 ? NULL : c->args.words[0], **changes = NULL;
  job j;
  if (!path && isatty(STDIN_FILENO))
    return cli_usage(c, "will not read a tar from a terminal");
  imgstore_import_options_init(&options, sizeof options);
  options.fd = path ? -1 : STDIN_FILENO;
  options.message = option_value(&c->args, OPTION_MESSAGE);
  options.platform = option_value(&c->args, OPTION_PLATFORM);
  bool good = job_begin(&j, c, &words) && cli_values(c, OPTION_CHANGE, &changes, &options.change_count);
  options.changes = changes;
  int status = job_end(&j, good ? import(&j, path, &options) : CLI_USAGE);
  free(changes);
  return status;
}

const command command_import = {
    .name = "import",
    .usage = "[OPTIONS] FILE|- NAME[:TAG]",
    .summary = "Make a one-layer image of a root file system's tar",
    .details =
        "The tar may be plain or compressed with gzip or zstd, and may come from a pipe. Its entries are checked while "
        "they\n"
        "pass; when anything is wrong, no image is made. Instructions: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD,\n"
        "STOPSIGNAL, USER, VOLUME, WORKDIR. Prints the ID of the image.",
    .examples = "  imgstore import rootfs.tar.gz mine:1 -c 'CMD [\"/bin/sh\"]' -c 'ENV PATH=/bin'\n"
                "  tar -C rootfs -c . | imgstore import - mine\n",
    .groups = (const option_group *const[]){&import_group, &group_global, NULL},
    .min_words = 2,
    .max_words = 2,
    .run = run,
};
