/*
 * engine/registry_handle.h (L4) - what imgstore_registry is inside: options, endpoints (mirrors and the registry
 * itself), and what operations learn and share: tokens, credentials, schemes, hold-backs, idle transports.
 *
 * Clients of one handle may run on several threads: everything below the mutex is guarded by it, the rest does not
 * change after it was made. A built-in transport belongs to one client at a time and goes back to the handle with its
 * connections; a transport of the caller's is shared by all clients, which therefore must run on one thread.
 */
#ifndef IMS_ENGINE_REGISTRY_HANDLE_H
#define IMS_ENGINE_REGISTRY_HANDLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/core.h"
#include "base/error.h"
#include "engine/credentials.h"
#include "imgstore/registry.h"
#include "registry/challenge.h"
#include "registry/url.h"

enum { IMS_MIRRORS_MAX = 16, IMS_IDLE_LINES = 4, IMS_TOKENS_MAX = 64, IMS_HOLDS_MAX = 32 };

enum { IMS_SCHEME_OPEN = 0, IMS_SCHEME_HTTPS, IMS_SCHEME_HTTP };

typedef struct ims_endpoint {
  char *host;   /**< as named: "docker.io", "mirror.example:5000" */
  char *wire;   /**< who is asked: "registry-1.docker.io" */
  char *prefix; /**< of repositories on a mirror, with a slash at its end, or "" */
  bool is_mirror, digest_only, insecure_tls;
  bool plain_http;                      /**< by the caller's choice, not because it turned out that it speaks no TLS */
  char *ca_file, *cert_file, *key_file; /**< or NULL */
  /* guarded */
  int scheme;            /**< IMS_SCHEME_*; OPEN: a loopback host that was not asked yet */
  int auth;              /**< IMS_AUTH_*: what it demanded last */
  char *realm, *service; /**< of a Bearer challenge */
} ims_endpoint;

/** A transport and whether one of its calls is on the stack. */
typedef struct ims_line {
  imgstore_transport transport;
  int depth;
} ims_line;

typedef struct ims_cached_token {
  const ims_endpoint *endpoint;
  char *realm, *service, *scopes;
  char *text; /**< secret */
  int64_t until_ms;
} ims_cached_token;

typedef struct ims_cached_credential {
  struct ims_cached_credential *next;
  const ims_endpoint *endpoint;
  char *repository;
  ims_credential credential;
} ims_cached_credential;

typedef struct ims_hold {
  char *origin;
  int64_t until_ms;
} ims_hold;

struct imgstore_registry {
  atomic_uint refs;
  ims_core *core;
  imgstore_registry_options options; /**< strings owned; transport NULL unless the caller gave one */
  char *env_http_proxy, *env_https_proxy, *env_no_proxy;
  ims_line *custom; /**< the caller's transport, or NULL */
  ims_endpoint *own;
  pthread_mutex_t mutex;
  /* guarded */
  ims_endpoint *mirrors[IMS_MIRRORS_MAX]; /**< entries are never removed */
  size_t mirror_count;
  ims_line *idle[IMS_IDLE_LINES];
  size_t idle_count;
  ims_cached_token tokens[IMS_TOKENS_MAX];
  size_t token_next; /**< the oldest, replaced next */
  ims_cached_credential *credentials;
  ims_hold holds[IMS_HOLDS_MAX];
};

/** options: complete, strings borrowed. */
int32_t ims_registry_new(imgstore_registry **registry, ims_core *core, const char *host,
                         const imgstore_registry_options *options, ims_error *err);
imgstore_registry *ims_registry_ref(imgstore_registry *registry);
void ims_registry_unref(imgstore_registry *registry);
/** The defaults of every option. */
void ims_registry_defaults(imgstore_registry_options *options);
int32_t ims_registry_add_mirror(imgstore_registry *registry, const char *host, uint32_t flags, ims_error *err);
/** Refuses in a process that a fork made. */
int32_t ims_registry_usable(const imgstore_registry *registry, ims_error *err);

/** Endpoint i of those asked in order (mirrors that may answer, then the registry), or NULL. */
ims_endpoint *ims_registry_endpoint(imgstore_registry *registry, size_t i, bool by_digest, bool own_only);
/** The URL of path ("/v2/...") on an endpoint, by the scheme that is known or tried first. */
int32_t ims_registry_url(imgstore_registry *registry, const ims_endpoint *endpoint, const char *path, ims_url *url,
                         ims_error *err);
/** The endpoint speaks no TLS: true when plain http may be spoken to it from now on. */
bool ims_registry_fall_back(imgstore_registry *registry, ims_endpoint *endpoint);
/** The endpoint answered: a scheme that was open is settled. */
void ims_registry_settle(imgstore_registry *registry, ims_endpoint *endpoint, bool https);
/** The proxy for a URL, or NULL. */
const char *ims_registry_proxy(const imgstore_registry *registry, const ims_url *url);

/** A transport for one client; given back with its connections. */
int32_t ims_registry_take_line(imgstore_registry *registry, ims_line **line, ims_error *err);
void ims_registry_give_line(imgstore_registry *registry, ims_line *line);

/* --- registry_state.c --- */

/** Copies what the endpoint demanded last (scope NULL); freed with ims_challenge_free. */
int32_t ims_registry_challenge(imgstore_registry *registry, const ims_endpoint *endpoint, ims_challenge *challenge,
                               ims_error *err);
int32_t ims_registry_remember(imgstore_registry *registry, ims_endpoint *endpoint, const ims_challenge *challenge,
                              ims_error *err);
void ims_challenge_free(ims_challenge *challenge, const ims_alloc *alloc);

/** A token that is still good at now_ms, copied (secret), or NULL. */
int32_t ims_registry_token(imgstore_registry *registry, const ims_endpoint *endpoint, const ims_challenge *challenge,
                           const char *scopes, int64_t now_ms, char **token, ims_error *err);
int32_t ims_registry_put_token(imgstore_registry *registry, const ims_endpoint *endpoint,
                               const ims_challenge *challenge, const char *scopes, const char *token, int64_t until_ms,
                               ims_error *err);
/** Forgets a token that was refused; value: the Authorization it was sent in. */
void ims_registry_drop_token(imgstore_registry *registry, const char *value);

/** The credentials for an endpoint and repository, copied; explicit ones first, then files and helpers (may take time).
 */
int32_t ims_registry_credential(imgstore_registry *registry, const ims_endpoint *endpoint, const char *repository,
                                const atomic_bool *cancelled, ims_credential *credential, ims_error *err);

/** Nothing goes to url's origin before until_ms. */
void ims_registry_hold(imgstore_registry *registry, const ims_url *url, int64_t until_ms);
int64_t ims_registry_held_until(imgstore_registry *registry, const ims_url *url);
/** Frees what the functions above keep. */
void ims_registry_state_free(imgstore_registry *registry);

#endif
