/*
 * engine/credential_env.c (L4) - the environment, looked at only when the caller asked for it: the default places of
 * credential files, and proxies. Owns which variable wins; it opens nothing.
 */
#include "engine/credential_env.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"

static const char *variable(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

static int32_t join(ims_core *core, const char *folder, const char *rest, char **path, ims_error *err) {
  ims_buf text;
  ims_buf_init(&text, &core->alloc, PATH_MAX);
  ims_buf_printf(&text, "%s%s", folder, rest);
  *path = ims_buf_detach(&text, NULL);
  int32_t code = *path ? IMGSTORE_OK : text.failed;
  ims_buf_free(&text);
  if (code == IMGSTORE_ELIMIT)
    return ims_fail(err, IMGSTORE_EINVALID, "environment: the path for %s is too long", rest);
  return code == IMGSTORE_OK ? IMGSTORE_OK : ims_fail_nomem(err);
}

int32_t ims_environment_docker_config(ims_core *core, char **directory, ims_error *err) {
  const char *config = variable("DOCKER_CONFIG"), *home = variable("HOME");
  *directory = NULL;
  if (config)
    return join(core, config, "", directory, err);
  return home ? join(core, home, "/.docker", directory, err) : IMGSTORE_OK;
}

int32_t ims_environment_auth_files(ims_core *core, char *paths[IMS_AUTH_FILES], ims_error *err) {
  const char *file = variable("REGISTRY_AUTH_FILE"), *runtime = variable("XDG_RUNTIME_DIR"), *home = variable("HOME");
  int32_t code = IMGSTORE_OK;
  for (size_t i = 0; i < IMS_AUTH_FILES; i++)
    paths[i] = NULL;
  if (file)
    return join(core, file, "", &paths[0], err);
  if (runtime) {
    code = join(core, runtime, "/containers/auth.json", &paths[0], err);
  } else {
    char rest[64];
    snprintf(rest, sizeof rest, "/%lu/auth.json", (unsigned long)getuid());
    code = join(core, "/run/containers", rest, &paths[0], err);
  }
  if (code == IMGSTORE_OK && home)
    code = join(core, home, "/.config/containers/auth.json", &paths[1], err);
  return code;
}

typedef struct proxy_variables {
  const char *http, *https, *no_proxy;
} proxy_variables;

/* First of the given variables that is set at all; an empty one says "none". */
static const char *first_set(const char *const *names) {
  for (; *names; names++) {
    const char *value = getenv(*names);
    if (value)
      return *value ? value : NULL;
  }
  return NULL;
}

/* HTTP_PROXY in capitals is left out: a web server sets it from a request's "Proxy:" header. */
static proxy_variables read_proxies(void) {
  static const char *const http[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
  static const char *const https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", NULL};
  static const char *const none[] = {"no_proxy", "NO_PROXY", NULL};
  return (proxy_variables){first_set(http), first_set(https), first_set(none)};
}

static bool copy(ims_core *core, const char *text, char **out) {
  *out = text ? ims_strdup(&core->alloc, text) : NULL;
  return !text || *out;
}

int32_t ims_environment_proxy(ims_core *core, char **http_proxy, char **https_proxy, char **no_proxy, ims_error *err) {
  proxy_variables from = read_proxies();
  bool copied = copy(core, from.http, http_proxy);
  copied = copy(core, from.https, https_proxy) && copied;
  copied = copy(core, from.no_proxy, no_proxy) && copied;
  if (copied)
    return IMGSTORE_OK;
  ims_free_secret(&core->alloc, *http_proxy);
  ims_free_secret(&core->alloc, *https_proxy);
  ims_free(&core->alloc, *no_proxy);
  *http_proxy = *https_proxy = *no_proxy = NULL;
  return ims_fail_nomem(err);
}
