/*
 * rootfs/disk_xattrs.c (L3) - reads attributes. A layer gets security.capability, user.* and POSIX ACLs, as unpacking
 * sets no others; never anything of an overlay file system.
 */
#include "rootfs/disk_xattrs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "rootfs/entry_error.h"
#include "rootfs/overlay_marks.h"

#define RECORDED_OWNER "user.rootlesscontainers"
#define CAPABILITY "security.capability"

enum { LIST_MAX = 64 * 1024, VALUE_MAX = 64 * 1024, NAME_MAX_SIZE = 255 };
enum { CAPABILITY_REVISION_2 = 0x02000000, CAPABILITY_REVISION_3 = 0x03000000, CAPABILITY_REVISIONS = 0xff000000u };
enum { CAPABILITY_SIZE_2 = 20, CAPABILITY_SIZE_3 = 24 };

bool ims_disk_map_back(const imgstore_id_map *map, size_t count, uint32_t outside, uint32_t *inside) {
  *inside = outside;
  if (!count)
    return true;
  for (size_t i = 0; i < count; i++)
    if (outside >= map[i].outside && outside - map[i].outside < map[i].count) {
      *inside = map[i].inside + (outside - map[i].outside);
      return true;
    }
  return false;
}

/* --- reading ---------------------------------------------------------------------------------------------------------
 */

/** Where attributes of what has no descriptor are: through its directory. */
static void set_path(char *out, size_t size, int dir, const char *name) {
  snprintf(out, size, "/proc/self/fd/%d/%s", dir, name);
}

static bool has_none(int os_errno) {
  return os_errno == EOPNOTSUPP || os_errno == ENOSYS || os_errno == ENOENT || os_errno == EPERM;
}

static int32_t list_names(ims_disk_entry *d, int dir, const char *name, const char *path, ims_error *err) {
  char at[40 + NAME_MAX_SIZE + 1];
  ims_buf_clear(&d->names);
  if (ims_buf_reserve(&d->names, LIST_MAX))
    return ims_fail_nomem(err);
  set_path(at, sizeof at, dir, name);
  ssize_t n = d->fd >= 0 ? d->core->sys->flistxattr(d->fd, d->names.data, LIST_MAX)
                         : d->core->sys->llistxattr(at, d->names.data, LIST_MAX);
  if (n < 0 && !has_none(errno))
    return ims_entry_fail_os(err, errno, path, "list its attributes");
  d->names.size = n > 0 ? (size_t)n : 0;
  d->names.data[d->names.size] = '\0';
  return IMGSTORE_OK;
}

/** Appends a value to d->values; *gone: there is none of that name any more. */
static int32_t read_value(ims_disk_entry *d, int dir, const char *object, const char *name, const char *path,
                          size_t *size, bool *gone, ims_error *err) {
  char at[40 + NAME_MAX_SIZE + 1];
  *gone = false;
  *size = 0;
  if (ims_buf_reserve(&d->values, VALUE_MAX))
    return d->values.failed == IMGSTORE_ENOMEM
               ? ims_fail_nomem(err)
               : ims_entry_fail(err, IMGSTORE_ELIMIT, path, "more than %d bytes of attributes", IMS_DISK_XATTRS_MAX);
  set_path(at, sizeof at, dir, object);
  char *to = d->values.data + d->values.size;
  ssize_t n = d->fd >= 0 ? d->core->sys->fgetxattr(d->fd, name, to, VALUE_MAX)
                         : d->core->sys->lgetxattr(at, name, to, VALUE_MAX);
  *gone = n < 0 && (errno == ENODATA || has_none(errno));
  if (n < 0 && !*gone) {
    char what[300];
    snprintf(what, sizeof what, "read attribute %.200s", name);
    return ims_entry_fail_os(err, errno, path, what);
  }
  if (n > 0)
    d->values.size += *size = (size_t)n;
  return IMGSTORE_OK;
}

/* --- what they mean --------------------------------------------------------------------------------------------------
 */

static uint32_t load32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store32(uint8_t *p, uint32_t value) {
  for (int i = 0; i < 4; i++)
    p[i] = (uint8_t)(value >> 8 * i);
}

static bool take_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
  *value = 0;
  for (unsigned shift = 0; *at < end && shift < 63; shift += 7) {
    uint8_t byte = *(*at)++;
    *value |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80))
      return true;
  }
  return false;
}

/** message Resource { uint32 uid = 1; uint32 gid = 2; }, where 0 is left out; the number 0xffffffff: not recorded. */
static bool take_owner(const uint8_t *at, size_t size, ims_tar_entry *entry) {
  const uint8_t *end = at + size;
  uint64_t key, value;
  while (at < end) {
    if (!take_varint(&at, end, &key) || !take_varint(&at, end, &value) || (key != 0x08 && key != 0x10) ||
        value > UINT32_MAX)
      return false;
    if (value != UINT32_MAX)
      *(key == 0x08 ? &entry->uid : &entry->gid) = value;
  }
  return true;
}

/** Ids in an ACL are mapped back. false: one is not in the map, or it is no ACL. */
static bool map_acl(const ims_disk_rules *r, uint8_t *acl, size_t size) {
  enum { HEADER = 4, ENTRY = 8, USER = 2, GROUP = 8 };
  if (size < HEADER || (size - HEADER) % ENTRY)
    return false;
  for (size_t at = HEADER; at < size; at += ENTRY) {
    unsigned tag = acl[at] | (unsigned)acl[at + 1] << 8;
    uint32_t inside = load32(acl + at + 4);
    bool mapped = true;
    if (tag == USER)
      mapped = ims_disk_map_back(r->uid_map, r->uid_map_count, inside, &inside);
    else if (tag == GROUP)
      mapped = ims_disk_map_back(r->gid_map, r->gid_map_count, inside, &inside);
    if (!mapped)
      return false;
    if (tag == USER || tag == GROUP)
      store32(acl + at + 4, inside);
  }
  return true;
}

/** A capability that counts in one user namespace only is one of the image when the image's root is that one's root. */
static bool map_capability(const ims_disk_rules *r, uint8_t *value, size_t *size) {
  if (*size < 4)
    return false;
  const uint32_t magic = load32(value);
  if ((magic & CAPABILITY_REVISIONS) != CAPABILITY_REVISION_3)
    return true;
  uint32_t root;
  if (*size != CAPABILITY_SIZE_3 || !ims_disk_map_back(r->uid_map, r->uid_map_count, load32(value + 20), &root) || root)
    return false;
  store32(value, (magic & ~CAPABILITY_REVISIONS) | CAPABILITY_REVISION_2);
  *size = CAPABILITY_SIZE_2;
  return true;
}

static bool is_acl(const char *name) {
  return strcmp(name, "system.posix_acl_access") == 0 || strcmp(name, "system.posix_acl_default") == 0;
}

static int32_t dropped(imgstore_report *report, const char *path, const char *name, const char *why, ims_error *err) {
  char detail[400];
  snprintf(detail, sizeof detail, "attribute %.200s dropped: %s", name, why);
  return ims_disk_skipped(report, path, detail, err);
}

/** An attribute of the layer, unless its ids do not exist there. offset: of its value in d->values. */
static int32_t keep(ims_disk_entry *d, const char *name, size_t offset, size_t size, const char *path,
                    imgstore_report *report, ims_error *err) {
  uint8_t *value = (uint8_t *)d->values.data + offset;
  if (is_acl(name) && !map_acl(d->rules, value, size))
    return dropped(report, path, name, "ids that are not in the id map", err);
  if (strcmp(name, CAPABILITY) == 0 && !map_capability(d->rules, value, &size))
    return dropped(report, path, name, "of another user namespace", err);
  return ims_tar_xattrs_add(&d->xattrs, name, value, size, err);
}

static int32_t take(ims_disk_entry *d, int dir, const char *object, const char *name, const char *path, int32_t marks,
                    imgstore_report *report, ims_error *err) {
  const bool overlay = ims_is_overlay_attribute(name);
  const bool wanted = overlay ? marks != IMS_MARKS_NONE
                              : ims_starts_with(name, "user.") || strcmp(name, CAPABILITY) == 0 || is_acl(name);
  size_t size, offset = d->values.size;
  bool gone;
  if (!wanted)
    return IMGSTORE_OK;
  int32_t rc = read_value(d, dir, object, name, path, &size, &gone, err);
  if (rc || gone)
    return rc;
  if (overlay) {
    d->marks |= ims_overlay_mark(marks, name, d->values.data + offset, size);
    return IMGSTORE_OK;
  }
  if (d->rules->recorded_owners && strcmp(name, RECORDED_OWNER) == 0)
    return d->rules->fixed_owner || take_owner((const uint8_t *)d->values.data + offset, size, &d->entry)
               ? IMGSTORE_OK
               : ims_entry_fail(err, IMGSTORE_EFORMAT, path, "malformed attribute " RECORDED_OWNER);
  return keep(d, name, offset, size, path, report, err);
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const ims_tar_xattr *)a)->name, ((const ims_tar_xattr *)b)->name);
}

int32_t ims_disk_xattrs_read(ims_disk_entry *d, int dir, const char *name, const char *path, int32_t marks,
                             imgstore_report *report, ims_error *err) {
  d->xattrs.count = 0;
  ims_buf_clear(&d->values);
  if (S_ISLNK(d->st.st_mode))
    return IMGSTORE_OK; /* a link can have none of those that are kept */
  int32_t rc = list_names(d, dir, name, path, err);
  if (!rc && d->names.size && ims_buf_reserve(&d->values, IMS_DISK_XATTRS_MAX - 1))
    rc = ims_fail_nomem(err); /* all at once: the list points into it */
  const char *at = d->names.data, *end = at ? at + d->names.size : NULL;
  for (; !rc && at < end; at += strlen(at) + 1)
    rc = take(d, dir, name, at, path, marks, report, err);
  if (rc)
    return rc;
  if (d->xattrs.count > 1)
    qsort(d->xattrs.items, d->xattrs.count, sizeof *d->xattrs.items, by_name);
  d->entry.xattrs = d->xattrs.items;
  d->entry.xattr_count = d->xattrs.count;
  return IMGSTORE_OK;
}
