/* cmd_inspect.c - inspect: all that is known of images, as JSON, or the documents as they are stored. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "json_out.h"

static const option inspect_options[] = {
    {OPTION_RAW, 0, "raw", "manifest|config|index", "print the stored document, byte for byte"}, ROW_PLATFORM, ROW_END};
static const option_group inspect_group = {"Options", inspect_options};

/* --- raw documents -------------------------------------------------------------------------------------------------
 */

enum { RAW_NONE, RAW_MANIFEST, RAW_CONFIG, RAW_INDEX };

static bool read_raw(const cli *c, int32_t *raw) {
  static const choice kinds[] = {
      {"manifest", RAW_MANIFEST}, {"config", RAW_CONFIG}, {"index", RAW_INDEX}, {NULL, RAW_NONE}};
  *raw = RAW_NONE;
  return cli_choice(c, OPTION_RAW, kinds, raw);
}

static const void *raw_bytes(const imgstore_image *image, int32_t raw, size_t *size) {
  const imgstore_manifest *index = imgstore_image_index(image);
  *size = 0;
  if (raw == RAW_CONFIG)
    return imgstore_image_config(image, size);
  if (raw == RAW_MANIFEST)
    return imgstore_manifest_data(imgstore_image_manifest(image), size);
  return index ? imgstore_manifest_data(index, size) : NULL;
}

static int print_raw(const cli *c, const imgstore_image *image, int32_t raw, const char *name) {
  size_t size = 0;
  const void *bytes = raw_bytes(image, raw, &size);
  if (!bytes) {
    cli_message(c, "%s has no index: it is the image of one platform", name);
    return CLI_FAILED;
  }
  return put_document(bytes, size) ? CLI_OK : cli_out_of_memory(c);
}

/* --- the array -----------------------------------------------------------------------------------------------------
 */

/* The names under which the store knows an image. */
typedef struct names {
  char **list;
  size_t count;
  bool failed;
} names;

static void names_add(names *n, const char *name) {
  char **list = reallocarray(n->list, n->count + 1, sizeof *list);
  char *copy = strdup(name);
  if (list)
    n->list = list;
  if (list && copy)
    n->list[n->count++] = copy;
  else
    free(copy);
  n->failed = n->failed || !list || !copy;
}

static void names_free(names *n) {
  for (size_t i = 0; i < n->count; i++)
    free(n->list[i]);
  free(n->list);
}

static void collect_names(names *n, const imgstore_image *image, const imgstore_report *stored) {
  const char *target = imgstore_image_target_digest(image);
  const char *manifest = imgstore_manifest_digest(imgstore_image_manifest(image));
  for (size_t i = 0; i < imgstore_report_count(stored); i++) {
    const char *digest = imgstore_report_digest(stored, i);
    if (strcmp(digest, target) == 0 || strcmp(digest, manifest) == 0)
      names_add(n, imgstore_report_name(stored, i));
  }
}

static int add_object(cli *c, text *out, const imgstore_image *image, const imgstore_report *stored) {
  names n = {0};
  imgstore_bytes *json = NULL;
  imgstore_error *error = NULL;
  collect_names(&n, image, stored);
  int32_t code = imgstore_image_inspect(image, (const char *const *)n.list, n.count, &json, &error);
  if (code == IMGSTORE_OK) {
    text_add(out, out->size > 1 ? ",\n    " : "\n    ");
    json_layout(out, imgstore_bytes_data(json), imgstore_bytes_size(json), 1);
  }
  bool failed = n.failed;
  imgstore_bytes_free(json);
  names_free(&n);
  if (code != IMGSTORE_OK)
    return cli_failed(c, code, &error);
  return failed ? cli_out_of_memory(c) : CLI_OK;
}

static int inspect_one(cli *c, const char *name, int32_t raw, const imgstore_report *stored, text *out) {
  imgstore_image *image = NULL;
  imgstore_error *error = NULL;
  int32_t code = cli_find_image(c, name, option_value(&c->args, OPTION_PLATFORM), &image, &error);
  if (code != IMGSTORE_OK)
    return cli_failed(c, code, &error);
  int status = raw ? print_raw(c, image, raw, name) : add_object(c, out, image, stored);
  imgstore_image_unref(image);
  return status;
}

static int inspect_all(cli *c, int32_t raw) {
  imgstore_report *stored = NULL;
  imgstore_error *error = NULL;
  text out = {0};
  int32_t code = imgstore_store_list(c->store, &stored, &error);
  if (code != IMGSTORE_OK)
    return cli_failed(c, code, &error);
  text_add(&out, "[");
  int status = CLI_OK;
  for (size_t i = 0; i < c->args.count; i++) {
    int one = inspect_one(c, c->args.words[i], raw, stored, &out);
    status = one != CLI_OK ? one : status;
  }
  if (!raw)
    printf("%s%s]\n", text_get(&out), out.size > 1 ? "\n" : "");
  if (out.failed)
    status = cli_out_of_memory(c);
  text_free(&out);
  imgstore_report_free(stored);
  return status;
}

static int run(cli *c) {
  int32_t raw;
  if (!read_raw(c, &raw))
    return CLI_USAGE;
  int status = cli_need_store(c, STORE_READ);
  if (status == CLI_OK)
    return inspect_all(c, raw);
  if (!raw && status != CLI_USAGE)
    puts("[]");
  return status;
}

const command command_inspect = {
    .name = "inspect",
    .usage = "[OPTIONS] IMAGE...",
    .summary = "Show all that is known of images, as a JSON array",
    .details = "IMAGE is a name, an image ID, a digest, or the first digits of one. The fields are those of\n"
               "docker image inspect. --raw prints a document exactly as it was hashed.",
    .examples = "  imgstore inspect alpine\n"
                "  imgstore inspect --raw manifest alpine | sha256sum\n",
    .groups = (const option_group *const[]){&inspect_group, &group_global, NULL},
    .min_words = 1,
    .max_words = SIZE_MAX,
    .run = run,
};
