/* cmd_load.c - load: brings images from an archive or an OCI image-layout directory. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "job.h"

static const option load_options[] = {
    {OPTION_INPUT, 'i', "input", "FILE|DIR|-", "the archive or OCI image layout; the same as the argument"},
    ROW_ARCHIVE_FORMAT("what it is (default: what it looks like)"),
    {OPTION_NAME, 0, "name", "NAME", "load only the image of this name"},
    {OPTION_RENAME, 0, "rename", "IMAGE", "the name to give to the only image, or to the one chosen by --name"},
    {OPTION_PLATFORM, 0, "platform", "OS/ARCH[/VARIANT]", "only this platform (default: all that are there)"},
    ROW_QUIET,
    ROW_PROGRESS,
    ROW_END};
static const option_group load_group = {"Options", load_options};

static const progress_words words = {"Loading layer", "Loading", "Verified", "Loading complete"};

static void print_names(cli *c, const imgstore_report *report) {
  familiar name = {0};
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    if (imgstore_report_kind(report, i) != IMGSTORE_REPORT_TAG)
      continue;
    familiar_set(&name, c, imgstore_report_name(report, i));
    put_line(stdout, "Loaded image: %s", text_get(&name.whole));
  }
  familiar_free(&name);
}

static int load(job *j, const char *path, int32_t format) {
  cli *c = j->c;
  imgstore_load_options options;
  imgstore_error *error = NULL;
  int status = cli_open_store(c, STORE_CREATE);
  if (status != CLI_OK)
    return status;
  imgstore_load_options_init(&options, sizeof options);
  options.name = option_value(&c->args, OPTION_NAME);
  options.rename = option_value(&c->args, OPTION_RENAME);
  options.platform = option_value(&c->args, OPTION_PLATFORM);
  options.progress = progress_event;
  options.progress_data = &j->progress;
  options.format = format;
  options.fd = path ? -1 : STDIN_FILENO;
  int32_t code = imgstore_load_start(c->store, path, &options, &j->operation, &error);
  status = job_run(j, code, &error);
  if (status == CLI_OK)
    print_names(c, imgstore_operation_report(j->operation));
  return status;
}

static int run(cli *c) {
  const char *path = option_value(&c->args, OPTION_INPUT);
  int32_t format = IMGSTORE_ARCHIVE_AUTO;
  job j;
  if (path && c->args.count)
    return cli_usage(c, "the input is given twice: %s", c->args.words[0]);
  if (!path && c->args.count)
    path = c->args.words[0];
  if (path && strcmp(path, "-") == 0)
    path = NULL;
  if (!cli_archive_format(c, &format))
    return CLI_USAGE;
  if (!path && format == IMGSTORE_ARCHIVE_OCI_DIR)
    return cli_usage(c, "a directory cannot come from standard input");
  if (!path && isatty(STDIN_FILENO))
    return cli_usage(c, "will not read an archive from a terminal: use -i FILE or redirect standard input");
  bool good = job_begin(&j, c, &words);
  return job_end(&j, good ? load(&j, path, format) : CLI_USAGE);
}

const command command_load = {
    .name = "load",
    .usage = "[OPTIONS] [-i] FILE|DIR|-",
    .summary = "Bring in images from an archive or an OCI image-layout directory",
    .details = "Reads what docker save, podman save, skopeo and 'imgstore save' write, plain or compressed with gzip "
               "or zstd, also\n"
               "from a pipe. Every byte is verified on the way; when anything is wrong, nothing is brought in. Images "
               "keep their\n"
               "names; one that has only a tag, or none, gets the name of the file or folder.",
    .examples = "  imgstore load -i alpine.tar\n"
                "  podman save alpine | imgstore load\n"
                "  skopeo copy docker://quay.io/podman/hello oci:hello:latest && imgstore load hello\n",
    .groups = (const option_group *const[]){&load_group, &group_global, NULL},
    .max_words = 1,
    .run = run,
};
