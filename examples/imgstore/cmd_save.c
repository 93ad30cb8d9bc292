/* cmd_save.c - save: writes images as one archive, to a file or to standard output. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "job.h"
#include "progress.h"

static const option save_command_options[] = {
    {OPTION_OUTPUT, 'o', "output", "FILE", "write to FILE (or make the directory) instead of standard output"},
    {OPTION_FORMAT, 0, "format", "docker-archive|oci-archive|oci-dir", "what to write (default: docker-archive)"},
    ROW_PLATFORM,
    {OPTION_ALL_PLATFORMS, 'a', "all-platforms", NULL, "all platforms that the store has"},
    {OPTION_UNCOMPRESSED, 0, "uncompressed", NULL, "docker-archive in its older form with uncompressed layers"},
    {OPTION_COMPRESSION, 0, "compression", "gzip|fast|zstd|none", "of the archive as a whole (default: none)"},
    ROW_QUIET,
    ROW_PROGRESS,
    ROW_END};
static const option_group save_group = {"Options", save_command_options};

static const progress_words words = {"Saving layer", "Saving", "Saved", "Saved"};

bool cli_archive_format(cli *c, int32_t *format) {
  static const struct {
    const char *name;
    int32_t format;
  } formats[] = {{"docker-archive", IMGSTORE_ARCHIVE_DOCKER},
                 {"oci-archive", IMGSTORE_ARCHIVE_OCI},
                 {"oci-dir", IMGSTORE_ARCHIVE_OCI_DIR}};
  const char *name = option_value(&c->args, OPTION_FORMAT);
  for (size_t i = 0; name && i < sizeof formats / sizeof *formats; i++)
    if (strcmp(name, formats[i].name) == 0) {
      *format = formats[i].format;
      return true;
    }
  if (name)
    cli_usage(c, "--format is docker-archive, oci-archive or oci-dir, not %s", name);
  return !name;
}

bool cli_compression(cli *c, int32_t *compression) {
  static const char *const names[] = {"gzip", "fast", "zstd", "none"};
  const char *given = option_value(&c->args, OPTION_COMPRESSION);
  for (int32_t i = 0; given && i < 4; i++)
    if (strcmp(names[i], given) == 0) {
      *compression = i;
      return true;
    }
  if (given)
    cli_usage(c, "--compression is gzip, fast, zstd or none, not %s", given);
  return !given;
}

static int save(cli *c, const char *path, imgstore_save_options *options, job *j, progress *p) {
  imgstore_operation *operation = NULL;
  imgstore_error *error = NULL;
  int status = cli_need_store(c, STORE_LEASE);
  if (status != CLI_OK)
    return status;
  options->progress = progress_event;
  options->progress_data = p;
  int32_t code = imgstore_save_start(c->store, c->args.words, c->args.count, path, options, &operation, &error);
  if (code == IMGSTORE_OK)
    code = job_run(j, p, operation, &error);
  if (code != IMGSTORE_OK)
    status = job_failed(j, c, code, &error);
  imgstore_operation_free(operation);
  return status;
}

static int run(cli *c) {
  imgstore_save_options options;
  const char *path = option_value(&c->args, OPTION_OUTPUT);
  progress p;
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
  if (!progress_begin(&p, c, &words))
    return CLI_USAGE;
  job_begin(&j);
  int status = save(c, path, &options, &j, &p);
  job_end(&j);
  progress_free(&p);
  return status;
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
