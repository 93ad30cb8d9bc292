/* registry_options.c - the options of every command that talks to a registry. */
#include <string.h>

#include "cli.h"

static const option registry_options[] = {
    {OPTION_PLAIN_HTTP, 0, "plain-http", NULL, "speak http, without TLS"},
    {OPTION_CA, 0, "ca", "FILE", "trust the certificate authorities in FILE (PEM)"},
    {OPTION_CERT, 0, "cert", "FILE", "client certificate (PEM)"},
    {OPTION_KEY, 0, "key", "FILE", "key of the client certificate (PEM)"},
    {OPTION_CERTS_DIR, 0, "certs-dir", "DIR", "folder with HOST[:PORT]/{*.crt,*.cert,*.key}"},
    {OPTION_INSECURE_TLS, 0, "insecure-tls", NULL, "do not check certificates"},
    {OPTION_MIRROR, 0, "mirror", "HOST",
     "ask this registry first; may be given again.\n"
     "http://HOST for one without TLS"},
    {OPTION_CONFIG, 0, "config", "DIR",
     "folder of Docker's config.json with the credentials\n"
     "(default: $DOCKER_CONFIG, else ~/.docker)"},
    {OPTION_AUTH_FILE, 0, "auth-file", "FILE", "credentials in the form of containers-auth.json"},
    {OPTION_PROXY, 0, "proxy", "URL",
     "go through this proxy (default: $https_proxy, ...);\n"
     "\"\" for none"},
    {OPTION_RETRIES, 0, "retries", "N", "give up after N tries without progress (default 5)"},
    {OPTION_TIMEOUT, 0, "timeout", "SECONDS",
     "end a try when nothing comes for so long\n"
     "(default 30, for the first byte 60)"},
    ROW_END};
const option_group group_registry = {"Registry options", registry_options};

enum { MOST_RETRIES = 1000, LONGEST_TIMEOUT = 86400 };

bool cli_registry_options(cli *c, imgstore_registry_options *options) {
  const arguments *a = &c->args;
  imgstore_registry_options_init(options, sizeof *options);
  uint64_t retries = options->retries, seconds = 0;
  options->flags |= IMGSTORE_REGISTRY_USE_ENVIRONMENT;
  if (option_given(a, OPTION_PLAIN_HTTP))
    options->flags |= IMGSTORE_REGISTRY_PLAIN_HTTP;
  if (option_given(a, OPTION_INSECURE_TLS))
    options->flags |= IMGSTORE_REGISTRY_INSECURE_TLS;
  options->ca_file = option_value(a, OPTION_CA);
  options->cert_file = option_value(a, OPTION_CERT);
  options->key_file = option_value(a, OPTION_KEY);
  options->certs_dir = option_value(a, OPTION_CERTS_DIR);
  options->docker_config = option_value(a, OPTION_CONFIG);
  options->auth_file = option_value(a, OPTION_AUTH_FILE);
  options->proxy = option_value(a, OPTION_PROXY);
  if (!cli_number(c, OPTION_RETRIES, 0, MOST_RETRIES, &retries) ||
      !cli_number(c, OPTION_TIMEOUT, 1, LONGEST_TIMEOUT, &seconds))
    return false;
  options->retries = (uint32_t)retries;
  if (seconds) {
    options->connect_timeout = (uint32_t)seconds * 1000;
    options->first_byte_timeout = options->connect_timeout;
    options->stall_window = options->connect_timeout;
  }
  return true;
}

static const char *without(const char *host, const char *prefix) {
  size_t length = strlen(prefix);
  return strncmp(host, prefix, length) == 0 ? host + length : NULL;
}

static int32_t add_mirror(cli *c, imgstore_registry *registry, const char *given, imgstore_error **error) {
  uint32_t flags = option_given(&c->args, OPTION_INSECURE_TLS) ? IMGSTORE_MIRROR_INSECURE_TLS : 0;
  const char *plain = without(given, "http://"), *secure = without(given, "https://");
  if (plain)
    flags |= IMGSTORE_MIRROR_PLAIN_HTTP;
  return imgstore_registry_add_mirror(registry, plain ? plain : secure ? secure : given, flags, error);
}

int cli_open_registry(cli *c, const char *host, const imgstore_registry_options *options,
                      imgstore_registry **registry) {
  imgstore_error *error = NULL;
  int32_t code = imgstore_registry_new(c->context, host, options, registry, &error);
  for (size_t i = 0; code == IMGSTORE_OK && i < c->args.option_count; i++)
    if (c->args.options[i].id == OPTION_MIRROR)
      code = add_mirror(c, *registry, c->args.options[i].value, &error);
  return code ? cli_failed(c, code, &error) : CLI_OK;
}

/* People paste addresses: "https://index.docker.io/v1/" is docker.io, "https://HOST/" is HOST. */
bool cli_login_host(const cli *c, text *host) {
  const char *given = c->args.count ? c->args.words[0] : "docker.io";
  const char *scheme = strstr(given, "://");
  if (scheme)
    given = scheme + 3;
  text_add_bytes(host, given, strcspn(given, "/"));
  const char *name = text_get(host);
  if (strcmp(name, "index.docker.io") == 0 || strcmp(name, "registry-1.docker.io") == 0) {
    text_clear(host);
    text_add(host, "docker.io");
  }
  return !host->failed;
}
