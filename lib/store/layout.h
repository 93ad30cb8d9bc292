/*
 * store/layout.h (L3) - what the parts of the OCI image-layout directory backend share.
 *
 * Internal to store/layout_*.c: everybody else sees the storage vtable only. The functions return IMGSTORE_* codes
 * without text: the store above names the object.
 */
#ifndef IMS_STORE_LAYOUT_H
#define IMS_STORE_LAYOUT_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/core.h"
#include "oci/digest.h"
#include "store/store.h"
#include "json/json.h"

enum { IMS_LAYOUT_ALGORITHMS = 3 }; /* indexed by IMS_HASH_* */

/** Folders of the private state, in the order they are made. */
enum {
  IMS_LAYOUT_LOCKS = 0,
  IMS_LAYOUT_INGEST,
  IMS_LAYOUT_LEASES,
  IMS_LAYOUT_TRASH,
  IMS_LAYOUT_QUARANTINE,
  IMS_LAYOUT_VERIFIED,
  IMS_LAYOUT_FOLDERS
};

#define IMS_LAYOUT_LOCK_REFERENCES "references"
#define IMS_LAYOUT_LOCK_PUBLISH "publish"

typedef struct ims_layout {
  ims_core *core;
  const ims_sys *sys;
  int32_t durability;
  bool read_only;
  int root;                       /**< the one directory that everything is relative to */
  int private_dir;                /**< .imgstore; -1: a read-only layout without one */
  int folder[IMS_LAYOUT_FOLDERS]; /**< -1 where private_dir is */
  int blobs;                      /**< -1: none yet (read-only) */
  pthread_mutex_t mutex;          /**< guards the descriptors below, which are opened when first needed */
  int blob_dir[IMS_LAYOUT_ALGORITHMS];
  int verified_dir[IMS_LAYOUT_ALGORITHMS];
  atomic_bool chain_durable; /**< this handle has flushed blobs/ itself */
  atomic_int exclusive;      /**< how many exclusive locks this handle holds: then deletion goes by the trash */
} ims_layout;

/** 64 random bits as 16 hex digits, for names that must not collide. */
enum { IMS_LAYOUT_RANDOM = 17 };
void ims_layout_random(char out[IMS_LAYOUT_RANDOM]);

/* --- layout_files.c ------------------------------------------------------------------------------------------- */

/** Opens a directory without following a link; -1 and errno. */
int ims_layout_open_dir(const ims_layout *l, int dir, const char *name);
/** Opens, or makes and opens, a directory. *made (or NULL): it is new. */
int32_t ims_layout_make_dir(const ims_layout *l, int dir, const char *name, mode_t mode, int *fd, bool *made);
/** Opens a regular file to read; what is no regular file is IMGSTORE_EFORMAT. */
int32_t ims_layout_open_regular(const ims_layout *l, int dir, const char *name, int *fd, struct stat *st);
int32_t ims_layout_pread(const ims_layout *l, int fd, uint64_t offset, void *buffer, size_t size, size_t *got);
int32_t ims_layout_pwrite(const ims_layout *l, int fd, uint64_t offset, const void *data, size_t size);
/** Reads a whole regular file of less than out->ceiling bytes. */
int32_t ims_layout_read_file(const ims_layout *l, int dir, const char *name, ims_buf *out);
/** fdatasync or (directories) fsync, unless the durability is none. */
int32_t ims_layout_flush(const ims_layout *l, int fd);
int32_t ims_layout_flush_dir(const ims_layout *l, int fd);
/** True when name in dir is the very file that fd has open. */
bool ims_layout_same_file(const ims_layout *l, int dir, const char *name, int fd);
/** Opens a lock file afresh and locks it; the lock ends when *fd is closed. operation: LOCK_SH or LOCK_EX. */
int32_t ims_layout_lock_file(const ims_layout *l, const char *name, int operation, int *fd);
int32_t ims_layout_flock(const ims_layout *l, int fd, int operation);
void ims_layout_close(const ims_layout *l, int *fd);

/* --- layout_blob.c -------------------------------------------------------------------------------------------- */

/** The folder of an algorithm's blobs. IMGSTORE_ENOTFOUND when it is not there and create is false. */
int32_t ims_layout_blob_dir(ims_layout *l, int32_t algorithm, bool create, int *fd);
/** Is this file known to be verified and, when this store flushes, known to be flushed? */
bool ims_layout_is_verified(ims_layout *l, const ims_digest *digest, const struct stat *st);
/** Remembers that the file, which is flushed if this store flushes, was verified. Best effort. */
void ims_layout_set_verified(ims_layout *l, const ims_digest *digest, const struct stat *st);
void ims_layout_forget_verified(ims_layout *l, const ims_digest *digest);
/** Writes "algorithm-hex". */
void ims_layout_flat_name(const ims_digest *digest, char out[IMS_DIGEST_TEXT]);
/** Reads it back. */
bool ims_layout_flat_digest(const char *name, ims_digest *digest);
/** Moves what stands in a blob's place, whatever it is, to the quarantine folder. */
int32_t ims_layout_move_aside(ims_layout *l, int blob_dir, const ims_digest *digest);
void ims_layout_blob_entries(imgstore_storage *storage);

/* --- layout_ingest.c, layout_lease.c ------------------------------------------------------------------------------ */

void ims_layout_ingest_entries(imgstore_storage *storage);
void ims_layout_lease_entries(imgstore_storage *storage);

/* --- layout_index.c ------------------------------------------------------------------------------------------------
 */

/** index.json as read. */
typedef struct ims_layout_index {
  ims_buf text;
  ims_json *json;
  const ims_json_value *manifests; /**< NULL: none */
} ims_layout_index;

int32_t ims_layout_index_load(const ims_layout *l, ims_layout_index *index, ims_error *err);
void ims_layout_index_free(ims_layout_index *index);
/** The name an entry is known by, or NULL when it is no descriptor. Borrowed. */
const char *ims_layout_entry_name(const ims_json_value *entry);
/** Temp file, flush, rename, flush of the folder. Under the references lock. removing: may use the reserve. */
int32_t ims_layout_replace_file(const ims_layout *l, const char *name, const char *text, size_t size, bool removing);
/** Keeps room on the disk for an index.json of this size, so that removing works when it is full. Best effort. */
void ims_layout_keep_reserve(const ims_layout *l, size_t size);
void ims_layout_reference_entries(imgstore_storage *storage);

#endif
