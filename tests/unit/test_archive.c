/*
 * test_archive.c - import, save and load as a program drives them: callbacks, pipes, cancelling, every allocation and
 * every system call failing once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "engine/archive_path.h"
#include "engine/image.h"
#include "engine/operation.h"
#include "imgstore/imgstore.h"
#include "oci/change.h"
#include "storage_spy.h"
#include "store_fixture.h"
#include "tar_fixture.h"

static const char NAME[] = "example.org/lab/image:1";
static const char TIME[] = "2020-09-13T12:26:40Z";

typedef struct scratch {
  char *folder;
  ims_core *core;
  imgstore_store *store; /* in memory */
} scratch;

static void set_limits(ims_core *core) {
  core->pid = getpid();
  core->limits.max_layer_output = 1ull << 40;
  core->limits.max_layer_ratio = 500;
  core->limits.max_layer_entries = 1 << 20;
  core->limits.max_path_depth = 512;
  core->limits.max_zstd_window = 1 << 27;
}

static imgstore_store *memory_store(ims_core *core) {
  imgstore_storage storage;
  imgstore_store *store = NULL;
  if (ims_memory_storage_open(core, 0, &storage, NULL) || ims_store_new(&store, core, &storage, NULL))
    return NULL;
  return store;
}

/* A root file system as a tar. */
static void write_tar(const scratch *s, const char *name, size_t size) {
  tar_fixture f;
  char *content = calloc(1, size + 1);
  for (size_t i = 0; i < size; i++)
    content[i] = (char)(i * 2654435761u >> 13);
  fixture_init(&f);
  fixture_header(&f, MAGIC_USTAR, '5', "etc/", "", 0);
  fixture_file(&f, '0', "etc/conf", content, size);
  fixture_header(&f, MAGIC_USTAR, '1', "etc/also", "etc/conf", 0);
  fixture_end(&f);
  fixture_write(s->folder, name, f.bytes.data, f.bytes.size);
  fixture_free(&f);
  free(content);
}

static int32_t import(imgstore_store *store, const char *path, const char *name, int32_t compression) {
  static const char *const changes[] = {"CMD [\"/bin/sh\"]", "ENV A=1 B=2"};
  imgstore_import_options options;
  imgstore_import_options_init(&options, sizeof options);
  options.changes = changes;
  options.change_count = 2;
  options.created = TIME;
  options.platform = "linux/amd64";
  options.compression = compression;
  return imgstore_import(store, path, name, &options, NULL, NULL);
}

static int setup(void **state) {
  scratch *s = calloc(1, sizeof *s);
  s->folder = fixture_directory();
  s->core = fixture_core(NULL, NULL);
  set_limits(s->core);
  s->store = memory_store(s->core);
  write_tar(s, "rootfs.tar", 100000);
  assert_int_equal(import(s->store, fixture_path(s->folder, "rootfs.tar"), NAME, 0), 0);
  *state = s;
  return 0;
}

static int teardown(void **state) {
  scratch *s = *state;
  ims_store_unref(s->store);
  ims_core_unref(s->core);
  fixture_remove(s->folder);
  free(s);
  return 0;
}

static int32_t append(void *user_data, const void *data, size_t size) {
  return ims_buf_append(user_data, data, size);
}

static int32_t save_to(imgstore_store *store, ims_buf *out, uint32_t flags, int32_t format) {
  const char *names[] = {NAME};
  imgstore_save_options options;
  imgstore_save_options_init(&options, sizeof options);
  options.flags = flags;
  options.format = format;
  options.write = append;
  options.write_data = out;
  return imgstore_save(store, names, 1, NULL, &options, NULL);
}

static void save_file(const scratch *s, const char *name, uint32_t flags, int32_t format) {
  ims_buf out;
  ims_buf_init(&out, &ims_alloc_default, SIZE_MAX - 1);
  assert_int_equal(save_to(s->store, &out, flags, format), 0);
  fixture_write(s->folder, name, out.data, out.size);
  ims_buf_free(&out);
}

static void save_packed(const scratch *s, const char *name, uint32_t flags, int32_t compression) {
  const char *names[] = {NAME};
  imgstore_save_options options;
  imgstore_save_options_init(&options, sizeof options);
  options.flags = flags;
  options.compression = compression;
  assert_int_equal(imgstore_save(s->store, names, 1, fixture_path(s->folder, name), &options, NULL), 0);
}

static bool has_image(imgstore_store *store, const char *name) {
  imgstore_image *image = NULL;
  int32_t rc = imgstore_store_image(store, name, "linux/amd64", &image, NULL);
  imgstore_image_unref(image);
  return rc == IMGSTORE_OK;
}

/* --- both ways ------------------------------------------------------------------------------------------------------
 */

static void what_is_saved_can_be_loaded(void **state) {
  scratch *s = *state;
  static const struct {
    uint32_t flags;
    int32_t format;
  } forms[] = {{0, IMGSTORE_ARCHIVE_DOCKER},
               {IMGSTORE_SAVE_UNCOMPRESSED, IMGSTORE_ARCHIVE_DOCKER},
               {IMGSTORE_SAVE_ALL_PLATFORMS, IMGSTORE_ARCHIVE_OCI}};
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    imgstore_report *report;
    imgstore_store *other = memory_store(s->core);
    save_file(s, "a.tar", forms[i].flags, forms[i].format);
    assert_int_equal(imgstore_load(other, fixture_path(s->folder, "a.tar"), NULL, &report, NULL), 0);
    assert_int_equal(imgstore_report_count(report), 1);
    assert_string_equal(imgstore_report_name(report, 0), NAME);
    assert_true(has_image(other, NAME));
    imgstore_report_free(report);
    ims_store_unref(other);
  }
}

static void import_is_reproducible(void **state) {
  scratch *s = *state;
  imgstore_image *a, *b;
  for (int32_t compression = 0; compression < 4; compression++) {
    if (compression == IMGSTORE_COMPRESS_ZSTD && !IMS_HAVE_ZSTD)
      continue;
    assert_int_equal(import(s->store, fixture_path(s->folder, "rootfs.tar"), "a", compression), 0);
    assert_int_equal(import(s->store, fixture_path(s->folder, "rootfs.tar"), "b", compression), 0);
    assert_int_equal(imgstore_store_image(s->store, "a", NULL, &a, NULL), 0);
    assert_int_equal(imgstore_store_image(s->store, "b", NULL, &b, NULL), 0);
    assert_string_equal(imgstore_image_target_digest(a), imgstore_image_target_digest(b));
    assert_string_equal(imgstore_image_item(a, IMGSTORE_IMAGE_ENV, 1), "B=2");
    imgstore_image_unref(a);
    imgstore_image_unref(b);
  }
}

/* --- arguments ------------------------------------------------------------------------------------------------------
 */

static void arguments_are_checked(void **state) {
  scratch *s = *state;
  const char *names[] = {NAME, NULL};
  imgstore_save_options save;
  imgstore_load_options load;
  imgstore_save_options_init(&save, sizeof save);
  imgstore_load_options_init(&load, sizeof load);
  assert_int_equal(imgstore_save(s->store, names, 1, NULL, NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_save(s->store, names, 0, "x", NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_save(s->store, names, 2, "x", NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_save(NULL, names, 1, "x", NULL, NULL), IMGSTORE_EINVALID);
  save.fd = 1;
  assert_int_equal(imgstore_save(s->store, names, 1, "x", &save, NULL), IMGSTORE_EINVALID);
  save.fd = -1;
  save.format = IMGSTORE_ARCHIVE_OCI;
  save.flags = IMGSTORE_SAVE_UNCOMPRESSED;
  assert_int_equal(imgstore_save(s->store, names, 1, "x", &save, NULL), IMGSTORE_EINVALID);
  save.flags = 1u << 30;
  assert_int_equal(imgstore_save(s->store, names, 1, "x", &save, NULL), IMGSTORE_EUNSUPPORTED);
  assert_int_equal(imgstore_load(s->store, NULL, NULL, NULL, NULL), IMGSTORE_EINVALID);
  load.format = 9;
  assert_int_equal(imgstore_load(s->store, "x", &load, NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(imgstore_import(s->store, NULL, "x", NULL, NULL, NULL), IMGSTORE_EINVALID);
  assert_int_equal(import(s->store, fixture_path(s->folder, "rootfs.tar"), "x", 7), IMGSTORE_EINVALID);
}

static void changes_are_read(void **state) {
  static const struct {
    const char *change;
    int32_t list;
    const char *value;
  } good[] = {{"CMD  [\"a\"]", IMGSTORE_IMAGE_CMD, "a"},
              {"entrypoint go now", IMGSTORE_IMAGE_ENTRYPOINT, "/bin/sh"},
              {"ENV a\\ b=\"c d\"", IMGSTORE_IMAGE_ENV, "a b=c d"},
              {"LABEL x 1 2", IMGSTORE_IMAGE_LABELS, "1 2"},
              {"EXPOSE 8080", IMGSTORE_IMAGE_PORTS, "8080/tcp"},
              {"VOLUME /a\t/b", IMGSTORE_IMAGE_VOLUMES, "/a"}};
  static const char *const bad[] = {"",      " ",        "CMD",   "RUN x",   "ENV =1",
                                    "ENV a", "USER a b", "CMD [", "CMD [1]", "ENV a=1 b"};
  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    ims_change_set set;
    ims_change_set_init(&set, &ims_alloc_default);
    assert_int_equal(ims_change_add(&set, good[i].change, NULL), 0);
    assert_string_equal(set.list[good[i].list].items[0].value, good[i].value);
    ims_change_set_free(&set);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ims_error err = IMS_ERROR_INIT;
    ims_change_set set;
    ims_change_set_init(&set, &ims_alloc_default);
    assert_int_equal(ims_change_add(&set, bad[i], &err), IMGSTORE_EINVALID);
    assert_non_null(strstr(err.message, "change \""));
    ims_change_set_free(&set);
  }
}

static void paths_stay_inside(void **state) {
  static const char *const good[][2] = {{"a", "a"}, {"./a//b/", "a/b"}, {"././", ""}, {"a/./b", "a/b"}};
  static const char *const bad[] = {"/a", "..", "../a", "a/..", "a/../b", "./../a"};
  char out[64];
  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_int_equal(ims_archive_clean_path(good[i][0], out, NULL), 0);
    assert_string_equal(out, good[i][1]);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(ims_archive_clean_path(bad[i], out, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(ims_archive_link_path("a/b/c", "../d", true, out, NULL), 0);
  assert_string_equal(out, "a/d");
  assert_int_equal(ims_archive_link_path("a/c", "../../d", true, out, NULL), IMGSTORE_EFORMAT);
  assert_int_equal(ims_archive_link_path("a/c", "x/../y", false, out, NULL), 0);
  assert_string_equal(out, "y");
  assert_int_equal(ims_archive_link_path("a/c", "/y", true, out, NULL), IMGSTORE_EFORMAT);
}

/* --- pipes ----------------------------------------------------------------------------------------------------------
 */

static imgstore_operation *start_load(imgstore_store *store, int fd) {
  imgstore_load_options options;
  imgstore_operation *op;
  imgstore_load_options_init(&options, sizeof options);
  options.fd = fd;
  assert_int_equal(imgstore_load_start(store, NULL, &options, &op, NULL), 0);
  return op;
}

/* Saving into a pipe and loading out of it, on one thread: neither may ever block. */
static void a_pipe_never_blocks(void **state) {
  scratch *s = *state;
  int ends[2];
  const char *names[] = {NAME};
  imgstore_store *other = memory_store(s->core);
  imgstore_save_options options;
  imgstore_operation *save, *load;
  assert_int_equal(pipe(ends), 0);
  imgstore_save_options_init(&options, sizeof options);
  options.fd = ends[1];
  assert_int_equal(imgstore_save_start(s->store, names, 1, NULL, &options, &save, NULL), 0);
  load = start_load(other, ends[0]);
  int32_t saved = IMGSTORE_EAGAIN, loaded = IMGSTORE_EAGAIN;
  while (saved == IMGSTORE_EAGAIN || loaded == IMGSTORE_EAGAIN) {
    if (saved == IMGSTORE_EAGAIN && (saved = imgstore_operation_step(save, 0, NULL)) != IMGSTORE_EAGAIN)
      close(ends[1]);
    loaded = loaded == IMGSTORE_EAGAIN ? imgstore_operation_step(load, 0, NULL) : loaded;
  }
  assert_int_equal(saved, 0);
  assert_int_equal(loaded, 0);
  assert_true(has_image(other, NAME));
  imgstore_operation_free(save);
  imgstore_operation_free(load);
  close(ends[0]);
  ims_store_unref(other);
}

/* An empty pipe costs no time, and the operation's descriptor tells when there is something. */
static void an_idle_pipe_is_waited_for(void **state) {
  scratch *s = *state;
  int ends[2];
  imgstore_store *other = memory_store(s->core);
  assert_int_equal(pipe(ends), 0);
  imgstore_operation *load = start_load(other, ends[0]);
  for (int i = 0; i < 20; i++)
    assert_int_equal(imgstore_operation_step(load, 0, NULL), IMGSTORE_EAGAIN);
  struct pollfd p = {.fd = imgstore_operation_fd(load), .events = POLLIN};
  assert_int_equal(poll(&p, 1, 0), 0);
  assert_int_equal(write(ends[1], "x", 1), 1);
  assert_int_equal(poll(&p, 1, 1000), 1);
  imgstore_operation_cancel(load);
  assert_int_equal(imgstore_operation_wait(load, NULL), IMGSTORE_ECANCELLED);
  imgstore_operation_free(load);
  close(ends[0]);
  close(ends[1]);
  ims_store_unref(other);
}

/* A reader that went away is an error, and no signal. */
static void a_closed_pipe_is_an_error(void **state) {
  scratch *s = *state;
  int ends[2];
  const char *names[] = {NAME};
  imgstore_save_options options;
  imgstore_error *error = NULL;
  assert_int_equal(pipe(ends), 0);
  close(ends[0]);
  imgstore_save_options_init(&options, sizeof options);
  options.fd = ends[1];
  assert_int_equal(imgstore_save(s->store, names, 1, NULL, &options, &error), IMGSTORE_EIO);
  assert_int_equal(imgstore_error_os_errno(error), EPIPE);
  imgstore_error_free(error);
  close(ends[1]);
}

static int32_t refuse(void *user_data, const void *data, size_t size) {
  (void)data;
  (void)size;
  return ++*(int *)user_data == 2 ? 42 : 0;
}

static void a_callback_may_stop_it(void **state) {
  scratch *s = *state;
  const char *names[] = {NAME};
  int calls = 0;
  imgstore_save_options options;
  imgstore_error *error = NULL;
  imgstore_save_options_init(&options, sizeof options);
  options.write = refuse;
  options.write_data = &calls;
  write_tar(s, "big.tar", 3 << 20);
  assert_int_equal(import(s->store, fixture_path(s->folder, "big.tar"), NAME, 3), 0);
  assert_int_equal(imgstore_save(s->store, names, 1, NULL, &options, &error), IMGSTORE_ECALLBACK);
  assert_int_equal(imgstore_error_callback_value(error), 42);
  assert_int_equal(calls, 2);
  imgstore_error_free(error);
}

/* --- copies from archives --------------------------------------------------------------------------------------------
 */

/* folder: for temporary files, or NULL. */
static int32_t start_copy(const scratch *s, imgstore_store *to, const char *path, const char *folder,
                          imgstore_operation **op) {
  imgstore_place source, destination;
  imgstore_copy_options options;
  imgstore_place_init(&source, sizeof source);
  imgstore_place_init(&destination, sizeof destination);
  imgstore_copy_options_init(&options, sizeof options);
  source.context = to->core;
  source.archive = path;
  destination.store = to;
  destination.name = NAME;
  options.platform = "linux/amd64";
  options.temp_dir = folder ? folder : s->folder;
  return imgstore_copy_start(&source, &destination, &options, op, NULL);
}

static int32_t copy(const scratch *s, imgstore_store *to, const char *path) {
  imgstore_operation *op;
  int32_t rc = start_copy(s, to, path, NULL, &op);
  if (rc)
    return rc;
  rc = imgstore_operation_wait(op, NULL);
  imgstore_operation_free(op);
  return rc;
}

static void a_copy_is_begun_at_once(void **state) {
  scratch *s = *state;
  imgstore_store *other = memory_store(s->core);
  imgstore_operation *op;
  assert_int_equal(start_copy(s, other, fixture_path(s->folder, "absent"), NULL, &op), 0);
  assert_int_equal(imgstore_operation_wait(op, NULL), IMGSTORE_ENOTFOUND);
  imgstore_operation_free(op);
  assert_int_equal(mkfifo(fixture_path(s->folder, "pipe"), 0600), 0);
  assert_int_equal(start_copy(s, other, fixture_path(s->folder, "pipe"), NULL, &op), 0);
  for (int i = 0; i < 20; i++)
    assert_int_equal(imgstore_operation_step(op, 0, NULL), IMGSTORE_EAGAIN);
  struct pollfd p = {.fd = imgstore_operation_fd(op), .events = POLLIN};
  assert_int_equal(poll(&p, 1, 0), 0);
  imgstore_operation_cancel(op);
  assert_int_equal(imgstore_operation_wait(op, NULL), IMGSTORE_ECANCELLED);
  imgstore_operation_free(op);
  ims_store_unref(other);
}

static void copies_are_the_same_however_it_is_compressed(void **state) {
  static const int32_t compressions[] = {IMGSTORE_COMPRESS_NONE, IMGSTORE_COMPRESS_GZIP};
  scratch *s = *state;
  for (size_t i = 0; i < sizeof compressions / sizeof *compressions; i++) {
    imgstore_store *other = memory_store(s->core);
    save_packed(s, "a.tar", IMGSTORE_SAVE_UNCOMPRESSED, compressions[i]);
    assert_int_equal(copy(s, other, fixture_path(s->folder, "a.tar")), 0);
    assert_true(has_image(other, NAME));
    ims_store_unref(other);
  }
}

/* --- faults ---------------------------------------------------------------------------------------------------------
 */

typedef int32_t (*job_fn)(const scratch *s, imgstore_store *store);

static int32_t load_job(const scratch *s, imgstore_store *store) {
  return imgstore_load(store, fixture_path(s->folder, "a.tar"), NULL, NULL, NULL);
}

static int32_t copy_job(const scratch *s, imgstore_store *store) {
  return copy(s, store, fixture_path(s->folder, "a.tar"));
}

static int32_t import_job(const scratch *s, imgstore_store *store) {
  return import(store, fixture_path(s->folder, "small.tar"), NAME, 0);
}

static int32_t save_job(const scratch *s, imgstore_store *store) {
  ims_buf out;
  int32_t rc = import_job(s, store);
  if (rc)
    return rc;
  ims_buf_init(&out, &ims_alloc_default, SIZE_MAX - 1);
  rc = save_to(store, &out, 0, IMGSTORE_ARCHIVE_DOCKER);
  if (!rc) {
    ims_buf_clear(&out);
    rc = save_to(store, &out, IMGSTORE_SAVE_UNCOMPRESSED, IMGSTORE_ARCHIVE_DOCKER);
  }
  ims_buf_free(&out);
  return rc;
}

/* Each allocation fails once: the job says so, publishes nothing, and gives everything back. */
static void fail_every_allocation(const scratch *s, job_fn job) {
  int32_t rc = IMGSTORE_ENOMEM;
  for (long at = 0; rc; at++) {
    fixture_memory memory = {.at = -1};
    ims_alloc alloc = fixture_allocator(&memory);
    ims_core *core = fixture_core(NULL, &alloc);
    set_limits(core);
    imgstore_store *store = memory_store(core);
    assert_non_null(store);
    memory.at = memory.seen + at;
    rc = job(s, store);
    memory.at = -1;
    if (rc && rc != IMGSTORE_ENOMEM)
      fail_msg("allocation %ld: %d", at, rc);
    assert_true(has_image(store, NAME) || rc != 0);
    ims_store_unref(store);
    ims_core_unref(core);
    assert_int_equal(memory.live, 0);
    assert_true(at < 100000);
  }
}

static void every_allocation_fails(void **state) {
  scratch *s = *state;
  write_tar(s, "small.tar", 900);
  save_file(s, "a.tar", 0, IMGSTORE_ARCHIVE_DOCKER);
  fail_every_allocation(s, load_job);
  save_file(s, "a.tar", IMGSTORE_SAVE_UNCOMPRESSED, IMGSTORE_ARCHIVE_DOCKER);
  fail_every_allocation(s, load_job);
  fail_every_allocation(s, copy_job);
  save_packed(s, "a.tar", IMGSTORE_SAVE_UNCOMPRESSED, IMGSTORE_COMPRESS_GZIP);
  fail_every_allocation(s, copy_job);
  fail_every_allocation(s, import_job);
  fail_every_allocation(s, save_job);
}

/* The calls that archives use and the store does not. */
static long calls, failing_call;
static int failing_errno;

static bool call_fails(void) {
  if (calls++ != failing_call)
    return false;
  errno = failing_errno;
  return true;
}

static ssize_t a_read(int fd, void *buffer, size_t size) {
  return call_fails() ? -1 : read(fd, buffer, size);
}
static ssize_t a_pread(int fd, void *buffer, size_t size, off_t offset) {
  return call_fails() ? -1 : pread(fd, buffer, size, offset);
}
static ssize_t a_write(int fd, const void *buffer, size_t size) {
  return call_fails() ? -1 : write(fd, buffer, size);
}
static int a_openat(int dir, const char *path, int flags, mode_t mode) {
  return call_fails() ? -1 : openat(dir, path, flags, mode);
}
static int a_fstat(int fd, struct stat *st) {
  return call_fails() ? -1 : fstat(fd, st);
}
static int a_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
  return call_fails() ? -1 : linkat(from_dir, from, to_dir, to, flags);
}
static int a_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  return call_fails() ? -1 : renameat2(from_dir, from, to_dir, to, flags);
}
static int a_fdatasync(int fd) {
  return call_fails() ? -1 : fdatasync(fd);
}
static int a_fsync(int fd) {
  return call_fails() ? -1 : fsync(fd);
}

static size_t entries_of(const char *folder) {
  size_t count = 0;
  DIR *dir = opendir(folder);
  while (readdir(dir))
    count++;
  closedir(dir);
  return count;
}

/* Each system call fails once: there is the whole file, or none; only flushing the folder may fail after it is there.
 */
static void every_call_fails(void **state) {
  scratch *s = *state;
  ims_sys sys = ims_sys_default;
  const char *names[] = {NAME};
  char path[256];
  imgstore_save_options options;
  imgstore_save_options_init(&options, sizeof options);
  options.compression = IMGSTORE_COMPRESS_GZIP;
  sys.read = a_read;
  sys.pread = a_pread;
  sys.write = a_write;
  sys.openat = a_openat;
  sys.fstat = a_fstat;
  sys.linkat = a_linkat;
  sys.renameat2 = a_renameat2;
  sys.fdatasync = a_fdatasync;
  sys.fsync = a_fsync;
  snprintf(path, sizeof path, "%s", fixture_path(s->folder, "out.tar"));
  size_t before = entries_of(s->folder);
  ims_core *core = fixture_core(&sys, NULL);
  set_limits(core);
  int32_t rc = IMGSTORE_EIO;
  for (failing_call = 0, failing_errno = EIO; rc; failing_call++) {
    imgstore_store *store = memory_store(core), *other = memory_store(core), *third = memory_store(core);
    calls = LONG_MIN / 2;
    assert_int_equal(import(store, fixture_path(s->folder, "rootfs.tar"), NAME, 0), 0);
    calls = 0;
    rc = imgstore_save(store, names, 1, path, &options, NULL);
    if (rc)
      assert_true(entries_of(s->folder) == before || access(path, F_OK) == 0);
    if (!rc)
      rc = imgstore_load(other, path, NULL, NULL, NULL);
    if (!rc)
      rc = copy(s, third, path);
    assert_true(rc == 0 || rc == IMGSTORE_EIO);
    assert_int_equal(has_image(third, NAME), rc == 0);
    unlink(path);
    assert_int_equal(entries_of(s->folder), before);
    ims_store_unref(store);
    ims_store_unref(other);
    ims_store_unref(third);
  }
  assert_true(failing_call > 8);
  ims_core_unref(core);
}

/* A file system without files that have no name. */
static int no_tmpfile(int dir, const char *path, int flags, mode_t mode) {
  if ((flags & O_TMPFILE) == O_TMPFILE) {
    errno = EOPNOTSUPP;
    return -1;
  }
  return openat(dir, path, flags, mode);
}

static void files_with_names_do_as_well(void **state) {
  scratch *s = *state;
  ims_sys sys = ims_sys_default;
  const char *names[] = {NAME};
  sys.openat = no_tmpfile;
  ims_core *core = fixture_core(&sys, NULL);
  set_limits(core);
  imgstore_store *store = memory_store(core);
  size_t before = entries_of(s->folder);
  assert_int_equal(import(store, fixture_path(s->folder, "rootfs.tar"), NAME, 0), 0);
  assert_int_equal(imgstore_save(store, names, 1, fixture_path(s->folder, "out.tar"), NULL, NULL), 0);
  assert_int_equal(entries_of(s->folder), before + 1);
  imgstore_operation *op;
  assert_int_equal(imgstore_save_start(store, names, 1, fixture_path(s->folder, "two.tar"), NULL, &op, NULL), 0);
  imgstore_operation_free(op);
  assert_int_equal(entries_of(s->folder), before + 1);
  save_packed(s, "packed.tar", 0, IMGSTORE_COMPRESS_GZIP);
  imgstore_store *other = memory_store(core);
  assert_int_equal(copy(s, other, fixture_path(s->folder, "packed.tar")), 0);
  assert_int_equal(entries_of(s->folder), before + 2);
  ims_store_unref(other);
  ims_store_unref(store);
  ims_core_unref(core);
}

/* Documents are kept in memory: a second one of the same path is refused when it comes, not when all are read. */
static void a_document_comes_once(void **state) {
  scratch *s = *state;
  tar_fixture f;
  imgstore_error *err = NULL;
  fixture_init(&f);
  fixture_file(&f, '0', "manifest.json", "[]", 2);
  fixture_file(&f, '0', "./manifest.json", "[]", 2);
  fixture_header(&f, MAGIC_USTAR, '6', "a-pipe", "", 0); /* would be refused as well */
  fixture_end(&f);
  fixture_write(s->folder, "twice.tar", f.bytes.data, f.bytes.size);
  fixture_free(&f);
  assert_int_equal(imgstore_load(s->store, fixture_path(s->folder, "twice.tar"), NULL, NULL, &err), IMGSTORE_EFORMAT);
  assert_non_null(strstr(imgstore_error_message(err), "\"manifest.json\": is there twice"));
  imgstore_error_free(err);
}

/* An archive of Docker's format whose only image has the layer of NAME mentions times; below blobs/, where it is hashed
 * only when all was read. */
static void write_mentions(const scratch *s, const char *name, int mentions) {
  imgstore_image *image;
  ims_buf config, list, layer;
  tar_fixture f;
  char path[IMS_DIGEST_TEXT + 8];
  assert_int_equal(imgstore_store_image(s->store, NAME, "linux/amd64", &image, NULL), 0);
  const imgstore_layer *l = image->layers[0];
  ims_buf_init(&layer, &ims_alloc_default, SIZE_MAX - 1);
  ims_buf_init(&config, &ims_alloc_default, SIZE_MAX - 1);
  ims_buf_init(&list, &ims_alloc_default, SIZE_MAX - 1);
  assert_int_equal(ims_blob_load(s->store, &l->digest, 1 << 24, &layer, NULL), 0);
  snprintf(path, sizeof path, "blobs/sha256/%s", ims_digest_hex(&l->digest));
  ims_buf_puts(&config, "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[");
  ims_buf_puts(&list, "[{\"Config\":\"config.json\",\"RepoTags\":[\"a/b:1\"],\"Layers\":[");
  for (int i = 0; i < mentions; i++) {
    ims_buf_printf(&config, "%s\"%s\"", i ? "," : "", l->diff_id.text);
    ims_buf_printf(&list, "%s\"%s\"", i ? "," : "", path);
  }
  ims_buf_puts(&config, "]}}");
  ims_buf_puts(&list, "]}]");
  fixture_init(&f);
  fixture_file(&f, '0', "config.json", ims_buf_text(&config), config.size);
  fixture_file(&f, '0', path, ims_buf_text(&layer), layer.size);
  fixture_file(&f, '0', "manifest.json", ims_buf_text(&list), list.size);
  fixture_end(&f);
  fixture_write(s->folder, name, f.bytes.data, f.bytes.size);
  fixture_free(&f);
  ims_buf_free(&layer);
  ims_buf_free(&config);
  ims_buf_free(&list);
  imgstore_image_unref(image);
}

/* Returns how often the storage was called. */
static int calls_of_load(const scratch *s, const char *name) {
  storage_spy spy;
  imgstore_store *store;
  const imgstore_storage storage = spy_storage(&spy, s->core, 0);
  assert_int_equal(ims_store_new(&store, s->core, &storage, NULL), 0);
  assert_int_equal(imgstore_load(store, fixture_path(s->folder, name), NULL, NULL, NULL), 0);
  assert_true(has_image(store, "a/b:1"));
  int calls_made = atomic_load(&spy.calls);
  ims_store_unref(store);
  return calls_made;
}

static void a_member_is_checked_once(void **state) {
  scratch *s = *state;
  write_mentions(s, "once.tar", 1);
  write_mentions(s, "often.tar", 100);
  assert_int_equal(calls_of_load(s, "once.tar"), calls_of_load(s, "often.tar"));
}

/* So are the paths of all members: there is an end to them. */
static void paths_of_members_are_bounded(void **state) {
  enum { LONG = 900 << 10, COUNT = 80 };
  scratch *s = *state;
  tar_fixture f;
  imgstore_error *err = NULL;
  char *name = malloc(LONG + 1);
  fixture_init(&f);
  memset(name, 'n', LONG);
  name[LONG] = '\0';
  for (int i = 0; i < COUNT; i++) {
    name[0] = (char)('a' + i % 26);
    name[1] = (char)('a' + i / 26);
    fixture_header(&f, MAGIC_GNU, 'L', "././@LongLink", "", LONG + 1);
    fixture_content(&f, name, LONG + 1);
    fixture_header(&f, MAGIC_USTAR, '2', "short", "x", 0);
  }
  fixture_end(&f);
  fixture_write(s->folder, "long.tar", f.bytes.data, f.bytes.size);
  fixture_free(&f);
  free(name);
  assert_int_equal(imgstore_load(s->store, fixture_path(s->folder, "long.tar"), NULL, NULL, &err), IMGSTORE_ELIMIT);
  assert_non_null(strstr(imgstore_error_message(err), "paths of members"));
  imgstore_error_free(err);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_is_saved_can_be_loaded, setup, teardown),
      cmocka_unit_test_setup_teardown(import_is_reproducible, setup, teardown),
      cmocka_unit_test_setup_teardown(arguments_are_checked, setup, teardown),
      cmocka_unit_test(changes_are_read),
      cmocka_unit_test(paths_stay_inside),
      cmocka_unit_test_setup_teardown(a_document_comes_once, setup, teardown),
      cmocka_unit_test_setup_teardown(a_member_is_checked_once, setup, teardown),
      cmocka_unit_test_setup_teardown(paths_of_members_are_bounded, setup, teardown),
      cmocka_unit_test_setup_teardown(a_pipe_never_blocks, setup, teardown),
      cmocka_unit_test_setup_teardown(an_idle_pipe_is_waited_for, setup, teardown),
      cmocka_unit_test_setup_teardown(a_closed_pipe_is_an_error, setup, teardown),
      cmocka_unit_test_setup_teardown(a_callback_may_stop_it, setup, teardown),
      cmocka_unit_test_setup_teardown(a_copy_is_begun_at_once, setup, teardown),
      cmocka_unit_test_setup_teardown(copies_are_the_same_however_it_is_compressed, setup, teardown),
      cmocka_unit_test_setup_teardown(every_allocation_fails, setup, teardown),
      cmocka_unit_test_setup_teardown(every_call_fails, setup, teardown),
      cmocka_unit_test_setup_teardown(files_with_names_do_as_well, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
