/* cmd_commit.c - commit: makes an image of an instance. */
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "job.h"

static const option commit_options[] = {
    {OPTION_MESSAGE, 'm', "message", "TEXT", "what the history says of it"},
    {OPTION_AUTHOR, 'a', "author", "NAME", "who made it, such as \"Ada <ada@example.org>\""},
    {OPTION_CHANGE, 'c', "change", "INSTRUCTION",
     "change the config: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER,\n"
     "VOLUME, WORKDIR or STOPSIGNAL, as in a Dockerfile. May be given several times"},
    ROW_COMPRESSION("of the new layer (default: gzip)"),
    ROW_LEVEL,
    ROW_TIMESTAMP,
    ROW_QUIET,
    ROW_PROGRESS,
    ROW_END};
static const option_group commit_group = {"Options", commit_options};

static const progress_words words = {"Making layer", "Making", "Made", "Layer complete"};

static bool read_options(cli *c, imgstore_commit_options *options, const char ***changes) {
  layer_settings layer;
  if (!cli_layer_settings(c, &layer) || !cli_values(c, OPTION_CHANGE, changes, &options->change_count))
    return false;
  options->message = option_value(&c->args, OPTION_MESSAGE);
  options->author = option_value(&c->args, OPTION_AUTHOR);
  options->changes = *changes;
  options->compression = layer.compression;
  options->level = layer.level;
  options->flags = layer.flags;
  options->source_date_epoch = layer.epoch;
  return true;
}

static int commit(job *j, imgstore_commit_options *options) {
  cli *c = j->c;
  imgstore_rootfs *rootfs = NULL;
  imgstore_error *error = NULL;
  int status = cli_open_rootfs(c, c->args.words[0], &rootfs);
  if (status != CLI_OK)
    return status;
  options->progress = progress_event;
  options->progress_data = &j->progress;
  int32_t code = imgstore_commit_start(rootfs, c->args.words[1], options, &j->operation, &error);
  status = job_run(j, code, &error);
  if (status == CLI_OK) {
    cli_print_skipped(imgstore_operation_report(j->operation), true);
    job_print_image_id(j);
  }
  imgstore_rootfs_close(rootfs);
  return status;
}

static int run(cli *c) {
  imgstore_commit_options options;
  const char **changes = NULL;
  job j;
  imgstore_commit_options_init(&options, sizeof options);
  bool good = job_begin(&j, c, &words) && read_options(c, &options, &changes);
  int status = job_end(&j, good ? commit(&j, &options) : CLI_USAGE);
  free(changes);
  return status;
}

const command command_commit = {
    .name = "commit",
    .usage = "[OPTIONS] NAME IMAGE",
    .summary = "Make an image of an instance",
    .details =
        "The image has the layers of the instance's image, which are shared, and one layer of what was changed.\n"
        "Prints the ID of the new image. What runs in the instance is not paused: a file that changes while it\n"
        "is read makes the commit fail, and nothing is made.",
    .examples =
        "  imgstore commit web example/web:2\n"
        "  imgstore commit -m 'with curl' -c 'CMD [\"curl\", \"--help\"]' -c 'ENV MODE=test' tools tools:curl\n",
    .groups = (const option_group *const[]){&commit_group, &group_global, NULL},
    .min_words = 2,
    .max_words = 2,
    .run = run,
};
