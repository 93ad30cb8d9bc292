/*
 * engine/credential_file.h (L4) - reading Docker's config.json and containers' auth.json.
 */
#ifndef IMS_ENGINE_CREDENTIAL_FILE_H
#define IMS_ENGINE_CREDENTIAL_FILE_H

#include "engine/credentials.h"
#include "json/json.h"

enum { IMS_CREDENTIAL_FILE_MAX = 4 * 1024 * 1024 };

/** *json is NULL when there is no such file or it is empty. Errors name the file and never quote it. */
int32_t ims_credential_file_read(ims_core *core, const char *path, ims_json **json, ims_error *err);
/**
 * The helper that the file names for a host: *name is borrowed from json, NULL when there is none. Errors:
 * IMGSTORE_EFORMAT, also for a name that is no plain name.
 */
int32_t ims_credential_file_helper(const ims_json *json, const char *path, const char *host, const char **name,
                                   ims_error *err);
/** The entry that fits best and holds something, copied to *credential; all NULL when there is none. */
int32_t ims_credential_file_find(ims_core *core, const ims_json *json, const char *path, const char *host,
                                 const char *repository, ims_credential *credential, ims_error *err);

static inline bool ims_credential_is_empty(const ims_credential *credential) {
  return !credential->username && !credential->password && !credential->identity_token;
}

#endif
