/*
 * rootfs/xattrs.c (L3) - which extended attributes of a layer are set, and how. What an image must never plant
 * (overlay metadata) is decided here and nowhere else.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "rootfs/entry_error.h"
#include "rootfs/metadata.h"

static const char access_acl[] = "system.posix_acl_access", default_acl[] = "system.posix_acl_default";

bool ims_xattr_is_access_acl(const char *name) {
  return strcmp(name, access_acl) == 0;
}

bool ims_xattr_is_default_acl(const char *name) {
  return strcmp(name, default_acl) == 0;
}

static bool is_acl(const char *name) {
  return ims_xattr_is_access_acl(name) || ims_xattr_is_default_acl(name);
}

/* Why an attribute is not for this tree, or NULL. */
static const char *refusal(const ims_metadata *m, const char *name) {
  if (ims_starts_with(name, "trusted.overlay.") || ims_starts_with(name, "user.overlay."))
    return "overlay metadata";
  if (strcmp(name, "user.rootlesscontainers") == 0 && m->owners == IMGSTORE_POLICY_RECORD)
    return "reserved for recorded owners";
  if (ims_starts_with(name, "user.") || strcmp(name, "security.capability") == 0 || is_acl(name))
    return NULL;
  return "not a kind that is unpacked";
}

int ims_xattr_put(const ims_tree *tree, const ims_object *object, const char *name, const void *value, size_t size) {
  if (object->fd >= 0)
    return tree->sys->fsetxattr(object->fd, name, value, size, 0) == 0 ? 0 : errno;
  char path[40 + IMS_NAME_MAX + 1];
  snprintf(path, sizeof path, "/proc/self/fd/%d/%s", object->dir, object->name);
  if (tree->sys->lsetxattr(path, name, value, size, 0) == 0)
    return 0;
  return errno == ENOENT ? EOPNOTSUPP : errno; /* the object is there: what is missing is /proc */
}

static int32_t drop(ims_metadata *m, const ims_object *object, const char *name, const char *why, ims_error *err) {
  char detail[400];
  if (m->strict_xattrs)
    return ims_entry_fail(err, IMGSTORE_EUNSUPPORTED, object->path, "attribute %.200s is refused: %s", name, why);
  snprintf(detail, sizeof detail, "attribute %.200s dropped: %s", name, why);
  return ims_metadata_skipped(m, object->path, detail, err);
}

static int32_t refused_by_system(ims_metadata *m, const ims_object *object, const char *name, int refused,
                                 ims_error *err) {
  char reason[96], detail[400];
  bool by_policy = refused == EPERM || refused == EOPNOTSUPP || refused == EACCES || refused == EINVAL ||
                   refused == ERANGE || refused == E2BIG;
  snprintf(detail, sizeof detail, "set attribute %.200s", name);
  if (!by_policy || m->xattrs == IMGSTORE_POLICY_ERROR)
    return ims_entry_fail_os(err, refused, object->path, detail);
  ims_errno_text(refused, reason, sizeof reason);
  snprintf(detail, sizeof detail, "attribute %.200s not set: %s", name, reason);
  return ims_metadata_skipped(m, object->path, detail, err);
}

static uint32_t load32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store32(uint8_t *p, uint32_t value) {
  for (int i = 0; i < 4; i++)
    p[i] = (uint8_t)(value >> 8 * i);
}

/* Named users and groups of an ACL are ids as well: they go through the maps. */
static int32_t map_acl(const ims_metadata *m, const ims_object *object, uint8_t *acl, size_t size, ims_error *err) {
  enum { HEADER = 4, ENTRY = 8, USER = 2, GROUP = 8 };
  for (size_t at = HEADER; at + ENTRY <= size; at += ENTRY) {
    unsigned tag = acl[at] | (unsigned)acl[at + 1] << 8;
    uint32_t id = load32(acl + at + 4), outside = id;
    bool mapped = true;
    if (tag == USER)
      mapped = ims_map_id(m->maps.uids, m->maps.uid_count, id, &outside);
    else if (tag == GROUP)
      mapped = ims_map_id(m->maps.gids, m->maps.gid_count, id, &outside);
    if (!mapped)
      return ims_entry_fail(err, IMGSTORE_EINVALID, object->path, "id %u of an ACL is not in the id map", id);
    store32(acl + at + 4, outside);
  }
  return IMGSTORE_OK;
}

static int32_t set_one(ims_metadata *m, ims_object *object, const ims_tar_xattr *xattr, ims_error *err) {
  const uint8_t *value = xattr->value;
  uint8_t *copy = NULL;
  int32_t rc = IMGSTORE_OK;
  if (is_acl(xattr->name) && (m->maps.uid_count || m->maps.gid_count)) {
    copy = ims_malloc(m->tree->alloc, xattr->size);
    if (!copy)
      return ims_fail_nomem(err);
    memcpy(copy, xattr->value, xattr->size);
    rc = map_acl(m, object, copy, xattr->size, err);
    value = copy;
  }
  int failed = rc ? 0 : ims_xattr_put(m->tree, object, xattr->name, value ? value : (const uint8_t *)"", xattr->size);
  ims_free(m->tree->alloc, copy);
  if (failed)
    return refused_by_system(m, object, xattr->name, failed, err);
  if (!rc && ims_xattr_is_access_acl(xattr->name))
    object->mode = IMS_MODE_UNKNOWN;
  if (!rc && ims_xattr_is_default_acl(xattr->name))
    m->tree->inherits_acl = true;
  return rc;
}

/* What an object got from its directory's default ACL and its entry does not ask for. */
static int32_t drop_inherited(ims_metadata *m, ims_object *object, const ims_tar_entry *entry, ims_error *err) {
  bool has_access = false, has_default = false;
  for (size_t i = 0; i < entry->xattr_count; i++) {
    has_access = has_access || ims_xattr_is_access_acl(entry->xattrs[i].name);
    has_default = has_default || ims_xattr_is_default_acl(entry->xattrs[i].name);
  }
  if (object->is_link)
    return IMGSTORE_OK;
  object->mode = IMS_MODE_UNKNOWN;
  /* the owner may need to write attributes after this; the exact mode comes after them */
  mode_t mode = entry->mode | (m->tree->may.overrides ? 0 : 0700);
  if (object->fd >= 0)
    return ims_tree_drop_acl(m->tree, object->fd, mode, !has_access, object->is_dir && !has_default, object->path, err);
  uint8_t acl[IMS_ACL_MINIMAL];
  ims_acl_minimal(acl, mode);
  int failed = has_access ? 0 : ims_xattr_put(m->tree, object, access_acl, acl, sizeof acl);
  if (failed && failed != EOPNOTSUPP)
    return ims_entry_fail_os(err, failed, object->path, "remove an inherited ACL");
  return IMGSTORE_OK;
}

/* ACLs come last: one may take the right to write from the owner. */
int32_t ims_xattrs_set(ims_metadata *m, ims_object *object, const ims_tar_entry *entry, ims_error *err) {
  int32_t rc = m->tree->inherits_acl ? drop_inherited(m, object, entry, err) : IMGSTORE_OK;
  for (int acls = 0; acls < 2; acls++)
    for (size_t i = 0; i < entry->xattr_count && !rc; i++) {
      const ims_tar_xattr *xattr = &entry->xattrs[i];
      if (is_acl(xattr->name) != (acls == 1))
        continue;
      const char *why = refusal(m, xattr->name);
      rc = why ? drop(m, object, xattr->name, why, err) : set_one(m, object, xattr, err);
    }
  return rc;
}
