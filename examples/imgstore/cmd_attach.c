/* cmd_attach.c - attach: adds an SBOM, a report or any other object to an image of a registry. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "job.h"
#include "json_out.h"
#include "progress.h"

static const option attach_options[] = {
    {OPTION_ARTIFACT_TYPE, 0, "artifact-type", "TYPE",
     "what it is, such as application/spdx+json\n"
     "(default: the media type)"},
    {OPTION_MEDIA_TYPE, 0, "media-type", "TYPE", "of the files (default: the artifact type)"},
    {OPTION_ANNOTATION, 0, "annotation", "KEY=VALUE", "annotate the object; may be given again"},
    {OPTION_PLATFORM, 0, "platform", "OS/ARCH[/VARIANT]",
     "attach to this image of a multi-platform one\n"
     "(default: to what the name stands for)"},
    {OPTION_QUIET, 'q', "quiet", NULL, "print only the name of the object"},
    {OPTION_PROGRESS, 0, "progress", "auto|tty|plain|json", "as for pull"},
    {OPTION_FORMAT, 0, "format", "table|json", "json: print a JSON object instead of the name"},
    ROW_END};
static const option_group attach_group = {"Options", attach_options};

static const progress_words words = {"Preparing", "Uploading", "Uploaded", "Uploaded"};

typedef struct attach {
  cli *c;
  job job;
  progress progress;
  bool json;
  imgstore_attach_options options;
  imgstore_registry_options registry_options;
  imgstore_reference *reference;
  imgstore_registry *registry;
  imgstore_attachment *attachment;
  imgstore_operation *operation;
} attach;

static int32_t annotate(attach *a, const char *given, imgstore_error **error) {
  const char *equals = strchr(given, '=');
  text key = {0};
  text_add_bytes(&key, given, (size_t)(equals - given));
  int32_t code =
      key.failed ? IMGSTORE_ENOMEM : imgstore_attachment_annotate(a->attachment, text_get(&key), equals + 1, error);
  text_free(&key);
  return code;
}

static int build(attach *a) {
  const arguments *args = &a->c->args;
  const char *media = option_value(args, OPTION_MEDIA_TYPE), *type = option_value(args, OPTION_ARTIFACT_TYPE);
  imgstore_error *error = NULL;
  int32_t code = imgstore_attachment_new(a->c->context, type ? type : media, &a->attachment, &error);
  for (size_t i = 1; code == IMGSTORE_OK && i < args->count; i++)
    code = imgstore_attachment_add_file(a->attachment, args->words[i], media, NULL, &error);
  for (size_t i = 0; code == IMGSTORE_OK && i < args->option_count; i++)
    if (args->options[i].id == OPTION_ANNOTATION)
      code = annotate(a, args->options[i].value, &error);
  return code ? cli_failed(a->c, code, &error) : CLI_OK;
}

static void conclude(const attach *a) {
  const imgstore_report *report = imgstore_operation_report(a->operation);
  text line = {0};
  if (!a->json) {
    puts(imgstore_report_name(report, 0));
    return;
  }
  json_begin(&line);
  json_string(&line, "name", imgstore_report_name(report, 0));
  json_string(&line, "digest", imgstore_report_digest(report, 0));
  json_string(&line, "mediaType", imgstore_report_detail(report, 0));
  json_number(&line, "size", imgstore_report_size(report, 0));
  json_end(&line, stdout);
  text_free(&line);
}

static int send_object(attach *a) {
  imgstore_error *error = NULL;
  a->options.platform = option_value(&a->c->args, OPTION_PLATFORM);
  a->options.progress = progress_event;
  a->options.progress_data = &a->progress;
  int32_t code = imgstore_attach_start(a->registry, imgstore_reference_name(a->reference), a->attachment, &a->options,
                                       &a->operation, &error);
  if (code == IMGSTORE_OK)
    code = job_run(&a->job, &a->progress, a->operation, &error);
  if (code != IMGSTORE_OK)
    return job_failed(&a->job, a->c, code, &error);
  conclude(a);
  return CLI_OK;
}

static bool read_options(attach *a) {
  cli *c = a->c;
  imgstore_attach_options_init(&a->options, sizeof a->options);
  if (!cli_format(c, &a->json) || !cli_registry_options(c, &a->registry_options) ||
      !progress_begin(&a->progress, c, &words))
    return false;
  if (!option_given(&c->args, OPTION_ARTIFACT_TYPE) && !option_given(&c->args, OPTION_MEDIA_TYPE))
    return cli_usage(c, "what is it? Give --artifact-type or --media-type"), false;
  for (size_t i = 0; i < c->args.option_count; i++)
    if (c->args.options[i].id == OPTION_ANNOTATION && !strchr(c->args.options[i].value, '='))
      return cli_usage(c, "--annotation is KEY=VALUE, not %s", c->args.options[i].value), false;
  return true;
}

static int prepare(attach *a) {
  imgstore_error *error = NULL;
  int status = cli_open_context(a->c);
  if (status != CLI_OK)
    return status;
  int32_t code = imgstore_reference_parse(a->c->context, a->c->args.words[0], &a->reference, &error);
  if (code != IMGSTORE_OK)
    return cli_failed(a->c, code, &error);
  status = build(a);
  if (status != CLI_OK)
    return status;
  return cli_open_registry(a->c, imgstore_reference_host(a->reference), &a->registry_options, &a->registry);
}

static int run(cli *c) {
  attach a = {.c = c};
  int status = CLI_USAGE;
  job_begin(&a.job);
  if (read_options(&a))
    status = prepare(&a);
  if (status == CLI_OK)
    status = send_object(&a);
  imgstore_operation_free(a.operation);
  imgstore_attachment_free(a.attachment);
  imgstore_registry_free(a.registry);
  imgstore_reference_unref(a.reference);
  progress_free(&a.progress);
  job_end(&a.job);
  return status;
}

const command command_attach = {
    .name = "attach",
    .usage = "[OPTIONS] IMAGE [FILE...]",
    .summary = "Attach files to an image of a registry",
    .details =
        "Makes an object of the files whose subject is the image, so that 'imgstore referrers' and other tools\n"
        "find it. On a registry without the referrers API the tag sha256-HEX is kept up to date. The name of the\n"
        "object goes to standard output.",
    .examples = "  imgstore attach --artifact-type application/spdx+json registry.example.org/app:1 sbom.spdx.json\n"
                "  imgstore attach --media-type application/sarif+json --annotation tool=scan/2 \\\n"
                "      registry.example.org/app:1 report.sarif\n",
    .groups = (const option_group *const[]){&attach_group, &group_registry, &group_global, NULL},
    .min_words = 1,
    .max_words = 1001,
    .run = run,
};
