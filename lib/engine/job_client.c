/*
 * engine/job_client.c (L4) - hands on what a client tells.
 */
#include "engine/job_client.h"

#include <string.h>

#include "base/text.h"

static void tell(ims_job_listener *l, int32_t type, int32_t object, const char *name, const char *text, uint64_t done,
                 uint64_t total) {
  if (!*l->failed && ims_operation_event(l->op, type, object, name, text, done, total))
    *l->failed = IMGSTORE_ECALLBACK;
}

static void on_retry(void *data, const char *name, const char *why, uint32_t delay) {
  ims_job_listener *l = data;
  bool is_digest = strchr(name, ':') && !strchr(name, '/');
  l->retried = true;
  tell(l, IMGSTORE_EVENT_RETRY,
       !l->moves_blobs ? IMGSTORE_OBJECT_NONE
       : is_digest     ? IMGSTORE_OBJECT_LAYER
                       : IMGSTORE_OBJECT_MANIFEST,
       name, why, 0, delay);
}

static void on_warning(void *data, const char *text) {
  tell(data, IMGSTORE_EVENT_WARNING, IMGSTORE_OBJECT_NONE, NULL, text, 0, 0);
}

static void on_rate(void *data, uint64_t left, uint64_t limit) {
  tell(data, IMGSTORE_EVENT_RATE_LIMIT, IMGSTORE_OBJECT_NONE, NULL, NULL, left, limit);
}

int32_t ims_job_client_open(ims_client **client, ims_job_listener *listener, imgstore_registry *registry) {
  const ims_client_events events = {listener, on_retry, on_warning, on_rate};
  imgstore_operation *op = listener->op;
  int32_t rc = ims_client_new(client, registry, &events, &op->cancelled, &op->err);
  return rc ? rc : ims_operation_watch(op, ims_client_fd(*client), &op->err);
}

int32_t ims_check_host(const imgstore_reference *reference, const imgstore_registry *registry, ims_error *err) {
  const char *host = imgstore_registry_host(registry);
  if (ims_equal_fold(strcmp(host, "index.docker.io") == 0 ? "docker.io" : host, reference->host))
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_EINVALID, "%s: is not on registry %s", reference->name, host);
}
