/* cmd_build.c - build: makes an image from flags: layers, config, squash. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build_config.h"
#include "cli.h"
#include "job.h"
#include "json_out.h"
#include "progress.h"
#include "units.h"

static const option build_options[] = {
    {OPTION_FROM, 0, "from", "IMAGE|scratch", "the stored image to build on (default: scratch, or see --rootfs)"},
    {OPTION_TAG, 't', "tag", "NAME[:TAG]", "the name of the image; without one only its digest is known"},
    {OPTION_ADD_TAR, 0, "add-tar", "FILE|-",
     "add a layer from a tar, plain or compressed; - is standard input.\n"
     "May be given several times, with --add-dir and --rootfs in any order"},
    {OPTION_ADD_DIR, 0, "add-dir", "DIR[:PREFIX]", "add a layer from a directory, which becomes PREFIX (default: /)"},
    {OPTION_ROOTFS, 0, "rootfs", "NAME",
     "add a layer of what an instance changed; without --from the\n"
     "image is built on the instance's own"},
    {OPTION_AS_IS, 0, "as-is", NULL, "keep the blobs of --add-tar as they are, compression included"},
    {OPTION_ROOT_OWNED, 0, "root-owned", NULL, "files of --add-dir belong to root in the image"},
    {OPTION_SQUASH, 0, "squash", NULL, "make one layer of all layers"},
    {OPTION_SQUASH_FROM, 0, "squash-from", "N", "make one layer of layer N (0 is the lowest) and all above it"},
    {OPTION_REBASE, 0, "rebase", "OLD", "put the image's own layers on another base: --rebase OLD --onto NEW"},
    {OPTION_ONTO, 0, "onto", "NEW", "the new base"},
    {OPTION_COMPRESSION, 0, "compression", "gzip|fast|zstd|none", "of the layers (default: gzip)"},
    {OPTION_LEVEL, 0, "level", "N", "of the compression"},
    {OPTION_FORMAT, 0, "format", "oci|docker", "the media types (default: oci)"},
    {OPTION_TIMESTAMP, 0, "timestamp", "SECONDS",
     "no file and no date is later (default: $SOURCE_DATE_EPOCH;\n"
     "without it files keep their times and the image is created now)"},
    {OPTION_JSON, 0, "json", NULL, "print a JSON object instead of the digest"},
    ROW_QUIET,
    ROW_PROGRESS,
    ROW_END};
static const option_group build_group = {"Options", build_options};

static const progress_words words = {"Making layer", "Making", "Made", "Layer complete"};

typedef struct build {
  cli *c;
  progress progress;
  job job;
  imgstore_build_options options;
  imgstore_image *base, *old_base, *new_base, *image;
  imgstore_builder *builder;
  imgstore_operation *operation;
} build;

/* --- options -------------------------------------------------------------------------------------------------------
 */

static bool read_number(build *b, int id, const char *what, const char *given, uint64_t most, uint64_t *number) {
  if (!given)
    given = option_value(&b->c->args, id);
  if (!given || units_number(given, most, number))
    return true;
  cli_usage(b->c, "%s is a number from 0 to %" PRIu64 ", not %s", what, most, given);
  return false;
}

/* https://reproducible-builds.org/specs/source-date-epoch/ */
static bool read_timestamp(build *b) {
  uint64_t seconds = 0;
  const char *given = option_value(&b->c->args, OPTION_TIMESTAMP), *set = getenv("SOURCE_DATE_EPOCH");
  const char *what = given ? "--timestamp" : "SOURCE_DATE_EPOCH";
  if (!given && set && *set)
    given = set;
  if (!given)
    return true;
  if (!read_number(b, 0, what, given, UINT64_C(253402300799), &seconds))
    return false;
  b->options.flags |= IMGSTORE_BUILD_EPOCH;
  b->options.source_date_epoch = (int64_t)seconds;
  return true;
}

static bool read_options(build *b) {
  cli *c = b->c;
  uint64_t level = 0;
  imgstore_build_options_init(&b->options, sizeof b->options);
  if (!progress_begin(&b->progress, c, &words) || !cli_compression(b->c, &b->options.compression) ||
      !read_number(b, OPTION_LEVEL, "--level", NULL, 19, &level) || !read_timestamp(b) ||
      !cli_image_format(c, &b->options.format))
    return false;
  b->options.level = (int32_t)level;
  b->options.progress = progress_event;
  b->options.progress_data = &b->progress;
  if (option_given(&c->args, OPTION_REBASE) != option_given(&c->args, OPTION_ONTO)) {
    cli_usage(c, "--rebase OLD and --onto NEW belong together");
    return false;
  }
  return true;
}

/* --- layers --------------------------------------------------------------------------------------------------------
 */

static int32_t read_input(void *user_data, void *buffer, size_t size, size_t *got) {
  ssize_t n;
  do
    n = read(STDIN_FILENO, buffer, size);
  while (n < 0 && errno == EINTR);
  *got = n < 0 ? 0 : (size_t)n;
  return n < 0 ? errno : 0;
}

static int32_t add_tar(build *b, const char *path, imgstore_error **error) {
  uint32_t flags = option_given(&b->c->args, OPTION_AS_IS) ? IMGSTORE_ADD_AS_IS : 0;
  if (strcmp(path, "-") == 0)
    return imgstore_builder_add_tar_reader(b->builder, read_input, NULL, flags, error);
  return imgstore_builder_add_tar(b->builder, path, flags, error);
}

/* DIR:PREFIX; a colon in DIR is part of it when what follows is no absolute path. */
static int32_t add_dir(build *b, const char *given, imgstore_error **error) {
  uint32_t flags = option_given(&b->c->args, OPTION_ROOT_OWNED) ? IMGSTORE_ADD_ROOT_OWNED : 0;
  const char *colon = strrchr(given, ':');
  text path = {0};
  if (colon && colon[1] != '/')
    colon = NULL;
  text_add_bytes(&path, given, colon ? (size_t)(colon - given) : strlen(given));
  int32_t code =
      path.failed ? IMGSTORE_ENOMEM
                  : imgstore_builder_add_directory(b->builder, text_get(&path), colon ? colon + 1 : NULL, flags, error);
  text_free(&path);
  return code;
}

/* The builder keeps what it needs of the instance. */
static int32_t add_changes(build *b, const char *name, imgstore_error **error) {
  imgstore_rootfs *rootfs = NULL;
  int32_t code = imgstore_rootfs_open(b->c->rootfs_dir, name, &rootfs, error);
  if (code == IMGSTORE_OK)
    code = imgstore_builder_add_changes(b->builder, rootfs, error);
  imgstore_rootfs_close(rootfs);
  return code;
}

static bool is_layer(int id) {
  return id == OPTION_ADD_TAR || id == OPTION_ADD_DIR || id == OPTION_ROOTFS;
}

static int32_t add_layer(build *b, int id, const char *given, imgstore_error **error) {
  return id == OPTION_ADD_TAR   ? add_tar(b, given, error)
         : id == OPTION_ADD_DIR ? add_dir(b, given, error)
                                : add_changes(b, given, error);
}

/* What --history says of the option at i: it comes behind it. */
static const char *history_of(const arguments *a, size_t i) {
  const char *text_given = NULL;
  for (i++; i < a->option_count; i++) {
    if (is_layer(a->options[i].id))
      break;
    if (a->options[i].id == OPTION_HISTORY)
      text_given = a->options[i].value;
  }
  return text_given;
}

static int32_t add_layers(build *b, imgstore_error **error) {
  const arguments *a = &b->c->args;
  int32_t code = IMGSTORE_OK;
  size_t layers = 0;
  for (size_t i = 0; code == IMGSTORE_OK && i < a->option_count; i++) {
    if (!is_layer(a->options[i].id))
      continue;
    layers++;
    code = imgstore_builder_set_history(b->builder, history_of(a, i), NULL, error);
    if (code == IMGSTORE_OK)
      code = add_layer(b, a->options[i].id, a->options[i].value, error);
  }
  const char *change = option_value(a, OPTION_HISTORY);
  if (code == IMGSTORE_OK && !layers && change)
    code = imgstore_builder_set_history(b->builder, change, NULL, error);
  return code;
}

/* --- the image -----------------------------------------------------------------------------------------------------
 */

/* The image of the first instance. */
static int32_t find_base(build *b, imgstore_error **error) {
  const arguments *a = &b->c->args;
  imgstore_rootfs *rootfs = NULL;
  size_t i = 0;
  while (a->options[i].id != OPTION_ROOTFS)
    i++;
  int32_t code = imgstore_rootfs_open(b->c->rootfs_dir, a->options[i].value, &rootfs, error);
  if (code == IMGSTORE_OK)
    code = imgstore_store_image(b->c->store, imgstore_rootfs_manifest_digest(rootfs), NULL, &b->base, error);
  imgstore_rootfs_close(rootfs);
  return code;
}

static int32_t find_images(build *b, imgstore_error **error) {
  cli *c = b->c;
  const char *from = option_value(&c->args, OPTION_FROM), *platform = option_value(&c->args, OPTION_PLATFORM);
  const char *old = option_value(&c->args, OPTION_REBASE), *onto = option_value(&c->args, OPTION_ONTO);
  int32_t code = IMGSTORE_OK;
  if (from && strcmp(from, "scratch") != 0)
    code = imgstore_store_image(c->store, from, platform, &b->base, error);
  else if (!from && option_given(&c->args, OPTION_ROOTFS))
    code = find_base(b, error);
  if (code == IMGSTORE_OK && old)
    code = imgstore_store_image(c->store, old, platform, &b->old_base, error);
  if (code == IMGSTORE_OK && onto)
    code = imgstore_store_image(c->store, onto, platform, &b->new_base, error);
  return code;
}

static int32_t describe(build *b, uint64_t squash_from, imgstore_error **error) {
  cli *c = b->c;
  const char *platform = option_value(&c->args, OPTION_PLATFORM);
  int32_t code = imgstore_builder_new(c->store, b->base, &b->builder, error);
  if (code == IMGSTORE_OK && b->old_base)
    code = imgstore_builder_rebase(b->builder, b->old_base, b->new_base, error);
  if (code == IMGSTORE_OK && platform && !b->base)
    code = imgstore_builder_set_platform(b->builder, platform, error);
  if (code == IMGSTORE_OK)
    code = build_configure(c, b->builder, error);
  if (code == IMGSTORE_OK)
    code = add_layers(b, error);
  if (code == IMGSTORE_OK && squash_from != UINT32_MAX)
    code = imgstore_builder_squash(b->builder, (uint32_t)squash_from, error);
  return code;
}

static int print_image(build *b) {
  const char *name = option_value(&b->c->args, OPTION_TAG);
  text line = {0};
  if (!option_given(&b->c->args, OPTION_JSON)) {
    puts(imgstore_image_id(b->image));
    return CLI_OK;
  }
  json_begin(&line);
  json_string(&line, "name", name);
  json_string(&line, "digest", imgstore_manifest_digest(imgstore_image_manifest(b->image)));
  json_string(&line, "id", imgstore_image_id(b->image));
  json_number(&line, "layers", imgstore_image_layer_count(b->image));
  json_number(&line, "size", imgstore_image_compressed_size(b->image));
  json_end(&line, stdout);
  text_free(&line);
  return CLI_OK;
}

static int make(build *b) {
  cli *c = b->c;
  imgstore_error *error = NULL;
  uint64_t squash_from = option_given(&c->args, OPTION_SQUASH) ? 0 : UINT32_MAX;
  if (!read_number(b, OPTION_SQUASH_FROM, "--squash-from", NULL, UINT32_MAX - 1, &squash_from))
    return CLI_USAGE;
  int status = option_given(&c->args, OPTION_ROOTFS) ? cli_open_rootfs_dir(c, false) : cli_open_store(c, STORE_CREATE);
  if (status != CLI_OK)
    return status;
  int32_t code = find_images(b, &error);
  if (code == IMGSTORE_OK)
    code = describe(b, squash_from, &error);
  if (code == IMGSTORE_OK)
    code = imgstore_builder_finish_start(b->builder, option_value(&c->args, OPTION_TAG), &b->options, &b->operation,
                                         &error);
  if (code == IMGSTORE_OK)
    code = job_run(&b->job, &b->progress, b->operation, &error);
  if (code != IMGSTORE_OK)
    return job_failed(&b->job, c, code, &error);
  b->image = imgstore_operation_image(b->operation);
  cli_print_skipped(imgstore_operation_report(b->operation), true);
  return print_image(b);
}

static int run(cli *c) {
  build b = {.c = c};
  if (!read_options(&b))
    return CLI_USAGE;
  job_begin(&b.job);
  int status = make(&b);
  imgstore_operation_free(b.operation);
  imgstore_builder_free(b.builder);
  imgstore_image_unref(b.image);
  imgstore_image_unref(b.base);
  imgstore_image_unref(b.old_base);
  imgstore_image_unref(b.new_base);
  job_end(&b.job);
  progress_free(&b.progress);
  return status;
}

const command command_build = {
    .name = "build",
    .usage = "[OPTIONS]",
    .summary = "Make an image of layers and flags",
    .details =
        "Layers are added in the order of --add-tar, --add-dir and --rootfs. Nothing is run. The digest of the\n"
        "manifest is printed. With --timestamp the same input makes the same image. What an instance changed is\n"
        "meant for its own image: --from gives that, or one with the same files.",
    .examples = "  imgstore build --from alpine --add-dir site:/srv/www --cmd httpd -t example.org/site:1\n"
                "  tar -c -C rootfs . | imgstore build --add-tar - --entrypoint '[\"/init\"]' -t base\n"
                "  imgstore build --from app:1 --rebase alpine:3.19 --onto alpine:3.20 -t app:2\n"
                "  imgstore build --from app:2 --squash -t app:flat\n"
                "  imgstore build --rootfs tools --add-dir conf:/etc/tools --user tools -t tools:2\n",
    .groups = (const option_group *const[]){&build_group, &group_build_config, &group_global, NULL},
    .run = run,
};
