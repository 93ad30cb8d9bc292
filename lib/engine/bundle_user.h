/*
 * engine/bundle_user.h (L4) - who a container runs as: "user", "uid", "user:group", "uid:gid" looked up in the root
 * file system's own /etc/passwd and /etc/group, never in the host's.
 */
#ifndef IMS_ENGINE_BUNDLE_USER_H
#define IMS_ENGINE_BUNDLE_USER_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/core.h"
#include "base/error.h"
#include "engine/open_in_root.h"

enum { IMS_USER_GROUPS = 8192, IMS_USER_HOME = 1024, IMS_USER_NAME = 256, IMS_USER_FILE_MAX = 4 << 20 };

typedef struct ims_user {
  const ims_alloc *alloc;
  uint32_t uid, gid;
  uint32_t *groups; /**< supplementary, ascending, without gid */
  size_t group_count;
  char name[IMS_USER_NAME]; /**< in /etc/passwd, or "" */
  char home[IMS_USER_HOME]; /**< in /etc/passwd, or "" */
} ims_user;

/**
 * text: of the image's config or the caller's; "" is uid 0. root: descriptor of the root directory. A user that is a
 * number need not be in /etc/passwd. user is to be freed also after a failure.
 * Errors: IMGSTORE_ENOTFOUND (no such user or group), IMGSTORE_EFORMAT, IMGSTORE_ELIMIT.
 */
int32_t ims_user_find(ims_user *user, const ims_core *core, int root, const char *text, ims_error *err);
void ims_user_free(ims_user *user);

#endif
