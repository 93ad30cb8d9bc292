/* verify_signatures.c - verify with an image: are there the signatures that are wanted? */
#include <stdio.h>

#include "cli.h"
#include "json_out.h"
#include "remote.h"

/* What the check needs on its way. */
typedef struct check {
  cli *c;
  remote remote;
  bool json;
  imgstore_policy *policy;
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
  const char *digest = imgstore_report_digest(report, i), *detail = imgstore_report_detail(report, i);
  if (imgstore_report_kind(report, i) == IMGSTORE_REPORT_SIGNED)
    put_line(stdout, "%s: signed by %s (%s)", digest, imgstore_report_name(report, i), detail);
  else
    put_line(stdout, "%s: not counted: %s", digest, detail);
}

static void print_signatures(const check *k) {
  const imgstore_report *report = imgstore_operation_report(k->remote.job.operation);
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
  job *j = &k->remote.job;
  imgstore_policy_options_init(&options, sizeof options);
  options.platform = option_value(&k->c->args, OPTION_PLATFORM);
  if (option_given(&k->c->args, OPTION_ALL_PLATFORMS))
    options.flags |= IMGSTORE_POLICY_CHECK_ALL_PLATFORMS;
  options.progress = progress_event;
  options.progress_data = &j->progress;
  int32_t code = imgstore_policy_check_start(
      k->policy, k->remote.registry, imgstore_reference_name(k->remote.reference), &options, &j->operation, &error);
  code = job_drive(j, code, &error);
  if (j->operation) /* a refusal is explained by what was found */
    print_signatures(k);
  if (code != IMGSTORE_OK)
    return job_status(j, code, &error);
  if (!k->json)
    fputs("The image may be used.\n", stderr);
  return CLI_OK;
}

static int prepare(check *k) {
  int status = cli_open_context(k->c);
  if (status == CLI_OK)
    status = cli_open_policy(k->c, &k->policy);
  if (status == CLI_OK && !k->policy)
    status = cli_usage(k->c, "with an image, --key FILE or --policy FILE is needed");
  return status == CLI_OK ? remote_open(&k->remote, k->c->args.words[0]) : status;
}

int cli_verify_image(cli *c) {
  check k = {.c = c};
  if (option_given(&c->args, OPTION_FULL) || option_given(&c->args, OPTION_REPAIR))
    return cli_usage(c, "--full and --repair are about the store: give no image with them");
  bool good = remote_begin(&k.remote, c, NULL) && cli_format(c, &k.json);
  int status = good ? prepare(&k) : CLI_USAGE;
  if (status == CLI_OK)
    status = ask(&k);
  status = remote_end(&k.remote, status);
  imgstore_policy_free(k.policy);
  return status;
}
