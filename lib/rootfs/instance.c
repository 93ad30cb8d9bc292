/*
 * rootfs/instance.c (L3) - making, opening and deleting instances.
 *
 * Making: everything in a staged directory, the record last and flushed, then one rename. Deleting: one rename into
 * the trash, then removal, which may fail and is tried again by the next open. So a crash leaves an instance whole or
 * not at all.
 */
#include "rootfs/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "base/folder.h"
#include "rootfs/instance_hold.h"
#include "rootfs/layer_dir.h"
#include "rootfs/metadata.h"

#define RECORD_FILE "record"
#define LOCK_FILE "lock"

enum { XATTR_NAMES_MAX = 64 << 10, XATTR_VALUE_MAX = 64 << 10 };

/* --- what is inside an instance ----------------------------------------------------------------------------------- */

static int32_t corrupt(const ims_instance *instance, const char *what, ims_error *err) {
  return ims_fail(err, IMGSTORE_ECORRUPT, "rootfs %s: %s was replaced by something else", instance->name, what);
}

int32_t ims_instance_open_dir(const ims_instance *instance, const char *which, int *fd, ims_error *err) {
  *fd = instance->dir->core->sys->openat(instance->fd, which, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (*fd >= 0)
    return IMGSTORE_OK;
  if (errno == ELOOP || errno == ENOTDIR)
    return corrupt(instance, which, err);
  return ims_fail_os(err, errno, "rootfs %s: cannot open %s", instance->name, which);
}

int32_t ims_instance_open_lower(const ims_instance *instance, size_t i, int *fd, ims_error *err) {
  const ims_instance_record *r = &instance->record;
  int32_t rc = ims_layer_dir_open(instance->dir, r->layers[r->layer_count - 1 - i], fd, err);
  if (rc)
    ims_error_prefix(err, "rootfs %s", instance->name);
  return rc;
}

int32_t ims_instance_lock(const ims_instance *instance, int *fd, ims_error *err) {
  const ims_core *core = instance->dir->core;
  *fd = core->sys->openat(instance->fd, LOCK_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
  if (*fd < 0)
    return ims_fail_os(err, errno, "rootfs %s: cannot open its lock", instance->name);
  int32_t rc = ims_dir_file_flock(core, *fd, LOCK_EX | LOCK_NB);
  if (rc)
    ims_dir_file_close(core, fd);
  if (rc == IMGSTORE_EBUSY)
    return IMGSTORE_EAGAIN;
  return rc ? ims_fail(err, rc, "rootfs %s: cannot lock", instance->name) : IMGSTORE_OK;
}

/* --- making --------------------------------------------------------------------------------------------------------
 */

/* What the kernel or a container's process may have planted stays behind. */
static bool is_overlay_mark(const char *name) {
  return strncmp(name, "trusted.overlay.", 16) == 0 || strncmp(name, "user.overlay.", 13) == 0;
}

/* Attributes that the system refuses here (a label, perhaps) were given to the layer by the same system. */
static int copy_xattrs(const ims_core *core, int from, int to) {
  const ims_sys *sys = core->sys;
  char *names = ims_malloc(&core->alloc, XATTR_NAMES_MAX + XATTR_VALUE_MAX);
  if (!names)
    return ENOMEM;
  char *value = names + XATTR_NAMES_MAX;
  ssize_t size = sys->flistxattr(from, names, XATTR_NAMES_MAX);
  int failed = size < 0 && errno != EOPNOTSUPP ? errno : 0;
  for (const char *name = names; !failed && size > 0 && name < names + size; name += strlen(name) + 1) {
    if (is_overlay_mark(name) || strncmp(name, "security.selinux", 16) == 0)
      continue;
    ssize_t got = sys->fgetxattr(from, name, value, XATTR_VALUE_MAX);
    if (got < 0 ? errno != ENODATA : sys->fsetxattr(to, name, value, (size_t)got, 0) != 0)
      failed = errno;
    if (failed == EPERM || failed == EOPNOTSUPP)
      failed = 0;
  }
  ims_free(&core->alloc, names);
  return failed;
}

/* The root directory of the merged tree is the upper one: it takes over what the layers say about it. */
static int copy_root(const ims_core *core, const ims_instance_record *record, int top, int upper) {
  const ims_sys *sys = core->sys;
  struct stat st;
  int from = sys->openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (from < 0)
    return errno;
  int failed = sys->fstat(from, &st) == 0 ? 0 : errno;
  if (!failed && record->id_mapped &&
      (!ims_map_id(record->uid_map, record->uid_map_count, st.st_uid, &st.st_uid) ||
       !ims_map_id(record->gid_map, record->gid_map_count, st.st_gid, &st.st_gid)))
    failed = EINVAL;
  if (!failed && sys->fchown(upper, st.st_uid, st.st_gid) != 0)
    failed = errno;
  if (!failed)
    failed = copy_xattrs(core, from, upper);
  if (!failed && sys->fchmod(upper, st.st_mode & 07777) != 0)
    failed = errno;
  const struct timespec times[2] = {st.st_atim, st.st_mtim};
  if (!failed && sys->futimens(upper, times) != 0)
    failed = errno;
  sys->close(from);
  return failed;
}

static int32_t make_dirs(ims_rootfs_dir *dir, int stage, const ims_instance_record *record, int top) {
  static const char *const names[] = {IMS_INSTANCE_MERGED, IMS_INSTANCE_WORK, IMS_INSTANCE_UPPER};
  int fd = -1;
  int32_t rc = IMGSTORE_OK;
  for (size_t i = 0; i < (record->read_only ? 1 : 3) && !rc; i++) {
    ims_dir_file_close(dir->core, &fd);
    rc = ims_dir_file_make_dir(dir->core, stage, names[i], &fd);
  }
  if (!rc && !record->read_only) {
    int failed = copy_root(dir->core, record, top, fd);
    rc = failed ? ims_code_of_errno(failed) : IMGSTORE_OK;
  }
  ims_dir_file_close(dir->core, &fd);
  return rc ? rc : ims_dir_file_write(dir->core, stage, LOCK_FILE, "", 0, false);
}

static int32_t fill_stage(ims_rootfs_dir *dir, int stage, const char *name, const ims_instance_record *record, int top,
                          ims_error *err) {
  ims_buf text;
  ims_buf_init(&text, &dir->core->alloc, IMS_INSTANCE_RECORD_MAX);
  int32_t rc = ims_instance_record_write(record, &text, err);
  if (!rc) {
    rc = make_dirs(dir, stage, record, top);
    if (!rc)
      rc = ims_dir_file_write(dir->core, stage, RECORD_FILE, text.data, text.size, dir->flushes);
    if (!rc && dir->flushes)
      rc = ims_dir_file_flush(dir->core, stage);
    if (rc)
      ims_fail(err, rc, "rootfs %s: cannot make its directory", name);
  }
  ims_buf_free(&text);
  return rc;
}

/* The lock of the staged directory is the one that holds the instance: there is no instant without it. */
static int32_t publish(ims_instance *instance, ims_rootfs_dir *dir, ims_stage *stage, ims_error *err) {
  instance->fd = fcntl(stage->fd, F_DUPFD_CLOEXEC, 3);
  if (instance->fd < 0)
    return ims_fail_os(err, errno, "rootfs %s: cannot open", instance->name);
  int32_t rc = ims_stage_publish(dir, stage, IMS_ROOTFS_INSTANCES, instance->name, err);
  return rc ? rc : ims_rootfs_dir_flush(dir, IMS_ROOTFS_INSTANCES, err);
}

static int32_t make(ims_instance *instance, ims_rootfs_dir *dir, const ims_instance_record *record, int top,
                    ims_error *err) {
  ims_stage stage = {.fd = -1};
  int lock = -1;
  int32_t rc = ims_stage_open(dir, &stage, err);
  if (!rc)
    rc = fill_stage(dir, stage.fd, instance->name, record, top, err);
  /* Together: nobody who deletes the image's last instance lets go of the image in between. */
  if (!rc)
    rc = ims_rootfs_dir_lock(dir, IMS_ROOTFS_LOCK_INSTANCES, LOCK_SH, &lock, err);
  if (!rc)
    rc = ims_hold_set(dir, &record->manifest, err);
  if (!rc)
    rc = publish(instance, dir, &stage, err);
  ims_dir_file_close(dir->core, &lock);
  ims_stage_discard(dir, &stage);
  if (rc == IMGSTORE_EEXISTS) {
    ims_error_clear(err);
    ims_fail(err, rc, "rootfs %s: there is one of that name", instance->name);
  }
  return rc;
}

int32_t ims_instance_create(ims_instance *instance, ims_rootfs_dir *dir, const char *name, ims_instance_record *record,
                            int top, ims_error *err) {
  struct stat st;
  memset(instance, 0, sizeof *instance);
  instance->fd = -1;
  int32_t rc = ims_instance_check_name(name, err);
  if (!rc)
    rc = ims_rootfs_dir_writable(dir, err);
  if (rc)
    return rc;
  strcpy(instance->name, name);
  if (dir->core->sys->fstatat(dir->folder[IMS_ROOTFS_INSTANCES], name, &st, AT_SYMLINK_NOFOLLOW) == 0)
    return ims_fail(err, IMGSTORE_EEXISTS, "rootfs %s: there is one of that name", name);
  rc = make(instance, dir, record, top, err);
  if (rc) {
    ims_dir_file_close(dir->core, &instance->fd);
    return rc;
  }
  instance->dir = ims_rootfs_dir_ref(dir);
  instance->record = *record;
  ims_instance_record_init(record, &dir->core->alloc);
  return IMGSTORE_OK;
}

/* --- opening -------------------------------------------------------------------------------------------------------
 */

static int32_t not_found(const char *name, ims_error *err) {
  return ims_fail(err, IMGSTORE_ENOTFOUND, "rootfs %s: there is none of that name", name);
}

static int32_t open_entry(const ims_rootfs_dir *dir, const char *name, int *fd, ims_error *err) {
  int folder = dir->folder[IMS_ROOTFS_INSTANCES];
  *fd = folder < 0 ? -1 : ims_dir_file_open_dir(dir->core, folder, name);
  if (*fd >= 0)
    return IMGSTORE_OK;
  if (folder < 0 || errno == ENOENT)
    return not_found(name, err);
  if (errno == ELOOP || errno == ENOTDIR)
    return ims_fail(err, IMGSTORE_EFORMAT, "rootfs %s: what is there is no instance", name);
  return ims_fail_os(err, errno, "rootfs %s: cannot open", name);
}

static int32_t read_record(const ims_rootfs_dir *dir, int fd, const char *name, ims_instance_record *record,
                           ims_error *err) {
  ims_buf text;
  ims_buf_init(&text, &dir->core->alloc, IMS_INSTANCE_RECORD_MAX);
  int32_t rc = ims_dir_file_read(dir->core, fd, RECORD_FILE, &text);
  if (rc == IMGSTORE_ENOTFOUND)
    rc = ims_fail(err, IMGSTORE_EFORMAT, "rootfs %s: what is there is no instance", name);
  else if (rc == IMGSTORE_ENOMEM)
    rc = ims_fail_nomem(err);
  else if (rc)
    rc = ims_fail(err, rc == IMGSTORE_EACCESS ? rc : IMGSTORE_ECORRUPT, "rootfs %s: its record cannot be read", name);
  else
    rc = ims_instance_record_read(record, ims_buf_text(&text), text.size, name, err);
  ims_buf_free(&text);
  return rc;
}

/* What cannot be locked now: a handle keeps deletion out, or a deletion keeps handles out, which takes as long as its
   tree is large. busy: which of them. */
static int32_t cannot_lock(const char *name, int32_t rc, const char *busy, ims_error *err) {
  return rc == IMGSTORE_EBUSY ? ims_fail(err, rc, "rootfs %s: %s", name, busy)
                              : ims_fail(err, rc, "rootfs %s: cannot lock", name);
}

/* operation: LOCK_SH, or LOCK_EX to delete it. Waits for nobody. */
static int32_t open_locked(ims_instance *instance, ims_rootfs_dir *dir, const char *name, int operation,
                           ims_error *err) {
  memset(instance, 0, sizeof *instance);
  instance->fd = -1;
  int32_t rc = ims_instance_check_name(name, err);
  if (!rc)
    rc = open_entry(dir, name, &instance->fd, err);
  if (rc)
    return rc;
  strcpy(instance->name, name);
  instance->dir = ims_rootfs_dir_ref(dir);
  ims_instance_record_init(&instance->record, &dir->core->alloc);
  rc = ims_dir_file_flock(dir->core, instance->fd, operation | LOCK_NB);
  if (rc)
    return cannot_lock(name, rc, operation == LOCK_EX ? "it is in use: an open handle holds it" : "it is being deleted",
                       err);
  return ims_dir_file_is(dir->core, dir->folder[IMS_ROOTFS_INSTANCES], name, instance->fd) ? IMGSTORE_OK
                                                                                           : not_found(name, err);
}

int32_t ims_instance_open(ims_instance *instance, ims_rootfs_dir *dir, const char *name, ims_error *err) {
  int32_t rc = open_locked(instance, dir, name, LOCK_SH, err);
  if (!rc)
    rc = read_record(dir, instance->fd, name, &instance->record, err);
  if (rc)
    ims_instance_close(instance);
  return rc;
}

void ims_instance_close(ims_instance *instance) {
  if (!instance->dir)
    return;
  ims_dir_file_close(instance->dir->core, &instance->fd);
  ims_instance_record_free(&instance->record);
  ims_rootfs_dir_unref(instance->dir);
  instance->dir = NULL;
}

/* --- deleting ------------------------------------------------------------------------------------------------------
 */

/* It goes out of sight, and its image is let go with the last instance. */
static int32_t discard(ims_rootfs_dir *dir, const char *name, const ims_digest *manifest,
                       char trash_name[IMS_STAGE_NAME], ims_error *err) {
  int lock;
  int32_t rc = ims_rootfs_dir_lock(dir, IMS_ROOTFS_LOCK_INSTANCES, LOCK_EX, &lock, err);
  if (rc)
    return rc;
  rc = ims_trash_take(dir, dir->folder[IMS_ROOTFS_INSTANCES], name, trash_name);
  if (rc)
    ims_fail(err, rc, "rootfs %s: cannot move it to the trash", name);
  else
    rc = ims_rootfs_dir_flush(dir, IMS_ROOTFS_INSTANCES, err);
  if (!rc && manifest)
    ims_hold_release(dir, manifest);
  ims_dir_file_close(dir->core, &lock);
  return rc;
}

/* Whether anything is left shows in the directory itself: it has no name any more when it was removed. */
static int32_t report_rest(const ims_instance *instance, imgstore_report *report, ims_error *err) {
  struct stat st;
  if (!report || instance->dir->core->sys->fstat(instance->fd, &st) != 0 || st.st_nlink == 0)
    return IMGSTORE_OK;
  int32_t rc = ims_report_add(report, IMGSTORE_REPORT_SKIPPED, instance->name, "",
                              "deleted, but some of its files cannot be removed now", 0, 0);
  return rc == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : rc;
}

int32_t ims_instance_delete(ims_rootfs_dir *dir, const char *name, ims_instance_before before, void *data,
                            imgstore_report *report, ims_error *err) {
  ims_instance instance;
  ims_error why = IMS_ERROR_INIT;
  char trash_name[IMS_STAGE_NAME];
  instance.dir = NULL;
  int32_t rc = ims_rootfs_dir_writable(dir, err);
  if (!rc)
    rc = open_locked(&instance, dir, name, LOCK_EX, err);
  bool readable = !rc && read_record(dir, instance.fd, name, &instance.record, &why) == IMGSTORE_OK;
  /* A record that is damaged does not keep it; without one it is nothing of ours. */
  if (!rc && !readable && why.code != IMGSTORE_ECORRUPT)
    rc = ims_fail(err, why.code, "%s", why.message);
  if (!rc && before)
    rc = before(data, &instance, err);
  if (!rc)
    rc = discard(dir, name, readable ? &instance.record.manifest : NULL, trash_name, err);
  if (!rc) {
    ims_trash_remove(dir, trash_name, NULL);
    ims_rootfs_dir_clean(dir, IMS_TRASH_STEP);
    rc = report_rest(&instance, report, err);
  }
  ims_instance_close(&instance);
  return rc;
}

/* --- listing -------------------------------------------------------------------------------------------------------
 */

typedef struct names {
  const ims_alloc *alloc;
  char **items;
  size_t count, capacity;
} names;

static int32_t add_name(void *data, const char *name, unsigned char type) {
  names *n = data;
  (void)type;
  if (n->count == n->capacity) {
    size_t capacity = n->capacity ? n->capacity * 2 : 64;
    char **items = ims_realloc_array(n->alloc, n->items, capacity, sizeof *items);
    if (!items)
      return IMGSTORE_ENOMEM;
    n->items = items;
    n->capacity = capacity;
  }
  n->items[n->count] = ims_strdup(n->alloc, name);
  return n->items[n->count] ? (n->count++, IMGSTORE_OK) : IMGSTORE_ENOMEM;
}

static int compare_names(const void *x, const void *y) {
  return strcmp(*(char *const *)x, *(char *const *)y);
}

static int32_t visit_one(ims_rootfs_dir *dir, const char *name, ims_instance_visit visit, void *data) {
  ims_error why = IMS_ERROR_INIT;
  ims_instance_record record;
  int fd = -1;
  ims_instance_record_init(&record, &dir->core->alloc);
  int32_t rc = ims_instance_check_name(name, &why);
  if (!rc)
    rc = open_entry(dir, name, &fd, &why);
  if (!rc)
    rc = read_record(dir, fd, name, &record, &why);
  ims_dir_file_close(dir->core, &fd);
  if (rc == IMGSTORE_EINVALID)
    why.code = IMGSTORE_EFORMAT;
  /* Deleted meanwhile is nothing to tell. */
  rc = rc == IMGSTORE_ENOTFOUND || rc == IMGSTORE_ENOMEM ? rc : visit(data, name, rc ? NULL : &record, &why);
  ims_instance_record_free(&record);
  return rc == IMGSTORE_ENOTFOUND ? IMGSTORE_OK : rc;
}

int32_t ims_instance_list(ims_rootfs_dir *dir, ims_instance_visit visit, void *data, ims_error *err) {
  names n = {.alloc = &dir->core->alloc};
  int folder = dir->folder[IMS_ROOTFS_INSTANCES];
  int32_t rc = folder < 0 ? IMGSTORE_OK : ims_folder_scan(dir->core, folder, add_name, &n);
  if (rc)
    rc = rc == IMGSTORE_ENOMEM ? ims_fail_nomem(err) : ims_fail(err, rc, "cannot list the instances");
  if (!rc && n.count)
    qsort(n.items, n.count, sizeof *n.items, compare_names);
  for (size_t i = 0; i < n.count && !rc; i++) {
    rc = visit_one(dir, n.items[i], visit, data);
    if (rc == IMGSTORE_ENOMEM)
      ims_fail_nomem(err);
  }
  for (size_t i = 0; i < n.count; i++)
    ims_free(n.alloc, n.items[i]);
  ims_free(n.alloc, n.items);
  return rc;
}
