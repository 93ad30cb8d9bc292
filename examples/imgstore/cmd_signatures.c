/* cmd_signatures.c - verify with an image: are there the signatures that are wanted? */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "job.h"
#include "json_out.h"
#include "progress.h"

static const progress_words words = {"", "", "", ""};

/* What the check needs on its way. */
typedef struct check {
  cli *c;
  job job;
  progress progress;
  bool json;
  imgstore_registry_options registry_options;
  imgstore_reference *reference;
  imgstore_registry *registry;
  imgstore_policy *policy;
  imgstore_operation *operation;
} check;

static void print_json(const imgstore_report *report, size_t i, text *line) {
  bool counts = imgstore_report_kind(report, i) == IMGSTORE_REPORT_SIGNED;
  json_begin(line);
  json_string(line, "digest", imgstore_report_digest(report, i));
  json_string(line, "status", counts ? "signed" : "not counted");
  json_string(line, "key", counts ? imgstore_report_name(report, i) : NULL);
  json_string(line, "detail", imgstore_report_detail(report, i));
  json_end(line, stdout);
}

static void print_line(const imgstore_report *report, size_t i) {
  bool counts = imgstore_report_kind(report, i) == IMGSTORE_REPORT_SIGNED;
  printf("%s: ", imgstore_report_digest(report, i));
  put_safe(stdout, counts ? "signed by " : "not counted: ");
  put_safe(stdout, counts ? imgstore_report_name(report, i) : imgstore_report_detail(report, i));
  if (counts) {
    fputs(" (", stdout);
    put_safe(stdout, imgstore_report_detail(report, i));
    fputs(")", stdout);
  }
  fputs("\n", stdout);
}

static void print_signatures(const check *k) {
  const imgstore_report *report = imgstore_operation_report(k->operation);
  text line = {0};
  for (size_t i = 0; i < imgstore_report_count(report); i++)
    if (k->json)
      print_json(report, i, &line);
    else
      print_line(report, i);
  text_free(&line);
  fflush(stdout);
}

static int ask(check *k) {
  imgstore_policy_options options;
  imgstore_error *error = NULL;
  imgstore_policy_options_init(&options, sizeof options);
  options.platform = option_value(&k->c->args, OPTION_PLATFORM);
  if (option_given(&k->c->args, OPTION_ALL_PLATFORMS))
    options.flags |= IMGSTORE_POLICY_CHECK_ALL_PLATFORMS;
  options.progress = progress_event;
  options.progress_data = &k->progress;
  int32_t code = imgstore_policy_check_start(k->policy, k->registry, imgstore_reference_name(k->reference), &options,
                                             &k->operation, &error);
  if (code == IMGSTORE_OK)
    code = job_run(&k->job, &k->progress, k->operation, &error);
  if (k->operation)
    print_signatures(k);
  if (code != IMGSTORE_OK)
    return job_failed(&k->job, k->c, code, &error);
  if (!k->json)
    fputs("The image may be used.\n", stderr);
  return CLI_OK;
}

static int prepare(check *k) {
  imgstore_error *error = NULL;
  int status = cli_open_context(k->c);
  if (status == CLI_OK)
    status = cli_open_policy(k->c, &k->policy);
  if (status != CLI_OK)
    return status;
  if (!k->policy)
    return cli_usage(k->c, "with an image, --key FILE or --policy FILE is needed");
  int32_t code = imgstore_reference_parse(k->c->context, k->c->args.words[0], &k->reference, &error);
  if (code != IMGSTORE_OK)
    return cli_failed(k->c, code, &error);
  return cli_open_registry(k->c, imgstore_reference_host(k->reference), &k->registry_options, &k->registry);
}

int cli_verify_image(cli *c) {
  check k = {.c = c};
  int status = CLI_USAGE;
  if (option_given(&c->args, OPTION_FULL) || option_given(&c->args, OPTION_REPAIR))
    return cli_usage(c, "--full and --repair are about the store: give no image with them");
  job_begin(&k.job);
  if (cli_format(c, &k.json) && cli_registry_options(c, &k.registry_options) && progress_begin(&k.progress, c, &words))
    status = prepare(&k);
  if (status == CLI_OK)
    status = ask(&k);
  imgstore_operation_free(k.operation);
  imgstore_policy_free(k.policy);
  imgstore_registry_free(k.registry);
  imgstore_reference_unref(k.reference);
  progress_free(&k.progress);
  job_end(&k.job);
  return status;
}
