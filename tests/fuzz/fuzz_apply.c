/*
 * tests/fuzz/fuzz_apply.c - layers applied to a directory below the system's temporary one, with a canary beside it
 * that must not change.
 *
 * The first byte chooses: even, what follows is an archive as it is; odd, every four bytes are an entry (kind, name,
 * target, mode) of an archive made here, over few names so that they meet; kind 255 begins the next layer. Its second
 * bit turns openat2 off.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/core.h"
#include "base/report.h"
#include "rootfs/apply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_ENTRIES = 200, MAX_INPUT = 1 << 16, MAX_FILE = 1 << 26 };

static void need(int condition) {
  if (!condition)
    abort();
}

static int no_openat2(int dir, const char *path, const ims_open_how *how) {
  errno = ENOSYS;
  return -1;
}

static int no_device(int dir, const char *path, mode_t mode, dev_t device) {
  errno = EPERM;
  return -1;
}

/* Nothing here needs the disk to be full. */
static int small_truncate(int fd, off_t size) {
  errno = EFBIG;
  return size > MAX_FILE ? -1 : ftruncate(fd, size);
}

static ssize_t small_pwrite(int fd, const void *bytes, size_t size, off_t offset) {
  errno = EFBIG;
  return offset > MAX_FILE ? -1 : pwrite(fd, bytes, size, offset);
}

static void make_header(uint8_t block[512], const uint8_t choice[4]) {
  static const char *const names[] = {
      "a",  "b",    "a/b",     "b/a",       "a/b/c",        "c",   ".wh.a",          "a/.wh.b",
      "./", "../a", "/b/../c", "a/b/c/d/e", ".wh..wh..opq", "c/x", "b/.wh..wh..opq", "c/.wh.a"};
  static const char *const targets[] = {"a", "b", "../b", "/a/b", "../../canary", "/", "a/b/c", "../canary/file"};
  static const char types[] = "0512340505122516";
  memset(block, 0, 512);
  strcpy((char *)block, names[choice[1] % 16]);
  snprintf((char *)block + 100, 8, "%07o", choice[3] * 16u + choice[2] % 16u);
  snprintf((char *)block + 108, 8, "%07o", choice[3] % 3u);
  snprintf((char *)block + 116, 8, "%07o", choice[2] % 3u);
  snprintf((char *)block + 124, 12, "%011o", 0u);
  snprintf((char *)block + 136, 12, "%011o", choice[3] * 1000u);
  block[156] = (uint8_t)types[choice[0] % 16];
  strcpy((char *)block + 157, targets[choice[2] % 8]);
  memcpy(block + 257, "ustar\00000", 8);
  memset(block + 148, ' ', 8);
  unsigned sum = 0;
  for (int i = 0; i < 512; i++)
    sum += block[i];
  snprintf((char *)block + 148, 8, "%06o", sum);
}

static int32_t next_layer(ims_apply *a, ims_error *err) {
  int32_t rc = ims_apply_end_layer(a, err);
  return rc ? rc : ims_apply_begin_layer(a, err);
}

static int32_t feed_entries(ims_apply *a, const uint8_t *data, size_t size, ims_error *err) {
  int32_t rc = IMGSTORE_OK;
  uint8_t block[512];
  for (size_t i = 0; i < MAX_ENTRIES && (i + 1) * 4 <= size && !rc; i++) {
    if (data[i * 4] == 255) {
      rc = next_layer(a, err);
      continue;
    }
    make_header(block, data + i * 4);
    rc = ims_apply_feed(a, block, sizeof block, err);
  }
  return rc;
}

static void apply(ims_core *core, int root, const uint8_t *data, size_t size) {
  imgstore_unpack_options options = {.size = sizeof options};
  options.device_policy = IMGSTORE_POLICY_SKIP;
  options.owner_policy = IMGSTORE_POLICY_SKIP;
  options.xattr_policy = IMGSTORE_POLICY_SKIP;
  ims_error err = IMS_ERROR_INIT;
  ims_apply *a;
  imgstore_report *report = ims_report_new(&ims_alloc_default);
  need(report != NULL);
  int32_t rc = ims_apply_new(&a, core, root, &options, report, &err);
  need(rc == IMGSTORE_OK);
  rc = ims_apply_begin_layer(a, &err);
  if (!rc)
    rc = data[0] & 1 ? feed_entries(a, data + 1, size - 1, &err) : ims_apply_feed(a, data + 1, size - 1, &err);
  if (!rc)
    rc = ims_apply_end_layer(a, &err);
  if (!rc)
    rc = ims_apply_finish(a, &err);
  need(rc == IMGSTORE_OK || err.message[0]);
  ims_apply_free(a);
  imgstore_report_free(report);
}

static void check_canary(int dir) {
  struct stat st;
  char text[8];
  int fd = openat(dir, "canary/file", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  need(fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 1 && (st.st_mode & 07777) == 0640);
  need(read(fd, text, sizeof text) == 5 && memcmp(text, "alive", 5) == 0);
  close(fd);
}

static int make_scratch(char *path) {
  const char *base = getenv("TMPDIR");
  snprintf(path, 200, "%.150s/imgstore-fuzz-XXXXXX", base && *base ? base : "/tmp");
  need(mkdtemp(path) != NULL);
  int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  need(dir >= 0 && mkdirat(dir, "root", 0755) == 0 && mkdirat(dir, "canary", 0755) == 0);
  int fd = openat(dir, "canary/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
  need(fd >= 0 && write(fd, "alive", 5) == 5 && fchmod(fd, 0640) == 0);
  close(fd);
  return dir;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2 || size > MAX_INPUT)
    return 0;
  char path[200];
  int dir = make_scratch(path);
  imgstore_context_options options = {.size = sizeof options, .max_layer_entries = 1000, .max_path_depth = 64};
  ims_core *core = ims_core_new(&options);
  need(core != NULL);
  ims_sys sys = ims_sys_default;
  sys.mknodat = no_device;
  sys.ftruncate = small_truncate;
  sys.pwrite = small_pwrite;
  if (data[0] & 2)
    sys.openat2 = no_openat2;
  core->sys = &sys;
  int root = openat(dir, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  need(root >= 0);
  apply(core, root, data, size);
  check_canary(dir);
  close(root);
  ims_error err = IMS_ERROR_INIT;
  need(fchmodat(dir, "root", 0700, 0) == 0 && ims_tree_remove(core, dir, &err) == IMGSTORE_OK);
  close(dir);
  need(rmdir(path) == 0);
  ims_core_unref(core);
  return 0;
}
