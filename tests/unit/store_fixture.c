/*
 * store_fixture.c - see store_fixture.h.
 */
#include "store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "oci/mediatype.h"

/* --- faults ----------------------------------------------------------------------------------------------------------
 */

fixture_fault fixture_fault_now = {.at = -1};

static bool fails(bool writes) {
  fixture_fault *f = &fixture_fault_now;
  if (f->writes_only && !writes)
    return false;
  long now = f->seen++;
  if (f->at < 0 || (now != f->at && !(f->forever && now > f->at)))
    return false;
  errno = f->os_errno;
  return true;
}

static int f_openat(int dir, const char *path, int flags, mode_t mode) {
  return fails((flags & O_CREAT) != 0) ? -1 : ims_sys_default.openat(dir, path, flags, mode);
}
static ssize_t f_pread(int fd, void *buffer, size_t size, off_t offset) {
  return fails(false) ? -1 : ims_sys_default.pread(fd, buffer, size, offset);
}
static ssize_t f_pwrite(int fd, const void *buffer, size_t size, off_t offset) {
  return fails(true) ? -1 : ims_sys_default.pwrite(fd, buffer, size, offset);
}
static int f_ftruncate(int fd, off_t size) {
  return fails(true) ? -1 : ims_sys_default.ftruncate(fd, size);
}
static int f_fallocate(int fd, int mode, off_t offset, off_t size) {
  return fails(true) ? -1 : ims_sys_default.fallocate(fd, mode, offset, size);
}
static int f_fsync(int fd) {
  return fails(true) ? -1 : ims_sys_default.fsync(fd);
}
static int f_fdatasync(int fd) {
  return fails(true) ? -1 : ims_sys_default.fdatasync(fd);
}
static int f_fstat(int fd, struct stat *st) {
  return fails(false) ? -1 : ims_sys_default.fstat(fd, st);
}
static int f_fstatat(int dir, const char *path, struct stat *st, int flags) {
  return fails(false) ? -1 : ims_sys_default.fstatat(dir, path, st, flags);
}
static int f_mkdirat(int dir, const char *path, mode_t mode) {
  return fails(true) ? -1 : ims_sys_default.mkdirat(dir, path, mode);
}
static int f_unlinkat(int dir, const char *path, int flags) {
  return fails(false) ? -1 : ims_sys_default.unlinkat(dir, path, flags);
}
static int f_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  return fails(true) ? -1 : ims_sys_default.renameat2(from_dir, from, to_dir, to, flags);
}
static int f_fchmod(int fd, mode_t mode) {
  return fails(false) ? -1 : ims_sys_default.fchmod(fd, mode);
}
static int f_flock(int fd, int operation) {
  return fails(false) ? -1 : ims_sys_default.flock(fd, operation);
}
static long f_getdents64(int fd, void *buffer, size_t size) {
  return fails(false) ? -1 : ims_sys_default.getdents64(fd, buffer, size);
}
static int f_sync_file_range(int fd, off_t offset, off_t size, unsigned flags) {
  return fails(true) ? -1 : ims_sys_default.sync_file_range(fd, offset, size, flags);
}

const ims_sys fixture_sys = {
    .openat = f_openat,
    .close = close,
    .pread = f_pread,
    .pwrite = f_pwrite,
    .ftruncate = f_ftruncate,
    .fallocate = f_fallocate,
    .fsync = f_fsync,
    .fdatasync = f_fdatasync,
    .sync_file_range = f_sync_file_range,
    .fstat = f_fstat,
    .fstatat = f_fstatat,
    .mkdirat = f_mkdirat,
    .unlinkat = f_unlinkat,
    .renameat2 = f_renameat2,
    .fchmod = f_fchmod,
    .flock = f_flock,
    .getdents64 = f_getdents64,
};

static bool memory_fails(fixture_memory *m) {
  return m->seen++ == m->at;
}
static void *m_allocate(void *data, size_t bytes) {
  fixture_memory *m = data;
  void *p = memory_fails(m) ? NULL : malloc(bytes);
  m->live += p != NULL;
  return p;
}
static void *m_reallocate(void *data, void *memory, size_t bytes) {
  fixture_memory *m = data;
  void *p = memory_fails(m) ? NULL : realloc(memory, bytes);
  m->live += p && !memory;
  return p;
}
static void m_release(void *data, void *memory) {
  ((fixture_memory *)data)->live -= memory != NULL;
  free(memory);
}

ims_alloc fixture_allocator(fixture_memory *memory) {
  return (ims_alloc){memory, m_allocate, m_reallocate, m_release};
}

/* --- contexts and folders
 * ---------------------------------------------------------------------------------------------- */

ims_core *fixture_core(const ims_sys *sys, const ims_alloc *alloc) {
  imgstore_context_options options = {.size = sizeof options,
                                      .max_manifest_bytes = 4 << 20,
                                      .max_config_bytes = 4 << 20,
                                      .max_layers = 1024,
                                      .max_index_depth = 8};
  ims_core *core = ims_core_new(&options);
  if (!core)
    abort();
  if (sys)
    core->sys = sys;
  if (alloc) {
    free(core); /* made by malloc, holds nothing yet */
    core = alloc->allocate(alloc->user_data, sizeof *core);
    if (!core)
      return NULL;
    memset(core, 0, sizeof *core);
    atomic_init(&core->refs, 1);
    core->alloc = *alloc;
    core->sys = sys ? sys : &ims_sys_default;
    core->limits = options;
  }
  return core;
}

char *fixture_directory(void) {
  /* Thousands of flushes: in memory where that is possible. tests/fault does the same on a disk. */
  const char *base = getenv("TMPDIR");
  if (!base)
    base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  char *path = malloc(4096);
  snprintf(path, 4096, "%s/imgstore-test-XXXXXX", base);
  if (!mkdtemp(path)) {
    perror(path);
    abort();
  }
  return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
  (void)st;
  (void)type;
  (void)ftw;
  return remove(path);
}

void fixture_remove(char *path) {
  nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  free(path);
}

const char *fixture_path(const char *path, const char *name) {
  static char buffers[4][4096];
  static unsigned next;
  char *out = buffers[next++ % 4];
  snprintf(out, sizeof buffers[0], "%s/%s", path, name);
  return out;
}

void fixture_write(const char *path, const char *name, const void *data, size_t size) {
  FILE *f = fopen(fixture_path(path, name), "w");
  if (!f || fwrite(data, 1, size, f) != size || fclose(f)) {
    perror(name);
    abort();
  }
}

char *fixture_read(const char *path, const char *name, size_t *size) {
  FILE *f = fopen(fixture_path(path, name), "r");
  if (!f)
    return NULL;
  char *text = malloc(1 << 20);
  size_t n = fread(text, 1, (1 << 20) - 1, f);
  text[n] = '\0';
  fclose(f);
  if (size)
    *size = n;
  return text;
}

bool fixture_exists(const char *path, const char *name) {
  struct stat st;
  return lstat(fixture_path(path, name), &st) == 0;
}

int32_t fixture_open(ims_core *core, const char *path, uint32_t flags, int32_t durability, imgstore_store **store,
                     ims_error *err) {
  imgstore_store_options options = {sizeof options, flags, durability};
  imgstore_storage storage;
  *store = NULL;
  int32_t rc = ims_layout_storage_open(core, path, &options, &storage, err);
  return rc ? rc : ims_store_new(store, core, &storage, err);
}

/* --- images
 * -------------------------------------------------------------------------------------------------------------- */

static void config_text(char out[512], const char *name) {
  snprintf(out, 512,
           "{\"architecture\":\"amd64\",\"os\":\"linux\",\"author\":\"%s\",\"rootfs\":{\"type\":\"layers\",\"diff_"
           "ids\":[]}}",
           name);
}

static void layer_text(char out[512], const char *name) {
  snprintf(out, 512, "layer of %s", name);
}

void fixture_image_init(fixture_image *image, const char *name) {
  char config[512], layer[512];
  memset(image, 0, sizeof *image);
  config_text(config, name);
  layer_text(layer, name);
  ims_digest_of(&image->config, IMS_HASH_SHA256, config, strlen(config));
  ims_digest_of(&image->base, IMS_HASH_SHA256, "base", 4);
  ims_digest_of(&image->layer, IMS_HASH_SHA256, layer, strlen(layer));
  snprintf(image->manifest, sizeof image->manifest,
           "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"config\":{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu},"
           "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":4},"
           "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":%zu}]}",
           IMS_MT_OCI_MANIFEST, IMS_MT_OCI_CONFIG, image->config.text, strlen(config), image->base.text,
           image->layer.text, strlen(layer));
  image->target.size = strlen(image->manifest);
  strcpy(image->target.media_type, IMS_MT_OCI_MANIFEST);
  ims_digest_of(&image->target.digest, IMS_HASH_SHA256, image->manifest, strlen(image->manifest));
}

int32_t fixture_image_put(imgstore_store *store, const fixture_image *image, const char *name, ims_error *err) {
  char config[512], layer[512];
  config_text(config, name);
  layer_text(layer, name);
  int32_t rc = ims_blob_save(store, &image->base, "base", 4, err);
  if (!rc)
    rc = ims_blob_save(store, &image->layer, layer, strlen(layer), err);
  if (!rc)
    rc = ims_blob_save(store, &image->config, config, strlen(config), err);
  if (!rc)
    rc = ims_store_barrier(store, err);
  if (!rc)
    rc = ims_blob_save(store, &image->target.digest, image->manifest, strlen(image->manifest), err);
  return rc ? rc : ims_store_barrier(store, err);
}

static bool blob_whole(imgstore_store *store, const ims_digest *digest, uint64_t size) {
  ims_buf data;
  ims_buf_init(&data, &store->core->alloc, 1 << 20);
  int32_t rc = ims_blob_load(store, digest, 1 << 20, &data, NULL);
  bool whole = rc == IMGSTORE_OK && data.size == size;
  ims_buf_free(&data);
  return whole;
}

bool fixture_image_whole(imgstore_store *store, const char *name) {
  ims_target target;
  imgstore_manifest *m;
  if (ims_ref_get(store, name, &target, NULL) ||
      ims_store_manifest_load(store, &target.digest, target.media_type, &m, NULL))
    return false;
  bool whole = blob_whole(store, &target.digest, target.size) && blob_whole(store, &m->config->digest, m->config->size);
  for (size_t i = 0; i < m->count; i++)
    whole = whole && blob_whole(store, &m->entries[i].digest, m->entries[i].size);
  imgstore_manifest_unref(m);
  return whole;
}

int32_t fixture_put_made(imgstore_store *store, ims_error *err) {
  static char content[70000];
  ims_lease lease;
  ims_ingest in;
  memset(content, 'm', sizeof content);
  int32_t rc = ims_lease_open(&lease, store, err);
  if (!rc)
    rc = ims_ingest_create(&in, store, err);
  if (rc)
    return rc;
  for (size_t at = 0; at < sizeof content && !rc; at += 10000)
    rc = ims_ingest_write(&in, content + at, 10000, err);
  if (!rc)
    rc = ims_ingest_name(&in, err);
  if (!rc)
    rc = ims_lease_add(&lease, &in.digest, err);
  if (!rc)
    rc = ims_ingest_verify(&in, err);
  if (!rc)
    rc = ims_ingest_commit(&in, err);
  ims_ingest_close(&in, false);
  ims_lease_close(&lease);
  return rc;
}
