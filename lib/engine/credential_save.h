/*
 * engine/credential_save.h (L4) - changing Docker's config.json without losing what others keep in it.
 */
#ifndef IMS_ENGINE_CREDENTIAL_SAVE_H
#define IMS_ENGINE_CREDENTIAL_SAVE_H

#include "base/buf.h"
#include "engine/credentials.h"
#include "json/json.h"

/** A config.json that is held for a change: nobody else who locks it changes it meanwhile. */
typedef struct ims_credential_save {
  ims_core *core;
  char *path;     /**< the file as named in messages */
  char *name;     /**< the file in the folder: that of a link's target when it is a link */
  int folder_fd;  /**< locked */
  ims_json *json; /**< what is there; NULL: nothing */
} ims_credential_save;

/** directory: made 0700 when missing and make is set. Errors: IMGSTORE_EFORMAT, _EACCES, _EIO, _ENOMEM. */
int32_t ims_credential_save_open(ims_credential_save *save, ims_core *core, const char *directory, bool make,
                                 ims_error *err);
/**
 * Writes the file anew, atomically and mode 0600: entry (JSON text; NULL: none) under key, no other spelling of host,
 * everything else as it was.
 */
int32_t ims_credential_save_write(ims_credential_save *save, const char *host, const char *key, const char *entry,
                                  ims_error *err);
/** True when auths has an entry for the host. */
bool ims_credential_save_has(const ims_credential_save *save, const char *host);
/** Unlocks. Also after a failed open. */
void ims_credential_save_close(ims_credential_save *save);

#endif
