/* cmd_save.c - save: writes images as one archive, to a file or to standard output. */
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "job.h"

static const option save_command_options[] = {
    {OPTION_OUTPUT, 'o', "output", "FILE", "write to FILE (or make the directory) instead of standard output"},
    ROW_ARCHIVE_FORMAT("what to write (default: docker-archive)"),
    ROW_PLATFORM,
    {OPTION_ALL_PLATFORMS, 'a', "all-platforms", NULL, "all platforms that the store has"},
    {OPTION_UNCOMPRESSED, 0, "uncompressed", NULL, "docker-archive in its older form with uncompressed layers"},
    ROW_COMPRESSION("of the archive as a whole (default: none)"),
    ROW_QUIET,
    ROW_PROGRESS,
    ROW_END};
static const option_group save_group = {"Options", save_command_options};

static const progress_words words = {"Saving layer", "Saving", "Saved", "Saved"};

static int save(job *j, const char *path, imgstore_save_options *options) {
  cli *c = j->c;
  imgstore_error *error = NULL;
  int status = cli_need_store(c, STORE_LEASE);
  if (status != CLI_OK)
    return status;
  options->progress = progress_event;
  options->progress_data = &j->progress;
  int32_t code = imgstore_save_start(c->store, c->args.words, c->args.count, path, options, &j->operation, &error);
  return job_run(j, code, &error);
}

static int run(cli *c) {
  imgstore_save_options options;
  const char *path = option_value(&c->args, OPTION_OUTPUT);
  job j;
  imgstore_save_options_init(&options, sizeof options);
  if (!cli_archive_format(c, &options.format) || !cli_compression(c, &options.compression))
    return CLI_USAGE;
  if (path && strcmp(path, "-") == 0)
    path = NULL;
  if (!path && options.format == IMGSTORE_ARCHIVE_OCI_DIR)
    return cli_usage(c, "a directory needs -o");
  if (options.format == IMGSTORE_ARCHIVE_OCI_DIR && options.compression != IMGSTORE_COMPRESS_NONE)
    return cli_usage(c, "--compression is for archives, not for a directory");
  if (!path && isatty(STDOUT_FILENO))
    return cli_usage(c, "will not write an archive to a terminal: use -o FILE or redirect standard output");
  if (option_given(&c->args, OPTION_ALL_PLATFORMS))
    options.flags |= IMGSTORE_SAVE_ALL_PLATFORMS;
  if (option_given(&c->args, OPTION_UNCOMPRESSED))
    options.flags |= IMGSTORE_SAVE_UNCOMPRESSED;
  options.platform = option_value(&c->args, OPTION_PLATFORM);
  options.fd = path ? -1 : STDOUT_FILENO;
  bool good = job_begin(&j, c, &words);
  return job_end(&j, good ? save(&j, path, &options) : CLI_USAGE);
}

const command command_save = {
    .name = "save",
    .usage = "[OPTIONS] IMAGE...",
    .summary = "Write images as one archive that other tools can load",
    .details =
        "The archive streams: it can be piped into another program. A file appears when it is complete. The same\n"
        "images give the same bytes. A docker-archive holds an OCI layout as well, with the layers as they are "
        "stored;\n"
        "'docker load', 'podman load', skopeo and 'imgstore load' read it, also with --compression: the name of the "
        "file\n"
        "does not matter. Layers are compressed as it is; --uncompressed with --compression makes the smallest file.",
    .examples = "  imgstore save -o alpine.tar alpine\n"
                "  imgstore save alpine busybox | ssh host imgstore load -i -\n"
                "  imgstore save --compression gzip -o alpine.tar.gz alpine\n"
                "  imgstore save --format oci-dir -o alpine alpine:3.20\n",
    .groups = (const option_group *const[]){&save_group, &group_global, NULL},
    .min_words = 1,
    .max_words = SIZE_MAX,
    .run = run,
};
