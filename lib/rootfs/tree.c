/*
 * rootfs/tree.c (L3) - setting up for a target directory: opening it, learning how files are made in it.
 */
#include "rootfs/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "rootfs/entry_error.h"
#include "rootfs/unnamed_file.h"

enum {
  ACL_VERSION = 2,
  ACL_USER_OBJ = 1,
  ACL_GROUP_OBJ = 4,
  ACL_OTHER = 0x20,
  PATH_CEILING = 1 << 24,
  ATTRIBUTES_CEILING = 16 << 10
};

static int open_root(ims_tree *tree, int root_fd) {
  const ims_open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
                            .resolve = IMS_RESOLVE_IN_ROOT | IMS_RESOLVE_NO_MAGICLINKS};
  int fd = tree->sys->openat2(root_fd, ".", &how);
  tree->has_openat2 = fd >= 0;
  if (fd < 0)
    fd = tree->sys->openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  return fd;
}

/* Makes a file to see the umask and whose it becomes: umask(2) would change the mask for the whole process. */
static int32_t probe(ims_tree *tree, ims_error *err) {
  ims_dir *root = ims_tree_root(tree);
  struct stat st;
  int fd = ims_unnamed_file(tree->sys, root->fd, 0777);
  if (fd < 0)
    return ims_fail_os(err, errno, "cannot make files in the target directory");
  int failed = tree->sys->fstat(fd, &st) == 0 ? 0 : errno;
  tree->sys->close(fd);
  if (failed)
    return ims_fail_os(err, failed, "cannot look at a file in the target directory");
  tree->umask = ~st.st_mode & 0777;
  tree->uid = geteuid();
  tree->gid = getegid();
  gid_t expected = root->mode & S_ISGID ? root->gid : tree->gid;
  if (st.st_uid != tree->uid || st.st_gid != expected) {
    tree->uid = (uid_t)-1;
    tree->gid = (gid_t)-1;
  }
  return IMGSTORE_OK;
}

int32_t ims_tree_init(ims_tree *tree, const ims_alloc *alloc, const ims_sys *sys, int root_fd, ims_error *err) {
  memset(tree, 0, sizeof *tree);
  tree->alloc = alloc;
  tree->sys = sys;
  tree->parent_uid = (uid_t)-1;
  tree->parent_gid = (gid_t)-1;
  ims_buf_init(&tree->canon, alloc, PATH_CEILING);
  ims_buf_init(&tree->link, alloc, PATH_CEILING);
  ims_buf_init(&tree->home, alloc, PATH_CEILING);
  ims_buf_init(&tree->attributes, alloc, ATTRIBUTES_CEILING);
  ims_privileges_get(sys, &tree->may);
  int fd = open_root(tree, root_fd);
  if (fd < 0)
    return ims_fail_os(err, errno, "cannot open the target directory");
  int32_t rc = ims_dirs_init(&tree->dirs, alloc, sys, tree->may.overrides, fd, err);
  if (rc)
    return rc;
  ims_created_init(&tree->created, alloc, sys, fd, IMS_CREATED_SLOTS);
  /* a default ACL on the target would add rights that no layer asks for to everything below it */
  uint8_t none[4] = {ACL_VERSION, 0, 0, 0};
  if (sys->fsetxattr(fd, "system.posix_acl_default", none, sizeof none, 0) != 0 && errno != EOPNOTSUPP)
    tree->inherits_acl = true;
  rc = ims_hash_key_draw(&tree->key, err);
  return rc ? rc : probe(tree, err);
}

void ims_tree_free(ims_tree *tree) {
  ims_created_free(&tree->created);
  ims_dirs_free(&tree->dirs);
  ims_buf_free(&tree->canon);
  ims_buf_free(&tree->link);
  ims_buf_free(&tree->home);
  ims_buf_free(&tree->attributes);
}

ims_dir *ims_tree_root(ims_tree *tree) {
  return &tree->dirs.slots[0];
}

gid_t ims_tree_fresh_gid(const ims_tree *tree, const ims_dir *dir) {
  return tree->gid != (gid_t)-1 && dir->mode & S_ISGID ? dir->gid : tree->gid;
}

int32_t ims_tree_note(ims_tree *tree, const ims_dir *dir, const char *name, ims_error *err) {
  if (!tree->tracks)
    return IMGSTORE_OK;
  return ims_created_add(&tree->created, ims_name_hash(&tree->key, dir->dev, dir->ino, name), err);
}

static int32_t over_limit(const char *path, const char *what, uint64_t limit, ims_error *err) {
  return ims_entry_fail(err, IMGSTORE_ELIMIT, path, "more than %llu %s: the limit of this job",
                        (unsigned long long)limit, what);
}

int32_t ims_tree_count(ims_tree *tree, const char *path, ims_error *err) {
  ims_quota *q = tree->quota;
  tree->inodes++;
  if (q && q->max_inodes && atomic_fetch_add(&q->inodes, 1) >= q->max_inodes)
    return over_limit(path, "files", q->max_inodes, err);
  return IMGSTORE_OK;
}

int32_t ims_tree_count_bytes(ims_tree *tree, uint64_t bytes, const char *path, ims_error *err) {
  ims_quota *q = tree->quota;
  if (!q || !q->max_bytes)
    return IMGSTORE_OK;
  uint64_t before = atomic_fetch_add(&q->bytes, bytes);
  return before > q->max_bytes || bytes > q->max_bytes - before ? over_limit(path, "bytes", q->max_bytes, err)
                                                                : IMGSTORE_OK;
}

void ims_tree_uncount(ims_tree *tree, const struct stat *st) {
  if (!S_ISDIR(st->st_mode) && st->st_nlink > 1)
    return; /* it has other names */
  tree->inodes--;
  if (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode))
    tree->bytes -= (uint64_t)st->st_size;
}

static void put_acl_entry(uint8_t *out, unsigned tag, unsigned rights) {
  memset(out, 0xff, 8); /* an id of -1: none */
  out[0] = (uint8_t)tag;
  out[1] = 0;
  out[2] = (uint8_t)(rights & 7);
  out[3] = 0;
}

void ims_acl_minimal(uint8_t out[IMS_ACL_MINIMAL], mode_t mode) {
  memset(out, 0, IMS_ACL_MINIMAL);
  out[0] = ACL_VERSION;
  put_acl_entry(out + 4, ACL_USER_OBJ, mode >> 6);
  put_acl_entry(out + 12, ACL_GROUP_OBJ, mode >> 3);
  put_acl_entry(out + 20, ACL_OTHER, mode);
}

int32_t ims_tree_drop_acl(ims_tree *tree, int fd, mode_t mode, bool access, bool default_too, const char *path,
                          ims_error *err) {
  uint8_t acl[IMS_ACL_MINIMAL];
  ims_acl_minimal(acl, mode);
  const uint8_t none[4] = {ACL_VERSION, 0, 0, 0};
  if (access && tree->sys->fsetxattr(fd, "system.posix_acl_access", acl, sizeof acl, 0) != 0 && errno != EOPNOTSUPP)
    return ims_entry_fail_os(err, errno, path, "remove an inherited ACL");
  if (default_too && tree->sys->fsetxattr(fd, "system.posix_acl_default", none, sizeof none, 0) != 0 &&
      errno != EOPNOTSUPP)
    return ims_entry_fail_os(err, errno, path, "remove an inherited default ACL");
  return IMGSTORE_OK;
}

int32_t ims_tree_describe_parent(ims_tree *t, ims_dir *dir, const char *path, ims_error *err) {
  if ((t->parent_uid != (uid_t)-1 && dir->uid != t->parent_uid) ||
      (t->parent_gid != (gid_t)-1 && dir->gid != t->parent_gid)) {
    if (t->sys->fchown(dir->fd, t->parent_uid, t->parent_gid) != 0)
      return ims_entry_fail_os(err, errno, path, "set the owner of a directory of its path");
    dir->uid = t->parent_uid != (uid_t)-1 ? t->parent_uid : dir->uid;
    dir->gid = t->parent_gid != (gid_t)-1 ? t->parent_gid : dir->gid;
  }
  int32_t rc = t->inherits_acl ? ims_tree_drop_acl(t, dir->fd, IMS_PARENT_MODE, true, true, path, err) : IMGSTORE_OK;
  return rc ? rc : ims_tree_set_dir_mode(t, dir, IMS_PARENT_MODE, t->inherits_acl, path, err);
}

int32_t ims_tree_set_dir_mode(ims_tree *tree, ims_dir *dir, mode_t mode, bool force, const char *path, ims_error *err) {
  mode_t now = tree->may.overrides ? mode : mode | 0700;
  if ((force || dir->mode != now) && tree->sys->fchmod(dir->fd, now) != 0)
    return ims_entry_fail_os(err, errno, path, "set the mode");
  dir->mode = now;
  dir->final_mode = mode;
  return IMGSTORE_OK;
}
