/*
 * rootfs/dir_state.c (L3) - opening and making a rootfs directory.
 *
 * It is made in an order that lets the next open complete it from any point: folders first, the file that says what it
 * is last. Nothing of ours is trusted by its name alone: links are not followed, locks say who is alive.
 */
#include "rootfs/dir_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/text.h"
#include "json/json.h"

#define STATE_FILE "imgstore-rootfs"
#define STATE_TEMPORARY "imgstore-rootfs.new"
#define DEFAULT_NAME "rootfs"

enum { STATE_MAX = 4096, VERSION = 1 };

static const char *const folder_names[IMS_ROOTFS_FOLDERS] = {"layers", "instances", "staging",
                                                             "trash",  "locks",     "leases"};

/* --- opening ------------------------------------------------------------------------------------------------------ */

static void dir_free(ims_rootfs_dir *d) {
  ims_core *core = d->core;
  for (int i = 0; i < IMS_ROOTFS_FOLDERS; i++)
    ims_dir_file_close(core, &d->folder[i]);
  ims_dir_file_close(core, &d->root);
  ims_store_unref(d->store);
  ims_free(&core->alloc, d->path);
  ims_free(&core->alloc, d);
  ims_core_unref(core);
}

static ims_rootfs_dir *dir_new(imgstore_store *store, const imgstore_rootfs_dir_options *options) {
  ims_rootfs_dir *d = ims_calloc(&store->core->alloc, 1, sizeof *d);
  if (!d)
    return NULL;
  atomic_init(&d->refs, 1);
  d->core = ims_core_ref(store->core);
  d->store = ims_store_ref(store);
  d->read_only = options->flags & IMGSTORE_ROOTFS_DIR_READ_ONLY;
  d->flushes = options->durability != IMGSTORE_DURABILITY_NONE;
  d->root = -1;
  for (int i = 0; i < IMS_ROOTFS_FOLDERS; i++)
    d->folder[i] = -1;
  ims_privileges may;
  ims_privileges_get(d->core->sys, &may);
  d->trusted = may.trusted;
  return d;
}

/* *base: what path is relative to; *name: path, or the default's name in the store. */
static int32_t locate(const ims_rootfs_dir *d, const char *path, int *base, const char **name, ims_error *err) {
  *base = AT_FDCWD;
  *name = path;
  if (path)
    return IMGSTORE_OK;
  *base = ims_layout_private_folder(d->store);
  *name = DEFAULT_NAME;
  return *base >= 0 ? IMGSTORE_OK
                    : ims_fail(err, IMGSTORE_EINVALID, "the store is no directory: a path for its layers is required");
}

/* Not through a link, and nothing mounted there: then it can only be the one at that place. */
static bool is_in_store(const ims_rootfs_dir *d, int base, const char *name) {
  struct stat folder, own;
  return d->core->sys->fstat(base, &folder) == 0 && d->core->sys->fstat(d->root, &own) == 0 &&
         folder.st_dev == own.st_dev && ims_dir_file_is(d->core, base, name, d->root);
}

static int32_t open_root(ims_rootfs_dir *d, int base, const char *name, bool create, ims_error *err) {
  const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  const ims_sys *sys = d->core->sys;
  d->root = sys->openat(base, name, flags, 0);
  if (d->root < 0 && errno == ENOENT && create) {
    if (sys->mkdirat(base, name, 0700) != 0 && errno != EEXIST)
      return ims_fail_os(err, errno, "rootfs directory %s: cannot create", name);
    d->root = sys->openat(base, name, flags, 0);
  }
  if (d->root >= 0)
    return IMGSTORE_OK;
  if (errno == ENOTDIR)
    return ims_fail(err, IMGSTORE_EFORMAT, "rootfs directory %s: not a directory", name);
  return ims_fail_os(err, errno, "rootfs directory %s: cannot open", name);
}

/* The absolute path, as the kernel knows it: the caller may change his directory later. */
static int32_t find_path(ims_rootfs_dir *d, const char *name, ims_error *err) {
  char link[40], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", d->root);
  ssize_t size = d->core->sys->readlinkat(AT_FDCWD, link, path, sizeof path);
  if (size < 0 || (size_t)size >= sizeof path)
    return ims_fail_os(err, size < 0 ? errno : ENAMETOOLONG, "rootfs directory %s: cannot find its path", name);
  d->path = ims_strndup(&d->core->alloc, path, (size_t)size);
  return d->path ? IMGSTORE_OK : ims_fail_nomem(err);
}

static int32_t parse_state(const ims_core *core, const ims_buf *text, char id[IMS_ROOTFS_ID], ims_error *err) {
  ims_json *json = NULL;
  uint64_t version;
  int32_t rc = ims_json_parse(&json, &core->alloc, ims_buf_text(text), text->size, STATE_FILE, err);
  if (rc)
    return rc;
  const ims_json_value *root = ims_json_root(json);
  const char *found = ims_json_string(ims_json_get(root, "id"));
  if (!ims_json_uint(ims_json_get(root, "version"), &version))
    rc = ims_fail(err, IMGSTORE_EFORMAT, STATE_FILE " has no version");
  else if (version != VERSION)
    rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "version %llu is not known to this release", (unsigned long long)version);
  else if (!found || strlen(found) != IMS_ROOTFS_ID - 1 || !ims_is_lower_hex(found, IMS_ROOTFS_ID - 1))
    rc = ims_fail(err, IMGSTORE_EFORMAT, STATE_FILE " has no id");
  else
    memcpy(id, found, IMS_ROOTFS_ID);
  ims_json_free(json);
  return rc;
}

/* IMGSTORE_ENOTFOUND, without a message: it is not there. */
static int32_t read_id(const ims_core *core, int root, char id[IMS_ROOTFS_ID], ims_error *err) {
  ims_buf text;
  ims_buf_init(&text, &core->alloc, STATE_MAX);
  int32_t rc = ims_dir_file_read(core, root, STATE_FILE, &text);
  if (!rc)
    rc = parse_state(core, &text, id, err);
  else if (rc != IMGSTORE_ENOTFOUND)
    ims_fail(err, rc, "cannot read " STATE_FILE);
  ims_buf_free(&text);
  return rc;
}

int32_t ims_rootfs_dir_read_id(const ims_core *core, int root, char id[IMS_ROOTFS_ID]) {
  return read_id(core, root, id, NULL);
}

static int32_t read_state(ims_rootfs_dir *d, ims_error *err) {
  int32_t rc = read_id(d->core, d->root, d->id, err);
  return rc && rc != IMGSTORE_ENOTFOUND ? ims_error_prefix(err, "rootfs directory %s", d->path) : rc;
}

typedef struct emptiness {
  bool foreign;
} emptiness;

static int32_t look_for_foreign(void *data, const char *name, unsigned char type) {
  emptiness *e = data;
  bool ours = strcmp(name, STATE_TEMPORARY) == 0;
  for (int i = 0; i < IMS_ROOTFS_FOLDERS; i++)
    ours = ours || strcmp(name, folder_names[i]) == 0;
  e->foreign = e->foreign || !ours;
  return IMGSTORE_OK;
}

/* A directory without our file is made ours only when there is nothing else in it. */
static int32_t require_vacant(const ims_rootfs_dir *d, ims_error *err) {
  emptiness e = {false};
  int32_t rc = ims_folder_scan(d->core, d->root, look_for_foreign, &e);
  if (rc)
    return ims_fail(err, rc, "rootfs directory %s: cannot read", d->path);
  return e.foreign ? ims_fail(err, IMGSTORE_EFORMAT, "rootfs directory %s: holds something else", d->path)
                   : IMGSTORE_OK;
}

static int32_t open_folders(ims_rootfs_dir *d, ims_error *err) {
  for (int i = 0; i < IMS_ROOTFS_FOLDERS; i++) {
    int32_t rc = IMGSTORE_OK;
    if (d->read_only)
      d->folder[i] = ims_dir_file_open_dir(d->core, d->root, folder_names[i]);
    else
      rc = ims_dir_file_make_dir(d->core, d->root, folder_names[i], &d->folder[i]);
    if (rc)
      return ims_fail(err, rc, "rootfs directory %s: cannot open %s", d->path, folder_names[i]);
  }
  return IMGSTORE_OK;
}

static int32_t write_state(ims_rootfs_dir *d) {
  char text[128];
  int size = snprintf(text, sizeof text, "{\"version\":%d,\"id\":\"%s\"}\n", VERSION, d->id);
  if (d->core->sys->unlinkat(d->root, STATE_TEMPORARY, 0) != 0 && errno != ENOENT)
    return ims_code_of_errno(errno);
  int32_t rc = ims_dir_file_write(d->core, d->root, STATE_TEMPORARY, text, (size_t)size, d->flushes);
  if (!rc && d->core->sys->renameat2(d->root, STATE_TEMPORARY, d->root, STATE_FILE, 0) != 0)
    rc = ims_code_of_errno(errno);
  if (!rc && d->flushes)
    rc = ims_dir_file_flush(d->core, d->root);
  return rc;
}

/* Two processes may make it at once: the lock decides whose id it gets. */
static int32_t complete(ims_rootfs_dir *d, ims_error *err) {
  int fd;
  int32_t rc = ims_rootfs_dir_lock(d, "make", LOCK_EX, &fd, err);
  if (rc)
    return rc;
  rc = read_state(d, err);
  if (rc == IMGSTORE_ENOTFOUND) {
    rc = ims_random_name(d->id);
    if (!rc)
      rc = ims_random_name(d->id + IMS_RANDOM_NAME - 1);
    if (!rc)
      rc = write_state(d);
    if (rc)
      ims_fail(err, rc, "rootfs directory %s: cannot write " STATE_FILE, d->path);
  }
  ims_dir_file_close(d->core, &fd);
  return rc;
}

static int32_t open_content(ims_rootfs_dir *d, ims_error *err) {
  int32_t rc = read_state(d, err);
  bool is_new = rc == IMGSTORE_ENOTFOUND;
  if (is_new)
    rc = require_vacant(d, err);
  if (!rc)
    rc = open_folders(d, err);
  if (!rc && is_new && !d->read_only)
    rc = complete(d, err);
  return rc;
}

int32_t ims_rootfs_dir_open(ims_rootfs_dir **dir, imgstore_store *store, const char *path,
                            const imgstore_rootfs_dir_options *options, ims_error *err) {
  int base;
  const char *name;
  *dir = NULL;
  ims_rootfs_dir *d = dir_new(store, options);
  if (!d)
    return ims_fail_nomem(err);
  bool create = !d->read_only && !(options->flags & IMGSTORE_ROOTFS_DIR_NO_CREATE);
  int32_t rc = locate(d, path, &base, &name, err);
  if (!rc)
    rc = open_root(d, base, name, create, err);
  if (!rc)
    d->in_store = !path && is_in_store(d, base, name);
  if (!rc)
    rc = find_path(d, name, err);
  if (!rc)
    rc = open_content(d, err);
  if (rc) {
    dir_free(d);
    return rc;
  }
  if (!d->read_only)
    ims_rootfs_dir_clean(d, IMS_TRASH_STEP);
  *dir = d;
  return IMGSTORE_OK;
}

ims_rootfs_dir *ims_rootfs_dir_ref(ims_rootfs_dir *dir) {
  atomic_fetch_add(&dir->refs, 1);
  return dir;
}

void ims_rootfs_dir_unref(ims_rootfs_dir *dir) {
  if (dir && atomic_fetch_sub(&dir->refs, 1) == 1)
    dir_free(dir);
}

int32_t ims_rootfs_dir_writable(const ims_rootfs_dir *dir, ims_error *err) {
  return dir->read_only ? ims_fail(err, IMGSTORE_EACCESS, "rootfs directory %s: opened read-only", dir->path)
                        : IMGSTORE_OK;
}

int32_t ims_rootfs_dir_flush(const ims_rootfs_dir *dir, int folder, ims_error *err) {
  int32_t rc = dir->flushes ? ims_dir_file_flush(dir->core, dir->folder[folder]) : IMGSTORE_OK;
  return rc ? ims_fail(err, rc, "rootfs directory %s: cannot flush %s", dir->path, folder_names[folder]) : IMGSTORE_OK;
}
