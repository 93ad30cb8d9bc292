/*
 * engine/credential_key.h (L4) - how the keys of credential files name a registry or a part of it.
 */
#ifndef IMS_ENGINE_CREDENTIAL_KEY_H
#define IMS_ENGINE_CREDENTIAL_KEY_H

#include <stdbool.h>
#include <stddef.h>

/** From IMS_KEY_NAMESPACE on a key is for a part of the registry, the more specific the higher. */
enum { IMS_KEY_NONE = 0, IMS_KEY_HOST = 1, IMS_KEY_EXACT = 2, IMS_KEY_NAMESPACE = 3 };

/** The key under which a registry's credentials are written and asked for: Docker Hub's is a URL. */
const char *ims_credential_key(const char *host);
/**
 * How well a key fits: not at all, as one of the host's spellings ("https://host/v1/", "http://host"), exactly, or as
 * the repository or one of its parents ("host/ns/repo", "host/ns"). repository: may be NULL.
 */
size_t ims_credential_key_fit(const char *key, const char *host, const char *repository);

#endif
