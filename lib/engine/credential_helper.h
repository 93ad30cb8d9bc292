/*
 * engine/credential_helper.h (L4) - the protocol of docker-credential-* programs.
 */
#ifndef IMS_ENGINE_CREDENTIAL_HELPER_H
#define IMS_ENGINE_CREDENTIAL_HELPER_H

#include "engine/credentials.h"

/**
 * name: what follows docker-credential-, a plain name. key: the server URL as the helper knows it. cancelled: may be
 * NULL. Errors: IMGSTORE_EIO (no such program, it fails, it answers nonsense), IMGSTORE_ETIMEOUT (30 s),
 * IMGSTORE_ECANCELLED, IMGSTORE_ENOMEM.
 */
int32_t ims_credential_helper_get(ims_core *core, const char *name, const char *key, const atomic_bool *cancelled,
                                  ims_credential *credential, ims_error *err);
int32_t ims_credential_helper_store(ims_core *core, const char *name, const char *key, const ims_credential *credential,
                                    ims_error *err);
/** *found is false when the helper says that there was nothing. */
int32_t ims_credential_helper_erase(ims_core *core, const char *name, const char *key, bool *found, ims_error *err);

#endif
