/* remote.c - see remote.h. */
#include "remote.h"

#include <string.h>

#include "json_out.h"

bool remote_begin(remote *r, cli *c, const progress_words *words) {
  *r = (remote){0};
  return job_begin(&r->job, c, words) && cli_registry_options(c, &r->options);
}

static void close_registry(remote *r) {
  imgstore_operation_free(r->job.operation);
  imgstore_registry_free(r->registry);
  r->job.operation = NULL;
  r->registry = NULL;
}

int remote_open_host(remote *r, const char *host) {
  int status = cli_open_context(r->job.c);
  close_registry(r);
  return status == CLI_OK ? cli_open_registry(r->job.c, host, &r->options, &r->registry) : status;
}

int remote_open(remote *r, const char *name) {
  imgstore_error *error = NULL;
  int status = cli_open_context(r->job.c);
  if (status != CLI_OK)
    return status;
  imgstore_reference_unref(r->reference);
  r->reference = NULL;
  int32_t code = imgstore_reference_parse(r->job.c->context, name, &r->reference, &error);
  return code ? cli_failed(r->job.c, code, &error) : remote_open_host(r, imgstore_reference_host(r->reference));
}

int remote_end(remote *r, int status) {
  close_registry(r);
  imgstore_reference_unref(r->reference);
  return job_end(&r->job, status);
}

imgstore_registry_job_options remote_job_options(remote *r) {
  imgstore_registry_job_options options;
  imgstore_registry_job_options_init(&options, sizeof options);
  options.progress = progress_event;
  options.progress_data = &r->job.progress;
  return options;
}

const char *remote_version(const remote *r, const char *name) {
  const char *digest = imgstore_reference_digest(r->reference), *last = strrchr(name, '/');
  if (digest)
    return digest;
  return strchr(last ? last : name, ':') ? imgstore_reference_tag(r->reference) : NULL;
}

void remote_print_names(const remote *r, const char *key, bool json) {
  const imgstore_report *names = imgstore_operation_report(r->job.operation);
  text line = {0};
  for (size_t i = 0; i < imgstore_report_count(names); i++) {
    const char *name = imgstore_report_name(names, i);
    if (!json) {
      put_line(stdout, "%s", name);
      continue;
    }
    json_begin(&line);
    json_string(&line, "Host", imgstore_registry_host(r->registry));
    if (r->reference)
      json_string(&line, "Repository", imgstore_reference_repository(r->reference));
    json_string(&line, key, name);
    json_end(&line, stdout);
  }
  text_free(&line);
}

void remote_print(const remote *r, const char *before, const char *separator, const char *version) {
  put_line(stdout, "%s%s/%s%s%s", before, imgstore_reference_host(r->reference),
           imgstore_reference_repository(r->reference), separator, version);
}
