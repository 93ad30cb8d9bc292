/*
 * rootfs/metadata.c (L3) - owners and their policies, id maps, times. Attributes are in xattrs.c.
 */
#include "rootfs/metadata.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "rootfs/entry_error.h"

int32_t ims_policy_effective(int32_t policy, bool privileged) {
  if (policy != IMGSTORE_POLICY_DEFAULT)
    return policy;
  return privileged ? IMGSTORE_POLICY_ERROR : IMGSTORE_POLICY_SKIP;
}

static int32_t copy_map(const ims_alloc *alloc, const imgstore_id_map *map, size_t count, imgstore_id_map **copy,
                        size_t *copied, ims_error *err) {
  if (!map || !count)
    return IMGSTORE_OK;
  *copy = ims_realloc_array(alloc, NULL, count, sizeof *map);
  if (!*copy)
    return ims_fail_nomem(err);
  memcpy(*copy, map, count * sizeof *map);
  *copied = count;
  return IMGSTORE_OK;
}

/* Directories that no entry describes belong to the image's user 0, where that can be had. */
static void choose_parent_owner(ims_metadata *m) {
  uint32_t id;
  if (!m->tree->may.owners)
    return;
  if (ims_map_id(m->maps.uids, m->maps.uid_count, 0, &id))
    m->tree->parent_uid = id;
  if (ims_map_id(m->maps.gids, m->maps.gid_count, 0, &id))
    m->tree->parent_gid = id;
}

int32_t ims_metadata_init(ims_metadata *m, ims_tree *tree, const imgstore_unpack_options *options,
                          imgstore_report *report, ims_error *err) {
  memset(m, 0, sizeof *m);
  m->tree = tree;
  m->report = report;
  m->strict_xattrs = options->flags & IMGSTORE_UNPACK_STRICT_XATTRS;
  m->owners = ims_policy_effective(options->owner_policy, tree->may.owners);
  m->devices = ims_policy_effective(options->device_policy, tree->may.devices);
  m->xattrs = ims_policy_effective(options->xattr_policy, tree->may.xattrs);
  int32_t rc = copy_map(tree->alloc, options->uid_map, options->uid_map_count, &m->maps.uids, &m->maps.uid_count, err);
  if (!rc)
    rc = copy_map(tree->alloc, options->gid_map, options->gid_map_count, &m->maps.gids, &m->maps.gid_count, err);
  if (!rc)
    choose_parent_owner(m);
  return rc;
}

void ims_metadata_free(ims_metadata *m) {
  if (!m->tree)
    return;
  ims_free(m->tree->alloc, m->maps.uids);
  ims_free(m->tree->alloc, m->maps.gids);
  m->maps.uids = m->maps.gids = NULL;
}

int32_t ims_metadata_skipped(ims_metadata *m, const char *path, const char *detail, ims_error *err) {
  if (!m->report || m->report_full)
    return IMGSTORE_OK;
  while (*path == '/' ||
         (path[0] == '.' && (path[1] == '/' || !path[1]))) /* "./etc" in the archive is etc in the image */
    path++;
  int32_t rc = ims_report_add(m->report, IMGSTORE_REPORT_SKIPPED, path, NULL, detail, 0, 0);
  if (rc == IMGSTORE_ELIMIT) {
    m->report_full = true;
    return IMGSTORE_OK;
  }
  return rc ? ims_fail_nomem(err) : IMGSTORE_OK;
}

bool ims_map_id(const imgstore_id_map *map, size_t count, uint32_t inside, uint32_t *outside) {
  *outside = inside;
  if (!count)
    return true;
  for (size_t i = 0; i < count; i++) {
    if (inside < map[i].inside || inside - map[i].inside >= map[i].count)
      continue;
    uint64_t id = (uint64_t)map[i].outside + (inside - map[i].inside);
    if (id >= UINT32_MAX)
      return false; /* -1 means "leave it" to the system */
    *outside = (uint32_t)id;
    return true;
  }
  return false;
}

static int32_t map_one(const imgstore_id_map *map, size_t count, uint64_t id, const char *what, const char *path,
                       uint32_t *outside, ims_error *err) {
  if (id >= UINT32_MAX)
    return ims_entry_fail(err, IMGSTORE_EFORMAT, path, "%s %llu is out of range", what, (unsigned long long)id);
  if (!ims_map_id(map, count, (uint32_t)id, outside))
    return ims_entry_fail(err, IMGSTORE_EINVALID, path, "%s %llu is not in the id map", what, (unsigned long long)id);
  return IMGSTORE_OK;
}

int32_t ims_map_owner(const ims_metadata *m, const ims_tar_entry *entry, uid_t *uid, gid_t *gid, ims_error *err) {
  uint32_t u = 0, g = 0;
  int32_t rc = map_one(m->maps.uids, m->maps.uid_count, entry->uid, "user id", entry->path, &u, err);
  if (!rc)
    rc = map_one(m->maps.gids, m->maps.gid_count, entry->gid, "group id", entry->path, &g, err);
  *uid = u;
  *gid = g;
  return rc;
}

static size_t put_varint(uint8_t *out, uint32_t value) {
  size_t size = 0;
  for (; value >= 0x80; value >>= 7)
    out[size++] = (uint8_t)(value | 0x80);
  out[size++] = (uint8_t)value;
  return size;
}

/* The attribute of the rootless-containers project: message Resource { uint32 uid = 1; uint32 gid = 2; }, where 0 is
   left out. */
static int record_owner(ims_metadata *m, const ims_object *object, const ims_tar_entry *entry) {
  uint8_t value[12];
  size_t size = 0;
  if (entry->uid) {
    value[size++] = 0x08;
    size += put_varint(value + size, (uint32_t)entry->uid);
  }
  if (entry->gid) {
    value[size++] = 0x10;
    size += put_varint(value + size, (uint32_t)entry->gid);
  }
  return size ? ims_xattr_put(m->tree, object, "user.rootlesscontainers", value, size) : 0;
}

static int32_t owner_refused(ims_metadata *m, const ims_object *object, const ims_tar_entry *entry, int refused,
                             ims_error *err) {
  char reason[96], detail[160];
  if (m->owners == IMGSTORE_POLICY_RECORD) {
    int failed = record_owner(m, object, entry);
    if (!failed)
      return IMGSTORE_OK;
    if (failed == ENOSPC || failed == EDQUOT || failed == EIO)
      return ims_entry_fail_os(err, failed, object->path, "record the owner");
  }
  ims_errno_text(refused, reason, sizeof reason);
  snprintf(detail, sizeof detail, "owner %llu:%llu not set: %s", (unsigned long long)entry->uid,
           (unsigned long long)entry->gid, reason);
  return ims_metadata_skipped(m, object->path, detail, err);
}

static int32_t set_owner(ims_metadata *m, ims_object *object, const ims_tar_entry *entry, ims_error *err) {
  uid_t uid;
  gid_t gid;
  int32_t rc = ims_map_owner(m, entry, &uid, &gid, err);
  if (rc || (object->uid == uid && object->gid == gid))
    return rc;
  const ims_sys *sys = m->tree->sys;
  int done = object->fd >= 0 ? sys->fchown(object->fd, uid, gid)
                             : sys->fchownat(object->dir, object->name, uid, gid, AT_SYMLINK_NOFOLLOW);
  if (done == 0) {
    object->uid = uid;
    object->gid = gid;
    return IMGSTORE_OK;
  }
  int refused = errno;
  bool by_policy = refused == EPERM || refused == EINVAL || refused == EOPNOTSUPP || refused == EACCES;
  if (!by_policy || m->owners == IMGSTORE_POLICY_ERROR)
    return ims_entry_fail_os(err, refused, object->path, "set the owner");
  return owner_refused(m, object, entry, refused, err);
}

int32_t ims_metadata_set(ims_metadata *m, ims_object *object, const ims_tar_entry *entry, ims_error *err) {
  int32_t rc = set_owner(m, object, entry, err);
  if (!rc && (entry->xattr_count || m->tree->inherits_acl))
    rc = ims_xattrs_set(m, object, entry, err);
  return rc;
}

bool ims_metadata_sets_xattrs(const ims_metadata *m, const ims_tar_entry *entry) {
  return entry->xattr_count || m->tree->inherits_acl || m->owners == IMGSTORE_POLICY_RECORD;
}

void ims_metadata_times(const ims_tar_entry *entry, struct timespec times[2]) {
  int64_t seconds = entry->mtime;
  if (sizeof(time_t) < sizeof(int64_t))
    seconds = seconds > INT32_MAX ? INT32_MAX : seconds < INT32_MIN ? INT32_MIN : seconds;
  times[0].tv_sec = times[1].tv_sec = (time_t)seconds;
  times[0].tv_nsec = times[1].tv_nsec = entry->mtime_ns < 1000000000 ? (long)entry->mtime_ns : 999999999;
}
