/*
 * engine/registry_access.c (L4) - the job that finds out what a login may do with a repository, before a long job finds
 * out the hard way. A token that tells its rights is believed; without one, requests are made that change nothing.
 */
#include <stdio.h>
#include <string.h>

#include "engine/registry_fetch.h"
#include "engine/registry_job.h"
#include "oci/reference.h"
#include "registry/token.h"

/* No manifest has this digest: to delete it tells whether deleting is allowed. */
#define NO_MANIFEST "sha256:0000000000000000000000000000000000000000000000000000000000000000"

enum { STEP_TOKEN = 1, STEP_PULL, STEP_PUSH, STEP_DELETE, STEP_DONE };

static const struct right {
  uint32_t bit;
  const char *name;
} rights[] = {{IMGSTORE_ACCESS_PULL, "pull"}, {IMGSTORE_ACCESS_PUSH, "push"}, {IMGSTORE_ACCESS_DELETE, "delete"}};
enum { RIGHTS = sizeof rights / sizeof *rights };

typedef struct access_job {
  ims_registry_job base; /* first member */
  int next;
  uint32_t wanted, granted;
  char *repository;
  char *upload;                            /* a session to be given up, or NULL */
  char refusal[RIGHTS][IMS_ERROR_MESSAGE]; /* in words, by right */
  ims_error first;                         /* the first refusal */
} access_job;

static const ims_alloc *alloc_of(const access_job *a) {
  return &a->base.op.core->alloc;
}

/* The scope that the token is asked for; constants, as a request wants them. */
static const char *actions_of(uint32_t wanted) {
  static const char *const all[] = {"pull",   "pull",        "push",        "pull,push",
                                    "delete", "pull,delete", "push,delete", "pull,push,delete"};
  return all[wanted & 7];
}

/* A refusal that answers the question; anything else is a failure of the job. */
static bool is_refusal(const ims_error *err) {
  return err->http_status >= 400 && err->http_status < 500 && err->http_status != 408 && err->http_status != 425 &&
         err->http_status != 429;
}

static bool failed(access_job *a, int32_t code, const ims_error *err) {
  if (!code || is_refusal(err))
    return false;
  ims_registry_job_fail(&a->base, code, err);
  return true;
}

/* The reason alone: what it is about is known. */
static void keep_reason(access_job *a, size_t right, const ims_error *err) {
  const char *what = a->base.fetch->what, *message = err->message;
  size_t size = strlen(what);
  if (strncmp(message, what, size) == 0 && strncmp(message + size, ": ", 2) == 0)
    message += size + 2;
  if (rights[right].bit == IMGSTORE_ACCESS_DELETE && err->http_status == 405)
    message = "this registry does not allow deleting";
  snprintf(a->refusal[right], sizeof a->refusal[right], "%s", message);
}

static void note(access_job *a, uint32_t bit, int32_t code, const ims_error *err) {
  if (!code) {
    a->granted |= bit & a->wanted;
    return;
  }
  if (!a->first.code)
    a->first = *err;
  for (size_t i = 0; i < RIGHTS; i++)
    if (rights[i].bit == bit)
      keep_reason(a, i, err);
}

/* --- the token
 * --------------------------------------------------------------------------------------------------------- */

/* The next thing to try after a step, skipping what was not asked for. */
static int after(const access_job *a, int step) {
  if (step < STEP_PULL && (a->wanted & IMGSTORE_ACCESS_PULL))
    return STEP_PULL;
  if (step < STEP_PUSH && (a->wanted & IMGSTORE_ACCESS_PUSH))
    return STEP_PUSH;
  return step < STEP_DELETE && (a->wanted & IMGSTORE_ACCESS_DELETE) ? STEP_DELETE : STEP_DONE;
}

static void take_rights(access_job *a, uint32_t told) {
  a->granted = a->wanted & told;
  a->next = STEP_DONE;
  for (size_t i = 0; i < RIGHTS; i++)
    snprintf(a->refusal[i], sizeof a->refusal[i], "the token service does not grant it");
}

static void on_token(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  access_job *a = data;
  const char *sent = a->base.fetch->authorization;
  uint32_t told;
  bool bearer = sent && strncmp(sent, "Bearer ", 7) == 0;
  if (failed(a, code, err)) {
    a->next = STEP_DONE;
  } else if (bearer && ims_token_rights(sent + 7, alloc_of(a), a->repository, &told)) {
    take_rights(a, told);
  } else if (!code) {
    note(a, IMGSTORE_ACCESS_PULL, code, err);
    a->next = after(a, STEP_PULL);
  } else if (a->wanted == IMGSTORE_ACCESS_PULL) {
    note(a, IMGSTORE_ACCESS_PULL, code, err);
    a->next = STEP_DONE;
  } else {
    a->next = after(a, STEP_TOKEN); /* all at once was too much */
  }
  ims_registry_job_answered(&a->base);
}

static int32_t send_list(access_job *a, uint32_t wanted, ims_document_fn done) {
  const ims_request request = {.method = "GET",
                               .repository = a->repository,
                               .path = "tags/list?n=1",
                               .object = "",
                               .accept = "application/json",
                               .actions = actions_of(wanted),
                               .expects = {200, 404}};
  ims_registry_job *j = &a->base;
  return ims_registry_job_sent(j, ims_request_start(j->client, &request, done, a, &j->fetch, &j->op.err));
}

/* --- one right at a time
 * ----------------------------------------------------------------------------------------------- */

static void on_pull(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  access_job *a = data;
  if (!failed(a, code, err))
    note(a, IMGSTORE_ACCESS_PULL, code, err);
  a->next = after(a, STEP_PULL);
  ims_registry_job_answered(&a->base);
}

static void on_upload(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  access_job *a = data;
  const char *location = document ? ims_reply_field(&document->reply, "Location") : NULL;
  ims_url url;
  if (!failed(a, code, err))
    note(a, IMGSTORE_ACCESS_PUSH, code, err);
  if (location &&
      ims_url_join(&url, alloc_of(a), document->url, location, "upload", &(ims_error)IMS_ERROR_INIT) == IMGSTORE_OK) {
    a->upload = ims_strdup(alloc_of(a), url.text);
    ims_url_free(alloc_of(a), &url);
  }
  a->next = after(a, STEP_PUSH);
  ims_registry_job_answered(&a->base);
}

static int32_t send_upload(access_job *a) {
  const ims_request request = {.method = "POST",
                               .repository = a->repository,
                               .path = "blobs/uploads/",
                               .object = "",
                               .accept = "application/json",
                               .actions = "pull,push",
                               .expects = {202},
                               .once = true};
  ims_registry_job *j = &a->base;
  return ims_registry_job_sent(j, ims_request_start(j->client, &request, on_upload, a, &j->fetch, &j->op.err));
}

/* The registry cleans up by itself in time: whether it takes the hint does not matter. */
static void on_given_up(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  ims_registry_job_answered(data);
}

/* IMGSTORE_EAGAIN: the hint is on its way; IMGSTORE_OK: it leads to a place that may not be asked. */
static int32_t give_up_upload(access_job *a) {
  const ims_request request = {.method = "DELETE",
                               .repository = a->repository,
                               .url = a->upload,
                               .object = "",
                               .accept = "application/json",
                               .actions = "pull,push",
                               .expects = {204, 200, 202},
                               .once = true};
  ims_registry_job *j = &a->base;
  ims_error why = IMS_ERROR_INIT;
  int32_t rc = ims_request_start(j->client, &request, on_given_up, a, &j->fetch, &why);
  ims_free(alloc_of(a), a->upload);
  a->upload = NULL;
  if (rc == IMGSTORE_ENOMEM)
    return ims_fail_nomem(&j->op.err);
  return rc ? IMGSTORE_OK : ims_registry_job_sent(j, IMGSTORE_OK);
}

static void on_delete(void *data, int32_t code, const ims_document *document, const ims_error *err) {
  access_job *a = data;
  if (!failed(a, code, err))
    note(a, IMGSTORE_ACCESS_DELETE, code, err);
  a->next = STEP_DONE;
  ims_registry_job_answered(&a->base);
}

static int32_t send_delete(access_job *a) {
  const ims_request request = {.method = "DELETE",
                               .repository = a->repository,
                               .path = "manifests/" NO_MANIFEST,
                               .object = "",
                               .accept = "application/json",
                               .actions = "delete",
                               .expects = {404, 202, 200, 204}};
  ims_registry_job *j = &a->base;
  return ims_registry_job_sent(j, ims_request_start(j->client, &request, on_delete, a, &j->fetch, &j->op.err));
}

/* --- the job
 * ----------------------------------------------------------------------------------------------------------- */

static int32_t conclude(access_job *a) {
  for (size_t i = 0; i < RIGHTS; i++) {
    bool may = (a->granted & rights[i].bit) != 0;
    if (!(a->wanted & rights[i].bit))
      continue;
    int32_t rc = ims_registry_job_report(&a->base, IMGSTORE_REPORT_ACCESS, rights[i].name, NULL,
                                         may ? NULL : a->refusal[i], may);
    if (rc)
      return rc;
  }
  if (a->granted || a->first.code != IMGSTORE_EUNAUTHORIZED)
    return IMGSTORE_OK;
  a->base.op.err = a->first; /* not a matter of rights: the login is no good */
  return IMGSTORE_EUNAUTHORIZED;
}

static int32_t step(ims_registry_job *job) {
  access_job *a = (access_job *)job;
  int32_t rc = a->upload ? give_up_upload(a) : IMGSTORE_OK;
  if (rc)
    return rc;
  switch (a->next) {
  case STEP_TOKEN:
    return send_list(a, a->wanted, on_token);
  case STEP_PULL:
    return send_list(a, IMGSTORE_ACCESS_PULL, on_pull);
  case STEP_PUSH:
    return send_upload(a);
  case STEP_DELETE:
    return send_delete(a);
  default:
    return conclude(a);
  }
}

static void clean(ims_registry_job *job) {
  access_job *a = (access_job *)job;
  ims_free(alloc_of(a), a->repository);
  ims_free(alloc_of(a), a->upload);
}

int32_t ims_registry_access_start(imgstore_operation **op, imgstore_registry *registry, const char *repository,
                                  uint32_t wanted, const imgstore_registry_job_options *options, ims_error *err) {
  ims_registry_job *job;
  int32_t rc = ims_repository_check(repository, strlen(repository), err);
  if (!rc)
    rc = ims_registry_job_new(&job, sizeof(access_job), registry, options, step, clean, err);
  if (rc)
    return rc;
  access_job *a = (access_job *)job;
  a->next = STEP_TOKEN;
  a->wanted = wanted;
  a->repository = ims_strdup(alloc_of(a), repository);
  if (!a->repository)
    return ims_registry_job_drop(job, ims_fail_nomem(&job->op.err), err);
  *op = &job->op;
  return IMGSTORE_OK;
}
