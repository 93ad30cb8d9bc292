/*
 * engine/credentials.h (L4) - where credentials come from and go to: Docker config.json, containers auth.json,
 * docker-credential-* helpers. The only code that reads those files, starts helpers and, when the caller asked for it,
 * looks into the environment.
 */
#ifndef IMS_ENGINE_CREDENTIALS_H
#define IMS_ENGINE_CREDENTIALS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/core.h"
#include "base/error.h"

typedef struct ims_credential {
  char *username, *password; /**< NULL: none */
  char *identity_token;      /**< NULL: none */
} ims_credential;

/** Where to look, in this order; NULL: not there. */
typedef struct ims_credential_sources {
  const char *docker_config; /**< folder */
  const char *auth_file;
  bool environment; /**< also the default places that the environment names */
} ims_credential_sources;

/**
 * Looks credentials up for host ("docker.io" is looked up under https://index.docker.io/v1/ and its other spellings)
 * and repository. None found: IMGSTORE_OK with all NULL. A broken helper or file is an error. cancelled: may be NULL.
 */
int32_t ims_credentials_find(ims_core *core, const ims_credential_sources *sources, const char *host,
                             const char *repository, const atomic_bool *cancelled, ims_credential *credential,
                             ims_error *err);
void ims_credential_free(ims_core *core, ims_credential *credential);
/** directory NULL: as the environment says. */
int32_t ims_credentials_store(ims_core *core, const char *directory, const char *host, const ims_credential *credential,
                              ims_error *err);
int32_t ims_credentials_erase(ims_core *core, const char *directory, const char *host, ims_error *err);

/** The proxy settings of the environment for a URL scheme; copies, freed with ims_free. NULL: none. */
int32_t ims_environment_proxy(ims_core *core, char **http_proxy, char **https_proxy, char **no_proxy, ims_error *err);

#endif
