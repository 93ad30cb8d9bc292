/*
 * engine/credential_env.h (L4) - where the environment says that credential files are.
 */
#ifndef IMS_ENGINE_CREDENTIAL_ENV_H
#define IMS_ENGINE_CREDENTIAL_ENV_H

#include "engine/credentials.h"

enum { IMS_AUTH_FILES = 2 };

/** $DOCKER_CONFIG, else $HOME/.docker; NULL when neither is set. Freed with ims_free. */
int32_t ims_environment_docker_config(ims_core *core, char **directory, ims_error *err);
/**
 * $REGISTRY_AUTH_FILE alone, else $XDG_RUNTIME_DIR/containers/auth.json (/run/containers/UID without the variable) and
 * $HOME/.config/containers/auth.json. Entries may be NULL, also after a failure; each is freed with ims_free.
 */
int32_t ims_environment_auth_files(ims_core *core, char *paths[IMS_AUTH_FILES], ims_error *err);

#endif
