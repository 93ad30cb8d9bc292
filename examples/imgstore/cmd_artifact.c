/* cmd_artifact.c - artifact: files under a name of the store, and out of it again. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "json_out.h"

static const option artifact_options[] = {
    {OPTION_ARTIFACT_TYPE, 0, "artifact-type", "TYPE", "create: what the artifact is, such as application/vnd.x+json"},
    {OPTION_ANNOTATION, 0, "annotation", "KEY=VALUE", "create: an annotation of the manifest"},
    {OPTION_JSON, 0, "json", NULL, "create: print a JSON object instead of the digest"},
    ROW_END};
static const option_group artifact_group = {"Options", artifact_options};

/* FILE:MEDIATYPE; a colon without a media type behind it is part of the name. */
static int32_t add_file(imgstore_artifact *artifact, const char *given, imgstore_error **error) {
  const char *colon = strrchr(given, ':');
  text path = {0};
  if (colon && (!strchr(colon, '/') || colon[1] == '/' || colon[1] == '.'))
    colon = NULL;
  text_add_bytes(&path, given, colon ? (size_t)(colon - given) : strlen(given));
  int32_t code = path.failed
                     ? IMGSTORE_ENOMEM
                     : imgstore_artifact_add_file(artifact, text_get(&path), colon ? colon + 1 : NULL, NULL, error);
  text_free(&path);
  return code;
}

static int32_t annotate(imgstore_artifact *artifact, const char *given, imgstore_error **error) {
  text key = {0};
  const char *value = text_split(&key, given, '=');
  int32_t code = key.failed ? IMGSTORE_ENOMEM
                            : imgstore_artifact_set_annotation(artifact, text_get(&key), value ? value : "", error);
  text_free(&key);
  return code;
}

static int32_t describe(cli *c, imgstore_artifact *artifact, imgstore_error **error) {
  int32_t code = IMGSTORE_OK;
  for (size_t i = 2; code == IMGSTORE_OK && i < c->args.count; i++)
    code = add_file(artifact, c->args.words[i], error);
  for (size_t i = 0; code == IMGSTORE_OK && i < c->args.option_count; i++)
    if (c->args.options[i].id == OPTION_ANNOTATION)
      code = annotate(artifact, c->args.options[i].value, error);
  return code;
}

static void print_made(cli *c, const imgstore_manifest *manifest) {
  text line = {0};
  if (!option_given(&c->args, OPTION_JSON)) {
    put_line(stdout, "%s", imgstore_manifest_digest(manifest));
    return;
  }
  json_begin(&line);
  json_string(&line, "name", c->args.words[1]);
  json_string(&line, "digest", imgstore_manifest_digest(manifest));
  json_string(&line, "artifactType", imgstore_manifest_artifact_type(manifest));
  json_number(&line, "files", imgstore_manifest_count(manifest));
  json_end(&line, stdout);
  text_free(&line);
}

static int create(cli *c) {
  const char *type = option_value(&c->args, OPTION_ARTIFACT_TYPE);
  imgstore_artifact *artifact = NULL;
  imgstore_manifest *manifest = NULL;
  imgstore_error *error = NULL;
  if (!type)
    return cli_usage(c, "--artifact-type is needed");
  int status = cli_open_store(c, STORE_CREATE);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_artifact_new(c->store, type, &artifact, &error);
  if (code == IMGSTORE_OK)
    code = describe(c, artifact, &error);
  if (code == IMGSTORE_OK)
    code = imgstore_artifact_finish(artifact, c->args.words[1], &manifest, &error);
  if (code == IMGSTORE_OK)
    print_made(c, manifest);
  else
    status = cli_failed(c, code, &error);
  imgstore_manifest_unref(manifest);
  imgstore_artifact_free(artifact);
  return status;
}

static int unpack(cli *c) {
  imgstore_error *error = NULL;
  if (c->args.count != 3)
    return cli_usage(c, "unpack takes a NAME and a DIR");
  int status = cli_need_store(c, STORE_LEASE);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_artifact_unpack(c->store, c->args.words[1], c->args.words[2], &error);
  return code ? cli_failed(c, code, &error) : CLI_OK;
}

static int run(cli *c) {
  if (strcmp(c->args.words[0], "create") == 0)
    return create(c);
  if (strcmp(c->args.words[0], "unpack") == 0)
    return unpack(c);
  return cli_usage(c, "%s is not one of create and unpack", c->args.words[0]);
}

const command command_artifact = {
    .name = "artifact",
    .usage = "create NAME FILE[:MEDIATYPE]... | unpack NAME DIR",
    .summary = "Keep files of any type as an artifact, and write them out again",
    .details = "  artifact create NAME FILE[:MEDIATYPE]...  store files; needs --artifact-type\n"
               "  artifact unpack NAME DIR                  write them into DIR, which exists, by their titles\n\n"
               "A title that is no plain file name, or a file that is there already, is refused.",
    .examples = "  imgstore artifact create --artifact-type application/vnd.example.bundle example.org/b:1 \\\n"
                "    model.bin config.json:application/json\n"
                "  imgstore artifact unpack example.org/b:1 out\n",
    .groups = (const option_group *const[]){&artifact_group, &group_global, NULL},
    .min_words = 2,
    .max_words = 4096,
    .run = run,
};
