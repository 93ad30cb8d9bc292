/*
 * store/layout_blob.c (L3) - committed blobs of the layout directory, and what is known about them.
 *
 * That a blob was verified is remembered in one small file per blob, which holds the identity of the very file that
 * was hashed (size, inode, times). A record that is lost or does not fit means that the blob is hashed again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/folder.h"
#include "base/text.h"
#include "store/layout.h"

enum { RECORD_MAX = 256 };

typedef struct open_blob {
  ims_digest digest;
  int fd;
  struct stat st;
} open_blob;

/* --- folders ---------------------------------------------------------------------------------------------------- */

static int32_t open_algorithm_dir(ims_layout *l, int parent, int32_t algorithm, mode_t mode, bool create, int *slot) {
  if (*slot >= 0)
    return IMGSTORE_OK;
  if (parent < 0)
    return IMGSTORE_ENOTFOUND;
  const char *name = ims_digest_algorithm_name(algorithm);
  if (!create) {
    *slot = ims_layout_open_dir(l, parent, name);
    return *slot >= 0 ? IMGSTORE_OK : ims_code_of_errno(errno);
  }
  bool made;
  int32_t rc = ims_layout_make_dir(l, parent, name, mode, slot, &made);
  return rc || !made ? rc : ims_layout_flush_dir(l, parent);
}

int32_t ims_layout_blob_dir(ims_layout *l, int32_t algorithm, bool create, int *fd) {
  pthread_mutex_lock(&l->mutex);
  int32_t rc = open_algorithm_dir(l, l->blobs, algorithm, 0755, create, &l->blob_dir[algorithm]);
  *fd = l->blob_dir[algorithm];
  pthread_mutex_unlock(&l->mutex);
  return rc;
}

static int32_t verified_dir(ims_layout *l, int32_t algorithm, int *fd) {
  pthread_mutex_lock(&l->mutex);
  int32_t rc = open_algorithm_dir(l, l->folder[IMS_LAYOUT_VERIFIED], algorithm, 0700, !l->read_only,
                                  &l->verified_dir[algorithm]);
  *fd = l->verified_dir[algorithm];
  pthread_mutex_unlock(&l->mutex);
  return rc;
}

/* --- records of verified blobs -------------------------------------------------------------------------------------
 */

/** flushed: written by a store that flushes, after the flush; only such a record survives a power cut truthfully. */
static int record_text(char out[RECORD_MAX], const struct stat *st, bool flushed) {
  return snprintf(out, RECORD_MAX, "1 %s %" PRIu64 " %" PRIu64 " %" PRId64 ".%09ld %" PRId64 ".%09ld\n",
                  flushed ? "flushed" : "unflushed", (uint64_t)st->st_size, (uint64_t)st->st_ino,
                  (int64_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, (int64_t)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

static bool record_fits(const ims_buf *record, const struct stat *st, bool flushed) {
  char want[RECORD_MAX];
  return record_text(want, st, flushed) == (int)record->size && memcmp(want, record->data, record->size) == 0;
}

bool ims_layout_is_verified(ims_layout *l, const ims_digest *digest, const struct stat *st) {
  int dir;
  if (verified_dir(l, digest->algorithm, &dir))
    return false;
  ims_buf record;
  ims_buf_init(&record, &l->core->alloc, RECORD_MAX);
  bool known = ims_layout_read_file(l, dir, ims_digest_hex(digest), &record) == IMGSTORE_OK && record.size > 0 &&
               (record_fits(&record, st, true) ||
                (l->durability == IMGSTORE_DURABILITY_NONE && record_fits(&record, st, false)));
  ims_buf_free(&record);
  return known;
}

void ims_layout_set_verified(ims_layout *l, const ims_digest *digest, const struct stat *st) {
  int dir;
  if (l->read_only || verified_dir(l, digest->algorithm, &dir))
    return;
  int fd = l->sys->openat(dir, ims_digest_hex(digest),
                          O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
  if (fd < 0)
    return;
  char text[RECORD_MAX];
  int size = record_text(text, st, l->durability != IMGSTORE_DURABILITY_NONE);
  /* A record that could not be written whole fits no file. */
  (void)ims_layout_pwrite(l, fd, 0, text, (size_t)size);
  ims_layout_close(l, &fd);
}

void ims_layout_forget_verified(ims_layout *l, const ims_digest *digest) {
  int dir;
  if (!l->read_only && !verified_dir(l, digest->algorithm, &dir))
    l->sys->unlinkat(dir, ims_digest_hex(digest), 0);
}

/* --- names ------------------------------------------------------------------------------------------------------- */

void ims_layout_flat_name(const ims_digest *digest, char out[IMS_DIGEST_TEXT]) {
  snprintf(out, IMS_DIGEST_TEXT, "%s-%s", ims_digest_algorithm_name(digest->algorithm), ims_digest_hex(digest));
}

bool ims_layout_flat_digest(const char *name, ims_digest *digest) {
  char text[IMS_DIGEST_TEXT];
  size_t length = strlen(name);
  const char *dash = strchr(name, '-');
  if (!dash || length >= sizeof text)
    return false;
  memcpy(text, name, length + 1);
  text[dash - name] = ':';
  return ims_digest_parse(digest, text, length, NULL) == IMGSTORE_OK;
}

static int32_t parse(const char *text, ims_digest *digest) {
  return text ? ims_digest_parse(digest, text, strlen(text), NULL) : IMGSTORE_EINVALID;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

static int32_t open_blob_file(ims_layout *l, const ims_digest *digest, int *fd, struct stat *st) {
  int dir;
  int32_t rc = ims_layout_blob_dir(l, digest->algorithm, false, &dir);
  if (!rc)
    rc = ims_layout_open_regular(l, dir, ims_digest_hex(digest), fd, st);
  /* What is no regular file is no blob: it is fetched again and moved aside then. */
  return rc == IMGSTORE_EFORMAT ? IMGSTORE_ENOTFOUND : rc;
}

static int32_t blob_open(void *user_data, const char *digest, void **blob, uint64_t *size) {
  ims_layout *l = user_data;
  *blob = NULL;
  *size = 0;
  open_blob *b = ims_calloc(&l->core->alloc, 1, sizeof *b);
  if (!b)
    return IMGSTORE_ENOMEM;
  int32_t rc = parse(digest, &b->digest);
  if (!rc)
    rc = open_blob_file(l, &b->digest, &b->fd, &b->st);
  if (rc) {
    ims_free(&l->core->alloc, b);
    return rc;
  }
  *blob = b;
  *size = (uint64_t)b->st.st_size;
  return IMGSTORE_OK;
}

static int32_t blob_read(void *user_data, void *blob, uint64_t offset, void *buffer, size_t size, size_t *got) {
  return ims_layout_pread(user_data, ((open_blob *)blob)->fd, offset, buffer, size, got);
}

static int32_t blob_fd(void *user_data, void *blob, int32_t *fd) {
  (void)user_data;
  *fd = ((open_blob *)blob)->fd;
  return IMGSTORE_OK;
}

static void blob_close(void *user_data, void *blob) {
  ims_layout *l = user_data;
  open_blob *b = blob;
  ims_layout_close(l, &b->fd);
  ims_free(&l->core->alloc, b);
}

static int32_t blob_is_verified(void *user_data, void *blob) {
  ims_layout *l = user_data;
  open_blob *b = blob;
  struct stat st;
  return l->sys->fstat(b->fd, &st) == 0 && ims_layout_is_verified(l, &b->digest, &st);
}

static int32_t blob_set_verified(void *user_data, void *blob) {
  ims_layout *l = user_data;
  open_blob *b = blob;
  struct stat st;
  if (l->read_only)
    return IMGSTORE_OK;
  /* Whoever wrote it may not have flushed it: the record says that it will survive. */
  int32_t rc = ims_layout_flush(l, b->fd);
  if (rc)
    return rc;
  if (l->sys->fstat(b->fd, &st))
    return ims_code_of_errno(errno);
  bool unchanged = st.st_size == b->st.st_size && st.st_mtim.tv_sec == b->st.st_mtim.tv_sec &&
                   st.st_mtim.tv_nsec == b->st.st_mtim.tv_nsec;
  if (unchanged)
    ims_layout_set_verified(l, &b->digest, &st);
  return IMGSTORE_OK;
}

/* --- removing ---------------------------------------------------------------------------------------------------- */

int32_t ims_layout_move_aside(ims_layout *l, int blob_dir, const ims_digest *digest) {
  char flat[IMS_DIGEST_TEXT], unique[IMS_DIGEST_TEXT + IMS_LAYOUT_RANDOM], random[IMS_LAYOUT_RANDOM];
  ims_layout_flat_name(digest, flat);
  ims_layout_random(random);
  snprintf(unique, sizeof unique, "%s.%s", flat, random);
  ims_layout_forget_verified(l, digest);
  if (l->sys->renameat2(blob_dir, ims_digest_hex(digest), l->folder[IMS_LAYOUT_QUARANTINE], unique, 0))
    return ims_code_of_errno(errno);
  return IMGSTORE_OK;
}

static int32_t blob_quarantine(void *user_data, const char *text) {
  ims_layout *l = user_data;
  ims_digest digest;
  int dir;
  int32_t rc = l->read_only ? IMGSTORE_EACCESS : parse(text, &digest);
  if (!rc)
    rc = ims_layout_blob_dir(l, digest.algorithm, false, &dir);
  return rc ? rc : ims_layout_move_aside(l, dir, &digest);
}

/** Collection only renames under its lock; freeing the space of large files takes long and is done after it. */
static bool move_to_trash(ims_layout *l, int dir, const ims_digest *digest) {
  char flat[IMS_DIGEST_TEXT];
  if (!atomic_load(&l->exclusive))
    return false;
  ims_layout_flat_name(digest, flat);
  return l->sys->renameat2(dir, ims_digest_hex(digest), l->folder[IMS_LAYOUT_TRASH], flat, 0) == 0;
}

static int32_t blob_delete(void *user_data, const char *text) {
  ims_layout *l = user_data;
  ims_digest digest;
  struct stat st;
  int dir;
  int32_t rc = l->read_only ? IMGSTORE_EACCESS : parse(text, &digest);
  if (!rc)
    rc = ims_layout_blob_dir(l, digest.algorithm, false, &dir);
  if (rc)
    return rc;
  if (l->sys->fstatat(dir, ims_digest_hex(&digest), &st, AT_SYMLINK_NOFOLLOW))
    return ims_code_of_errno(errno);
  if (!S_ISREG(st.st_mode))
    return IMGSTORE_ENOTFOUND;
  /* A full disk may have no room for an entry in the trash folder. */
  if (!move_to_trash(l, dir, &digest) && l->sys->unlinkat(dir, ims_digest_hex(&digest), 0))
    return ims_code_of_errno(errno);
  ims_layout_forget_verified(l, &digest);
  return IMGSTORE_OK;
}

/* --- listing ----------------------------------------------------------------------------------------------------- */

typedef struct listing {
  ims_layout *layout;
  imgstore_blob_visit visit;
  void *visit_data;
  int32_t algorithm;
  int dir;
} listing;

/** Files that are not ours are named, with what no digest looks like: the path in the layout. */
static int32_t visit_foreign(listing *list, const char *folder, const char *name) {
  char path[512];
  snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", name);
  return list->visit(list->visit_data, path, 0);
}

static int32_t list_blob(void *data, const char *name, unsigned char type) {
  listing *list = data;
  ims_layout *l = list->layout;
  const char *algorithm = ims_digest_algorithm_name(list->algorithm);
  char text[IMS_DIGEST_TEXT], folder[32];
  ims_digest digest;
  struct stat st;
  int length = snprintf(text, sizeof text, "%s:%s", algorithm, name);
  snprintf(folder, sizeof folder, "blobs/%s", algorithm);
  if (type != DT_REG || length < 0 || (size_t)length >= sizeof text || parse(text, &digest))
    return visit_foreign(list, folder, name);
  if (l->sys->fstatat(list->dir, name, &st, AT_SYMLINK_NOFOLLOW))
    return errno == ENOENT ? IMGSTORE_OK : ims_code_of_errno(errno); /* deleted since */
  return list->visit(list->visit_data, text, (uint64_t)st.st_size);
}

static int32_t list_algorithm(void *data, const char *name, unsigned char type) {
  listing *list = data;
  for (int32_t a = 1; a < IMS_LAYOUT_ALGORITHMS; a++)
    if (type == DT_DIR && strcmp(name, ims_digest_algorithm_name(a)) == 0) {
      list->algorithm = a;
      int32_t rc = ims_layout_blob_dir(list->layout, a, false, &list->dir);
      return rc ? rc : ims_folder_scan(list->layout->core, list->dir, list_blob, list);
    }
  return visit_foreign(list, "blobs", name);
}

static int32_t list_root(void *data, const char *name, unsigned char type) {
  static const char *const known[] = {"oci-layout", "index.json", "blobs", ".imgstore", "lost+found"};
  (void)type;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(name, known[i]) == 0)
      return IMGSTORE_OK;
  return visit_foreign(data, "", name);
}

static int32_t blob_list(void *user_data, imgstore_blob_visit visit, void *visit_data) {
  ims_layout *l = user_data;
  listing list = {.layout = l, .visit = visit, .visit_data = visit_data};
  int32_t rc = ims_folder_scan(l->core, l->root, list_root, &list);
  return rc || l->blobs < 0 ? rc : ims_folder_scan(l->core, l->blobs, list_algorithm, &list);
}

void ims_layout_blob_entries(imgstore_storage *storage) {
  storage->blob_open = blob_open;
  storage->blob_read = blob_read;
  storage->blob_fd = blob_fd;
  storage->blob_close = blob_close;
  storage->blob_is_verified = blob_is_verified;
  storage->blob_set_verified = blob_set_verified;
  storage->blob_quarantine = blob_quarantine;
  storage->blob_delete = blob_delete;
  storage->blob_list = blob_list;
}
