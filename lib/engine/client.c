/*
 * engine/client.c (L4) - the client: its list of fetches, the perform loop, time. What a fetch does is in
 * registry_fetch.c.
 */
#include "engine/client.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/registry_fetch.h"
#include "oci/mediatype.h"
#include "oci/reference.h"

enum { POLL_MS = 10, URLS_MAX = 16 };

int32_t ims_client_new(ims_client **client, imgstore_registry *registry, const ims_client_events *events,
                       const atomic_bool *cancelled, ims_error *err) {
  *client = NULL;
  int32_t rc = ims_registry_usable(registry, err);
  if (rc)
    return rc;
  ims_client *c = ims_calloc(&registry->core->alloc, 1, sizeof *c);
  if (!c)
    return ims_fail_nomem(err);
  rc = ims_registry_take_line(registry, &c->line, err);
  if (rc) {
    ims_free(&registry->core->alloc, c);
    return rc;
  }
  c->registry = ims_registry_ref(registry);
  if (events)
    c->events = *events;
  c->cancelled = cancelled;
  c->deadline_ms = registry->options.total_timeout ? -1 : 0;
  c->seed = (uint64_t)ims_wall_ns() ^ (uint64_t)(uintptr_t)c;
  *client = c;
  return IMGSTORE_OK;
}

static void destroy_list(ims_fetch *list) {
  while (list) {
    ims_fetch *next = list->next;
    ims_fetch_destroy(list);
    list = next;
  }
}

void ims_client_free(ims_client *client) {
  if (!client)
    return;
  imgstore_registry *registry = client->registry;
  destroy_list(client->live);
  destroy_list(client->queue);
  ims_registry_give_line(registry, client->line);
  ims_free(&registry->core->alloc, client);
  ims_registry_unref(registry);
}

bool ims_client_uses_mirrors(const ims_client *client) {
  return client->registry->mirror_count && !client->mirrors_off;
}

void ims_client_distrust_mirrors(ims_client *client) {
  client->mirrors_off = true;
}

int ims_client_fd(const ims_client *client) {
  const imgstore_transport *t = &client->line->transport;
  return t->poll_fd ? t->poll_fd(t->user_data) : -1;
}

static int64_t sooner(int64_t a, int64_t b) {
  return a < b ? a : b;
}

int32_t ims_client_timeout(ims_client *client, int64_t now_ms) {
  const imgstore_transport *t = &client->line->transport;
  int64_t due = INT64_MAX;
  bool running = false;
  if (client->started || (client->queue && client->blobs < client->registry->options.max_connections))
    return 0;
  for (const ims_fetch *f = client->live; f && due; f = f->next) {
    due = sooner(due, ims_fetch_due(f));
    running = running || f->open;
  }
  if ((client->live || client->queue) && client->deadline_ms)
    due = client->deadline_ms < 0 ? 0 : sooner(due, client->deadline_ms);
  int64_t wait = due == INT64_MAX ? -1 : due > now_ms ? due - now_ms : 0;
  int32_t transport_ms = running && t->timeout ? t->timeout(t->user_data) : -1;
  if (running && (!t->poll_fd || t->poll_fd(t->user_data) < 0))
    transport_ms = transport_ms < 0 || transport_ms > POLL_MS ? POLL_MS : transport_ms;
  if (transport_ms >= 0 && (wait < 0 || transport_ms < wait))
    wait = transport_ms;
  return wait > INT32_MAX ? INT32_MAX : (int32_t)wait;
}

static void append(ims_fetch **head, ims_fetch **tail, ims_fetch *fetch) {
  fetch->next = NULL;
  if (*tail)
    (*tail)->next = fetch;
  else
    *head = fetch;
  *tail = fetch;
}

static bool takes_turns(const ims_fetch *fetch) {
  return fetch->kind == IMS_FETCH_BLOB || fetch->kind == IMS_FETCH_UPLOAD;
}

void ims_fetch_enlist(ims_fetch *fetch) {
  ims_client *c = fetch->client;
  if (takes_turns(fetch))
    append(&c->queue, &c->queue_tail, fetch);
  else
    append(&c->live, &c->live_tail, fetch);
}

static void reap_list(ims_client *client, ims_fetch **head, ims_fetch **tail, bool live) {
  ims_fetch **link = head;
  *tail = NULL;
  while (*link) {
    ims_fetch *f = *link;
    if (f->dead) {
      *link = f->next;
      if (live && takes_turns(f))
        client->blobs--;
      ims_fetch_destroy(f);
    } else {
      *tail = f;
      link = &f->next;
    }
  }
}

/* Frees what is over; only when no call of the client or of its transport is on the stack. */
static void reap(ims_client *client) {
  if (client->depth || client->line->depth)
    return;
  reap_list(client, &client->live, &client->live_tail, true);
  reap_list(client, &client->queue, &client->queue_tail, false);
}

/* A blob keeps its place until it is over: one that waits for its next try is not overtaken by later ones. */
static void admit(ims_client *client) {
  while (client->queue && client->blobs < client->registry->options.max_connections) {
    ims_fetch *f = client->queue;
    client->queue = f->next;
    if (!client->queue)
      client->queue_tail = NULL;
    client->blobs++;
    append(&client->live, &client->live_tail, f);
  }
}

static void drive_all(ims_client *client) {
  admit(client);
  for (ims_fetch *f = client->live; f; f = f->next)
    if (!f->dead)
      ims_fetch_drive(f);
}

static void end_all(ims_client *client) {
  ims_fetch *lists[] = {client->live, client->queue};
  for (size_t i = 0; i < 2; i++)
    for (ims_fetch *f = lists[i]; f; f = f->next) {
      if (f->dead)
        continue;
      ims_error_clear(&f->err);
      ims_fail(&f->err, IMGSTORE_ETIMEOUT, "%s: the operation took longer than %u ms", f->what,
               (unsigned)client->registry->options.total_timeout);
      f->step = SIZE_MAX; /* no endpoint after this one */
      ims_fetch_failed(f);
    }
}

void ims_client_perform(ims_client *client, int64_t now_ms) {
  const imgstore_transport *t = &client->line->transport;
  client->now_ms = now_ms;
  if (client->deadline_ms < 0)
    client->deadline_ms = now_ms + client->registry->options.total_timeout;
  client->depth++;
  drive_all(client);
  client->started = false;
  client->line->depth++;
  t->perform(t->user_data, 0);
  client->line->depth--;
  drive_all(client);
  if (client->deadline_ms && now_ms >= client->deadline_ms)
    end_all(client);
  client->depth--;
  reap(client);
}

ims_fetch *ims_fetch_new(ims_client *client, int kind, const char *what, const char *object, ims_error *err) {
  const imgstore_registry_options *o = &client->registry->options;
  const ims_alloc *a = &client->registry->core->alloc;
  const ims_call_limits limits = {o->max_redirects, o->retries, o->retry_delay, o->max_retry_delay};
  ims_fetch *f = ims_calloc(a, 1, sizeof *f);
  if (!f) {
    ims_fail_nomem(err);
    return NULL;
  }
  f->client = client;
  f->kind = kind;
  f->state = IMS_FETCH_READY;
  f->actions = "pull";
  f->no_mirrors = client->mirrors_off;
  f->exchange.alloc = a;
  f->what = ims_strdup(a, what);
  f->object = ims_strdup(a, object);
  f->repository = ims_strdup(a, "");
  client->seed += 0x9e3779b97f4a7c15u;
  ims_call_init(&f->call, a, f->what, &limits, client->seed);
  ims_buf_init(&f->body, a, IMS_ANSWER_BODY_MAX);
  if (f->what && f->object && f->repository)
    return f;
  ims_fail_nomem(err);
  ims_fetch_destroy(f);
  return NULL;
}

void ims_fetch_destroy(ims_fetch *f) {
  if (!f)
    return;
  const ims_alloc *a = &f->client->registry->core->alloc;
  ims_fetch_close(f);
  ims_token_job_free(f);
  ims_sending_free(f);
  for (size_t i = 0; i < f->url_count; i++)
    ims_free(a, f->urls[i]);
  ims_free(a, f->urls);
  ims_free(a, f->what);
  ims_free(a, f->object);
  ims_free(a, f->repository);
  ims_free(a, f->path);
  ims_free(a, f->target);
  ims_free(a, f->more_scopes);
  for (size_t i = 0; i < f->extra_count; i++)
    ims_free(a, f->extra[i].value);
  ims_free(a, f->scopes);
  ims_free_secret(a, f->authorization);
  if (f->kind == IMS_FETCH_TOKEN)
    ims_buf_free_secret(&f->body);
  else
    ims_buf_free(&f->body);
  ims_call_free(&f->call);
  ims_free(a, f);
}

int32_t ims_fetch_launch(ims_fetch *f, int32_t rc, ims_fetch **fetch, ims_error *err) {
  if (!rc)
    rc = ims_fetch_aim(f, err);
  if (rc) {
    ims_fetch_destroy(f);
    return rc;
  }
  ims_fetch_enlist(f);
  if (fetch)
    *fetch = f;
  return IMGSTORE_OK;
}

static int32_t set_path(ims_fetch *f, const char *repository, const char *folder, const char *name, ims_error *err) {
  const ims_alloc *a = &f->client->registry->core->alloc;
  ims_buf path;
  ims_free(a, f->repository);
  f->repository = ims_strdup(a, repository);
  ims_buf_init(&path, a, IMS_URL_MAX);
  ims_buf_printf(&path, "%s/%s", folder, name);
  f->path = ims_buf_detach(&path, NULL);
  ims_buf_free(&path);
  return f->repository && f->path ? IMGSTORE_OK : ims_fail_nomem(err);
}

void ims_fetch_name(const ims_client *client, const char *repository, const char *reference, char *out,
                    size_t capacity) {
  const char *separator = !*reference ? "" : strchr(reference, ':') ? "@" : ":";
  snprintf(out, capacity, "%s/%s%s%s", client->registry->own->host, repository, separator, reference);
}

int32_t ims_fetch_manifest(ims_client *client, const char *repository, const char *reference, bool head,
                           uint64_t max_size, ims_document_fn done, void *data, ims_fetch **fetch, ims_error *err) {
  char what[600];
  ims_digest digest;
  if (fetch)
    *fetch = NULL;
  bool by_digest = strchr(reference, ':') != NULL;
  int32_t rc = ims_repository_check(repository, strlen(repository), err);
  if (!rc)
    rc = by_digest ? ims_digest_parse(&digest, reference, strlen(reference), err)
                   : ims_tag_check(reference, strlen(reference), err);
  if (rc)
    return rc;
  ims_fetch_name(client, repository, reference, what, sizeof what);
  ims_fetch *f = ims_fetch_new(client, IMS_FETCH_DOCUMENT, what, reference, err);
  if (!f)
    return IMGSTORE_ENOMEM;
  f->by_digest = by_digest;
  f->accept = ims_media_manifest_accept();
  f->head = head;
  f->size = max_size;
  f->document_done = done;
  f->document_data = data;
  return ims_fetch_launch(f, set_path(f, repository, "manifests", reference, err), fetch, err);
}

int32_t ims_fetch_path(ims_client *client, const char *repository, const char *path, const char *what,
                       uint64_t max_size, ims_document_fn done, void *data, ims_fetch **fetch, ims_error *err) {
  const ims_alloc *a = &client->registry->core->alloc;
  ims_fetch *f = ims_fetch_new(client, IMS_FETCH_DOCUMENT, what, what, err);
  if (!f)
    return IMGSTORE_ENOMEM;
  ims_free(a, f->repository);
  f->repository = ims_strdup(a, repository);
  f->path = ims_strdup(a, path);
  f->own_only = true;
  f->accept = "application/json";
  f->size = max_size;
  f->document_done = done;
  f->document_data = data;
  return ims_fetch_launch(f, f->repository && f->path ? IMGSTORE_OK : ims_fail_nomem(err), fetch, err);
}

static int32_t copy_urls(ims_fetch *f, const ims_blob_request *request, ims_error *err) {
  const ims_alloc *a = &f->client->registry->core->alloc;
  size_t count = request->url_count < URLS_MAX ? request->url_count : URLS_MAX;
  if (!count || !(f->client->registry->options.flags & IMGSTORE_REGISTRY_FOREIGN_URLS))
    return IMGSTORE_OK;
  f->urls = ims_calloc(a, count, sizeof *f->urls);
  if (!f->urls)
    return ims_fail_nomem(err);
  for (; f->url_count < count; f->url_count++)
    if (!(f->urls[f->url_count] = ims_strdup(a, request->urls[f->url_count])))
      return ims_fail_nomem(err);
  return IMGSTORE_OK;
}

int32_t ims_fetch_blob(ims_client *client, const ims_blob_request *request, const ims_blob_sink *sink,
                       ims_fetch **fetch, ims_error *err) {
  char what[600];
  if (fetch)
    *fetch = NULL;
  int32_t rc = ims_repository_check(request->repository, strlen(request->repository), err);
  if (rc)
    return rc;
  ims_fetch_name(client, request->repository, request->digest.text, what, sizeof what);
  ims_fetch *f = ims_fetch_new(client, IMS_FETCH_BLOB, what, request->digest.text, err);
  if (!f)
    return IMGSTORE_ENOMEM;
  f->by_digest = true;
  f->size = f->call.size = request->size;
  f->call.ranged = true;
  f->sink = *sink;
  rc = copy_urls(f, request, err);
  if (!rc)
    rc = set_path(f, request->repository, "blobs", request->digest.text, err);
  return ims_fetch_launch(f, rc, fetch, err);
}

void ims_fetch_resume(ims_fetch *fetch) {
  if (fetch)
    fetch->resume = true;
}

void ims_fetch_cancel(ims_fetch *fetch) {
  if (!fetch || fetch->dead)
    return;
  fetch->dead = true;
  reap(fetch->client);
}
