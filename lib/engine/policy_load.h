/*
 * engine/policy_load.h (L4) - policies and keys from files.
 */
#ifndef IMS_ENGINE_POLICY_LOAD_H
#define IMS_ENGINE_POLICY_LOAD_H

#include "sign/policy.h"

/** Reads a policy file and the key files that it names. Errors: as imgstore_policy_load. */
int32_t ims_policy_load(imgstore_policy **policy, ims_core *core, const char *path, ims_error *err);
/** Adds the key in a file; its path is the key's name. */
int32_t ims_policy_add_key_file(imgstore_policy *policy, ims_requirement *requirement, const char *path,
                                ims_error *err);

#endif
