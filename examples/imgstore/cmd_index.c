/* cmd_index.c - index: makes and changes multi-platform indexes out of stored images. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "json_out.h"

static const option index_options[] = {
    {OPTION_PLATFORM, 0, "platform", "OS/ARCH[/VARIANT]", "add: what the image is for, whatever its config says"},
    {OPTION_REPLACE, 0, "replace", NULL, "add: take the place of the entry for the same platform"},
    {OPTION_ENTRY, 0, "entry", "PLATFORM|DIGEST", "annotate: this entry (default: the index itself)"},
    ROW_IMAGE_FORMAT("create: the media types (default: oci)"),
    {OPTION_JSON, 0, "json", NULL, "print a JSON object instead of the digest"},
    ROW_END};
static const option_group index_group = {"Options", index_options};

static void print_result(const cli *c, const imgstore_manifest *manifest) {
  text line = {0};
  if (!option_given(&c->args, OPTION_JSON)) {
    put_line(stdout, "%s", imgstore_manifest_digest(manifest));
    return;
  }
  json_begin(&line);
  json_string(&line, "name", c->args.words[1]);
  json_string(&line, "digest", imgstore_manifest_digest(manifest));
  json_string(&line, "mediaType", imgstore_manifest_media_type(manifest));
  json_number(&line, "entries", imgstore_manifest_count(manifest));
  json_end(&line, stdout);
  text_free(&line);
}

static int32_t add_all(cli *c, imgstore_index *index, imgstore_error **error) {
  uint32_t flags = option_given(&c->args, OPTION_REPLACE) ? IMGSTORE_INDEX_REPLACE : 0;
  const char *platform = option_value(&c->args, OPTION_PLATFORM);
  int32_t code = IMGSTORE_OK;
  for (size_t i = 2; code == IMGSTORE_OK && i < c->args.count; i++)
    code = imgstore_index_add(index, c->args.words[i], platform, flags, error);
  return code;
}

static int32_t remove_all(cli *c, imgstore_index *index, imgstore_error **error) {
  int32_t code = IMGSTORE_OK;
  for (size_t i = 2; code == IMGSTORE_OK && i < c->args.count; i++)
    code = imgstore_index_remove(index, c->args.words[i], error);
  return code;
}

/* KEY=VALUE sets, KEY alone removes. */
static int32_t annotate_all(cli *c, imgstore_index *index, imgstore_error **error) {
  const char *entry = option_value(&c->args, OPTION_ENTRY);
  int32_t code = IMGSTORE_OK;
  for (size_t i = 2; code == IMGSTORE_OK && i < c->args.count; i++) {
    text key = {0};
    const char *value = text_split(&key, c->args.words[i], '=');
    code = key.failed ? IMGSTORE_ENOMEM : imgstore_index_annotate(index, entry, text_get(&key), value, error);
    text_free(&key);
  }
  return code;
}

typedef struct verb {
  const char *name;
  bool creates;
  int32_t (*change)(cli *c, imgstore_index *index, imgstore_error **error);
} verb;

static const verb verbs[] = {
    {"create", true, add_all}, {"add", false, add_all}, {"rm", false, remove_all}, {"annotate", false, annotate_all}};

static int change(cli *c, const verb *v, int32_t format) {
  imgstore_index *index = NULL;
  imgstore_manifest *manifest = NULL;
  imgstore_error *error = NULL;
  int status = cli_need_store(c, STORE_WRITE);
  if (status != CLI_OK)
    return status;
  int32_t code = v->creates ? imgstore_index_new(c->store, &index, &error)
                            : imgstore_index_open(c->store, c->args.words[1], &index, &error);
  if (code == IMGSTORE_OK && v->creates)
    code = imgstore_index_set_format(index, format, &error);
  if (code == IMGSTORE_OK)
    code = v->change(c, index, &error);
  if (code == IMGSTORE_OK)
    code = imgstore_index_save(index, c->args.words[1], &manifest, &error);
  if (code == IMGSTORE_OK)
    print_result(c, manifest);
  else
    status = cli_failed(c, code, &error);
  imgstore_manifest_unref(manifest);
  imgstore_index_free(index);
  return status;
}

static int run(cli *c) {
  int32_t format = IMGSTORE_FORMAT_OCI;
  if (!cli_image_format(c, &format))
    return CLI_USAGE;
  for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
    if (strcmp(verbs[i].name, c->args.words[0]) != 0)
      continue;
    if (c->args.count < 3)
      return cli_usage(c, "%s takes a NAME and what to %s", verbs[i].name, verbs[i].name);
    return change(c, &verbs[i], format);
  }
  return cli_usage(c, "%s is not one of create, add, rm and annotate", c->args.words[0]);
}

const command command_index = {
    .name = "index",
    .usage = "create|add|rm|annotate NAME ARGUMENT...",
    .summary = "Make and change multi-platform indexes of stored images",
    .details = "  index create NAME IMAGE...            an index of these images, by the platforms in their configs\n"
               "  index add NAME IMAGE...               more images, or the images of another index\n"
               "  index rm NAME PLATFORM|DIGEST...      without these entries and their attestations\n"
               "  index annotate NAME KEY=VALUE|KEY...  set annotations, or remove them\n\n"
               "Entries that are not named stay as they are, byte for byte. The digest of the index is printed.",
    .examples = "  imgstore index create example.org/app:1 app:1-amd64 app:1-arm64\n"
                "  imgstore index rm example.org/app:1 linux/arm64\n"
                "  imgstore index annotate example.org/app:1 org.opencontainers.image.version=1\n",
    .groups = (const option_group *const[]){&index_group, &group_global, NULL},
    .min_words = 1,
    .max_words = 4096,
    .run = run,
};
