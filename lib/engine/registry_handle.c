/*
 * engine/registry_handle.c (L4) - life of a registry handle: options, endpoints, schemes, proxies, transports.
 */
#include "engine/registry_handle.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "oci/reference.h"
#include "transport/certs.h"
#include "transport/curl.h"

void ims_registry_defaults(imgstore_registry_options *o) {
  memset(o, 0, sizeof *o);
  o->size = sizeof *o;
  o->max_connections = 4;
  o->connect_timeout = 30000;
  o->first_byte_timeout = 60000;
  o->stall_window = 30000;
  o->stall_bytes = 1024;
  o->retries = 5;
  o->retry_delay = 500;
  o->max_retry_delay = 60000;
  o->max_redirects = 10;
}

/* The string options one after the other, so that copying and freeing cannot disagree. */
static const char **string_option(imgstore_registry_options *o, size_t i) {
  const char **all[] = {&o->username,  &o->password, &o->identity_token, &o->docker_config,
                        &o->auth_file, &o->ca_file,  &o->cert_file,      &o->key_file,
                        &o->certs_dir, &o->proxy,    &o->no_proxy,       &o->user_agent};
  return i < sizeof all / sizeof all[0] ? all[i] : NULL;
}

static void free_options(const ims_alloc *a, imgstore_registry_options *o) {
  const char **s;
  for (size_t i = 0; (s = string_option(o, i)); i++) {
    ims_free_secret(a, (char *)*s);
    *s = NULL;
  }
}

static int32_t check_options(const imgstore_registry_options *o, ims_error *err) {
  const uint32_t known = IMGSTORE_REGISTRY_PLAIN_HTTP | IMGSTORE_REGISTRY_INSECURE_TLS |
                         IMGSTORE_REGISTRY_USE_ENVIRONMENT | IMGSTORE_REGISTRY_FOREIGN_URLS;
  if (o->flags & ~known)
    return ims_fail(err, IMGSTORE_EUNSUPPORTED, "registry options: unknown flags 0x%x", (unsigned)(o->flags & ~known));
  if (o->max_connections < 1 || o->max_connections > 64)
    return ims_fail(err, IMGSTORE_EINVALID, "registry options: max_connections must be 1 to 64");
  if (!o->username != !o->password)
    return ims_fail(err, IMGSTORE_EINVALID, "registry options: username and password go together");
  if (o->username && strchr(o->username, ':'))
    return ims_fail(err, IMGSTORE_EINVALID, "registry options: username has a colon");
  if (!o->cert_file != !o->key_file)
    return ims_fail(err, IMGSTORE_EINVALID, "registry options: cert_file and key_file go together");
  for (const char *at = o->user_agent; at && *at; at++)
    if ((unsigned char)*at < 0x20 || *at == 0x7f)
      return ims_fail(err, IMGSTORE_EINVALID, "registry options: user_agent has control characters");
  return IMGSTORE_OK;
}

static int32_t copy_options(const ims_alloc *a, imgstore_registry_options *to, const imgstore_registry_options *from,
                            ims_error *err) {
  char agent[48];
  int32_t rc = check_options(from, err);
  if (rc)
    return rc;
  imgstore_registry_options source = *from;
  snprintf(agent, sizeof agent, "imgstore/%d.%d.%d", IMGSTORE_VERSION_MAJOR, IMGSTORE_VERSION_MINOR,
           IMGSTORE_VERSION_PATCH);
  if (!source.user_agent)
    source.user_agent = agent;
  *to = source;
  to->transport = NULL;
  const char **s;
  for (size_t i = 0; (s = string_option(to, i)); i++)
    *s = NULL;
  for (size_t i = 0; (s = string_option(&source, i)); i++) {
    if (*s && !(*string_option(to, i) = ims_strdup(a, *s)))
      return ims_fail_nomem(err);
  }
  if (!to->first_byte_timeout)
    to->first_byte_timeout = 60000;
  if (!to->stall_window)
    to->stall_window = 30000;
  return IMGSTORE_OK;
}

static void endpoint_free(const ims_alloc *a, ims_endpoint *e) {
  if (!e)
    return;
  char *all[] = {e->host, e->wire, e->prefix, e->ca_file, e->cert_file, e->key_file, e->realm, e->service};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    ims_free(a, all[i]);
  ims_free(a, e);
}

static int32_t dup_or(const ims_alloc *a, char **to, const char *text, ims_error *err) {
  if (*to || !text)
    return IMGSTORE_OK;
  *to = ims_strdup(a, text);
  return *to ? IMGSTORE_OK : ims_fail_nomem(err);
}

/* Files of certs.d come where the options name none; a client certificate of the options is for the registry alone. */
static int32_t find_certificates(imgstore_registry *r, ims_endpoint *e, ims_error *err) {
  const ims_alloc *a = &r->core->alloc;
  const imgstore_registry_options *o = &r->options;
  int32_t rc = dup_or(a, &e->ca_file, o->ca_file, err);
  if (!rc && !e->is_mirror && !(rc = dup_or(a, &e->cert_file, o->cert_file, err)))
    rc = dup_or(a, &e->key_file, o->key_file, err);
  if (rc || !o->certs_dir)
    return rc;
  char *ca = NULL, *cert = NULL, *key = NULL;
  rc = ims_certs_find(r->core, o->certs_dir, e->host, &ca, &cert, &key, err);
  if (!rc && !e->ca_file) {
    e->ca_file = ca;
    ca = NULL;
  }
  if (!rc && !e->cert_file) {
    e->cert_file = cert;
    e->key_file = key;
    cert = key = NULL;
  }
  ims_free(a, ca);
  ims_free(a, cert);
  ims_free(a, key);
  return rc;
}

static int first_scheme(const char *wire, bool plain) {
  size_t size = strlen(wire);
  const char *colon = memrchr(wire, ':', size);
  if (colon && !memchr(colon, ']', size - (size_t)(colon - wire)))
    size = (size_t)(colon - wire);
  if (plain)
    return IMS_SCHEME_HTTP;
  return ims_net_class(wire, size) == IMS_NET_LOOPBACK ? IMS_SCHEME_OPEN : IMS_SCHEME_HTTPS;
}

/* prefix: of prefix_size bytes, without the slashes around it. */
static int32_t endpoint_new(imgstore_registry *r, ims_endpoint **out, const char *host, size_t host_size,
                            const char *prefix, size_t prefix_size, bool mirror, ims_error *err) {
  const ims_alloc *a = &r->core->alloc;
  int32_t rc = ims_host_check(host, host_size, err);
  if (rc)
    return rc;
  ims_endpoint *e = ims_calloc(a, 1, sizeof *e);
  if (!e)
    return ims_fail_nomem(err);
  e->is_mirror = mirror;
  bool hub = (host_size == 9 && memcmp(host, "docker.io", 9) == 0) ||
             (host_size == 15 && memcmp(host, "index.docker.io", 15) == 0);
  e->host = hub ? ims_strdup(a, "docker.io") : ims_strndup(a, host, host_size);
  e->wire = hub ? ims_strdup(a, "registry-1.docker.io") : ims_strndup(a, host, host_size);
  e->prefix = ims_malloc(a, prefix_size + 2);
  if (e->prefix) {
    memcpy(e->prefix, prefix, prefix_size);
    memcpy(e->prefix + prefix_size, "/", 2);
    if (!prefix_size)
      e->prefix[0] = '\0';
  }
  rc = e->host && e->wire && e->prefix ? find_certificates(r, e, err) : ims_fail_nomem(err);
  if (rc) {
    endpoint_free(a, e);
    return rc;
  }
  *out = e;
  return IMGSTORE_OK;
}

static int32_t read_environment(imgstore_registry *r, ims_error *err) {
  if (!(r->options.flags & IMGSTORE_REGISTRY_USE_ENVIRONMENT) || r->options.proxy)
    return IMGSTORE_OK;
  return ims_environment_proxy(r->core, &r->env_http_proxy, &r->env_https_proxy, &r->env_no_proxy, err);
}

static int32_t take_transport(imgstore_registry *r, const imgstore_transport *given, ims_error *err) {
  if (!given)
    return IMGSTORE_OK;
  ims_line *line = ims_calloc(&r->core->alloc, 1, sizeof *line);
  if (!line)
    return ims_fail_nomem(err);
  int32_t rc = ims_transport_check(given, &line->transport, err);
  if (rc)
    ims_free(&r->core->alloc, line);
  else
    r->custom = line;
  return rc;
}

int32_t ims_registry_new(imgstore_registry **registry, ims_core *core, const char *host,
                         const imgstore_registry_options *options, ims_error *err) {
  *registry = NULL;
  imgstore_registry *r = ims_calloc(&core->alloc, 1, sizeof *r);
  if (!r)
    return ims_fail_nomem(err);
  atomic_init(&r->refs, 1);
  r->core = ims_core_ref(core);
  pthread_mutex_init(&r->mutex, NULL);
  int32_t rc = copy_options(&core->alloc, &r->options, options, err);
  if (!rc)
    rc = endpoint_new(r, &r->own, host, strlen(host), "", 0, false, err);
  if (!rc)
    rc = read_environment(r, err);
  if (!rc)
    rc = take_transport(r, options->transport, err);
  if (rc) {
    ims_registry_unref(r);
    return rc;
  }
  r->own->insecure_tls = (options->flags & IMGSTORE_REGISTRY_INSECURE_TLS) != 0;
  r->own->plain_http = (options->flags & IMGSTORE_REGISTRY_PLAIN_HTTP) != 0;
  r->own->scheme = first_scheme(r->own->wire, r->own->plain_http);
  *registry = r;
  return IMGSTORE_OK;
}

imgstore_registry *ims_registry_ref(imgstore_registry *registry) {
  atomic_fetch_add_explicit(&registry->refs, 1, memory_order_relaxed);
  return registry;
}

/* Sockets are shared with the parent after a fork: the child leaves them alone. */
static void line_free(imgstore_registry *r, ims_line *line) {
  if (!line)
    return;
  if (line->transport.destroy && r->core->pid == getpid())
    line->transport.destroy(line->transport.user_data);
  ims_free(&r->core->alloc, line);
}

void ims_registry_unref(imgstore_registry *registry) {
  if (!registry || atomic_fetch_sub_explicit(&registry->refs, 1, memory_order_acq_rel) != 1)
    return;
  const ims_alloc *a = &registry->core->alloc;
  while (registry->idle_count)
    line_free(registry, registry->idle[--registry->idle_count]);
  line_free(registry, registry->custom);
  ims_registry_state_free(registry);
  for (size_t i = 0; i < registry->mirror_count; i++)
    endpoint_free(a, registry->mirrors[i]);
  endpoint_free(a, registry->own);
  free_options(a, &registry->options);
  ims_free_secret(a, registry->env_http_proxy);
  ims_free_secret(a, registry->env_https_proxy);
  ims_free(a, registry->env_no_proxy);
  pthread_mutex_destroy(&registry->mutex);
  ims_core *core = registry->core;
  ims_free(a, registry);
  ims_core_unref(core);
}

int32_t ims_registry_add_mirror(imgstore_registry *registry, const char *host, uint32_t flags, ims_error *err) {
  const uint32_t known = IMGSTORE_MIRROR_DIGEST_ONLY | IMGSTORE_MIRROR_PLAIN_HTTP | IMGSTORE_MIRROR_INSECURE_TLS;
  size_t host_size = strcspn(host, "/");
  const char *prefix = host + host_size + (host[host_size] == '/');
  size_t prefix_size = strlen(prefix);
  ims_endpoint *e;
  if (flags & ~known)
    return ims_fail(err, IMGSTORE_EINVALID, "mirror %s: unknown flags 0x%x", host, (unsigned)(flags & ~known));
  if (prefix_size && prefix[prefix_size - 1] == '/')
    prefix_size--;
  int32_t rc = prefix_size ? ims_repository_check(prefix, prefix_size, err) : IMGSTORE_OK;
  if (!rc)
    rc = endpoint_new(registry, &e, host, host_size, prefix, prefix_size, true, err);
  if (rc) {
    ims_error_prefix(err, "mirror %s", host);
    return rc;
  }
  e->digest_only = (flags & IMGSTORE_MIRROR_DIGEST_ONLY) != 0;
  e->insecure_tls = (flags & IMGSTORE_MIRROR_INSECURE_TLS) != 0;
  e->plain_http = (flags & IMGSTORE_MIRROR_PLAIN_HTTP) != 0;
  e->scheme = first_scheme(e->wire, e->plain_http);
  pthread_mutex_lock(&registry->mutex);
  bool room = registry->mirror_count < IMS_MIRRORS_MAX;
  if (room)
    registry->mirrors[registry->mirror_count++] = e;
  pthread_mutex_unlock(&registry->mutex);
  if (room)
    return IMGSTORE_OK;
  endpoint_free(&registry->core->alloc, e);
  return ims_fail(err, IMGSTORE_EINVALID, "mirror %s: a registry has at most %d mirrors", host, IMS_MIRRORS_MAX);
}

int32_t ims_registry_usable(const imgstore_registry *registry, ims_error *err) {
  if (registry->core->pid == getpid())
    return IMGSTORE_OK;
  return ims_fail(err, IMGSTORE_EINVALID, "registry %s: the handle was made before a fork, by another process",
                  registry->own->host);
}

ims_endpoint *ims_registry_endpoint(imgstore_registry *registry, size_t i, bool by_digest, bool own_only) {
  ims_endpoint *found = NULL;
  pthread_mutex_lock(&registry->mutex);
  for (size_t m = 0; m < registry->mirror_count && !found && !own_only; m++)
    if ((by_digest || !registry->mirrors[m]->digest_only) && i-- == 0)
      found = registry->mirrors[m];
  pthread_mutex_unlock(&registry->mutex);
  return found ? found : i == 0 ? registry->own : NULL;
}

int32_t ims_registry_url(imgstore_registry *registry, const ims_endpoint *endpoint, const char *path, ims_url *url,
                         ims_error *err) {
  const ims_alloc *a = &registry->core->alloc;
  pthread_mutex_lock(&registry->mutex);
  int scheme = endpoint->scheme;
  pthread_mutex_unlock(&registry->mutex);
  ims_buf text;
  ims_buf_init(&text, a, IMS_URL_MAX);
  ims_buf_printf(&text, "%s://%s%s", scheme == IMS_SCHEME_HTTP ? "http" : "https", endpoint->wire, path);
  int32_t rc = text.failed ? ims_fail_nomem(err) : ims_url_parse(url, a, ims_buf_text(&text), endpoint->host, err);
  ims_buf_free(&text);
  return rc;
}

bool ims_registry_fall_back(imgstore_registry *registry, ims_endpoint *endpoint) {
  pthread_mutex_lock(&registry->mutex);
  bool may = endpoint->scheme != IMS_SCHEME_HTTPS;
  if (may)
    endpoint->scheme = IMS_SCHEME_HTTP;
  pthread_mutex_unlock(&registry->mutex);
  return may;
}

void ims_registry_settle(imgstore_registry *registry, ims_endpoint *endpoint, bool https) {
  pthread_mutex_lock(&registry->mutex);
  if (endpoint->scheme == IMS_SCHEME_OPEN && https)
    endpoint->scheme = IMS_SCHEME_HTTPS;
  pthread_mutex_unlock(&registry->mutex);
}

const char *ims_registry_proxy(const imgstore_registry *registry, const ims_url *url) {
  const imgstore_registry_options *o = &registry->options;
  if (o->proxy)
    return *o->proxy && !ims_no_proxy_matches(o->no_proxy, url) ? o->proxy : NULL;
  const char *proxy = url->https ? registry->env_https_proxy : registry->env_http_proxy;
  const char *no_proxy = o->no_proxy ? o->no_proxy : registry->env_no_proxy;
  if (!proxy || !*proxy || ims_no_proxy_matches(no_proxy, url))
    return NULL;
  /* programs take it for granted that a proxy of the environment is not asked for this very machine */
  return ims_net_class(url->text + url->host_at, url->host_size) == IMS_NET_LOOPBACK ? NULL : proxy;
}

int32_t ims_registry_take_line(imgstore_registry *registry, ims_line **line, ims_error *err) {
  *line = registry->custom;
  if (*line)
    return IMGSTORE_OK;
  pthread_mutex_lock(&registry->mutex);
  if (registry->idle_count)
    *line = registry->idle[--registry->idle_count];
  pthread_mutex_unlock(&registry->mutex);
  if (*line)
    return IMGSTORE_OK;
  ims_line *fresh = ims_calloc(&registry->core->alloc, 1, sizeof *fresh);
  if (!fresh)
    return ims_fail_nomem(err);
  int32_t rc = ims_curl_transport_open(registry->core, registry->options.max_connections, &fresh->transport, err);
  if (rc)
    ims_free(&registry->core->alloc, fresh);
  else
    *line = fresh;
  return rc;
}

void ims_registry_give_line(imgstore_registry *registry, ims_line *line) {
  if (!line || line == registry->custom)
    return;
  pthread_mutex_lock(&registry->mutex);
  bool keep = registry->idle_count < IMS_IDLE_LINES && registry->core->pid == getpid();
  if (keep)
    registry->idle[registry->idle_count++] = line;
  pthread_mutex_unlock(&registry->mutex);
  if (!keep)
    line_free(registry, line);
}
