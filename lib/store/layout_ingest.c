/*
 * store/layout_ingest.c (L3) - blobs on their way into the layout directory: private files under a lock each, flushed,
 * then renamed into place.
 *
 * The file of an ingest is locked (flock) by whoever writes it, so that two processes never fetch one blob at once and
 * a dead process's bytes can be taken over. Verification happens above.
 *
 * The file of a blob that is being made has a random name, and nobody can take it over: whoever makes the next one
 * removes those of dead processes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/folder.h"
#include "base/text.h"
#include "store/layout.h"

#define UNNAMED_PREFIX "new-"

enum {
  OPEN_TRIES = 100,
  WRITEBACK_STEP = 8 * 1024 * 1024 /**< so much is handed to the disk at once while the rest still arrives */
};

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

typedef struct open_ingest {
  ims_digest digest;
  char name[IMS_DIGEST_TEXT];
  int fd;
  uint64_t size;
  uint64_t written;
  uint64_t handed; /**< written back up to here */
  bool unnamed;    /**< made without a digest */
  bool flushed;
  bool broken; /**< a write or flush failed: what the file holds is unknown */
} open_ingest;

/* --- opening --------------------------------------------------------------------------------------------------- */

/** After a power cut a file system without a journal may show one file under both names: never write to a blob. */
static bool is_published(ims_layout *l, const open_ingest *in) {
  int dir;
  return ims_layout_blob_dir(l, in->digest.algorithm, false, &dir) == IMGSTORE_OK &&
         ims_layout_same_file(l, dir, ims_digest_hex(&in->digest), in->fd);
}

/** Opens and locks the file. *again: it was replaced meanwhile, or something else stood there. */
static int32_t try_open(ims_layout *l, open_ingest *in, bool *again) {
  int dir = l->folder[IMS_LAYOUT_INGEST];
  struct stat st;
  *again = false;
  in->fd = l->sys->openat(dir, in->name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
  if (in->fd < 0 && (errno == ELOOP || errno == EISDIR)) {
    *again = l->sys->unlinkat(dir, in->name, errno == EISDIR ? AT_REMOVEDIR : 0) == 0;
    return *again ? IMGSTORE_OK : IMGSTORE_EIO;
  }
  if (in->fd < 0)
    return ims_code_of_errno(errno);
  int32_t rc = ims_layout_flock(l, in->fd, LOCK_EX | LOCK_NB);
  if (!rc && l->sys->fstat(in->fd, &st))
    rc = ims_code_of_errno(errno);
  if (!rc && !ims_layout_same_file(l, dir, in->name, in->fd)) {
    *again = true;
  } else if (!rc && (!S_ISREG(st.st_mode) || (st.st_size > 0 && is_published(l, in)))) {
    *again = true;
    rc = l->sys->unlinkat(dir, in->name, 0) ? ims_code_of_errno(errno) : IMGSTORE_OK;
  }
  if (!rc && !*again)
    in->written = st.st_size > 0 ? (uint64_t)st.st_size : 0;
  if (rc || *again)
    ims_layout_close(l, &in->fd);
  return rc;
}

static int32_t open_file(ims_layout *l, open_ingest *in) {
  bool again = true;
  int32_t rc = IMGSTORE_OK;
  for (int i = 0; i < OPEN_TRIES && again && !rc; i++)
    rc = try_open(l, in, &again);
  if (!rc && again)
    rc = IMGSTORE_EBUSY;
  if (!rc && in->written > in->size) {
    rc = l->sys->ftruncate(in->fd, 0) ? ims_code_of_errno(errno) : IMGSTORE_OK;
    in->written = 0;
    if (rc)
      ims_layout_close(l, &in->fd);
  }
  return rc;
}

static int32_t ingest_open(void *user_data, const char *digest, uint64_t size, void **ingest, uint64_t *offset) {
  ims_layout *l = user_data;
  *ingest = NULL;
  *offset = 0;
  if (l->read_only)
    return IMGSTORE_EACCESS;
  open_ingest *in = ims_calloc(&l->core->alloc, 1, sizeof *in);
  if (!in)
    return IMGSTORE_ENOMEM;
  in->size = size;
  int32_t rc = ims_digest_parse(&in->digest, digest, strlen(digest), NULL);
  if (!rc) {
    ims_layout_flat_name(&in->digest, in->name);
    rc = open_file(l, in);
  }
  if (rc) {
    ims_free(&l->core->alloc, in);
    return rc;
  }
  *ingest = in;
  *offset = in->written;
  return IMGSTORE_OK;
}

/** Removes the file of a blob that was being made by a process that is gone. */
static int32_t drop_unnamed(void *data, const char *name, unsigned char type) {
  ims_layout *l = data;
  int dir = l->folder[IMS_LAYOUT_INGEST], fd;
  struct stat st;
  if (type != DT_REG || !ims_starts_with(name, UNNAMED_PREFIX) || ims_layout_open_regular(l, dir, name, &fd, &st))
    return IMGSTORE_OK;
  if (ims_layout_flock(l, fd, LOCK_EX | LOCK_NB) == IMGSTORE_OK)
    l->sys->unlinkat(dir, name, 0);
  ims_layout_close(l, &fd);
  return IMGSTORE_OK;
}

/** Another process may take the new file for a dead one's before it is locked: then it is gone, and we try again. */
static int32_t make_unnamed(ims_layout *l, open_ingest *in) {
  int dir = l->folder[IMS_LAYOUT_INGEST];
  for (int i = 0; i < OPEN_TRIES; i++) {
    char random[IMS_LAYOUT_RANDOM];
    ims_layout_random(random);
    snprintf(in->name, sizeof in->name, UNNAMED_PREFIX "%s", random);
    in->fd = l->sys->openat(dir, in->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (in->fd < 0 && errno == EEXIST)
      continue;
    if (in->fd < 0)
      return ims_code_of_errno(errno);
    int32_t rc = ims_layout_flock(l, in->fd, LOCK_EX | LOCK_NB);
    if (!rc && ims_layout_same_file(l, dir, in->name, in->fd))
      return IMGSTORE_OK;
    if (rc && rc != IMGSTORE_EBUSY)
      l->sys->unlinkat(dir, in->name, 0);
    ims_layout_close(l, &in->fd);
    if (rc && rc != IMGSTORE_EBUSY)
      return rc;
  }
  return IMGSTORE_EBUSY;
}

static int32_t ingest_create(void *user_data, void **ingest) {
  ims_layout *l = user_data;
  *ingest = NULL;
  if (l->read_only)
    return IMGSTORE_EACCESS;
  open_ingest *in = ims_calloc(&l->core->alloc, 1, sizeof *in);
  if (!in)
    return IMGSTORE_ENOMEM;
  in->unnamed = true;
  in->size = UINT64_MAX;
  (void)ims_folder_scan(l->core, l->folder[IMS_LAYOUT_INGEST], drop_unnamed, l);
  int32_t rc = make_unnamed(l, in);
  if (rc) {
    ims_free(&l->core->alloc, in);
    return rc;
  }
  *ingest = in;
  return IMGSTORE_OK;
}

static int32_t ingest_name(void *user_data, void *ingest, const char *digest, uint64_t size) {
  open_ingest *in = ingest;
  (void)user_data;
  if (!in->unnamed || in->digest.algorithm || in->written != size)
    return IMGSTORE_EINVALID;
  int32_t rc = ims_digest_parse(&in->digest, digest, strlen(digest), NULL);
  if (!rc)
    in->size = size;
  return rc;
}

/* --- bytes ----------------------------------------------------------------------------------------------------- */

static int32_t ingest_read(void *user_data, void *ingest, uint64_t offset, void *buffer, size_t size, size_t *got) {
  return ims_layout_pread(user_data, ((open_ingest *)ingest)->fd, offset, buffer, size, got);
}

/** Lets the disk work while the rest arrives, so that the flush at the end finds little left to do. */
static int32_t write_back(ims_layout *l, open_ingest *in) {
  if (l->durability == IMGSTORE_DURABILITY_NONE || in->written - in->handed < WRITEBACK_STEP)
    return IMGSTORE_OK;
  int n = l->sys->sync_file_range(in->fd, (off_t)in->handed, (off_t)(in->written - in->handed), SYNC_FILE_RANGE_WRITE);
  in->handed = in->written;
  return n && (errno == EIO || errno == ENOSPC || errno == EDQUOT) ? ims_code_of_errno(errno) : IMGSTORE_OK;
}

static int32_t ingest_write(void *user_data, void *ingest, uint64_t offset, const void *data, size_t size) {
  ims_layout *l = user_data;
  open_ingest *in = ingest;
  if (in->broken)
    return IMGSTORE_EIO;
  if (offset != in->written && offset != 0)
    return IMGSTORE_EINVALID;
  in->flushed = false;
  if (offset == 0 && in->written) {
    if (l->sys->ftruncate(in->fd, 0))
      return ims_code_of_errno(errno);
    in->written = in->handed = 0;
  }
  int32_t rc = ims_layout_pwrite(l, in->fd, offset, data, size);
  if (!rc) {
    in->written += size;
    rc = write_back(l, in);
  }
  in->broken = rc != IMGSTORE_OK;
  return rc;
}

static int32_t ingest_flush(void *user_data, void *ingest) {
  open_ingest *in = ingest;
  if (in->broken)
    return IMGSTORE_EIO;
  if (in->flushed)
    return IMGSTORE_OK;
  int32_t rc = ims_layout_flush(user_data, in->fd);
  /* After a failed flush the kernel may call the lost pages clean: a second flush proves nothing. */
  in->broken = rc != IMGSTORE_OK;
  in->flushed = !in->broken;
  return rc;
}

/* --- publishing ------------------------------------------------------------------------------------------------- */

/** Is the blob that stands there already as good as ours? */
static bool is_good(ims_layout *l, int dir, const open_ingest *in) {
  int fd;
  struct stat st;
  if (ims_layout_open_regular(l, dir, ims_digest_hex(&in->digest), &fd, &st))
    return false;
  ims_layout_close(l, &fd);
  return (uint64_t)st.st_size == in->written && ims_layout_is_verified(l, &in->digest, &st);
}

static int32_t rename_over(ims_layout *l, int dir, open_ingest *in) {
  const char *hex = ims_digest_hex(&in->digest);
  int from = l->folder[IMS_LAYOUT_INGEST];
  if (l->sys->renameat2(from, in->name, dir, hex, 0) == 0)
    return IMGSTORE_OK;
  if (errno != EISDIR && errno != ENOTEMPTY && errno != EEXIST)
    return ims_code_of_errno(errno);
  int32_t rc = ims_layout_move_aside(l, dir, &in->digest);
  if (!rc && l->sys->renameat2(from, in->name, dir, hex, 0))
    rc = ims_code_of_errno(errno);
  return rc;
}

/** *ours: the file that now stands there is this ingest's. */
static int32_t place(ims_layout *l, int dir, open_ingest *in, bool *ours) {
  const char *hex = ims_digest_hex(&in->digest);
  int from = l->folder[IMS_LAYOUT_INGEST];
  *ours = true;
  if (l->sys->renameat2(from, in->name, dir, hex, RENAME_NOREPLACE) == 0)
    return IMGSTORE_OK;
  if (errno != EEXIST && errno != EINVAL && errno != ENOSYS)
    return ims_code_of_errno(errno);
  if (!is_good(l, dir, in))
    return rename_over(l, dir, in);
  *ours = false;
  l->sys->unlinkat(from, in->name, 0);
  return IMGSTORE_OK;
}

static int32_t publish(ims_layout *l, open_ingest *in) {
  int dir;
  bool ours;
  struct stat st;
  if (in->written != in->size || !in->digest.algorithm)
    return IMGSTORE_EINVALID;
  int32_t rc = ims_layout_blob_dir(l, in->digest.algorithm, true, &dir);
  /* Another tool's user reads the store too, whatever the umask was. */
  if (!rc && l->sys->fchmod(in->fd, 0644))
    rc = ims_code_of_errno(errno);
  if (!rc)
    rc = ingest_flush(l, in);
  if (!rc)
    rc = place(l, dir, in, &ours);
  if (!rc && l->durability == IMGSTORE_DURABILITY_BLOB)
    rc = ims_layout_flush_dir(l, dir);
  if (!rc && ours && l->sys->fstat(in->fd, &st) == 0)
    ims_layout_set_verified(l, &in->digest, &st);
  return rc;
}

static void ingest_close(void *user_data, void *ingest, int32_t keep) {
  ims_layout *l = user_data;
  open_ingest *in = ingest;
  if ((!keep || in->unnamed || in->broken || in->written == 0) &&
      ims_layout_same_file(l, l->folder[IMS_LAYOUT_INGEST], in->name, in->fd))
    l->sys->unlinkat(l->folder[IMS_LAYOUT_INGEST], in->name, 0);
  ims_layout_close(l, &in->fd);
  ims_free(&l->core->alloc, in);
}

static int32_t ingest_commit(void *user_data, void *ingest) {
  int32_t rc = publish(user_data, ingest);
  ingest_close(user_data, ingest, rc != IMGSTORE_OK);
  return rc;
}

/** Blobs were flushed before they were renamed: what is left is the folders that name them. */
static int32_t barrier(void *user_data) {
  ims_layout *l = user_data;
  int32_t rc = IMGSTORE_OK;
  if (l->read_only)
    return IMGSTORE_OK;
  /* Another process may have made a folder, or published a blob that we found, and not have come to its own flush. */
  for (int32_t a = 1; !rc && a < IMS_LAYOUT_ALGORITHMS; a++) {
    int dir;
    rc = ims_layout_blob_dir(l, a, false, &dir);
    rc = rc == IMGSTORE_ENOTFOUND ? IMGSTORE_OK : rc ? rc : ims_layout_flush_dir(l, dir);
  }
  if (!rc && !atomic_load(&l->chain_durable)) {
    rc = ims_layout_flush_dir(l, l->blobs);
    if (!rc)
      rc = ims_layout_flush_dir(l, l->root);
    atomic_store(&l->chain_durable, rc == IMGSTORE_OK);
  }
  return rc;
}

/* --- leftovers --------------------------------------------------------------------------------------------------- */

typedef struct sweep {
  ims_layout *layout;
  imgstore_blob_visit visit;
  void *visit_data;
  int32_t algorithm;
} sweep;

/** Removes the file of an ingest that nobody holds. */
static int32_t sweep_ingest(void *data, const char *name, unsigned char type) {
  sweep *s = data;
  ims_layout *l = s->layout;
  int dir = l->folder[IMS_LAYOUT_INGEST], fd;
  ims_digest digest;
  struct stat st;
  if (ims_starts_with(name, UNNAMED_PREFIX))
    return drop_unnamed(l, name, type);
  if (type != DT_REG || !ims_layout_flat_digest(name, &digest) || ims_layout_open_regular(l, dir, name, &fd, &st))
    return IMGSTORE_OK;
  int32_t rc = IMGSTORE_OK;
  if (ims_layout_flock(l, fd, LOCK_EX | LOCK_NB) == IMGSTORE_OK && ims_layout_same_file(l, dir, name, fd)) {
    rc = s->visit(s->visit_data, digest.text, (uint64_t)st.st_size);
    if (!rc)
      l->sys->unlinkat(dir, name, 0);
  }
  ims_layout_close(l, &fd);
  return rc == 1 ? IMGSTORE_OK : rc;
}

static int32_t sweep_quarantine(void *data, const char *name, unsigned char type) {
  ims_layout *l = ((sweep *)data)->layout;
  l->sys->unlinkat(l->folder[IMS_LAYOUT_QUARANTINE], name, type == DT_DIR ? AT_REMOVEDIR : 0);
  return IMGSTORE_OK;
}

/** Records of blobs that are gone. */
static int32_t sweep_record(void *data, const char *name, unsigned char type) {
  sweep *s = data;
  ims_layout *l = s->layout;
  struct stat st;
  int blobs;
  int32_t rc = ims_layout_blob_dir(l, s->algorithm, false, &blobs);
  (void)type;
  if (!rc && l->sys->fstatat(blobs, name, &st, AT_SYMLINK_NOFOLLOW) && errno == ENOENT)
    l->sys->unlinkat(l->verified_dir[s->algorithm], name, 0);
  return IMGSTORE_OK;
}

static int32_t ingest_sweep(void *user_data, imgstore_blob_visit visit, void *visit_data) {
  sweep s = {user_data, visit, visit_data, 0};
  ims_layout *l = user_data;
  if (l->read_only)
    return IMGSTORE_EACCESS;
  int32_t rc = ims_folder_scan(l->core, l->folder[IMS_LAYOUT_INGEST], sweep_ingest, &s);
  if (!rc)
    rc = ims_folder_scan(l->core, l->folder[IMS_LAYOUT_QUARANTINE], sweep_quarantine, &s);
  for (s.algorithm = 1; !rc && s.algorithm < IMS_LAYOUT_ALGORITHMS; s.algorithm++)
    if (l->verified_dir[s.algorithm] >= 0)
      rc = ims_folder_scan(l->core, l->verified_dir[s.algorithm], sweep_record, &s);
  return rc;
}

void ims_layout_ingest_entries(imgstore_storage *storage) {
  storage->ingest_open = ingest_open;
  storage->ingest_read = ingest_read;
  storage->ingest_write = ingest_write;
  storage->ingest_flush = ingest_flush;
  storage->ingest_commit = ingest_commit;
  storage->ingest_close = ingest_close;
  storage->ingest_sweep = ingest_sweep;
  storage->ingest_create = ingest_create;
  storage->ingest_name = ingest_name;
  storage->barrier = barrier;
}
