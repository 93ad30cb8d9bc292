/*
 * engine/registry_auth.c (L4) - what a fetch presents: credentials, tokens from the cache, and the fetch that brings a
 * token while others wait. Secrets live in fetches and in the handle's cache, and are wiped there.
 */
#include <string.h>

#include "engine/registry_fetch.h"

static const ims_alloc *alloc_of(const ims_fetch *f) {
  return &f->client->registry->core->alloc;
}

static ims_secret secret_of(const ims_credential *c) {
  return (ims_secret){c->username, c->password, c->identity_token};
}

static bool is_anonymous(const ims_credential *c) {
  return !c->identity_token && !(c->username && c->password);
}

/* The repository as the endpoint knows it. */
static int32_t full_repository(const ims_fetch *f, char **out, ims_error *err) {
  ims_buf name;
  ims_buf_init(&name, alloc_of(f), IMS_URL_MAX);
  ims_buf_printf(&name, "%s%s", f->repository[0] ? f->endpoint->prefix : "", f->repository);
  *out = ims_buf_detach(&name, NULL);
  ims_buf_free(&name);
  return *out ? IMGSTORE_OK : ims_fail_nomem(err);
}

static int32_t find_credential(ims_fetch *f, ims_credential *credential, ims_error *err) {
  char *repository;
  memset(credential, 0, sizeof *credential);
  int32_t rc = full_repository(f, &repository, err);
  if (rc)
    return rc;
  rc = ims_registry_credential(f->client->registry, f->endpoint, repository, f->client->cancelled, credential, err);
  ims_free(alloc_of(f), repository);
  return rc;
}

/* What the fetch or request needs, until the endpoint demands something else. */
static int32_t default_scopes(ims_fetch *f, ims_error *err) {
  char *repository;
  if (f->scopes)
    return IMGSTORE_OK;
  int32_t rc = full_repository(f, &repository, err);
  if (rc)
    return rc;
  ims_buf scopes;
  ims_buf_init(&scopes, alloc_of(f), IMS_URL_MAX);
  if (*repository)
    ims_buf_printf(&scopes, "repository:%s:%s", repository, f->actions);
  if (f->more_scopes)
    ims_buf_printf(&scopes, "%s%s", *repository ? " " : "", f->more_scopes);
  f->scopes = ims_buf_detach(&scopes, NULL);
  ims_buf_free(&scopes);
  ims_free(alloc_of(f), repository);
  return f->scopes ? IMGSTORE_OK : ims_fail_nomem(err);
}

static int32_t set_basic(ims_fetch *f, const ims_credential *credential, ims_error *err) {
  ims_secret secret = secret_of(credential);
  return ims_basic_value(&f->authorization, alloc_of(f), &secret, err);
}

static int32_t authorize_basic(ims_fetch *f, ims_error *err) {
  ims_credential credential;
  int32_t rc = find_credential(f, &credential, err);
  if (!rc && is_anonymous(&credential) && f->demanded) {
    rc = ims_fail(err, IMGSTORE_EUNAUTHORIZED, "%s: %s wants a user name and password", f->what, f->endpoint->host);
    err->http_status = 401;
  } else if (!rc)
    rc = set_basic(f, &credential, err);
  ims_credential_free(f->client->registry->core, &credential);
  return rc;
}

/* --- token fetches
 * ------------------------------------------------------------------------------------------------------ */

void ims_token_job_free(ims_fetch *f) {
  ims_token_job *t = f->token;
  if (!t)
    return;
  ims_challenge_free(&t->challenge, alloc_of(f));
  ims_free(alloc_of(f), t->scopes);
  ims_credential_free(f->client->registry->core, &t->credential);
  if (t->form.alloc)
    ims_buf_free_secret(&t->form);
  ims_free(alloc_of(f), t);
  f->token = NULL;
}

static bool same_text(const char *a, const char *b) {
  return a && b ? strcmp(a, b) == 0 : a == b;
}

static ims_fetch *find_job(ims_client *client, const ims_endpoint *endpoint, const ims_challenge *challenge,
                           const char *scopes) {
  for (ims_fetch *f = client->live; f; f = f->next)
    if (!f->dead && f->token && f->endpoint == endpoint && same_text(f->token->challenge.realm, challenge->realm) &&
        same_text(f->token->challenge.service, challenge->service) && ims_scope_equal(f->token->scopes, scopes))
      return f;
  return NULL;
}

/*
 * The realm is told by whoever answered: it must be a place that the registry may send credentials to. A registry that
 * is spoken to in http only because it knows no TLS does not take them off this machine that way.
 */
static int32_t permit_realm(const ims_fetch *f, const ims_url *home, const ims_url *realm, ims_error *err) {
  int32_t rc = ims_url_permit(home, home, realm, f->what, err);
  if (rc || realm->https || f->endpoint->plain_http ||
      ims_net_class(realm->text + realm->host_at, realm->host_size) == IMS_NET_LOOPBACK)
    return rc;
  return ims_fail(err, IMGSTORE_EPROTOCOL, "%s: %.*s is not https, and plain http was not asked for", f->what,
                  (int)realm->origin_size, realm->text);
}

static int32_t aim_at_realm(ims_fetch *f, const ims_url *home, ims_error *err) {
  ims_token_job *t = f->token;
  ims_secret secret = secret_of(&t->credential);
  ims_url url;
  char *text = NULL;
  int32_t rc = t->posting ? ims_token_form(&t->form, &t->challenge, t->scopes, &secret, err)
                          : ims_token_url(&text, alloc_of(f), &t->challenge, t->scopes, &secret, err);
  if (rc)
    return rc;
  rc = ims_url_parse(&url, alloc_of(f), text ? text : t->challenge.realm, f->what, err);
  ims_free(alloc_of(f), text);
  if (rc)
    return rc;
  rc = permit_realm(f, home, &url, err);
  if (!rc)
    rc = ims_call_aim(&f->call, home, &url, err);
  f->call.fixed = t->posting;
  ims_url_free(alloc_of(f), &url);
  return rc;
}

static int32_t fill_job(ims_fetch *job, ims_fetch *asker, ims_challenge *challenge, ims_error *err) {
  ims_token_job *t = ims_calloc(alloc_of(job), 1, sizeof *t);
  if (!t)
    return ims_fail_nomem(err);
  job->token = t;
  job->endpoint = asker->endpoint;
  job->accept = "application/json";
  job->own_only = true;
  ims_buf_init(&t->form, alloc_of(job), 256 * 1024);
  t->challenge = *challenge;
  memset(challenge, 0, sizeof *challenge);
  t->scopes = ims_strdup(alloc_of(job), asker->scopes);
  if (!t->scopes)
    return ims_fail_nomem(err);
  int32_t rc = find_credential(asker, &t->credential, err);
  t->posting = t->credential.identity_token != NULL;
  return rc ? rc : aim_at_realm(job, &asker->call.home, err);
}

/* Takes over the content of challenge. */
static int32_t start_job(ims_fetch *asker, ims_challenge *challenge, ims_error *err) {
  char what[300] = "token server of ";
  strncat(what, asker->endpoint->host, sizeof what - strlen(what) - 1);
  ims_fetch *job = ims_fetch_new(asker->client, IMS_FETCH_TOKEN, what, what, err);
  if (!job)
    return IMGSTORE_ENOMEM;
  int32_t rc = fill_job(job, asker, challenge, err);
  if (rc) {
    ims_fetch_destroy(job);
    return rc;
  }
  ims_fetch_enlist(job);
  asker->waits_for = job;
  return IMGSTORE_EAGAIN;
}

static int32_t authorize_bearer(ims_fetch *f, ims_challenge *challenge, ims_error *err) {
  char *token;
  int32_t rc = default_scopes(f, err);
  if (!rc)
    rc = ims_registry_token(f->client->registry, f->endpoint, challenge, f->scopes, f->client->now_ms, &token, err);
  if (rc)
    return rc;
  if (token) {
    rc = ims_bearer_value(&f->authorization, alloc_of(f), token, err);
    ims_free_secret(alloc_of(f), token);
    return rc;
  }
  f->waits_for = find_job(f->client, f->endpoint, challenge, f->scopes);
  return f->waits_for ? IMGSTORE_EAGAIN : start_job(f, challenge, err);
}

/* A request that the registry sent to another origin: what is there knows nothing of our credentials. */
static bool is_elsewhere(const ims_fetch *f) {
  return (f->target || f->sending) && !ims_url_same_origin(&f->call.at, &f->call.home);
}

int32_t ims_fetch_authorize(ims_fetch *f, ims_error *err) {
  ims_challenge challenge;
  ims_free_secret(alloc_of(f), f->authorization);
  f->authorization = NULL;
  if (!f->endpoint || !ims_call_may_authorize(&f->call) || is_elsewhere(f))
    return IMGSTORE_OK;
  if (f->token)
    return f->token->posting ? IMGSTORE_OK : set_basic(f, &f->token->credential, err);
  int32_t rc = ims_registry_challenge(f->client->registry, f->endpoint, &challenge, err);
  if (!rc && challenge.scheme == IMS_AUTH_BASIC)
    rc = authorize_basic(f, err);
  else if (!rc && challenge.scheme == IMS_AUTH_BEARER)
    rc = authorize_bearer(f, &challenge, err);
  ims_challenge_free(&challenge, alloc_of(f));
  return rc;
}

static bool take_challenge(ims_fetch *f, const ims_challenge *challenge, ims_error *err) {
  char *merged;
  if (challenge->scheme == IMS_AUTH_BEARER) {
    if (default_scopes(f, err) != IMGSTORE_OK ||
        ims_scope_merge(&merged, alloc_of(f), challenge->scope, f->scopes, err) != IMGSTORE_OK)
      return false;
    ims_free(alloc_of(f), f->scopes);
    f->scopes = merged;
  }
  return ims_registry_remember(f->client->registry, f->endpoint, challenge, err) == IMGSTORE_OK;
}

bool ims_fetch_challenged(ims_fetch *f) {
  ims_challenges list = {0, {{0, NULL, NULL, NULL}}};
  ims_reply reply = ims_fetch_reply(f);
  ims_error why = IMS_ERROR_INIT;
  const char *value;
  bool basic = f->authorization && strncmp(f->authorization, "Basic ", 6) == 0;
  if (f->token || !f->endpoint || is_elsewhere(f) || f->refreshed || (f->demanded && !f->authorization))
    return false;
  for (size_t i = 0; i < IMS_CHALLENGE_MAX && (value = reply.field(reply.source, "WWW-Authenticate", i)); i++)
    if (ims_challenges_add(&list, alloc_of(f), value, &why) != IMGSTORE_OK)
      break;
  const ims_challenge *chosen = ims_challenges_choose(&list);
  bool fresh = !why.code && chosen && !(basic && chosen->scheme == IMS_AUTH_BASIC);
  if (fresh && f->authorization) {
    f->refreshed = true;
    ims_registry_drop_token(f->client->registry, f->authorization);
  }
  f->demanded = true;
  if (fresh)
    fresh = take_challenge(f, chosen, &why);
  ims_challenges_free(&list, alloc_of(f));
  if (why.code)
    f->err = why;
  return fresh;
}

/* --- the end of a token fetch
 * --------------------------------------------------------------------------------------------- */

static void release(ims_fetch *job) {
  for (ims_fetch *f = job->client->live; f; f = f->next) {
    if (f->waits_for != job || f->dead)
      continue;
    f->waits_for = NULL;
    f->state = IMS_FETCH_READY;
    if (!job->err.code)
      continue;
    f->err = job->err;
    if (!ims_sending_dodges(f))
      ims_fetch_failed(f);
  }
}

void ims_token_failed(ims_fetch *job) {
  release(job);
}

void ims_token_arrived(ims_fetch *job) {
  ims_token_job *t = job->token;
  ims_token token;
  int32_t rc = ims_token_parse(&token, alloc_of(job), ims_buf_text(&job->body), job->body.size, job->what, &job->err);
  if (!rc) {
    /* used up a tenth early: a request takes its time too */
    int64_t until = job->started_ms + token.lifetime_ms - token.lifetime_ms / 10;
    rc = ims_registry_put_token(job->client->registry, job->endpoint, &t->challenge, t->scopes, token.text, until,
                                &job->err);
    ims_free_secret(alloc_of(job), token.text);
  }
  job->dead = true;
  ims_fetch_close(job);
  release(job);
}

bool ims_token_refused(ims_fetch *job) {
  ims_token_job *t = job->token;
  ims_error why = IMS_ERROR_INIT;
  if (!t->posting || !ims_token_post_unknown(job->err.http_status))
    return false;
  t->posting = false;
  ims_url home;
  bool again = ims_url_copy(&home, alloc_of(job), &job->call.home, &why) == IMGSTORE_OK;
  if (again) {
    again = aim_at_realm(job, &home, &why) == IMGSTORE_OK;
    ims_url_free(alloc_of(job), &home);
  }
  if (again) {
    ims_error_clear(&job->err);
    job->state = IMS_FETCH_READY;
  }
  return again;
}
