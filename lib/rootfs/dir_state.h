/*
 * rootfs/dir_state.h (L3) - what imgstore_rootfs_dir is inside: the folders of a rootfs directory, its locks and
 * leases, what is being made in it, and what is to go. Knows nothing of what is in a layer or an instance.
 *
 *   imgstore-rootfs   {"version":1,"id":"..."}: it is ours, and complete
 *   layers/           complete layer directories (layer_dir.h)
 *   instances/        instances
 *   staging/          what is being made: each held by a lock of the process that makes it
 *   trash/            what is being removed
 *   locks/ leases/    files to lock; names of layers that running jobs count on
 */
#ifndef IMS_ROOTFS_DIR_STATE_H
#define IMS_ROOTFS_DIR_STATE_H

#include <stdatomic.h>

#include "imgstore/rootfs_dir.h"
#include "rootfs/dir_files.h"
#include "rootfs/privileges.h"
#include "store/store.h"

enum {
  IMS_ROOTFS_LAYERS = 0,
  IMS_ROOTFS_INSTANCES,
  IMS_ROOTFS_STAGING,
  IMS_ROOTFS_TRASH,
  IMS_ROOTFS_LOCKS,
  IMS_ROOTFS_LEASES,
  IMS_ROOTFS_FOLDERS
};

enum { IMS_ROOTFS_ID = 33, IMS_STAGE_NAME = 40 };

typedef struct imgstore_rootfs_dir {
  atomic_uint refs;
  ims_core *core;
  imgstore_store *store;
  int root;
  int folder[IMS_ROOTFS_FOLDERS]; /**< -1: none yet (read-only) */
  bool read_only;
  bool flushes;           /**< durability is not none */
  bool trusted;           /**< this process may set trusted.* attributes */
  bool in_store;          /**< it is a folder of the store's own, on the same file system */
  char *path;             /**< absolute */
  char id[IMS_ROOTFS_ID]; /**< "" in a read-only directory that was never completed */
} ims_rootfs_dir;

/** options: complete. path NULL: inside the store's own directory. */
int32_t ims_rootfs_dir_open(ims_rootfs_dir **dir, imgstore_store *store, const char *path,
                            const imgstore_rootfs_dir_options *options, ims_error *err);
/** The id of the rootfs directory that root has open. IMGSTORE_ENOTFOUND: it is none, or not complete. */
int32_t ims_rootfs_dir_read_id(const ims_core *core, int root, char id[IMS_ROOTFS_ID]);
ims_rootfs_dir *ims_rootfs_dir_ref(ims_rootfs_dir *dir);
void ims_rootfs_dir_unref(ims_rootfs_dir *dir);
/** IMGSTORE_EACCESS for a read-only one. */
int32_t ims_rootfs_dir_writable(const ims_rootfs_dir *dir, ims_error *err);
/** Flushes a folder's entries, unless durability is none. */
int32_t ims_rootfs_dir_flush(const ims_rootfs_dir *dir, int folder, ims_error *err);

/* --- staging and trash ------------------------------------------------------------------------------------------ */

/** A directory in staging/ that is held by this process as long as fd is open. */
typedef struct ims_stage {
  int fd; /**< -1: none */
  char name[IMS_STAGE_NAME];
} ims_stage;

int32_t ims_stage_open(ims_rootfs_dir *dir, ims_stage *stage, ims_error *err);
/** Makes it visible as folder/name, which must not be there (IMGSTORE_EEXISTS), and closes it. The folder is not
 * flushed. */
int32_t ims_stage_publish(ims_rootfs_dir *dir, ims_stage *stage, int folder, const char *name, ims_error *err);
/** Makes one entry of it visible as folder/name; one that is there already stays, and is as good. */
int32_t ims_stage_publish_part(ims_rootfs_dir *dir, const ims_stage *stage, const char *part, int folder,
                               const char *name, ims_error *err);
/** Takes it away, and removes a bounded part of what is in it at once. Does nothing when it is not open. */
void ims_stage_discard(ims_rootfs_dir *dir, ims_stage *stage);

/** How many objects are removed by a call that was not asked to free space. */
enum { IMS_TRASH_STEP = 10000 };

/** Moves from/name (from: a directory of this file system) to the trash: from then on it is gone for everybody. Errors
 * have no message. */
int32_t ims_trash_take(ims_rootfs_dir *dir, int from, const char *name, char trash_name[IMS_STAGE_NAME]);
/** Removes what was moved there, best effort; budget: as for ims_tree_remove_some. */
void ims_trash_remove(ims_rootfs_dir *dir, const char *trash_name, size_t *budget);
/** Removes at most `budget` objects of what is in the trash and what dead processes left in staging/ and leases/, best
 * effort. */
void ims_rootfs_dir_clean(ims_rootfs_dir *dir, size_t budget);

/* --- locks and leases -------------------------------------------------------------------------------------------- */

/** Locks locks/name; the lock ends when *fd is closed. operation: LOCK_SH or LOCK_EX, with LOCK_NB: IMGSTORE_EBUSY
 * without a message. */
int32_t ims_rootfs_dir_lock(ims_rootfs_dir *dir, const char *name, int operation, int *fd, ims_error *err);
/** The lock between jobs that add a name to their lease (shared) and prune (exclusive). Held for moments. */
#define IMS_ROOTFS_LOCK_COLLECT "collect"

/** The names of layers that a running job counts on: prune leaves them. */
typedef struct ims_rootfs_lease {
  ims_rootfs_dir *dir;
  int fd; /**< -1: none, or of a read-only directory */
  uint64_t size;
  char name[IMS_STAGE_NAME];
} ims_rootfs_lease;

int32_t ims_rootfs_lease_open(ims_rootfs_lease *lease, ims_rootfs_dir *dir, ims_error *err);
/** Adds names, a line each, before it is looked whether they are there. */
int32_t ims_rootfs_lease_add(ims_rootfs_lease *lease, const ims_buf *lines, ims_error *err);
void ims_rootfs_lease_close(ims_rootfs_lease *lease);
/** Every name of every live lease; those of dead jobs are removed. Under the exclusive collect lock. */
typedef int32_t (*ims_rootfs_lease_visit)(void *data, const char *name);
int32_t ims_rootfs_leases(ims_rootfs_dir *dir, ims_rootfs_lease_visit visit, void *data, ims_error *err);

#endif
