/* cmd_build.c - build: makes an image from flags: layers, config, squash. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "build_config.h"
#include "cli.h"
#include "job.h"
#include "json_out.h"

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
    ROW_COMPRESSION("of the layers (default: gzip)"),
    ROW_LEVEL,
    ROW_IMAGE_FORMAT("the media types (default: oci)"),
    ROW_TIMESTAMP,
    {OPTION_JSON, 0, "json", NULL, "print a JSON object instead of the digest"},
    ROW_QUIET,
    ROW_PROGRESS,
    ROW_END};
static const option_group build_group = {"Options", build_options};

static const progress_words words = {"Making layer", "Making", "Made", "Layer complete"};

typedef struct build {
  cli *c;
  job job;
  uint64_t squash_from; /* UINT32_MAX: nothing is squashed */
  imgstore_build_options options;
  imgstore_image *base, *old_base, *new_base, *image;
  imgstore_builder *builder;
} build;

static bool read_options(build *b) {
  cli *c = b->c;
  imgstore_build_options *o = &b->options;
  layer_settings layers;
  b->squash_from = option_given(&c->args, OPTION_SQUASH) ? 0 : UINT32_MAX;
  imgstore_build_options_init(o, sizeof *o);
  if (!job_begin(&b->job, c, &words) || !cli_layer_settings(c, &layers) || !cli_image_format(c, &o->format) ||
      !cli_number(c, OPTION_SQUASH_FROM, 0, UINT32_MAX - 1, &b->squash_from))
    return false;
  o->compression = layers.compression;
  o->level = layers.level;
  o->flags = layers.flags;
  o->source_date_epoch = layers.epoch;
  o->progress = progress_event;
  o->progress_data = &b->job.progress;
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
  const char *prefix = colon && colon[1] == '/' ? colon + 1 : NULL;
  text path = {0};
  text_add_bytes(&path, given, prefix ? (size_t)(colon - given) : strlen(given));
  int32_t code =
      path.failed ? IMGSTORE_ENOMEM : imgstore_builder_add_directory(b->builder, text_get(&path), prefix, flags, error);
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

static int32_t describe(build *b, imgstore_error **error) {
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
  if (code == IMGSTORE_OK && b->squash_from != UINT32_MAX)
    code = imgstore_builder_squash(b->builder, (uint32_t)b->squash_from, error);
  return code;
}

static void print_image(const build *b) {
  const char *name = option_value(&b->c->args, OPTION_TAG);
  text line = {0};
  if (!option_given(&b->c->args, OPTION_JSON)) {
    put_line(stdout, "%s", imgstore_image_id(b->image));
    return;
  }
  json_begin(&line);
  json_string(&line, "name", name);
  json_string(&line, "digest", imgstore_manifest_digest(imgstore_image_manifest(b->image)));
  json_string(&line, "id", imgstore_image_id(b->image));
  json_number(&line, "layers", imgstore_image_layer_count(b->image));
  json_number(&line, "size", imgstore_image_compressed_size(b->image));
  json_end(&line, stdout);
  text_free(&line);
}

static int make(build *b) {
  cli *c = b->c;
  job *j = &b->job;
  imgstore_error *error = NULL;
  int status = option_given(&c->args, OPTION_ROOTFS) ? cli_need_rootfs_dir(c, false) : cli_open_store(c, STORE_CREATE);
  if (status != CLI_OK)
    return status;
  int32_t code = find_images(b, &error);
  if (code == IMGSTORE_OK)
    code = describe(b, &error);
  if (code == IMGSTORE_OK)
    code = imgstore_builder_finish_start(b->builder, option_value(&c->args, OPTION_TAG), &b->options, &j->operation,
                                         &error);
  status = job_run(j, code, &error);
  if (status != CLI_OK)
    return status;
  b->image = imgstore_operation_image(j->operation);
  cli_print_skipped(imgstore_operation_report(j->operation), true);
  print_image(b);
  return CLI_OK;
}

static int run(cli *c) {
  build b = {.c = c};
  bool good = read_options(&b);
  int status = job_end(&b.job, good ? make(&b) : CLI_USAGE);
  imgstore_builder_free(b.builder);
  imgstore_image_unref(b.image);
  imgstore_image_unref(b.base);
  imgstore_image_unref(b.old_base);
  imgstore_image_unref(b.new_base);
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
