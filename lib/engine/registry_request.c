/*
 * engine/registry_request.c (L4) - the making of requests other than fetches: any method, extra headers, a body that a
 * callback reads, the statuses that are a success. How they run is registry_fetch.c's; what they are for is not known
 * here.
 */
#include <string.h>

#include "engine/registry_fetch.h"
#include "oci/reference.h"

static int32_t copy_text(const ims_alloc *a, char **to, const char *from, ims_error *err) {
  *to = from ? ims_strdup(a, from) : NULL;
  return from && !*to ? ims_fail_nomem(err) : IMGSTORE_OK;
}

static int32_t copy_headers(ims_fetch *f, const ims_request *request, ims_error *err) {
  const ims_alloc *a = &f->client->registry->core->alloc;
  for (size_t i = 0; i < IMS_REQUEST_HEADERS_MAX && request->headers[i].name; i++) {
    ims_header *to = &f->extra[f->extra_count];
    to->name = (char *)request->headers[i].name;
    if (copy_text(a, &to->value, request->headers[i].value, err) != IMGSTORE_OK)
      return IMGSTORE_ENOMEM;
    f->extra_count++;
  }
  return IMGSTORE_OK;
}

static int32_t copy_request(ims_fetch *f, const ims_request *request, ims_error *err) {
  const ims_alloc *a = &f->client->registry->core->alloc;
  bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
  f->method = request->method;
  f->head = strcmp(request->method, "HEAD") == 0;
  f->no_mirrors = true;
  f->accept = request->accept;
  f->actions = request->actions ? request->actions : f->actions;
  f->size = request->most_size ? request->most_size : IMS_ANSWER_BODY_MAX;
  f->upload_size = request->body ? request->body_size : 0;
  f->upload_read = request->body;
  f->upload_data = request->body_data;
  f->call.changes = !reads;
  f->call.once = request->once;
  f->names = request->names;
  memcpy(f->call.expects, request->expects, sizeof f->call.expects);
  ims_free(a, f->repository);
  int32_t rc = copy_text(a, &f->repository, request->repository, err);
  if (!rc)
    rc = copy_text(a, &f->path, request->path, err);
  if (!rc)
    rc = copy_text(a, &f->target, request->url, err);
  if (!rc)
    rc = copy_text(a, &f->more_scopes, request->scopes, err);
  return rc ? rc : copy_headers(f, request, err);
}

int32_t ims_request_start(ims_client *client, const ims_request *request, ims_document_fn done, void *data,
                          ims_fetch **fetch, ims_error *err) {
  char what[600];
  if (fetch)
    *fetch = NULL;
  int32_t rc = ims_repository_check(request->repository, strlen(request->repository), err);
  if (rc)
    return rc;
  ims_fetch_name(client, request->repository, request->object, what, sizeof what);
  ims_fetch *f = ims_fetch_new(client, IMS_FETCH_DOCUMENT, what, request->object, err);
  if (!f)
    return IMGSTORE_ENOMEM;
  f->document_done = done;
  f->document_data = data;
  return ims_fetch_launch(f, copy_request(f, request, err), fetch, err);
}

int32_t ims_request_delete(ims_client *client, const char *repository, const char *path, const char *object,
                           ims_document_fn done, void *data, ims_fetch **fetch, ims_error *err) {
  const ims_request request = {.method = "DELETE",
                               .repository = repository,
                               .path = path,
                               .object = object,
                               .accept = "application/json",
                               .actions = "delete",
                               .expects = {202, 204}}; /* any web server answers 200 */
  return ims_request_start(client, &request, done, data, fetch, err);
}
