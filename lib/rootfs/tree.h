/*
 * rootfs/tree.h (L3) - the directory tree that layers are applied to: its open directories, and what was learnt about
 * its file system and this process. Shared by the files of this folder; knows nothing of tar.
 */
#ifndef IMS_ROOTFS_TREE_H
#define IMS_ROOTFS_TREE_H

#include <stdatomic.h>

#include "base/buf.h"
#include "rootfs/created_set.h"
#include "rootfs/dir_cache.h"
#include "rootfs/name_hash.h"
#include "rootfs/privileges.h"

enum { IMS_NAME_MAX = 255, IMS_PARENT_MODE = 0755 };

struct ims_overlay;

/** What may be made, shared by the trees of a job. */
typedef struct ims_quota {
  uint64_t max_bytes, max_inodes; /**< 0: no limit */
  _Atomic uint64_t bytes, inodes;
} ims_quota;

typedef struct ims_tree {
  const ims_alloc *alloc;
  const ims_sys *sys;
  ims_privileges may;
  ims_dirs dirs;
  bool has_openat2;
  mode_t umask;      /**< the process's, as seen on a file that was made for it */
  uid_t uid;         /**< owner of a fresh object; (uid_t)-1: the file system has rules of its own */
  gid_t gid;         /**< group of one in a directory without setgid; (gid_t)-1 likewise */
  bool inherits_acl; /**< some directory may hand a default ACL down */
  uid_t parent_uid;  /**< owner of parents that no entry describes; -1: as made */
  gid_t parent_gid;
  ims_hash_key key;
  ims_created_set created;     /**< names made by the current layer */
  bool tracks;                 /**< created is kept: there are lower layers */
  ims_buf canon, link, home;   /**< of ims_resolve_dir */
  struct ims_overlay *overlay; /**< NULL: layers are merged in this tree */
  ims_quota *quota;            /**< or NULL: no limit */
  bool counts;                 /**< what follows is wanted */
  ims_buf attributes;          /**< paths of directories with extended attributes, each with its NUL */
  uint64_t attribute_count;
  bool any_attributes;    /**< more directories have attributes than are listed */
  uint64_t bytes, inodes; /**< what was made and not removed again: content of files and targets of links */
} ims_tree;

/** root_fd stays the caller's; any descriptor of the directory, also O_PATH. */
int32_t ims_tree_init(ims_tree *tree, const ims_alloc *alloc, const ims_sys *sys, int root_fd, ims_error *err);
void ims_tree_free(ims_tree *tree);
ims_dir *ims_tree_root(ims_tree *tree);
/** The owner that a fresh object in dir has. */
gid_t ims_tree_fresh_gid(const ims_tree *tree, const ims_dir *dir);
/** Notes that the current layer made name in dir. */
int32_t ims_tree_note(ims_tree *tree, const ims_dir *dir, const char *name, ims_error *err);
/** One more object; content: its bytes, counted against the quota when they are written. IMGSTORE_ELIMIT. */
int32_t ims_tree_count(ims_tree *tree, const char *path, ims_error *err);
int32_t ims_tree_count_bytes(ims_tree *tree, uint64_t bytes, const char *path, ims_error *err);
/** An object goes away. */
void ims_tree_uncount(ims_tree *tree, const struct stat *st);
/** Owner and mode of a directory that was just made and that no entry describes. */
int32_t ims_tree_describe_parent(ims_tree *tree, ims_dir *dir, const char *path, ims_error *err);
/** Gives a directory that was just made exactly this mode, without inherited ACLs; its owner keeps access until the
 * end. */
int32_t ims_tree_set_dir_mode(ims_tree *tree, ims_dir *dir, mode_t mode, bool force, const char *path, ims_error *err);
/** Takes away the ACLs that fd inherited; mode: the bits that it is to have. default_too: for directories. */
int32_t ims_tree_drop_acl(ims_tree *tree, int fd, mode_t mode, bool access, bool default_too, const char *path,
                          ims_error *err);

enum { IMS_ACL_MINIMAL = 4 + 3 * 8 };
/** The ACL that says no more than mode, in the form of system.posix_acl_access. */
void ims_acl_minimal(uint8_t out[IMS_ACL_MINIMAL], mode_t mode);

#endif
