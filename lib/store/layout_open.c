/*
 * store/layout_open.c (L3) - opening and making an OCI image-layout directory, and its private folder.
 *
 * A store is made in an order that lets the next open complete it from any point: the private folder first (it marks
 * the directory as ours), `oci-layout` last (it says that everything is there). Source: image-spec 1.1 image-layout.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "base/folder.h"
#include "store/layout.h"

#define LAYOUT_FILE "oci-layout"
#define PRIVATE_FOLDER ".imgstore"

enum { LAYOUT_FILE_MAX = 4096 };

static const char *const folder_names[IMS_LAYOUT_FOLDERS] = {"locks", "ingest",     "leases",
                                                             "trash", "quarantine", "verified"};

static void layout_free(ims_layout *l) {
  for (int i = 0; i < IMS_LAYOUT_FOLDERS; i++)
    ims_layout_close(l, &l->folder[i]);
  for (int i = 0; i < IMS_LAYOUT_ALGORITHMS; i++) {
    ims_layout_close(l, &l->blob_dir[i]);
    ims_layout_close(l, &l->verified_dir[i]);
  }
  ims_layout_close(l, &l->blobs);
  ims_layout_close(l, &l->private_dir);
  ims_layout_close(l, &l->root);
  pthread_mutex_destroy(&l->mutex);
  ims_core *core = l->core;
  ims_free(&core->alloc, l);
  ims_core_unref(core);
}

static void destroy(void *user_data) {
  layout_free(user_data);
}

int ims_layout_private_folder(const imgstore_store *store) {
  return store->storage.destroy == destroy ? ((const ims_layout *)store->storage.user_data)->private_dir : -1;
}

static ims_layout *layout_new(ims_core *core, const imgstore_store_options *options) {
  ims_layout *l = ims_calloc(&core->alloc, 1, sizeof *l);
  if (!l)
    return NULL;
  if (pthread_mutex_init(&l->mutex, NULL)) {
    ims_free(&core->alloc, l);
    return NULL;
  }
  l->core = ims_core_ref(core);
  l->sys = core->sys;
  l->durability = options ? options->durability : IMGSTORE_DURABILITY_BATCH;
  l->read_only = options && (options->flags & IMGSTORE_STORE_READ_ONLY);
  l->root = l->private_dir = l->blobs = -1;
  for (int i = 0; i < IMS_LAYOUT_FOLDERS; i++)
    l->folder[i] = -1;
  for (int i = 0; i < IMS_LAYOUT_ALGORITHMS; i++)
    l->blob_dir[i] = l->verified_dir[i] = -1;
  return l;
}

/* --- the directory itself ------------------------------------------------------------------------------------------
 */

/** Makes the entry of a new directory durable: path is cut at its last component for the time of the call. */
static int32_t flush_parent(ims_layout *l, char *path) {
  char *slash = strrchr(path, '/');
  char kept = '\0';
  const char *parent = ".";
  if (slash) {
    char *cut = slash == path ? slash + 1 : slash;
    kept = *cut;
    *cut = '\0';
    parent = path;
    slash = cut;
  }
  int fd = l->sys->openat(AT_FDCWD, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  int32_t rc = fd < 0 ? ims_code_of_errno(errno) : ims_layout_flush_dir(l, fd);
  /* A parent that may be written but not read cannot be flushed; the directory is there all the same. */
  if (fd < 0 && rc == IMGSTORE_EACCESS)
    rc = IMGSTORE_OK;
  ims_layout_close(l, &fd);
  if (slash)
    *slash = kept;
  return rc;
}

static int32_t make_one(ims_layout *l, char *path, ims_error *err) {
  if (l->sys->mkdirat(AT_FDCWD, path, 0755)) {
    if (errno == EEXIST)
      return IMGSTORE_OK;
    return ims_fail_os(err, errno, "store %s: cannot create", path);
  }
  int32_t rc = flush_parent(l, path);
  return rc ? ims_fail(err, rc, "store %s: cannot flush its parent directory", path) : IMGSTORE_OK;
}

static int32_t make_path(ims_layout *l, const char *path, ims_error *err) {
  char *copy = ims_strdup(&l->core->alloc, path);
  if (!copy)
    return ims_fail_nomem(err);
  size_t length = strlen(copy);
  while (length > 1 && copy[length - 1] == '/')
    copy[--length] = '\0';
  int32_t rc = IMGSTORE_OK;
  for (char *at = copy; !rc && *at; at++)
    if (*at == '/' && at > copy && at[-1] != '/') {
      *at = '\0';
      rc = make_one(l, copy, err);
      *at = '/';
    }
  if (!rc)
    rc = make_one(l, copy, err);
  ims_free(&l->core->alloc, copy);
  return rc;
}

static int32_t open_root(ims_layout *l, const char *path, bool create, ims_error *err) {
  for (int pass = 0; pass < 2; pass++) {
    l->root = l->sys->openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (l->root >= 0)
      return IMGSTORE_OK;
    if (errno == ENOTDIR)
      return ims_fail(err, IMGSTORE_EFORMAT, "store %s: not a directory", path);
    if (errno != ENOENT || !create || pass)
      break;
    int32_t rc = make_path(l, path, err);
    if (rc)
      return rc;
  }
  return ims_fail_os(err, errno, "store %s: cannot open", path);
}

/* --- what is in it ---------------------------------------------------------------------------------------------------
 */

static int32_t parse_layout_file(ims_layout *l, const ims_buf *text, const char *path, ims_error *err) {
  ims_json *json = NULL;
  int32_t rc = ims_json_parse(&json, &l->core->alloc, ims_buf_text(text), text->size, LAYOUT_FILE, err);
  if (rc) {
    ims_error_prefix(err, "store %s", path);
    return rc;
  }
  const char *version = ims_json_string(ims_json_get(ims_json_root(json), "imageLayoutVersion"));
  if (!version)
    rc = ims_fail(err, IMGSTORE_EFORMAT, "store %s: oci-layout: no imageLayoutVersion", path);
  else if (strcmp(version, "1.0.0") != 0)
    rc = ims_fail(err, IMGSTORE_EUNSUPPORTED, "store %s: layout version %.64s", path, version);
  ims_json_free(json);
  return rc;
}

/** *present: there is an `oci-layout` file, and it is one that this library can read. */
static int32_t check_layout_file(ims_layout *l, const char *path, bool *present, ims_error *err) {
  ims_buf text;
  ims_buf_init(&text, &l->core->alloc, LAYOUT_FILE_MAX);
  *present = false;
  int32_t rc = ims_layout_read_file(l, l->root, LAYOUT_FILE, &text);
  if (rc == IMGSTORE_ENOTFOUND) {
    rc = IMGSTORE_OK;
  } else if (rc == IMGSTORE_ENOMEM) {
    rc = ims_fail_nomem(err);
  } else if (rc == IMGSTORE_EFORMAT || rc == IMGSTORE_ELIMIT) {
    rc = ims_fail(err, IMGSTORE_EFORMAT, "store %s: oci-layout is not a small regular file", path);
  } else if (rc) {
    rc = ims_fail(err, rc, "store %s: cannot read oci-layout", path);
  } else {
    *present = true;
    rc = parse_layout_file(l, &text, path, err);
  }
  ims_buf_free(&text);
  return rc;
}

typedef struct content {
  bool ours, layout, other;
} content;

static int32_t note_entry(void *data, const char *name, unsigned char type) {
  content *c = data;
  if (strcmp(name, PRIVATE_FOLDER) == 0 && type == DT_DIR)
    c->ours = true;
  else if (strcmp(name, "blobs") == 0 || strcmp(name, "index.json") == 0 || strcmp(name, LAYOUT_FILE) == 0)
    c->layout = true;
  else if (strcmp(name, "lost+found") != 0)
    c->other = true;
  return IMGSTORE_OK;
}

/** A directory may become a store when it is empty, or is one whose making was interrupted. */
static int32_t check_may_become_store(ims_layout *l, const char *path, ims_error *err) {
  content c = {false, false, false};
  int32_t rc = ims_folder_scan(l->core, l->root, note_entry, &c);
  if (rc)
    return ims_fail(err, rc, "store %s: cannot list", path);
  if (c.other || (c.layout && !c.ours))
    return ims_fail(err, IMGSTORE_EFORMAT, "store %s: the directory holds something else than an OCI image layout",
                    path);
  return IMGSTORE_OK;
}

static int32_t write_if_absent(ims_layout *l, const char *name, const char *text) {
  struct stat st;
  if (l->sys->fstatat(l->root, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
    return IMGSTORE_OK;
  if (errno != ENOENT)
    return ims_code_of_errno(errno);
  return ims_layout_replace_file(l, name, text, strlen(text), false);
}

static int32_t open_blobs(ims_layout *l) {
  int fd;
  if (l->read_only) {
    l->blobs = ims_layout_open_dir(l, l->root, "blobs");
    return l->blobs >= 0 || errno == ENOENT ? IMGSTORE_OK : ims_code_of_errno(errno);
  }
  int32_t rc = ims_layout_make_dir(l, l->root, "blobs", 0755, &l->blobs, NULL);
  return rc ? rc : ims_layout_blob_dir(l, IMS_HASH_SHA256, true, &fd);
}

/** Under the references lock, so that processes that make one store together take turns. */
static int32_t make_layout(ims_layout *l) {
  int lock;
  int32_t rc = ims_layout_lock_file(l, IMS_LAYOUT_LOCK_REFERENCES, LOCK_EX, &lock);
  if (rc)
    return rc;
  rc = open_blobs(l);
  if (!rc)
    rc = ims_layout_flush_dir(l, l->blobs);
  if (!rc)
    rc = write_if_absent(
        l, "index.json",
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}");
  if (!rc)
    rc = write_if_absent(l, LAYOUT_FILE, "{\"imageLayoutVersion\":\"1.0.0\"}");
  if (!rc)
    ims_layout_keep_reserve(l, 0);
  ims_layout_close(l, &lock);
  return rc;
}

/** The lock files are there from the start: taking a lock needs no space on a full disk. */
static int32_t make_lock_files(ims_layout *l) {
  static const char *const names[] = {IMS_LAYOUT_LOCK_REFERENCES, IMS_LAYOUT_LOCK_PUBLISH};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    int fd;
    int32_t rc = ims_layout_lock_file(l, names[i], LOCK_UN, &fd);
    if (rc)
      return rc;
    ims_layout_close(l, &fd);
  }
  return IMGSTORE_OK;
}

static int32_t make_private_folders(ims_layout *l) {
  bool made;
  int32_t rc = ims_layout_make_dir(l, l->root, PRIVATE_FOLDER, 0700, &l->private_dir, &made);
  if (!rc && made)
    rc = ims_layout_flush_dir(l, l->root);
  bool any = false;
  for (int i = 0; !rc && i < IMS_LAYOUT_FOLDERS; i++) {
    rc = ims_layout_make_dir(l, l->private_dir, folder_names[i], 0700, &l->folder[i], &made);
    any = any || made;
  }
  if (!rc && any)
    rc = ims_layout_flush_dir(l, l->private_dir);
  return rc || !any ? rc : make_lock_files(l);
}

/** A reader takes what private state there is (the records of verified blobs) and makes none. */
static void open_private_folders(ims_layout *l) {
  l->private_dir = ims_layout_open_dir(l, l->root, PRIVATE_FOLDER);
  for (int i = 0; l->private_dir >= 0 && i < IMS_LAYOUT_FOLDERS; i++)
    l->folder[i] = ims_layout_open_dir(l, l->private_dir, folder_names[i]);
}

static int32_t check_index(ims_layout *l, const char *path, ims_error *err) {
  ims_layout_index index;
  int32_t rc = ims_layout_index_load(l, &index, err);
  if (rc) {
    ims_fail(err, rc, "index.json cannot be read");
    ims_error_prefix(err, "store %s", path);
  }
  ims_layout_index_free(&index);
  return rc;
}

/** A store that can only be read is found out here, so that it can be opened for that. */
static int32_t check_writable(const ims_layout *l, const char *path, ims_error *err) {
  int lock;
  int32_t rc = ims_layout_lock_file(l, IMS_LAYOUT_LOCK_PUBLISH, LOCK_UN, &lock);
  ims_layout_close(l, &lock);
  return rc == IMGSTORE_EACCESS ? ims_fail(err, rc, "store %s: it cannot be written", path) : IMGSTORE_OK;
}

static int32_t open_layout(ims_layout *l, const char *path, uint32_t flags, ims_error *err) {
  bool create = !(flags & (IMGSTORE_STORE_READ_ONLY | IMGSTORE_STORE_NO_CREATE)), present;
  int32_t rc = open_root(l, path, create, err);
  if (!rc)
    rc = check_layout_file(l, path, &present, err);
  if (rc)
    return rc;
  if (!present && !create)
    return ims_fail(err, IMGSTORE_ENOTFOUND, "store %s: no image layout there", path);
  if (!present)
    rc = check_may_become_store(l, path, err);
  if (rc)
    return rc;
  if (l->read_only)
    open_private_folders(l);
  else
    rc = make_private_folders(l);
  if (!rc)
    rc = present ? open_blobs(l) : make_layout(l);
  if (rc)
    return ims_fail(err, rc, "store %s: cannot %s its folders", path, present ? "open" : "create");
  if (!l->read_only)
    rc = check_writable(l, path, err);
  if (rc)
    return rc;
  return check_index(l, path, err);
}

int32_t ims_layout_storage_open(ims_core *core, const char *path, const imgstore_store_options *options,
                                imgstore_storage *storage, ims_error *err) {
  memset(storage, 0, sizeof *storage);
  if (!path || !*path)
    return ims_fail(err, IMGSTORE_EINVALID, "store: the path is empty");
  ims_layout *l = layout_new(core, options);
  if (!l)
    return ims_fail_nomem(err);
  int32_t rc = open_layout(l, path, options ? options->flags : 0, err);
  if (rc) {
    layout_free(l);
    return rc;
  }
  storage->size = sizeof *storage;
  storage->user_data = l;
  storage->flags = IMGSTORE_STORAGE_CONCURRENT;
  storage->destroy = destroy;
  ims_layout_blob_entries(storage);
  ims_layout_ingest_entries(storage);
  ims_layout_lease_entries(storage);
  ims_layout_reference_entries(storage);
  return IMGSTORE_OK;
}
