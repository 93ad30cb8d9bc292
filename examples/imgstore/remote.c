/* remote.c - see remote.h. */
#include "remote.h"

#include <string.h>

int remote_begin(remote *r, cli *c) {
  static const progress_words words = {"", "", "", ""};
  *r = (remote){.c = c};
  job_begin(&r->job);
  if (!cli_registry_options(c, &r->options) || !progress_begin(&r->progress, c, &words))
    return CLI_USAGE;
  imgstore_registry_job_options_init(&r->job_options, sizeof r->job_options);
  r->job_options.progress = progress_event;
  r->job_options.progress_data = &r->progress;
  return cli_open_context(c);
}

int remote_open_host(remote *r, const char *host) {
  imgstore_registry_free(r->registry);
  r->registry = NULL;
  return cli_open_registry(r->c, host, &r->options, &r->registry);
}

int remote_open(remote *r, const char *name) {
  imgstore_error *error = NULL;
  imgstore_reference_unref(r->reference);
  r->reference = NULL;
  int32_t code = imgstore_reference_parse(r->c->context, name, &r->reference, &error);
  return code ? cli_failed(r->c, code, &error) : remote_open_host(r, imgstore_reference_host(r->reference));
}

int remote_run(remote *r, int32_t code, imgstore_operation *operation, imgstore_error **error) {
  if (code == IMGSTORE_OK)
    code = job_run(&r->job, &r->progress, operation, error);
  return code ? job_failed(&r->job, r->c, code, error) : CLI_OK;
}

void remote_close(remote *r) {
  imgstore_registry_free(r->registry);
  imgstore_reference_unref(r->reference);
  progress_free(&r->progress);
  job_end(&r->job);
}

const char *remote_version(const remote *r, const char *name) {
  const char *digest = imgstore_reference_digest(r->reference), *last = strrchr(name, '/');
  if (digest)
    return digest;
  return strchr(last ? last : name, ':') ? imgstore_reference_tag(r->reference) : NULL;
}

void remote_print(const remote *r, const char *before, const char *separator, const char *version) {
  fputs(before, stdout);
  put_safe(stdout, imgstore_reference_host(r->reference));
  putchar('/');
  put_safe(stdout, imgstore_reference_repository(r->reference));
  fputs(separator, stdout);
  put_safe(stdout, version);
  putchar('\n');
}
