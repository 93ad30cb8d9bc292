/*
 * engine/registry_upload.c (L4) - blobs and manifests on their way to a registry: joins the upload machine of
 * registry/upload.c with a fetch, which brings credentials, waiting, time limits and the transport. Knows where the
 * bytes come from only as a callback that reads them at an offset.
 */
#include <stdio.h>
#include <string.h>

#include "engine/registry_fetch.h"
#include "oci/reference.h"

static const ims_alloc *alloc_of(const ims_fetch *f) {
  return &f->client->registry->core->alloc;
}

/* --- making ----------------------------------------------------------------------------------------------------------
 */

void ims_sending_free(ims_fetch *f) {
  ims_sending *s = f->sending;
  if (!s)
    return;
  ims_upload_free(&s->upload);
  for (size_t i = 0; i < s->mount_count; i++)
    ims_free(alloc_of(f), s->mounts[i]);
  ims_free(alloc_of(f), s->mounts);
  ims_free(alloc_of(f), s->copy);
  ims_free(alloc_of(f), s);
  f->sending = NULL;
}

static int32_t copy_mounts(ims_fetch *f, const ims_push_request *request, ims_error *err) {
  ims_sending *s = f->sending;
  size_t count = request->mount_count < IMS_PUSH_MOUNTS_MAX ? request->mount_count : IMS_PUSH_MOUNTS_MAX;
  s->mounts = ims_calloc(alloc_of(f), count ? count : 1, sizeof *s->mounts);
  if (!s->mounts)
    return ims_fail_nomem(err);
  for (size_t i = 0; i < count; i++) {
    const char *from = request->mounts[i];
    int32_t rc = ims_repository_check(from, strlen(from), err);
    if (rc)
      return rc;
    if (strcmp(from, request->repository) == 0)
      continue;
    if (!(s->mounts[s->mount_count] = ims_strdup(alloc_of(f), from)))
      return ims_fail_nomem(err);
    s->mount_count++;
  }
  return IMGSTORE_OK;
}

static int32_t set_place(ims_fetch *f, const char *repository, ims_error *err) {
  ims_buf path;
  ims_free(alloc_of(f), f->repository);
  f->repository = ims_strdup(alloc_of(f), repository);
  ims_buf_init(&path, alloc_of(f), IMS_URL_MAX);
  ims_buf_printf(&path, "/v2/%s/blobs/uploads/", repository);
  f->path = ims_buf_detach(&path, NULL);
  ims_buf_free(&path);
  return f->repository && f->path ? IMGSTORE_OK : ims_fail_nomem(err);
}

static int32_t make_sending(ims_fetch *f, const ims_push_request *request, const ims_push_source *source,
                            ims_error *err) {
  f->own_only = true; /* nothing is pushed to a mirror */
  f->actions = "pull,push";
  f->size = request->size;
  f->sending = ims_calloc(alloc_of(f), 1, sizeof *f->sending);
  if (!f->sending)
    return ims_fail_nomem(err);
  ims_sending *s = f->sending;
  s->source = *source;
  int32_t rc = copy_mounts(f, request, err);
  if (!rc)
    rc = set_place(f, request->repository, err);
  const ims_upload_plan plan = {request->digest, request->size,  (const char *const *)s->mounts,
                                s->mount_count,  request->chunk, request->absent,
                                request->look};
  ims_upload_init(&s->upload, &f->call, &plan);
  return rc;
}

int32_t ims_push_blob(ims_client *client, const ims_push_request *request, const ims_push_source *source,
                      ims_fetch **fetch, ims_error *err) {
  char what[600];
  if (fetch)
    *fetch = NULL;
  int32_t rc = ims_repository_check(request->repository, strlen(request->repository), err);
  if (rc)
    return rc;
  ims_fetch_name(client, request->repository, request->digest.text, what, sizeof what);
  ims_fetch *f = ims_fetch_new(client, IMS_FETCH_UPLOAD, what, request->digest.text, err);
  if (!f)
    return IMGSTORE_ENOMEM;
  return ims_fetch_launch(f, make_sending(f, request, source, err), fetch, err);
}

static int32_t read_copy(void *data, uint64_t offset, void *buffer, size_t size, size_t *got, ims_error *err) {
  const ims_fetch *f = data;
  (void)err;
  memcpy(buffer, f->sending->copy + offset, size);
  *got = size;
  return IMGSTORE_OK;
}

static void copy_done(void *data, int32_t code, const ims_push_result *result, const ims_error *err) {
  ims_fetch *f = data;
  f->sending->copy_done(f->sending->copy_data, code, result, err);
}

int32_t ims_push_bytes(ims_client *client, const ims_push_request *request, const void *bytes, ims_push_fn done,
                       void *data, ims_fetch **fetch, ims_error *err) {
  ims_fetch *f;
  ims_push_source source = {NULL, read_copy, copy_done};
  int32_t rc = ims_push_blob(client, request, &source, &f, err);
  if (fetch)
    *fetch = rc ? NULL : f;
  if (rc)
    return rc;
  f->sending->source.data = f;
  f->sending->copy_done = done;
  f->sending->copy_data = data;
  f->sending->copy = ims_malloc(alloc_of(f), (size_t)request->size);
  if (!f->sending->copy) {
    ims_fetch_cancel(f);
    if (fetch)
      *fetch = NULL;
    return ims_fail_nomem(err);
  }
  memcpy(f->sending->copy, bytes, (size_t)request->size);
  return IMGSTORE_OK;
}

/* --- one request after the other -------------------------------------------------------------------------------------
 */

/* A body's bytes; the fetch's offset is that of the part. */
static size_t read_part(void *data, uint64_t offset, void *buffer, size_t size) {
  ims_fetch *f = data;
  ims_sending *s = f->sending;
  size_t got = 0;
  if (s->failed || f->dead)
    return SIZE_MAX;
  s->failed = s->source.read(s->source.data, s->from + offset, buffer, size, &got, &f->err);
  return s->failed ? SIZE_MAX : got;
}

static int32_t set_extra(ims_fetch *f, const char *name, const char *value, ims_error *err) {
  ims_header *to = &f->extra[f->extra_count];
  to->name = (char *)name;
  to->value = ims_strdup(alloc_of(f), value);
  if (!to->value)
    return ims_fail_nomem(err);
  f->extra_count++;
  return IMGSTORE_OK;
}

static int32_t set_headers(ims_fetch *f, const ims_upload_ask *ask, ims_error *err) {
  bool has_body = strcmp(ask->method, "PUT") == 0 || strcmp(ask->method, "PATCH") == 0;
  while (f->extra_count)
    ims_free(alloc_of(f), f->extra[--f->extra_count].value);
  int32_t rc = has_body ? set_extra(f, "Content-Type", "application/octet-stream", err) : IMGSTORE_OK;
  if (!rc && ask->range[0])
    rc = set_extra(f, "Content-Range", ask->range, err);
  if (!rc && ask->size >= IMS_EXPECT_LEAST)
    rc = set_extra(f, "Expect", "100-continue", err);
  return rc;
}

/* Reading from another repository needs a token that allows it. */
static int32_t set_scopes(ims_fetch *f, const char *source, ims_error *err) {
  char scope[300];
  ims_sending *s = f->sending;
  if (source == s->scope_source)
    return IMGSTORE_OK;
  s->scope_source = source;
  ims_free(alloc_of(f), f->more_scopes);
  ims_free(alloc_of(f), f->scopes);
  f->more_scopes = f->scopes = NULL;
  f->demanded = f->refreshed = false;
  if (!source)
    return IMGSTORE_OK;
  snprintf(scope, sizeof scope, "repository:%s:pull", source);
  f->more_scopes = ims_strdup(alloc_of(f), scope);
  return f->more_scopes ? IMGSTORE_OK : ims_fail_nomem(err);
}

int32_t ims_sending_prepare(ims_fetch *f, ims_error *err) {
  ims_upload_ask ask;
  int32_t rc = ims_upload_next(&f->sending->upload, &ask, err);
  if (!rc)
    rc = set_headers(f, &ask, err);
  if (!rc)
    rc = set_scopes(f, ask.source, err);
  if (rc)
    return rc;
  f->method = ask.method;
  f->sending->from = ask.from;
  f->upload_size = ask.size;
  f->upload_read = read_part;
  f->upload_data = f;
  return IMGSTORE_OK;
}

bool ims_sending_dodges(ims_fetch *f) {
  if (!f->sending || f->err.code == IMGSTORE_ENOMEM || f->err.code == IMGSTORE_ECANCELLED ||
      !ims_upload_unauthorized(&f->sending->upload))
    return false;
  ims_error_clear(&f->err);
  f->state = IMS_FETCH_READY;
  return true;
}

void ims_sending_done(ims_fetch *f) {
  const ims_upload *u = &f->sending->upload;
  const ims_push_result result = {u->outcome, u->outcome == IMS_UPLOAD_MOUNTED ? u->plan.mounts[u->mount] : NULL};
  f->sending->source.done(f->sending->source.data, f->err.code, f->err.code ? NULL : &result, &f->err);
}

/* An answer counts even when its connection was closed on what it did not want to read. */
static bool is_answered(const ims_fetch *f) {
  const imgstore_exchange *x = &f->exchange;
  return x->status && (x->done_code == IMGSTORE_OK || f->stop || x->status >= 400);
}

bool ims_sending_judge(ims_fetch *f) {
  ims_url asked;
  ims_verdict verdict;
  ims_sending *s = f->sending;
  if (s->failed) {
    f->step = SIZE_MAX - 1;
    ims_fetch_failed(f);
    return true;
  }
  if (!is_answered(f))
    return false;
  if (ims_url_copy(&asked, alloc_of(f), &f->call.at, &f->err) != IMGSTORE_OK) {
    ims_fetch_failed(f);
    return true;
  }
  const ims_secrets secrets = ims_fetch_secrets(f);
  ims_reply reply = ims_fetch_reply(f);
  ims_upload_answer(&s->upload, &reply, ims_buf_text(&f->body), f->body.size, &secrets, ims_wall_ns() / 1000000000,
                    &verdict, &f->err);
  if (verdict.next == IMS_NEXT_DONE) {
    ims_error_clear(&f->err); /* of a look that was refused before */
    ims_fetch_finish(f);
  } else {
    ims_fetch_act(f, &verdict, &asked);
  }
  ims_url_free(alloc_of(f), &asked);
  return true;
}

/* --- manifests -------------------------------------------------------------------------------------------------------
 */

static size_t read_manifest(void *data, uint64_t offset, void *buffer, size_t size) {
  const ims_manifest_push *push = data;
  memcpy(buffer, (const char *)push->data + offset, size);
  return size;
}

int32_t ims_push_manifest(ims_client *client, const ims_manifest_push *push, ims_document_fn done, void *data,
                          ims_fetch **fetch, ims_error *err) {
  char path[400];
  if (fetch)
    *fetch = NULL;
  ims_digest digest;
  bool by_digest = strchr(push->reference, ':') != NULL;
  int32_t rc = by_digest ? ims_digest_parse(&digest, push->reference, strlen(push->reference), err)
                         : ims_tag_check(push->reference, strlen(push->reference), err);
  if (rc)
    return rc;
  snprintf(path, sizeof path, "manifests/%s", push->reference);
  const ims_request request = {.method = "PUT",
                               .repository = push->repository,
                               .path = path,
                               .object = push->reference,
                               .accept = "application/json",
                               .actions = "pull,push",
                               .headers = {{"Content-Type", push->media_type}},
                               .body_size = push->size,
                               .body = read_manifest,
                               .body_data = (void *)push,
                               .names = push->digest,
                               .expects = {201, 200, 202, 204}};
  return ims_request_start(client, &request, done, data, fetch, err);
}
