/* cmd_attach.c - attach: adds an SBOM, a report or any other object to an image of a registry. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "json_out.h"
#include "remote.h"

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
    ROW_FORMAT("json: print a JSON object instead of the name"),
    ROW_END};
static const option_group attach_group = {"Options", attach_options};

static const progress_words words = {"Preparing", "Uploading", "Uploaded", "Uploaded"};

typedef struct attach {
  cli *c;
  remote remote;
  bool json;
  imgstore_attach_options options;
  imgstore_attachment *attachment;
} attach;

static int32_t annotate(attach *a, const char *given, imgstore_error **error) {
  text key = {0};
  const char *value = text_split(&key, given, '=');
  int32_t code =
      key.failed ? IMGSTORE_ENOMEM : imgstore_attachment_annotate(a->attachment, text_get(&key), value, error);
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
  const imgstore_report *report = imgstore_operation_report(a->remote.job.operation);
  text line = {0};
  if (!a->json) {
    put_line(stdout, "%s", imgstore_report_name(report, 0));
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
  job *j = &a->remote.job;
  a->options.platform = option_value(&a->c->args, OPTION_PLATFORM);
  a->options.progress = progress_event;
  a->options.progress_data = &j->progress;
  int32_t code = imgstore_attach_start(a->remote.registry, imgstore_reference_name(a->remote.reference), a->attachment,
                                       &a->options, &j->operation, &error);
  int status = job_run(j, code, &error);
  if (status == CLI_OK)
    conclude(a);
  return status;
}

static bool read_options(attach *a) {
  cli *c = a->c;
  imgstore_attach_options_init(&a->options, sizeof a->options);
  if (!remote_begin(&a->remote, c, &words) || !cli_format(c, &a->json))
    return false;
  if (!option_given(&c->args, OPTION_ARTIFACT_TYPE) && !option_given(&c->args, OPTION_MEDIA_TYPE))
    return cli_usage(c, "what is it? Give --artifact-type or --media-type"), false;
  for (size_t i = 0; i < c->args.option_count; i++)
    if (c->args.options[i].id == OPTION_ANNOTATION && !strchr(c->args.options[i].value, '='))
      return cli_usage(c, "--annotation is KEY=VALUE, not %s", c->args.options[i].value), false;
  return true;
}

static int run(cli *c) {
  attach a = {.c = c};
  int status = read_options(&a) ? remote_open(&a.remote, c->args.words[0]) : CLI_USAGE;
  if (status == CLI_OK)
    status = build(&a);
  if (status == CLI_OK)
    status = send_object(&a);
  status = remote_end(&a.remote, status);
  imgstore_attachment_free(a.attachment);
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
