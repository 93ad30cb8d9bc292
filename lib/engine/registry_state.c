/*
 * engine/registry_state.c (L4) - what a registry handle remembers between requests: demands, tokens, credentials,
 * hold-backs. Everything is copied in and out under the handle's mutex.
 */
#include <string.h>

#include "engine/registry_handle.h"
#include "registry/token.h"

static bool same_text(const char *a, const char *b) {
  return a && b ? strcmp(a, b) == 0 : a == b;
}

void ims_challenge_free(ims_challenge *challenge, const ims_alloc *alloc) {
  ims_free(alloc, challenge->realm);
  ims_free(alloc, challenge->service);
  ims_free(alloc, challenge->scope);
  memset(challenge, 0, sizeof *challenge);
}

static int32_t copy_text(const ims_alloc *a, char **to, const char *from, ims_error *err) {
  *to = from ? ims_strdup(a, from) : NULL;
  return from && !*to ? ims_fail_nomem(err) : IMGSTORE_OK;
}

int32_t ims_registry_challenge(imgstore_registry *registry, const ims_endpoint *endpoint, ims_challenge *challenge,
                               ims_error *err) {
  const ims_alloc *a = &registry->core->alloc;
  memset(challenge, 0, sizeof *challenge);
  pthread_mutex_lock(&registry->mutex);
  challenge->scheme = endpoint->auth;
  int32_t rc = copy_text(a, &challenge->realm, endpoint->realm, err);
  if (!rc)
    rc = copy_text(a, &challenge->service, endpoint->service, err);
  pthread_mutex_unlock(&registry->mutex);
  if (rc)
    ims_challenge_free(challenge, a);
  return rc;
}

int32_t ims_registry_remember(imgstore_registry *registry, ims_endpoint *endpoint, const ims_challenge *challenge,
                              ims_error *err) {
  const ims_alloc *a = &registry->core->alloc;
  char *realm = NULL, *service = NULL;
  int32_t rc = copy_text(a, &realm, challenge->realm, err);
  if (!rc)
    rc = copy_text(a, &service, challenge->service, err);
  if (!rc) {
    pthread_mutex_lock(&registry->mutex);
    char *old_realm = endpoint->realm, *old_service = endpoint->service;
    endpoint->auth = challenge->scheme;
    endpoint->realm = realm;
    endpoint->service = service;
    pthread_mutex_unlock(&registry->mutex);
    realm = old_realm;
    service = old_service;
  }
  ims_free(a, realm);
  ims_free(a, service);
  return rc;
}

static void token_free(const ims_alloc *a, ims_cached_token *t) {
  ims_free(a, t->realm);
  ims_free(a, t->service);
  ims_free(a, t->scopes);
  ims_free_secret(a, t->text);
  memset(t, 0, sizeof *t);
}

static ims_cached_token *find_token(imgstore_registry *registry, const ims_endpoint *endpoint,
                                    const ims_challenge *challenge, const char *scopes) {
  for (size_t i = 0; i < IMS_TOKENS_MAX; i++) {
    ims_cached_token *t = &registry->tokens[i];
    if (t->text && t->endpoint == endpoint && same_text(t->realm, challenge->realm) &&
        same_text(t->service, challenge->service) && ims_scope_equal(t->scopes, scopes))
      return t;
  }
  return NULL;
}

int32_t ims_registry_token(imgstore_registry *registry, const ims_endpoint *endpoint, const ims_challenge *challenge,
                           const char *scopes, int64_t now_ms, char **token, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  *token = NULL;
  pthread_mutex_lock(&registry->mutex);
  const ims_cached_token *t = find_token(registry, endpoint, challenge, scopes);
  if (t && t->until_ms > now_ms)
    rc = copy_text(&registry->core->alloc, token, t->text, err);
  pthread_mutex_unlock(&registry->mutex);
  return rc;
}

int32_t ims_registry_put_token(imgstore_registry *registry, const ims_endpoint *endpoint,
                               const ims_challenge *challenge, const char *scopes, const char *token, int64_t until_ms,
                               ims_error *err) {
  const ims_alloc *a = &registry->core->alloc;
  ims_cached_token fresh = {endpoint, NULL, NULL, NULL, NULL, until_ms};
  int32_t rc = copy_text(a, &fresh.realm, challenge->realm, err);
  if (!rc)
    rc = copy_text(a, &fresh.service, challenge->service, err);
  if (!rc)
    rc = copy_text(a, &fresh.scopes, scopes, err);
  if (!rc)
    rc = copy_text(a, &fresh.text, token, err);
  if (!rc) {
    pthread_mutex_lock(&registry->mutex);
    ims_cached_token *t = find_token(registry, endpoint, challenge, scopes);
    if (!t) {
      t = &registry->tokens[registry->token_next];
      registry->token_next = (registry->token_next + 1) % IMS_TOKENS_MAX;
    }
    ims_cached_token old = *t;
    *t = fresh;
    fresh = old;
    pthread_mutex_unlock(&registry->mutex);
  }
  token_free(a, &fresh);
  return rc;
}

void ims_registry_drop_token(imgstore_registry *registry, const char *value) {
  size_t bearer = strlen("Bearer ");
  if (strncmp(value, "Bearer ", bearer) != 0)
    return;
  pthread_mutex_lock(&registry->mutex);
  for (size_t i = 0; i < IMS_TOKENS_MAX; i++) {
    ims_cached_token *t = &registry->tokens[i];
    if (t->text && strcmp(t->text, value + bearer) == 0)
      token_free(&registry->core->alloc, t);
  }
  pthread_mutex_unlock(&registry->mutex);
}

static int32_t copy_credential(ims_core *core, ims_credential *to, const char *username, const char *password,
                               const char *identity_token, ims_error *err) {
  memset(to, 0, sizeof *to);
  int32_t rc = copy_text(&core->alloc, &to->username, username, err);
  if (!rc)
    rc = copy_text(&core->alloc, &to->password, password, err);
  if (!rc)
    rc = copy_text(&core->alloc, &to->identity_token, identity_token, err);
  if (rc)
    ims_credential_free(core, to);
  return rc;
}

static ims_cached_credential *find_credential(imgstore_registry *registry, const ims_endpoint *endpoint,
                                              const char *repository) {
  for (ims_cached_credential *c = registry->credentials; c; c = c->next)
    if (c->endpoint == endpoint && strcmp(c->repository, repository) == 0)
      return c;
  return NULL;
}

static void cached_credential_free(imgstore_registry *registry, ims_cached_credential *c) {
  if (!c)
    return;
  ims_credential_free(registry->core, &c->credential);
  ims_free(&registry->core->alloc, c->repository);
  ims_free(&registry->core->alloc, c);
}

/* Keeps what files and helpers said, so that a helper runs once. Not to have the memory for that is no failure. */
static void keep_credential(imgstore_registry *registry, const ims_endpoint *endpoint, const char *repository,
                            const ims_credential *credential) {
  ims_core *core = registry->core;
  ims_cached_credential *c = ims_calloc(&core->alloc, 1, sizeof *c);
  if (!c)
    return;
  c->endpoint = endpoint;
  c->repository = ims_strdup(&core->alloc, repository);
  if (!c->repository || copy_credential(core, &c->credential, credential->username, credential->password,
                                        credential->identity_token, NULL) != IMGSTORE_OK) {
    cached_credential_free(registry, c);
    return;
  }
  pthread_mutex_lock(&registry->mutex);
  size_t count = 0;
  for (const ims_cached_credential *at = registry->credentials; at; at = at->next)
    count++;
  bool keep = count < IMS_TOKENS_MAX && !find_credential(registry, endpoint, repository);
  if (keep) {
    c->next = registry->credentials;
    registry->credentials = c;
  }
  pthread_mutex_unlock(&registry->mutex);
  if (!keep)
    cached_credential_free(registry, c);
}

int32_t ims_registry_credential(imgstore_registry *registry, const ims_endpoint *endpoint, const char *repository,
                                const atomic_bool *cancelled, ims_credential *credential, ims_error *err) {
  const imgstore_registry_options *o = &registry->options;
  const ims_credential_sources sources = {o->docker_config, o->auth_file,
                                          (o->flags & IMGSTORE_REGISTRY_USE_ENVIRONMENT) != 0};
  memset(credential, 0, sizeof *credential);
  if (!endpoint->is_mirror && (o->username || o->identity_token))
    return copy_credential(registry->core, credential, o->username, o->password, o->identity_token, err);
  if (!sources.docker_config && !sources.auth_file && !sources.environment)
    return IMGSTORE_OK;
  int32_t rc = IMGSTORE_OK;
  pthread_mutex_lock(&registry->mutex);
  const ims_cached_credential *c = find_credential(registry, endpoint, repository);
  if (c)
    rc = copy_credential(registry->core, credential, c->credential.username, c->credential.password,
                         c->credential.identity_token, err);
  bool known = c != NULL;
  pthread_mutex_unlock(&registry->mutex);
  if (known)
    return rc;
  rc = ims_credentials_find(registry->core, &sources, endpoint->host, repository, cancelled, credential, err);
  if (!rc)
    keep_credential(registry, endpoint, repository, credential);
  return rc;
}

void ims_registry_hold(imgstore_registry *registry, const ims_url *url, int64_t until_ms) {
  const ims_alloc *a = &registry->core->alloc;
  char *origin = ims_strndup(a, url->text, url->origin_size);
  if (!origin)
    return; /* the request that was refused waits all the same */
  pthread_mutex_lock(&registry->mutex);
  ims_hold *place = &registry->holds[0];
  for (size_t i = 0; i < IMS_HOLDS_MAX; i++) {
    ims_hold *h = &registry->holds[i];
    if (h->origin && strcmp(h->origin, origin) == 0) {
      place = h;
      break;
    }
    if (h->until_ms < place->until_ms)
      place = h;
  }
  char *old = place->origin;
  bool same = same_text(old, origin);
  place->origin = origin;
  place->until_ms = same && place->until_ms > until_ms ? place->until_ms : until_ms;
  pthread_mutex_unlock(&registry->mutex);
  ims_free(a, old);
}

int64_t ims_registry_held_until(imgstore_registry *registry, const ims_url *url) {
  int64_t until = 0;
  pthread_mutex_lock(&registry->mutex);
  for (size_t i = 0; i < IMS_HOLDS_MAX; i++) {
    const ims_hold *h = &registry->holds[i];
    if (h->origin && strlen(h->origin) == url->origin_size && memcmp(h->origin, url->text, url->origin_size) == 0)
      until = h->until_ms;
  }
  pthread_mutex_unlock(&registry->mutex);
  return until;
}

void ims_registry_state_free(imgstore_registry *registry) {
  const ims_alloc *a = &registry->core->alloc;
  for (size_t i = 0; i < IMS_TOKENS_MAX; i++)
    token_free(a, &registry->tokens[i]);
  for (size_t i = 0; i < IMS_HOLDS_MAX; i++)
    ims_free(a, registry->holds[i].origin);
  while (registry->credentials) {
    ims_cached_credential *next = registry->credentials->next;
    cached_credential_free(registry, registry->credentials);
    registry->credentials = next;
  }
}
