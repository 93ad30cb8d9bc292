/* cmd_load.c - load: brings images from an OCI image-layout directory. */
#include <stdio.h>

#include "cli.h"
#include "job.h"
#include "progress.h"

static const option load_options[] = {
    {OPTION_INPUT, 'i', "input", "DIR", "the OCI image layout; the same as the argument DIR"},
    {OPTION_NAME, 0, "name", "NAME", "load only the image of this name"},
    {OPTION_RENAME, 0, "rename", "IMAGE", "the name to give to the only image, or to the one chosen by --name"},
    {OPTION_PLATFORM, 0, "platform", "OS/ARCH[/VARIANT]", "only this platform (default: all that are there)"},
    {OPTION_QUIET, 'q', "quiet", NULL, "show no progress"},
    {OPTION_PROGRESS, 0, "progress", "auto|tty|plain|json", "bars, lines, or JSON lines on standard error"},
    {0, 0, NULL, NULL, NULL}};
static const option_group load_group = {"Options", load_options};

static const progress_words words = {"Loading layer", "Loading", "Verified", "Loading complete"};

static void print_names(cli *c, const imgstore_report *report) {
  familiar name = {0};
  for (size_t i = 0; i < imgstore_report_count(report); i++) {
    if (imgstore_report_kind(report, i) != IMGSTORE_REPORT_TAG)
      continue;
    familiar_set(&name, c, imgstore_report_name(report, i));
    fputs("Loaded image: ", stdout);
    put_safe(stdout, text_get(&name.whole));
    putchar('\n');
  }
  familiar_free(&name);
}

static int load(cli *c, const char *path, job *j, progress *p) {
  imgstore_load_options options;
  imgstore_operation *operation = NULL;
  imgstore_error *error = NULL;
  int status = cli_open_store(c, STORE_CREATE);
  if (status != CLI_OK)
    return status;
  imgstore_load_options_init(&options, sizeof options);
  options.name = option_value(&c->args, OPTION_NAME);
  options.rename = option_value(&c->args, OPTION_RENAME);
  options.platform = option_value(&c->args, OPTION_PLATFORM);
  options.progress = progress_event;
  options.progress_data = p;
  int32_t code = imgstore_load_start(c->store, path, &options, &operation, &error);
  if (code == IMGSTORE_OK)
    code = job_run(j, p, operation, &error);
  if (code == IMGSTORE_OK)
    print_names(c, imgstore_operation_report(operation));
  else
    status = job_failed(j, c, code, &error);
  imgstore_operation_free(operation);
  return status;
}

static int run(cli *c) {
  const char *path = option_value(&c->args, OPTION_INPUT);
  progress p;
  job j;
  if ((path != NULL) == (c->args.count == 1))
    return cli_usage(c, "one DIR is needed, as argument or with -i");
  if (!progress_begin(&p, c, &words))
    return CLI_USAGE;
  job_begin(&j);
  int status = load(c, path ? path : c->args.words[0], &j, &p);
  job_end(&j);
  progress_free(&p);
  return status;
}

const command command_load = {
    .name = "load",
    .usage = "[OPTIONS] -i DIR",
    .summary = "Bring in images from an OCI image-layout directory",
    .details =
        "Every byte is verified on the way. Images keep their names; one that has only a tag there gets the name\n"
        "of the folder.",
    .examples = "  skopeo copy docker://quay.io/podman/hello oci:hello:latest\n"
                "  imgstore load -i hello\n",
    .groups = (const option_group *const[]){&load_group, &group_global, NULL},
    .max_words = 1,
    .run = run,
};
