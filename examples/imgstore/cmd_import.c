/* cmd_import.c - import: makes a one-layer image of a root file system's tar. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "job.h"
#include "progress.h"

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

static int import(cli *c, const char *path, imgstore_import_options *options, job *j, progress *p) {
  imgstore_operation *operation = NULL;
  imgstore_error *error = NULL;
  int status = cli_open_store(c, STORE_CREATE);
  if (status != CLI_OK)
    return status;
  options->progress = progress_event;
  options->progress_data = p;
  int32_t code = imgstore_import_start(c->store, path, c->args.words[1], options, &operation, &error);
  if (code == IMGSTORE_OK)
    code = job_run(j, p, operation, &error);
  if (code == IMGSTORE_OK) {
    imgstore_image *image = imgstore_operation_image(operation);
    puts(imgstore_image_id(image));
    imgstore_image_unref(image);
  } else {
    status = job_failed(j, c, code, &error);
  }
  imgstore_operation_free(operation);
  return status;
}

/* The values of all -c, in order. NULL: out of memory. */
static const char **changes_of(cli *c, size_t *count) {
  const char **changes = calloc(c->args.option_count + 1, sizeof *changes);
  *count = 0;
  for (size_t i = 0; changes && i < c->args.option_count; i++)
    if (c->args.options[i].id == OPTION_CHANGE)
      changes[(*count)++] = c->args.options[i].value;
  return changes;
}

static int run(cli *c) {
  imgstore_import_options options;
  const char *path = strcmp(c->args.words[0], "-") == 0 ? NULL : c->args.words[0];
  progress p;
  job j;
  if (!path && isatty(STDIN_FILENO))
    return cli_usage(c, "will not read a tar from a terminal");
  imgstore_import_options_init(&options, sizeof options);
  options.fd = path ? -1 : STDIN_FILENO;
  options.message = option_value(&c->args, OPTION_MESSAGE);
  options.platform = option_value(&c->args, OPTION_PLATFORM);
  const char **changes = changes_of(c, &options.change_count);
  if (!changes)
    return cli_out_of_memory(c);
  options.changes = changes;
  int status = CLI_USAGE;
  if (progress_begin(&p, c, &words)) {
    job_begin(&j);
    status = import(c, path, &options, &j, &p);
    job_end(&j);
    progress_free(&p);
  }
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
